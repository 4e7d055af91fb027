/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARES_PRIVATE_H
#define NODE_SHELL_SHARES_PRIVATE_H

/*
 * The two halves of shares.h: shares.c scans, writes the cache and serves; shares_hashing.c brings every file
 * of the index to an id. A handle without one goes through three places: looked up in the cache, in batches;
 * hashed, from the queue of small or of large files; set aside until the next scan, when that failed for a
 * passing reason.
 */

#include "node/shell/file_hash.h"
#include "node/shell/hash_cache.h"
#include "node/shell/scan.h"
#include "node/shell/shares.h"

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
    struct file_hash *hash;
};

struct scan_state {
    struct job job;
    bool is_running, is_wanted;
    bool is_done;   /* what the job returns is there */
    bool has_ended; /* since the last tick */
    uint64_t due_ms, duration_ms, count;
    struct scan_outcome outcome;
    struct scan_notes notes;
};

struct flush_state {
    struct job job;
    bool is_running;
    uint64_t due_ms;
};

struct shares {
    struct workers *workers;
    struct share_folder folders[SHARES_FOLDERS_MAX];
    size_t folder_count;
    struct share_index *index;
    struct hash_cache *cache;
    struct scan_state scan;
    struct flush_state flush;
    struct lookup lookup;
    uint64_t looked_up; /* handles up to this one were, or are being, looked up */
    struct handles small, large, later;
    struct hashing small_running[SMALL_MAX], large_running[LARGE_MAX];
    struct shares_figures figures;
    struct scan_notes notes; /* of the last scan: what was told already */
    char *messages[MESSAGES_MAX];
    size_t message_count, report_count;
};

/* A file that cannot be read. */
void shares_report(struct shares *self, const char *path, int error);

void hashing_init(struct shares *self);
void hashing_release(struct shares *self);

/* Starts all that may run now. Called whenever the index or what runs has changed. */
void hashing_pump(struct shares *self);

/* Queues again what was set aside. */
void hashing_retry(struct shares *self);
bool hashing_is_busy(const struct shares *self);

/* Bytes of a file that are hashed so far: 0 while it waits. */
uint64_t hashing_bytes(const struct shares *self, uint64_t handle);

#endif
