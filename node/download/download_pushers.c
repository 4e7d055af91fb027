/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

uint32_t download_add_pusher(struct download *self, const struct download_pusher *pusher, uint64_t now_ms,
                             struct download_effects *effects)
{
    uint32_t index = self->is_over ? UINT32_MAX : download_free_slot(self, now_ms);
    if (index == UINT32_MAX)
        return UINT32_MAX;
    if (self->verifier)
        verifier_forget_source(self->verifier, index);
    struct source *source = &self->sources[index];
    *source = (struct source){
        .state = SOURCE_READY,
        .is_pusher = true,
        .host = pusher->host,
        .begun_chunk = UINT32_MAX,
        .window_max = DOWNLOAD_PUSHER_WINDOW_BYTES,
        .read_max = BLOCK_SIZE,
        .retry_at_ms = now_ms,
    };
    snprintf(source->name, sizeof source->name, "%s", pusher->name);
    meter_init(&source->meter, now_ms);
    struct optional_blob have = {pusher->have != NULL, {NULL, 0}};
    if (pusher->have)
        have.blob = chunk_map_bits(pusher->have);
    bool is_taken = download_take_chunks(self, source, &have);
    assert(is_taken); /* a map of as many chunks */
    (void)is_taken;
    self->was_starved = false;
    download_emit(effects, DOWNLOAD_SOURCE, index);
    download_schedule(self, now_ms, effects);
    return index;
}

void download_remove_pusher(struct download *self, uint32_t index, bool is_gone, uint64_t now_ms,
                            struct download_effects *effects)
{
    assert(index < DOWNLOAD_SOURCES_MAX && self->sources[index].is_pusher);
    if (self->is_over || self->sources[index].state != SOURCE_READY)
        return;
    if (!is_gone)
        download_cancel_reads(self, index, effects);
    download_source_left(self, index, is_gone ? "is gone" : "withdrew its offer", now_ms, effects);
    download_schedule(self, now_ms, effects);
}

bool download_asked(const struct download *self, uint32_t index, uint64_t rid)
{
    const struct source *source = &self->sources[index];
    return !self->is_over && source->state == SOURCE_READY &&
           (download_has_asked_read(self, index, rid) ||
            (source->layer_rid != 0 && source->layer_rid == rid));
}

void download_expect_answer(struct download *self, const struct source *source, uint64_t now_ms)
{
    if (source->is_pusher && self->pushers_due_ms > now_ms + DOWNLOAD_PUSHER_MS)
        self->pushers_due_ms = now_ms + DOWNLOAD_PUSHER_MS;
}

/* When the oldest question to a pusher is due; UINT64_MAX without any. */
static uint64_t due_ms_of(const struct download *self, uint32_t index)
{
    const struct source *source = &self->sources[index];
    uint64_t asked_ms = UINT64_MAX;
    if (source->layer_rid != 0)
        asked_ms = source->layer_asked_ms;
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX && source->inflight_count > 0; i++) {
        const struct read *read = &self->reads[i];
        if (read->state == READ_ASKED && read->source == index && read->sent_ms < asked_ms)
            asked_ms = read->sent_ms;
    }
    return asked_ms == UINT64_MAX ? UINT64_MAX : asked_ms + DOWNLOAD_PUSHER_MS;
}

void download_check_pushers(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    if (self->pushers_due_ms > now_ms)
        return;
    uint64_t next_ms = UINT64_MAX;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (!source->is_pusher || source->state != SOURCE_READY)
            continue;
        uint64_t due_ms = due_ms_of(self, i);
        if (due_ms <= now_ms) {
            self->sources[i].is_silent = true;
            download_source_left(self, i, "does not answer", now_ms, effects);
        } else if (due_ms < next_ms) {
            next_ms = due_ms;
        }
    }
    self->pushers_due_ms = next_ms;
}
