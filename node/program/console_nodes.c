/* SPDX-License-Identifier: MIT */
/* Who is there: the nodes, and the broker. */
#include "node/program/console_private.h"

#include "node/program/settings.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"

#include <stdlib.h>

static void release_peers(struct console *self)
{
    peers_ask_destroy(&self->peers_ask);
}

void console_forget_peers(struct console *self)
{
    for (size_t i = 0; i < self->peer_count; i++)
        free((void *)(uintptr_t)self->peers[i].source.name.bytes);
    free(self->peers);
    self->peers = NULL;
    self->peer_count = 0;
}

void console_learn_peers(struct console *self)
{
    struct broker_client *broker = self->node->broker;
    if (!self->peers_learnt && broker && broker_client_is_joined(broker))
        self->peers_learnt = peers_ask_new(broker, CONSOLE_ANSWER_MS);
}

uint64_t console_learn_tick(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = self->peers_learnt ? peers_ask_tick(self->peers_learnt, now_ms) : UINT64_MAX;
    if (!self->peers_learnt || next_ms != UINT64_MAX)
        return next_ms;
    if (!peers_ask_problem(self->peers_learnt)) {
        console_forget_peers(self);
        self->peers = peers_ask_take(self->peers_learnt, &self->peer_count);
    }
    peers_ask_destroy(&self->peers_learnt);
    return UINT64_MAX;
}

static uint64_t tick_peers(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = peers_ask_tick(self->peers_ask, now_ms);
    if (next_ms != UINT64_MAX)
        return next_ms;
    console_forget_peers(self);
    if (peers_ask_problem(self->peers_ask))
        console_say(self, "%s", peers_ask_problem(self->peers_ask));
    self->peers = peers_ask_take(self->peers_ask, &self->peer_count);
    struct table *table = peer_table_new();
    for (size_t i = 0; i < self->peer_count; i++)
        peer_table_row(table, &self->peers[i].source, self->peers[i].files, self->peers[i].bytes);
    if (self->peer_count > 0)
        table_print(table, self->output);
    table_destroy(&table);
    console_say(self, "%zu %s", self->peer_count, self->peer_count == 1 ? "node" : "nodes");
    console_end(self);
    return UINT64_MAX;
}

void console_peers(struct console *self, const struct console_command *command)
{
    (void)command;
    struct broker_client *broker = console_broker(self);
    if (!broker)
        return;
    self->peers_ask = peers_ask_new(broker, CONSOLE_ANSWER_MS);
    console_begin(self, tick_peers, release_peers);
    console_wait_for(self, "asking the broker who is there");
}

void console_refresh(struct console *self, const struct console_command *command)
{
    shares_rescan(self->node->shares);
    console_say(self, "scanning the shared folders");
    if (self->node->broker)
        console_peers(self, command);
}

static void print_tracker(struct console *self)
{
    const struct node *node = self->node;
    char endpoint[ENDPOINT_FORMAT_SIZE], seen[ENDPOINT_TEXT_SIZE], since[DURATION_TEXT_SIZE];
    endpoint_show(&settings.broker, endpoint);
    console_print(self, "address     %s", endpoint);
    if (!broker_client_is_joined(node->broker)) {
        console_print(self, "state       not joined: trying again");
        return;
    }
    console_describe_ms(clock_now_ms() - node->joined_ms, since);
    endpoint_format(&node->seen_host, node->state.port, seen);
    console_print(self, "state       joined");
    console_print(self, "since       %s ago", since);
    console_print(self, "lease       %.1f s", (double)broker_client_lease_ms(node->broker) / 1000);
    console_print(self, "sees us at  %s", seen);
}

static void release_status(struct console *self)
{
    status_ask_destroy(&self->status_ask);
}

static uint64_t tick_tracker(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = status_ask_tick(self->status_ask, now_ms), round_trip_us;
    if (next_ms != UINT64_MAX)
        return next_ms;
    struct message_status_ok status;
    char up[DURATION_TEXT_SIZE];
    print_tracker(self);
    if (status_ask_reply(self->status_ask, &status, &round_trip_us)) {
        console_print(self, "round trip  %.1f ms", (double)round_trip_us / 1000);
        console_describe_ms(status.uptime_ms, up);
        console_print(self, "nodes       %u", status.nodes);
        console_print(self, "up          %s", up);
    } else {
        console_say(
            self, "the broker does not answer: is it running? Is the address right? It comes from --broker, "
                  "$ZSWARM_BROKER or the config file, in this order");
    }
    console_end(self);
    return UINT64_MAX;
}

void console_tracker(struct console *self, const struct console_command *command)
{
    (void)command;
    if (!self->node->broker) {
        console_say(self, "this node has no broker (--no-broker)");
        return;
    }
    self->status_ask = status_ask_new(self->node->broker, CONSOLE_ANSWER_MS);
    console_begin(self, tick_tracker, release_status);
    console_wait_for(self, "asking the broker how it is");
}
