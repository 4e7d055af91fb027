/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_DOWNLOADS_LOOK_H
#define NODE_SHELL_DOWNLOADS_DOWNLOADS_LOOK_H

/* What a node knows of a file that somebody offers, and what room there is for it: on the disk, and among the
 * promises that were made to others. */
#include "node/push/offers.h"
#include "node/shell/downloads/downloads.h"

/* The disk keeps this much from pushes: a twentieth, and no more than that. */
#define PUSH_RESERVE_SHARE     20
#define PUSH_RESERVE_BYTES_MAX (UINT64_C(1) << 30)

/* Fills in all but the quota and what landed already. Makes `saved`, for the caller to release once the facts
 * are no longer used. */
void downloads_look(const struct downloads *self, const struct file_entry *file, struct offer_facts *facts,
                    struct chunk_map *saved);

/* Is anything of an unfinished one worth keeping? What an earlier run left counts as it is. */
bool downloads_has_part(const struct downloads *self, const struct listed_download *item);

#endif
