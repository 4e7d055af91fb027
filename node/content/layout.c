/* SPDX-License-Identifier: MIT */
#include "node/content/layout.h"

#include <assert.h>

static uint64_t divide_up(uint64_t value, unsigned log2)
{
    return (value >> log2) + ((value & ((UINT64_C(1) << log2) - 1)) != 0);
}

struct layout layout_of(uint64_t size)
{
    assert(size <= FILE_SIZE_MAX);
    unsigned log2 = CHUNK_LOG2_MIN;
    while (log2 < CHUNK_LOG2_MAX && divide_up(size, log2) > CHUNKS_WANTED_MAX)
        log2++;
    return (struct layout){
        .size = size,
        .chunk_log2 = (uint8_t)log2,
        .chunk_count = (uint32_t)divide_up(size, log2),
    };
}

bool layout_has_layer(const struct layout *self)
{
    return self->chunk_count > 1;
}

/* Bytes of part `index` when the file is cut into parts of 2^log2 bytes. */
static uint32_t part_length(const struct layout *self, uint32_t index, unsigned log2)
{
    uint64_t begin = (uint64_t)index << log2;
    uint64_t whole = UINT64_C(1) << log2;
    assert(begin < self->size);
    uint64_t left = self->size - begin;
    return (uint32_t)(left < whole ? left : whole);
}

uint32_t layout_chunk_length(const struct layout *self, uint32_t index)
{
    return part_length(self, index, self->chunk_log2);
}

uint32_t layout_block_count(const struct layout *self)
{
    return (uint32_t)divide_up(self->size, BLOCK_LOG2);
}

uint32_t layout_block_length(const struct layout *self, uint32_t block)
{
    return part_length(self, block, BLOCK_LOG2);
}

uint32_t layout_bitfield_size(const struct layout *self)
{
    return (uint32_t)divide_up(self->chunk_count, 3);
}
