/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FOLDERS_H
#define NODE_SHELL_FOLDERS_H

/*
 * Makes folders on demand, each with `mode` less the umask. What is there already is taken for a folder: if
 * it is something else, whoever opens a file in it is told so. A folder that is made is synced into the one
 * above: what is durable in it must not be lost with it. So these may wait for the disk.
 */

#include <stdbool.h>
#include <sys/types.h>

/* The folder itself and what it lacks above. False with errno. */
bool folders_make(const char *path, mode_t mode);

/* Only the folder itself: what is above is there, or somebody took it away. False with errno. */
bool folders_make_one(const char *path, mode_t mode);

/* Only what leads to `path`. False with errno. */
bool folders_make_above(const char *path, mode_t mode);

/* Brings the names in an open folder to the disk; some network file systems cannot, and that is no failure.
 * False with errno. */
bool folders_sync(int fd);

/* The same for the folder in which the name of what is at `path` stands. */
bool folders_sync_above(const char *path);

#endif
