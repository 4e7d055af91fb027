/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SUPPORT_PATTERN_H
#define TESTS_SUPPORT_PATTERN_H

/* The files of tests/golden/roots.txt, made again: see make_roots.py. */

#include "messages/id.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_SIZE 65521

static inline void pattern_fill(uint8_t *bytes, uint64_t size)
{
    static uint8_t pattern[PATTERN_SIZE];
    uint32_t state = 1;
    for (size_t i = 0; i < PATTERN_SIZE; i++) {
        state = (state * 1103515245u + 12345u) & 0x7fffffff;
        pattern[i] = (uint8_t)(state >> 16);
    }
    for (uint64_t at = 0; at < size; at += PATTERN_SIZE) {
        uint64_t left = size - at;
        memcpy(bytes + at, pattern, left < PATTERN_SIZE ? left : PATTERN_SIZE);
    }
}

/* One line of the table. */
struct golden_root {
    uint64_t size;
    struct hash root, layer_digest;
    unsigned chunk_size, layer_count;
};

static inline FILE *golden_roots_open(void)
{
    char path[4096];
    const char *source = getenv("ZSWARM_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/roots.txt", source ? source : ".");
    return fopen(path, "r");
}

/* False at the end. */
static inline bool golden_roots_next(FILE *table, struct golden_root *ret)
{
    char line[256], root[65], digest[65];
    unsigned long long size;
    while (fgets(line, sizeof line, table)) {
        if (line[0] == '#')
            continue;
        int count =
            sscanf(line, "%llu %64s %u %u %64s", &size, root, &ret->chunk_size, &ret->layer_count, digest);
        assert(count == 5);
        ret->size = size;
        bool is_hex = hex_parse(root, strlen(root), ret->root.bytes, sizeof ret->root.bytes);
        assert(is_hex);
        if (ret->layer_count > 0)
            is_hex =
                hex_parse(digest, strlen(digest), ret->layer_digest.bytes, sizeof ret->layer_digest.bytes);
        assert(is_hex);
        return true;
    }
    return false;
}

#endif
