/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_EMPTY_FILES_H
#define NODE_SHELL_DOWNLOADS_EMPTY_FILES_H

/*
 * The empty file that somebody pushes: nothing has to come, so it is just made, and synced with its folders,
 * on a worker. All empty files have one id, so one is made at a time.
 *
 * Order of the end: empty_files_destroy(), then workers_destroy(); what is under way then tells nobody.
 */
#include "messages/message.h"
#include "node/shell/workers.h"

/* The share has a new file within 2 s; until then whoever pushes it again gets no second one. */
#define EMPTY_HELD_MS 5000

struct empty_files_config {
    struct workers *workers;
    const char *folder; /* of downloads */
    void *owner;

    /* It is there, under `target` below the folder; or it is not, and `error` says why. */
    void (*made)(void *owner, const struct file_id *file, const char *target);
    void (*failed)(void *owner, const struct file_id *file, int error);
};

struct empty_files;

/* Borrows all of it. */
struct empty_files *empty_files_new(const struct empty_files_config *config);
void empty_files_destroy(struct empty_files **self_p);

/* The file lands under the whole path of its name. Nothing, while one is being made: that one will do. */
void empty_files_make(struct empty_files *self, const struct file_entry *file);

/* The target of one that was just made; NULL when there is none. Valid until the loop goes on. */
const char *empty_files_last(const struct empty_files *self, uint64_t now_ms);

#endif
