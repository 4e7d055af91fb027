/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_PUSH_PUSHER_WORLD_H
#define TESTS_UNIT_NODE_PUSH_PUSHER_WORLD_H

/* A pusher on virtual time, and what the node at the other end would say to it. */
#include "node/push/pusher.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#define KIB   1024u
#define MIB   (1024u * KIB)
#define CHUNK (64u * KIB)

#define TIMEOUT_MS 30000

struct world {
    struct share_index *index;
    struct holdings *holdings;
    struct peer_server *server;
    struct pusher *pusher;
    struct peer_effects effects;
    struct file_entry file;
    uint64_t now_ms, handle;
    uint32_t route;
    uint64_t offer_rid;
    struct envelope envelope; /* of the last message that was read */
    bool has_envelope;
};

static inline struct world world_of_rate(uint64_t up_rate)
{
    struct world w = {.index = share_index_new(), .now_ms = 100000};
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(w.index, &nothing);
    w.holdings = holdings_new(w.index);
    struct peer_server_config server = {
        .node_name = text_of(""), .agent = text_of("test"), .up_rate = up_rate};
    w.server = peer_server_new(&server, w.holdings);
    struct pusher_config config = {
        .instance = 99, .node_name = text_of("p"), .agent = text_of("test"), .timeout_ms = TIMEOUT_MS};
    config.expected_node = (struct optional_node_id){true, {{7}}};
    w.pusher = pusher_new(&config, w.server, w.holdings);
    peer_effects_init(&w.effects);
    return w;
}

static inline struct world world_new(void)
{
    return world_of_rate(0);
}

static inline void world_release(struct world *w)
{
    if (w->has_envelope)
        envelope_close(&w->envelope);
    peer_effects_release(&w->effects);
    pusher_destroy(&w->pusher);
    peer_server_destroy(&w->server);
    holdings_destroy(&w->holdings);
    share_index_destroy(&w->index);
}

/* The message that effect `i` sends, as the node reads it. */
static inline struct message sent(struct world *w, size_t i)
{
    struct message m = {0};
    cr_assert(lt(sz, i, w->effects.count));
    const struct peer_effect *effect = &w->effects.items[i];
    cr_assert(le(int, effect->kind, PEER_SEND_DATA));
    cr_assert(eq(u32, effect->route, w->route));
    if (w->has_envelope)
        envelope_close(&w->envelope);
    w->has_envelope = true;
    enum envelope_result result =
        envelope_open(&w->envelope, peer_effect_header(&w->effects, effect), effect->header_size,
                      RECEIVER_SERVER, effect->kind == PEER_SEND_DATA ? 2 : 1);
    cr_assert(eq(int, result, ENVELOPE_OK));
    cr_assert(message_read(&w->envelope, &m));
    return m;
}

/* Asserts that one message of this kind was sent, and nothing else. */
static inline struct message sent_only(struct world *w, enum message_kind kind)
{
    cr_assert(eq(sz, w->effects.count, 1), "%zu effects", w->effects.count);
    struct message m = sent(w, 0);
    cr_assert(eq(int, m.kind, kind));
    if (kind == KIND_OFFER)
        w->offer_rid = m.rid;
    return m;
}

static inline void say_bytes(struct world *w, const void *bytes, size_t size, size_t frame_count)
{
    peer_effects_clear(&w->effects);
    pusher_on_message(w->pusher, bytes, size, frame_count, w->now_ms, &w->effects);
}

static inline void say(struct world *w, const struct message *m)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(m, &bytes);
    say_bytes(w, bytes.data, bytes.size, m->kind == KIND_DATA ? 2 : 1);
    msgpack_sbuffer_destroy(&bytes);
}

static inline void tick(struct world *w, uint64_t passed_ms)
{
    w->now_ms += passed_ms;
    peer_effects_clear(&w->effects);
    pusher_tick(w->pusher, w->now_ms, &w->effects);
}

static inline void connect_node(struct world *w)
{
    peer_effects_clear(&w->effects);
    cr_assert(pusher_must_connect(w->pusher, w->now_ms));
    pusher_on_connected(w->pusher, ++w->route, w->now_ms, &w->effects);
}

