/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Also the protocol's smallest allowed window. */
#define WINDOW_BYTES_MAX (16u * 1024 * 1024)

/* One connection attempt to an address in this time: an address we were told may be a victim's. */
#define ADD_AGAIN_MS 30000

/* One that has delivered is no victim, and a restart takes no longer. */
#define COME_BACK_MS 1000

/* When an ERROR names no time. */
#define RETRY_DEFAULT_MS 1000

/* A source that says "in 1 ms" for ever must not keep us busy. */
#define RETRY_MIN_MS 20

uint64_t download_retry_at_ms(const struct message_error *error, uint64_t now_ms)
{
    uint64_t wait_ms = error->retry_ms ? error->retry_ms : RETRY_DEFAULT_MS;
    return now_ms + (wait_ms > RETRY_MIN_MS ? wait_ms : RETRY_MIN_MS);
}

/* Lets go of everything that a source was asked for or holds. */
static void detach(struct download *self, uint32_t index)
{
    struct source *source = &self->sources[index];
    download_release_reads(self, index);
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
    detach(self, index);
    source->state = state;
    source->retry_at_ms = now_ms + (source->is_pusher ? 0 : ADD_AGAIN_MS);
    snprintf(source->reason, sizeof source->reason, "%s", reason);
    download_emit(effects, DOWNLOAD_DISCONNECT, index);
    if (state == SOURCE_BANNED || !source->is_told_gone)
        download_emit(effects, DOWNLOAD_SOURCE, index);
}

void download_source_left(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                          struct download_effects *effects)
{
    end_source(self, source, SOURCE_LEFT, reason, now_ms, effects);
}

void download_source_gone(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                          struct download_effects *effects)
{
    end_source(self, source, SOURCE_LEFT, reason, now_ms, effects);
    if (self->sources[source].received_bytes > 0)
        self->sources[source].retry_at_ms = now_ms + COME_BACK_MS;
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

uint32_t download_free_slot(const struct download *self, uint64_t now_ms)
{
    uint32_t useless = UINT32_MAX; /* left longest ago of those that gave nothing */
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        bool is_over = source->state == SOURCE_LEFT || (source->state == SOURCE_BANNED && source->is_pusher);
        bool was_left = is_over && source->retry_at_ms <= now_ms;
        if (source->state == SOURCE_FREE || (was_left && !download_owes_result(self, i)))
            return i;
        bool is_useless =
            source->state == SOURCE_LEFT && source->received_bytes == 0 && !download_owes_result(self, i);
        if (is_useless && (useless == UINT32_MAX || source->retry_at_ms < self->sources[useless].retry_at_ms))
            useless = i;
    }
    return useless;
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
    uint32_t index = download_free_slot(self, now_ms);
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
    source->is_put_off = false;
    source->hello_rid = download_next_rid(self, RID_NO_SLOT);
    struct message hello = {.kind = KIND_HELLO, .rid = source->hello_rid};
    hello.hello.node = self->config.node;
    hello.hello.instance = self->config.instance;
    hello.hello.node_name = text_of(self->config.node_name);
    hello.hello.agent = text_of(self->config.agent);
    hello.hello.expected_node = (struct optional_node_id){source->has_node, source->node};
    download_send(effects, index, &hello);

    /* Messages of one connection keep their order, so nothing need wait for HELLO_OK. */
    source->open_rid = download_next_rid(self, RID_NO_SLOT);
    struct message open = {.kind = KIND_OPEN, .rid = source->open_rid};
    open.open.file.is_present = true;
    memcpy(open.open.file.bytes, self->config.id.bytes, sizeof open.open.file.bytes);
    download_send(effects, index, &open);
    download_ask_layer_early(self, index, now_ms, effects);
    source->deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
}

void download_on_lost(struct download *self, uint32_t index, uint64_t now_ms,
                      struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    if (self->is_over || (source->state != SOURCE_CONNECTING && source->state != SOURCE_READY))
        return;
    source->attempts++;
    source->is_put_off = false;
    if (source->attempts >= DOWNLOAD_ATTEMPTS_MAX) {
        bool was_here = source->name[0] != '\0';
        download_source_gone(self, index, was_here ? "connection lost" : "cannot be reached", now_ms,
                             effects);
    } else if (source->state == SOURCE_READY) {
        detach(self, index);
        source->state = SOURCE_CONNECTING;
        source->window_max = 0; /* until the next HELLO_OK */
        source->deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
        source->is_told_gone = true;
        snprintf(source->reason, sizeof source->reason, "connection lost");
        download_emit(effects, DOWNLOAD_SOURCE, index);
    }
    download_schedule(self, now_ms, effects);
}

void download_on_hello_ok(struct download *self, uint32_t index, const struct message *message,
                          uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_hello_ok *ok = &message->hello_ok;
    if (source->state != SOURCE_CONNECTING || message->rid != source->hello_rid)
        return;
    if (self->config.node.is_present && node_id_equal(&self->config.node.id, &ok->node)) {
        download_source_left(self, index, "is this very program", now_ms, effects);
        return;
    }
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

bool download_take_chunks(struct download *self, struct source *source, const struct optional_blob *have)
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

void download_on_open_ok(struct download *self, uint32_t index, const struct message *message,
                         uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_file *ok = &message->open_ok;
    if (source->state != SOURCE_CONNECTING || message->rid != source->open_rid || source->window_max == 0)
        return;
    if (!file_id_equal(&ok->file.id, &self->config.id) || ok->chunk_log2 != self->layout.chunk_log2) {
        download_source_banned(self, index, "describes another file than it was asked for", now_ms, effects);
        return;
    }
    if (!download_take_chunks(self, source, &ok->have)) {
        download_source_banned(self, index, "sent a wrong list of chunks", now_ms, effects);
        return;
    }
    source->state = SOURCE_READY;
    source->is_told_gone = false;
    source->attempts = 0;
    source->retry_at_ms = now_ms;
    meter_init(&source->meter, now_ms);
    download_emit(effects, DOWNLOAD_SOURCE, index);
}

/* What an ERROR to HELLO or OPEN means. */
void download_on_greeting_error(struct download *self, uint32_t index, const struct message *message,
                                uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    switch (message->error.code) {
    case ERROR_BUSY:
    case ERROR_LIMIT: /* a node that has just begun may not know all its files yet */
        source->is_put_off = true;
        source->retry_at_ms = download_retry_at_ms(&message->error, now_ms);
        source->deadline_ms = source->retry_at_ms + DOWNLOAD_HELLO_MS;
        break;
    case ERROR_WRONG_NODE:
        download_source_left(self, index, "another node answers at this address", now_ms, effects);
        break;
    case ERROR_NOT_FOUND:
        download_source_left(self, index, "does not have the file", now_ms, effects);
        break;
    default: {
        char reason[SOURCE_REASON_SIZE];
        snprintf(reason, sizeof reason, "refused us: %s", error_name(message->error.code));
        download_source_left(self, index, reason, now_ms, effects);
    }
    }
}

void download_check_connecting(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state != SOURCE_CONNECTING)
            continue;
        if (source->deadline_ms <= now_ms)
            download_source_left(self, i, "does not answer", now_ms, effects);
        else if (source->is_put_off && source->retry_at_ms <= now_ms)
            download_on_connected(self, i, now_ms, effects);
    }
}
