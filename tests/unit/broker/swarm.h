/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_BROKER_SWARM_H
#define TESTS_UNIT_BROKER_SWARM_H

/*
 * A broker core with its clients on a virtual clock. Each call is one event; what the broker sent for it can
 * be read until the next one. Route n comes from 10.0.0.n over connection n, unless a test says otherwise.
 */

#include "broker/broker.h"
#include "messages/presence.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#define SWARM_OPEN_MAX 512 /* letters that one test reads of one event */

struct swarm {
    struct broker *broker;
    struct effects effects;
    uint64_t now_ms;
    struct envelope open[SWARM_OPEN_MAX];
    size_t open_count;
};

static inline struct broker_config swarm_config(void)
{
    return (struct broker_config){
        .id = {{0xb0}},
        .agent = "zbroker/test",
        .lease_ms = 30000,
        .nodes_max = 1000,
        .presence = PRESENCE_AUTO,
        .search_rate = BROKER_SEARCH_RATE_DEFAULT,
        .search_burst = BROKER_SEARCH_BURST_DEFAULT,
        .first_rid = 77,
        .start_ms = 1000,
    };
}

static inline struct swarm *swarm_new(const struct broker_config *config)
{
    struct swarm *s = calloc(1, sizeof *s);
    struct broker_config usual = swarm_config();
    s->broker = broker_new(config ? config : &usual);
    effects_init(&s->effects);
    s->now_ms = 1000;
    return s;
}

static inline void swarm_forget(struct swarm *s)
{
    for (size_t i = 0; i < s->open_count; i++)
        envelope_close(&s->open[i]);
    s->open_count = 0;
    effects_clear(&s->effects);
}

static inline void swarm_destroy(struct swarm *s)
{
    swarm_forget(s);
    effects_release(&s->effects);
    broker_destroy(&s->broker);
    free(s);
}

static inline struct host host_of(const char *text)
{
    struct host host = {{0}};
    cr_assert(host_parse(text_of(text), &host));
    return host;
}

static inline struct broker_peer peer_of(uint32_t route)
{
    char text[HOST_TEXT_SIZE];
    snprintf(text, sizeof text, "10.0.%u.%u", route / 256, route % 256);
    return (struct broker_peer){.route = route, .connection = (int)route, .host = host_of(text)};
}

static inline void swarm_bytes(struct swarm *s, struct broker_peer peer, const void *bytes, size_t size,
                               size_t frame_count)
{
    swarm_forget(s);
    broker_on_message(s->broker, &peer, bytes, size, frame_count, s->now_ms, &s->effects);
}

static inline void swarm_tell_as(struct swarm *s, struct broker_peer peer, struct message m)
{
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    message_write(&m, &out);
    swarm_bytes(s, peer, out.data, out.size, 1);
    msgpack_sbuffer_destroy(&out);
}

static inline void swarm_tell(struct swarm *s, uint32_t route, struct message m)
{
    swarm_tell_as(s, peer_of(route), m);
}

static inline void swarm_tick(struct swarm *s, uint64_t now_ms)
{
    swarm_forget(s);
    s->now_ms = now_ms;
    broker_tick(s->broker, now_ms, &s->effects);
}

/* The number-th message of that kind to that route out of the last event; NULL when there is none. */
static inline const struct message *swarm_sent(struct swarm *s, uint32_t route, enum message_kind kind,
                                               size_t number, struct message *ret)
{
    for (size_t i = 0; i < s->effects.count; i++) {
        const struct effect *effect = &s->effects.entries[i];
        if (effect->kind != EFFECT_SEND || effect->route != route)
            continue;
        cr_assert(lt(sz, s->open_count, SWARM_OPEN_MAX));
        struct envelope *envelope = &s->open[s->open_count++];
        enum envelope_result result =
            envelope_open(envelope, effects_bytes(&s->effects, effect), effect->size, RECEIVER_MEMBER, 1);
        cr_assert(eq(int, result, ENVELOPE_OK));
        if (envelope->kind != (uint64_t)kind || number-- > 0)
            continue;
        cr_assert(message_read(envelope, ret));
        cr_assert(eq(u32, ret->dropped_count, 0));
        return ret;
    }
    return NULL;
}

