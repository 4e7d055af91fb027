/* SPDX-License-Identifier: MIT */
#ifndef NODE_CONTENT_CHUNK_MAP_H
#define NODE_CONTENT_CHUNK_MAP_H

/*
 * Which chunks of a file are held: the bitfield of the protocol (most significant bit first, spare bits zero)
 * with a count.
 */

#include "messages/text.h"

struct chunk_map {
    uint8_t *bits;
    uint32_t count;     /* chunks of the file */
    uint32_t set_count; /* chunks held */
};

/* All clear. */
void chunk_map_init(struct chunk_map *self, uint32_t count);
void chunk_map_release(struct chunk_map *self);

bool chunk_map_has(const struct chunk_map *self, uint32_t index);
bool chunk_map_is_full(const struct chunk_map *self);

/* True when the bit was another before. */
bool chunk_map_set(struct chunk_map *self, uint32_t index);
bool chunk_map_clear(struct chunk_map *self, uint32_t index);

/* Takes over a bitfield from the wire or the disk. False, nothing changed, when its size or spare bits are
 * wrong. */
bool chunk_map_load(struct chunk_map *self, struct blob bits);

/* The bitfield, valid until the map changes. */
struct blob chunk_map_bits(const struct chunk_map *self);

/* Rounded down, at most 999 unless full. */
uint16_t chunk_map_permille(const struct chunk_map *self);

#endif
