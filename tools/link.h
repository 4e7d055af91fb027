/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_LINK_H
#define TOOLS_LINK_H

/*
 * How a small tool reaches the broker, or one node: resolves what was typed, connects, and says what is wrong
 * in one line with the cure.
 */

#include "node/link/search.h"
#include "node/shell/fetch/exchange.h"
#include "tools/cli/endpoint.h"
#include "tools/cli/output.h"

struct link {
    struct output *output;
    struct endpoint endpoint;
    enum socket_role role;
    uint64_t start_ms, timeout_ms;
    struct exchange *exchange;
};

/* After process_start(). False after an output_error(). Fills everything in; pair with link_close() either
 * way. */
bool link_open(struct link *self, struct output *output, enum socket_role role,
               const struct endpoint *endpoint, uint64_t timeout_ms);
void link_close(struct link *self);

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

/* Lets a search run until it ends; what ended the waiting, when it did not end by itself. */
enum exchange_result link_search(struct link *self, struct search *search);

#endif
