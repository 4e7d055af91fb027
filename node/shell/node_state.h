/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_NODE_STATE_H
#define NODE_SHELL_NODE_STATE_H

/*
 * What a node is from one start to the next: its id, port, name and home, in a folder that one process at a
 * time holds by a lock. The file is written beside the old one, which is kept as `state.old`: if the new one
 * is damaged, the old one still has the id. The lock ends with the process, however it ends.
 */

#include "messages/id.h"

#include <limits.h>

/* zswarm/node-1, node-2, ...: nodes of one user on one machine. */
#define NODE_PROFILES_MAX 1000

/* The file is our own; a damaged one may be of any size. */
#define NODE_STATE_FILE_SIZE_MAX 65536

struct node_state {
    char *folder;
    int lock_fd;
    struct node_id id;
    uint16_t port;         /* 0: not known yet */
    bool is_port_assigned; /* by the broker */
    char *name;            /* NULL: not known yet */
    char *home;            /* NULL: not known yet */
    bool is_new_id;        /* made now */
    bool was_damaged;      /* the file could not be used; is_new_id tells whether the id was lost with it */
};

enum node_state_result {
    NODE_STATE_OPEN,
    NODE_STATE_LOCKED, /* another process has it */
    NODE_STATE_FAILED, /* errno tells why; *ret_path, malloc'd, where */
};

/* Makes the folder if it is missing, locks it, and reads or begins the state. */
enum node_state_result node_state_open(struct node_state *ret_state, const char *folder, char **ret_path);

/*
 * The same below ${XDG_STATE_HOME:-~/.local/state}/zswarm/: the folder `name`, or with NULL the first
 * node-<k> whose lock is free.
 */
enum node_state_result node_state_open_profile(struct node_state *ret_state, const char *name,
                                               char **ret_path);

/* Sets a text, copying it. What holds a line break cannot be kept and is left out of the file. */
void node_state_set(char **text, const char *value);

/* Writes it, atomically and durably. False with errno. */
bool node_state_save(const struct node_state *self);

/* A path below the folder; malloc'd. */
char *node_state_path(const struct node_state *self, const char *file);

/* Frees, and gives up the lock. */
void node_state_release(struct node_state *self);

#endif
