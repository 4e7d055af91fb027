/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void download_effects_init(struct download_effects *self)
{
    *self = (struct download_effects){0};
    msgpack_sbuffer_init(&self->arena);
}

void download_effects_clear(struct download_effects *self)
{
    self->count = 0;
    msgpack_sbuffer_clear(&self->arena);
}

void download_effects_release(struct download_effects *self)
{
    free(self->entries);
    msgpack_sbuffer_destroy(&self->arena);
    *self = (struct download_effects){0};
}

struct download_effect *download_emit(struct download_effects *effects, enum download_effect_kind kind,
                                      uint32_t source)
{
    if (effects->count == effects->capacity) {
        assert(effects->capacity < DOWNLOAD_EFFECTS_MAX);
        effects->capacity = effects->capacity ? effects->capacity * 2 : 64;
        effects->entries = realloc(effects->entries, effects->capacity * sizeof *effects->entries);
        assert(effects->entries);
    }
    struct download_effect *effect = &effects->entries[effects->count++];
    *effect = (struct download_effect){.kind = kind, .source = source};
    return effect;
}

void download_send(struct download_effects *effects, uint32_t source, const struct message *message)
{
    size_t offset = effects->arena.size;
    message_write(message, &effects->arena);
    struct download_effect *effect = download_emit(effects, DOWNLOAD_SEND, source);
    effect->bytes_offset = offset;
    effect->bytes_size = effects->arena.size - offset;
}

uint64_t download_next_rid(struct download *self, uint32_t slot)
{
    return ++self->serial << RID_SLOT_BITS | slot;
}

struct download *download_new(const struct download_config *config, uint64_t now_ms)
{
    assert(config->size <= FILE_SIZE_MAX);
    struct download *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->serial = config->seed >> (RID_SLOT_BITS + 1);
    self->pushers_due_ms = UINT64_MAX;
    if (self->config.budget_bytes == 0)
        self->config.budget_bytes = DOWNLOAD_BUDGET_BYTES;
    assert(self->config.budget_bytes >= DOWNLOAD_BUDGET_MIN);
    self->layout = layout_of(config->size);
    chunk_map_init(&self->chunks, self->layout.chunk_count);
    chunk_map_init(&self->claims, self->layout.chunk_count);
    self->picker = picker_new(&self->layout, config->is_in_order, config->seed);
    if (self->layout.chunk_log2 > BLOCK_LOG2)
        self->verifier = verifier_new(&self->layout);
    self->layer_source = UINT32_MAX;
    download_choose_chunks(self);
    rate_limit_init(&self->down, config->down_rate, now_ms);
    self->progress_at_ms = now_ms;
    return self;
}

void download_destroy(struct download **self_p)
{
    struct download *self = *self_p;
    if (!self)
        return;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        chunk_map_release(&self->sources[i].chunks);
    chunk_map_release(&self->chunks);
    chunk_map_release(&self->claims);
    picker_destroy(&self->picker);
    verifier_destroy(&self->verifier);
    free(self->layer);
    free(self);
    *self_p = NULL;
}

void download_set_share(struct download *self, uint64_t budget_bytes, uint64_t down_rate, uint64_t now_ms)
{
    assert(budget_bytes >= DOWNLOAD_BUDGET_MIN);
    self->config.budget_bytes = budget_bytes;
    rate_limit_set(&self->down, down_rate, now_ms);
}

const struct layout *download_layout(const struct download *self)
{
    return &self->layout;
}

const struct chunk_map *download_chunks(const struct download *self)
{
    return &self->chunks;
}

struct download_progress download_progress(const struct download *self)
{
    struct download_progress progress = {
        .saved_bytes = self->saved_bytes,
        .received_bytes = self->received_bytes,
        .wasted_bytes = self->wasted_bytes,
    };
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        progress.ready_sources += self->sources[i].state == SOURCE_READY;
    return progress;
}

struct download_source download_source_at(const struct download *self, uint32_t source)
{
    assert(source < DOWNLOAD_SOURCES_MAX);
    const struct source *s = &self->sources[source];
    return (struct download_source){
        .state = s->state,
        .is_pusher = s->is_pusher,
        .is_silent = s->is_silent,
        .has_node = s->has_node,
        .node = s->node,
        .host = s->host,
        .port = s->port,
        .name = s->name,
        .reason = s->reason,
        .received_bytes = s->received_bytes,
        .rate = s->meter.rate,
        .inflight_bytes = s->inflight_bytes,
    };
}

void download_go_on(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    if (self->lacking_count == 0) {
        self->is_over = true;
        download_emit(effects, DOWNLOAD_COMPLETE, UINT32_MAX);
        return;
    }
    download_schedule(self, now_ms, effects);
}

void download_start(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    self->is_started = true;
    self->progress_at_ms = now_ms;
    download_go_on(self, now_ms, effects);
}

static void on_have(struct download *self, uint32_t index, const struct message *message, uint64_t now_ms,
                    struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_have *have = &message->have;
    if (!source->is_partial || !file_id_equal(&have->file, &self->config.id))
        return;
    uint32_t left = self->layout.chunk_count; /* no chunk twice: many long ranges would cost too much */
    for (size_t i = 0; i < have->count; i++) {
        struct chunk_range range = have->ranges[i];
        if (range.first >= self->layout.chunk_count || range.count > self->layout.chunk_count - range.first ||
            range.count > left) {
            download_source_banned(self, index, "holds chunks that the file does not have", now_ms, effects);
            return;
        }
        left -= range.count;
        for (uint32_t k = range.first; k < range.first + range.count; k++) {
            if (chunk_map_set(&source->chunks, k))
                picker_available(self->picker, k);
        }
    }
    source->has_nothing = false;
}

