/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include <assert.h>

void download_choose_chunks(struct download *self)
{
    struct download_config *config = &self->config;
    if (config->range_end == 0)
        config->range_end = config->size;
    assert(config->range_begin <= config->range_end);
    assert(config->range_end <= config->size);
    if (config->range_begin < config->range_end) {
        self->wanted_begin = (uint32_t)(config->range_begin >> self->layout.chunk_log2);
        self->wanted_end = (uint32_t)((config->range_end - 1) >> self->layout.chunk_log2) + 1;
    }
    self->lacking_count = self->wanted_end - self->wanted_begin;
    self->claim_cursor = self->wanted_begin;
    for (uint32_t i = 0; i < self->layout.chunk_count; i++) {
        if (i < self->wanted_begin || i >= self->wanted_end)
            picker_have(self->picker, i); /* never to be asked for */
    }
}

uint64_t download_wanted_length(const struct download *self, uint32_t chunk)
{
    uint64_t begin = (uint64_t)chunk << self->layout.chunk_log2;
    uint64_t end = begin + layout_chunk_length(&self->layout, chunk);
    if (begin < self->config.range_begin)
        begin = self->config.range_begin;
    if (end > self->config.range_end)
        end = self->config.range_end;
    return end - begin;
}
