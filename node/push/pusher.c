/* SPDX-License-Identifier: MIT */
#include "node/push/pusher_private.h"

#include "node/serve/upload_queue.h"

#include <stdlib.h>
#include <string.h>

/* Sending. */

static void send_message(struct pusher *self, const struct message *message, struct peer_effects *effects)
{
    peer_effects_send(effects, PEER_SEND, self->route, 0, message);
}

static uint64_t next_rid(struct pusher *self)
{
    return ++self->last_rid;
}

void pusher_send_hello(struct pusher *self, struct peer_effects *effects)
{
    self->greet_at_ms = UINT64_MAX;
    self->greetings++;
    self->hello_rid = next_rid(self);
    struct message hello = {
        .kind = KIND_HELLO,
        .rid = self->hello_rid,
        .hello = {.node = self->config.node,
                  .instance = self->config.instance,
                  .node_name = self->config.node_name,
                  .agent = self->config.agent,
                  .expected_node = self->config.expected_node},
    };
    send_message(self, &hello, effects);
}

void pusher_send_offer(struct pusher *self, struct peer_effects *effects)
{
    self->offer_at_ms = UINT64_MAX;
    self->offer_rid = next_rid(self);
    struct message offer = {
        .kind = KIND_OFFER,
        .rid = self->offer_rid,
        .offer = {.file = self->file, .chunk_log2 = self->layout.chunk_log2},
    };
    if (!chunk_map_is_full(&self->offered))
        offer.offer.have = (struct optional_blob){true, chunk_map_bits(&self->offered)};
    send_message(self, &offer, effects);
}

static void send_open(struct pusher *self, uint64_t now_ms, struct peer_effects *effects)
{
    self->open_rid = next_rid(self);
    self->probed_ms = now_ms;
    struct message open = {.kind = KIND_OPEN, .rid = self->open_rid};
    open.open.file.is_present = true;
    memcpy(open.open.file.bytes, self->file.id.bytes, sizeof self->file.id.bytes);
    send_message(self, &open, effects);
}

/* The ends. */

bool pusher_is_over(const struct pusher *self)
{
    return self->state == PUSHER_IDLE || self->state >= PUSHER_STORED;
}

void pusher_end(struct pusher *self, enum pusher_state state, struct peer_effects *effects)
{
    bool is_known_there = self->is_connected && self->offer_rid != 0 && state != PUSHER_STORED;
    if (is_known_there) {
        struct message close = {.kind = KIND_CLOSE, .rid = next_rid(self), .close = {self->file.id}};
        send_message(self, &close, effects);
    }
    holdings_remove_partial(self->holdings, self->handle);
    self->state = state;
    self->offer_rid = self->open_rid = 0;
    self->offer_at_ms = UINT64_MAX;
}

void pusher_withdraw(struct pusher *self, struct peer_effects *effects)
{
    if (!pusher_is_over(self))
        pusher_end(self, PUSHER_WITHDRAWN, effects);
}

/* The connection. */

bool pusher_must_connect(struct pusher *self, uint64_t now_ms)
{
    if (self->is_connecting || self->is_connected || pusher_is_over(self) || now_ms < self->connect_at_ms)
        return false;
    self->is_connecting = true;
    return true;
}

void pusher_on_connected(struct pusher *self, uint32_t route, uint64_t now_ms, struct peer_effects *effects)
{
    assert(!self->is_connected);
    self->is_connecting = false;
    self->is_connected = self->was_connected = true;
    self->route = route;
    self->greetings = 0;
    peer_server_admit(self->server, route, (int)route, now_ms);
    pusher_send_hello(self, effects);
}

void pusher_on_lost(struct pusher *self, uint64_t now_ms, struct peer_effects *effects)
{
    if (self->is_connected)
        peer_server_on_route_lost(self->server, self->route, effects);
    self->is_connected = self->is_connecting = self->is_greeted = false;
    self->hello_rid = self->offer_rid = self->open_rid = 0;
    self->greet_at_ms = self->offer_at_ms = UINT64_MAX;
    self->connect_at_ms = now_ms + self->reconnect_ms;
    self->reconnect_ms *= 2;
    if (self->reconnect_ms > PUSHER_RECONNECT_MS_MAX)
        self->reconnect_ms = PUSHER_RECONNECT_MS_MAX;
    if (self->state == PUSHER_SERVING)
        self->state = PUSHER_OFFERING;
}

/* Time. */

static uint32_t left_count(const struct pusher *self)
{
    return self->missing_now > self->since.set_count ? self->missing_now - self->since.set_count : 0;
}

/* What it lacks may all be what we do not offer; then only asking tells. */
static bool may_be_saved(const struct pusher *self)
{
    uint32_t elsewhere = self->layout.chunk_count - self->offered.set_count - self->since_elsewhere;
    return left_count(self) <= elsewhere;
}

