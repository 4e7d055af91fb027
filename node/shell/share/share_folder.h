/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_SHARE_FOLDER_H
#define NODE_SHELL_SHARE_SHARE_FOLDER_H

/*
 * A folder that is shared: where it is, and an open descriptor of it to open what is below. With a manifest
 * it is the root of the file system, and only what the manifest names is shared.
 */
#include "node/shell/share/manifest_file.h"

struct share_folder {
    int fd;       /* O_PATH; its number stays the same when the folder is found to be another one */
    char *path;   /* real and absolute */
    bool is_flat; /* only what lies directly in it */
    struct manifest_file *manifest; /* NULL, mostly */
};

/* False with errno; ENOTDIR for a file. */
bool share_folder_open(const char *path, bool is_flat, struct share_folder *ret_folder);

/* 0, or an errno as of manifest_file_init(). */
int share_folder_open_manifest(const char *path, struct share_folder *ret_folder);
void share_folder_release(struct share_folder *self);

/*
 * When another folder is at the path now (removed and made anew, or mounted over), later opens reach that
 * one. 0, or an errno when there is none. On any thread.
 */
int share_folder_reopen(const struct share_folder *self, bool *ret_is_another);

/* The part of a real path that is below the folder; NULL when it is not, or when it is not to be shared. */
const char *share_folder_below(const struct share_folder *self, const char *real_path);

#endif
