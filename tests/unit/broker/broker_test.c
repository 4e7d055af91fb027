/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a stranger's bytes that crash or change anything, an error about an error, a listing
 * that repeats or misses nodes, a filter that rules out a node that has the file.
 */
#include "tests/unit/broker/swarm.h"

static void pack_kind(msgpack_sbuffer *out, uint64_t version, uint64_t kind, uint64_t rid)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_uint64(&packer, version);
    msgpack_pack_uint64(&packer, kind);
    msgpack_pack_uint64(&packer, rid);
}

/* A header without fields. */
static void tell_bare(struct swarm *s, uint32_t route, uint64_t version, uint64_t kind, size_t frame_count)
{
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    pack_kind(&out, version, kind, 42);
    swarm_bytes(s, peer_of(route), out.data, out.size, frame_count);
    msgpack_sbuffer_destroy(&out);
}

static uint64_t bad_messages(struct swarm *s)
{
    swarm_tell(s, 900, simple(KIND_STATUS, 1));
    return swarm_only(s, 900, KIND_STATUS_OK).status_ok.bad_messages;
}

Test(broker, checks_run_in_the_protocols_order)
{
    static const struct {
        const char *what;
        uint64_t version, kind;
        size_t frame_count;
        bool is_joined;
        int error; /* -1: no answer */
    } rows[] = {
        {"two frames", 1, KIND_PING, 2, true, ERROR_BAD_MESSAGE},
        {"no frame", 1, KIND_PING, 0, true, ERROR_BAD_MESSAGE},
        {"another version", 2, KIND_PING, 1, true, ERROR_UNSUPPORTED},
        {"another version, not joined", 0, 999, 1, false, ERROR_UNSUPPORTED},
        {"unknown kind", 1, 999, 1, true, ERROR_UNSUPPORTED},
        {"unknown kind, not joined", 1, 999, 1, false, ERROR_UNSUPPORTED},
        {"a request of the other link", 1, KIND_OPEN, 1, true, ERROR_UNSUPPORTED},
        {"a request of the other direction", 1, KIND_QUERY, 1, true, ERROR_UNSUPPORTED},
        {"links between brokers", 1, 60, 1, true, ERROR_UNSUPPORTED},
        {"an unasked reply", 1, KIND_FOUND, 1, true, -1},
        {"not joined before fields", 1, KIND_UPDATE, 1, false, ERROR_NOT_JOINED},
        {"ANSWER, not joined", 1, KIND_ANSWER, 1, false, ERROR_NOT_JOINED},
        {"PING, not joined", 1, KIND_PING, 1, false, ERROR_NOT_JOINED},
        {"PONG, not joined", 1, KIND_PONG, 1, false, -1},
        {"fields missing", 1, KIND_UPDATE, 1, true, ERROR_BAD_MESSAGE},
        {"fields of JOIN missing", 1, KIND_JOIN, 1, false, ERROR_BAD_MESSAGE},
        {"ERROR without fields", 1, KIND_ERROR, 1, true, -1},
        {"BYE without fields", 1, KIND_BYE, 1, true, -1},
        {"BYE in two frames", 1, KIND_BYE, 2, true, -1},
        {"PONG in two frames", 1, KIND_PONG, 2, true, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct swarm *s = swarm_new(NULL);
        if (rows[i].is_joined)
            swarm_join(s, 1);
        tell_bare(s, 1, rows[i].version, rows[i].kind, rows[i].frame_count);
        cr_expect(eq(sz, swarm_sends(s), rows[i].error >= 0), "%s", rows[i].what);
        if (rows[i].error >= 0) {
            struct message error = swarm_only(s, 1, KIND_ERROR);
            cr_expect(eq(int, error.error.code, rows[i].error), "%s", rows[i].what);
            cr_expect(eq(u64, error.rid, 42), "%s", rows[i].what);
        }
        cr_expect(eq(sz, broker_node_count(s->broker), rows[i].is_joined), "%s", rows[i].what);
        swarm_destroy(s);
    }
}

Test(broker, another_version_is_told_which_one_it_is)
{
    struct swarm *s = swarm_new(NULL);
    tell_bare(s, 1, 2, KIND_STATUS, 1);
    cr_assert(text_equal(swarm_only(s, 1, KIND_ERROR).error.text, text_of("speaks 1")));
    swarm_destroy(s);
}

Test(broker, garbage_is_answered_with_rid_0_and_counted)
{
    struct swarm *s = swarm_new(NULL);
    swarm_bytes(s, peer_of(1), "\xc1garbage", 8, 1);
    struct message error = swarm_only(s, 1, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_BAD_MESSAGE));
    cr_expect(eq(u64, error.rid, 0));
    swarm_bytes(s, peer_of(1), "", 0, 1);
    cr_expect(eq(u16, swarm_error(s, 1), ERROR_BAD_MESSAGE));
    cr_expect(eq(u64, bad_messages(s), 2));
    tell_bare(s, 1, 1, KIND_FOUND, 1);
    tell_bare(s, 1, 1, 999, 1);
    cr_expect(eq(u64, bad_messages(s), 4));
    tell_bare(s, 1, 1, KIND_PING, 1); /* not joined is no offence */
    cr_expect(eq(u64, bad_messages(s), 4));
    swarm_destroy(s);
}

