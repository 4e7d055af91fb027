/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_DOWNLOAD_BUNDLE_WORLD_H
#define TESTS_UNIT_NODE_DOWNLOAD_BUNDLE_WORLD_H

/*
 * A bundle, its clock, and sources that say what a test lets them say. READs and files to be stored are kept
 * until they are answered; what was lost, and how it ended, is kept for good. No bytes exist: a test says
 * whether a payload is right.
 */

#include "node/download/bundle.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u

#define WORLD_READS_MAX 8192

struct asked {
    uint32_t source, file, length;
    uint64_t rid;
};

struct storing {
    uint32_t source, file, ticket;
};

struct world {
    struct bundle *bundle;
    struct bundle_effects effects; /* of the last event */
    uint64_t now_ms;
    uint64_t hello_rid[BUNDLE_SOURCES_MAX];
    struct optional_node_id expected[BUNDLE_SOURCES_MAX];
    struct asked asked[WORLD_READS_MAX];
    size_t asked_count;
    struct storing storing[WORLD_READS_MAX];
    size_t storing_count;
    uint32_t file_count;
    size_t cancel_count, pong_count, lost_count, ask_count;
    uint32_t lost[64]; /* the first of them */
    bool is_complete, is_failed;
};

static inline struct file_id world_id(uint32_t file)
{
    struct file_id id = {{0xf1}};
    memcpy(id.bytes + 4, &file, sizeof file);
    return id;
}

static inline uint32_t world_file_of(const struct file_id *id)
{
    uint32_t file;
    memcpy(&file, id->bytes + 4, sizeof file);
    return file;
}

static inline void world_drop_reads(struct world *w, uint32_t source, uint64_t rid)
{
    for (size_t k = w->asked_count; k-- > 0;) {
        if (w->asked[k].source != source || (rid != 0 && w->asked[k].rid != rid))
            continue;
        memmove(&w->asked[k], &w->asked[k + 1], (--w->asked_count - k) * sizeof w->asked[0]);
    }
}

static inline void world_note(struct world *w, uint32_t source, const struct message *m)
{
    if (m->kind == KIND_HELLO) {
        w->hello_rid[source] = m->rid;
        w->expected[source] = m->hello.expected_node;
    }
    w->pong_count += m->kind == KIND_PONG;
    if (m->kind == KIND_CANCEL) {
        world_drop_reads(w, source, m->cancel.read_rid);
        w->cancel_count++;
    }
    if (m->kind != KIND_READ)
        return;
    cr_assert(lt(sz, w->asked_count, WORLD_READS_MAX));
    cr_assert(eq(u64, m->read.offset, 0));
    w->ask_count++;
    w->asked[w->asked_count++] = (struct asked){source, world_file_of(&m->read.file), m->read.length, m->rid};
}

static inline void world_read_sent(struct world *w, const struct bundle_effect *effect)
{
    struct envelope envelope;
    struct message message;
    enum envelope_result result =
        envelope_open(&envelope, (const uint8_t *)w->effects.arena.data + effect->bytes_offset,
                      effect->bytes_size, RECEIVER_SERVER, 1);
    cr_assert(eq(int, result, ENVELOPE_OK));
    cr_assert(message_read(&envelope, &message));
    world_note(w, effect->source, &message);
    envelope_close(&envelope);
}

/* To be called after every event. */
static inline void world_look(struct world *w)
{
    for (size_t i = 0; i < w->effects.count; i++) {
        const struct bundle_effect *effect = &w->effects.entries[i];
        if (effect->kind == BUNDLE_SEND)
            world_read_sent(w, effect);
        else if (effect->kind == BUNDLE_DISCONNECT)
            world_drop_reads(w, effect->source, 0);
        else if (effect->kind == BUNDLE_STORE)
            w->storing[w->storing_count++] = (struct storing){effect->source, effect->file, effect->ticket};
        else if (effect->kind == BUNDLE_LOST && w->lost_count++ < 64)
            w->lost[w->lost_count - 1] = effect->file;
        w->is_complete = w->is_complete || effect->kind == BUNDLE_COMPLETE;
        w->is_failed = w->is_failed || effect->kind == BUNDLE_FAILED;
    }
}

static inline struct world *world_new_limited(uint64_t timeout_ms, uint64_t down_rate)
{
    struct world *w = calloc(1, sizeof *w);
    struct bundle_config config = {
        .timeout_ms = timeout_ms, .down_rate = down_rate, .instance = 7, .agent = "test"};
    w->now_ms = 1000000;
    w->bundle = bundle_new(&config);
    bundle_effects_init(&w->effects);
    return w;
}

static inline struct world *world_new(uint64_t timeout_ms)
{
    return world_new_limited(timeout_ms, 0);
}

static inline void world_free(struct world *w)
{
    bundle_destroy(&w->bundle);
    bundle_effects_release(&w->effects);
    free(w);
}

