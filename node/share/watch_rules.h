/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHARE_WATCH_RULES_H
#define NODE_SHARE_WATCH_RULES_H

/*
 * What to do about changes in the shared folders: which places are looked at, and when. A place that was
 * quiet is looked at as soon as a burst of events is over; one that goes on changing, once in a while, until
 * it is quiet; many places in one folder become a look at the folder; too many altogether a look at
 * everything. It only knows names and times.
 *
 * And when a file is hashed: not before it has been quiet for a moment, for what is being written would be
 * read in vain.
 */
#include "node/share/share_index.h"

/* Events of one change (create, write, close) come together. */
#define WATCH_BURST_MS 20

/* A file that is written all the time is looked at this often, a folder (as large as it may be) that often.
 */
#define WATCH_FILE_MS   250
#define WATCH_FOLDER_MS 1000

/* A file is hashed when it was last changed this long ago: together with the two above and the second between
 * two UPDATEs, 2 s after the last change. */
#define WATCH_QUIET_MS 500

/* Names in one folder, before the folder is read instead: reading costs about as much for a folder of this
 * size. */
#define WATCH_NAMES_MAX 512

/* Places in all; whoever may write to a share fills them. About 2 MiB. Then everything is scanned. */
#define WATCH_PLACES_MAX 8192

struct watch_rules;

struct watch_rules *watch_rules_new(void);
void watch_rules_destroy(struct watch_rules **self_p);

/* Where a look begins: at a file, a folder, or something that is gone. */
struct watch_place {
    uint32_t share;
    char *path, *name; /* as in scanned_file; malloc'd */
};

enum watch_event {
    WATCH_CHANGED,  /* more may follow */
    WATCH_FINISHED, /* closed, moved here, or gone: look soon, once also if it changed a moment ago */
};

/* Something happened to `base` in a folder; base "" is the folder itself. */
void watch_rules_on_event(struct watch_rules *self, enum watch_event event, uint32_t share,
                          const char *folder_path, const char *folder_name, const char *base,
                          uint64_t now_ms);

/* Events were lost. */
void watch_rules_on_overflow(struct watch_rules *self);

/* True once after events were lost or became too many: everything must be scanned. */
bool watch_rules_take_overflow(struct watch_rules *self);

/* Places that are due, at most `limit`; their strings are the caller's. Those that do not fit stay due. */
size_t watch_rules_take(struct watch_rules *self, uint64_t now_ms, struct watch_place *ret_places,
                        size_t limit);

/* When the next place is due; UINT64_MAX for none. */
uint64_t watch_rules_next_ms(const struct watch_rules *self);

/* How long a file must still be left alone before it is hashed; both on the clock that stamps files. */
uint64_t watch_quiet_ms(const struct file_stamp *stamp, uint64_t wall_ns);

#endif
