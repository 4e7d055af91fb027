/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_GATHER_PRIVATE_H
#define TOOLS_GET_GATHER_PRIVATE_H

/* What gather.c (who has something, and what is kept of it) and gather_lists.c (reading lists) share. */

#include "tools/get/gather.h"

struct gather {
    struct transfers *transfers;
    struct output *output;
    const struct selection *selection;
    const char *text;
    uint64_t timeout_ms;
    struct gathered *result;
    struct message_search_done counts;
    bool has_counts;
    bool takes_found;  /* what the search found is all there is */
    bool has_left_out; /* a file of the folder that --include and --exclude do not want */
    char hint[1025];   /* a folder like the one that was asked for; NAME_SIZE_MAX and the NUL */
};

/* The number of the node, GATHER_NODES_MAX when there is no room. */
uint16_t gather_add_node(struct gather *self, const struct optional_node_id *node, const struct host *host,
                         uint16_t port);

/* A file that a node has, if it is wanted. False when there is no room for it. */
bool gather_add_file(struct gather *self, const struct file_entry *file, struct text name, uint16_t node);

/* Asks all nodes for their lists. False after an error that was told, or a signal. */
bool gather_lists(struct gather *self);

void gather_report_full(struct gather *self);
void gather_report_missing(struct gather *self);

#endif
