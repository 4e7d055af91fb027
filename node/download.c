/* SPDX-License-Identifier: MIT */
#include "node/download_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Also the protocol's smallest allowed window. */
#define WINDOW_BYTES_MAX (16u * 1024 * 1024)

/* One connection attempt to an address in this time: an address we were told may be a victim's. */
#define ADD_AGAIN_MS 30000

/* When an ERROR names no time. */
#define RETRY_DEFAULT_MS 1000

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
    if (self->config.budget_bytes == 0)
        self->config.budget_bytes = DOWNLOAD_BUDGET_BYTES;
    self->layout = layout_of(config->size);
    chunk_map_init(&self->chunks, self->layout.chunk_count);
    chunk_map_init(&self->claims, self->layout.chunk_count);
    self->picker = picker_new(&self->layout, config->is_in_order, config->seed);
    if (self->layout.chunk_log2 > BLOCK_LOG2)
        self->verifier = verifier_new(&self->layout);
    self->layer_source = UINT32_MAX;
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

void download_start(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    self->is_started = true;
    self->progress_at_ms = now_ms;
    if (chunk_map_is_full(&self->chunks)) {
        self->is_over = true;
        download_emit(effects, DOWNLOAD_COMPLETE, UINT32_MAX);
        return;
    }
    download_schedule(self, now_ms, effects);
}

/* Lets go of everything that a source was asked for or holds. */
static void detach(struct download *self, uint32_t index, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    download_release_reads(self, index, false, effects);
    if (self->layer_source == index)
        self->layer_source = UINT32_MAX;
    source->begun_chunk = UINT32_MAX;
    if (source->is_partial) {
        for (uint32_t chunk = 0; chunk < self->layout.chunk_count; chunk++) {
            if (chunk_map_has(&source->chunks, chunk))
                picker_unavailable(self->picker, chunk);
        }
        picker_set_partial_sources(self->picker, --self->partial_count);
        source->is_partial = false;
    }
    chunk_map_release(&source->chunks);
    download_something_changed(self);
}

static void end_source(struct download *self, uint32_t index, enum source_state state, const char *reason,
                       uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    assert(source->state == SOURCE_CONNECTING || source->state == SOURCE_READY);
    detach(self, index, effects);
    source->state = state;
    source->retry_at_ms = now_ms + ADD_AGAIN_MS;
    snprintf(source->reason, sizeof source->reason, "%s", reason);
    download_emit(effects, DOWNLOAD_DISCONNECT, index);
    download_emit(effects, DOWNLOAD_SOURCE, index);
}

void download_source_left(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                          struct download_effects *effects)
{
    end_source(self, source, SOURCE_LEFT, reason, now_ms, effects);
}

void download_source_banned(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                            struct download_effects *effects)
{
    end_source(self, source, SOURCE_BANNED, reason, now_ms, effects);
    uint32_t block;
    while (self->verifier && verifier_drop_source(self->verifier, source, &block)) {
        struct run run = picker_unit_run(self->picker, block, 1);
        self->wasted_bytes += run.length;
        picker_missing(self->picker, &run);
    }
}

void download_ban_culprits(struct download *self, uint64_t culprits, uint64_t now_ms,
                           struct download_effects *effects)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        enum source_state state = self->sources[i].state;
        if (culprits >> i & 1 && (state == SOURCE_CONNECTING || state == SOURCE_READY))
            download_source_banned(self, i, "sent wrong bytes", now_ms, effects);
    }
}

/* A slot for a new source: free, or of one that left long ago and sent nothing that is still being hashed. */
static uint32_t free_slot(const struct download *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        bool was_left = source->state == SOURCE_LEFT && source->retry_at_ms <= now_ms;
        if (source->state == SOURCE_FREE || (was_left && !download_owes_result(self, i)))
            return i;
    }
    return UINT32_MAX;
}