/* What an ERROR to a READ, or to HASHES (then `run` is NULL), means for the source that sent it. */
static void on_request_error(struct download *self, uint32_t index, const struct message *message,
                             const struct run *run, uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_error *error = &message->error;
    switch (error->code) {
    case ERROR_BUSY:
    case ERROR_LIMIT:
        source->retry_at_ms = download_retry_at_ms(error, now_ms);
        break;
    case ERROR_BAD_RANGE:
        if (run && source->is_partial) { /* it lost chunks that it had; the others may still be there */
            for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++) {
                uint32_t chunk = picker_chunk_of_unit(self->picker, i);
                if (chunk_map_clear(&source->chunks, chunk))
                    picker_unavailable(self->picker, chunk);
            }
            break;
        }
        download_source_left(self, index, "refused a range of the file", now_ms, effects);
        break;
    case ERROR_CHANGED:
        download_source_left(self, index, "the file changed there", now_ms, effects);
        break;
    case ERROR_NOT_FOUND:
        download_source_left(self, index, "no longer has the file", now_ms, effects);
        break;
    default: {
        char reason[SOURCE_REASON_SIZE];
        snprintf(reason, sizeof reason, "error %s", error_name(error->code));
        download_source_left(self, index, reason, now_ms, effects);
    }
    }
}

static void on_error(struct download *self, uint32_t index, const struct message *message, uint64_t now_ms,
                     struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    struct run run;
    if (download_read_refused(self, index, message->rid, &run)) {
        on_request_error(self, index, message, &run, now_ms, effects);
    } else if (source->layer_rid != 0 && message->rid == source->layer_rid) {
        download_layer_refused(self, index);
        on_request_error(self, index, message, NULL, now_ms, effects);
    } else if (source->state == SOURCE_CONNECTING && !source->is_put_off &&
               (message->rid == source->hello_rid || message->rid == source->open_rid)) {
        download_on_greeting_error(self, index, message, now_ms, effects);
    }
}

static void answer_ping(uint32_t source, uint64_t rid, struct download_effects *effects)
{
    struct message pong = {.kind = KIND_PONG, .rid = rid};
    download_send(effects, source, &pong);
}

static void dispatch(struct download *self, uint32_t source, const struct message *message,
                     size_t payload_size, uint64_t now_ms, struct download_effects *effects)
{
    switch (message->kind) {
    case KIND_HELLO_OK:
        download_on_hello_ok(self, source, message, now_ms, effects);
        break;
    case KIND_OPEN_OK:
        download_on_open_ok(self, source, message, now_ms, effects);
        break;
    case KIND_HASHES_OK:
        download_on_hashes(self, source, message, now_ms, effects);
        break;
    case KIND_DATA:
        download_on_data(self, source, message, payload_size, now_ms, effects);
        break;
    case KIND_HAVE:
        on_have(self, source, message, now_ms, effects);
        break;
    case KIND_ERROR:
        on_error(self, source, message, now_ms, effects);
        break;
    case KIND_BYE:
        download_source_gone(self, source, "said goodbye", now_ms, effects);
        break;
    case KIND_PING:
        answer_ping(source, message->rid, effects);
        break;
    default: /* what only a pusher is asked, or nobody asked for */
        break;
    }
}

void download_on_message(struct download *self, uint32_t source, const uint8_t *header, size_t size,
                         size_t frame_count, size_t payload_size, uint64_t now_ms,
                         struct download_effects *effects)
{
    assert(source < DOWNLOAD_SOURCES_MAX);
    enum source_state state = self->sources[source].state;
    if (self->is_over || (state != SOURCE_CONNECTING && state != SOURCE_READY))
        return;
    struct envelope envelope;
    struct message message;
    enum envelope_result result = envelope_open(&envelope, header, size, RECEIVER_CLIENT, frame_count);
    if (result == ENVELOPE_OK && message_read(&envelope, &message))
        dispatch(self, source, &message, payload_size, now_ms, effects);
    else if (result == ENVELOPE_OK || result == ENVELOPE_BAD)
        download_source_banned(self, source, "sent a malformed message", now_ms, effects);
    envelope_close(&envelope);
    download_schedule(self, now_ms, effects);
}

void download_tick(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    if (self->is_over || !self->is_started)
        return;
    if (self->config.timeout_ms > 0 && now_ms - self->progress_at_ms >= self->config.timeout_ms) {
        self->is_over = true;
        download_emit(effects, DOWNLOAD_FAILED, UINT32_MAX);
        return;
    }
    download_check_connecting(self, now_ms, effects);
    download_check_pushers(self, now_ms, effects);
    download_check_stalls(self, now_ms, effects);
    download_schedule(self, now_ms, effects);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t download_next_deadline_ms(const struct download *self)
{
    if (self->is_over || !self->is_started)
        return UINT64_MAX;
    uint64_t next_ms = download_endgame_look_at_ms(self);
    if (self->is_limited)
        next_ms = earlier(next_ms, rate_limit_ready_ms(&self->down));
    if (self->config.timeout_ms > 0)
        next_ms = earlier(next_ms, self->progress_at_ms + self->config.timeout_ms);
    next_ms = earlier(next_ms, self->pushers_due_ms);
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state == SOURCE_CONNECTING)
            next_ms = earlier(next_ms, source->is_put_off ? source->retry_at_ms : source->deadline_ms);
        if (source->state != SOURCE_READY)
            continue;
        if (source->inflight_count > 0 || self->layer_source == i)
            next_ms = earlier(next_ms, download_stall_at_ms(source));
        if (source->retry_at_ms > self->scheduled_at_ms)
            next_ms = earlier(next_ms, source->retry_at_ms);
    }
    return next_ms;
}
