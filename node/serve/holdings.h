/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_HOLDINGS_H
#define NODE_SERVE_HOLDINGS_H

/*
 * What this program can give to others: the shared files that are ready, and files of which it has some
 * chunks so far. Lists, searches, opens and totals see both alike; a whole file wins over a partial one of
 * the same id.
 *
 * A partial file is added once its chunk layer is known and verified, for before that it has no verified
 * chunk.
 */

#include "messages/match.h"
#include "messages/message.h"
#include "messages/presence.h"
#include "node/content/content.h"
#include "node/content/layout.h"
#include "node/share/share_index.h"

/* Files that one program fetches at once; each costs its bitfield. */
#define HOLDINGS_PARTIALS_MAX 1024

/* The bitfield of an OPEN_OK must fit in its 1 MiB header: 7 Mi chunks of 4 MiB are 28 TiB. */
#define HOLDINGS_PARTIAL_CHUNKS_MAX (7u << 20)

/* One file that can be read. Views are valid until the index or the holdings change. */
struct holding {
    struct content content;
    struct file_entry file;
    struct layout layout;
    const uint8_t *have; /* bitfield of chunks, most significant bit first; NULL for all of them */
};

struct holdings;

/* The index is borrowed and must outlive the holdings. */
struct holdings *holdings_new(const struct share_index *index);
void holdings_destroy(struct holdings **self_p);

/* Copies all it needs. `have` is layout_bitfield_size() bytes. False when full, too large, empty or known
 * already. */
bool holdings_add_partial(struct holdings *self, uint64_t handle, const struct file_entry *file,
                          const uint8_t *have);

/* Chunks [first, first + count) are verified and on disk. False when the handle is not known. */
bool holdings_partial_verified(struct holdings *self, uint64_t handle, uint32_t first, uint32_t count);
void holdings_remove_partial(struct holdings *self, uint64_t handle);

enum holdings_lookup {
    HOLDINGS_FOUND,
    HOLDINGS_NONE,
    HOLDINGS_SEVERAL, /* a base name that more than one file has */
    HOLDINGS_HASHING, /* not there, or not yet: names or ids are still being found out */
};

enum holdings_lookup holdings_by_id(const struct holdings *self, const struct file_id *id,
                                    struct holding *ret_holding);
enum holdings_lookup holdings_by_name(const struct holdings *self, struct text name,
                                      struct holding *ret_holding);
bool holdings_by_partial(const struct holdings *self, uint64_t handle, struct holding *ret_holding);

/* True when every chunk that bytes [offset, offset + length) lie in is here. The range is inside the file. */
bool holding_has_range(const struct holding *holding, uint64_t offset, uint32_t length);

/*
 * Files in byte order of name that begin with `prefix` and come after the name `after` (empty: from the
 * start), at most `limit` and `bytes_max` as encoded. *ret_more tells that others follow.
 */
size_t holdings_page(const struct holdings *self, struct text prefix, struct text after, size_t limit,
                     size_t bytes_max, struct file_entry *ret_entries, bool *ret_more);

/* How many files holdings_page() would give in all. Walks over every name with the prefix. */
uint64_t holdings_count(const struct holdings *self, struct text prefix);

/* As share_index_query(). */
size_t holdings_query(const struct holdings *self, const struct matcher *matcher, size_t limit,
                      struct file_entry *ret_entries, uint32_t *ret_total);

void holdings_totals(const struct holdings *self, uint64_t *ret_files, uint64_t *ret_bytes);
bool holdings_is_settled(const struct holdings *self);
void holdings_fill_presence(const struct holdings *self, struct presence *presence);

/* Rises by one with every change that others can see, verified chunks aside. */
uint64_t holdings_generation(const struct holdings *self);

#endif