static bool is_known(const struct download *self, const struct optional_node_id *node,
                     const struct host *host, uint16_t port, uint64_t now_ms)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state == SOURCE_FREE || (source->state == SOURCE_LEFT && source->retry_at_ms <= now_ms))
            continue;
        bool is_same_node = node->is_present && source->has_node && node_id_equal(&node->id, &source->node);
        if (is_same_node || (host_equal(host, &source->host) && port == source->port))
            return true;
    }
    return false;
}

void download_add_source(struct download *self, const struct optional_node_id *node, const struct host *host,
                         uint16_t port, uint64_t now_ms, struct download_effects *effects)
{
    bool is_self =
        node->is_present && self->config.node.is_present && node_id_equal(&node->id, &self->config.node.id);
    if (self->is_over || is_self || port == 0 || host_is_unusable(host) ||
        is_known(self, node, host, port, now_ms))
        return;
    uint32_t index = free_slot(self, now_ms);
    if (index == UINT32_MAX)
        return;
    if (self->verifier)
        verifier_forget_source(self->verifier, index);
    self->sources[index] = (struct source){
        .state = SOURCE_CONNECTING,
        .has_node = node->is_present,
        .node = node->id,
        .host = *host,
        .port = port,
        .deadline_ms = now_ms + DOWNLOAD_HELLO_MS,
        .begun_chunk = UINT32_MAX,
    };
    self->was_starved = false;
    download_emit(effects, DOWNLOAD_CONNECT, index);
}

void download_on_connected(struct download *self, uint32_t index, uint64_t now_ms,
                           struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    if (source->state != SOURCE_CONNECTING || self->is_over)
        return;
    source->hello_rid = download_next_rid(self, RID_NO_SLOT);
    struct message hello = {.kind = KIND_HELLO, .rid = source->hello_rid};
    hello.hello.node = self->config.node;
    hello.hello.instance = self->config.instance;
    hello.hello.node_name = text_of(self->config.node_name);
    hello.hello.agent = text_of(self->config.agent);
    hello.hello.expected_node = (struct optional_node_id){source->has_node, source->node};
    download_send(effects, index, &hello);

    /* Messages of one connection keep their order, so OPEN need not wait for HELLO_OK. */
    source->open_rid = download_next_rid(self, RID_NO_SLOT);
    struct message open = {.kind = KIND_OPEN, .rid = source->open_rid};
    open.open.file.is_present = true;
    memcpy(open.open.file.bytes, self->config.id.bytes, sizeof open.open.file.bytes);
    download_send(effects, index, &open);
    source->deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
}

void download_on_lost(struct download *self, uint32_t index, uint64_t now_ms,
                      struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    if (self->is_over || (source->state != SOURCE_CONNECTING && source->state != SOURCE_READY))
        return;
    source->attempts++;
    if (source->attempts >= DOWNLOAD_ATTEMPTS_MAX) {
        bool was_here = source->name[0] != '\0';
        download_source_left(self, index, was_here ? "connection lost" : "cannot be reached", now_ms,
                             effects);
    } else if (source->state == SOURCE_READY) {
        detach(self, index, effects);
        source->state = SOURCE_CONNECTING;
        source->deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
    }
    download_schedule(self, now_ms, effects);
}

static void on_hello_ok(struct download *self, uint32_t index, const struct message *message, uint64_t now_ms,
                        struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_hello_ok *ok = &message->hello_ok;
    if (source->state != SOURCE_CONNECTING || message->rid != source->hello_rid)
        return;
    if (source->has_node && !node_id_equal(&source->node, &ok->node)) {
        download_source_left(self, index, "another node answers at this address", now_ms, effects);
        return;
    }
    if (ok->max_read < BLOCK_SIZE || ok->window_bytes < BLOCK_SIZE) {
        download_source_left(self, index, "allows less than the protocol asks for", now_ms, effects);
        return;
    }
    source->has_node = true;
    source->node = ok->node;
    source->window_max = ok->window_bytes < WINDOW_BYTES_MAX ? ok->window_bytes : WINDOW_BYTES_MAX;
    source->read_max = ok->max_read;
    size_t size = ok->node_name.size < LABEL_SIZE_MAX ? ok->node_name.size : LABEL_SIZE_MAX;
    memcpy(source->name, ok->node_name.bytes, size);
    source->name[size] = '\0';
}

