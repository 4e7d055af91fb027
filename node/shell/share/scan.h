/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_SCAN_H
#define NODE_SHELL_SHARE_SCAN_H

/*
 * Finds what is in the share folders, or in some places of them, a part at a time. A step runs on a worker
 * and takes as long as the disk does; places may be added between two steps, and are looked at next.
 *
 * Shared are regular files, at any depth, under their path below the folder. Not shared: what begins with a
 * dot (our own partial files too), special files, and what a symlink leads to unless that is below the same
 * folder and not under a dot folder. Folders are read in order of name. A folder that may not be read is not
 * shared, which is noted and takes nothing from an answer; one that fails for a passing reason is trouble:
 * what was known of it stays.
 */

#include "node/share/share_index.h"
#include "node/shell/share/share_folder.h"
#include "node/shell/share/watch.h"
#include "node/shell/workers.h"

/* A name has at most 1024 bytes, hence 512 components: nothing deeper could be shared. */
#define SCAN_DEPTH_MAX 512

/* Entries below links to folders, which whoever writes to a share can multiply; a second or two of a scan. */
#define SCAN_LINKED_MAX 100000

/* Reasons kept of one scan: a screen or two. The rest is counted. */
#define SCAN_NOTES_MAX 64

/* A step ends after the folder in which it has found this many files, read this many folders, or taken this
 * long: what it found costs memory until it is taken over, and new places wait for its end. */
#define SCAN_STEP_FILES   4096
#define SCAN_STEP_FOLDERS 1024
#define SCAN_STEP_MS      100

/* Why something is not shared: lines for a person, escaped, without an end of line. */
struct scan_notes {
    char *lines[SCAN_NOTES_MAX];
    size_t count, left_out_count;
};

struct scan;

/* `workers` is asked whether to stop; both may be NULL, then nothing is watched, and nothing stops. */
struct scan *scan_new(const struct workers *workers, struct watch *watch);
void scan_destroy(struct scan **self_p);

/* A folder that is left out wherever it is met; it need not exist yet. Borrowed; NULL for none. */
void scan_hide(struct scan *self, const char *path);

/*
 * A place to look at: a file, a folder or nothing any more. "" is the share itself. `is_deep`: all folders
 * below too; else only those that are not watched yet. The folder is borrowed until the scan is idle.
 */
void scan_add(struct scan *self, const struct share_folder *folder, uint32_t share, const char *path,
              const char *name, bool is_deep);

/* Scans the share if its folder is another one than before. */
void scan_check(struct scan *self, const struct share_folder *folder, uint32_t share);

/* What a step found. */
struct scan_result {
    struct scan_outcome outcome; /* a part; is_complete is for the caller to set */
    /* Of the next four, a bit for each share. */
    uint64_t troubled;         /* something in it is not known for a passing reason */
    uint64_t there, not_there; /* its folder, or manifest, was looked for */
    uint64_t renewed;          /* its manifest was read anew: what was noted of it is over */
    uint64_t unwatched;        /* a folder in it could not be watched */
    enum watch_result reason;  /* of the last one of these */
    char *where;               /* and its path, malloc'd */
};

/* Looks at some of the places. False when the workers are stopping: nothing is returned then. */
bool scan_step(struct scan *self, struct scan_result *ret_result);

/* True when no place is left. Then the notes are what was noted since it was last idle. */
bool scan_is_idle(const struct scan *self);
struct scan_notes scan_take_notes(struct scan *self);
void scan_notes_release(struct scan_notes *self);

#endif
