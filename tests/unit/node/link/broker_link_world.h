/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_LINK_BROKER_LINK_WORLD_H
#define TESTS_UNIT_NODE_LINK_BROKER_LINK_WORLD_H

/* A broker link on virtual time, over a share of made-up files; the test is the broker. */
#include "node/link/broker_link.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#define LEASE_MS 30000

struct world {
    struct share_index *index;
    struct holdings *holdings;
    struct broker_link *link;
    struct broker_effects effects;
    struct envelope envelope;
    bool has_envelope;
    uint64_t now_ms;
};

static inline void scan(struct world *w, size_t count, size_t name_size, bool is_complete)
{
    struct scan_outcome outcome = {
        .files = calloc(count + 1, sizeof *outcome.files), .count = count, .is_complete = is_complete};
    for (size_t i = 0; i < count; i++) {
        char name[1025], number[24];
        memset(name, 'x', sizeof name);
        snprintf(number, sizeof number, "%07zu", i);
        memcpy(name + name_size - 7, number, 7);
        name[name_size] = '\0';
        outcome.files[i] = (struct scanned_file){
            .path = strdup(name), .name = strdup(name), .stamp = {.inode = i + 1, .size = 10}};
    }
    share_index_scanned(w->index, &outcome);
}

static inline void hash_all(struct world *w)
{
    const struct shared_file *file;
    while ((file = share_index_next_unhashed(w->index, 0))) {
        struct hash root = {{(uint8_t)file->stamp.inode, (uint8_t)(file->stamp.inode >> 8)}};
        share_index_hashed(w->index, file->handle, &root);
    }
}

static inline struct world world_at_port(uint16_t port)
{
    struct world w = {.index = share_index_new(), .now_ms = 1000};
    w.holdings = holdings_new(w.index);
    struct broker_link_config config = {.node = {{7}},
                                        .boot = 55,
                                        .port = port,
                                        .node_name = text_of("n"),
                                        .agent = text_of("test"),
                                        .features = FEATURE_REACHABLE};
    w.link = broker_link_new(&config, w.holdings);
    broker_effects_init(&w.effects);
    return w;
}

static inline struct world world_new(void)
{
    return world_at_port(9001);
}

static inline void world_release(struct world *w)
{
    if (w->has_envelope)
        envelope_close(&w->envelope);
    broker_effects_release(&w->effects);
    broker_link_destroy(&w->link);
    holdings_destroy(&w->holdings);
    share_index_destroy(&w->index);
}

static inline size_t tick(struct world *w, uint64_t random)
{
    broker_effects_clear(&w->effects);
    broker_link_tick(w->link, random, w->now_ms, &w->effects);
    return w->effects.count;
}

/* The message that effect `i` sends. */
static inline struct message sent(struct world *w, size_t i)
{
    struct message m = {0};
    cr_assert(lt(sz, i, w->effects.count));
    cr_assert(eq(int, w->effects.items[i].kind, BROKER_SEND));
    if (w->has_envelope)
        envelope_close(&w->envelope);
    w->has_envelope = true;
    const uint8_t *bytes = (const uint8_t *)w->effects.bytes.data + w->effects.items[i].header_offset;
    cr_assert(eq(int, envelope_open(&w->envelope, bytes, w->effects.items[i].header_size, RECEIVER_BROKER, 1),
                 ENVELOPE_OK));
    cr_assert(message_read(&w->envelope, &m));
    return m;
}

static inline enum broker_link_result deliver_bytes(struct world *w, const void *bytes, size_t size,
                                                    uint64_t random)
{
    struct envelope envelope;
    struct message m;
    broker_effects_clear(&w->effects);
    enum envelope_result opened = envelope_open(&envelope, bytes, size, RECEIVER_MEMBER, 1);
    enum broker_link_result result =
        broker_link_on_envelope(w->link, opened, &envelope, random, w->now_ms, &w->effects, &m);
    envelope_close(&envelope);
    return result;
}

static inline enum broker_link_result deliver(struct world *w, const struct message *m, uint64_t random)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(m, &bytes);
    enum broker_link_result result = deliver_bytes(w, bytes.data, bytes.size, random);
    msgpack_sbuffer_destroy(&bytes);
    return result;
}

/* The rid of the JOIN that is due. */
static inline uint64_t join_rid(struct world *w)
{
    cr_assert(eq(sz, tick(w, 0), 1));
    struct message m = sent(w, 0);
    cr_assert(eq(int, m.kind, KIND_JOIN));
    return m.rid;
}

static inline void accept_join(struct world *w, uint64_t rid, uint32_t lease_ms)
{
    struct message m = {.kind = KIND_JOIN_OK, .rid = rid, .join_ok = {.port = 9001, .lease_ms = lease_ms}};
    m.join_ok.host.bytes[15] = 1;
    cr_assert(eq(int, deliver(w, &m, 0), BROKER_LINK_TAKEN));
}

#endif
