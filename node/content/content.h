/* SPDX-License-Identifier: MIT */
#ifndef NODE_CONTENT_CONTENT_H
#define NODE_CONTENT_CONTENT_H

#include <stdbool.h>
#include <stdint.h>

/* Which bytes a part of this process means: those of a shared file, or of one being fetched. Never reused
 * while it runs. */
struct content {
    bool is_partial; /* of a file being fetched: the handle is its owner's, else the share index's */
    uint64_t handle;
};

#endif
