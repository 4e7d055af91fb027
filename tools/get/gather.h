/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_GATHER_H
#define TOOLS_GET_GATHER_H

/*
 * From `NAME/` or a glob to a catalogue of files and the nodes that have them: a search tells who has
 * something of it, then each of these nodes is asked for its list, many at once. What a search for a glob
 * found is taken as it is, unless it was cut short. With nodes named by hand there is no search.
 */
#include "tools/cli/endpoint.h"
#include "tools/get/catalogue.h"
#include "tools/get/selection.h"
#include "tools/get/transfer.h"

/* Nodes that are asked for a list; a third of a MiB. Beyond that the result counts as incomplete. */
#define GATHER_NODES_MAX 1024

/* Lists read at once: each is a socket and its monitor, of LOOP_ITEMS_MAX. */
#define GATHER_LISTS_MAX 64

/* A node that cannot be reached is not waited for as long as one that answers slowly. */
#define GATHER_CONNECT_MS_MAX 5000

struct gather_config {
    const struct endpoint *broker;
    const struct endpoint *nodes; /* instead of the broker, if there are any */
    size_t node_count;
    uint64_t timeout_ms;
};

struct gathered {
    struct catalogue *catalogue; /* sorted */
    struct target_source nodes[GATHER_NODES_MAX];
    size_t node_count;
    size_t silent_count;  /* nodes that may have more, in the search or when asked for their list */
    bool is_cut;          /* there are more nodes than fit */
    size_t refused_count; /* names that were wanted and cannot be used; told */
};

/* False after an error that was told, or a signal. Release the result either way. */
bool gather_files(struct transfers *transfers, struct output *output, const struct gather_config *config,
                  const struct selection *selection, const char *text, struct gathered *ret_gathered);
void gathered_release(struct gathered *self);

#endif