static inline void lose(struct world *w)
{
    peer_effects_clear(&w->effects);
    pusher_on_lost(w->pusher, w->now_ms, &w->effects);
}

static inline void greet_back(struct world *w, uint64_t rid)
{
    struct message m = {.kind = KIND_HELLO_OK, .rid = rid};
    m.hello_ok.node = (struct node_id){{7}};
    m.hello_ok.node_name = m.hello_ok.agent = text_of("n");
    say(w, &m);
}

static inline struct file_entry file_of(uint64_t size)
{
    struct file_entry file = {.size = size, .root = {{(uint8_t)(size != 0)}}, .name = text_of("a.bin")};
    file.id = file_id_of(size, &file.root);
    return file;
}

static inline void offer(struct world *w, uint64_t size, const uint8_t *have)
{
    w->file = file_of(size);
    peer_effects_clear(&w->effects);
    pusher_offer(w->pusher, ++w->handle, &w->file, have, w->now_ms, &w->effects);
}

/* Begins, connects, greets and offers; the OFFER is the only effect. */
static inline struct message start(struct world *w, uint64_t size, const uint8_t *have)
{
    pusher_begin(w->pusher, w->now_ms);
    connect_node(w);
    greet_back(w, sent_only(w, KIND_HELLO).rid);
    cr_assert(eq(sz, w->effects.count, 0));
    offer(w, size, have);
    return sent_only(w, KIND_OFFER);
}

static inline void accept_offer(struct world *w, uint32_t missing)
{
    struct message m = {
        .kind = KIND_OFFER_OK, .rid = w->offer_rid, .offer_ok = {.file = w->file.id, .missing = missing}};
    say(w, &m);
    cr_assert(eq(sz, w->effects.count, 0));
}

static inline void confirm_by(struct world *w, uint64_t rid, uint32_t first, uint32_t count)
{
    struct chunk_range range = {first, count};
    struct message m = {
        .kind = KIND_HAVE, .rid = rid, .have = {.file = w->file.id, .ranges = &range, .count = 1}};
    say(w, &m);
    cr_assert(eq(sz, w->effects.count, 0));
}

static inline void confirm(struct world *w, uint32_t first, uint32_t count)
{
    confirm_by(w, w->offer_rid, first, count);
}

static inline void refuse(struct world *w, uint64_t rid, enum error_code code, uint32_t retry_ms)
{
    struct message m = message_error(rid, code, "words", retry_ms);
    say(w, &m);
}

static inline void store(struct world *w, uint64_t rid)
{
    struct message m = {
        .kind = KIND_STORED, .rid = rid, .stored = {.file = w->file.id, .name = text_of("b.bin")}};
    say(w, &m);
}

static inline void read_range(struct world *w, uint64_t rid, uint64_t offset, uint32_t length)
{
    struct message m = {
        .kind = KIND_READ, .rid = rid, .read = {.file = w->file.id, .offset = offset, .length = length}};
    say(w, &m);
}

/* A READ that is served: asked, read from disk, sent, and off the socket. */
static inline void serve(struct world *w, uint64_t offset, uint32_t length)
{
    read_range(w, 4711, offset, length);
    cr_assert(eq(sz, w->effects.count, 1));
    cr_assert(eq(int, w->effects.items[0].kind, PEER_READ_CHUNK));
    uint64_t ticket = w->effects.items[0].ticket;
    peer_effects_clear(&w->effects);
    peer_server_on_chunk(w->server, ticket, DISK_OK, w->now_ms, &w->effects);
    cr_assert(eq(sz, w->effects.count, 1));
    const struct peer_effect *effect = &w->effects.items[0];
    cr_assert(eq(int, effect->kind, PEER_SEND_DATA));
    cr_assert(eq(u64, effect->offset, offset));
    cr_assert(eq(u64, effect->content.handle, w->handle));
    pusher_on_sent(w->pusher, effect->content.handle, effect->offset, effect->length, w->now_ms);
    peer_server_on_sent(w->server, ticket, w->now_ms, &w->effects);
}

#define ASSERT_STATE(w, wanted) cr_assert(eq(int, pusher_state((w)->pusher), (wanted)))

#endif
