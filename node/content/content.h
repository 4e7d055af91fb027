/* SPDX-License-Identifier: MIT */
#ifndef NODE_CONTENT_CONTENT_H
#define NODE_CONTENT_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

/* Names the bytes of one file for as long as the process runs; never reused. */
struct content {
    bool is_partial; /* of a file being fetched: the handle is its owner's, else the share index's */
    uint64_t handle;
};

#endif
