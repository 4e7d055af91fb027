/* SPDX-License-Identifier: MIT */
#include "broker/registry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct registry {
    struct node *by_route, *by_id;
    struct node **ordered; /* by sequence */
    size_t count, capacity;
    struct node *leases; /* oldest message first */
    struct node **by_connection;
    size_t connections_end;
    uint32_t *free_slots;
    size_t free_count;
    uint32_t slots_end;
    uint64_t next_sequence; /* from 1: 0 is the cursor that starts a listing */
    size_t reachable_loopback_count;
};

static void copy_labels(struct node *self, const struct message_join *join)
{
    size_t size = join->node_name.size;
    for (size_t i = 0; i < join->tags.count; i++)
        size += join->tags.entries[i].size;
    char *labels = malloc(size + 1);
    assert(labels);
    if (join->node_name.size > 0)
        memcpy(labels, join->node_name.bytes, join->node_name.size);
    size_t offset = join->node_name.size;
    self->name_size = (uint8_t)join->node_name.size;
    self->tag_count = (uint8_t)join->tags.count;
    for (size_t i = 0; i < join->tags.count; i++) {
        struct text tag = join->tags.entries[i];
        if (tag.size > 0)
            memcpy(labels + offset, tag.bytes, tag.size);
        self->tag_sizes[i] = (uint8_t)tag.size;
        offset += tag.size;
    }
    self->labels = labels;
}

struct node *node_new(const struct broker_peer *peer, const struct message_join *join, uint64_t now_ms)
{
    assert(join->port != 0);
    assert(join->node_name.size <= LABEL_SIZE_MAX);
    assert(join->tags.count <= TAGS_MAX);
    struct node *self = calloc(1, sizeof *self);
    assert(self);
    self->route = peer->route;
    self->connection = peer->connection;
    self->host = peer->host;
    self->id = join->node;
    self->boot = join->boot;
    self->port = join->port;
    self->features = join->features;
    self->files = join->files;
    self->bytes = join->bytes;
    self->last_seen_ms = now_ms;
    copy_labels(self, join);
    node_set_presence(self, &join->presence);
    return self;
}

static void free_presence(struct node *self)
{
    free((void *)(uintptr_t)self->presence.bits);
    self->presence = (struct presence_view){0};
}

void node_destroy(struct node **self_p)
{
    assert(self_p);
    struct node *self = *self_p;
    if (!self)
        return;
    free_presence(self);
    free(self->labels);
    free(self);
    *self_p = NULL;
}

struct text node_name(const struct node *self)
{
    return (struct text){self->labels, self->name_size};
}

void node_set_presence(struct node *self, const struct presence_view *view)
{
    free_presence(self);
    if (!view->is_present)
        return;
    size_t size = ((size_t)1 << view->log2_bits) / 8;
    uint8_t *bits = malloc(size);
    assert(bits);
    memcpy(bits, view->bits, size);
    self->presence = *view;
    self->presence.bits = bits;
}

bool node_host_for(const struct node *self, const struct broker_peer *asker, struct host *ret_host)
{
    if (!host_is_loopback(&self->host) || host_is_loopback(&asker->host)) {
        *ret_host = self->host;
        return true;
    }
    if (!(self->features & FEATURE_REACHABLE) || !asker->has_local_host)
        return false;
    *ret_host = asker->local_host;
    return true;
}

struct registry *registry_new(void)
{
    struct registry *self = calloc(1, sizeof *self);
    assert(self);
    self->next_sequence = 1;
    return self;
}

void registry_destroy(struct registry **self_p)
{
    assert(self_p);
    struct registry *self = *self_p;
    if (!self)
        return;
    while (self->count > 0) {
        struct node *node = registry_remove(self, self->ordered[self->count - 1]);
        node_destroy(&node);
    }
    free(self->ordered);
    free(self->by_connection);
    free(self->free_slots);
    free(self);
    *self_p = NULL;
}

static bool has_index(int connection)
{
    return connection >= 0 && connection < REGISTRY_CONNECTIONS_MAX;
}

static void link_connection(struct registry *self, struct node *node)
{
    if (!has_index(node->connection))
        return;
    size_t index = (size_t)node->connection;
    if (index >= self->connections_end) {
        size_t end = index + index / 2 + 64;
        self->by_connection = realloc(self->by_connection, end * sizeof *self->by_connection);
        assert(self->by_connection);
        memset(self->by_connection + self->connections_end, 0,
               (end - self->connections_end) * sizeof *self->by_connection);
        self->connections_end = end;
    }
    DL_APPEND2(self->by_connection[index], node, connection_prev, connection_next);
}

