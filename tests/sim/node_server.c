/* SPDX-License-Identifier: MIT */
#include "tests/sim/swarm_private.h"

#include "node/serve/upload_queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE 1

/* A route stands for one connection of one download. */
static uint32_t route_of(uint32_t download, uint32_t generation)
{
    return generation * SWARM_DOWNLOADS_MAX + download;
}

static bool is_route_up(const struct swarm *self, uint32_t source, uint32_t route)
{
    const struct link *link = &self->clients[route % SWARM_DOWNLOADS_MAX].links[source];
    return link->is_up && link->generation == route / SWARM_DOWNLOADS_MAX;
}

void node_server_start(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    struct node_server *node = calloc(1, sizeof *node);
    assert(node);
    struct peer_server_config config = {.node = {{(uint8_t)(source + 1)}},
                                        .instance = ++server->instance,
                                        .node_name = text_of("node"),
                                        .agent = text_of("sim"),
                                        .up_rate = server->script.rate};
    node->index = share_index_new();
    node->holdings = holdings_new(node->index);
    node->server = peer_server_new(&config, node->holdings);
    node->deadline_ms = peer_server_next_deadline_ms(node->server);
    peer_effects_init(&node->effects);
    server->node = node;
    node_server_on_chunks(self, source);
}

void node_server_stop(struct server *server)
{
    struct node_server *node = server->node;
    if (!node)
        return;
    for (size_t i = 0; i < node->handed_count; i++)
        free(node->handed[i].header);
    free(node->handed);
    peer_effects_release(&node->effects);
    peer_server_destroy(&node->server);
    holdings_destroy(&node->holdings);
    share_index_destroy(&node->index);
    free(node);
    server->node = NULL;
}

/* Tickets. */

static struct handed *find(struct node_server *node, uint64_t ticket)
{
    for (size_t i = 0; i < node->handed_count; i++) {
        if (node->handed[i].ticket == ticket)
            return &node->handed[i];
    }
    return NULL;
}

static struct handed *hand_out(struct node_server *node, uint64_t ticket, uint32_t route)
{
    struct handed *handed = find(node, ticket);
    if (handed)
        return handed;
    if (node->handed_count == node->handed_capacity) {
        node->handed_capacity = node->handed_capacity ? node->handed_capacity * 2 : 64;
        node->handed = realloc(node->handed, node->handed_capacity * sizeof *node->handed);
        assert(node->handed);
    }
    handed = &node->handed[node->handed_count++];
    *handed = (struct handed){.ticket = ticket, .route = route, .wrong_cell = NO_CELL};
    return handed;
}

static void give_back(struct node_server *node, uint64_t ticket)
{
    struct handed *handed = find(node, ticket);
    node->data_bytes -= handed->length;
    free(handed->header);
    memmove(handed, handed + 1, (size_t)(node->handed + node->handed_count - (handed + 1)) * sizeof *handed);
    node->handed_count--;
}

/* An event of this life of the node. */
static void later(struct swarm *self, uint32_t source, enum event_kind kind, uint64_t after_us,
                  uint64_t ticket, uint32_t route)
{
    swarm_push(self, &(struct event){.kind = kind,
                                     .source = source,
                                     .at_us = self->now_us + after_us,
                                     .generation = (uint32_t)self->servers[source].instance,
                                     .ticket = ticket,
                                     .download = route});
}

/* One after the other, as fast as the link is. */
static void send_next(struct swarm *self, uint32_t source)
{
    struct node_server *node = self->servers[source].node;
    for (size_t i = 0; i < node->handed_count && node->sending == 0; i++) {
        const struct handed *handed = &node->handed[i];
        if (!handed->header)
            continue;
        uint64_t size = handed->header_size + handed->length;
        node->sending = handed->ticket;
        later(self, source, EVENT_TICKET, size * 1000000 / self->servers[source].script.rate + 1,
              handed->ticket, handed->route);
    }
}

