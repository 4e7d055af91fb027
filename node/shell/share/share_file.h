/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_SHARE_FILE_H
#define NODE_SHELL_SHARE_SHARE_FILE_H

/*
 * The only way to open what is shared. The kernel resolves the path below the share folder through no symlink
 * at all, so nothing that is swapped in meanwhile leads out; what opens is a regular file, never a FIFO or
 * device that would block. All functions may be called from any thread.
 */

#include "node/share/share_index.h"

#include <sys/stat.h>

/* A descriptor to read from, and what the file is now. -1 with errno: EINVAL when it is no regular file. */
int share_open(int folder_fd, const char *path, struct file_stamp *ret_stamp);

/* A folder below the share, to read its names; "" is the share itself. -1 with errno. */
int share_open_folder(int folder_fd, const char *path);

/* What is at a path below the share, without opening it: -1 with errno. */
int share_stat(int folder_fd, const char *path, struct stat *ret_status);

struct file_stamp stamp_of(const struct stat *status);

/* What an open file is now. 0, or an errno. */
int stamp_read(int fd, struct file_stamp *ret_stamp);

#endif
