/* SPDX-License-Identifier: MIT */
#include "node/shell/link/source_link.h"

#include "messages/shell/guard.h"
#include "messages/shell/socket.h"

#include <assert.h>
#include <stdlib.h>

/* The protocol's window of 16 MiB may be on its way in; beyond that nothing was asked for. */
#define HIDDEN_BYTES_MAX (20u * 1024 * 1024)

/* Messages read before others get their turn: the budget of a download bounds what can wait. */
#define MESSAGES_A_ROUND 16

struct source_link {
    struct loop *loop;
    uint32_t source;
    struct source_link_events events;
    void *socket;
    struct guard *guard;
    bool is_stopped;
};

static void on_guard(void *owner)
{
    struct source_link *self = owner;
    int fd;
    enum guard_event event;
    while (!self->is_stopped && (event = guard_next(self->guard, &fd)) != GUARD_NOTHING) {
        if (event == GUARD_READY)
            self->events.connected(self->events.owner, self->source);
        else
            self->events.lost(self->events.owner, self->source);
    }
}

static void on_message(void *owner)
{
    struct source_link *self = owner;
    for (unsigned i = 0; i < MESSAGES_A_ROUND && !self->is_stopped; i++) {
        struct inbound inbound;
        if (inbox_receive(self->socket, &inbound) != INBOX_MESSAGE)
            return;
        guard_delivered(self->guard, inbound.fd, inbound.byte_count);
        self->events.message(self->events.owner, self->source, &inbound);
        inbound_release(&inbound);
    }
}

static bool start(struct source_link *self, const struct host *host, uint16_t port)
{
    self->socket = socket_open(SOCKET_PEER_CLIENT);
    if (!self->socket)
        return false;
    self->guard = guard_new(self->socket, HIDDEN_BYTES_MAX, 0);
    return self->guard && loop_add_socket(self->loop, self->socket, on_message, self) &&
           loop_add_socket(self->loop, guard_socket(self->guard), on_guard, self) &&
           socket_connect(self->socket, host, port);
}

struct source_link *source_link_new(struct loop *loop, const struct host *host, uint16_t port,
                                    uint32_t source, const struct source_link_events *events)
{
    struct source_link *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->source = source;
    self->events = *events;
    if (!start(self, host, port))
        source_link_destroy(&self);
    return self;
}

void source_link_stop(struct source_link *self)
{
    self->is_stopped = true;
    if (self->socket)
        loop_remove_socket(self->loop, self->socket);
    if (self->guard)
        loop_remove_socket(self->loop, guard_socket(self->guard));
}

void source_link_destroy(struct source_link **self_p)
{
    struct source_link *self = *self_p;
    if (!self)
        return;
    source_link_stop(self);
    guard_destroy(&self->guard);
    socket_close(&self->socket);
    free(self);
    *self_p = NULL;
}

void source_link_send(struct source_link *self, const void *bytes, size_t size)
{
    if (self->is_stopped || socket_send(self->socket, bytes, size))
        return;
    /* The connection may be known to libzmq's thread only: asking for events makes ours take notice. */
    int events;
    size_t events_size = sizeof events;
    zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &events_size);
    socket_send(self->socket, bytes, size); /* else it is gone, and its end is on the way */
}

void *source_link_socket(struct source_link *self)
{
    return self->socket;
}

void source_link_sweep(struct source_link *self)
{
    if (!self->is_stopped)
        guard_sweep(self->guard);
}
