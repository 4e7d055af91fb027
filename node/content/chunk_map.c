/* SPDX-License-Identifier: MIT */
#include "node/content/chunk_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t size_of(uint32_t count)
{
    return ((size_t)count + 7) / 8;
}

static uint8_t bit_of(uint32_t index)
{
    return (uint8_t)(0x80 >> (index % 8));
}

void chunk_map_init(struct chunk_map *self, uint32_t count)
{
    *self = (struct chunk_map){.bits = calloc(size_of(count) + 1, 1), .count = count};
    assert(self->bits);
}

void chunk_map_release(struct chunk_map *self)
{
    free(self->bits);
    *self = (struct chunk_map){0};
}

bool chunk_map_has(const struct chunk_map *self, uint32_t index)
{
    assert(index < self->count);
    return self->bits[index / 8] & bit_of(index);
}

bool chunk_map_is_full(const struct chunk_map *self)
{
    return self->set_count == self->count;
}

bool chunk_map_set(struct chunk_map *self, uint32_t index)
{
    if (chunk_map_has(self, index))
        return false;
    self->bits[index / 8] |= bit_of(index);
    self->set_count++;
    return true;
}

bool chunk_map_clear(struct chunk_map *self, uint32_t index)
{
    if (!chunk_map_has(self, index))
        return false;
    self->bits[index / 8] &= (uint8_t)~bit_of(index);
    self->set_count--;
    return true;
}

bool chunk_map_load(struct chunk_map *self, struct blob bits)
{
    size_t size = size_of(self->count);
    if (bits.size != size)
        return false;
    uint32_t spare_count = (uint32_t)(size * 8 - self->count);
    if (spare_count > 0 && bits.bytes[size - 1] & ((1u << spare_count) - 1))
        return false;
    uint32_t set_count = 0;
    for (size_t i = 0; i < size; i++)
        set_count += (uint32_t)__builtin_popcount(bits.bytes[i]);
    if (size > 0)
        memcpy(self->bits, bits.bytes, size);
    self->set_count = set_count;
    return true;
}

struct blob chunk_map_bits(const struct chunk_map *self)
{
    return (struct blob){self->bits, size_of(self->count)};
}

uint16_t chunk_map_permille(const struct chunk_map *self)
{
    if (chunk_map_is_full(self))
        return 1000;
    return (uint16_t)((uint64_t)self->set_count * 1000 / self->count);
}
