/* SPDX-License-Identifier: MIT */
#include "broker/membership.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

/* A newcomer whose id another route has. */
struct challenge {
    struct node *newcomer;
    uint64_t join_rid;
    uint32_t old_route;
    uint64_t ping_rid;
    uint64_t deadline_ms;
    struct challenge *prev, *next; /* in the order of their deadlines */
};

/* A lost connection whose routes are probed a second time. */
struct probe {
    int connection;
    uint64_t at_ms;
    struct probe *prev, *next; /* in the order of time */
};

struct membership {
    struct membership_config config;
    struct registry *registry;
    struct searches *searches;
    struct ports *ports;
    struct challenge *challenges;
    size_t challenge_count;
    struct probe *probes;
    size_t probe_count;
    uint64_t next_rid;
};

struct membership *membership_new(const struct membership_config *config, struct registry *registry,
                                  struct searches *searches)
{
    struct membership *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->registry = registry;
    self->searches = searches;
    self->ports = ports_new(config->assign_begin, config->assign_end);
    self->next_rid = config->first_rid;
    return self;
}

static void drop_challenge(struct membership *self, struct challenge *challenge)
{
    DL_DELETE(self->challenges, challenge);
    self->challenge_count--;
    node_destroy(&challenge->newcomer);
    free(challenge);
}

static void drop_probe(struct membership *self, struct probe *probe)
{
    DL_DELETE(self->probes, probe);
    self->probe_count--;
    free(probe);
}

void membership_destroy(struct membership **self_p)
{
    assert(self_p);
    struct membership *self = *self_p;
    if (!self)
        return;
    while (self->challenges)
        drop_challenge(self, self->challenges);
    while (self->probes)
        drop_probe(self, self->probes);
    ports_destroy(&self->ports);
    free(self);
    *self_p = NULL;
}

static void note_node(struct effects *effects, const struct node *node, const char *event)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(&node->host, node->port, endpoint);
    struct text name = node_name(node);
    effects_note(effects, "%s %.*s %s", endpoint, (int)name.size, name.bytes, event);
}

static void send_join_ok(const struct membership *self, uint32_t route, uint64_t rid, const struct host *host,
                         uint16_t port, struct effects *effects)
{
    struct message m = {.kind = KIND_JOIN_OK,
                        .rid = rid,
                        .join_ok = {.host = *host,
                                    .port = port,
                                    .lease_ms = self->config.lease_ms,
                                    .broker = self->config.broker,
                                    .nodes = (uint32_t)registry_count(self->registry)}};
    effects_send(effects, route, 0, &m);
}

static void send_ping(uint32_t route, uint64_t rid, struct effects *effects)
{
    struct message m = {.kind = KIND_PING, .rid = rid};
    effects_send(effects, route, 0, &m);
}

static void add(struct membership *self, struct node **node_p, uint64_t rid, struct effects *effects)
{
    struct node *node = *node_p;
    registry_add(self->registry, node_p);
    ports_hold(self->ports, &node->host, node->port);
    send_join_ok(self, node->route, rid, &node->host, node->port, effects);
    note_node(effects, node, "joined");
}

static struct challenge *challenge_of_id(const struct membership *self, const struct node_id *id)
{
    struct challenge *challenge;
    DL_FOREACH(self->challenges, challenge)
    {
        if (node_id_equal(&challenge->newcomer->id, id))
            return challenge;
    }
    return NULL;
}

static struct challenge *challenge_of_newcomer(const struct membership *self, uint32_t route)
{
    struct challenge *challenge;
    DL_FOREACH(self->challenges, challenge)
    {
        if (challenge->newcomer->route == route)
            return challenge;
    }
    return NULL;
}

static void accept_newcomer(struct membership *self, struct challenge *challenge, uint64_t now_ms,
                            struct effects *effects)
{
    struct node *newcomer = challenge->newcomer;
    challenge->newcomer = NULL;
    uint64_t rid = challenge->join_rid;
    drop_challenge(self, challenge);
    newcomer->last_seen_ms = now_ms;
    add(self, &newcomer, rid, effects);
}

static void remove_node(struct membership *self, struct node *node, enum departure departure, uint64_t now_ms,
                        struct effects *effects, const char *event)
{
    searches_on_node_left(self->searches, node, departure, now_ms);
    registry_remove(self->registry, node);
    ports_let_go(self->ports, &node->host, node->port);
    note_node(effects, node, event);
    struct node_id id = node->id;
    searches_on_asker_gone(self->searches, node->route);
    node_destroy(&node);
    struct challenge *challenge = challenge_of_id(self, &id);
    if (challenge)
        accept_newcomer(self, challenge, now_ms, effects);
}

