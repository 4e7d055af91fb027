/* SPDX-License-Identifier: MIT */
#include "tests/sim/content.h"

#include "tests/sim/random.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_COUNT  16
#define CELLS_PER_SPAN (1u << (CHUNK_LOG2_MAX - CELL_LOG2))

static uint8_t patterns[PATTERN_COUNT][CELL_SIZE];
static struct hash pattern_hashes[PATTERN_COUNT];

static void make_patterns(void)
{
    static bool is_made;
    if (is_made)
        return;
    is_made = true;
    uint64_t state = 1;
    for (unsigned i = 0; i < PATTERN_COUNT; i++) {
        for (size_t k = 0; k < CELL_SIZE; k += sizeof(uint64_t)) {
            uint64_t word = random_next(&state);
            memcpy(&patterns[i][k], &word, sizeof word);
        }
        tree_hash_span(patterns[i], CELL_SIZE, CELL_HEIGHT, &pattern_hashes[i]);
    }
}

static unsigned pattern_of(const struct sim_content *self, uint32_t cell)
{
    uint64_t state = self->seed ^ ((uint64_t)cell << 20);
    return (unsigned)(random_next(&state) % PATTERN_COUNT);
}

static struct hash cell_hash(const struct sim_content *self, uint32_t cell, uint64_t length, unsigned height)
{
    if (length == CELL_SIZE && height == CELL_HEIGHT)
        return pattern_hashes[pattern_of(self, cell)];
    struct hash hash;
    tree_hash_span(patterns[pattern_of(self, cell)], length, height, &hash);
    return hash;
}

struct hash content_hash(const struct sim_content *self, uint64_t offset, uint64_t length, unsigned height,
                         uint32_t wrong_cell)
{
    struct hash cells[CELLS_PER_SPAN], joined;
    uint32_t first = (uint32_t)(offset >> CELL_LOG2), count = 0;
    unsigned cell_height = height < CELL_HEIGHT ? height : CELL_HEIGHT;
    for (uint64_t done = 0; done < length; done += CELL_SIZE, count++) {
        assert(count < CELLS_PER_SPAN);
        uint64_t left = length - done;
        cells[count] = cell_hash(self, first + count, left < CELL_SIZE ? left : CELL_SIZE, cell_height);
        cells[count].bytes[0] ^= (uint8_t)(first + count == wrong_cell);
    }
    tree_join(cells, count, cell_height, height, &joined);
    return joined;
}

void content_init(struct sim_content *self, uint64_t seed, uint64_t size)
{
    make_patterns();
    *self = (struct sim_content){.seed = seed, .layout = layout_of(size)};
    uint32_t count = self->layout.chunk_count;
    self->cell_count = (uint32_t)((size + CELL_SIZE - 1) >> CELL_LOG2);
    self->layer = calloc((size_t)count + 1, sizeof *self->layer);
    for (uint32_t i = 0; i < count; i++)
        self->layer[i] =
            content_hash(self, (uint64_t)i << self->layout.chunk_log2, layout_chunk_length(&self->layout, i),
                         tree_chunk_height(&self->layout), NO_CELL);
    if (count > 0) {
        bool is_enough = tree_root_of_layer(&self->layout, self->layer, &self->root);
        assert(is_enough);
    }
    self->id = file_id_of(size, &self->root);
}

void content_release(struct sim_content *self)
{
    free(self->layer);
    *self = (struct sim_content){0};
}
