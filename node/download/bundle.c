/* SPDX-License-Identifier: MIT */
#include "node/download/bundle_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* While READs are under way and a source is idle, how often to look for late ones. */
#define LATE_LOOK_MS 250

void bundle_effects_init(struct bundle_effects *self)
{
    memset(self, 0, sizeof *self);
    msgpack_sbuffer_init(&self->arena);
}

void bundle_effects_clear(struct bundle_effects *self)
{
    self->count = 0;
    msgpack_sbuffer_clear(&self->arena);
}

void bundle_effects_release(struct bundle_effects *self)
{
    free(self->entries);
    msgpack_sbuffer_destroy(&self->arena);
    memset(self, 0, sizeof *self);
}

struct bundle_effect *bundle_emit(struct bundle_effects *effects, enum bundle_effect_kind kind,
                                  uint32_t source)
{
    if (effects->count == effects->capacity) {
        effects->capacity = effects->capacity ? effects->capacity * 2 : 64;
        effects->entries = reallocarray(effects->entries, effects->capacity, sizeof *effects->entries);
        assert(effects->entries);
    }
    struct bundle_effect *effect = &effects->entries[effects->count++];
    *effect = (struct bundle_effect){.kind = kind, .source = source};
    return effect;
}

void bundle_send(struct bundle_effects *effects, uint32_t source, const struct message *message)
{
    struct bundle_effect *effect = bundle_emit(effects, BUNDLE_SEND, source);
    effect->bytes_offset = effects->arena.size;
    message_write(message, &effects->arena);
    effect->bytes_size = effects->arena.size - effect->bytes_offset;
}

uint64_t bundle_next_rid(struct bundle *self, uint32_t slot)
{
    return ++self->serial << BUNDLE_RID_SLOT_BITS | slot;
}

struct bundle *bundle_new(const struct bundle_config *config)
{
    struct bundle *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    for (uint32_t i = 0; i < BUNDLE_SLOTS_MAX; i++)
        self->free_slots[i] = BUNDLE_SLOTS_MAX - 1 - i;
    self->free_count = BUNDLE_SLOTS_MAX;
    return self;
}

void bundle_destroy(struct bundle **self_p)
{
    if (!*self_p)
        return;
    free((*self_p)->files);
    free(*self_p);
    *self_p = NULL;
}

bool bundle_add_file(struct bundle *self, const struct file_id *id, uint32_t size, uint64_t sources)
{
    assert(!self->is_started && size <= BUNDLE_FILE_SIZE_MAX);
    if (self->file_count == BUNDLE_FILES_MAX)
        return false;
    if (self->file_count == self->file_capacity) {
        self->file_capacity = self->file_capacity ? self->file_capacity * 2 : 1024;
        self->files = reallocarray(self->files, self->file_capacity, sizeof *self->files);
        assert(self->files);
    }
    self->files[self->file_count++] = (struct bundle_file){.id = *id, .size = size, .sources = sources};
    return true;
}

void bundle_start(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects)
{
    self->is_started = true;
    self->progress_at_ms = now_ms;
    rate_limit_init(&self->down, self->config.down_rate, now_ms);
    for (uint32_t i = 0; i < self->source_count; i++) {
        self->sources[i].deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
        bundle_emit(effects, BUNDLE_CONNECT, i);
    }
    bundle_lose_orphans(self, effects);
    bundle_schedule(self, now_ms, effects);
}

static void on_error(struct bundle *self, uint32_t index, const struct message *message, uint64_t now_ms,
                     struct bundle_effects *effects)
{
    const struct bundle_source *source = &self->sources[index];
    if (source->state == SOURCE_READY)
        bundle_on_read_error(self, index, message, now_ms, effects);
    else if (message->rid == source->hello_rid && !source->is_put_off)
        bundle_on_hello_error(self, index, message, now_ms, effects);
}