static void assign_port(struct membership *self, const struct broker_peer *peer, uint64_t rid,
                        uint64_t now_ms, struct effects *effects)
{
    uint16_t port = 0;
    switch (ports_assign(self->ports, &peer->host, now_ms, &port)) {
    case PORTS_ASSIGNED:
        send_join_ok(self, peer->route, rid, &peer->host, port, effects);
        return;
    case PORTS_DENIED:
        effects_send_error(effects, peer->route, rid, ERROR_DENIED, "no ports are assigned here", 0);
        return;
    case PORTS_BUSY:
        effects_send_error(effects, peer->route, rid, ERROR_BUSY, "no port is free",
                           ports_retry_ms(self->ports, now_ms));
        return;
    }
}

/* The id is another route's: asks that one whether it is alive. Takes the newcomer. */
static void challenge(struct membership *self, const struct node *old, struct node **newcomer_p, uint64_t rid,
                      uint64_t now_ms, struct effects *effects)
{
    struct node *newcomer = *newcomer_p;
    *newcomer_p = NULL;
    struct challenge *running = challenge_of_id(self, &newcomer->id);
    if (running && running->newcomer->route == newcomer->route) {
        /* It asks again while it waits: its time goes on. */
        node_destroy(&running->newcomer);
        running->newcomer = newcomer;
        running->join_rid = rid;
        return;
    }
    if (running || self->challenge_count >= CHALLENGES_MAX) {
        effects_send_error(effects, newcomer->route, rid, ERROR_BUSY, "another node waits for this id",
                           CHALLENGE_MS);
        node_destroy(&newcomer);
        return;
    }
    struct challenge *fresh = calloc(1, sizeof *fresh);
    assert(fresh);
    fresh->newcomer = newcomer;
    fresh->join_rid = rid;
    fresh->old_route = old->route;
    fresh->ping_rid = self->next_rid++;
    fresh->deadline_ms = now_ms + CHALLENGE_MS;
    DL_APPEND(self->challenges, fresh);
    self->challenge_count++;
    send_ping(old->route, fresh->ping_rid, effects);
}

static void join_again(struct membership *self, struct node *node, struct node **fresh_p, uint64_t rid,
                       struct effects *effects)
{
    ports_let_go(self->ports, &node->host, node->port);
    registry_replace(self->registry, node, fresh_p);
    ports_hold(self->ports, &node->host, node->port);
    send_join_ok(self, node->route, rid, &node->host, node->port, effects);
}

/* What the route was until now, if the JOIN does not just renew it. Returns the node that it renews, or NULL.
 */
static struct node *leave_behind(struct membership *self, uint32_t route, const struct message_join *join,
                                 uint64_t now_ms, struct effects *effects)
{
    struct challenge *waiting = challenge_of_newcomer(self, route);
    if (waiting && (join->port == 0 || !node_id_equal(&waiting->newcomer->id, &join->node)))
        drop_challenge(self, waiting);
    struct node *node = registry_by_route(self->registry, route);
    if (!node)
        return NULL;
    if (!node_id_equal(&node->id, &join->node)) {
        remove_node(self, node, DEPARTURE_BYE, now_ms, effects, "left for another id");
        return NULL;
    }
    if (join->port == 0) {
        /* Without a port it can no longer be a source, but it did not say that it shares nothing. */
        remove_node(self, node, DEPARTURE_LOST, now_ms, effects, "asked for another port");
        return NULL;
    }
    return node;
}

void membership_on_join(struct membership *self, const struct broker_peer *peer, uint64_t rid,
                        const struct message_join *join, uint64_t now_ms, struct effects *effects)
{
    if (host_is_unusable(&peer->host)) {
        effects_send_error(effects, peer->route, rid, ERROR_DENIED, "your address is not known", 0);
        return;
    }
    struct node *node = leave_behind(self, peer->route, join, now_ms, effects);
    if (join->port == 0) {
        assign_port(self, peer, rid, now_ms, effects);
        return;
    }
    struct node *fresh = node_new(peer, join, now_ms);
    if (node) {
        join_again(self, node, &fresh, rid, effects);
        return;
    }
    struct node *old = registry_by_id(self->registry, &join->node);
    if (old && (old->boot != join->boot || !host_equal(&old->host, &peer->host))) {
        challenge(self, old, &fresh, rid, now_ms, effects);
        return;
    }
    if (old) {
        struct challenge *waiting = challenge_of_id(self, &join->node);
        if (waiting) {
            /* The node itself came back by another connection: it is alive. */
            if (waiting->newcomer->route != peer->route)
                effects_send_error(effects, waiting->newcomer->route, waiting->join_rid, ERROR_DUPLICATE,
                                   "a live node has this id", 0);
            drop_challenge(self, waiting);
        }
        remove_node(self, old, DEPARTURE_LOST, now_ms, effects, "came back by a new connection");
    } else if (registry_count(self->registry) >= self->config.nodes_max) {
        effects_send_error(effects, peer->route, rid, ERROR_BUSY, "no room for more nodes",
                           MEMBERSHIP_RETRY_MS);
        node_destroy(&fresh);
        return;
    }
    add(self, &fresh, rid, effects);
}

