/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SHELL_LOOP_H
#define MESSAGES_SHELL_LOOP_H

/*
 * The one thread that owns all sockets of a process: waits for sockets, file descriptors and deadlines, and
 * calls the part that each belongs to. SIGINT and SIGTERM end loop_run(); there is no handler.
 */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Sockets and fds of one process: 64 sources, with two each, of the few downloads of a node, and what else it
 * has. */
#define LOOP_ITEMS_MAX 1024

struct loop;

struct loop *loop_new(void);
void loop_destroy(struct loop **self_p);

/* `ready` is called when there is something to read; it must return after a bounded amount of work. False
 * when full. */
bool loop_add_socket(struct loop *self, void *socket, void (*ready)(void *owner), void *owner);
bool loop_add_fd(struct loop *self, int fd, void (*ready)(void *owner), void *owner);
void loop_remove_socket(struct loop *self, void *socket);
void loop_remove_fd(struct loop *self, int fd);

/*
 * `tick` is called after each round of events and at the deadline; it does what is due and returns the next
 * deadline on the monotonic clock (UINT64_MAX for none).
 */
bool loop_add_ticker(struct loop *self, uint64_t (*tick)(void *owner, uint64_t now_ms), void *owner);
void loop_remove_ticker(struct loop *self, void *owner);

/*
 * Calls `caught` when the signal arrives, instead of what it does else; SIGINT and SIGTERM end the run. A
 * later call for the same signal replaces the first, NULL gives it back. Threads that run already must have
 * it blocked. At most LOOP_SIGNALS_MAX signals.
 */
#define LOOP_SIGNALS_MAX 8
void loop_catch_signal(struct loop *self, int number, void (*caught)(void *owner, int number), void *owner);

/* Runs until loop_stop(), from a callback or by a signal. Returns the signal that ended it, else 0. */
int loop_run(struct loop *self);
void loop_stop(struct loop *self);

/* SIGINT and SIGTERM. process_start() blocks them in all threads: a loop reads them as events. */
sigset_t stop_signals(void);

/* CLOCK_MONOTONIC in ms. */
uint64_t clock_now_ms(void);

/* Processors that this process may run on, at least 1. */
unsigned processor_count(void);

/* Random bytes from the kernel, for ids, boots, rids and jitter. */
uint64_t random_u64(void);
void random_bytes(void *ret_bytes, unsigned long size);

#endif
