/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_SOURCE_SEARCH_H
#define NODE_SHELL_FETCH_SOURCE_SEARCH_H

/*
 * Looks for sources of one fetch at a broker, again and again as long as it lives, and hands each to the
 * fetch, which knows what to do with those that it has.
 */
#include "node/shell/fetch/fetch.h"
#include "node/shell/link/broker_client.h"

/* The first search comes this soon, for those who began at the same time, and the next ones this often. */
#define SOURCE_SEARCH_FIRST_MS 1000
#define SOURCE_SEARCH_NEXT_MS  5000

/* Without any source it searches more often, this many times: one that was restarted is back soon. */
#define SOURCE_SEARCH_STARVED_MS    1000
#define SOURCE_SEARCH_STARVED_COUNT 30

/* A broker that does not end a search in this time has no more sources to offer. */
#define SOURCE_SEARCH_WAIT_MS 2500

struct source_search;

/* All is borrowed; the search ends before the fetch does. */
struct source_search *source_search_new(struct loop *loop, struct broker_client *broker, struct fetch *fetch,
                                        const struct file_id *id);
void source_search_destroy(struct source_search **self_p);

/*
 * No source is left: searches at once. False when that is under way already, or the broker cannot be asked;
 * then too it goes on searching. `exhausted`, which may be NULL, is called if this search finds nothing.
 */
bool source_search_now(struct source_search *self, void (*exhausted)(void *owner), void *owner);

#endif
