/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SCAN_H
#define NODE_SHELL_SCAN_H

/*
 * Finds what is in the share folders. Runs on a worker and takes as long as the disk does.
 *
 * Shared are regular files, at any depth, under their path below the folder. Not shared: what begins with a
 * dot (our own partial files too), special files, and what a symlink leads to unless that is below the same
 * folder and not under a dot folder. Names are cleaned, and numbered where they collide, in order of share
 * and path: the same files always get the same names. A folder that may not be read is not shared, which is
 * noted and takes nothing from an answer; one that fails for a passing reason makes the outcome incomplete.
 */

#include "node/share_index.h"
#include "node/shell/workers.h"

/* A name has at most 1024 bytes, hence 512 components: nothing deeper could be shared. */
#define SCAN_DEPTH_MAX 512

/* Entries below links to folders, which whoever writes to a share can multiply; a second or two of a scan. */
#define SCAN_LINKED_MAX 100000

/* Reasons kept of one scan: a screen or two. The rest is counted. */
#define SCAN_NOTES_MAX 64

struct share_folder {
    int fd;       /* O_PATH; its number stays the same when a scan finds that the folder was replaced */
    char *path;   /* real and absolute */
    bool is_flat; /* only what lies directly in it */
};

/* Why something is not shared: lines for a person, escaped, without an end of line. */
struct scan_notes {
    char *lines[SCAN_NOTES_MAX];
    size_t count, left_out_count;
};

/* Opens a share folder. False with errno; ENOTDIR for a file. */
bool share_folder_open(const char *path, bool is_flat, struct share_folder *ret_folder);
void share_folder_release(struct share_folder *self);

/*
 * Looks at all folders. `workers` is asked whether to stop, and may be NULL. False when it stopped: nothing
 * is returned then. Otherwise the outcome is the caller's (share_index_scanned() takes it), and so are the
 * notes.
 */
bool scan_shares(const struct share_folder *folders, size_t folder_count, const struct workers *workers,
                 struct scan_outcome *ret_outcome, struct scan_notes *ret_notes);

void scan_outcome_release(struct scan_outcome *self);
void scan_notes_release(struct scan_notes *self);

#endif
