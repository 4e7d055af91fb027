/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_SHARED_FOLDERS_H
#define NODE_PROGRAM_SHARED_FOLDERS_H

/*
 * The folders that were shared at the console: kept in the state folder, a path a line, and shared again at
 * the next start. Those of the command line are not among them.
 */
#include "node/program/node.h"

/* Shares what was kept; a folder that cannot be shared now is told and stays kept. */
void shared_folders_open(struct node *node);

enum shared_folders_result {
    SHARED_FOLDERS_OK,
    SHARED_FOLDERS_NOT_KEPT, /* it holds until the node ends only; errno tells why, 0: it was never kept */
    SHARED_FOLDERS_REFUSED,  /* errno; nothing has changed */
};

/* `path` may be relative to the working folder. */
enum shared_folders_result shared_folders_add(struct node *node, const char *path);
enum shared_folders_result shared_folders_remove(struct node *node, const char *path);

#endif
