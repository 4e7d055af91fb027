/* SPDX-License-Identifier: MIT */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

/*
 * The broker: takes inbound bytes and decides everything (docs/protocol.md, "Broker link"). Pure: time,
 * random numbers and addresses are given, and what is to be done comes out as effects.
 *
 * The shell runs the effects of an event before the next one. When a SEND fails it says so at once, with
 * broker_on_unreachable() or broker_on_congested(), and sends nothing more to that route out of the same
 * list. Time never runs backwards.
 */

#include "broker/effects.h"
#include "broker/membership.h"
#include "broker/peer.h"
#include "broker/searches.h"

#define BROKER_LEASE_MS_DEFAULT 30000 /* protocol */
#define BROKER_LEASE_MS_MIN     1000  /* a node says something every third of it */
#define BROKER_LEASE_MS_MAX     3600000

/* Open files (65 536, minus tools and our own) and memory: 27 KiB a connection, 16 KiB a filter, 700 MiB at
 * the default. */
#define BROKER_NODES_MAX_DEFAULT 16384
#define BROKER_NODES_MAX         60000

#define BROKER_SEARCH_RATE_DEFAULT  20000  /* protocol */
#define BROKER_SEARCH_BURST_DEFAULT 100000 /* protocol */

/* A page of PEERS_OK; bytes end it sooner where tags and names are long. */
#define PEERS_LIMIT_DEFAULT 256
#define PEERS_LIMIT_MAX     512

struct broker_config {
    struct node_id id;
    const char *agent; /* borrowed for the broker's life; at most LABEL_SIZE_MAX bytes */
    uint32_t lease_ms;
    uint32_t nodes_max;
    enum presence_use presence;
    uint32_t search_rate, search_burst;
    uint32_t assign_begin, assign_end; /* [begin, end); empty for none */
    uint64_t first_rid;                /* random, so that replies to an earlier broker do not fit */
    uint64_t start_ms;
};

struct broker;

struct broker *broker_new(const struct broker_config *config);
void broker_destroy(struct broker **self_p);

/* `header` is the first frame; `frame_count` counts all, and 1 is what this link knows. */
void broker_on_message(struct broker *self, const struct broker_peer *peer, const uint8_t *header,
                       size_t size, size_t frame_count, uint64_t now_ms, struct effects *effects);

/*
 * Some connection with this fd ended; the number may name another one by now. So each route last seen on it
 * is sent a PING, and only a route that cannot be sent to is forgotten.
 */
void broker_on_connection_lost(struct broker *self, int connection, uint64_t now_ms, struct effects *effects);

/* A SEND failed because the route is gone. */
void broker_on_unreachable(struct broker *self, uint32_t route, uint64_t now_ms, struct effects *effects);

/*
 * A SEND failed because the route does not read and its queue is full. A QUERY makes the node silent in that
 * search at once, results are sent again later, all else is lost. `failed` is copied from the list.
 */
void broker_on_congested(struct broker *self, struct effect failed, uint64_t now_ms, struct effects *effects);

void broker_tick(struct broker *self, uint64_t now_ms, struct effects *effects);

/* When to tick next; 0 for at once, UINT64_MAX for never. */
uint64_t broker_next_deadline_ms(const struct broker *self);

/* BYE to all nodes and to those who wait for a search. */
void broker_stop(struct broker *self, struct effects *effects);

/* Whether peer.has_local_host can matter now; it costs two system calls a message. */
bool broker_wants_local_host(const struct broker *self);

/* For tests and logs. */
size_t broker_node_count(const struct broker *self);
size_t broker_search_count(const struct broker *self);

#endif
