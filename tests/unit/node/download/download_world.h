/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_DOWNLOAD_DOWNLOAD_WORLD_H
#define TESTS_UNIT_NODE_DOWNLOAD_DOWNLOAD_WORLD_H

/*
 * A download, its clock, and sources that say what a test lets them say. Effects are those of the last event;
 * READs are kept until they are answered or cancelled. No bytes exist: a test says how a payload hashes.
 */

#include "node/content/tree.h"
#include "node/download/download.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

/* What a source that nothing is known of is asked for. */
#define START_WINDOW_BYTES (512 * KIB)

#define WORLD_READS_MAX 2048

struct asked {
    uint32_t source;
    uint64_t rid, offset;
    uint32_t length;
};

struct world {
    struct download *download;
    struct download_effects effects;
    uint64_t now_ms;
    struct layout layout;
    struct hash *layer;
    struct hash root;
    struct file_id id;
    uint64_t hello_rid[DOWNLOAD_SOURCES_MAX], open_rid[DOWNLOAD_SOURCES_MAX], layer_rid[DOWNLOAD_SOURCES_MAX];
    uint32_t layer_first, layer_count; /* of the last HASHES */
    struct asked asked[WORLD_READS_MAX];
    size_t asked_count;
    size_t cancel_count, pong_count;
};

/* What block `block` of 1 MiB hashes to, in a file of large chunks. */
static inline struct hash world_block_hash(uint32_t block)
{
    struct hash hash = {{0xb1}};
    memcpy(hash.bytes + 4, &block, sizeof block);
    return hash;
}

static inline void world_make_layer(struct world *w)
{
    w->layer = calloc((size_t)w->layout.chunk_count + 1, sizeof *w->layer);
    unsigned blocks = 1u << (w->layout.chunk_log2 > BLOCK_LOG2 ? w->layout.chunk_log2 - BLOCK_LOG2 : 0);
    for (uint32_t i = 0; i < w->layout.chunk_count; i++) {
        struct hash hashes[4];
        uint32_t count = 0;
        for (; count < blocks && i * blocks + count < layout_block_count(&w->layout); count++)
            hashes[count] = world_block_hash(i * blocks + count);
        if (blocks > 1)
            tree_join(hashes, count, BLOCK_LOG2 - LEAF_LOG2, tree_chunk_height(&w->layout), &w->layer[i]);
        else
            w->layer[i] = world_block_hash(i);
    }
    if (w->layout.chunk_count > 0)
        cr_assert(tree_root_of_layer(&w->layout, w->layer, &w->root));
    w->id = file_id_of(w->layout.size, &w->root);
}

static inline void world_note(struct world *w, uint32_t source, const struct message *m)
{
    if (m->kind == KIND_HELLO)
        w->hello_rid[source] = m->rid;
    if (m->kind == KIND_OPEN)
        w->open_rid[source] = m->rid;
    if (m->kind == KIND_PONG)
        w->pong_count++;
    if (m->kind == KIND_HASHES) {
        w->layer_rid[source] = m->rid;
        w->layer_first = m->hashes.first;
        w->layer_count = m->hashes.count;
    }
    if (m->kind == KIND_READ) {
        cr_assert(lt(sz, w->asked_count, WORLD_READS_MAX));
        w->asked[w->asked_count++] = (struct asked){source, m->rid, m->read.offset, m->read.length};
    }
    for (size_t i = 0; m->kind == KIND_CANCEL && i < w->asked_count; i++) {
        if (w->asked[i].rid == m->cancel.read_rid) {
            w->asked[i] = w->asked[--w->asked_count];
            w->cancel_count++;
        }
    }
}

/* To be called after every event. */
static inline void world_look(struct world *w)
{
    for (size_t i = 0; i < w->effects.count; i++) {
        const struct download_effect *effect = &w->effects.entries[i];
        for (size_t k = w->asked_count; effect->kind == DOWNLOAD_DISCONNECT && k-- > 0;) {
            if (w->asked[k].source == effect->source)
                w->asked[k] = w->asked[--w->asked_count];
        }
        if (effect->kind != DOWNLOAD_SEND)
            continue;
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
}

static inline struct download_config world_config(void)
{
    return (struct download_config){.node = {true, {{99}}}, .node_name = "me", .agent = "test", .seed = 1};
}

/* Not started: for what an earlier run left. */
static inline struct world world_prepare(uint64_t size, struct download_config config)
{
    struct world w = {.now_ms = 1000000, .layout = layout_of(size)};
    world_make_layer(&w);
    config.id = w.id;
    config.root = w.root;
    config.size = size;
    w.download = download_new(&config, w.now_ms);
    download_effects_init(&w.effects);
    return w;
}

static inline void world_start(struct world *w)
{
    download_effects_clear(&w->effects);
    download_start(w->download, w->now_ms, &w->effects);
    world_look(w);
}

static inline struct world world_new(uint64_t size)
{
    struct download_config config = world_config();
    config.is_in_order = true;
    struct world w = world_prepare(size, config);
    world_start(&w);
    return w;
}

static inline void world_release(struct world *w)
{
    download_destroy(&w->download);
    download_effects_release(&w->effects);
    free(w->layer);
}

static inline size_t world_count(const struct world *w, enum download_effect_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < w->effects.count; i++)
        count += w->effects.entries[i].kind == kind;
    return count;
}

