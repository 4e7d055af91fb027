/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_SERVE_PEER_WORLD_H
#define TESTS_UNIT_NODE_SERVE_PEER_WORLD_H

/* A peer server over a share that the test makes up, and what a requester would say to it. */
#include "node/serve/peer_server.h"
#include "node/serve/upload_queue.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#define MIB (1u << 20)

struct world {
    struct share_index *index;
    struct holdings *holdings;
    struct peer_server *server;
    struct peer_effects effects;
    uint64_t now_ms;
    struct envelope envelope; /* of the last reply that was read */
    bool has_envelope;
};

static inline struct hash root_of(uint64_t number)
{
    struct hash root = {{0xaa}};
    memcpy(root.bytes + 8, &number, sizeof number);
    return root;
}

/* Files named by the caller, all of `size` bytes, with inode numbers as roots. */
static inline void scan(struct world *w, const char *const *names, size_t count, uint64_t size,
                        bool is_complete)
{
    struct scan_outcome outcome = {
        .files = calloc(count + 1, sizeof *outcome.files), .count = count, .is_complete = is_complete};
    for (size_t i = 0; i < count; i++)
        outcome.files[i] = (struct scanned_file){
            .path = strdup(names[i]), .name = strdup(names[i]), .stamp = {.inode = i + 1, .size = size}};
    share_index_scanned(w->index, &outcome);
}

static inline void hash_all(struct world *w)
{
    const struct shared_file *file;
    while ((file = share_index_next_unhashed(w->index, 0))) {
        struct hash root = root_of(file->stamp.inode);
        share_index_hashed(w->index, file->handle, &root);
    }
}

static inline struct world world_new(uint64_t size)
{
    struct world w = {.index = share_index_new(), .now_ms = 1000};
    static const char *const names[] = {"a/one.bin", "b/two.bin"};
    scan(&w, names, 2, size, true);
    hash_all(&w);
    w.holdings = holdings_new(w.index);
    struct peer_server_config config = {
        .node = {{7}}, .instance = 99, .node_name = text_of("n"), .agent = text_of("test"), .features = 2};
    w.server = peer_server_new(&config, w.holdings);
    peer_effects_init(&w.effects);
    return w;
}

static inline void world_release(struct world *w)
{
    if (w->has_envelope)
        envelope_close(&w->envelope);
    peer_effects_release(&w->effects);
    peer_server_destroy(&w->server);
    holdings_destroy(&w->holdings);
    share_index_destroy(&w->index);
}

static inline void deliver(struct world *w, uint32_t route, const struct message *m)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(m, &bytes);
    peer_effects_clear(&w->effects);
    peer_server_on_message(w->server, route, (int)route + 100, (const uint8_t *)bytes.data, bytes.size,
                           m->kind == KIND_DATA ? 2 : 1, w->now_ms, &w->effects);
    msgpack_sbuffer_destroy(&bytes);
}

/* The message that effect `i` sends. */
static inline struct message sent(struct world *w, size_t i)
{
    struct message m = {0};
    cr_assert(lt(sz, i, w->effects.count));
    const struct peer_effect *effect = &w->effects.items[i];
    cr_assert(le(int, effect->kind, PEER_SEND_DATA));
    if (w->has_envelope)
        envelope_close(&w->envelope);
    w->has_envelope = true;
    enum envelope_result result =
        envelope_open(&w->envelope, peer_effect_header(&w->effects, effect), effect->header_size,
                      RECEIVER_CLIENT, effect->kind == PEER_SEND_DATA ? 2 : 1);
    cr_assert(eq(int, result, ENVELOPE_OK));
    cr_assert(message_read(&w->envelope, &m));
    return m;
}

static inline struct message ask(struct world *w, uint32_t route, const struct message *m)
{
    deliver(w, route, m);
    cr_assert(eq(sz, w->effects.count, 1));
    return sent(w, 0);
}

#define ASSERT_ERROR(reply, wanted_rid, wanted_code)                                                         \
    do {                                                                                                     \
        struct message reply_ = (reply);                                                                     \
        cr_assert(eq(int, reply_.kind, KIND_ERROR));                                                         \
        cr_assert(eq(u64, reply_.rid, (wanted_rid)));                                                        \
        cr_assert(eq(u16, reply_.error.code, (wanted_code)));                                                \
    } while (0)

static inline void hello(struct world *w, uint32_t route)
{
    struct message m = {
        .kind = KIND_HELLO, .rid = 1, .hello = {.node_name = text_of("d"), .agent = text_of("t")}};
    cr_assert(eq(int, ask(w, route, &m).kind, KIND_HELLO_OK));
}

static inline struct file_id id_at(const struct world *w, size_t position)
{
    return share_index_at(w->index, position)->id;
}

static inline struct message read_of(const struct world *w, uint64_t rid, uint64_t offset, uint32_t length)
{
    return (struct message){
        .kind = KIND_READ, .rid = rid, .read = {.file = id_at(w, 0), .offset = offset, .length = length}};
}

static inline struct message hashes_of(const struct world *w, uint32_t first, uint32_t count)
{
    return (struct message){
        .kind = KIND_HASHES, .rid = 6, .hashes = {.file = id_at(w, 0), .first = first, .count = count}};
}

static inline struct message list_of(const char *prefix, uint64_t cursor, uint32_t limit)
{
    return (struct message){
        .kind = KIND_LIST, .rid = 4, .list = {.prefix = text_of(prefix), .cursor = cursor, .limit = limit}};
}

static inline struct message open_name(const char *name)
{
    return (struct message){
        .kind = KIND_OPEN, .rid = 5, .open = {.name = {.is_present = true, .text = text_of(name)}}};
}

static inline struct message open_id(const struct file_id *id)
{
    struct message m = {.kind = KIND_OPEN, .rid = 5, .open = {.file = {.is_present = true}}};
    memcpy(m.open.file.bytes, id->bytes, sizeof id->bytes);
    return m;
}

static inline struct message list(struct world *w, const char *prefix, uint64_t cursor, uint32_t limit)
{
    struct message m = list_of(prefix, cursor, limit);
    struct message reply = ask(w, 1, &m);
    cr_assert(eq(int, reply.kind, KIND_LIST_OK));
    uint64_t ticket = w->effects.items[0].ticket;
    cr_assert(ne(u64, ticket, 0));
    struct peer_effects none;
    peer_effects_init(&none);
    peer_server_on_sent(w->server, ticket, w->now_ms, &none);
    peer_effects_release(&none);
    return reply;
}

#endif
