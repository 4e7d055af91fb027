/* SPDX-License-Identifier: MIT */
#include "node/serve/peer_server_private.h"

#include <stdlib.h>

/* The file may have gone while the request waited for its turn. False when that was answered. */
static bool start_disk_work(struct peer_server *self, struct upload *u, struct peer_effects *effects)
{
    struct holding holding;
    if (!peer_server_find_file(self, effects, u->route, u->rid, &u->file, &holding))
        return false;
    bool is_read = u->kind == UPLOAD_READ;
    struct peer_effect *effect =
        peer_effects_add(effects, is_read ? PEER_READ_CHUNK : PEER_LOAD_HASHES, u->route, u->ticket);
    effect->content = u->content = holding.content;
    effect->offset = u->offset;
    effect->length = u->reply_bytes;
    effect->first = u->first;
    effect->count = u->count;
    return true;
}

/* False when there is no reply that weighs. */
static bool start_list(struct peer_server *self, const struct upload *u, struct peer_effects *effects)
{
    struct session *session = peer_server_session(self, u->route);
    assert(session); /* its queue is dropped with it */
    struct text after = {"", 0};
    uint64_t generation = holdings_generation(self->holdings);
    uint64_t total = UINT64_MAX;
    if (u->cursor != 0) {
        const struct list_place *place = list_cursors_find(&session->cursors, u->cursor);
        if (!place) {
            peer_server_refuse(self, effects, u->route, u->rid, ERROR_BAD_MESSAGE,
                               "this cursor is not known any more", 0);
            return false;
        }
        after = (struct text){place->after, place->after_size};
        if (place->generation == generation)
            total = place->total;
    }
    if (total == UINT64_MAX)
        total = holdings_count(self->holdings, u->prefix);
    struct file_entry *entries = malloc(FILES_MAX * sizeof *entries);
    assert(entries);
    bool has_more;
    size_t count = holdings_page(self->holdings, u->prefix, after, u->limit,
                                 HEADER_SIZE_MAX_PEER - REPLY_OVERHEAD_BYTES, entries, &has_more);
    struct message reply = {
        .kind = KIND_LIST_OK,
        .rid = u->rid,
        .list_ok = {.generation = generation, .total = total, .files = {entries, count}},
    };
    if (has_more)
        reply.list_ok.next_cursor =
            list_cursors_add(&session->cursors, entries[count - 1].name, generation, total);
    const struct peer_effect *effect = peer_effects_send(effects, PEER_SEND, u->route, u->ticket, &reply);
    upload_queue_pay(self->queue, u, effect->header_size);
    upload_queue_answer(self->queue, u->ticket, self->now_ms);
    free(entries);
    return true;
}

void peer_server_pump(struct peer_server *self, struct peer_effects *effects)
{
    struct upload *u;
    while ((u = upload_queue_next(self->queue, self->now_ms))) {
        bool is_started =
            u->kind == UPLOAD_LIST ? start_list(self, u, effects) : start_disk_work(self, u, effects);
        if (!is_started)
            upload_queue_finish(self->queue, u->ticket, self->now_ms);
    }
}

static const struct {
    enum error_code code;
    const char *text;
    uint32_t retry_ms;
} disk_errors[] = {
    [DISK_CHANGED] = {ERROR_CHANGED, "the file changed on disk", 0},
    [DISK_FAILED] = {ERROR_INTERNAL, "the file cannot be read", 0},
    [DISK_HASHING] = {ERROR_BUSY, "the file is being hashed again", PEER_HASHING_RETRY_MS},
};

/* Answers an upload that disk could not serve, if anyone still waits for it. */
static void end_failed(struct peer_server *self, const struct upload *u, enum disk_result result,
                       struct peer_effects *effects)
{
    if (result == DISK_CHANGED)
        peer_effects_add(effects, PEER_CHANGED, 0, 0)->content = u->content;
    if (upload_queue_is_wanted(self->queue, u->ticket))
        peer_server_refuse(self, effects, u->route, u->rid, disk_errors[result].code,
                           disk_errors[result].text, disk_errors[result].retry_ms);
    upload_queue_finish(self->queue, u->ticket, self->now_ms);
    peer_server_pump(self, effects);
}

void peer_server_on_chunk(struct peer_server *self, uint64_t ticket, enum disk_result result, uint64_t now_ms,
                          struct peer_effects *effects)
{
    self->now_ms = now_ms;
    const struct upload *u = upload_queue_find(self->queue, ticket);
    assert(u);
    if (result != DISK_OK) {
        end_failed(self, u, result, effects);
        return;
    }
    if (!upload_queue_is_wanted(self->queue, ticket)) {
        peer_effects_add(effects, PEER_DROP_DATA, u->route, ticket);
        return;
    }
    struct message data = {
        .kind = KIND_DATA,
        .rid = u->rid,
        .data = {.file = u->file, .offset = u->offset, .length = u->reply_bytes},
    };
    struct peer_effect *effect = peer_effects_send(effects, PEER_SEND_DATA, u->route, ticket, &data);
    effect->content = u->content;
    effect->offset = u->offset;
    effect->length = u->reply_bytes;
    upload_queue_answer(self->queue, ticket, self->now_ms);
    self->figures.data_bytes_sent += u->reply_bytes;
}

void peer_server_on_hashes(struct peer_server *self, uint64_t ticket, enum disk_result result,
                           const struct hash *hashes, uint64_t now_ms, struct peer_effects *effects)
{
    self->now_ms = now_ms;
    const struct upload *u = upload_queue_find(self->queue, ticket);
    assert(u);
    if (result != DISK_OK) {
        end_failed(self, u, result, effects);
        return;
    }
    if (!upload_queue_is_wanted(self->queue, ticket)) {
        upload_queue_finish(self->queue, ticket, self->now_ms);
        peer_server_pump(self, effects);
        return;
    }
    struct message reply = {
        .kind = KIND_HASHES_OK,
        .rid = u->rid,
        .hashes_ok = {.file = u->file,
                      .first = u->first,
                      .hashes = {hashes->bytes, u->count * sizeof *hashes}},
    };
    peer_effects_send(effects, PEER_SEND, u->route, ticket, &reply);
    upload_queue_answer(self->queue, ticket, self->now_ms);
}

void peer_server_on_sent(struct peer_server *self, uint64_t ticket, uint64_t now_ms,
                         struct peer_effects *effects)
{
    self->now_ms = now_ms;
    upload_queue_finish(self->queue, ticket, self->now_ms);
    peer_server_pump(self, effects);
}

uint64_t peer_server_wait_ms(const struct peer_server *self, uint32_t route, uint64_t now_ms)
{
    return upload_queue_wait_ms(self->queue, route, now_ms);
}

void peer_server_tick(struct peer_server *self, uint64_t now_ms, struct peer_effects *effects)
{
    uint32_t route;
    int connection;
    self->now_ms = now_ms;
    if (upload_queue_is_held(self->queue))
        peer_server_pump(self, effects);
    if (upload_queue_stalled(self->queue, now_ms, &route, &connection))
        peer_server_disconnect(self, route, connection, effects);
}

uint64_t peer_server_next_deadline_ms(const struct peer_server *self)
{
    if (peer_server_is_idle(self))
        return UINT64_MAX;
    uint64_t next_ms = self->now_ms + PEER_SERVER_TICK_MS;
    uint64_t ready_ms = upload_queue_is_held(self->queue) ? upload_queue_ready_ms(self->queue) : next_ms;
    return ready_ms > self->now_ms && ready_ms < next_ms ? ready_ms : next_ms;
}
