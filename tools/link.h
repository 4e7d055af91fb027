/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_LINK_H
#define TOOLS_LINK_H

/*
 * How a small tool reaches the broker, or one node: resolves what was typed, connects, and says what is wrong
 * in one line with the cure.
 */

#include "node/link/search.h"
#include "tools/cli/endpoint.h"
#include "tools/cli/output.h"
#include "tools/exchange.h"

struct link {
    struct output *output;
    struct endpoint endpoint;
    enum socket_role role;
    uint64_t start_ms, timeout_ms;
    struct exchange *exchange;
};

/*
 * The address of what was typed: of several the first that takes a connection. False after an output_error().
 */
bool link_find(struct output *output, enum socket_role role, const struct endpoint *endpoint,
               uint64_t timeout_ms, struct address *ret_address);

/* After process_start(). False after an output_error(). Fills everything in; pair with link_close() either
 * way. */
bool link_open(struct link *self, struct output *output, enum socket_role role,
               const struct endpoint *endpoint, uint64_t timeout_ms);
void link_close(struct link *self);

/* What is left of the time allowed since the link was opened or `start_ms` was set anew; at least 1 ms. */
uint64_t link_left_ms(const struct link *self);

/* Reports why nothing (more) came as an error: no broker there, no answer, connection lost. */
void link_report(const struct link *self, enum exchange_result result);

/* Reports an ERROR message as an error. */
void link_report_refusal(const struct link *self, const struct message_error *error);

/*
 * Sends `request` and waits for a message with its rid and of `kind`, until start_ms + timeout_ms. False
 * after an output_error().
 */
bool link_ask(struct link *self, const struct message *request, enum message_kind kind,
              struct message *ret_reply);

/*
 * Gives `take` each node of the broker's list, one page after the other, until it returns false; each page is
 * progress. False after an output_error(): what was listed may not be all.
 */
bool link_list_peers(struct link *self, bool (*take)(void *owner, const struct peer_entry *peer),
                     void *owner);

/* Lets a search run until it ends; what ended the waiting, when it did not end by itself. */
enum exchange_result link_search(struct link *self, struct search *search);

#endif
