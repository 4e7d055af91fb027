/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REGISTRY_H
#define BROKER_REGISTRY_H

/*
 * The joined nodes: who they are, where they were observed, what they told about their shares (totals
 * and presence filter; never names of files), and until when they count.
 *
 * Invariants: no two nodes have the same route or node_id; a node's slot is below registry_slots_end() and no
 * other joined node has it; every node has a data port. The registry knows nothing of messages to send.
 */

#include "broker/peer.h"
#include "messages/message.h"
#include "messages/table.h"

/* An fd beyond this is treated as unknown: twice the open files that process_start() asks for. */
#define REGISTRY_CONNECTIONS_MAX 131072

struct node {
    uint32_t route;
    int connection;
    uint32_t slot;     /* small and dense, for bitmaps; re-used after the node left */
    uint64_t sequence; /* of joining; rises, never re-used */
    struct node_id id;
    uint64_t boot;
    struct host host;
    uint16_t port;
    uint32_t features;
    uint64_t files, bytes;
    uint64_t last_seen_ms;
    struct presence_view presence; /* bits are the node's own copy */
    char *labels;                  /* node name, then the tags, without separators */
    uint8_t name_size, tag_count;
    uint8_t tag_sizes[TAGS_MAX];
    struct node *prev, *next;                       /* by last message, oldest first */
    struct node *connection_prev, *connection_next; /* seen on the same fd number */
    UT_hash_handle hh_route, hh_id;
};

struct registry;

/* A node that is not registered yet: copies what it needs. `join->port` is not 0. */
struct node *node_new(const struct broker_peer *peer, const struct message_join *join, uint64_t now_ms);
void node_destroy(struct node **self_p);
struct text node_name(const struct node *self);
void node_set_presence(struct node *self, const struct presence_view *view);

/*
 * The address at which the asker can reach the node: a loopback one means nothing to another machine, which
 * gets our own address instead if the node is reachable from outside. False when there is none.
 */
bool node_host_for(const struct node *self, const struct broker_peer *asker, struct host *ret_host);

struct registry *registry_new(void);
void registry_destroy(struct registry **self_p);

/* Takes a node whose route and id are not registered. */
void registry_add(struct registry *self, struct node **node_p);

/* Gives the node back to the caller, who destroys it. */
struct node *registry_remove(struct registry *self, struct node *node);

/* A JOIN again on the same route: everything but id, slot, sequence and lease is replaced. */
void registry_replace(struct registry *self, struct node *node, struct node **fresh_p);

/* NULL when there is none. */
struct node *registry_by_route(const struct registry *self, uint32_t route);
struct node *registry_by_id(const struct registry *self, const struct node_id *id);

/* A message came from the node: renews its lease. */
void registry_touch(struct registry *self, struct node *node, int connection, uint64_t now_ms);

/* The node whose last message is the oldest; NULL when nobody is joined. */
struct node *registry_oldest(const struct registry *self);

/* The first node last seen on this fd number, and by connection_next all others. */
struct node *registry_on_connection(const struct registry *self, int connection);

/* Nodes in order of joining, [0, count). */
size_t registry_count(const struct registry *self);
struct node *registry_at(const struct registry *self, size_t index);

/* The index of the first node with a sequence above this one; count when there is none. */
size_t registry_after(const struct registry *self, uint64_t sequence);

uint32_t registry_slots_end(const struct registry *self);

/* Whether some node's address is loopback while it says that others can reach it. */
bool registry_has_reachable_loopback(const struct registry *self);

#endif