static void dispatch(struct bundle *self, uint32_t source, const struct message *message, size_t payload_size,
                     uint64_t now_ms, struct bundle_effects *effects)
{
    struct message pong = {.kind = KIND_PONG, .rid = message->rid};
    switch (message->kind) {
    case KIND_DATA:
        bundle_on_data(self, source, message, payload_size, now_ms, effects);
        break;
    case KIND_ERROR:
        on_error(self, source, message, now_ms, effects);
        break;
    case KIND_HELLO_OK:
        bundle_on_hello_ok(self, source, message, now_ms, effects);
        break;
    case KIND_BYE:
        bundle_source_ended(self, source, SOURCE_LEFT, "said goodbye", effects);
        break;
    case KIND_PING:
        bundle_send(effects, source, &pong);
        break;
    default: /* what only a pusher is asked, or nobody asked for */
        break;
    }
}

void bundle_on_message(struct bundle *self, uint32_t source, const uint8_t *header, size_t size,
                       size_t frame_count, size_t payload_size, uint64_t now_ms,
                       struct bundle_effects *effects)
{
    assert(source < self->source_count);
    if (self->is_over || !bundle_source_is_alive(&self->sources[source]))
        return;
    struct envelope envelope;
    struct message message;
    enum envelope_result result = envelope_open(&envelope, header, size, RECEIVER_CLIENT, frame_count);
    if (result == ENVELOPE_OK && message_read(&envelope, &message))
        dispatch(self, source, &message, payload_size, now_ms, effects);
    else if (result == ENVELOPE_OK || result == ENVELOPE_BAD)
        bundle_source_ended(self, source, SOURCE_BANNED, "sent a malformed message", effects);
    envelope_close(&envelope);
    bundle_schedule(self, now_ms, effects);
}

/* While something is being stored, or we hold back ourselves, it is not the sources that take their time. */
static uint64_t give_up_at_ms(const struct bundle *self)
{
    bool is_timed = self->config.timeout_ms > 0 && self->storing_count == 0 && !bundle_is_held_back(self);
    return is_timed ? self->progress_at_ms + self->config.timeout_ms : UINT64_MAX;
}

void bundle_tick(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects)
{
    if (self->is_over || !self->is_started)
        return;
    if (now_ms >= give_up_at_ms(self)) {
        self->is_over = true;
        bundle_emit(effects, BUNDLE_FAILED, UINT32_MAX);
        return;
    }
    bundle_check_connecting(self, now_ms, effects);
    bundle_check_stalls(self, now_ms, effects);
    bundle_schedule(self, now_ms, effects);
    if (!self->is_over)
        bundle_move_late_reads(self, now_ms, effects);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t bundle_next_deadline_ms(const struct bundle *self)
{
    if (self->is_over || !self->is_started)
        return UINT64_MAX;
    uint64_t next_ms = give_up_at_ms(self);
    bool has_idle = false, has_reads = false;
    for (uint32_t i = 0; i < self->source_count; i++) {
        const struct bundle_source *source = &self->sources[i];
        if (source->state == SOURCE_CONNECTING)
            next_ms = earlier(next_ms, source->is_put_off ? source->retry_at_ms : source->deadline_ms);
        if (source->state != SOURCE_READY)
            continue;
        if (source->inflight_count > 0)
            next_ms = earlier(next_ms, bundle_stall_at_ms(source));
        if (source->retry_at_ms > self->scheduled_at_ms)
            next_ms = earlier(next_ms, source->retry_at_ms);
        has_reads = has_reads || source->inflight_count > 0;
        has_idle = has_idle || source->inflight_count == 0;
    }
    if (self->is_limited)
        next_ms = earlier(next_ms, rate_limit_ready_ms(&self->down));
    if (has_idle && has_reads)
        next_ms = earlier(next_ms, self->scheduled_at_ms + LATE_LOOK_MS);
    return next_ms;
}

struct bundle_progress bundle_progress(const struct bundle *self)
{
    struct bundle_progress progress = {
        .download = {.saved_bytes = self->saved_bytes,
                     .received_bytes = self->received_bytes,
                     .wasted_bytes = self->wasted_bytes},
        .file_count = self->file_count,
        .stored_count = self->stored_count,
        .lost_count = self->lost_count,
        .refused_count = self->refused_count,
    };
    for (uint32_t i = 0; i < self->source_count; i++)
        progress.download.ready_sources += self->sources[i].state == SOURCE_READY;
    return progress;
}

struct download_source bundle_source_at(const struct bundle *self, uint32_t source)
{
    assert(source < self->source_count);
    const struct bundle_source *s = &self->sources[source];
    return (struct download_source){
        .state = s->state,
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