static void unlink_connection(struct registry *self, struct node *node)
{
    if (has_index(node->connection))
        DL_DELETE2(self->by_connection[node->connection], node, connection_prev, connection_next);
}

static bool is_reachable_loopback(const struct node *node)
{
    return (node->features & FEATURE_REACHABLE) && host_is_loopback(&node->host);
}

static void grow(struct registry *self)
{
    self->capacity = self->capacity ? self->capacity * 2 : 64;
    self->ordered = realloc(self->ordered, self->capacity * sizeof *self->ordered);
    assert(self->ordered);
    self->free_slots = realloc(self->free_slots, self->capacity * sizeof *self->free_slots);
    assert(self->free_slots);
}

void registry_add(struct registry *self, struct node **node_p)
{
    struct node *node = *node_p;
    *node_p = NULL;
    assert(!registry_by_route(self, node->route));
    assert(!registry_by_id(self, &node->id));
    if (self->count == self->capacity)
        grow(self);
    node->slot = self->free_count > 0 ? self->free_slots[--self->free_count] : self->slots_end++;
    node->sequence = self->next_sequence++;
    self->ordered[self->count++] = node;
    HASH_ADD(hh_route, self->by_route, route, sizeof node->route, node);
    HASH_ADD(hh_id, self->by_id, id, sizeof node->id, node);
    DL_APPEND(self->leases, node);
    link_connection(self, node);
    self->reachable_loopback_count += is_reachable_loopback(node);
}

struct node *registry_remove(struct registry *self, struct node *node)
{
    size_t index = registry_after(self, node->sequence - 1);
    assert(index < self->count);
    assert(self->ordered[index] == node);
    self->count--;
    memmove(self->ordered + index, self->ordered + index + 1, (self->count - index) * sizeof *self->ordered);
    self->free_slots[self->free_count++] = node->slot;
    HASH_DELETE(hh_route, self->by_route, node);
    HASH_DELETE(hh_id, self->by_id, node);
    DL_DELETE(self->leases, node);
    unlink_connection(self, node);
    self->reachable_loopback_count -= is_reachable_loopback(node);
    return node;
}

void registry_replace(struct registry *self, struct node *node, struct node **fresh_p)
{
    struct node *fresh = *fresh_p;
    assert(node->route == fresh->route);
    assert(node_id_equal(&node->id, &fresh->id));
    self->reachable_loopback_count -= is_reachable_loopback(node);
    node->boot = fresh->boot;
    node->host = fresh->host;
    node->port = fresh->port;
    node->features = fresh->features;
    node->files = fresh->files;
    node->bytes = fresh->bytes;
    node->name_size = fresh->name_size;
    node->tag_count = fresh->tag_count;
    memcpy(node->tag_sizes, fresh->tag_sizes, sizeof node->tag_sizes);
    free(node->labels);
    node->labels = fresh->labels;
    fresh->labels = NULL;
    free_presence(node);
    node->presence = fresh->presence;
    fresh->presence = (struct presence_view){0};
    self->reachable_loopback_count += is_reachable_loopback(node);
    node_destroy(fresh_p);
}

struct node *registry_by_route(const struct registry *self, uint32_t route)
{
    struct node *node;
    HASH_FIND(hh_route, self->by_route, &route, sizeof route, node);
    return node;
}

struct node *registry_by_id(const struct registry *self, const struct node_id *id)
{
    struct node *node;
    HASH_FIND(hh_id, self->by_id, id, sizeof *id, node);
    return node;
}

void registry_touch(struct registry *self, struct node *node, int connection, uint64_t now_ms)
{
    node->last_seen_ms = now_ms;
    DL_DELETE(self->leases, node);
    DL_APPEND(self->leases, node);
    if (node->connection == connection)
        return;
    unlink_connection(self, node);
    node->connection = connection;
    link_connection(self, node);
}

struct node *registry_oldest(const struct registry *self)
{
    return self->leases;
}

struct node *registry_on_connection(const struct registry *self, int connection)
{
    if (connection < 0 || (size_t)connection >= self->connections_end)
        return NULL;
    return self->by_connection[connection];
}

size_t registry_count(const struct registry *self)
{
    return self->count;
}

struct node *registry_at(const struct registry *self, size_t index)
{
    assert(index < self->count);
    return self->ordered[index];
}

size_t registry_after(const struct registry *self, uint64_t sequence)
{
    size_t begin = 0, end = self->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (self->ordered[middle]->sequence > sequence)
            end = middle;
        else
            begin = middle + 1;
    }
    return begin;
}

uint32_t registry_slots_end(const struct registry *self)
{
    return self->slots_end;
}

bool registry_has_reachable_loopback(const struct registry *self)
{
    return self->reachable_loopback_count > 0;
}