static inline size_t swarm_count(struct swarm *s, uint32_t route, enum message_kind kind)
{
    struct message m;
    size_t count = 0;
    while (swarm_sent(s, route, kind, count, &m))
        count++;
    return count;
}

static inline struct message swarm_only(struct swarm *s, uint32_t route, enum message_kind kind)
{
    struct message m = {.kind = KIND_ERROR};
    cr_assert(eq(sz, swarm_count(s, route, kind), 1), "%s to route %u", kind_name(kind), route);
    swarm_sent(s, route, kind, 0, &m);
    return m;
}

static inline size_t swarm_sends(const struct swarm *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->effects.count; i++)
        count += s->effects.entries[i].kind == EFFECT_SEND;
    return count;
}

static inline uint16_t swarm_error(struct swarm *s, uint32_t route)
{
    return swarm_only(s, route, KIND_ERROR).error.code;
}

/* Node n: id and port from n, one boot. */
static inline struct message join_of(uint32_t n)
{
    struct message m = {
        .kind = KIND_JOIN,
        .rid = 1000 + n,
        .join = {
            .boot = 7, .port = (uint16_t)(9000 + n), .node_name = text_of("node"), .agent = text_of("test")}};
    memcpy(m.join.node.bytes, &n, sizeof n);
    return m;
}

static inline void swarm_join(struct swarm *s, uint32_t route)
{
    swarm_tell(s, route, join_of(route));
    cr_assert(eq(sz, swarm_count(s, route, KIND_JOIN_OK), 1));
}

static inline struct message simple(enum message_kind kind, uint64_t rid)
{
    return (struct message){.kind = kind, .rid = rid};
}

static inline struct message search_of(const char *text)
{
    return (struct message){.kind = KIND_SEARCH, .rid = 500, .search = {.text = text_of(text)}};
}

/* Starts a search and returns the rid of its QUERY, as route `node` got it. */
static inline uint64_t swarm_search(struct swarm *s, uint32_t asker, struct message search, uint32_t node)
{
    swarm_tell(s, asker, search);
    return swarm_only(s, node, KIND_QUERY).rid;
}

/* A file whose root is made of `seed`. */
static inline struct file_entry file_of(const char *name, uint32_t seed, uint16_t have_permille)
{
    struct file_entry file = {.size = 100000 + seed, .name = text_of(name), .have_permille = have_permille};
    memcpy(file.root.bytes, &seed, sizeof seed);
    file.id = file_id_of(file.size, &file.root);
    return file;
}

static inline struct message answer_of(uint64_t rid, uint32_t total, struct file_entry *files, size_t count)
{
    return (struct message){.kind = KIND_ANSWER,
                            .rid = rid,
                            .answer = {.total = total, .files = {.entries = files, .count = count}}};
}

static inline void swarm_answer(struct swarm *s, uint32_t route, uint64_t rid, uint32_t total,
                                struct file_entry *files, size_t count)
{
    swarm_tell(s, route, answer_of(rid, total, files, count));
}

static inline void swarm_negative(struct swarm *s, uint32_t route, uint64_t rid)
{
    swarm_answer(s, route, rid, 0, NULL, 0);
}

#define CHECK_COUNTS(s, route, asked_, positive_, negative_, silent_, skipped_)                              \
    do {                                                                                                     \
        struct message done_ = swarm_only(s, route, KIND_SEARCH_DONE);                                       \
        cr_expect(eq(u32, done_.search_done.asked, asked_));                                                 \
        cr_expect(eq(u32, done_.search_done.positive, positive_));                                           \
        cr_expect(eq(u32, done_.search_done.negative, negative_));                                           \
        cr_expect(eq(u32, done_.search_done.silent, silent_));                                               \
        cr_expect(eq(u32, done_.search_done.skipped, skipped_));                                             \
    } while (0)

#endif
