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

/* The news of a lost connection can overtake the end of its route in libzmq, by less than a millisecond. */
#define PROBE_AGAIN_MS 200

/* Second probes under way; strangers connect and leave. Without one the lease ends what is left. 512 KiB. */
#define PROBES_MAX 16384

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

/*
 * Sends a PING to each route last seen on that fd number, now and once more PROBE_AGAIN_MS later; one that is
 * gone cannot be sent to.
 */
void membership_on_connection_lost(struct membership *self, int connection, uint64_t now_ms,
                                   struct effects *effects);

uint64_t membership_next_deadline_ms(const struct membership *self);

#endif
