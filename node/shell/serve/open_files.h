/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_OPEN_FILES_H
#define NODE_SHELL_SERVE_OPEN_FILES_H

/* Descriptors of the files that are being served, kept open between reads. One thread owns it; a file is
 * opened by the worker that is the first to read from it, for a disk may take its time. */

#include "node/content/content.h"
#include "node/share/share_index.h"

#include <pthread.h>

/* Files served at the same time, give or take; far below the limit of 1024 that a shell gives. */
#define OPEN_FILES_KEPT_MAX 64

/* Where a file is. Whoever gets one owns its descriptors and its path. */
struct open_file_place {
    int fd;                  /* open already; -1: */
    int folder_fd;           /* to be opened with share_open() below this one; else -1 */
    char *path;              /* there, malloc'd; else NULL */
    bool has_stamp;          /* false for a partial file, which changes as it grows */
    struct file_stamp stamp; /* what was hashed */
    uint64_t lane;           /* struct job's; which disk it is on, as far as is known without asking it */
};

struct open_file {
    struct content content;
    struct open_file_place place;
    pthread_mutex_t opening;
    unsigned user_count; /* reads under way: never closed then */
    struct open_file *prev, *next;
};

struct open_files {
    struct open_file *files; /* most recently used first */
    size_t count;
};

/* Most recently used now; NULL when it is not open. */
struct open_file *open_files_find(struct open_files *self, struct content content);

/* Takes over the place. Closes the least recently used ones that are over the limit and not in use. */
struct open_file *open_files_add(struct open_files *self, struct content content,
                                 const struct open_file_place *place);

/* On a worker of one of its users: its descriptor. -1 with errno; ESTALE when it is not what was hashed but
 * *ret_stamp. */
int open_file_fd(struct open_file *file, struct file_stamp *ret_stamp);

/* Forgets a file, so that it is opened anew; it closes when no read is under way. */
void open_files_forget(struct open_files *self, struct content content);

/* One of its users saw that it does not open: it is looked for anew next time. */
void open_file_drop(struct open_file *file);

/* One read ended. */
void open_files_put(struct open_files *self, struct open_file *file);

/* Closes all that are not in use. */
void open_files_close_unused(struct open_files *self);

#endif
