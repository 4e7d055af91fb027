/* SPDX-License-Identifier: MIT */
#include "node/program/meant_nodes.h"

#include "node/program/console_ask.h"
#include "node/program/console_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct meant_nodes {
    struct console_target target; /* its name is our own */
    struct optional_node_id but;
    struct peers_ask *ask; /* NULL once it is over */
    char *problem;
    bool is_nobody, is_but_meant;
    struct meant_node *nodes;
    size_t count;
};

static void add(struct meant_nodes *self, const struct host *host, uint16_t port, struct text name)
{
    self->nodes = reallocarray(self->nodes, self->count + 1, sizeof *self->nodes);
    assert(self->nodes);
    self->nodes[self->count++] = (struct meant_node){*host, port, text_escape(name)};
}

struct meant_nodes *meant_nodes_new(struct broker_client *broker, const struct console_target *target,
                                    const struct node_id *but)
{
    struct meant_nodes *self = calloc(1, sizeof *self);
    assert(self);
    self->target = *target;
    self->target.name = target->name ? text_copy(text_of(target->name)) : NULL;
    if (but)
        self->but = (struct optional_node_id){true, *but};
    if (target->port != 0)
        add(self, &target->host, target->port, text_of(""));
    else
        self->ask = peers_ask_new(broker, CONSOLE_ANSWER_MS);
    return self;
}

void meant_nodes_destroy(struct meant_nodes **self_p)
{
    struct meant_nodes *self = *self_p;
    if (!self)
        return;
    peers_ask_destroy(&self->ask);
    for (size_t i = 0; i < self->count; i++)
        free(self->nodes[i].name);
    free(self->nodes);
    free(self->problem);
    free((void *)(uintptr_t)self->target.name);
    free(self);
    *self_p = NULL;
}

static bool is_but(const struct meant_nodes *self, const struct source_entry *node)
{
    return self->but.is_present && node_id_equal(&self->but.id, &node->node);
}

static bool is_meant(const struct meant_nodes *self, const struct source_entry *node)
{
    return self->target.has_host ? host_equal(&node->host, &self->target.host)
                                 : text_equal(node->name, text_of(self->target.name));
}

static char *describe_nobody(const struct meant_nodes *self)
{
    char host[HOST_TEXT_SIZE], *text = NULL;
    host_format(&self->target.host, host);
    int size =
        self->is_but_meant ? asprintf(&text, "that is this node itself: 'peers' lists the others")
        : self->target.has_host
            ? asprintf(&text, "the broker knows no node at %s: 'peers' lists the nodes; or give its port",
                       host)
            : asprintf(&text, "no node is called '%s': 'peers' lists the nodes", self->target.name);
    assert(size >= 0);
    return text;
}

uint64_t meant_nodes_tick(struct meant_nodes *self, uint64_t now_ms)
{
    uint64_t next_ms = self->ask ? peers_ask_tick(self->ask, now_ms) : UINT64_MAX;
    if (!self->ask || next_ms != UINT64_MAX)
        return next_ms;
    size_t count;
    const struct listed_peer *peers = peers_ask_peers(self->ask, &count);
    for (size_t i = 0; i < count; i++) {
        if (!is_meant(self, &peers[i].source))
            continue;
        if (is_but(self, &peers[i].source))
            self->is_but_meant = true;
        else
            add(self, &peers[i].source.host, peers[i].source.port, peers[i].source.name);
    }
    const char *problem = peers_ask_problem(self->ask);
    self->is_nobody = !problem && self->count == 0;
    if (problem)
        self->problem = text_copy(text_of(problem));
    else if (self->is_nobody)
        self->problem = describe_nobody(self);
    peers_ask_destroy(&self->ask);
    return UINT64_MAX;
}

const char *meant_nodes_problem(const struct meant_nodes *self)
{
    return self->problem;
}

bool meant_nodes_is_nobody(const struct meant_nodes *self)
{
    return self->is_nobody;
}

size_t meant_nodes_count(const struct meant_nodes *self)
{
    return self->count;
}

const struct meant_node *meant_nodes_at(const struct meant_nodes *self, size_t position)
{
    assert(position < self->count);
    return &self->nodes[position];
}

char *meant_node_show(const struct meant_node *node)
{
    char endpoint[ENDPOINT_TEXT_SIZE], *text = NULL;
    endpoint_format(&node->host, node->port, endpoint);
    int size = asprintf(&text, "%s%s%s", node->name, node->name[0] ? " " : "", endpoint + strlen("tcp://"));
    assert(size >= 0);
    return text;
}
