/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_CHUNK_STORE_PRIVATE_H
#define NODE_SHELL_FETCH_CHUNK_STORE_PRIVATE_H

/* What chunk_store.c (the partial file), chunk_store_write.c (writing to it, and watching who else does) and
 * chunk_store_publish.c (its end) share. */

#include "node/shell/fetch/chunk_store.h"

#include <pthread.h>
#include <sys/stat.h>

#define PARTIAL_SUFFIX ".zpart"

struct chunk_store {
    struct layout layout;
    struct file_id id;
    struct file_attributes attributes;
    int folder_fd, fd;
    int temp_fd;       /* where the partial file is; may be folder_fd */
    char *below;       /* folders between `folder_fd` and the target; NULL: none, or they are made */
    size_t above_size; /* bytes of the name before `name` */
    char name[PARTIAL_NAME_SIZE];
    char partial_name[PARTIAL_NAME_SIZE]; /* empty when unnamed */
    struct chunk_map claims;
    struct hash *layer;
    bool is_name_synced;
    size_t map_size; /* head, bits, checksum, rounded up to a page */
    uint64_t range_begin, range_end;

    pthread_mutex_t writing; /* one writer at a time, as the kernel has it anyway */
    bool is_watched;
    struct timespec change_at; /* the file's change time after our last write */
    off_t left_size;           /* and its size */
    bool is_touched;
};

/* Notes whether others have changed the file since our last write; notes how our write left it. Holding
 * `writing`. */
void chunk_store_watch(struct chunk_store *self);
void chunk_store_begin_watching(struct chunk_store *self);
void chunk_store_remember(struct chunk_store *self);

/* Writes to any file of ours; zeros become a hole where the file system can do that. 0 or an errno. */
int chunk_store_put(int fd, const void *bytes, size_t size, uint64_t offset);

#endif
