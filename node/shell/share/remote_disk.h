/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_REMOTE_DISK_H
#define NODE_SHELL_SHARE_REMOTE_DISK_H

/*
 * File systems on which other machines, or a program that the kernel knows nothing of, may change files: no
 * event tells of it, and the change time is theirs, comes when they like, and costs a flush to ask for.
 */
#include <stdbool.h>

/* Is the open file on one? Also true when that cannot be told. */
bool remote_disk_has(int fd);

#endif
