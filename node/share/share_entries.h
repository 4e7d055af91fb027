/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHARE_SHARE_ENTRIES_H
#define NODE_SHARE_SHARE_ENTRIES_H

/*
 * Entries in an order: the tables of share_index_private.h, and the lists of what goes out of them and comes
 * in. Entries are borrowed.
 */

#include "node/share/share_index_private.h"

/* Below, equal or above 0, like strcmp(). Of a key that is searched for, which is `b`, only what is compared
 * needs to be set. */
typedef int compare_entries(const struct entry *a, const struct entry *b);

/* A list that grows; empty when all zero; `items` is freed by its owner. */
struct entries {
    struct entry **items;
    size_t count, room;
};

void entries_add(struct entries *self, struct entry *entry);
void entries_sort(struct entries *self, compare_entries *compare);

/* The first position in [begin, end) of a sorted table whose entry is not below the key; `end` if all are. */
size_t entries_bound(struct entry *const *table, size_t begin, size_t end, const struct entry *key,
                     compare_entries *compare);

/* The same, quick where it is near `begin`. */
size_t entries_bound_near(struct entry *const *table, size_t begin, size_t end, const struct entry *key,
                          compare_entries *compare);

/*
 * Takes `gone` out of a sorted table of `count` and puts `added` in: a new table in place of the old one. All
 * of `gone` are in it; both lists get sorted.
 */
void entries_splice(struct entry ***table, size_t count, struct entries *gone, struct entries *added,
                    compare_entries *compare);

#endif
