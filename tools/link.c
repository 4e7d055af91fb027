/* SPDX-License-Identifier: MIT */
#include "tools/link.h"

#include "messages/shell/loop.h"

#include <errno.h>
#include <string.h>

/* A page is at most 64 KiB anyway. */
#define PAGE_PEERS 256

static const char *name_of(enum socket_role role)
{
    return role == SOCKET_BROKER_CLIENT ? "broker" : "node";
}

static uint64_t left_ms(uint64_t start_ms, uint64_t timeout_ms)
{
    uint64_t passed_ms = clock_now_ms() - start_ms;
    return passed_ms < timeout_ms ? timeout_ms - passed_ms : 1;
}

bool link_find(struct output *output, enum socket_role role, const struct endpoint *endpoint,
               uint64_t timeout_ms, struct address *ret_address)
{
    uint64_t start_ms = clock_now_ms();
    struct address_list addresses;
    const char *problem = endpoint_resolve(endpoint, timeout_ms, &addresses);
    if (problem) {
        output_error(output, "cannot find the %s %s: %s; %s", name_of(role), endpoint->host, problem,
                     role == SOCKET_BROKER_CLIENT ? "name another with --broker"
                                                  : "'zpeers' lists the nodes");
        return false;
    }
    *ret_address = address_choose(&addresses, left_ms(start_ms, timeout_ms));
    return true;
}

bool link_open(struct link *self, struct output *output, enum socket_role role,
               const struct endpoint *endpoint, uint64_t timeout_ms)
{
    *self = (struct link){.output = output, .endpoint = *endpoint, .role = role, .timeout_ms = timeout_ms};
    self->start_ms = clock_now_ms();
    struct address address;
    if (!link_find(output, role, endpoint, timeout_ms, &address))
        return false;
    self->exchange = exchange_new(role, &address.host, address.port);
    if (!self->exchange)
        output_error(output, "cannot open a socket: %s", strerror(errno));
    else
        exchange_connect_within(self->exchange, link_left_ms(self));
    return self->exchange;
}

void link_close(struct link *self)
{
    exchange_destroy(&self->exchange);
}

uint64_t link_left_ms(const struct link *self)
{
    return left_ms(self->start_ms, self->timeout_ms);
}

void link_report(const struct link *self, enum exchange_result result)
{
    char shown[ENDPOINT_FORMAT_SIZE];
    endpoint_show(&self->endpoint, shown);
    if (result == EXCHANGE_LOST)
        output_error(self->output, "the %s at %s closed the connection: try again", name_of(self->role),
                     shown);
    else if (exchange_was_connected(self->exchange))
        output_error(self->output, "the %s at %s did not answer in time: is it a zswarm %s?",
                     name_of(self->role), shown, name_of(self->role));
    else if (self->role == SOCKET_BROKER_CLIENT)
        output_error(self->output, "no broker at %s: start one with 'zbroker', or name one with --broker",
                     shown);
    else
        output_error(self->output, "no node at %s: 'zpeers' lists the nodes", shown);
}

/* What a node is asked, a broker does not support, and the other way round. */
static const char *other_role(const struct link *self)
{
    return self->role == SOCKET_BROKER_CLIENT ? "node: name the broker with --broker"
                                              : "broker: 'zpeers' lists the nodes";
}

void link_report_refusal(const struct link *self, const struct message_error *error)
{
    char shown[ENDPOINT_FORMAT_SIZE];
    endpoint_show(&self->endpoint, shown);
    if (error->code == ERROR_UNSUPPORTED || error->code == ERROR_NOT_JOINED)
        output_error(self->output, "%s is not a %s (%s): it may be a %s", shown, name_of(self->role),
                     error_name(error->code), other_role(self));
    else
        output_error(self->output, "the %s refused: %s: %.*s", name_of(self->role), error_name(error->code),
                     (int)error->text.size, error->text.bytes);
}

bool link_ask(struct link *self, const struct message *request, enum message_kind kind,
              struct message *ret_reply)
{
    uint64_t deadline_ms = self->start_ms + self->timeout_ms;
    exchange_send(self->exchange, request);
    for (;;) {
        enum exchange_result result = exchange_wait(self->exchange, deadline_ms, ret_reply);
        if (result != EXCHANGE_MESSAGE) {
            link_report(self, result);
            return false;
        }
        if (ret_reply->rid != request->rid)
            continue;
        if (ret_reply->kind == kind)
            return true;
        if (ret_reply->kind == KIND_ERROR) {
            link_report_refusal(self, &ret_reply->error);
            return false;
        }
    }
}

bool link_list_peers(struct link *self, bool (*take)(void *owner, const struct peer_entry *peer), void *owner)
{
    struct message request = {.kind = KIND_PEERS, .rid = random_u64() >> 1, .peers.limit = PAGE_PEERS}, reply;
    const struct message_peers_ok *page = &reply.peers_ok;
    size_t listed_count = 0;
    do {
        request.rid++;
        self->start_ms = clock_now_ms();
        if (!link_ask(self, &request, KIND_PEERS_OK, &reply))
            return false;
        for (size_t i = 0; i < page->count; i++) {
            if (!take(owner, &page->entries[i]))
                return true;
        }
        request.peers.cursor = page->next_cursor;
        size_t page_count = page->count + reply.dropped_count;
        listed_count += page_count;
        if (request.peers.cursor && (page_count == 0 || listed_count > PEERS_LISTED_MAX)) {
            output_error(self->output, "the broker pages without end: its list of nodes may not be all");
            return false;
        }
    } while (request.peers.cursor);
    return true;
}

enum exchange_result link_search(struct link *self, struct search *search)
{
    enum exchange_result result = EXCHANGE_MESSAGE;
    while (search_state(search) == SEARCH_RUNNING) {
        struct message message;
        if (search_next_send(search, clock_now_ms(), &message))
            exchange_send(self->exchange, &message);
        result = exchange_wait(self->exchange, search_next_deadline_ms(search), &message);
        if (result == EXCHANGE_MESSAGE)
            search_on_message(search, &message, clock_now_ms());
        else if (result != EXCHANGE_DEADLINE)
            break;
        search_tick(search, clock_now_ms());
    }
    return result;
}
