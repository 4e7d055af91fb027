/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_ID_H
#define MESSAGES_ID_H

/*
 * Ids and hashes. Each is a struct of its own, so that two kinds cannot be swapped.
 *
 * A file is known by its file_id, which commits to both its size and its Merkle root; the root
 * alone does not (the 64 bytes of its two children have the same root).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node_id {
    uint8_t bytes[16];
};

/* A SHA-256 value: a leaf, a chunk's subtree root, a file's root. */
struct hash {
    uint8_t bytes[32];
};

struct file_id {
    uint8_t bytes[32];
};

/* A CURVE public key. */
struct public_key {
    uint8_t bytes[32];
};

/* Room for 32 bytes in hex and the NUL. */
#define ID_HEX_SIZE 65

bool node_id_equal(const struct node_id *a, const struct node_id *b);
bool hash_equal(const struct hash *a, const struct hash *b);
bool file_id_equal(const struct file_id *a, const struct file_id *b);

/* memcmp order, for sorting and searching. */
int file_id_compare(const struct file_id *a, const struct file_id *b);

/* SHA-256("zswarm-file-1" || 0 || size as 8 bytes little-endian || root). */
struct file_id file_id_of(uint64_t size, const struct hash *root);

/* Writes 2 * count lower-case digits and a NUL. */
void hex_format(const uint8_t *bytes, size_t count, char *ret_text);

/* Reads exactly 2 * count digits of either case. False, and ret untouched, on anything else. */
bool hex_parse(const char *text, size_t size, uint8_t *ret_bytes, size_t count);

/* True when text is `digits` hex digits (odd counts too) with which the id begins. */
bool file_id_has_prefix(const struct file_id *id, const char *digits, size_t digit_count);

#endif