static void read_later(struct swarm *self, uint32_t source, const struct peer_effect *effect)
{
    struct server *server = &self->servers[source];
    struct handed *handed = hand_out(server->node, effect->ticket, effect->route);
    handed->offset = effect->offset;
    handed->length = effect->length;
    server->node->data_bytes += effect->length;
    if (server->node->data_bytes > UPLOAD_IN_HAND_BYTES_MAX)
        check_broken(self, "a node has more in hand than it may");
    uint64_t first = effect->offset >> self->content.layout.chunk_log2;
    uint64_t last = (effect->offset + effect->length - 1) >> self->content.layout.chunk_log2;
    for (uint64_t chunk = first; chunk <= last; chunk++) {
        if (!chunk_map_has(&server->chunks, (uint32_t)chunk))
            check_broken(self, "a node reads what it does not have");
    }
    uint32_t cells = (effect->length + CELL_SIZE - 1) >> CELL_LOG2;
    if (random_permille(&self->random, server->script.wrong_bytes_permille))
        handed->wrong_cell =
            (uint32_t)(effect->offset >> CELL_LOG2) + (uint32_t)(random_next(&self->random) % cells);
    later(self, source, EVENT_DISK, random_next(&self->random) % (self->script.disk_us + 1), effect->ticket,
          effect->route);
}

static void send_out(struct swarm *self, uint32_t source, const struct peer_effect *effect)
{
    struct node_server *node = self->servers[source].node;
    const uint8_t *header = peer_effect_header(&node->effects, effect);
    uint32_t download = effect->route % SWARM_DOWNLOADS_MAX;
    if (effect->ticket != 0) {
        struct handed *handed = hand_out(node, effect->ticket, effect->route);
        handed->header = malloc(effect->header_size);
        assert(handed->header);
        memcpy(handed->header, header, effect->header_size);
        handed->header_size = effect->header_size;
        send_next(self, source);
    } else if (is_route_up(self, source, effect->route)) {
        swarm_send_bytes(self, download, source, header, effect->header_size, 0, NO_CELL);
    } else {
        later(self, source, EVENT_ROUTE_LOST, 0, 0, effect->route);
    }
}

static void run_effects(struct swarm *self, uint32_t source)
{
    struct node_server *node = self->servers[source].node;
    for (size_t i = 0; i < node->effects.count; i++) {
        const struct peer_effect *effect = &node->effects.items[i];
        switch (effect->kind) {
        case PEER_SEND:
        case PEER_SEND_DATA:
            send_out(self, source, effect);
            break;
        case PEER_READ_CHUNK:
            read_later(self, source, effect);
            break;
        case PEER_LOAD_HASHES: {
            struct handed *handed = hand_out(node, effect->ticket, effect->route);
            handed->offset = effect->first; /* of hashes: told back by EVENT_DISK */
            later(self, source, EVENT_DISK, 0, effect->ticket, effect->route);
            break;
        }
        case PEER_DROP_DATA:
            later(self, source, EVENT_TICKET, 0, effect->ticket, effect->route);
            break;
        case PEER_DISCONNECT:
            swarm_push(self,
                       &(struct event){.kind = EVENT_LOST,
                                       .at_us = self->now_us,
                                       .download = (uint32_t)effect->connection % SWARM_DOWNLOADS_MAX,
                                       .source = source,
                                       .generation = (uint32_t)effect->connection / SWARM_DOWNLOADS_MAX});
            break;
        case PEER_CHANGED:
            holdings_remove_partial(node->holdings, HANDLE);
            break;
        case PEER_PUSH:
        case PEER_PUSHER_GONE:
            check_broken(self, "a node that takes no pushes has one");
            break;
        }
    }
    peer_effects_clear(&node->effects);
    node->deadline_ms = peer_server_next_deadline_ms(node->server);
}

void node_server_on_message(struct swarm *self, const struct event *event)
{
    struct node_server *node = self->servers[event->source].node;
    uint32_t route = route_of(event->download, event->generation);
    peer_server_on_message(node->server, route, (int)route, event->bytes, event->size, 1, swarm_now_ms(self),
                           &node->effects);
    run_effects(self, event->source);
}

/* The other end of a push, which says no HELLO. */
void node_server_admit(struct swarm *self, uint32_t download, uint32_t source)
{
    uint32_t route = route_of(download, self->clients[download].links[source].generation);
    peer_server_admit(self->servers[source].node->server, route, (int)route, swarm_now_ms(self));
}

void node_server_on_lost(struct swarm *self, uint32_t download, uint32_t source)
{
    struct node_server *node = self->servers[source].node;
    uint32_t route = route_of(download, self->clients[download].links[source].generation - 1);
    peer_server_on_connection_lost(node->server, (int)route, &node->effects);
    run_effects(self, source);
}