/* When a push of a part is over, or may be; UINT64_MAX for never. */
static uint64_t part_ends_ms(const struct pusher *self)
{
    if (self->state != PUSHER_SERVING || chunk_map_is_full(&self->offered))
        return UINT64_MAX;
    uint64_t quiet_ms = self->active_ms > self->accepted_ms ? self->active_ms : self->accepted_ms;
    if (left_count(self) == 0) /* the file is whole there: STORED follows */
        return quiet_ms + PUSHER_STORED_MS;
    return self->saved_offered == self->offered.set_count ? 0 : UINT64_MAX;
}

static uint64_t probe_at_ms(const struct pusher *self)
{
    if (self->state != PUSHER_SERVING || chunk_map_is_full(&self->offered) || left_count(self) == 0 ||
        !may_be_saved(self) || !peer_server_is_idle(self->server))
        return UINT64_MAX;
    uint64_t quiet_ms = self->active_ms + PUSHER_QUIET_MS;
    uint64_t again_ms = self->open_rid != 0 ? self->probed_ms + PUSHER_PROBE_MS : 0;
    return quiet_ms > again_ms ? quiet_ms : again_ms;
}

static uint64_t give_up_ms(const struct pusher *self)
{
    uint64_t timeout_ms = self->config.timeout_ms;
    if (pusher_is_over(self))
        return UINT64_MAX;
    if (!self->was_connected)
        return self->begun_ms + (timeout_ms < PUSHER_CONNECT_MS_MAX ? timeout_ms : PUSHER_CONNECT_MS_MAX);
    return self->state == PUSHER_PREPARING ? UINT64_MAX : self->progress_ms + timeout_ms;
}

