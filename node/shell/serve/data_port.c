/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/data_port.h"

#include "messages/shell/guard.h"
#include "messages/shell/inbox.h"
#include "messages/shell/socket.h"
#include "node/shell/serve/near_networks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Requests are small: a window of READs is 16 of them. */
#define GUARD_BUDGET_BYTES (1u << 20)

/* Messages taken from the socket before others get a turn in the loop. */
#define MESSAGES_PER_ROUND 256

/* A machine moves to another network now and then. */
#define NETWORKS_LOOK_MS 10000

struct data_port {
    struct loop *loop;
    void *socket;
    struct guard *guard;
    struct uploads *uploads;
    struct push_events pushes;
    struct inbound *inbound; /* while it is being handled */
    uint64_t swept_at_ms;
    struct near_networks *near; /* whose requesters have no rates; NULL: nobody's */
    uint64_t looked_at_ms;      /* for the networks */
};

/* Events. */

static void on_socket(void *owner)
{
    struct data_port *self = owner;
    struct inbound in;
    for (unsigned i = 0; i < MESSAGES_PER_ROUND; i++) {
        enum inbox_result result = inbox_receive_routed(self->socket, &in);
        if (result == INBOX_EMPTY)
            break;
        guard_delivered(self->guard, in.fd, in.byte_count);
        if (result == INBOX_DROPPED)
            continue;
        peer_server_on_message(uploads_server(self->uploads), in.route, in.fd, zmq_msg_data(&in.header),
                               zmq_msg_size(&in.header), in.frame_count, clock_now_ms(),
                               uploads_effects(self->uploads));
        if (self->near && in.has_peer && near_networks_has(self->near, &in.peer))
            peer_server_exempt(uploads_server(self->uploads), in.route);
        self->inbound = &in;
        uploads_run(self->uploads);
        self->inbound = NULL;
        inbound_release(&in);
    }
}

static void on_guard(void *owner)
{
    struct data_port *self = owner;
    int fd;
    while (guard_next_lost(self->guard, &fd))
        peer_server_on_connection_lost(uploads_server(self->uploads), fd, uploads_effects(self->uploads));
    uploads_run(self->uploads);
}

static void cut(void *owner, int connection)
{
    struct data_port *self = owner;
    guard_cut(self->guard, connection);
}

static void on_push(void *owner, uint32_t route)
{
    struct data_port *self = owner;
    assert(self->inbound && self->inbound->route == route);
    if (self->pushes.message)
        self->pushes.message(self->pushes.owner, self->inbound);
}

static void on_pusher_gone(void *owner, uint32_t route)
{
    struct data_port *self = owner;
    if (self->pushes.gone)
        self->pushes.gone(self->pushes.owner, route);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct data_port *self = owner;
    if (now_ms - self->swept_at_ms >= GUARD_SWEEP_MS) {
        guard_sweep(self->guard);
        self->swept_at_ms = now_ms;
    }
    if (self->near && now_ms - self->looked_at_ms >= NETWORKS_LOOK_MS) {
        near_networks_read(self->near);
        self->looked_at_ms = now_ms;
    }
    return self->swept_at_ms + GUARD_SWEEP_MS;
}

/* Life. */

struct data_port *data_port_new(struct loop *loop, struct workers *workers)
{
    struct data_port *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->socket = socket_open(SOCKET_PEER);
    self->guard = self->socket ? guard_new(self->socket, GUARD_BUDGET_BYTES, 0) : NULL;
    struct uploads_events events = {
        .owner = self, .cut = cut, .push = on_push, .pusher_gone = on_pusher_gone};
    self->uploads = self->guard ? uploads_new(loop, workers, &events) : NULL;
    if (!self->uploads) {
        int error = errno;
        data_port_destroy(&self);
        errno = error;
        return NULL;
    }
    uploads_set_socket(self->uploads, self->socket, true);
    return self;
}

bool data_port_bind(struct data_port *self, const char *endpoint, uint16_t *ret_port)
{
    return socket_bind(self->socket, endpoint, ret_port);
}

void data_port_exempt_near(struct data_port *self)
{
    self->near = calloc(1, sizeof *self->near);
    assert(self->near);
    near_networks_read(self->near);
}

bool data_port_start(struct data_port *self, const struct peer_server_config *config,
                     const struct holdings *holdings, const struct content_source *source)
{
    bool is_attached = uploads_start(self->uploads, config, holdings, source) &&
                       loop_add_socket(self->loop, self->socket, on_socket, self) &&
                       loop_add_socket(self->loop, guard_socket(self->guard), on_guard, self) &&
                       loop_add_ticker(self->loop, on_tick, self);
    if (!is_attached)
        errno = EMFILE;
    return is_attached;
}

void data_port_accept_pushes(struct data_port *self, const struct push_events *events)
{
    self->pushes = *events;
    guard_set_allowance(self->guard, events->asked_bytes, events->owner);
}

void data_port_send(struct data_port *self, uint32_t route, const void *bytes, size_t size)
{
    uploads_send(self->uploads, route, bytes, size);
}

void data_port_push_over(struct data_port *self, uint32_t route)
{
    struct peer_server *server = uploads_server(self->uploads);
    if (server)
        peer_server_push_over(server, route);
}

void data_port_verified(struct data_port *self, uint64_t partial_handle, uint32_t first, uint32_t count)
{
    struct peer_server *server = uploads_server(self->uploads);
    if (!server)
        return;
    peer_server_on_verified(server, partial_handle, first, count, uploads_effects(self->uploads));
    uploads_run(self->uploads);
}

void data_port_forget(struct data_port *self, struct content content)
{
    uploads_forget(self->uploads, content);
}

void data_port_stop(struct data_port *self)
{
    if (!uploads_server(self->uploads))
        return;
    loop_remove_socket(self->loop, self->socket);
    loop_remove_socket(self->loop, guard_socket(self->guard));
    loop_remove_ticker(self->loop, self);
    uploads_stop(self->uploads);
}

void data_port_destroy(struct data_port **self_p)
{
    struct data_port *self = *self_p;
    if (!self)
        return;
    if (self->uploads)
        data_port_stop(self);
    guard_destroy(&self->guard);
    socket_close(&self->socket);
    uploads_destroy(&self->uploads);
    free(self->near);
    free(self);
    *self_p = NULL;
}

struct peer_server_figures data_port_figures(const struct data_port *self)
{
    const struct peer_server *server = uploads_server(self->uploads);
    return server ? peer_server_figures(server) : (struct peer_server_figures){0};
}

void data_port_set_up_rate(struct data_port *self, uint64_t up_rate)
{
    struct peer_server *server = uploads_server(self->uploads);
    if (server)
        peer_server_set_up_rate(server, up_rate, clock_now_ms());
}
