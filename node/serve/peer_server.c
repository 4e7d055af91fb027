/* SPDX-License-Identifier: MIT */
#include "node/serve/peer_server_private.h"

#include <stdlib.h>

static void send_small(struct peer_effects *effects, uint32_t route, const struct message *message)
{
    peer_effects_send(effects, PEER_SEND, route, 0, message);
}

void peer_server_refuse(struct peer_server *self, struct peer_effects *effects, uint32_t route, uint64_t rid,
                        enum error_code code, const char *text, uint32_t retry_ms)
{
    struct message error = message_error(rid, code, text, retry_ms);
    send_small(effects, route, &error);
    self->figures.errors_sent++;
}

/* Sessions. */

struct session *peer_server_session(const struct peer_server *self, uint32_t route)
{
    struct session *session;
    HASH_FIND(hh, self->sessions, &route, sizeof route, session);
    return session;
}

static void forget_session(struct peer_server *self, struct session *session, struct peer_effects *effects)
{
    if (session->is_pushing)
        peer_effects_add(effects, PEER_PUSHER_GONE, session->route, 0);
    upload_queue_drop(self->queue, session->route);
    HASH_DEL(self->sessions, session);
    list_cursors_release(&session->cursors);
    free(session->follows);
    free(session);
    self->figures.sessions--;
}

static bool make_room(struct peer_server *self, uint64_t now_ms, struct peer_effects *effects)
{
    if (self->figures.sessions < PEER_SESSIONS_MAX)
        return true;
    for (struct session *s = self->sessions; s; s = s->hh.next) {
        if (now_ms - s->last_seen_ms < PEER_IDLE_MS)
            return false; /* those after it were seen later still */
        if (s->follow_count == 0 && !s->is_pushing && !upload_queue_has(self->queue, s->route)) {
            forget_session(self, s, effects);
            return true;
        }
    }
    return false;
}

static struct session *add_session(struct peer_server *self, uint32_t route)
{
    struct session *session = calloc(1, sizeof *session);
    assert(session);
    session->route = route;
    HASH_ADD(hh, self->sessions, route, sizeof session->route, session);
    self->figures.sessions++;
    return session;
}

static void touch_session(struct peer_server *self, struct session *session, int connection, uint64_t now_ms)
{
    session->connection = connection;
    session->last_seen_ms = now_ms;
    if (!session->hh.next)
        return;
    HASH_DEL(self->sessions, session); /* to the end of the order */
    HASH_ADD(hh, self->sessions, route, sizeof session->route, session);
}

void peer_server_admit(struct peer_server *self, uint32_t route, int connection, uint64_t now_ms)
{
    touch_session(self, add_session(self, route), connection, now_ms);
}

/* Messages. */

static void on_hello(struct peer_server *self, uint32_t route, int connection, const struct message *m,
                     uint64_t now_ms, struct peer_effects *effects)
{
    const struct optional_node_id *expected = &m->hello.expected_node;
    if (expected->is_present && !node_id_equal(&expected->id, &self->config.node)) {
        peer_server_refuse(self, effects, route, m->rid, ERROR_WRONG_NODE, "another node is here", 0);
        return;
    }
    struct session *session = peer_server_session(self, route);
    if (!session && !make_room(self, now_ms, effects)) {
        peer_server_refuse(self, effects, route, m->rid, ERROR_BUSY, "too many peers", PEER_BUSY_RETRY_MS);
        return;
    }
    if (!session)
        session = add_session(self, route);
    touch_session(self, session, connection, now_ms);
    struct message reply = {
        .kind = KIND_HELLO_OK,
        .rid = m->rid,
        .hello_ok = {.node = self->config.node,
                     .instance = self->config.instance,
                     .node_name = self->config.node_name,
                     .agent = self->config.agent,
                     .features = self->config.features,
                     .window_bytes = UPLOAD_WINDOW_BYTES,
                     .max_read = UPLOAD_READ_BYTES_MAX},
    };
    send_small(effects, route, &reply);
}

/* Before the fields: what a header as a whole deserves. False when that was all. */
static bool check_envelope(struct peer_server *self, enum envelope_result result,
                           const struct envelope *envelope, uint32_t route, struct peer_effects *effects)
{
    if (result == ENVELOPE_OK)
        return true;
    if (result == ENVELOPE_UNASKED || envelope->is_never_answered) {
        self->figures.dropped_messages++;
        return false;
    }
    if (result == ENVELOPE_BAD) {
        self->figures.bad_messages++;
        peer_server_refuse(self, effects, route, envelope->rid, ERROR_BAD_MESSAGE, "not a message", 0);
        return false;
    }
    peer_server_refuse(self, effects, route, envelope->rid, ERROR_UNSUPPORTED,
                       result == ENVELOPE_VERSION ? "speaks 1" : "unknown kind", 0);
    return false;
}

