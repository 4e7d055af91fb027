/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHARE_INDEX_PRIVATE_H
#define NODE_SHARE_INDEX_PRIVATE_H

/*
 * The tables behind share_index.h: what changes them is in share_index.c, what reads them in share_lookup.c.
 *
 * Invariants: the three arrays hold the same `count` entries, each in its order; `ids` holds exactly the
 * ready ones, those with one id as a list in order of name; all marks are MARK_KEPT but during a merge.
 */

#include "messages/name.h"
#include "messages/table.h"
#include "node/share_index.h"

enum mark {
    MARK_KEPT,
    MARK_RENEWED, /* same name, new handle */
    MARK_NEW,
    MARK_DROPPED,
};

struct entry {
    struct shared_file file;
    char *path, *name; /* owned; `file` points to them */
    char *folded;      /* owned; the same pointer as `name` when folding changes nothing */
    size_t folded_size, folded_base_offset;
    struct entry *twin; /* the next by name with the same id */
    UT_hash_handle by_id;
    enum mark mark;
};

struct share_index {
    struct entry **by_name, **by_base, **by_handle;
    size_t count;
    struct entry *ids;
    uint64_t last_handle, generation;
    size_t unhashed_count;
    uint64_t ready_count, ready_bytes;
    bool is_complete; /* the last scan */
};

/* Order of base name, then of whole name. */
int entry_compare_base(const struct entry *a, const struct entry *b);

/* The position in by_handle of the first handle that is not below `handle`. */
size_t share_index_handle_bound(const struct share_index *self, uint64_t handle);
struct entry *share_index_entry(const struct share_index *self, uint64_t handle);

#endif
