/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SEARCHES_H
#define BROKER_SEARCHES_H

/*
 * The running searches: whom each asks, what it waits for, and when it tells the asker (docs/protocol.md,
 * "Search"). A search goes through three states: it gathers; once the last answer or its deadline came, it
 * tells what is left; then it is closed, and kept only until the next event, in case the last bytes did not
 * get through.
 *
 * Invariant: asked = positive + negative + silent + waiting, always.
 */

#include "broker/effects.h"
#include "broker/registry.h"

#define SEARCH_LIMIT_DEFAULT       200
#define SEARCH_LIMIT_MAX           1000
#define SEARCH_DEADLINE_DEFAULT_MS 2000
#define SEARCH_DEADLINE_MAX_MS     10000
#define SEARCH_FOUND_INTERVAL_MS   50
#define QUERY_LIMIT_MIN            8
#define QUERY_LIMIT_MAX            256
#define QUERY_FILES_TARGET         65536 /* FILEs that one search should gather at most; protocol */

/* Strangers start searches. One costs about 2 KiB (a bit a node and its record) and what it gathers. */
#define SEARCHES_MAX 1024

/* A tool runs one, a busy script some; a quarter of the room is the most that a few clients could fill. */
#define SEARCHES_PER_CLIENT_MAX 64

/* All that is gathered, so that 1024 searches of 8 MiB cannot happen; beyond, results are truncated. */
#define SEARCHES_BYTES_MAX (128 * 1024 * 1024)

/* FOUNDs at a time, 1 MiB: well below the high-water mark of the asker's queue. The rest follows in 50 ms. */
#define SEARCH_FOUNDS_MAX 16

/* How long an asker that does not read may take for its results before they are given up. */
#define SEARCH_GIVE_UP_MS 30000

/* When to try again if there are too many: searches end within seconds. */
#define SEARCH_RETRY_MS 500

/* From this many joined nodes up filters are worth their time (protocol). */
#define PRESENCE_NODES_MIN 256

enum presence_use {
    PRESENCE_AUTO,
    PRESENCE_ON,
    PRESENCE_OFF,
};

enum departure {
    DEPARTURE_BYE,  /* it shares nothing any more: a negative */
    DEPARTURE_LOST, /* nobody knows: silent */
};

struct searches;

/* Borrows the registry. `first_rid` is random: an answer to an earlier broker must not fit. */
struct searches *searches_new(const struct registry *registry, enum presence_use use, uint32_t rate,
                              uint32_t burst, uint64_t first_rid);
void searches_destroy(struct searches **self_p);

/*
 * The next event has come, so everything that was sent before got through: frees what is closed and ends what
 * is due at `now_ms`. Call at the start of every event except searches_on_congested() and
 * searches_on_asker_gone().
 */
void searches_begin(struct searches *self, uint64_t now_ms);

void searches_on_search(struct searches *self, const struct broker_peer *asker, uint64_t rid,
                        const struct message_search *search, uint64_t now_ms, struct effects *effects);

/* False when no such QUERY was ever sent; an answer that came twice or late is dropped with true. */
bool searches_on_answer(struct searches *self, const struct node *node, uint64_t query_rid,
                        const struct message_answer *answer, uint32_t dropped_count, uint64_t now_ms);

/* The node will not answer this QUERY: it said so with an ERROR, or it could not be sent. */
void searches_on_refused(struct searches *self, const struct node *node, uint64_t query_rid, uint64_t now_ms);

/* Before the node leaves the registry. */
void searches_on_node_left(struct searches *self, const struct node *node, enum departure departure,
                           uint64_t now_ms);
void searches_on_asker_gone(struct searches *self, uint32_t route);

/* Bytes of a search did not fit into the queue of its asker: they are sent again later. False if it is not
 * the asker's. */
bool searches_on_congested(struct searches *self, uint32_t route, uint64_t search_rid, uint64_t now_ms);

/* Calls for each asker's route on that fd number: writes the routes, at most `max`; returns how many. */
size_t searches_askers_on_connection(const struct searches *self, int connection, uint32_t *ret_routes,
                                     size_t max);

/* Sends what is ready, until the effects are full. Call at the end of every event. */
void searches_pump(struct searches *self, uint64_t now_ms, struct effects *effects);

/* 0 when something is ready now; UINT64_MAX for never. */
uint64_t searches_next_deadline_ms(const struct searches *self);

size_t searches_count(const struct searches *self);

/* BYE on shutdown goes to the askers too: calls effects_send_written() for each. */
void searches_send_written(const struct searches *self, struct effects *effects);

struct searches_figures {
    uint64_t searches, queries, answers;
};

struct searches_figures searches_figures(const struct searches *self);

#endif
