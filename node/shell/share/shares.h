/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_SHARES_H
#define NODE_SHELL_SHARE_SHARES_H

/*
 * The share folders of a node on disk: watches and scans them, looks up what the cache knows, hashes the
 * rest, and keeps the share index true. Lives on the loop's thread and does nothing slow there; the jobs run
 * on the workers, few at a time and behind every read that is served. Small files come first, but a large one
 * always keeps one span going, so neither waits for the other.
 *
 * Order of the end: workers_destroy(), which brings back every job, then shares_destroy().
 */

#include "node/share/share_index.h"
#include "node/shell/workers.h"

/* What cannot be watched is scanned this often; this is how soon a new file is seen there. */
#define SHARES_SCAN_INTERVAL_MS 5000

/* What is watched is scanned too, for what no event tells: a write through a mapping, a mount over a folder.
 */
#define SHARES_SAFETY_INTERVAL_MS 900000

/* How soon it is seen that a share folder itself came back or was replaced, which no event tells either. */
#define SHARES_CHECK_INTERVAL_MS 2000

/* A scan that takes long is made seldom: at most one part in this many of the time. */
#define SHARES_SCAN_SHARE 20

/* `--share` is repeated by hand. */
#define SHARES_FOLDERS_MAX 64

struct shares;

/* cache_path NULL: hashes are not kept for the next start. */
struct shares *shares_new(struct workers *workers, const char *cache_path);
void shares_destroy(struct shares **self_p);

/*
 * At any time. `is_flat`: only files directly in the folder, none below. False with errno; ENOSPC above
 * SHARES_FOLDERS_MAX. A folder that is there twice is kept once.
 */
bool shares_add_folder(struct shares *self, const char *path, bool is_flat);

/* Whatever is below this folder is not shared: what is unfinished is there. It need not exist yet. Before the
 * first tick. */
void shares_hide(struct shares *self, const char *path);

/*
 * Shares what a manifest names, as it says now and whenever it changes (manifest_file.h). Before the folders,
 * so that its names go before theirs. 0, or an errno: EINVAL when it is no regular file, EFBIG when it is too
 * large, ENOSPC above SHARES_FOLDERS_MAX.
 */
int shares_add_manifest(struct shares *self, const char *path);

/*
 * Withdraws a folder with all its files at once; what is being read ends with an error that says so. The path
 * is as it was given or as it is listed; the folder itself may be gone. False when it is not shared.
 */
bool shares_remove_folder(struct shares *self, const char *path);

/*
 * Watches the folders from now on: shares_on_watch() is for loop_add_fd(), with the descriptor returned here.
 * -1 when nothing can be watched, which is told; then they are scanned again and again.
 */
int shares_watch(struct shares *self);
void shares_on_watch(void *shares);

/* Starts what is due and returns the next deadline; made for loop_add_ticker(). */
uint64_t shares_tick(void *shares, uint64_t now_ms);

/* Scans everything as soon as possible. */
void shares_rescan(struct shares *self);

/* Valid as long as the shares. It changes while workers_collect() runs: share_index_generation() tells. */
const struct share_index *shares_index(const struct shares *self);

/* What a file of the index is opened by, with share_open(), on a worker. It is still ours to read if its
 * stamp is this one; else shares_file_changed(). Descriptor and path are the caller's. */
struct shares_place {
    int folder_fd;
    char *path;
    struct file_stamp stamp;
    uint32_t share;
};

/* False with errno. */
bool shares_locate(struct shares *self, uint64_t handle, struct shares_place *ret_place);

/*
 * A reader saw that the file is not what was hashed: it is hashed anew at once. `stamp` is what it is now,
 * NULL when that is not known (it could not be opened, or was too short).
 */
void shares_file_changed(struct shares *self, uint64_t handle, const struct file_stamp *stamp);

/*
 * Copies hashes [first, first + count), inside the layer, of a ready file that has one. False when they are
 * lost or the file is gone: it is hashed anew, and the asker may try again later.
 */
bool shares_layer(struct shares *self, uint64_t handle, uint32_t first, uint32_t count,
                  struct hash *ret_hashes);

struct shares_figures {
    uint64_t hashed_files, hashed_bytes; /* in this process */
    uint64_t cached_files;               /* known from an earlier one */
    size_t waiting_files;                /* without an id yet */
    uint64_t waiting_bytes;              /* of these, what is still to be hashed */
    uint64_t scan_count;                 /* scans from top to bottom that ended */
    bool is_busy;                        /* something is being scanned, looked up, hashed or written */
};
struct shares_figures shares_figures(const struct shares *self);

/* One folder that is shared; position < shares_folder_count(), in the order in which they were added. */
struct shares_folder_view {
    const char *path; /* real; any bytes: escape it. Valid until a folder is removed */
    bool is_flat;
    bool is_there;   /* false: it is gone, and shared again when it comes back */
    bool is_watched; /* false: changes are found by scanning */
};
size_t shares_folder_count(const struct shares *self);
struct shares_folder_view shares_folder_at(const struct shares *self, size_t position);

/* One file, whether it has an id yet or not, in byte order of name; position < shares_file_count(). */
struct shares_file_view {
    struct text name; /* valid until the loop goes on */
    uint64_t size;
    enum share_state state;
    struct file_id id;     /* when SHARE_READY */
    uint64_t hashed_bytes; /* when SHARE_UNHASHED: how far it is; 0 while it waits */
};
size_t shares_file_count(const struct shares *self);
struct shares_file_view shares_file_at(const struct shares *self, size_t position);

/* Where it is on this machine: malloc'd, any bytes. */
char *shares_file_path(const struct shares *self, size_t position);

/*
 * A file that was just put into a share, and whose content is known and verified: it is shared without being
 * hashed, provided that a look finds it with this very stamp. Takes over `layer` (chunk_count hashes, NULL
 * for a file of one chunk), also when it returns false: the path, whose folder must exist, is in no share.
 */
bool shares_adopt(struct shares *self, const char *path, const struct file_stamp *stamp,
                  const struct hash *root, struct hash *layer);

/* A line for the person who runs the node (what is not shared and why, trouble with the cache); NULL when
 * there is none. */
char *shares_take_message(struct shares *self);

#endif
