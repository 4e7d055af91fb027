/* SPDX-License-Identifier: MIT */
#ifndef NODE_CONTENT_LAYOUT_H
#define NODE_CONTENT_LAYOUT_H

/*
 * How a file of a given size is cut: into chunks, which are verified against the chunk layer, and into
 * blocks, which are requested and hashed. A block is at most 1 MiB: part of a large chunk or several small
 * ones.
 */

#include <stdbool.h>
#include <stdint.h>

#define LEAF_LOG2      14 /* the leaves of the Merkle tree, fixed by BEP 52 */
#define LEAF_SIZE      (1u << LEAF_LOG2)
#define CHUNK_LOG2_MIN 16
#define CHUNK_LOG2_MAX 22
#define BLOCK_LOG2     20
#define BLOCK_SIZE     (1u << BLOCK_LOG2)

/* More chunks than this make the next larger chunk size worth it: the layer stays within 64 KiB. */
#define CHUNKS_WANTED_MAX 2048

/* The largest file, 2 PiB: every count of chunks and 1 MiB blocks stays below 2^32, every size is exact in
 * JSON. */
#define FILE_SIZE_MAX (UINT64_C(1) << 51)

struct layout {
    uint64_t size;
    uint8_t chunk_log2;
    uint32_t chunk_count; /* 0 for an empty file */
};

/* The layout of a file; size at most FILE_SIZE_MAX. */
struct layout layout_of(uint64_t size);

/* True when there is a chunk layer: more than one chunk. Else the only chunk is checked against the root. */
bool layout_has_layer(const struct layout *self);

/* Bytes in chunk `index`; the last may be short. */
uint32_t layout_chunk_length(const struct layout *self, uint32_t index);

/* Blocks of the file, of BLOCK_SIZE but for the last. */
uint32_t layout_block_count(const struct layout *self);
uint32_t layout_block_length(const struct layout *self, uint32_t block);

/* Bytes of a bitfield of chunks. */
uint32_t layout_bitfield_size(const struct layout *self);

#endif
