/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SCAN_H
#define MESSAGES_SCAN_H

/*
 * Validates a header frame before msgpack-c sees a byte of it, without allocating.
 *
 * msgpack-c trusts the counts in array headers (5 bytes can ask for 96 GiB), so everything that it
 * is given has passed here: one array, nothing after it, no map, float or ext type, nesting at most
 * SCAN_DEPTH_MAX, and no array that declares more elements than bytes are left.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The header array is 1; FOUND nests header > list > entry > sources > SOURCE. Protocol limit. */
#define SCAN_DEPTH_MAX 6

/* msgpack-c spends 24 bytes an element: this bounds one decode to 3 MiB whatever a stranger sends. */
#define SCAN_NODES_MAX 131072

struct scan_result {
    bool valid;
    uint64_t rid; /* the third element if it is there and a uint64, even when the rest is bad; else 0 */
    bool has_kind;
    uint64_t kind; /* the second element if it is a uint64, even when the rest is bad */
};

struct scan_result scan_header(const uint8_t *bytes, size_t size);

#endif