/* A disk that fails, or a file that is no longer what it was. */
static enum disk_result any_disk_result(struct swarm *self, const struct source_script *script)
{
    if (random_permille(&self->random, script->unreadable_permille))
        return DISK_FAILED;
    return random_permille(&self->random, script->changed_permille) ? DISK_CHANGED : DISK_OK;
}

static void on_disk(struct swarm *self, uint32_t source, const struct event *event)
{
    struct node_server *node = self->servers[source].node;
    const struct handed *handed = find(node, event->ticket);
    if (handed->length > 0)
        peer_server_on_chunk(node->server, event->ticket,
                             any_disk_result(self, &self->servers[source].script), swarm_now_ms(self),
                             &node->effects);
    else
        peer_server_on_hashes(node->server, event->ticket, DISK_OK, self->content.layer + handed->offset,
                              swarm_now_ms(self), &node->effects);
}

static void on_ticket(struct swarm *self, uint32_t source, const struct event *event)
{
    struct node_server *node = self->servers[source].node;
    const struct handed *handed = find(node, event->ticket);
    if (handed->header && is_route_up(self, source, handed->route))
        swarm_send_bytes(self, handed->route % SWARM_DOWNLOADS_MAX, source, handed->header,
                         handed->header_size, handed->length, handed->wrong_cell);
    if (node->sending == event->ticket)
        node->sending = 0;
    give_back(node, event->ticket);
    peer_server_on_sent(node->server, event->ticket, swarm_now_ms(self), &node->effects);
}

void node_server_on_event(struct swarm *self, const struct event *event)
{
    uint32_t source = event->source;
    struct server *server = &self->servers[source];
    if (!server->node || event->generation != server->instance || server_is_frozen(self, source))
        return;
    if (event->kind == EVENT_DISK)
        on_disk(self, source, event);
    else if (event->kind == EVENT_TICKET)
        on_ticket(self, source, event);
    else
        peer_server_on_route_lost(server->node->server, event->download, &server->node->effects);
    run_effects(self, source);
    send_next(self, source);
}

void node_server_on_growth(struct swarm *self, uint32_t source, uint32_t chunk)
{
    struct node_server *node = self->servers[source].node;
    if (server_is_frozen(self, source))
        return;
    holdings_partial_verified(node->holdings, HANDLE, chunk, 1);
    peer_server_on_verified(node->server, HANDLE, chunk, 1, &node->effects);
    run_effects(self, source);
}

/* A partial file is served once its layer is known; then each chunk that comes is told. */
void node_server_on_chunks(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    const struct layout *layout = &self->content.layout;
    struct node_server *node = server->node;
    if (!node || layout->chunk_count == 0 || server_is_frozen(self, source))
        return;
    if (server->script.download) {
        const struct client *client = &self->clients[server->script.download - 1];
        if (!client->download || (layout_has_layer(layout) && !download_layer(client->download)))
            return;
        for (uint32_t i = 0; i < layout->chunk_count; i++) {
            if (!chunk_map_has(download_chunks(client->download), i) || !chunk_map_set(&server->chunks, i) ||
                !node->is_holding)
                continue;
            holdings_partial_verified(node->holdings, HANDLE, i, 1);
            peer_server_on_verified(node->server, HANDLE, i, 1, &node->effects);
        }
    }
    if (!node->is_holding) {
        struct file_entry file = {.id = self->content.id,
                                  .root = self->content.root,
                                  .size = layout->size,
                                  .name = text_of("file"),
                                  .have_permille = 1};
        node->is_holding =
            holdings_add_partial(node->holdings, HANDLE, &file, chunk_map_bits(&server->chunks).bytes);
        assert(node->is_holding);
    }
    run_effects(self, source);
}

void node_server_tick(struct swarm *self, uint32_t source)
{
    struct node_server *node = self->servers[source].node;
    peer_server_tick(node->server, swarm_now_ms(self), &node->effects);
    run_effects(self, source);
}

uint64_t node_server_deadline_ms(const struct swarm *self, uint32_t source)
{
    const struct node_server *node = self->servers[source].node;
    bool is_still = !node || server_is_frozen(self, source);
    return is_still ? NEVER_MS : node->deadline_ms;
}
