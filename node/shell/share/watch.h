/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_WATCH_H
#define NODE_SHELL_SHARE_WATCH_H

/*
 * The inotify watches on shared folders: one a folder, under every name that it has. Tells where something
 * happened, not what to do about it (watch_rules.h).
 *
 * A watch is added before the folder is read, so that nothing is missed in between; adding may be done on any
 * thread, events are read on the owner's. A folder that moves away takes its watch with it, so it must be
 * forgotten.
 */
#include "node/share/watch_rules.h"

#include <stddef.h>

struct watch;

/* NULL with errno: EMFILE when fs.inotify.max_user_instances is reached. */
struct watch *watch_new(void);
void watch_destroy(struct watch **self_p);

/* Readable when something happened. */
int watch_fd(const struct watch *self);

enum watch_result {
    WATCH_DONE,
    WATCH_REMOTE, /* it is watched, but changes by other machines are not seen */
    WATCH_LIMIT,  /* fs.inotify.max_user_watches is reached */
    WATCH_FAILED, /* another reason */
};

/* Watches an open folder. `path` and `name` as in scanned_file; with an absolute path, whatever happens there
 * happens to the share as a whole. */
enum watch_result watch_add(struct watch *self, int fd, uint32_t share, const char *path, const char *name);

/* True when the folder of this name is watched. */
bool watch_knows(struct watch *self, uint32_t share, const char *name);

/* Ends the watches of this folder and all below it; "" is the whole share. */
void watch_forget(struct watch *self, uint32_t share, const char *name);

/* Hands what happened since the last call to the rules. */
void watch_read(struct watch *self, struct watch_rules *rules, uint64_t now_ms);

#endif
