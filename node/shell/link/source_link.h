/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_LINK_SOURCE_LINK_H
#define NODE_SHELL_LINK_SOURCE_LINK_H

/*
 * The connection to one source of a download: a DEALER, attached to a loop. It reports what happens and
 * decides nothing. A source that sends more than was asked of it without ever ending a message is cut off.
 */
#include "messages/shell/inbox.h"
#include "messages/shell/loop.h"

struct source_link_events {
    void *owner;
    void (*connected)(void *owner, uint32_t source);
    void (*lost)(void *owner, uint32_t source); /* also for each attempt that failed; libzmq tries again */
    void (*message)(void *owner, uint32_t source, struct inbound *inbound); /* the payload may be moved out */
};

struct source_link;

/* Starts connecting. `source` comes back with each event. NULL when there is no room for another socket. */
struct source_link *source_link_new(struct loop *loop, const struct host *host, uint16_t port,
                                    uint32_t source, const struct source_link_events *events);

/* Not from within one of its own events: see source_link_stop(). */
void source_link_destroy(struct source_link **self_p);

/* No events from now on. What was sent still goes out for a moment. */
void source_link_stop(struct source_link *self);

/* Without waiting; what cannot be queued is lost, and the connection counts as lost. */
void source_link_send(struct source_link *self, const void *bytes, size_t size);

/* For who sends more than headers. */
void *source_link_socket(struct source_link *self);

/* Compares what was received with what arrived; call every GUARD_SWEEP_MS or so. */
void source_link_sweep(struct source_link *self);

#endif
