/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_CHUNK_STORE_H
#define NODE_SHELL_FETCH_CHUNK_STORE_H

/*
 * A file while it is being fetched: `.NAME.<12 hex digits of the id>.zpart` beside its target, or in a folder
 * of its own on the same file system.
 *
 * Behind the content, from the next multiple of 4096 bytes, the partial file keeps the have-map and the chunk
 * layer (docs/architecture.md, "Partial files"), so that one file is all there is to keep, move or remove.
 * What a map claims is a hint: every claimed chunk is hashed again before it counts. flock() keeps a second
 * program out for as long as the store is open.
 */
#include "messages/id.h"
#include "node/content/chunk_map.h"
#include "node/content/layout.h"
#include "node/shell/fetch/file_attributes.h"

#include <sys/stat.h>

enum store_result {
    STORE_OK,
    STORE_LOCKED, /* another program is fetching this very file */
    STORE_FAILED, /* errno */
};

enum publish_result {
    PUBLISH_OK,
    PUBLISH_EXISTS,  /* another file has the name; the partial file is kept, complete */
    PUBLISH_TOUCHED, /* another program has changed the partial file: hash it again, then publish again */
    PUBLISH_FAILED,  /* errno; kept, and to be hashed again */
};

/* What to do when another file has the target's name. */
enum publish_conflict {
    CONFLICT_FAILS,    /* PUBLISH_EXISTS */
    CONFLICT_REPLACES, /* atomically */
    CONFLICT_NUMBERS,  /* the target gets ` (2)` before its extension, or the next number that is free */
};

/* More files of one name are somebody's mistake: PUBLISH_EXISTS. */
#define PUBLISH_NUMBER_MAX 999

struct chunk_store;

/* What a folder entry may be called, and the NUL. */
#define PARTIAL_NAME_SIZE 256

/* `.NAME.<12 digits>.zpart`, NAME cut short when it would not fit; the id keeps it unique. */
void chunk_store_partial_name(const char *name, const struct file_id *id, char ret_name[PARTIAL_NAME_SIZE]);

/*
 * Renames what was `file` a moment ago within a file system; without `must_replace` never over another file,
 * also where the file system cannot do that in one step. 0 or an errno: EEXIST; ENOENT when nothing is there,
 * or something else took its place in that moment: then `to` stands for that, and with `must_replace` what it
 * replaced is gone.
 */
int chunk_store_rename(const struct stat *file, int from_fd, const char *from, int to_fd, const char *to,
                       bool must_replace);

/* Opens or makes the partial file for a target called `name` (one path component) in `folder`; in the folder
 * `temp` of the same file system, or beside the target when that is NULL. */
enum store_result chunk_store_open(const char *folder, const char *temp, const char *name,
                                   const struct file_id *id, const struct layout *layout,
                                   struct chunk_store **ret_store);

/* For a target that is not a file: an unnamed temporary file in $TMPDIR. */
enum store_result chunk_store_open_unnamed(const struct file_id *id, const struct layout *layout,
                                           struct chunk_store **ret_store);

/*
 * An existing partial file, only to be read: `fd` is taken, and nothing is locked or written, so that whoever
 * fetches it goes on. False, `fd` is the caller's, when it has no valid map.
 */
bool chunk_store_open_reader(int fd, struct chunk_store **ret_store);

/* Keeps the partial file, or removes it. */
void chunk_store_close(struct chunk_store **self_p);
void chunk_store_discard(struct chunk_store **self_p);

/* To read. */
int chunk_store_fd(const struct chunk_store *self);
const struct file_id *chunk_store_id(const struct chunk_store *self);
const struct layout *chunk_store_layout(const struct chunk_store *self);

/*
 * The only way to write, from any thread: 0 or an errno. Zeros become holes. What another program writes is
 * noticed by the file's change time, at the next call or at the end; not within one tick of the kernel's
 * clock (4 ms; none from Linux 6.13), and not on network file systems.
 */
int chunk_store_write(struct chunk_store *self, const void *bytes, size_t size, uint64_t offset);

/* Only [begin, end) of the file is wanted: space and publishing are about a file of these bytes. */
void chunk_store_set_range(struct chunk_store *self, uint64_t begin, uint64_t end);
const char *chunk_store_name(const struct chunk_store *self);

/* The chunks that may be here: by the map, or all that could be when there is no valid map. */
const struct chunk_map *chunk_store_claims(const struct chunk_store *self);

/* The chunk layer that an earlier run kept, unverified; NULL if none. Valid until closed. */
const struct hash *chunk_store_layer(const struct chunk_store *self);

/* Bytes still to be allocated on the file system, and bytes free there for us. False with errno. */
bool chunk_store_space(const struct chunk_store *self, uint64_t *ret_needed, uint64_t *ret_free);

/* Safe from one worker at a time. 0 or an errno. `bits` is the bitfield of chunks that are written. */
int chunk_store_write_map(struct chunk_store *self, const uint8_t *bits);
int chunk_store_write_layer(struct chunk_store *self, const struct hash *layer);

/* Brings the partial file's name and what was written to the disk, so that a power failure loses none of it.
 * On a worker; 0 or an errno. */
int chunk_store_sync(struct chunk_store *self);

/* What the target will have beyond its content; nothing special by default. */
void chunk_store_set_attributes(struct chunk_store *self, const struct file_attributes *attributes);

/* The target is in this folder below `folder`, which is made when it is published: until then nobody brought
 * anything that is worth a folder. Only with a `temp`. */
void chunk_store_set_below(struct chunk_store *self, const char *below);

/*
 * Drops map and layer, syncs, and renames to the target. A range is copied into a file of its own, and the
 * partial file removed unless an earlier run left chunks outside the range in it. On a worker: it syncs.
 * After PUBLISH_OK only chunk_store_target() and chunk_store_close() are left to call.
 */
enum publish_result chunk_store_publish(struct chunk_store *self, enum publish_conflict conflict);

/* The target's name in its folder, with the number that it got. Valid until closed. */
const char *chunk_store_target(const struct chunk_store *self);

/* Partial files in `folder` of the same name and another id; calls `found` for each. */
void chunk_store_find_others(const char *folder, const char *name, const struct file_id *id, void *owner,
                             void (*found)(void *owner, int folder_fd, const char *partial_name));

#endif
