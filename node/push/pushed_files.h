/* SPDX-License-Identifier: MIT */
#ifndef NODE_PUSH_PUSHED_FILES_H
#define NODE_PUSH_PUSHED_FILES_H

/*
 * Files that pushes brought and that are still here: what they take of the quota. A file counts as long as
 * this node shares its content, under whatever name; one that was deleted, moved out of the share or changed
 * does not any more. That is found out by pushed_files_review(), so until then the sum is too high, never too
 * low.
 *
 * Kept as text to which lines are appended: COST ID, the id in hex. A later line of an id stands for an
 * earlier one, and a cost of 0 means that it is gone.
 */
#include "node/serve/holdings.h"

/* Strangers set it: each costs about 100 bytes. With the default quota a file takes 40 KiB at this number. */
#define PUSHED_FILES_MAX (1u << 18)

/* The longest line: 20 digits, a blank, 64 digits, its end and a NUL. */
#define PUSHED_LINE_SIZE 87

struct pushed_files;

struct pushed_files *pushed_files_new(void);
void pushed_files_destroy(struct pushed_files **self_p);

/* False when that is one too many. A cost of 0 forgets it. */
bool pushed_files_add(struct pushed_files *self, const struct file_id *file, uint64_t cost_bytes);
size_t pushed_files_count(const struct pushed_files *self);

/* What all take but this one, which may come again. */
uint64_t pushed_files_bytes(const struct pushed_files *self, const struct file_id *but);

/* Forgets those that are gone: the lines that say so, malloc'd; NULL when none is. While files are being
 * hashed, any of them may be one of these. */
char *pushed_files_review(struct pushed_files *self, const struct holdings *holdings);

/* One line, with its end; and all, malloc'd. */
void pushed_line_format(const struct file_id *file, uint64_t cost_bytes, char ret_line[PUSHED_LINE_SIZE]);
char *pushed_files_format(const struct pushed_files *self);

/* Any text: what is no line is left out. */
void pushed_files_load(struct pushed_files *self, struct text text);

#endif
