/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_OPEN_FILES_H
#define NODE_SHELL_SERVE_OPEN_FILES_H

/* Descriptors of the files that are being served, kept open between reads. One thread owns it. */

#include "node/content/content.h"
#include "node/share/share_index.h"

/* Files served at the same time, give or take; far below the limit of 1024 that a shell gives. */
#define OPEN_FILES_KEPT_MAX 64

struct open_file {
    struct content content;
    int fd;
    bool has_stamp;          /* false for a partial file, which changes as it grows */
    struct file_stamp stamp; /* what was hashed */
    unsigned user_count;     /* reads under way: never closed then */
    struct open_file *prev, *next;
};

struct open_files {
    struct open_file *files; /* most recently used first */
    size_t count;
};

/* Most recently used now; NULL when it is not open. */
struct open_file *open_files_find(struct open_files *self, struct content content);

/* Takes over `fd`. Closes the least recently used ones that are over the limit and not in use. */
struct open_file *open_files_add(struct open_files *self, struct content content, int fd);

/* Forgets a file, so that it is opened anew; it closes when no read is under way. */
void open_files_forget(struct open_files *self, struct content content);

/* One read ended. */
void open_files_put(struct open_files *self, struct open_file *file);

/* Closes all that are not in use. */
void open_files_close_unused(struct open_files *self);

#endif
