/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_WORKERS_H
#define NODE_SHELL_WORKERS_H

/*
 * Threads for what blocks or computes: reading, writing, hashing, scanning. A job is a value that its owner
 * embeds in a struct of its own; it runs on one worker and comes back to the owner's thread through an
 * eventfd. Jobs of one pool start in the order in which they were put in. Results come back in any order.
 *
 * Jobs that wait for the same disk have a lane in common. A lane gets all threads but one, so that a disk
 * that hangs never takes the last one from the others: their jobs overtake those that wait for it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job {
    void (*run)(struct job *self);  /* on a worker; touches only what the job owns */
    void (*done)(struct job *self); /* back on the owner's thread; may free the job */
    struct job *next;               /* the pool's */
    uint64_t lane;                  /* 0: none, it may run at any time */
};

struct workers;

/* NULL with errno when a thread cannot be started. */
struct workers *workers_new(unsigned thread_count);

/*
 * Waits for the jobs that run, then hands those that did not to done() without run(): their owner sees that
 * from what run() would have set. A job put in from such a done() comes back the same way, so a done() that
 * always puts its job in again must ask workers_is_stopping().
 */
void workers_destroy(struct workers **self_p);

void workers_put(struct workers *self, struct job *job);

/* In front of all that wait. */
void workers_put_first(struct workers *self, struct job *job);

/* Readable when a job is done. */
int workers_fd(const struct workers *self);

/* Calls done() for each finished job; on the owner's thread. */
void workers_collect(struct workers *self);

unsigned workers_count(const struct workers *self);

/* True once workers_destroy() began: a long job returns early. Safe from any thread. */
bool workers_is_stopping(const struct workers *self);

/* One a core, at least 2 (one may be held up by a scan or a slow disk), at most 8. */
unsigned workers_default_count(void);

#endif