static bool take_chunks(struct download *self, struct source *source, const struct optional_blob *have)
{
    chunk_map_release(&source->chunks);
    if (!have->is_present)
        return true;
    chunk_map_init(&source->chunks, self->layout.chunk_count);
    if (!chunk_map_load(&source->chunks, have->blob))
        return false;
    source->is_partial = true;
    picker_set_partial_sources(self->picker, ++self->partial_count);
    for (uint32_t i = 0; i < self->layout.chunk_count; i++) {
        if (chunk_map_has(&source->chunks, i))
            picker_available(self->picker, i);
    }
    return true;
}

static void on_open_ok(struct download *self, uint32_t index, const struct message *message, uint64_t now_ms,
                       struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_file *ok = &message->open_ok;
    if (source->state != SOURCE_CONNECTING || message->rid != source->open_rid || source->window_max == 0)
        return;
    if (!file_id_equal(&ok->file.id, &self->config.id) || ok->chunk_log2 != self->layout.chunk_log2) {
        download_source_banned(self, index, "describes another file than it was asked for", now_ms, effects);
        return;
    }
    if (!take_chunks(self, source, &ok->have)) {
        download_source_banned(self, index, "sent a wrong list of chunks", now_ms, effects);
        return;
    }
    source->state = SOURCE_READY;
    source->attempts = 0;
    source->retry_at_ms = now_ms;
    meter_init(&source->meter, now_ms);
    download_emit(effects, DOWNLOAD_SOURCE, index);
}

static void on_have(struct download *self, uint32_t index, const struct message *message, uint64_t now_ms,
                    struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_have *have = &message->have;
    if (!source->is_partial || !file_id_equal(&have->file, &self->config.id))
        return;
    for (size_t i = 0; i < have->count; i++) {
        struct chunk_range range = have->ranges[i];
        if (range.first >= self->layout.chunk_count || range.count > self->layout.chunk_count - range.first) {
            download_source_banned(self, index, "holds chunks that the file does not have", now_ms, effects);
            return;
        }
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
        source->retry_at_ms = now_ms + (error->retry_ms ? error->retry_ms : RETRY_DEFAULT_MS);
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
    } else if (source->state == SOURCE_CONNECTING && message->rid == source->hello_rid) {
        bool is_other = message->error.code == ERROR_WRONG_NODE;
        download_source_left(self, index, is_other ? "another node answers at this address" : "refused us",
                             now_ms, effects);
    } else if (source->state == SOURCE_CONNECTING && message->rid == source->open_rid) {
        bool is_gone = message->error.code == ERROR_NOT_FOUND;
        download_source_left(self, index, is_gone ? "does not have the file" : "cannot open the file", now_ms,
                             effects);
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
        on_hello_ok(self, source, message, now_ms, effects);
        break;
    case KIND_OPEN_OK:
        on_open_ok(self, source, message, now_ms, effects);
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
        download_source_left(self, source, "said goodbye", now_ms, effects);
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

static void check_connecting(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state == SOURCE_CONNECTING && source->deadline_ms <= now_ms)
            download_source_left(self, i, "does not answer", now_ms, effects);
    }
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
    check_connecting(self, now_ms, effects);
    download_check_stalls(self, now_ms, effects);
    download_schedule(self, now_ms, effects);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t download_next_deadline_ms(const struct download *self)
{
    uint64_t next_ms = UINT64_MAX;
    if (self->is_over || !self->is_started)
        return next_ms;
    if (self->config.timeout_ms > 0)
        next_ms = self->progress_at_ms + self->config.timeout_ms;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state == SOURCE_CONNECTING)
            next_ms = earlier(next_ms, source->deadline_ms);
        if (source->state != SOURCE_READY)
            continue;
        if (source->inflight_count > 0 || self->layer_source == i)
            next_ms = earlier(next_ms, download_stall_at_ms(self, source));
        if (source->retry_at_ms > self->scheduled_at_ms)
            next_ms = earlier(next_ms, source->retry_at_ms);
    }
    return next_ms;
}
