/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_MANIFEST_FILE_H
#define NODE_SHELL_SHARE_MANIFEST_FILE_H

/*
 * A manifest on disk, and the files that it names. It is read anew when it has changed; while it cannot be
 * read, its last content holds. Relative paths start at its folder. Symlinks are followed, wherever they
 * lead, for its writer could have named that place himself; what is shared is the real place, and a link
 * that leads elsewhere later is followed anew. One thread at a time.
 */
#include "node/share/manifest.h"
#include "node/share/share_index.h"

/* Lines of 160 bytes on average, MANIFEST_ENTRIES_MAX times. */
#define MANIFEST_SIZE_MAX (16u << 20)

struct manifest_file {
    char *path, *folder; /* absolute; of the manifest itself */
    struct file_stamp stamp;
    struct manifest *manifest;
    bool is_new; /* it was read since somebody set this to false */
};

/* Reads it. 0, or an errno: EINVAL when it is no regular file, EFBIG above MANIFEST_SIZE_MAX. */
int manifest_file_init(struct manifest_file *self, const char *path);
void manifest_file_release(struct manifest_file *self);

/* Reads it again if it has changed. 0, or an errno. */
int manifest_file_update(struct manifest_file *self);

/* The absolute path that an entry names; malloc'd. */
char *manifest_file_path(const struct manifest_file *self, const struct manifest_entry *entry);

#endif
