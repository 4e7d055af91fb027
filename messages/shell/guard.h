/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SHELL_GUARD_H
#define MESSAGES_SHELL_GUARD_H

/*
 * Watches the connections of one socket through its monitor.
 *
 * libzmq's high-water marks and message sizes do not bound memory: a peer that never ends a multipart
 * message grows the heap unseen. So the bytes that the kernel received on a connection are compared with
 * the bytes that reached us, and a connection whose gap exceeds the budget is shut down (never closed:
 * the fd is libzmq's). The guard also caps connections per address, loopback exempt unless asked for.
 */

#include "messages/host.h"

struct guard;

/* `budget_bytes` is the largest gap; `per_address_max` 0 means the default and exempts loopback. NULL with
 * errno. */
struct guard *guard_new(void *socket, size_t budget_bytes, unsigned per_address_max);
void guard_destroy(struct guard **self_p);

/* Connections on which something was asked for may hide more: asked only for one that exceeds the budget. */
void guard_set_allowance(struct guard *self, size_t (*allowed_bytes)(void *owner, int fd), void *owner);

/* The monitor's PAIR socket, to poll. */
void *guard_socket(struct guard *self);

enum guard_event {
    GUARD_NOTHING,
    GUARD_LOST,    /* a connection ended; its number may already be used again: docs/architecture.md, "Lost
                      connections" */
    GUARD_READY,   /* on a DEALER: connected, messages can be sent */
    GUARD_REFUSED, /* on a DEALER: an attempt to connect failed; libzmq tries again */
};

/* Reads the monitor's next event; *ret_fd is set for GUARD_LOST. Call until GUARD_NOTHING. */
enum guard_event guard_next(struct guard *self, int *ret_fd);

/* The same for who only wants to know of lost connections: true for each. */
bool guard_next_lost(struct guard *self, int *ret_fd);

/* Account bytes that came out of the socket. */
void guard_delivered(struct guard *self, int fd, size_t bytes);

/* Ends a connection that its owner wants to be rid of; libzmq frees what it holds, and the loss is told as
 * any. */
void guard_cut(struct guard *self, int fd);

/* Compares and shuts down; call at least every GUARD_SWEEP_MS. */
void guard_sweep(struct guard *self);
#define GUARD_SWEEP_MS 100

#endif
