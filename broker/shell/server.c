/* SPDX-License-Identifier: MIT */
#include "broker/shell/server.h"

#include "messages/shell/guard.h"
#include "messages/shell/inbox.h"
#include "messages/shell/loop.h"
#include "messages/shell/socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

/* A connection may hold back a JOIN with the largest filter, some messages, and what empty frames amplify. */
#define GUARD_BUDGET_BYTES (1024 * 1024)

/* Messages of one round, some milliseconds: deadlines and lost connections get their turn in between. */
#define ROUND_MESSAGES_MAX 1000

struct server {
    struct server_events events;
    void *socket;
    struct guard *guard;
    struct loop *loop;
    struct broker *broker;
    struct effects effects;  /* of the event at hand */
    struct effects feedback; /* of reporting what failed of them */
    struct effect *failed;
    int *errors; /* errno of each */
    size_t failed_count, failed_capacity;
};

static void remember_failed(struct server *self, const struct effect *effect, int error)
{
    if (self->failed_count == self->failed_capacity) {
        self->failed_capacity = self->failed_capacity ? self->failed_capacity * 2 : 64;
        self->failed = realloc(self->failed, self->failed_capacity * sizeof *self->failed);
        self->errors = realloc(self->errors, self->failed_capacity * sizeof *self->errors);
        assert(self->failed && self->errors);
    }
    self->failed[self->failed_count] = *effect;
    self->errors[self->failed_count++] = error;
}

/* What follows a lost message must not arrive without it. Returns the errno of that one, else 0. */
static int error_before(const struct server *self, uint32_t route)
{
    for (size_t i = 0; i < self->failed_count; i++) {
        if (self->failed[i].route == route)
            return self->errors[i];
    }
    return 0;
}

static void run_list(struct server *self, struct effects *effects)
{
    self->failed_count = 0;
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->entries[i];
        const uint8_t *bytes = effects_bytes(effects, effect);
        if (effect->kind == EFFECT_NOTE) {
            self->events.note(self->events.owner, (struct text){(const char *)bytes, effect->size});
            continue;
        }
        int error = error_before(self, effect->route);
        if (error == 0 && !socket_send_route(self->socket, effect->route, bytes, effect->size))
            error = errno;
        if (error != 0)
            remember_failed(self, effect, error);
    }
    effects_clear(effects);
}

static void run_effects(struct server *self)
{
    run_list(self, &self->effects);
    /* It ends: a route that is gone is forgotten, and one that does not read is left alone for a while. */
    while (self->failed_count > 0) {
        uint64_t now_ms = clock_now_ms();
        for (size_t i = 0; i < self->failed_count; i++) {
            if (self->errors[i] == EAGAIN)
                broker_on_congested(self->broker, self->failed[i], now_ms, &self->feedback);
            else
                broker_on_unreachable(self->broker, self->failed[i].route, now_ms, &self->feedback);
        }
        run_list(self, &self->feedback);
    }
}

static void take_message(struct server *self, struct inbound *inbound)
{
    struct broker_peer peer = {.route = inbound->route, .connection = inbound->fd};
    if (inbound->has_peer)
        peer.host = inbound->peer;
    if (inbound->has_peer && broker_wants_local_host(self->broker) && !host_is_loopback(&peer.host))
        peer.has_local_host = connection_local_host(inbound->fd, &peer.host, &peer.local_host);
    broker_on_message(self->broker, &peer, zmq_msg_data(&inbound->header), zmq_msg_size(&inbound->header),
                      inbound->frame_count, clock_now_ms(), &self->effects);
    inbound_release(inbound);
    run_effects(self);
}

static void on_readable(void *owner)
{
    struct server *self = owner;
    for (size_t i = 0; i < ROUND_MESSAGES_MAX; i++) {
        struct inbound inbound;
        enum inbox_result result = inbox_receive_routed(self->socket, &inbound);
        if (result == INBOX_EMPTY)
            return;
        guard_delivered(self->guard, inbound.fd, inbound.byte_count);
        if (result == INBOX_MESSAGE)
            take_message(self, &inbound);
    }
}

static void on_monitor(void *owner)
{
    struct server *self = owner;
    int fd = -1;
    while (guard_next_lost(self->guard, &fd)) {
        broker_on_connection_lost(self->broker, fd, clock_now_ms(), &self->effects);
        run_effects(self);
    }
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct server *self = owner;
    guard_sweep(self->guard);
    broker_tick(self->broker, now_ms, &self->effects);
    run_effects(self);
    uint64_t next_ms = broker_next_deadline_ms(self->broker);
    return next_ms < now_ms + GUARD_SWEEP_MS ? next_ms : now_ms + GUARD_SWEEP_MS;
}

struct server *server_new(const struct broker_config *config, unsigned per_address_max,
                          const struct server_events *events)
{
    struct server *self = calloc(1, sizeof *self);
    assert(self);
    self->events = *events;
    effects_init(&self->effects);
    effects_init(&self->feedback);
    self->socket = socket_open(SOCKET_BROKER);
    if (self->socket)
        self->guard = guard_new(self->socket, GUARD_BUDGET_BYTES, per_address_max);
    if (self->guard)
        self->loop = loop_new();
    if (!self->loop) {
        int error = errno;
        server_destroy(&self);
        errno = error;
        return NULL;
    }
    self->broker = broker_new(config);
    loop_add_socket(self->loop, self->socket, on_readable, self);
    loop_add_socket(self->loop, guard_socket(self->guard), on_monitor, self);
    loop_add_ticker(self->loop, on_tick, self);
    return self;
}

void server_destroy(struct server **self_p)
{
    assert(self_p);
    struct server *self = *self_p;
    if (!self)
        return;
    broker_destroy(&self->broker);
    loop_destroy(&self->loop);
    guard_destroy(&self->guard);
    socket_close(&self->socket);
    effects_release(&self->effects);
    effects_release(&self->feedback);
    free(self->failed);
    free(self->errors);
    free(self);
    *self_p = NULL;
}

bool server_bind(struct server *self, const char *endpoint, uint16_t *ret_port)
{
    return socket_bind(self->socket, endpoint, ret_port);
}

void server_run(struct server *self)
{
    loop_run(self->loop);
    sd_notify(0, "STOPPING=1");
    broker_stop(self->broker, &self->effects);
    run_list(self, &self->effects); /* whom it does not reach learns it from the connection */
}
