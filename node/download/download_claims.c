/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include "node/content/tree.h"

#include <assert.h>

void download_claim_chunk(struct download *self, uint32_t chunk)
{
    assert(!self->is_started);
    chunk_map_set(&self->claims, chunk);
    picker_have(self->picker, chunk); /* not to be asked for as long as the claim stands */
}

const struct chunk_map *download_claims(const struct download *self)
{
    return &self->claims;
}

void download_check_claims(struct download *self, struct download_effects *effects)
{
    while (self->claim_cursor < self->wanted_end && self->checking_count < DOWNLOAD_CHECKS_MAX) {
        uint32_t chunk = self->claim_cursor++;
        if (!chunk_map_has(&self->claims, chunk))
            continue;
        struct download_effect *effect = download_emit(effects, DOWNLOAD_CHECK, UINT32_MAX);
        effect->chunk = chunk;
        effect->order = (struct process_order){
            .run = picker_chunk_run(self->picker, chunk),
            .height = tree_chunk_height(&self->layout),
            .span_bytes = 1u << self->layout.chunk_log2,
            .expected = download_expected(self, chunk),
        };
        self->checking_count++;
    }
}

void download_on_checked(struct download *self, uint32_t chunk, bool is_right, uint64_t now_ms,
                         struct download_effects *effects)
{
    assert(self->checking_count > 0 && chunk_map_has(&self->claims, chunk));
    self->checking_count--;
    chunk_map_clear(&self->claims, chunk);
    if (self->is_over)
        return;
    if (is_right) {
        download_save_chunk(self, chunk, now_ms, effects);
    } else {
        struct run run = picker_chunk_run(self->picker, chunk);
        picker_missing(self->picker, &run);
        download_something_changed(self);
        download_emit(effects, DOWNLOAD_UNSAVED, UINT32_MAX)->chunk = chunk;
    }
    download_go_on(self, now_ms, effects);
}

void download_doubt(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    assert(self->is_over);
    assert(self->lacking_count == 0);
    for (uint32_t i = self->wanted_begin; i < self->wanted_end; i++) {
        chunk_map_clear(&self->chunks, i);
        chunk_map_set(&self->claims, i);
    }
    self->lacking_count = self->wanted_end - self->wanted_begin;
    self->claim_cursor = self->wanted_begin;
    self->saved_bytes = 0;
    self->progress_at_ms = now_ms;
    self->is_over = self->lacking_count == 0;
    download_schedule(self, now_ms, effects);
}
