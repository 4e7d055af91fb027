/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include <assert.h>

void download_save_chunk(struct download *self, uint32_t chunk, uint64_t now_ms,
                         struct download_effects *effects)
{
    if (!chunk_map_set(&self->chunks, chunk))
        return;
    assert(self->lacking_count > 0);
    self->lacking_count--;
    self->saved_bytes += download_wanted_length(self, chunk);
    self->progress_at_ms = now_ms;
    picker_unreserve(self->picker, chunk);
    download_emit(effects, DOWNLOAD_SAVED, UINT32_MAX)->chunk = chunk;
}

static void reject(struct download *self, const struct run *run)
{
    self->wasted_bytes += run->length;
    for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++) {
        struct run unit = picker_unit_run(self->picker, i, 1);
        if (!chunk_map_has(&self->chunks, picker_chunk_of_unit(self->picker, i)))
            picker_missing(self->picker, &unit); /* else it came from another source meanwhile */
    }
    download_something_changed(self);
}

/* Fetch a chunk that several sources filled wrongly from one of them, to learn who is wrong. */
static void reserve_for_one(struct download *self, uint32_t chunk, uint64_t now_ms)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        bool holds = !source->is_partial || chunk_map_has(&source->chunks, chunk);
        if (source->state == SOURCE_READY && holds && source->retry_at_ms <= now_ms &&
            (best == UINT32_MAX || source->inflight_bytes < self->sources[best].inflight_bytes))
            best = i;
    }
    if (best == UINT32_MAX)
        return; /* whoever comes may fill it */
    picker_reserve(self->picker, chunk, best);
    self->sources[best].begun_chunk = chunk;
}

static void on_block(struct download *self, const struct read *read, const struct hash *hash, uint64_t now_ms,
                     struct download_effects *effects)
{
    uint32_t chunk = picker_chunk_of_unit(self->picker, read->run.unit);
    uint64_t culprits = 0;
    enum verdict verdict =
        verifier_block(self->verifier, read->run.unit, hash, read->source, &self->layer[chunk], &culprits);
    if (verdict == VERDICT_BAD) {
        struct run run = picker_chunk_run(self->picker, chunk);
        reject(self, &run);
        if (culprits == 0)
            reserve_for_one(self, chunk, now_ms);
    } else if (verdict == VERDICT_GOOD) {
        download_save_chunk(self, chunk, now_ms, effects);
    }
    download_ban_culprits(self, culprits, now_ms, effects);
}

static void on_chunks(struct download *self, const struct read *read, uint64_t now_ms,
                      struct download_effects *effects)
{
    for (uint32_t i = read->run.unit; i < read->run.unit + read->run.unit_count; i++)
        download_save_chunk(self, i, now_ms, effects);
}

static void fail(struct download *self, int error_number, struct download_effects *effects)
{
    self->is_over = true;
    download_emit(effects, DOWNLOAD_FAILED, UINT32_MAX)->error_number = error_number;
}

void download_on_processed(struct download *self, uint32_t ticket, const struct processed *result,
                           uint64_t now_ms, struct download_effects *effects)
{
    assert(ticket < DOWNLOAD_READS_MAX && self->reads[ticket].state == READ_PROCESSING);
    struct read read = self->reads[ticket];
    download_free_read(self, &self->reads[ticket]);
    if (self->is_over)
        return;
    if (result->status == PROCESSED_FAILED) {
        fail(self, result->error_number, effects);
        return;
    }
    if (result->status == PROCESSED_MISMATCH) {
        reject(self, &read.run);
        download_ban_culprits(self, UINT64_C(1) << read.source, now_ms, effects);
    } else if (self->verifier && self->sources[read.source].state == SOURCE_BANNED) {
        reject(self, &read.run); /* a block cannot be checked alone, and nothing it sent is believed */
    } else if (self->verifier) {
        on_block(self, &read, &result->hash, now_ms, effects);
    } else {
        on_chunks(self, &read, now_ms, effects);
    }
    download_go_on(self, now_ms, effects);
}
