/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_SHARES_PRIVATE_H
#define NODE_SHELL_SHARE_SHARES_PRIVATE_H

/*
 * The parts of shares.h. shares_scanning.c: what is looked at, when, and what becomes of it in the index.
 * shares_hashing.c brings every file of the index to an id. A handle without one goes through these places:
 * looked up in the cache, in batches; held until it is quiet; hashed, from the queue of small or of large
 * files; set aside until the next look, when that failed for a passing reason. shares_view.c: what a person
 * is shown. shares.c: folders, and those who serve.
 */

#include "node/shell/share/file_hash.h"
#include "node/shell/share/hash_cache.h"
#include "node/shell/share/scan.h"
#include "node/shell/share/shares.h"
#include "node/shell/share/watch.h"

#include <stddef.h>

/* Lines that nobody has taken yet: two scans' worth. */
#define MESSAGES_MAX (2 * SCAN_NOTES_MAX)

/* Unreadable files that are named between two scans. */
#define REPORTS_MAX 32

/* Files in one lookup: a few milliseconds, and a few hundred KiB. */
#define LOOKUP_MAX 1024

/* Small files under way: enough to keep the workers fed between two rounds of the loop. */
#define SMALL_MAX 32

/* Large files under way: while one opens or is joined, the other goes on. */
#define LARGE_MAX 2

/* Files that were put into a share and not yet found there: a few for each that lands at a time. */
#define ADOPTED_MAX 64

#define NEVER_MS UINT64_MAX

#define container_of_job(job, type, member) ((type *)(void *)((char *)(job)-offsetof(type, member)))

struct handles {
    uint64_t *items;
    size_t first, end, room; /* those in [first, end) wait */
};

struct lookup {
    struct job job;
    bool is_running, has_run;
    size_t count;
    uint64_t handles[LOOKUP_MAX];
    struct cache_key keys[LOOKUP_MAX]; /* paths are copies; share paths are the folders' */
    struct cache_found found[LOOKUP_MAX];
};

/* One file being hashed. */
struct hashing {
    struct shares *shares;
    uint64_t handle; /* 0: free */
    uint32_t share;
    struct file_hash *hash;
};

/* A file that waits until it is quiet. */
struct held {
    uint64_t handle, due_ms;
};

/* Content that is known before the file is found: shares_adopt(). */
struct adopted {
    uint32_t share;
    char *path;
    struct file_stamp stamp;
    struct hash root;
};

/* Of the uint64_t here, masks have a bit for each share. */
struct scan_state {
    struct job job;
    struct scan *scan;
    struct scan_result result;
    bool is_running;
    bool is_done;                          /* what the job returns is there */
    uint64_t wanted;                       /* mask: to be scanned from top to bottom */
    uint64_t current;                      /* mask: is being scanned */
    uint64_t troubled;                     /* mask: of this scan */
    uint64_t unseen;                       /* mask: not seen to the end */
    uint64_t not_there, unwatched;         /* masks */
    uint64_t now_ms;                       /* of the last tick */
    uint64_t due_ms, safety_ms, checks_ms; /* the next scan of what is not watched, of all; of the folders */
    uint64_t began_ms, duration_ms, count; /* of scans from top to bottom */
    uint64_t manifests;                    /* mask: something happened beside what they name */
    uint64_t manifests_ms;                 /* when they may be looked at */
    uint64_t manifests_began_ms;           /* they are in the step that runs; 0: they are not */
    bool has_overflow;                     /* events were lost: everything is scanned, but not all the time */
    bool has_told_unwatched;
    uint64_t first_handles_end; /* found by the first scan; UINT64_MAX until it has ended */
};

struct flush_state {
    struct job job;
    bool is_running;
    uint64_t due_ms;
};

struct shares {
    struct workers *workers;
    struct share_folder folders[SHARES_FOLDERS_MAX]; /* path NULL: a free place */
    size_t folder_end;                               /* no place from here on was ever used */
    uint64_t removed;                                /* mask: shared no more, but jobs may still use it */
    char *hidden;                                    /* a folder that is not shared; NULL for none */
    struct watch *watch;
    struct watch_rules *rules;
    bool has_events;
    struct share_index *index;
    struct hash_cache *cache;
    struct scan_state scan;
    struct flush_state flush;
    struct lookup lookup;
    uint64_t looked_up; /* handles up to this one were, or are being, looked up */
    struct handles small, large, later;
    uint64_t asked[SHARE_ASKED_MAX]; /* somebody waits for these */
    size_t asked_count;
    struct held *held;
    size_t held_count, held_room;
    uint64_t held_ms; /* when the first of them is due */
    struct adopted adopted[ADOPTED_MAX];
    size_t adopted_count;
    struct hashing small_running[SMALL_MAX], large_running[LARGE_MAX];
    struct shares_figures figures;
    struct scan_notes notes; /* of the last scan: what was told already */
    char *messages[MESSAGES_MAX];
    size_t message_count, report_count;
    size_t left_out_told; /* the most files that were told to be left out */
};

/* A line for the person who runs the node; taken over. */
void shares_tell(struct shares *self, char *line);

/* A file that cannot be read. */
void shares_report(struct shares *self, const char *path, int error);

/* True when this place holds a folder that is shared. */
bool shares_has_folder(const struct shares *self, size_t share);

void scanning_init(struct shares *self);
void scanning_release(struct shares *self);
bool scanning_is_busy(const struct shares *self);

/* Starts what is due. Returns the next deadline; NEVER_MS while a step runs, for its end brings a tick. */
uint64_t scanning_tick(struct shares *self, uint64_t now_ms);

/* Something has happened to this file. */
void scanning_look(struct shares *self, uint32_t share, const char *path, const char *name);

/* A share is new; is gone. */
void scanning_add(struct shares *self, uint32_t share);
void scanning_remove(struct shares *self, uint32_t share);

void hashing_init(struct shares *self);
void hashing_release(struct shares *self);

/* Starts all that may run now. Called whenever the index or what runs has changed. */
void hashing_pump(struct shares *self);

/* Queues what is quiet now; returns when the next will be. */
uint64_t hashing_tick(struct shares *self, uint64_t now_ms);

/* Queues again what was set aside. */
void hashing_retry(struct shares *self);

/* A file of this content is about to be found. The strings and values are copied. */
void hashing_adopt(struct shares *self, uint32_t share, const char *path, const struct file_stamp *stamp,
                   const struct hash *root);

/* True when a job has to do with this share. */
bool hashing_uses(const struct shares *self, uint32_t share);
bool hashing_is_busy(const struct shares *self);

/* Bytes of a file that are hashed so far: 0 while it waits. */
uint64_t hashing_bytes(const struct shares *self, uint64_t handle);
uint64_t hashing_bytes_in_all(const struct shares *self);

#endif