void membership_on_pong(struct membership *self, uint32_t route, uint64_t rid, struct effects *effects)
{
    struct challenge *challenge, *following;
    DL_FOREACH_SAFE(self->challenges, challenge, following)
    {
        if (challenge->old_route != route || challenge->ping_rid != rid)
            continue;
        effects_send_error(effects, challenge->newcomer->route, challenge->join_rid, ERROR_DUPLICATE,
                           "a live node has this id", 0);
        note_node(effects, challenge->newcomer, "was refused, a live node has its id");
        drop_challenge(self, challenge);
        return;
    }
}

void membership_on_left(struct membership *self, uint32_t route, enum departure departure, uint64_t now_ms,
                        struct effects *effects)
{
    struct challenge *waiting = challenge_of_newcomer(self, route);
    if (waiting)
        drop_challenge(self, waiting);
    struct node *node = registry_by_route(self->registry, route);
    if (node)
        remove_node(self, node, departure, now_ms, effects,
                    departure == DEPARTURE_BYE ? "left" : "lost its connection");
    searches_on_asker_gone(self->searches, route);
}

/* Returns how many routes there are. */
static size_t probe(struct membership *self, int connection, struct effects *effects)
{
    if (connection < 0)
        return 0;
    size_t count = 0;
    struct node *node;
    for (node = registry_on_connection(self->registry, connection); node; node = node->connection_next) {
        send_ping(node->route, self->next_rid++, effects);
        count++;
    }
    struct challenge *challenge;
    DL_FOREACH(self->challenges, challenge)
    {
        if (challenge->newcomer->connection != connection)
            continue;
        send_ping(challenge->newcomer->route, self->next_rid++, effects);
        count++;
    }
    uint32_t routes[SEARCHES_MAX];
    size_t asker_count = searches_askers_on_connection(self->searches, connection, routes, SEARCHES_MAX);
    for (size_t i = 0; i < asker_count; i++)
        send_ping(routes[i], self->next_rid++, effects);
    return count + asker_count;
}

void membership_begin(struct membership *self, uint64_t now_ms, struct effects *effects)
{
    while (self->probes && now_ms >= self->probes->at_ms) {
        int connection = self->probes->connection;
        drop_probe(self, self->probes);
        probe(self, connection, effects);
    }
    while (self->challenges && now_ms >= self->challenges->deadline_ms) {
        struct node *old = registry_by_id(self->registry, &self->challenges->newcomer->id);
        assert(old);
        remove_node(self, old, DEPARTURE_LOST, now_ms, effects, "did not answer, its id was taken over");
    }
    for (;;) {
        struct node *node = registry_oldest(self->registry);
        if (!node || now_ms < node->last_seen_ms + self->config.lease_ms)
            return;
        remove_node(self, node, DEPARTURE_LOST, now_ms, effects, "was silent for its lease");
    }
}

void membership_on_connection_lost(struct membership *self, int connection, uint64_t now_ms,
                                   struct effects *effects)
{
    if (probe(self, connection, effects) == 0 || self->probe_count >= PROBES_MAX)
        return;
    struct probe *again = calloc(1, sizeof *again);
    assert(again);
    again->connection = connection;
    again->at_ms = now_ms + PROBE_AGAIN_MS;
    DL_APPEND(self->probes, again);
    self->probe_count++;
}

uint64_t membership_next_deadline_ms(const struct membership *self)
{
    uint64_t next_ms = UINT64_MAX;
    const struct node *node = registry_oldest(self->registry);
    if (node)
        next_ms = node->last_seen_ms + self->config.lease_ms;
    if (self->challenges && self->challenges->deadline_ms < next_ms)
        next_ms = self->challenges->deadline_ms;
    if (self->probes && self->probes->at_ms < next_ms)
        next_ms = self->probes->at_ms;
    return next_ms;
}
