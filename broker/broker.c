/* SPDX-License-Identifier: MIT */
#include "broker/broker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct broker {
    struct broker_config config;
    struct registry *registry;
    struct searches *searches;
    struct membership *membership;
    uint64_t bad_messages;
};

struct broker *broker_new(const struct broker_config *config)
{
    assert(config->lease_ms > 0);
    assert(config->nodes_max > 0);
    struct broker *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->registry = registry_new();
    self->searches = searches_new(self->registry, config->presence, config->search_rate, config->search_burst,
                                  config->first_rid);
    struct membership_config membership = {
        .broker = config->id,
        .lease_ms = config->lease_ms,
        .nodes_max = config->nodes_max,
        .assign_begin = config->assign_begin,
        .assign_end = config->assign_end,
        .first_rid = config->first_rid,
    };
    self->membership = membership_new(&membership, self->registry, self->searches);
    return self;
}

void broker_destroy(struct broker **self_p)
{
    assert(self_p);
    struct broker *self = *self_p;
    if (!self)
        return;
    membership_destroy(&self->membership);
    searches_destroy(&self->searches);
    registry_destroy(&self->registry);
    free(self);
    *self_p = NULL;
}

static void begin(struct broker *self, uint64_t now_ms, struct effects *effects)
{
    searches_begin(self->searches, now_ms);
    membership_begin(self->membership, now_ms, effects);
}

static void on_update(struct broker *self, struct node *node, const struct message *m,
                      struct effects *effects)
{
    (void)self;
    node->files = m->update.files;
    node->bytes = m->update.bytes;
    node_set_presence(node, &m->update.presence);
    struct message reply = {
        .kind = KIND_UPDATE_OK, .rid = m->rid, .update_ok = {.generation = m->update.generation}};
    effects_send(effects, node->route, 0, &reply);
}

/* One PEERS_OK while it is put together. */
struct page {
    struct peer_entry entries[PEERS_LIMIT_MAX];
    struct text tags[PEERS_LIMIT_MAX][TAGS_MAX];
    size_t count, size_bytes;
};

/* False when the node does not fit any more. */
static bool page_add(struct page *page, const struct node *node, const struct host *host, uint64_t now_ms)
{
    struct peer_entry entry = {
        .source = {.node = node->id, .host = *host, .port = node->port, .name = node_name(node)},
        .files = node->files,
        .bytes = node->bytes,
        .idle_ms = (uint32_t)(now_ms - node->last_seen_ms),
        .tags = {.entries = page->tags[page->count], .count = node->tag_count},
    };
    /* Two u64 of 9, a u32 of 5, three array headers of at most 3, two more a tag. */
    size_t size = source_entry_size(&entry.source) + 32;
    const char *tag = node->labels + node->name_size;
    for (uint8_t i = 0; i < node->tag_count; i++) {
        page->tags[page->count][i] = (struct text){tag, node->tag_sizes[i]};
        tag += node->tag_sizes[i];
        size += 2 + (size_t)node->tag_sizes[i];
    }
    if (size > HEADER_SIZE_MAX_BROKER - 32 - page->size_bytes)
        return false;
    page->size_bytes += size;
    page->entries[page->count++] = entry;
    return true;
}

/* The cursor is the sequence of the last node told, so a listing is stable while nodes come and go. */
static void on_peers(struct broker *self, const struct broker_peer *peer, const struct message *m,
                     uint64_t now_ms, struct effects *effects)
{
    size_t limit = m->peers.limit ? m->peers.limit : PEERS_LIMIT_DEFAULT;
    if (limit > PEERS_LIMIT_MAX)
        limit = PEERS_LIMIT_MAX;
    struct page *page = malloc(sizeof *page);
    assert(page);
    page->count = page->size_bytes = 0;
    uint64_t next_cursor = 0, last = m->peers.cursor;
    for (size_t i = registry_after(self->registry, last); i < registry_count(self->registry); i++) {
        const struct node *node = registry_at(self->registry, i);
        struct host host;
        if (!node_host_for(node, peer, &host))
            continue;
        if (page->count == limit || !page_add(page, node, &host, now_ms)) {
            next_cursor = last;
            break;
        }
        last = node->sequence;
    }
    struct message reply = {
        .kind = KIND_PEERS_OK,
        .rid = m->rid,
        .peers_ok = {.next_cursor = next_cursor, .entries = page->entries, .count = page->count}};
    effects_send(effects, peer->route, 0, &reply);
    free(page);
}

static void on_status(struct broker *self, uint32_t route, uint64_t rid, uint64_t now_ms,
                      struct effects *effects)
{
    struct searches_figures figures = searches_figures(self->searches);
    struct message reply = {.kind = KIND_STATUS_OK,
                            .rid = rid,
                            .status_ok = {.broker = self->config.id,
                                          .agent = text_of(self->config.agent),
                                          .uptime_ms = now_ms - self->config.start_ms,
                                          .nodes = (uint32_t)registry_count(self->registry),
                                          .searches = figures.searches,
                                          .queries = figures.queries,
                                          .answers = figures.answers,
                                          .bad_messages = self->bad_messages}};
    effects_send(effects, route, 0, &reply);
}

static bool needs_joined(uint64_t kind)
{
    return kind == KIND_PING || kind == KIND_UPDATE || kind == KIND_ANSWER;
}

