/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_LANDING_H
#define NODE_SHELL_FETCH_LANDING_H

/*
 * Where the small files of a tree land: below one folder, under names that the network chose. The kernel
 * resolves them through no symlink, so that nothing planted there leads out. A file is written under the name
 * of its partial file, and gets its own name once it is synced; what an earlier run left under either name is
 * recognised by its hash.
 *
 * Each job has a landing of its own: it keeps the last folder open, because neighbours share one.
 */
#include "messages/id.h"
#include "node/shell/fetch/file_attributes.h"

#include <stddef.h>

/* Strings are borrowed. `path` is a valid wire name whose components fit a folder; size is that of one chunk
 * at most. */
struct landing_file {
    const char *path;
    struct file_id id;
    struct hash root;
    uint32_t size;
    struct file_attributes attributes;
};

enum landing_result {
    LANDING_OK,
    LANDING_MISSING,   /* nothing is there yet */
    LANDING_WRITTEN,   /* the partial file is complete; it only lacks its name */
    LANDING_DIFFERENT, /* another file has the name */
    LANDING_MISMATCH,  /* the bytes are not those of the root */
    LANDING_FAILED,    /* errno */
};

struct landing {
    int root_fd;
    int folder_fd;     /* -1 when none is open */
    char *folder_path; /* of folder_fd, or of the folder that is not there */
};

/* root_fd is borrowed. */
void landing_init(struct landing *self, int root_fd);
void landing_release(struct landing *self);

/* What is there: OK (the very file), MISSING, WRITTEN, DIFFERENT or FAILED. */
enum landing_result landing_look(struct landing *self, const struct landing_file *file);

/* Checks the bytes against the root and writes the partial file, making folders: OK, MISMATCH or FAILED. */
enum landing_result landing_write(struct landing *self, const struct landing_file *file,
                                  const uint8_t *bytes);

/* Gives the partial file its name: OK, DIFFERENT when another has it and is not to be replaced, or FAILED;
 * with ETXTBSY when another program has changed it since it was written. */
enum landing_result landing_publish(struct landing *self, const struct landing_file *file, bool must_replace);

/*
 * A folder below root_fd, made if need be: a descriptor, or -1 with errno. `path` is a valid wire name, or
 * empty.
 */
int landing_open_folder(int root_fd, const char *path);

/* So that what is in a folder that was made is not lost with it: syncs those above `path` up to root_fd,
 * whose entries may be new. False with errno. */
bool landing_sync_above(int root_fd, const char *path);

#endif
