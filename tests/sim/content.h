/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_CONTENT_H
#define TESTS_SIM_CONTENT_H

/*
 * A file of any size that takes no memory: cells of 64 KiB, each one of a few patterns of random bytes,
 * chosen by the seed and the place. All hashes are real ones; those of whole cells are computed once.
 */

#include "node/content/tree.h"

#define CELL_LOG2   16
#define CELL_SIZE   (1u << CELL_LOG2)
#define CELL_HEIGHT (CELL_LOG2 - LEAF_LOG2)
#define NO_CELL     UINT32_MAX

struct sim_content {
    uint64_t seed;
    struct layout layout;
    uint32_t cell_count;
    struct hash *layer; /* chunk_count hashes; for one chunk the root */
    struct hash root;
    struct file_id id;
};

void content_init(struct sim_content *self, uint64_t seed, uint64_t size);
void content_release(struct sim_content *self);

/*
 * The subtree of `height` over [offset, offset + length), which begins and ends at cells or the end of the
 * file, as it would hash if cell `wrong_cell` (of the file; NO_CELL: none) had a wrong byte.
 */
struct hash content_hash(const struct sim_content *self, uint64_t offset, uint64_t length, unsigned height,
                         uint32_t wrong_cell);

#endif
