/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_CACHE_DATABASE_H
#define NODE_SHELL_SHARE_CACHE_DATABASE_H

/*
 * The tables of the hash cache and the statements on them. Not thread-safe: hash_cache.c holds a lock around
 * it.
 *
 * One process at a time: locking_mode EXCLUSIVE, which also needs no shared memory file. `file` has a row for
 * each name, `layer` one for each content, which is removed with the last row that refers to it.
 * `state.clean` is 0 while the database is open, so that the next start knows to check it.
 */

#include "node/shell/share/hash_cache.h"

#include <sqlite3.h>

#define CACHE_VERSION 1

enum cache_result {
    CACHE_OK,
    CACHE_NONE,    /* no such row */
    CACHE_DAMAGED, /* move it aside */
    CACHE_USELESS, /* cannot be used now, but is not damaged */
};

enum cache_statement {
    CACHE_FIND,
    CACHE_SEEN,
    CACHE_PUT,
    CACHE_PUT_LAYER,
    CACHE_OLD_ID,
    CACHE_DROP_LAYER,
    CACHE_LAYER_ROW,
    CACHE_STALE,
    CACHE_REMOVE,
    CACHE_FORGET,
    CACHE_STATEMENTS_COUNT,
};

struct cache_database {
    sqlite3 *connection;
    sqlite3_stmt *statements[CACHE_STATEMENTS_COUNT];
    char reason[256]; /* of the last result that was neither OK nor NONE */
};

/* Opens, checks and prepares; "" is a temporary database on disk, ":memory:" one in memory. Release it in any
 * case. */
enum cache_result cache_database_open(struct cache_database *self, const char *path);
void cache_database_release(struct cache_database *self, bool is_clean);

enum cache_result cache_database_begin(struct cache_database *self);
enum cache_result cache_database_commit(struct cache_database *self);

/* `today` is days since 1970; 0 leaves the row's day alone. */
enum cache_result cache_database_find(struct cache_database *self, const struct cache_key *key,
                                      uint32_t today, struct hash *ret_root);
enum cache_result cache_database_put(struct cache_database *self, const struct cache_key *key,
                                     const struct hash *root, const struct hash *layer, uint32_t layer_count,
                                     uint32_t today);

/* Copies hashes [first, first + count) of the layer of `id`, which must have `layer_count` hashes. */
enum cache_result cache_database_layer(struct cache_database *self, const struct file_id *id,
                                       uint32_t layer_count, uint32_t first, uint32_t count,
                                       struct hash *ret_hashes);

/* Removes a content with all its files. */
enum cache_result cache_database_forget(struct cache_database *self, const struct file_id *id);

/* One file that was not seen since `day`: malloc'd share and path, and the row to remove or to mark as seen.
 */
struct stale_row {
    int64_t row;
    char *share, *path;
};
enum cache_result cache_database_stale(struct cache_database *self, uint32_t day, struct stale_row *ret_row);
enum cache_result cache_database_remove(struct cache_database *self, int64_t row);
enum cache_result cache_database_seen(struct cache_database *self, int64_t row, uint32_t today);

#endif
