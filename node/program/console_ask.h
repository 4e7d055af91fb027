/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_ASK_H
#define NODE_PROGRAM_CONSOLE_ASK_H

/*
 * Questions to the broker over the node's own link: a search, the list of nodes, its figures. Each ends by
 * its answer, by an error or at its deadline; *_tick() is called each round and returns the next deadline,
 * UINT64_MAX when it is over.
 */
#include "node/link/search.h"
#include "node/shell/link/broker_client.h"

/* Searches. The terms' text is copied. */
struct search_ask;
struct search_ask *search_ask_new(struct broker_client *broker, const struct search_terms *terms,
                                  uint64_t timeout_ms);
void search_ask_destroy(struct search_ask **self_p);
uint64_t search_ask_tick(struct search_ask *self, uint64_t now_ms);

/* Borrowed, or taken out for good. */
struct search *search_ask_search(struct search_ask *self);
struct search *search_ask_take(struct search_ask *self);

/* A node of the list. */
struct listed_peer {
    struct source_entry source; /* its name is the entry's own */
    uint64_t files, bytes;
};

struct peers_ask;
struct peers_ask *peers_ask_new(struct broker_client *broker, uint64_t timeout_ms);
void peers_ask_destroy(struct peers_ask **self_p);
uint64_t peers_ask_tick(struct peers_ask *self, uint64_t now_ms);

/* When it is over: NULL, or what went wrong, one line. */
const char *peers_ask_problem(const struct peers_ask *self);
const struct listed_peer *peers_ask_peers(const struct peers_ask *self, size_t *ret_count);

/* The same, taken out for good; the caller frees the array and the names. */
struct listed_peer *peers_ask_take(struct peers_ask *self, size_t *ret_count);

/* STATUS: the figures of the broker, and how long the question took. */
struct status_ask;
struct status_ask *status_ask_new(struct broker_client *broker, uint64_t timeout_ms);
void status_ask_destroy(struct status_ask **self_p);
uint64_t status_ask_tick(struct status_ask *self, uint64_t now_ms);

/* False when no answer came. The agent is left out. */
bool status_ask_reply(const struct status_ask *self, struct message_status_ok *ret_reply,
                      uint64_t *ret_round_trip_us);

#endif
