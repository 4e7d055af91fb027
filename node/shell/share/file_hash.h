/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_FILE_HASH_H
#define NODE_SHELL_SHARE_FILE_HASH_H

/*
 * Hashes one file into its root and chunk layer, a span of 4 MiB a job, so that all workers can take part in
 * one large file and no job holds a worker for long.
 *
 * The file is looked at before and after each span: a file that changed meanwhile gives FILE_HASH_CHANGED,
 * never a wrong root. A file written within the last 20 ms is waited for first, because until its clock has
 * ticked a further write may leave all times as they are; file systems with coarser times (FAT: 2 s) are not
 * covered. Jobs go behind all others; how many of one file are under way is bounded by its owner.
 */

#include "node/content/layout.h"
#include "node/share/share_index.h"
#include "node/shell/workers.h"

#define FILE_HASH_SPAN_SIZE (UINT64_C(4) << 20) /* the largest chunk: a span is whole chunks of any file */

/* Spans of one file under way: enough for the most workers. */
#define FILE_HASH_PARALLEL_MAX 16

/* The chunk layer is kept in memory while a file is hashed: 512 MiB for this one, 8 MiB for 1 TiB. */
#define FILE_HASH_SIZE_MAX (UINT64_C(64) << 40)

enum file_hash_status {
    FILE_HASH_READY,
    FILE_HASH_CHANGED, /* it changed while it was read: try again later */
    FILE_HASH_FAILED,  /* see `error` */
    FILE_HASH_STOPPED, /* the workers are ending */
};

struct file_hash_result {
    enum file_hash_status status;
    int error;               /* an errno; EFBIG above FILE_HASH_SIZE_MAX, EINVAL for no regular file */
    struct file_stamp stamp; /* what was hashed, when READY */
    struct hash root;
    struct hash *layer; /* malloc'd, chunk_count of layout_of(stamp.size); NULL without a layer */
};

struct file_hash;

/*
 * Called once on the owner's thread. The result is borrowed but for `layer`, which may be taken by setting it
 * to NULL. The object is freed afterwards.
 */
typedef void file_hash_done(void *owner, struct file_hash_result *result);

/*
 * Starts to hash a file of a share (opened on a worker with share_open(); the path is copied, folder_fd must
 * stay open), or an open descriptor, which is taken. `parallel` spans run at a time, at least one.
 */
struct file_hash *file_hash_start(struct workers *workers, int folder_fd, const char *path, unsigned parallel,
                                  file_hash_done *done, void *owner);
struct file_hash *file_hash_start_open(struct workers *workers, int fd, unsigned parallel,
                                       file_hash_done *done, void *owner);

/* Changes how many spans run at a time, also while it runs. */
void file_hash_set_parallel(struct file_hash *self, unsigned parallel);

/* Bytes hashed so far, for whoever shows progress. */
uint64_t file_hash_bytes(const struct file_hash *self);

#endif
