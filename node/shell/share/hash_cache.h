/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_HASH_CACHE_H
#define NODE_SHELL_SHARE_HASH_CACHE_H

/*
 * Remembers roots and chunk layers across restarts, in SQLite. Everything in it can be hashed anew from the
 * files, so whatever is wrong with it never stops a node: a damaged database is moved aside (NAME.damaged)
 * and begun anew; one that cannot be used at all (locked, read-only, of a later version, a full disk) is left
 * alone, and a temporary one takes its place until the process ends. hash_cache_take_notice() says so, once
 * each time.
 *
 * All functions may be called from any thread; those marked "disk" may block and belong on a worker. What was
 * put in is found at once, and written with the next flush. What is read back is verified: a row whose id
 * does not follow from its root, or a layer that does not hash up to its root, counts as lost.
 */

#include "node/share/share_index.h"

/* Layers that wait for a flush; more of them make a flush due. */
#define HASH_CACHE_WAITING_BYTES_MAX (4u << 20)
#define HASH_CACHE_WAITING_FILES_MAX 1024

/* Rows of files that are gone stay this long, for a disk that is plugged in now and then. */
#define HASH_CACHE_KEEP_DAYS 90

struct hash_cache;

/* What a file is known by. The device is left out: many file systems get another one at each boot. */
struct cache_key {
    const char *share; /* real path of the share folder */
    const char *path;  /* below it */
    struct file_stamp stamp;
};

/* NULL path: nothing is kept. The database is opened by its first use. */
struct hash_cache *hash_cache_new(const char *path);

/* Writes what waits, and marks the database as cleanly closed. Disk. */
void hash_cache_destroy(struct hash_cache **self_p);

struct cache_found {
    bool is_known; /* and unchanged */
    struct hash root;
};

/* Looks up `count` files in one transaction. A row that was found counts as seen today. Disk. */
void hash_cache_find(struct hash_cache *self, const struct cache_key *keys, size_t count,
                     struct cache_found *ret_found);

/* Copies the key; takes over the layer, which is NULL for a file without one. */
void hash_cache_put(struct hash_cache *self, const struct cache_key *key, const struct hash *root,
                    struct hash *layer);

/* The same content as before under another path: its layer is there already. */
void hash_cache_put_moved(struct hash_cache *self, const struct cache_key *key, const struct hash *root);

/* How much waits: nothing, something, or so much that it should be written now. */
enum cache_waiting {
    CACHE_WAITING_NONE,
    CACHE_WAITING_SOME,
    CACHE_WAITING_MUCH,
};
enum cache_waiting hash_cache_waiting(struct hash_cache *self);

/* Writes all that waits in one transaction. Disk. */
void hash_cache_flush(struct hash_cache *self);

/*
 * Copies hashes [first, first + count), which must be inside the layer, of the file with this size and root.
 * False when the layer is not known or damaged: it is forgotten, and the file has to be hashed anew. Reads
 * from disk, briefly.
 */
bool hash_cache_layer(struct hash_cache *self, uint64_t size, const struct hash *root, uint32_t first,
                      uint32_t count, struct hash *ret_hashes);

/*
 * Looks at a few rows (100) that were not seen for HASH_CACHE_KEEP_DAYS and removes those whose file is gone.
 * `now_s` is wall-clock time. Disk.
 */
void hash_cache_prune(struct hash_cache *self, uint64_t now_s);

/* A line that tells what is wrong with the cache and what was done; NULL when there is nothing (new) to tell.
 */
char *hash_cache_take_notice(struct hash_cache *self);

#endif
