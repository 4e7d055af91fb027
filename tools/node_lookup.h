/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_NODE_LOOKUP_H
#define TOOLS_NODE_LOOKUP_H

/* Finds a node by its name at a broker. */

#include "messages/message.h"
#include "tools/cli/endpoint.h"
#include "tools/cli/output.h"

/* Nodes of one name that are told apart; a hundred of one name are not told apart by reading. */
#define NODE_LOOKUP_MAX 16

struct node_place {
    struct node_id node;
    struct host host;
    uint16_t port;
};

/*
 * The one node that is called `name`, byte for byte. False after it was told why not: none (a proven
 * negative, for the broker lists all), several (they are listed), or no list to be had.
 */
bool node_lookup(struct output *output, const struct endpoint *broker, uint64_t timeout_ms, const char *name,
                 struct node_place *ret_place);

#endif