void pusher_tick(struct pusher *self, uint64_t now_ms, struct peer_effects *effects)
{
    if (now_ms >= part_ends_ms(self))
        pusher_end(self, PUSHER_SAVED, effects);
    if (now_ms >= give_up_ms(self))
        pusher_end(self, self->was_connected ? PUSHER_TIMED_OUT : PUSHER_UNREACHABLE, effects);
    if (now_ms >= self->greet_at_ms)
        pusher_send_hello(self, effects);
    if (now_ms >= self->offer_at_ms)
        pusher_send_offer(self, effects);
    if (now_ms >= probe_at_ms(self))
        send_open(self, now_ms, effects);
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t pusher_next_deadline_ms(const struct pusher *self)
{
    uint64_t next_ms = least(least(part_ends_ms(self), give_up_ms(self)),
                             least(least(self->greet_at_ms, self->offer_at_ms), probe_at_ms(self)));
    bool must_connect = !self->is_connecting && !self->is_connected && !pusher_is_over(self);
    return must_connect ? least(next_ms, self->connect_at_ms) : next_ms;
}

/* Messages. */

/* With --up, what would not be answered before the node loses patience is refused while it has some. */
static bool is_put_off(struct pusher *self, const struct message *m, uint64_t now_ms,
                       struct peer_effects *effects)
{
    uint64_t wait_ms = peer_server_wait_ms(self->server, self->route, now_ms);
    if (m->kind != KIND_READ || wait_ms <= PUSHER_WAIT_MS_MAX)
        return false;
    uint64_t retry_ms = wait_ms - PUSHER_WAIT_MS_MAX / 2;
    struct message busy =
        message_error(m->rid, ERROR_BUSY, "the pusher's rate is limited",
                      retry_ms < PUSHER_RETRY_MS_MAX ? (uint32_t)retry_ms : PUSHER_RETRY_MS_MAX);
    send_message(self, &busy, effects);
    return true;
}

/* False when it is none that a node may make of a pusher: then it is an answer. */
static bool is_request(uint64_t kind)
{
    return kind == KIND_READ || kind == KIND_HASHES || kind == KIND_CANCEL || kind == KIND_PING;
}

static void refuse(struct pusher *self, const struct envelope *envelope, enum envelope_result result,
                   struct peer_effects *effects)
{
    enum error_code code = ERROR_UNSUPPORTED;
    const char *text = "not a kind that a pusher serves";
    if (result == ENVELOPE_UNASKED || envelope->is_never_answered)
        return;
    if (result == ENVELOPE_VERSION)
        text = "speaks 1";
    else if (result != ENVELOPE_UNSUPPORTED) {
        code = ERROR_BAD_MESSAGE;
        text = "malformed";
    }
    struct message error = message_error(envelope->rid, code, text, 0);
    send_message(self, &error, effects);
}

void pusher_on_message(struct pusher *self, const uint8_t *header, size_t size, size_t frame_count,
                       uint64_t now_ms, struct peer_effects *effects)
{
    if (!self->is_connected)
        return;
    struct envelope envelope;
    struct message message;
    enum envelope_result result = envelope_open(&envelope, header, size, RECEIVER_CLIENT, frame_count);
    if (result != ENVELOPE_OK || !message_read(&envelope, &message)) {
        refuse(self, &envelope, result, effects);
    } else if (!is_request(message.kind)) {
        pusher_on_answer(self, &message, now_ms, effects);
    } else if (!is_put_off(self, &message, now_ms, effects)) {
        self->active_ms = now_ms;
        peer_server_on_message(self->server, self->route, (int)self->route, header, size, frame_count, now_ms,
                               effects);
    }
    envelope_close(&envelope);
}

void pusher_on_sent(struct pusher *self, uint64_t handle, uint64_t offset, uint32_t length, uint64_t now_ms)
{
    if (self->state != PUSHER_SERVING || handle != self->handle)
        return;
    uint32_t first = (uint32_t)(offset >> self->layout.chunk_log2);
    uint32_t last = (uint32_t)((offset + length - 1) >> self->layout.chunk_log2);
    for (uint32_t chunk = first; chunk <= last; chunk++)
        chunk_map_set(&self->sent, chunk);
    self->sent_bytes += length;
    self->active_ms = now_ms;
    /* Who asks for the same again and again does not get ahead by it for ever. */
    if (self->sent_bytes / 2 <= self->offered_bytes + UPLOAD_WINDOW_BYTES)
        pusher_got_ahead(self, now_ms);
}

/* Life. */

struct pusher *pusher_new(const struct pusher_config *config, struct peer_server *server,
                          struct holdings *holdings)
{
    struct pusher *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->server = server;
    self->holdings = holdings;
    self->reconnect_ms = PUSHER_RECONNECT_MS;
    self->greet_at_ms = self->offer_at_ms = UINT64_MAX;
    return self;
}

static void release_offer(struct pusher *self)
{
    free(self->name);
    chunk_map_release(&self->offered);
    chunk_map_release(&self->saved);
    chunk_map_release(&self->since);
    chunk_map_release(&self->sent);
    self->name = NULL;
}

void pusher_destroy(struct pusher **self_p)
{
    struct pusher *self = *self_p;
    if (!self)
        return;
    release_offer(self);
    free(self->answer);
    free(self);
    *self_p = NULL;
}

void pusher_begin(struct pusher *self, uint64_t now_ms)
{
    assert(pusher_is_over(self));
    self->state = PUSHER_PREPARING;
    self->begun_ms = self->progress_ms = now_ms;
    self->error = 0;
    free(self->answer);
    self->answer = NULL;
    self->is_accepted = false;
    if (self->is_connected && !self->is_greeted)
        self->greet_at_ms = now_ms; /* it was refused, for an earlier file */
}

void pusher_offer(struct pusher *self, uint64_t handle, const struct file_entry *file, const uint8_t *have,
                  uint64_t now_ms, struct peer_effects *effects)
{
    if (self->state != PUSHER_PREPARING)
        return; /* it has ended meanwhile */
    release_offer(self);
    self->handle = handle;
    self->file = *file;
    self->name = text_copy(file->name);
    self->file.name.bytes = self->name;
    self->layout = layout_of(file->size);
    uint32_t chunk_count = self->layout.chunk_count;
    struct chunk_map *maps[] = {&self->offered, &self->saved, &self->since, &self->sent};
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++)
        chunk_map_init(maps[i], chunk_count);
    self->offered_bytes = self->saved_bytes = self->sent_bytes = 0;
    self->saved_offered = self->confirmed_count = self->missing_first = self->missing_now = 0;
    for (uint32_t i = 0; i < chunk_count; i++) {
        if (have && !(have[i / 8] & 0x80 >> i % 8))
            continue;
        chunk_map_set(&self->offered, i);
        self->offered_bytes += layout_chunk_length(&self->layout, i);
    }
    self->file.have_permille = chunk_map_permille(&self->offered);
    assert(chunk_count == 0 || self->offered.set_count > 0);
    bool is_held =
        holdings_add_partial(self->holdings, handle, &self->file, chunk_map_bits(&self->offered).bytes);
    assert(is_held || chunk_count == 0);
    self->state = PUSHER_OFFERING;
    self->progress_ms = now_ms;
    if (self->is_greeted)
        pusher_send_offer(self, effects);
}

enum pusher_state pusher_state(const struct pusher *self)
{
    return self->state;
}

struct pusher_progress pusher_progress(const struct pusher *self)
{
    return (struct pusher_progress){
        .is_connected = self->is_greeted,
        .is_accepted = self->is_accepted,
        .offered_count = self->offered.set_count,
        .missing_count = self->missing_first,
        .saved_count = self->confirmed_count,
        .sent_count = self->sent.set_count,
        .offered_bytes = self->offered_bytes,
        .sent_bytes = self->sent_bytes,
        .saved_bytes = self->saved_bytes,
    };
}

struct text pusher_answer(const struct pusher *self)
{
    return self->answer ? (struct text){self->answer, self->answer_size} : text_of("");
}

uint16_t pusher_error(const struct pusher *self)
{
    return self->error;
}
