/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include "node/content/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool download_needs_layer(const struct download *self)
{
    return layout_has_layer(&self->layout) && !self->has_layer;
}

const struct hash *download_layer(const struct download *self)
{
    return self->has_layer ? self->layer : NULL;
}

static void make_room(struct download *self)
{
    if (self->layer)
        return;
    self->layer = malloc((size_t)self->layout.chunk_count * sizeof *self->layer);
    assert(self->layer);
}

static bool is_right(const struct download *self)
{
    struct hash root;
    return tree_root_of_layer(&self->layout, self->layer, &root) && hash_equal(&root, &self->config.root);
}

bool download_load_layer(struct download *self, const struct hash *layer, uint32_t count)
{
    if (!layout_has_layer(&self->layout) || count != self->layout.chunk_count)
        return false;
    make_room(self);
    memcpy(self->layer, layer, (size_t)count * sizeof *layer);
    self->has_layer = is_right(self);
    return self->has_layer;
}

static void ask(struct download *self, uint32_t index, uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    uint32_t left = self->layout.chunk_count - self->layer_received;
    source->layer_rid = download_next_rid(self, RID_NO_SLOT);
    struct message hashes = {.kind = KIND_HASHES, .rid = source->layer_rid};
    hashes.hashes.file = self->config.id;
    hashes.hashes.first = self->layer_received;
    hashes.hashes.count = left < HASHES_MAX ? left : HASHES_MAX;
    download_send(effects, index, &hashes);
    source->active_at_ms = now_ms;
    source->layer_asked_ms = now_ms;
    download_expect_answer(self, source, now_ms);
}

static void begin(struct download *self, uint32_t index, uint64_t now_ms, struct download_effects *effects)
{
    make_room(self);
    self->layer_source = index;
    self->layer_received = 0;
    ask(self, index, now_ms, effects);
}

void download_ask_layer_early(struct download *self, uint32_t index, uint64_t now_ms,
                              struct download_effects *effects)
{
    if (!download_needs_layer(self) || self->layer_source != UINT32_MAX)
        return;
    begin(self, index, now_ms, effects);
}

/* One source at a time: the whole layer is a few hundred KiB at most, and who sent it must be known. */
void download_ask_layer(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    if (self->layer_source != UINT32_MAX && self->sources[self->layer_source].state == SOURCE_READY)
        return;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state != SOURCE_READY || source->retry_at_ms > now_ms)
            continue;
        begin(self, i, now_ms, effects);
        return;
    }
}

void download_layer_refused(struct download *self, uint32_t source)
{
    self->sources[source].layer_rid = 0;
    if (self->layer_source == source)
        self->layer_source = UINT32_MAX;
}

void download_on_hashes(struct download *self, uint32_t index, const struct message *message, uint64_t now_ms,
                        struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_hashes_ok *ok = &message->hashes_ok;
    if (self->layer_source != index || source->layer_rid == 0 || message->rid != source->layer_rid)
        return;
    uint32_t left = self->layout.chunk_count - self->layer_received;
    uint32_t expected = left < HASHES_MAX ? left : HASHES_MAX;
    if (!file_id_equal(&ok->file, &self->config.id) || ok->first != self->layer_received ||
        ok->hashes.size != (size_t)expected * sizeof(struct hash)) {
        download_source_banned(self, index, "sent other hashes than it was asked for", now_ms, effects);
        return;
    }
    memcpy(self->layer + self->layer_received, ok->hashes.bytes, ok->hashes.size);
    self->layer_received += expected;
    source->layer_rid = 0;
    if (self->layer_received < self->layout.chunk_count) {
        ask(self, index, now_ms, effects);
        return;
    }
    self->layer_source = UINT32_MAX;
    self->has_layer = is_right(self);
    if (!self->has_layer)
        download_source_banned(self, index, "sent hashes that do not belong to the file", now_ms, effects);
}