static inline uint32_t world_add_source(struct world *w, uint8_t number)
{
    struct host host;
    cr_assert(host_parse(text_of("10.0.0.1"), &host));
    return bundle_add_source(w->bundle, &(struct optional_node_id){true, {{number}}}, &host,
                             (uint16_t)(1000 + number));
}

static inline void world_add_files(struct world *w, uint32_t count, uint32_t size, uint64_t sources)
{
    for (uint32_t i = 0; i < count; i++) {
        struct file_id id = world_id(w->file_count++);
        cr_assert(bundle_add_file(w->bundle, &id, size, sources));
    }
}

static inline void world_start(struct world *w)
{
    bundle_effects_clear(&w->effects);
    bundle_start(w->bundle, w->now_ms, &w->effects);
    world_look(w);
}

static inline void world_say(struct world *w, uint32_t source, const struct message *m, size_t payload_size)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    message_write(m, &buffer);
    bundle_effects_clear(&w->effects);
    bundle_on_message(w->bundle, source, (const uint8_t *)buffer.data, buffer.size,
                      m->kind == KIND_DATA ? 2 : 1, payload_size, w->now_ms, &w->effects);
    msgpack_sbuffer_destroy(&buffer);
    world_look(w);
}

static inline void world_connected(struct world *w, uint32_t source)
{
    bundle_effects_clear(&w->effects);
    bundle_on_connected(w->bundle, source, w->now_ms, &w->effects);
    world_look(w);
}

static inline void world_connection_lost(struct world *w, uint32_t source)
{
    bundle_effects_clear(&w->effects);
    world_drop_reads(w, source, 0);
    bundle_on_lost(w->bundle, source, w->now_ms, &w->effects);
    world_look(w);
}

static inline struct message world_hello_ok(const struct world *w, uint32_t source)
{
    struct message m = {.kind = KIND_HELLO_OK, .rid = w->hello_rid[source]};
    m.hello_ok = (struct message_hello_ok){.node = w->expected[source].id,
                                           .instance = 1,
                                           .node_name = text_of("them"),
                                           .agent = text_of("test"),
                                           .window_bytes = 16 * 1024 * KIB,
                                           .max_read = 1024 * KIB};
    return m;
}

static inline void world_ready(struct world *w, uint32_t source)
{
    world_connected(w, source);
    struct message m = world_hello_ok(w, source);
    world_say(w, source, &m, 0);
}

/* The oldest READ that the source owes; file UINT32_MAX when there is none. */
static inline struct asked world_asked(const struct world *w, uint32_t source)
{
    for (size_t i = 0; i < w->asked_count; i++) {
        if (w->asked[i].source == source)
            return w->asked[i];
    }
    return (struct asked){.file = UINT32_MAX};
}

static inline size_t world_asked_count(const struct world *w, uint32_t source)
{
    size_t count = 0;
    for (size_t i = 0; i < w->asked_count; i++)
        count += w->asked[i].source == source;
    return count;
}

static inline void world_data(struct world *w, struct asked asked)
{
    struct message m = {.kind = KIND_DATA, .rid = asked.rid};
    m.data = (struct message_range){world_id(asked.file), 0, asked.length};
    world_drop_reads(w, asked.source, asked.rid);
    world_say(w, asked.source, &m, asked.length);
}

static inline void world_error(struct world *w, struct asked asked, enum error_code code, uint32_t retry_ms)
{
    struct message m = message_error(asked.rid, code, "test", retry_ms);
    world_drop_reads(w, asked.source, asked.rid);
    world_say(w, asked.source, &m, 0);
}

/* What came longest ago is stored. */
static inline void world_stored(struct world *w, enum bundle_stored result)
{
    cr_assert(gt(sz, w->storing_count, 0));
    uint32_t ticket = w->storing[0].ticket;
    memmove(&w->storing[0], &w->storing[1], --w->storing_count * sizeof w->storing[0]);
    bundle_effects_clear(&w->effects);
    bundle_on_stored(w->bundle, ticket, result, w->now_ms, &w->effects);
    world_look(w);
}

/* The source answers its oldest READ, and it is stored. */
static inline void world_serve(struct world *w, uint32_t source)
{
    world_data(w, world_asked(w, source));
    world_stored(w, BUNDLE_STORED_OK);
}

static inline void world_serve_all(struct world *w, uint32_t source)
{
    while (world_asked_count(w, source) > 0)
        world_serve(w, source);
}

static inline void world_tick(struct world *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    bundle_effects_clear(&w->effects);
    bundle_tick(w->bundle, now_ms, &w->effects);
    world_look(w);
}

static inline struct bundle_progress world_progress(const struct world *w)
{
    return bundle_progress(w->bundle);
}

/* The source is over, for this reason. */
static inline void world_expect_over(const struct world *w, uint32_t source, enum source_state state,
                                     const char *reason)
{
    struct download_source about = bundle_source_at(w->bundle, source);
    cr_expect(eq(int, about.state, state));
    cr_expect(strcmp(about.reason, reason) == 0, "\"%s\", not \"%s\"", about.reason, reason);
}

#endif