static inline const struct download_effect *world_effect(const struct world *w,
                                                         enum download_effect_kind kind)
{
    for (size_t i = 0; i < w->effects.count; i++) {
        if (w->effects.entries[i].kind == kind)
            return &w->effects.entries[i];
    }
    return NULL;
}

static inline struct download_source world_source(const struct world *w, uint32_t source)
{
    return download_source_at(w->download, source);
}

/* The reason why a source ended is this one. */
static inline void world_expect_reason(const struct world *w, uint32_t source, const char *expected)
{
    const char *reason = world_source(w, source).reason;
    cr_expect(strcmp(reason, expected) == 0, "\"%s\", not \"%s\"", reason, expected);
}

/* A source ended just now: in this state, for this reason, and it was told. */
static inline void world_expect_end(const struct world *w, uint32_t source, enum source_state state,
                                    const char *reason)
{
    cr_expect(eq(int, world_source(w, source).state, state));
    world_expect_reason(w, source, reason);
    cr_expect(eq(sz, world_count(w, DOWNLOAD_DISCONNECT), 1));
    cr_expect(eq(sz, world_count(w, DOWNLOAD_SOURCE), 1));
}

static inline void world_tick(struct world *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    download_effects_clear(&w->effects);
    download_tick(w->download, now_ms, &w->effects);
    world_look(w);
}

/* 10.0.0.`host`, port 6900; the node id is `node`, 0: not known. */
static inline void world_add(struct world *w, uint8_t host, uint8_t node)
{
    struct host address = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, host}};
    struct optional_node_id id = {node != 0, {{node}}};
    download_effects_clear(&w->effects);
    download_add_source(w->download, &id, &address, 6900, w->now_ms, &w->effects);
    world_look(w);
}

static inline void world_connected(struct world *w, uint32_t source)
{
    download_effects_clear(&w->effects);
    download_on_connected(w->download, source, w->now_ms, &w->effects);
    world_look(w);
}

static inline void world_lost(struct world *w, uint32_t source)
{
    for (size_t k = w->asked_count; k-- > 0;) {
        if (w->asked[k].source == source)
            w->asked[k] = w->asked[--w->asked_count];
    }
    download_effects_clear(&w->effects);
    download_on_lost(w->download, source, w->now_ms, &w->effects);
    world_look(w);
}

static inline void world_bytes(struct world *w, uint32_t source, const void *bytes, size_t size,
                               size_t frame_count, size_t payload_size)
{
    download_effects_clear(&w->effects);
    download_on_message(w->download, source, bytes, size, frame_count, payload_size, w->now_ms, &w->effects);
    world_look(w);
}

static inline void world_say(struct world *w, uint32_t source, const struct message *m, size_t payload_size)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(m, &bytes);
    world_bytes(w, source, bytes.data, bytes.size, m->kind == KIND_DATA ? 2 : 1, payload_size);
    msgpack_sbuffer_destroy(&bytes);
}

static inline struct message world_hello_ok(const struct world *w, uint32_t source)
{
    struct message m = {.kind = KIND_HELLO_OK, .rid = w->hello_rid[source]};
    m.hello_ok =
        (struct message_hello_ok){{{(uint8_t)(source + 1)}}, 5, text_of("n"), text_of("a"), 0, 16 * MIB, MIB};
    return m;
}

static inline struct message world_open_ok(const struct world *w, uint32_t source)
{
    struct message m = {.kind = KIND_OPEN_OK, .rid = w->open_rid[source]};
    m.open_ok.file = (struct file_entry){
        .id = w->id, .root = w->root, .size = w->layout.size, .name = text_of("f"), .have_permille = 1000};
    m.open_ok.chunk_log2 = w->layout.chunk_log2;
    return m;
}

/* HELLO_OK and OPEN_OK of a connected source; `chunks` NULL: it holds all. */
static inline void world_greet(struct world *w, uint32_t source, const struct chunk_map *chunks)
{
    struct message hello = world_hello_ok(w, source), open = world_open_ok(w, source);
    world_say(w, source, &hello, 0);
    if (chunks) {
        open.open_ok.have = (struct optional_blob){true, chunk_map_bits(chunks)};
        open.open_ok.file.have_permille = 1;
    }
    world_say(w, source, &open, 0);
}

