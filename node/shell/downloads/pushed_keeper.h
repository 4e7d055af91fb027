/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_PUSHED_KEEPER_H
#define NODE_SHELL_DOWNLOADS_PUSHED_KEEPER_H

/*
 * The pushes that landed (node/push/pushed_files.h) and the file that keeps them from one start to the next.
 * Lines are appended, for the files of a large folder come one by one; a start writes it anew if it has
 * grown. What cannot be read or written is told once, and counts for this run only.
 *
 * Order of the end: workers_destroy(), then pushed_keeper_destroy().
 */
#include "node/push/pushed_files.h"
#include "node/shell/workers.h"

struct pushed_keeper_config {
    struct workers *workers;
    const struct holdings *holdings;
    const char *path;
    void *owner;
    void (*trouble)(void *owner, const char *text); /* a line for a person, unescaped; or NULL */
};

struct pushed_keeper;

/* Borrows all of it, and reads the file here and now. */
struct pushed_keeper *pushed_keeper_new(const struct pushed_keeper_config *config);

/* Writes here and now what is not written yet. */
void pushed_keeper_destroy(struct pushed_keeper **self_p);

void pushed_keeper_add(struct pushed_keeper *self, const struct file_id *file, uint64_t cost_bytes);
const struct pushed_files *pushed_keeper_files(const struct pushed_keeper *self);

/* Forgets what is gone. Costs a look at each, and nothing while the holdings are as they were. */
void pushed_keeper_review(struct pushed_keeper *self);

/* Writes what has changed, on a worker. */
void pushed_keeper_tick(struct pushed_keeper *self);

#endif