Test(broker, a_header_over_64_kib_is_bad_but_for_join_and_update)
{
    static uint8_t bits[131072];
    struct swarm *s = swarm_new(NULL);
    struct message join = join_of(1);
    join.join.presence = (struct presence_view){true, 20, bits};
    swarm_tell(s, 1, join);
    cr_assert(eq(sz, swarm_count(s, 1, KIND_JOIN_OK), 1));
    static uint8_t answer[HEADER_SIZE_MAX_BROKER + 100];
    memset(answer, 0xc0, sizeof answer);
    memcpy(answer, "\xdd\x00\x01\x00\x5f\x01\x10\x05", 8);
    swarm_bytes(s, peer_of(1), answer, sizeof answer, 1);
    cr_assert(eq(u16, swarm_error(s, 1), ERROR_BAD_MESSAGE));
    swarm_destroy(s);
}

Test(broker, every_truncation_and_every_flipped_byte_of_a_join_does_no_harm)
{
    struct swarm *s = swarm_new(NULL);
    msgpack_sbuffer out;
    msgpack_sbuffer_init(&out);
    struct message join = join_of(1);
    message_write(&join, &out);
    for (size_t size = 0; size < out.size; size++) {
        swarm_bytes(s, peer_of(1), out.data, size, 1);
        cr_assert(eq(u16, swarm_error(s, 1), ERROR_BAD_MESSAGE));
    }
    for (size_t i = 0; i < out.size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            out.data[i] = (char)(out.data[i] ^ (1 << bit));
            swarm_bytes(s, peer_of((uint32_t)(i * 8 + bit)), out.data, out.size, 1);
            out.data[i] = (char)(out.data[i] ^ (1 << bit));
        }
    }
    msgpack_sbuffer_destroy(&out);
    swarm_destroy(s);
}

Test(broker, ping_is_answered_with_its_rid)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 1, simple(KIND_PING, UINT64_MAX));
    cr_assert(eq(u64, swarm_only(s, 1, KIND_PONG).rid, UINT64_MAX));
    swarm_tell(s, 1, message_error(3, ERROR_BUSY, "x", 0));
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_destroy(s);
}

Test(broker, update_replaces_totals_and_is_confirmed_with_its_generation)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 1,
               (struct message){
                   .kind = KIND_UPDATE, .rid = 6, .update = {.generation = 44, .files = 3, .bytes = 4}});
    struct message ok = swarm_only(s, 1, KIND_UPDATE_OK);
    cr_expect(eq(u64, ok.rid, 6));
    cr_expect(eq(u64, ok.update_ok.generation, 44));
    swarm_tell(s, 9, (struct message){.kind = KIND_PEERS});
    struct message peers = swarm_only(s, 9, KIND_PEERS_OK);
    cr_expect(eq(u64, peers.peers_ok.entries[0].files, 3));
    cr_expect(eq(u64, peers.peers_ok.entries[0].bytes, 4));
    swarm_destroy(s);
}

Test(broker, status_counts_what_happened)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_join(s, 2);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    swarm_negative(s, 1, rid);
    s->now_ms = 1500;
    swarm_tell(s, 9, simple(KIND_STATUS, 8));
    struct message_status_ok ok = swarm_only(s, 9, KIND_STATUS_OK).status_ok;
    cr_expect(eq(u8, ok.broker.bytes[0], 0xb0));
    cr_expect(text_equal(ok.agent, text_of("zbroker/test")));
    cr_expect(eq(u64, ok.uptime_ms, 500));
    cr_expect(eq(u32, ok.nodes, 2));
    cr_expect(eq(u64, ok.searches, 1));
    cr_expect(eq(u64, ok.queries, 2));
    cr_expect(eq(u64, ok.answers, 1));
    swarm_destroy(s);
}