static void on_envelope(struct peer_server *self, struct envelope *envelope, uint32_t route, int connection,
                        uint64_t now_ms, struct peer_effects *effects)
{
    struct session *session = peer_server_session(self, route);
    if (envelope->kind == KIND_BYE && session) {
        forget_session(self, session, effects);
        peer_server_pump(self, effects);
        return;
    }
    bool is_reply = kind_gate(envelope->kind, RECEIVER_SERVER) == GATE_REPLY;
    if (is_reply || envelope->is_never_answered) {
        if (session)
            touch_session(self, session, connection, now_ms);
        if (session && session->is_pushing && (is_reply || envelope->kind == KIND_ERROR))
            peer_effects_add(effects, PEER_PUSH, route, 0);
        else if (is_reply)
            self->figures.dropped_messages++; /* only a pusher is ever asked for anything */
        return;
    }
    if (!session && envelope->kind != KIND_HELLO) {
        peer_server_refuse(self, effects, route, envelope->rid, ERROR_NOT_JOINED, "HELLO comes first", 0);
        return;
    }
    struct message message;
    if (!message_read(envelope, &message)) {
        self->figures.bad_messages++;
        peer_server_refuse(self, effects, route, envelope->rid, ERROR_BAD_MESSAGE,
                           "a field is missing or wrong", 0);
        return;
    }
    if (message.kind == KIND_HELLO) {
        on_hello(self, route, connection, &message, now_ms, effects);
        return;
    }
    touch_session(self, session, connection, now_ms);
    struct peer_request request = {session, &message, effects};
    peer_server_on_request(self, &request);
}

void peer_server_on_message(struct peer_server *self, uint32_t route, int connection, const uint8_t *header,
                            size_t size, size_t frame_count, uint64_t now_ms, struct peer_effects *effects)
{
    struct envelope envelope;
    self->now_ms = now_ms;
    enum envelope_result result = envelope_open(&envelope, header, size, RECEIVER_SERVER, frame_count);
    if (check_envelope(self, result, &envelope, route, effects))
        on_envelope(self, &envelope, route, connection, now_ms, effects);
    envelope_close(&envelope);
}

/* Results. */

void peer_server_disconnect(struct peer_server *self, uint32_t route, int connection,
                            struct peer_effects *effects)
{
    peer_effects_add(effects, PEER_DISCONNECT, route, 0)->connection = connection;
    peer_server_on_route_lost(self, route, effects);
}

void peer_server_on_congested(struct peer_server *self, uint32_t route, struct peer_effects *effects)
{
    const struct session *session = peer_server_session(self, route);
    if (session)
        peer_server_disconnect(self, route, session->connection, effects);
}

void peer_server_on_route_lost(struct peer_server *self, uint32_t route, struct peer_effects *effects)
{
    struct session *session = peer_server_session(self, route);
    if (!session)
        return;
    forget_session(self, session, effects);
    peer_server_pump(self, effects);
}

void peer_server_push_over(struct peer_server *self, uint32_t route)
{
    struct session *session = peer_server_session(self, route);
    if (session)
        session->is_pushing = false;
}

void peer_server_on_connection_lost(struct peer_server *self, int connection, struct peer_effects *effects)
{
    struct message ping = {.kind = KIND_PING};
    for (struct session *s = self->sessions; s; s = s->hh.next) {
        if (s->connection == connection)
            send_small(effects, s->route, &ping);
    }
}

void peer_server_on_verified(struct peer_server *self, uint64_t partial_handle, uint32_t first,
                             uint32_t count, struct peer_effects *effects)
{
    struct holding holding;
    if (!holdings_by_partial(self->holdings, partial_handle, &holding))
        return;
    struct chunk_range range = {first, count};
    for (struct session *s = self->sessions; s; s = s->hh.next) {
        for (size_t i = 0; i < s->follow_count; i++) {
            if (!file_id_equal(&s->follows[i].file, &holding.file.id))
                continue;
            struct message have = {
                .kind = KIND_HAVE,
                .rid = s->follows[i].rid,
                .have = {.file = holding.file.id, .ranges = &range, .count = 1},
            };
            send_small(effects, s->route, &have);
        }
    }
}

void peer_server_on_stop(struct peer_server *self, struct peer_effects *effects)
{
    struct message bye = {.kind = KIND_BYE, .bye = {.reason = text_of("stopping")}};
    for (struct session *s = self->sessions; s; s = s->hh.next)
        send_small(effects, s->route, &bye);
}

bool peer_server_is_idle(const struct peer_server *self)
{
    return upload_queue_is_empty(self->queue);
}

void peer_server_exempt(struct peer_server *self, uint32_t route)
{
    struct session *session = peer_server_session(self, route);
    if (session)
        session->is_exempt = true;
}

void peer_server_set_up_rate(struct peer_server *self, uint64_t up_rate, uint64_t now_ms)
{
    upload_queue_set_rates(self->queue, up_rate, self->config.up_rate_each, now_ms);
}

struct peer_server_figures peer_server_figures(const struct peer_server *self)
{
    return self->figures;
}

struct peer_server *peer_server_new(const struct peer_server_config *config, const struct holdings *holdings)
{
    struct peer_server *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->holdings = holdings;
    self->queue = upload_queue_new();
    upload_queue_set_rates(self->queue, config->up_rate, config->up_rate_each, 0);
    return self;
}

void peer_server_destroy(struct peer_server **self_p)
{
    struct peer_server *self = *self_p;
    if (!self)
        return;
    struct peer_effects none; /* whoever would run them ends as well */
    peer_effects_init(&none);
    while (self->sessions)
        forget_session(self, self->sessions, &none);
    peer_effects_release(&none);
    upload_queue_destroy(&self->queue);
    free(self);
    *self_p = NULL;
}
