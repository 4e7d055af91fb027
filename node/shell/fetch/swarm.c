/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/swarm.h"

#include "node/shell/fetch/partials.h"
#include "node/shell/fetch/source_search.h"
#include "node/shell/serve/node_address.h"

#include <assert.h>
#include <stdlib.h>

struct swarm {
    struct loop *loop;
    struct workers *workers;
    struct swarm_config config;
    struct share_index *index; /* shares nothing: complete and empty */
    struct holdings *holdings;
    struct data_port *port; /* NULL when not serving, the partials too */
    struct partials *partials;
    struct broker_client *broker;

    /* The download that is followed. */
    uint64_t handle;
    struct source_search *search;
};

static bool start_serving(struct swarm *self, uint16_t *ret_port)
{
    struct host loopback;
    bool is_parsed = host_parse(text_of("127.0.0.1"), &loopback);
    assert(is_parsed);
    const struct port_choice any = {0, 0, 0};
    struct peer_server_config config = {
        .node = self->config.node,
        .instance = self->config.instance,
        .node_name = text_of(self->config.node_name),
        .agent = text_of(self->config.agent),
        .features = self->config.is_local ? 0 : FEATURE_REACHABLE,
        .up_rate = self->config.up_rate,
    };
    self->port = data_port_new(self->loop, self->workers);
    if (!self->port)
        return false;
    self->partials = partials_new(self->holdings, self->port, NULL);
    struct content_source source = partials_source(self->partials);
    return node_address_bind(self->port, self->config.is_local ? &loopback : NULL, &any, ret_port) &&
           data_port_start(self->port, &config, self->holdings, &source);
}

void swarm_saved(struct swarm *self, uint32_t chunk)
{
    if (self->partials)
        partials_saved(self->partials, self->handle, chunk);
}

bool swarm_search_now(struct swarm *self, void (*exhausted)(void *owner), void *owner)
{
    return self->search && source_search_now(self->search, exhausted, owner);
}

void swarm_follow(struct swarm *self, struct fetch *fetch, const struct file_entry *file)
{
    if (self->partials)
        self->handle = partials_add(self->partials, fetch, file);
    if (!self->broker)
        return;
    broker_client_wake(self->broker);
    self->search = source_search_new(self->loop, self->broker, fetch, &file->id);
}

void swarm_unfollow(struct swarm *self)
{
    source_search_destroy(&self->search);
    if (self->partials)
        partials_remove(self->partials, self->handle);
    /* Until there is something to share again; the owner may not even run the loop meanwhile. */
    if (self->broker)
        broker_client_rest(self->broker);
}

/* The broker says what it thinks of us to a node; a download goes on without it. */
static void on_trouble(void *owner, const char *text)
{
    (void)owner;
    (void)text;
}

static void on_joined(void *owner, const struct host *host, uint16_t port)
{
    (void)owner;
    (void)host;
    (void)port;
}

struct swarm *swarm_new(struct loop *loop, struct workers *workers, const struct swarm_config *config)
{
    struct swarm *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->workers = workers;
    self->config = *config;
    self->index = share_index_new();
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(self->index, &nothing);
    self->holdings = holdings_new(self->index);

    uint16_t port = 0;
    bool is_serving = config->is_serving && start_serving(self, &port);
    if (!is_serving) {
        data_port_destroy(&self->port);
        partials_destroy(&self->partials);
    }
    struct broker_client_config client = {
        .broker_host = config->broker_host,
        .broker_port = config->broker_port,
        .link = {.node = config->node,
                 .boot = random_u64(),
                 .port = port,
                 .node_name = text_of(config->node_name),
                 .agent = text_of(config->agent),
                 .features = config->is_local ? 0 : FEATURE_REACHABLE,
                 .is_only_asking = !is_serving},
    };
    struct broker_client_events events = {.owner = self, .joined = on_joined, .trouble = on_trouble};
    self->broker = broker_client_new(loop, workers, &client, self->holdings, &events);
    return self;
}

void swarm_stop(struct swarm *self)
{
    swarm_unfollow(self);
    if (self->broker)
        broker_client_stop(self->broker);
    if (self->port)
        data_port_stop(self->port);
}

void swarm_destroy(struct swarm **self_p)
{
    struct swarm *self = *self_p;
    if (!self)
        return;
    broker_client_destroy(&self->broker);
    data_port_destroy(&self->port);
    partials_destroy(&self->partials);
    holdings_destroy(&self->holdings);
    share_index_destroy(&self->index);
    free(self);
    *self_p = NULL;
}
