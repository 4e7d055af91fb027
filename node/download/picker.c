/* SPDX-License-Identifier: MIT */
#include "node/download/picker.h"

#include <assert.h>
#include <stdlib.h>

enum {
    UNIT_HERE = 0x80,
    UNIT_ASKED_MASK = 0x7f
}; /* a unit is here, or has been asked for so many times */

struct picker {
    struct layout layout;
    bool is_in_order;
    uint64_t random;
    unsigned unit_log2;
    uint32_t unit_count;
    uint32_t units_per_chunk;
    uint8_t *units;
    uint16_t *availability; /* per chunk, partial sources only: complete ones add the same to all */
    uint32_t *reserved;     /* per chunk; NULL until first used */
    uint32_t partial_sources;
    uint32_t missing_count;
    uint32_t cursor;              /* the chunk picked last; 0 when in order */
    uint32_t first_missing_chunk; /* no chunk before it has a missing unit */
};

struct picker *picker_new(const struct layout *layout, bool is_in_order, uint64_t seed)
{
    struct picker *self = calloc(1, sizeof *self);
    assert(self);
    self->layout = *layout;
    self->is_in_order = is_in_order;
    self->random = seed | 1;
    self->unit_log2 = layout->chunk_log2 < BLOCK_LOG2 ? layout->chunk_log2 : BLOCK_LOG2;
    self->units_per_chunk = 1u << (layout->chunk_log2 - self->unit_log2);
    uint64_t unit_size = UINT64_C(1) << self->unit_log2;
    self->unit_count = (uint32_t)((layout->size + unit_size - 1) >> self->unit_log2);
    self->units = calloc((size_t)self->unit_count + 1, 1);
    self->availability = calloc((size_t)layout->chunk_count + 1, sizeof *self->availability);
    assert(self->units && self->availability);
    self->missing_count = self->unit_count;
    if (!is_in_order && layout->chunk_count > 0)
        self->cursor = (uint32_t)(seed % layout->chunk_count);
    return self;
}

void picker_destroy(struct picker **self_p)
{
    struct picker *self = *self_p;
    if (!self)
        return;
    free(self->units);
    free(self->availability);
    free(self->reserved);
    free(self);
    *self_p = NULL;
}

uint32_t picker_units_per_chunk(const struct picker *self)
{
    return self->units_per_chunk;
}

uint32_t picker_chunk_of_unit(const struct picker *self, uint32_t unit)
{
    return unit / self->units_per_chunk;
}

struct run picker_unit_run(const struct picker *self, uint32_t unit, uint32_t unit_count)
{
    uint64_t begin = (uint64_t)unit << self->unit_log2;
    uint64_t end = (uint64_t)(unit + unit_count) << self->unit_log2;
    if (end > self->layout.size)
        end = self->layout.size;
    return (struct run){unit, unit_count, begin, (uint32_t)(end - begin)};
}

struct run picker_chunk_run(const struct picker *self, uint32_t chunk)
{
    uint32_t begin = chunk * self->units_per_chunk;
    uint32_t end = begin + self->units_per_chunk;
    if (end > self->unit_count)
        end = self->unit_count;
    return picker_unit_run(self, begin, end - begin);
}

static void set_unit(struct picker *self, uint32_t unit, uint8_t state)
{
    uint8_t old = self->units[unit];
    self->missing_count += (state == 0) - (old == 0);
    self->units[unit] = state;
    uint32_t chunk = picker_chunk_of_unit(self, unit);
    if (state == 0 && chunk < self->first_missing_chunk)
        self->first_missing_chunk = chunk;
}

void picker_have(struct picker *self, uint32_t index)
{
    struct run run = picker_chunk_run(self, index);
    picker_arrived(self, &run);
}

void picker_available(struct picker *self, uint32_t chunk)
{
    if (self->availability[chunk] < UINT16_MAX)
        self->availability[chunk]++;
}

void picker_unavailable(struct picker *self, uint32_t chunk)
{
    if (self->availability[chunk] > 0)
        self->availability[chunk]--;
}

void picker_set_partial_sources(struct picker *self, uint32_t count)
{
    self->partial_sources = count;
}

/* xorshift64* (Vigna, 2014): ties need no better. */
static uint64_t next_random(struct picker *self)
{
    self->random ^= self->random >> 12;
    self->random ^= self->random << 25;
    self->random ^= self->random >> 27;
    return self->random * UINT64_C(2685821657736338717);
}

/* The first missing unit of a chunk, or UINT32_MAX. */
static uint32_t missing_unit(const struct picker *self, uint32_t chunk)
{
    struct run run = picker_chunk_run(self, chunk);
    for (uint32_t i = run.unit; i < run.unit + run.unit_count; i++) {
        if (self->units[i] == 0)
            return i;
    }
    return UINT32_MAX;
}

static bool may_ask(const struct picker *self, const struct asker *asker, uint32_t chunk)
{
    if (asker->chunks && !chunk_map_has(asker->chunks, chunk))
        return false;
    return !self->reserved || self->reserved[chunk] == UINT32_MAX || self->reserved[chunk] == asker->source;
}

