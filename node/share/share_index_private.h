/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHARE_SHARE_INDEX_PRIVATE_H
#define NODE_SHARE_SHARE_INDEX_PRIVATE_H

/*
 * The tables behind share_index.h: share_merge.c takes over what a scan found, share_names.c names it,
 * share_index.c changes single files, share_lookup.c reads; share_entries.h searches and splices a table.
 *
 * Invariants: the four arrays hold the same `count` entries, each in its order; `ids` holds exactly the
 * ready ones, those with one id as a heap with the first by name on top; all marks are MARK_KEPT but during a
 * merge.
 */

#include "messages/name.h"
#include "messages/table.h"
#include "node/share/share_index.h"

enum mark {
    MARK_KEPT,
    MARK_GONE, /* not found, so far */
};

/* One allocation, for there are many. The strings of `file` are in `strings`, but for a path that is not the
 * place, which is malloc'd. */
struct entry {
    struct shared_file file;
    const char *folded; /* in `strings`; the same pointer as file.name.bytes when folding changes nothing */
    uint32_t folded_size, folded_base_offset;
    enum mark mark;
    /* A pairing heap, for there may be very many of one id: `before` is the sibling in front, or the parent
     * of the first child. */
    struct entry *child, *sibling, *before;
    UT_hash_handle by_id;
    char strings[];
};

/* A found file that is not known yet; `found` is the outcome's. */
struct fresh_file {
    struct scanned_file *found;
    char *name; /* malloc'd */
};

/* What was asked for lately: reading the index notes it. */
struct asked {
    uint64_t handles[SHARE_ASKED_MAX];
    size_t count;
};

struct share_index {
    struct entry **by_name, **by_base, **by_place, **by_handle;
    size_t count;
    struct entry *ids;
    uint64_t last_handle, generation;
    size_t unhashed_count;
    uint64_t unhashed_bytes;
    uint64_t ready_count, ready_bytes;
    bool is_complete; /* the last outcome */
    struct asked *asked;
};

int entry_compare_name(const struct entry *a, const struct entry *b);

/* Order of base name, then of whole name. */
int entry_compare_base(const struct entry *a, const struct entry *b);

void entry_free(struct entry *entry);

/*
 * Names the files, so that no two have one name and none has that of an entry that stays; in order of place,
 * where several wish for the same. Those that can have none go to the end. Returns how many have one.
 */
size_t share_index_name_fresh(const struct share_index *self, struct fresh_file *files, size_t count);

/* Moves a file from one state to another; the id is set before READY. */
void entry_set_state(struct share_index *self, struct entry *entry, enum share_state state);

/* Counts a change, if there is one to be seen. */
void share_index_count_change(struct share_index *self, bool was_settled, bool ready_changed);

/* The position in by_handle of the first handle that is not below `handle`. */
size_t share_index_handle_bound(const struct share_index *self, uint64_t handle);
struct entry *share_index_entry(const struct share_index *self, uint64_t handle);

#endif
