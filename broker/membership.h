/* SPDX-License-Identifier: MIT */
#ifndef BROKER_MEMBERSHIP_H
#define BROKER_MEMBERSHIP_H

/*
 * How nodes come and go: joining, port assignment, leases, and two nodes with one id (docs/protocol.md,
 * "Join", "Lease", "Same node_id twice"). Nodes enter and leave the registry only here; running searches are
 * told.
 */

#include "broker/ports.h"
#include "broker/searches.h"

/* What an old node has to answer a PING, before a newcomer takes its id (protocol). */
#define CHALLENGE_MS 2000

/* Newcomers that wait for that. Strangers make them; each may carry a filter of up to 128 KiB, usually 16. */
#define CHALLENGES_MAX 1024

/* When a full broker is worth another try: a tenth of the default lease. */
#define MEMBERSHIP_RETRY_MS 3000

struct membership_config {
    struct node_id broker;
    uint32_t lease_ms;
    uint32_t nodes_max;
    uint32_t assign_begin, assign_end; /* [begin, end); empty for none */
    uint64_t first_rid;
};

struct membership;

/* Borrows both. */
struct membership *membership_new(const struct membership_config *config, struct registry *registry,
                                  struct searches *searches);
void membership_destroy(struct membership **self_p);

/* Forgets nodes whose lease ended and settles challenges that are over. Call at the start of every event. */
void membership_begin(struct membership *self, uint64_t now_ms, struct effects *effects);

void membership_on_join(struct membership *self, const struct broker_peer *peer, uint64_t rid,
                        const struct message_join *join, uint64_t now_ms, struct effects *effects);
void membership_on_pong(struct membership *self, uint32_t route, uint64_t rid, struct effects *effects);

/* The route said BYE, or is gone. */
void membership_on_left(struct membership *self, uint32_t route, enum departure departure, uint64_t now_ms,
                        struct effects *effects);

/* Sends a PING to each route last seen on that fd number; one that is gone cannot be sent to. */
void membership_probe(struct membership *self, int connection, struct effects *effects);

uint64_t membership_next_deadline_ms(const struct membership *self);

#endif