/* Adds a source and has it ready: its slot, which is also its node id less one. */
static inline uint32_t world_ready(struct world *w, const struct chunk_map *chunks)
{
    uint32_t source = 0;
    while (world_source(w, source).state != SOURCE_FREE)
        source++;
    world_add(w, (uint8_t)(source + 1), (uint8_t)(source + 1));
    cr_assert(eq(u32, world_effect(w, DOWNLOAD_CONNECT)->source, source));
    world_connected(w, source);
    world_greet(w, source, chunks);
    return source;
}

static inline struct message world_hashes_ok(const struct world *w, uint32_t source)
{
    struct message m = {.kind = KIND_HASHES_OK, .rid = w->layer_rid[source]};
    m.hashes_ok = (struct message_hashes_ok){
        w->id,
        w->layer_first,
        {(const uint8_t *)(w->layer + w->layer_first), w->layer_count * sizeof *w->layer}};
    return m;
}

static inline void world_give_layer(struct world *w, uint32_t source)
{
    struct message m = world_hashes_ok(w, source);
    world_say(w, source, &m, 0);
}

static inline void world_error(struct world *w, uint32_t source, uint64_t rid, enum error_code code,
                               uint32_t retry_ms)
{
    for (size_t i = 0; i < w->asked_count; i++) {
        if (w->asked[i].rid == rid)
            w->asked[i] = w->asked[--w->asked_count];
    }
    struct message m = message_error(rid, code, "x", retry_ms);
    world_say(w, source, &m, 0);
}

/* The oldest READ of a source that is not answered yet. */
static inline struct asked world_asked(const struct world *w, uint32_t source)
{
    const struct asked *oldest = NULL;
    for (size_t i = 0; i < w->asked_count; i++) {
        if (w->asked[i].source == source && (!oldest || w->asked[i].rid < oldest->rid))
            oldest = &w->asked[i];
    }
    cr_assert(oldest != NULL, "source %u is not asked for anything", source);
    return *oldest;
}

static inline size_t world_asked_count(const struct world *w, uint32_t source)
{
    size_t count = 0;
    for (size_t i = 0; i < w->asked_count; i++)
        count += w->asked[i].source == source;
    return count;
}

static inline uint64_t world_asked_bytes(const struct world *w, uint32_t source)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->asked_count; i++)
        bytes += w->asked[i].source == source ? w->asked[i].length : 0;
    return bytes;
}

static inline struct message world_data_of(const struct world *w, const struct asked *asked)
{
    struct message m = {.kind = KIND_DATA, .rid = asked->rid};
    m.data = (struct message_range){w->id, asked->offset, asked->length};
    return m;
}

static inline void world_forget(struct world *w, uint64_t rid)
{
    for (size_t i = 0; i < w->asked_count; i++) {
        if (w->asked[i].rid == rid)
            w->asked[i] = w->asked[--w->asked_count];
    }
}

/* The source answers this READ. The order to process it, if it was wanted; else one of length 0. */
static inline struct process_order world_answer(struct world *w, struct asked asked)
{
    struct message m = world_data_of(w, &asked);
    world_forget(w, asked.rid);
    world_say(w, asked.source, &m, asked.length);
    const struct download_effect *effect = world_effect(w, DOWNLOAD_PROCESS);
    return effect ? effect->order : (struct process_order){0};
}

static inline void world_processed(struct world *w, const struct process_order *order,
                                   enum processed_status status, int error_number)
{
    struct processed result = {.status = status, .error_number = error_number};
    result.hash = world_block_hash((uint32_t)(order->run.offset >> BLOCK_LOG2));
    download_effects_clear(&w->effects);
    download_on_processed(w->download, order->ticket, &result, w->now_ms, &w->effects);
    world_look(w);
}

/* A block of a large chunk that hashes wrongly. */
static inline void world_processed_wrong(struct world *w, const struct process_order *order)
{
    struct processed result = {.status = PROCESSED_OK, .hash = {{0xbb}}};
    download_effects_clear(&w->effects);
    download_on_processed(w->download, order->ticket, &result, w->now_ms, &w->effects);
    world_look(w);
}

/* The source answers its oldest READ, rightly. */
static inline void world_serve(struct world *w, uint32_t source)
{
    struct process_order order = world_answer(w, world_asked(w, source));
    cr_assert(gt(u32, order.run.length, 0));
    world_processed(w, &order, PROCESSED_OK, 0);
}

#endif
