/* SPDX-License-Identifier: MIT */
#include "node/download/bundle_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Also the protocol's smallest allowed window. */
#define WINDOW_BYTES_MAX (16u * 1024 * 1024)

/* When an ERROR names no time. */
#define RETRY_DEFAULT_MS 1000

uint64_t bundle_retry_at_ms(const struct message_error *error, uint64_t now_ms)
{
    return now_ms + (error->retry_ms ? error->retry_ms : RETRY_DEFAULT_MS);
}

bool bundle_source_is_alive(const struct bundle_source *source)
{
    return source->state == SOURCE_CONNECTING || source->state == SOURCE_READY;
}

uint32_t bundle_add_source(struct bundle *self, const struct optional_node_id *node, const struct host *host,
                           uint16_t port)
{
    assert(!self->is_started);
    if (self->source_count == BUNDLE_SOURCES_MAX || port == 0 || host_is_unusable(host))
        return UINT32_MAX;
    self->sources[self->source_count] = (struct bundle_source){
        .state = SOURCE_CONNECTING,
        .has_node = node->is_present,
        .node = node->id,
        .host = *host,
        .port = port,
        .slots_max = BUNDLE_SOURCE_SLOTS_MAX,
    };
    return self->source_count++;
}

void bundle_source_ended(struct bundle *self, uint32_t index, enum source_state state, const char *reason,
                         struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    assert(bundle_source_is_alive(source));
    source->state = state;
    snprintf(source->reason, sizeof source->reason, "%s", reason);
    bundle_emit(effects, BUNDLE_DISCONNECT, index);
    bundle_emit(effects, BUNDLE_SOURCE, index);
    bundle_release_reads(self, index, false, effects);
    bundle_lose_orphans(self, effects);
}

void bundle_on_connected(struct bundle *self, uint32_t index, uint64_t now_ms, struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    if (source->state != SOURCE_CONNECTING || self->is_over)
        return;
    source->is_put_off = false;
    source->hello_rid = bundle_next_rid(self, BUNDLE_RID_NO_SLOT);
    source->deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
    struct message hello = {.kind = KIND_HELLO, .rid = source->hello_rid};
    hello.hello.instance = self->config.instance;
    hello.hello.node_name = text_of("");
    hello.hello.agent = text_of(self->config.agent);
    hello.hello.expected_node = (struct optional_node_id){source->has_node, source->node};
    bundle_send(effects, index, &hello);
}

void bundle_on_lost(struct bundle *self, uint32_t index, uint64_t now_ms, struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    if (self->is_over || !bundle_source_is_alive(source))
        return;
    source->attempts++;
    source->is_put_off = false;
    if (source->attempts >= DOWNLOAD_ATTEMPTS_MAX) {
        bool was_here = source->name[0] != '\0';
        bundle_source_ended(self, index, SOURCE_LEFT, was_here ? "connection lost" : "cannot be reached",
                            effects);
    } else if (source->state == SOURCE_READY) {
        source->state = SOURCE_CONNECTING;
        source->deadline_ms = now_ms + DOWNLOAD_HELLO_MS;
        bundle_release_reads(self, index, false, effects);
    }
    bundle_schedule(self, now_ms, effects);
}

void bundle_on_hello_ok(struct bundle *self, uint32_t index, const struct message *message, uint64_t now_ms,
                        struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    const struct message_hello_ok *ok = &message->hello_ok;
    if (source->state != SOURCE_CONNECTING || message->rid != source->hello_rid)
        return;
    if (source->has_node && !node_id_equal(&source->node, &ok->node)) {
        bundle_source_ended(self, index, SOURCE_LEFT, "another node answers at this address", effects);
        return;
    }
    if (ok->max_read < BUNDLE_FILE_SIZE_MAX || ok->window_bytes < BUNDLE_FILE_SIZE_MAX) {
        bundle_source_ended(self, index, SOURCE_LEFT, "allows less than the protocol asks for", effects);
        return;
    }
    source->state = SOURCE_READY;
    source->has_node = true;
    source->node = ok->node;
    source->attempts = 0;
    source->retry_at_ms = now_ms;
    source->window_max = ok->window_bytes < WINDOW_BYTES_MAX ? ok->window_bytes : WINDOW_BYTES_MAX;
    size_t size = ok->node_name.size < LABEL_SIZE_MAX ? ok->node_name.size : LABEL_SIZE_MAX;
    memcpy(source->name, ok->node_name.bytes, size);
    source->name[size] = '\0';
    meter_init(&source->meter, now_ms);
    bundle_emit(effects, BUNDLE_SOURCE, index);
}

void bundle_on_hello_error(struct bundle *self, uint32_t index, const struct message *message,
                           uint64_t now_ms, struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    char reason[SOURCE_REASON_SIZE];
    switch (message->error.code) {
    case ERROR_BUSY:
    case ERROR_LIMIT:
        source->is_put_off = true;
        source->retry_at_ms = bundle_retry_at_ms(&message->error, now_ms);
        source->deadline_ms = source->retry_at_ms + DOWNLOAD_HELLO_MS;
        break;
    case ERROR_WRONG_NODE:
        bundle_source_ended(self, index, SOURCE_LEFT, "another node answers at this address", effects);
        break;
    default:
        snprintf(reason, sizeof reason, "refused us: %s", error_name(message->error.code));
        bundle_source_ended(self, index, SOURCE_LEFT, reason, effects);
    }
}

void bundle_check_connecting(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects)
{
    for (uint32_t i = 0; i < self->source_count; i++) {
        const struct bundle_source *source = &self->sources[i];
        if (source->state != SOURCE_CONNECTING)
            continue;
        if (source->deadline_ms <= now_ms)
            bundle_source_ended(self, i, SOURCE_LEFT, "does not answer", effects);
        else if (source->is_put_off && source->retry_at_ms <= now_ms)
            bundle_on_connected(self, i, now_ms, effects);
    }
}
