/* SPDX-License-Identifier: MIT */
#include "node/push/pusher_private.h"

#include <stdlib.h>

static void keep_answer(struct pusher *self, struct text words)
{
    free(self->answer);
    self->answer = text_copy(words);
    self->answer_size = words.size;
}

void pusher_got_ahead(struct pusher *self, uint64_t now_ms)
{
    self->progress_ms = now_ms;
    self->reconnect_ms = PUSHER_RECONNECT_MS;
}

static void on_hello_ok(struct pusher *self, const struct message *m, uint64_t now_ms,
                        struct peer_effects *effects)
{
    if (m->rid != self->hello_rid || self->is_greeted)
        return;
    const struct optional_node_id *expected = &self->config.expected_node;
    if (expected->is_present && !node_id_equal(&expected->id, &m->hello_ok.node)) {
        pusher_end(self, PUSHER_WRONG_NODE, effects);
        return;
    }
    self->is_greeted = true;
    if (!self->was_greeted)
        pusher_got_ahead(self, now_ms); /* only once: who comes and goes for ever gets nowhere */
    self->was_greeted = true;
    if (self->state == PUSHER_OFFERING)
        pusher_send_offer(self, effects);
}

static void on_offer_ok(struct pusher *self, const struct message_offer_ok *ok, uint64_t now_ms)
{
    uint32_t chunk_count = self->layout.chunk_count;
    self->state = PUSHER_SERVING;
    self->missing_now = ok->missing < chunk_count ? ok->missing : chunk_count;
    chunk_map_release(&self->since);
    chunk_map_init(&self->since, chunk_count);
    self->since_elsewhere = 0;
    self->active_ms = self->accepted_ms = now_ms;
    if (!self->is_accepted) {
        self->is_accepted = true;
        self->missing_first = self->missing_now;
        pusher_got_ahead(self, now_ms);
    } else if (self->missing_now > chunk_count - self->saved.set_count) {
        /* It has lost what it had confirmed. */
        chunk_map_release(&self->saved);
        chunk_map_init(&self->saved, chunk_count);
        self->saved_offered = self->confirmed_count = 0;
        self->saved_bytes = 0;
    }
}

static void mark_saved(struct pusher *self, uint32_t chunk)
{
    if (!chunk_map_set(&self->saved, chunk) || !chunk_map_has(&self->offered, chunk))
        return;
    self->saved_offered++;
    self->saved_bytes += layout_chunk_length(&self->layout, chunk);
}

static void on_have(struct pusher *self, const struct message *m, uint64_t now_ms)
{
    bool is_asked = m->rid == self->offer_rid || (self->open_rid != 0 && m->rid == self->open_rid);
    if (!is_asked || self->state != PUSHER_SERVING || !file_id_equal(&m->have.file, &self->file.id))
        return;
    uint32_t chunk_count = self->layout.chunk_count;
    uint32_t room = chunk_count; /* each chunk is confirmed once: more is a waste of our time */
    for (size_t i = 0; i < m->have.count; i++) {
        struct chunk_range range = m->have.ranges[i];
        if (range.first >= chunk_count)
            continue;
        if (range.count > chunk_count - range.first)
            range.count = chunk_count - range.first;
        for (uint32_t chunk = range.first; chunk < range.first + range.count && room > 0; chunk++, room--) {
            if (!chunk_map_set(&self->since, chunk))
                continue;
            self->since_elsewhere += !chunk_map_has(&self->offered, chunk);
            if (!chunk_map_has(&self->saved, chunk)) {
                self->confirmed_count++;
                pusher_got_ahead(self, now_ms);
            }
            mark_saved(self, chunk);
            self->active_ms = now_ms;
        }
    }
}