/* `node` is NULL for a route that has not joined; kinds that need one were refused before. */
static void dispatch(struct broker *self, const struct broker_peer *peer, struct node *node,
                     const struct message *m, uint64_t now_ms, struct effects *effects)
{
    switch (m->kind) {
    case KIND_PING: {
        struct message pong = {.kind = KIND_PONG, .rid = m->rid};
        effects_send(effects, peer->route, 0, &pong);
        return;
    }
    case KIND_PONG:
        membership_on_pong(self->membership, peer->route, m->rid, effects);
        return;
    case KIND_BYE:
        membership_on_left(self->membership, peer->route, DEPARTURE_BYE, now_ms, effects);
        return;
    case KIND_ERROR:
        if (node)
            searches_on_refused(self->searches, node, m->rid, now_ms);
        return;
    case KIND_JOIN:
        membership_on_join(self->membership, peer, m->rid, &m->join, now_ms, effects);
        return;
    case KIND_UPDATE:
        on_update(self, node, m, effects);
        return;
    case KIND_SEARCH:
        searches_on_search(self->searches, peer, m->rid, &m->search, now_ms, effects);
        return;
    case KIND_ANSWER:
        if (!searches_on_answer(self->searches, node, m->rid, &m->answer, m->dropped_count, now_ms))
            self->bad_messages++;
        return;
    case KIND_PEERS:
        on_peers(self, peer, m, now_ms, effects);
        return;
    case KIND_STATUS:
        on_status(self, peer->route, m->rid, now_ms, effects);
        return;
    default:
        assert(!"a kind that kind_gate() lets a broker receive");
    }
}

/* The checks in the order of docs/protocol.md: frames, msgpack, version, kind, joined, fields. */
static void read_and_dispatch(struct broker *self, const struct broker_peer *peer, struct envelope *envelope,
                              enum envelope_result result, uint64_t now_ms, struct effects *effects)
{
    struct node *node = registry_by_route(self->registry, peer->route);
    if (node)
        registry_touch(self->registry, node, peer->connection, now_ms);

    enum error_code code = ERROR_BAD_MESSAGE;
    const char *text = "malformed message";
    struct message m;
    switch (result) {
    case ENVELOPE_OK:
        if (!node && needs_joined(envelope->kind)) {
            effects_send_error(effects, peer->route, envelope->rid, ERROR_NOT_JOINED, "JOIN comes first", 0);
            return;
        }
        if (message_read(envelope, &m)) {
            self->bad_messages += m.dropped_count > 0;
            dispatch(self, peer, node, &m, now_ms, effects);
            return;
        }
        text = "a field is missing, mistyped or out of bounds";
        break;
    case ENVELOPE_BAD:
        break;
    case ENVELOPE_VERSION:
        code = ERROR_UNSUPPORTED;
        text = "speaks 1";
        break;
    case ENVELOPE_UNSUPPORTED:
        code = ERROR_UNSUPPORTED;
        text = "a broker does not take this kind";
        break;
    case ENVELOPE_UNASKED:
        self->bad_messages++;
        return;
    }
    self->bad_messages++;
    if (!envelope->is_never_answered)
        effects_send_error(effects, peer->route, envelope->rid, code, text, 0);
}

void broker_on_message(struct broker *self, const struct broker_peer *peer, const uint8_t *header,
                       size_t size, size_t frame_count, uint64_t now_ms, struct effects *effects)
{
    begin(self, now_ms, effects);
    struct envelope envelope;
    enum envelope_result result = envelope_open(&envelope, header, size, RECEIVER_BROKER, frame_count);
    read_and_dispatch(self, peer, &envelope, result, now_ms, effects);
    envelope_close(&envelope);
    searches_pump(self->searches, now_ms, effects);
}

void broker_on_connection_lost(struct broker *self, int connection, uint64_t now_ms, struct effects *effects)
{
    begin(self, now_ms, effects);
    membership_on_connection_lost(self->membership, connection, now_ms, effects);
    searches_pump(self->searches, now_ms, effects);
}

void broker_on_unreachable(struct broker *self, uint32_t route, uint64_t now_ms, struct effects *effects)
{
    membership_on_left(self->membership, route, DEPARTURE_LOST, now_ms, effects);
    searches_pump(self->searches, now_ms, effects);
}

void broker_on_congested(struct broker *self, struct effect failed, uint64_t now_ms, struct effects *effects)
{
    if (searches_on_congested(self->searches, failed.route, failed.search_rid, now_ms))
        return;
    const struct node *node = registry_by_route(self->registry, failed.route);
    if (node)
        searches_on_refused(self->searches, node, failed.search_rid, now_ms);
    searches_pump(self->searches, now_ms, effects);
}

void broker_tick(struct broker *self, uint64_t now_ms, struct effects *effects)
{
    begin(self, now_ms, effects);
    searches_pump(self->searches, now_ms, effects);
}

uint64_t broker_next_deadline_ms(const struct broker *self)
{
    uint64_t searches_ms = searches_next_deadline_ms(self->searches);
    uint64_t membership_ms = membership_next_deadline_ms(self->membership);
    return searches_ms < membership_ms ? searches_ms : membership_ms;
}

void broker_stop(struct broker *self, struct effects *effects)
{
    struct message bye = {.kind = KIND_BYE, .bye = {.reason = text_of("the broker stops")}};
    effects_write(effects, &bye);
    for (size_t i = 0; i < registry_count(self->registry); i++)
        effects_send_written(effects, registry_at(self->registry, i)->route, 0);
    searches_send_written(self->searches, effects);
}

bool broker_wants_local_host(const struct broker *self)
{
    return registry_has_reachable_loopback(self->registry);
}

size_t broker_node_count(const struct broker *self)
{
    return registry_count(self->registry);
}

size_t broker_search_count(const struct broker *self)
{
    return searches_count(self->searches);
}
