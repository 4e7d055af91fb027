/* SPDX-License-Identifier: MIT */
#ifndef NODE_CONTENT_TREE_H
#define NODE_CONTENT_TREE_H

/*
 * The BEP 52 Merkle tree: SHA-256 over 16 KiB leaves, padded with zero hashes to a power of two.
 * Padding is computed here and never taken from anyone; depth and index come from size and position.
 */

#include "messages/id.h"
#include "node/content/layout.h"

/* Height 0 is a leaf; a 1 MiB block is 6, a chunk is chunk_log2 - LEAF_LOG2. */
#define TREE_HEIGHT_MAX 40

/* The root of a subtree of 2^height leaves none of which exists: 32 zero bytes at height 0. */
const struct hash *tree_padding(unsigned height);

/*
 * The root of the complete subtree of 2^height leaves that begins with these bytes, the rest padded.
 * size is 1 .. LEAF_SIZE << height, height at most 8 (a 4 MiB chunk). One pass, no allocation.
 */
void tree_hash_span(const uint8_t *bytes, uint64_t size, unsigned height, struct hash *ret_hash);

/* The same of each of the subtrees of 2^height leaves that lie one behind the other here; 4 MiB at most.
 * Faster than one call each when they are small. */
void tree_hash_spans(const uint8_t *bytes, uint64_t size, unsigned height, struct hash *ret_hashes);

/*
 * The root over `count` subtree roots of height `from`, padded with tree_padding(from) up to 2^(to - from).
 * Overwrites `hashes` as it goes. count is 1 .. 2^(to - from).
 */
void tree_join(struct hash *hashes, uint64_t count, unsigned from, unsigned to, struct hash *ret_hash);

/* The height of a whole file's tree: log2 of its leaves, rounded up. */
unsigned tree_file_height(const struct layout *layout);

/* The height at which a chunk of this file is checked: its own, or the file's for a file of one chunk. */
unsigned tree_chunk_height(const struct layout *layout);

/* The root of a file from its chunk layer: chunk_count hashes, at least one. False when there is no memory
 * for half of them: who sends a layer chooses its size. */
bool tree_root_of_layer(const struct layout *layout, const struct hash *layer, struct hash *ret_root);

#endif
