/* SPDX-License-Identifier: MIT */
#include "node/peer_server_private.h"

#include <stdlib.h>
#include <string.h>

/* What every request handler needs. */
struct request {
    struct session *session;
    const struct message *message;
    struct peer_effects *effects;
};

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

static void refuse(struct peer_server *self, const struct request *r, enum error_code code, const char *text,
                   uint32_t retry_ms)
{
    peer_server_refuse(self, r->effects, r->session->route, r->message->rid, code, text, retry_ms);
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

bool peer_server_find_file(struct peer_server *self, struct peer_effects *effects, uint32_t route,
                           uint64_t rid, const struct file_id *id, struct holding *ret_holding)
{
    switch (holdings_by_id(self->holdings, id, ret_holding)) {
    case HOLDINGS_FOUND:
        return true;
    case HOLDINGS_HASHING:
        peer_server_refuse(self, effects, route, rid, ERROR_BUSY, "files are still being hashed",
                           PEER_HASHING_RETRY_MS);
        return false;
    case HOLDINGS_NONE:
    case HOLDINGS_SEVERAL:
        break;
    }
    peer_server_refuse(self, effects, route, rid, ERROR_NOT_FOUND, "no such file", 0);
    return false;
}

static void enqueue(struct peer_server *self, const struct request *r, struct upload *upload)
{
    upload->is_exempt = r->session->is_exempt;
    switch (upload_queue_put(self->queue, upload)) {
    case UPLOAD_QUEUED:
        peer_server_pump(self, r->effects);
        break;
    case UPLOAD_OVER_WINDOW:
        refuse(self, r, ERROR_LIMIT, "more than window_bytes unanswered", PEER_QUEUE_RETRY_MS);
        break;
    case UPLOAD_TOO_MANY:
        refuse(self, r, ERROR_LIMIT, "too many requests unanswered", PEER_QUEUE_RETRY_MS);
        break;
    case UPLOAD_BUSY:
        refuse(self, r, ERROR_BUSY, "too many requests waiting", PEER_QUEUE_RETRY_MS);
        break;
    }
}

/* Requests, one function a kind. */

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

static void on_list(struct peer_server *self, const struct request *r)
{
    const struct message_list *list = &r->message->list;
    struct upload upload = {
        .route = r->session->route,
        .connection = r->session->connection,
        .rid = r->message->rid,
        .kind = UPLOAD_LIST,
        .reply_bytes = UPLOAD_READ_BYTES_MAX, /* not known before; a page may take a whole header */
        .prefix = list->prefix,
        .cursor = list->cursor,
        .limit = list->limit == 0 || list->limit > FILES_MAX ? FILES_MAX : list->limit,
    };
    enqueue(self, r, &upload);
}

/* Begins or renews the events of a partial file. False when the requester follows too many. */
static bool follow(struct session *session, const struct file_id *file, uint64_t rid)
{
    for (size_t i = 0; i < session->follow_count; i++) {
        if (file_id_equal(&session->follows[i].file, file)) {
            session->follows[i].rid = rid;
            return true;
        }
    }
    if (session->follow_count == PEER_FOLLOWS_MAX)
        return false;
    if (!session->follows) {
        session->follows = calloc(PEER_FOLLOWS_MAX, sizeof session->follows[0]);
        assert(session->follows);
    }
    session->follows[session->follow_count++] = (struct follow){*file, rid};
    return true;
}

static void on_open(struct peer_server *self, const struct request *r)
{
    const struct message_open *open = &r->message->open;
    struct holding holding;
    if (open->file.is_present) {
        struct file_id id;
        memcpy(id.bytes, open->file.bytes, sizeof id.bytes);
        if (!peer_server_find_file(self, r->effects, r->session->route, r->message->rid, &id, &holding))
            return;
    } else if (open->name.is_present) {
        switch (holdings_by_name(self->holdings, open->name.text, &holding)) {
        case HOLDINGS_FOUND:
            break;
        case HOLDINGS_NONE:
            refuse(self, r, ERROR_NOT_FOUND, "no such file", 0);
            return;
        case HOLDINGS_SEVERAL:
            refuse(self, r, ERROR_NOT_FOUND, "several files have this base name: give the whole name", 0);
            return;
        case HOLDINGS_HASHING:
            refuse(self, r, ERROR_BUSY, "files are still being hashed", PEER_HASHING_RETRY_MS);
            return;
        }
    } else {
        refuse(self, r, ERROR_BAD_MESSAGE, "neither id nor name", 0);
        return;
    }
    struct message reply = {
        .kind = KIND_OPEN_OK,
        .rid = r->message->rid,
        .open_ok = {.file = holding.file, .chunk_log2 = holding.layout.chunk_log2},
    };
    if (holding.have) {
        if (!follow(r->session, &holding.file.id, r->message->rid)) {
            refuse(self, r, ERROR_LIMIT, "too many partial files open", 0);
            return;
        }
        reply.open_ok.have.is_present = true;
        reply.open_ok.have.blob = (struct blob){holding.have, layout_bitfield_size(&holding.layout)};
    }
    send_small(r->effects, r->session->route, &reply);
}

static void on_close(const struct request *r)
{
    struct session *session = r->session;
    for (size_t i = 0; i < session->follow_count; i++) {
        if (file_id_equal(&session->follows[i].file, &r->message->close.file))
            session->follows[i] = session->follows[--session->follow_count];
    }
    if (session->is_pushing)
        peer_effects_add(r->effects, PEER_PUSH, session->route, 0);
}

static void on_offer(struct peer_server *self, const struct request *r)
{
    if (!(self->config.features & FEATURE_ACCEPTS_PUSHES)) {
        refuse(self, r, ERROR_DENIED, "pushes are off", 0);
        return;
    }
    r->session->is_pushing = true;
    peer_effects_add(r->effects, PEER_PUSH, r->session->route, 0);
}

static void on_hashes(struct peer_server *self, const struct request *r)
{
    const struct message_hashes *hashes = &r->message->hashes;
    struct holding holding;
    if (!peer_server_find_file(self, r->effects, r->session->route, r->message->rid, &hashes->file, &holding))
        return;
    if (!layout_has_layer(&holding.layout)) {
        refuse(self, r, ERROR_BAD_RANGE, "a file of one chunk has no hashes", 0);
        return;
    }
    if (hashes->count == 0 || hashes->first >= holding.layout.chunk_count ||
        hashes->count > holding.layout.chunk_count - hashes->first) {
        refuse(self, r, ERROR_BAD_RANGE, "hashes outside the file", 0);
        return;
    }
    /* A number above a stated maximum is clamped: the reply tells how many it has. */
    uint32_t count = hashes->count < HASHES_MAX ? hashes->count : HASHES_MAX;
    struct upload upload = {
        .route = r->session->route,
        .connection = r->session->connection,
        .rid = r->message->rid,
        .kind = UPLOAD_HASHES,
        .reply_bytes = REPLY_OVERHEAD_BYTES + count * (uint32_t)sizeof(struct hash),
        .file = hashes->file,
        .first = hashes->first,
        .count = count,
    };
    enqueue(self, r, &upload);
}

static void on_read(struct peer_server *self, const struct request *r)
{
    const struct message_range *read = &r->message->read;
    struct holding holding;
    if (!peer_server_find_file(self, r->effects, r->session->route, r->message->rid, &read->file, &holding))
        return;
    uint64_t size = holding.file.size;
    if (read->length == 0 || read->offset >= size || read->length > size - read->offset) {
        refuse(self, r, ERROR_BAD_RANGE, "bytes outside the file", 0);
        return;
    }
    if (read->length > UPLOAD_READ_BYTES_MAX) {
        refuse(self, r, ERROR_LIMIT, "more than max_read", 0);
        return;
    }
    if (!holding_has_range(&holding, read->offset, read->length)) {
        refuse(self, r, ERROR_BAD_RANGE, "a chunk that is not here yet", 0);
        return;
    }
    struct upload upload = {
        .route = r->session->route,
        .connection = r->session->connection,
        .rid = r->message->rid,
        .kind = UPLOAD_READ,
        .reply_bytes = read->length,
        .file = read->file,
        .offset = read->offset,
    };
    enqueue(self, r, &upload);
}

static void on_request(struct peer_server *self, const struct request *r)
{
    struct message pong = {.kind = KIND_PONG, .rid = r->message->rid};
    switch (r->message->kind) {
    case KIND_PING:
        send_small(r->effects, r->session->route, &pong);
        break;
    case KIND_LIST:
        on_list(self, r);
        break;
    case KIND_OPEN:
        on_open(self, r);
        break;
    case KIND_HASHES:
        on_hashes(self, r);
        break;
    case KIND_READ:
        on_read(self, r);
        break;
    case KIND_CANCEL:
        upload_queue_cancel(self->queue, r->session->route, r->message->cancel.read_rid);
        peer_server_pump(self, r->effects);
        break;
    case KIND_CLOSE:
        on_close(r);
        break;
    case KIND_OFFER:
        on_offer(self, r);
        break;
    default:
        self->figures.dropped_messages++; /* HAVE: whoever has more of a file makes another OFFER */
    }
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
    struct request request = {session, &message, effects};
    on_request(self, &request);
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
