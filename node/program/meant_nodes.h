/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_MEANT_NODES_H
#define NODE_PROGRAM_MEANT_NODES_H

/*
 * The nodes that a person means: with a port it is that one; else the broker is asked who is there. Many
 * nodes may be at one address, and names are not unique.
 */
#include "node/console_command.h"
#include "node/shell/link/broker_client.h"

struct meant_node {
    struct host host;
    uint16_t port;
    char *name; /* escaped; empty when it is not known */
};

struct meant_nodes;

/* Copies the target. The broker is borrowed, and not used for a target with a port. The node `but` is not
 * meant; NULL for none. */
struct meant_nodes *meant_nodes_new(struct broker_client *broker, const struct console_target *target,
                                    const struct node_id *but);
void meant_nodes_destroy(struct meant_nodes **self_p);

/* Called each round, returns the next deadline; UINT64_MAX when it is over. */
uint64_t meant_nodes_tick(struct meant_nodes *self, uint64_t now_ms);

/* When it is over: why there is none, or may be more; one line. NULL when all is well. */
const char *meant_nodes_problem(const struct meant_nodes *self);
size_t meant_nodes_count(const struct meant_nodes *self);
const struct meant_node *meant_nodes_at(const struct meant_nodes *self, size_t position);

/* The broker has answered, and there is nobody of this name. */
bool meant_nodes_is_nobody(const struct meant_nodes *self);

/* `NAME 127.0.0.1:9123`, or without the name; malloc'd. */
char *meant_node_show(const struct meant_node *node);

#endif