Test(broker, peers_are_paged_completely_while_nodes_come_and_go)
{
    struct swarm *s = swarm_new(NULL);
    bool seen[700] = {false};
    struct text tags[TAGS_MAX];
    static const char label[] = "0123456789012345678901234567890123456789012345678901234567890123";
    for (size_t i = 0; i < TAGS_MAX; i++)
        tags[i] = (struct text){label, LABEL_SIZE_MAX};
    for (uint32_t n = 1; n <= 600; n++) {
        struct message join = join_of(n);
        join.join.node_name = (struct text){label, LABEL_SIZE_MAX};
        join.join.tags = (struct text_list){tags, n % 2 ? TAGS_MAX : 0};
        swarm_tell(s, n, join);
    }
    uint64_t cursor = 0;
    size_t pages = 0;
    do {
        swarm_tell(s, 900, (struct message){.kind = KIND_PEERS, .peers = {.cursor = cursor, .limit = 9999}});
        cr_assert(lt(sz, s->effects.entries[0].size, HEADER_SIZE_MAX_BROKER));
        struct message_peers_ok ok = swarm_only(s, 900, KIND_PEERS_OK).peers_ok;
        for (size_t i = 0; i < ok.count; i++) {
            uint16_t n = (uint16_t)(ok.entries[i].source.port - 9000);
            cr_assert(not(seen[n]));
            cr_assert(eq(sz, ok.entries[i].tags.count, n % 2 ? TAGS_MAX : 0));
            seen[n] = true;
        }
        cursor = ok.next_cursor;
        pages++;
        swarm_tell(s, (uint32_t)pages, simple(KIND_BYE, 0)); /* one that was told leaves */
    } while (cursor != 0);
    for (size_t n = 1; n <= 600; n++)
        cr_assert(seen[n], "node %zu", n);
    cr_expect(gt(sz, pages, 4));
    swarm_destroy(s);
}

Test(broker, peers_obey_limit_and_its_default)
{
    struct swarm *s = swarm_new(NULL);
    for (uint32_t n = 1; n <= 600; n++)
        swarm_tell(s, n, join_of(n));
    static const struct {
        uint32_t limit;
        size_t count;
    } rows[] = {{1, 1}, {0, PEERS_LIMIT_DEFAULT}, {9999, PEERS_LIMIT_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        swarm_tell(s, 900, (struct message){.kind = KIND_PEERS, .peers = {.limit = rows[i].limit}});
        cr_expect(eq(sz, swarm_only(s, 900, KIND_PEERS_OK).peers_ok.count, rows[i].count), "row %zu", i);
    }
    swarm_tell(s, 900, (struct message){.kind = KIND_PEERS, .peers = {.cursor = UINT64_MAX}});
    cr_expect(eq(sz, swarm_only(s, 900, KIND_PEERS_OK).peers_ok.count, 0));
    swarm_destroy(s);
}

Test(broker, peers_leaves_out_a_loopback_node_that_the_asker_cannot_reach)
{
    struct swarm *s = swarm_new(NULL);
    struct broker_peer local = peer_of(1);
    local.host = host_of("127.0.0.1");
    swarm_tell_as(s, local, join_of(1));
    swarm_tell(s, 9, (struct message){.kind = KIND_PEERS});
    cr_expect(eq(sz, swarm_only(s, 9, KIND_PEERS_OK).peers_ok.count, 0));
    swarm_tell_as(s, local, (struct message){.kind = KIND_PEERS});
    cr_expect(eq(sz, swarm_only(s, 1, KIND_PEERS_OK).peers_ok.count, 1));
    swarm_destroy(s);
}

Test(broker, a_stop_says_bye_to_nodes_and_askers)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_join(s, 2);
    swarm_search(s, 2, search_of("abc"), 1);
    swarm_search(s, 9, search_of("abc"), 1);
    swarm_forget(s);
    broker_stop(s->broker, &s->effects);
    for (uint32_t route = 1; route <= 9; route++)
        cr_expect(eq(sz, swarm_count(s, route, KIND_BYE), route <= 2 || route == 9));
    swarm_destroy(s);
}