static bool is_open_to(const struct picker *self, const struct asker *asker, uint32_t chunk)
{
    return may_ask(self, asker, chunk) && missing_unit(self, chunk) != UINT32_MAX;
}

static uint32_t open_chunk(const struct picker *self, const struct asker *asker, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        if (is_open_to(self, asker, i))
            return i;
    }
    return UINT32_MAX;
}

/* On from where it is, around the end: in order for the disks, but each download from elsewhere. */
static uint32_t following_chunk(struct picker *self, const struct asker *asker)
{
    uint32_t first = self->first_missing_chunk;
    uint32_t begin = self->cursor > first ? self->cursor : first;
    uint32_t chunk = open_chunk(self, asker, begin, self->layout.chunk_count);
    if (chunk == UINT32_MAX)
        chunk = open_chunk(self, asker, first, begin);
    if (chunk != UINT32_MAX && !self->is_in_order)
        self->cursor = chunk;
    return chunk;
}

static uint32_t rarest_chunk(struct picker *self, const struct asker *asker)
{
    uint32_t best = UINT32_MAX, ties = 0;
    for (uint32_t i = self->first_missing_chunk; i < self->layout.chunk_count; i++) {
        if (!is_open_to(self, asker, i))
            continue;
        if (best == UINT32_MAX || self->availability[i] < self->availability[best]) {
            best = i;
            ties = 1;
        } else if (self->availability[i] == self->availability[best] && next_random(self) % ++ties == 0) {
            best = i; /* reservoir sampling: each tie is as likely */
        }
    }
    return best;
}

static void advance_first_missing(struct picker *self)
{
    while (self->first_missing_chunk < self->layout.chunk_count &&
           missing_unit(self, self->first_missing_chunk) == UINT32_MAX)
        self->first_missing_chunk++;
}

bool picker_pick(struct picker *self, const struct asker *asker, struct run *ret_run)
{
    if (self->missing_count == 0)
        return false;
    advance_first_missing(self);
    uint32_t chunk = asker->begun_chunk;
    if (chunk == UINT32_MAX || !is_open_to(self, asker, chunk)) {
        bool is_rarest_first = self->partial_sources > 0 && !self->is_in_order;
        chunk = is_rarest_first ? rarest_chunk(self, asker) : following_chunk(self, asker);
    }
    if (chunk == UINT32_MAX)
        return false;
    uint32_t unit = missing_unit(self, chunk);
    uint32_t units_per_block = 1u << (BLOCK_LOG2 - self->unit_log2);
    uint32_t block_end = (unit / units_per_block + 1) * units_per_block;
    uint32_t end = unit + 1;
    while (end < block_end && end < self->unit_count && self->units[end] == 0 &&
           may_ask(self, asker, picker_chunk_of_unit(self, end)) &&
           ((end + 1 - unit) << self->unit_log2) <= asker->length_max)
        end++;
    *ret_run = picker_unit_run(self, unit, end - unit);
    return true;
}

void picker_reserve(struct picker *self, uint32_t chunk, uint32_t source)
{
    if (!self->reserved) {
        self->reserved = malloc((size_t)self->layout.chunk_count * sizeof *self->reserved);
        assert(self->reserved);
        for (uint32_t i = 0; i < self->layout.chunk_count; i++)
            self->reserved[i] = UINT32_MAX;
    }
    self->reserved[chunk] = source;
}

void picker_unreserve(struct picker *self, uint32_t chunk)
{
    if (self->reserved)
        self->reserved[chunk] = UINT32_MAX;
}

void picker_unreserve_source(struct picker *self, uint32_t source)
{
    for (uint32_t i = 0; self->reserved && i < self->layout.chunk_count; i++) {
        if (self->reserved[i] == source)
            self->reserved[i] = UINT32_MAX;
    }
}

uint32_t picker_reserved_for(const struct picker *self, uint32_t chunk)
{
    return self->reserved ? self->reserved[chunk] : UINT32_MAX;
}

void picker_asked(struct picker *self, const struct run *run)
{
    for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++) {
        if (!(self->units[i] & UNIT_HERE)) {
            assert((self->units[i] & UNIT_ASKED_MASK) < UNIT_ASKED_MASK);
            set_unit(self, i, (uint8_t)(self->units[i] + 1));
        }
    }
}

void picker_unasked(struct picker *self, const struct run *run)
{
    for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++) {
        if (!(self->units[i] & UNIT_HERE) && self->units[i] > 0)
            set_unit(self, i, (uint8_t)(self->units[i] - 1));
    }
}

void picker_arrived(struct picker *self, const struct run *run)
{
    for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++)
        set_unit(self, i, UNIT_HERE);
}

void picker_missing(struct picker *self, const struct run *run)
{
    for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++)
        set_unit(self, i, 0);
}

bool picker_is_wanted(const struct picker *self, const struct run *run)
{
    for (uint32_t i = run->unit; i < run->unit + run->unit_count; i++) {
        if (!(self->units[i] & UNIT_HERE))
            return true;
    }
    return false;
}

unsigned picker_asked_count(const struct picker *self, const struct run *run)
{
    return self->units[run->unit] & UNIT_ASKED_MASK;
}

uint32_t picker_missing_count(const struct picker *self)
{
    return self->missing_count;
}