static void on_open_ok(struct pusher *self, const struct message *m)
{
    if (m->rid != self->open_rid || self->open_rid == 0 || self->state != PUSHER_SERVING ||
        !file_id_equal(&m->open_ok.file.id, &self->file.id))
        return;
    struct chunk_map there;
    chunk_map_init(&there, self->layout.chunk_count);
    bool has_all = !m->open_ok.have.is_present;
    if (has_all || chunk_map_load(&there, m->open_ok.have.blob)) {
        for (uint32_t i = 0; i < self->layout.chunk_count; i++) {
            if (has_all || chunk_map_has(&there, i))
                mark_saved(self, i);
        }
    }
    chunk_map_release(&there);
}

static void on_stored(struct pusher *self, const struct message *m, struct peer_effects *effects)
{
    bool is_offered = self->state == PUSHER_OFFERING || self->state == PUSHER_SERVING;
    if (!is_offered || m->rid != self->offer_rid || !file_id_equal(&m->stored.file, &self->file.id))
        return;
    self->is_accepted = true;
    keep_answer(self, m->stored.name);
    pusher_end(self, PUSHER_STORED, effects);
}

static enum pusher_state end_by(uint16_t code)
{
    switch (code) {
    case ERROR_DENIED:
        return PUSHER_DENIED;
    case ERROR_NO_SPACE:
        return PUSHER_NO_SPACE;
    case ERROR_BAD_MESSAGE:
        return PUSHER_DISPUTED;
    case ERROR_WRONG_NODE:
        return PUSHER_WRONG_NODE;
    default:
        return PUSHER_REFUSED;
    }
}

static void on_error(struct pusher *self, const struct message *m, uint64_t now_ms,
                     struct peer_effects *effects)
{
    bool is_greeting = m->rid == self->hello_rid && !self->is_greeted;
    bool is_offer = self->offer_rid != 0 && m->rid == self->offer_rid;
    if (pusher_is_over(self) || (!is_greeting && !is_offer))
        return;
    self->error = m->error.code;
    keep_answer(self, m->error.text);
    uint64_t retry_ms = m->error.retry_ms > PUSHER_RETRY_MS_MIN ? m->error.retry_ms : PUSHER_RETRY_MS_MIN;
    if (retry_ms > PUSHER_RETRY_MS_MAX)
        retry_ms = PUSHER_RETRY_MS_MAX;
    bool is_for_later = m->error.code == ERROR_BUSY || m->error.code == ERROR_LIMIT;
    if (is_offer)
        self->offer_rid = 0; /* this one is over, and needs no CLOSE */
    if (is_offer && self->state == PUSHER_SERVING)
        self->state = PUSHER_OFFERING;
    if (is_offer && m->error.code == ERROR_NOT_JOINED && self->greetings < PUSHER_GREETINGS_MAX) {
        self->is_greeted = false;
        pusher_send_hello(self, effects);
    } else if (is_for_later && is_greeting) {
        self->greet_at_ms = now_ms + retry_ms;
    } else if (is_for_later) {
        self->offer_at_ms = now_ms + retry_ms;
    } else {
        pusher_end(self, end_by(m->error.code), effects);
    }
}

void pusher_on_answer(struct pusher *self, const struct message *m, uint64_t now_ms,
                      struct peer_effects *effects)
{
    switch (m->kind) {
    case KIND_HELLO_OK:
        on_hello_ok(self, m, now_ms, effects);
        break;
    case KIND_OFFER_OK:
        if (self->state == PUSHER_OFFERING && m->rid == self->offer_rid && self->offer_rid != 0 &&
            file_id_equal(&m->offer_ok.file, &self->file.id))
            on_offer_ok(self, &m->offer_ok, now_ms);
        break;
    case KIND_HAVE:
        on_have(self, m, now_ms);
        break;
    case KIND_OPEN_OK:
        on_open_ok(self, m);
        break;
    case KIND_STORED:
        on_stored(self, m, effects);
        break;
    case KIND_ERROR:
        on_error(self, m, now_ms, effects);
        break;
    case KIND_BYE:
        peer_effects_add(effects, PEER_DISCONNECT, self->route, 0)->connection = (int)self->route;
        break;
    default:
        break; /* DATA and the like: nothing that we asked for */
    }
}
