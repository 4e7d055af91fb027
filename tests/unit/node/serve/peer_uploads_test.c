/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: bytes of another range, file or version are sent; a requester that leaves or does not
 * read takes the place of others; a chunk that is not here yet is promised.
 */
#include "tests/unit/node/serve/peer_world.h"

/* READ. */

Test(peer_uploads, a_read_goes_to_disk_and_its_bytes_to_who_asked)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    struct message m = read_of(&w, 33, 2 * MIB - 5, MIB);
    deliver(&w, 1, &m);
    cr_assert(eq(sz, w.effects.count, 1));
    struct peer_effect effect = w.effects.items[0];
    cr_assert(eq(int, effect.kind, PEER_READ_CHUNK));
    cr_assert(eq(u64, effect.content.handle, share_index_at(w.index, 0)->handle));
    cr_assert(eq(u64, effect.offset, 2 * MIB - 5));
    cr_assert(eq(u32, effect.length, MIB));

    peer_effects_clear(&w.effects);
    peer_server_on_chunk(w.server, effect.ticket, DISK_OK, w.now_ms, &w.effects);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_SEND_DATA));
    cr_assert(eq(u64, w.effects.items[0].ticket, effect.ticket));
    struct message data = sent(&w, 0);
    cr_assert(eq(u64, data.rid, 33));
    cr_assert(eq(u64, data.data.offset, 2 * MIB - 5));
    cr_assert(eq(u32, data.data.length, MIB));
    cr_assert(not(peer_server_is_idle(w.server)));
    peer_server_on_sent(w.server, effect.ticket, w.now_ms, &w.effects);
    cr_assert(peer_server_is_idle(w.server));
    cr_assert(eq(u64, peer_server_figures(w.server).data_bytes_sent, MIB));
    world_release(&w);
}

Test(peer_uploads, each_wrong_range_is_refused_with_its_code)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    static const struct {
        uint64_t offset;
        uint32_t length;
        enum error_code code;
    } rows[] = {
        {0, 0, ERROR_BAD_RANGE},
        {3 * MIB, 1, ERROR_BAD_RANGE},
        {3 * MIB - 1, 2, ERROR_BAD_RANGE},
        {UINT64_MAX, 1, ERROR_BAD_RANGE},
        {UINT64_MAX - 1, MIB, ERROR_BAD_RANGE},
        {0, MIB + 1, ERROR_LIMIT},
        {0, UINT32_MAX, ERROR_BAD_RANGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message m = read_of(&w, i, rows[i].offset, rows[i].length);
        ASSERT_ERROR(ask(&w, 1, &m), i, rows[i].code);
    }
    struct message m = read_of(&w, 50, 0, 1);
    m.read.file.bytes[0] ^= 1;
    ASSERT_ERROR(ask(&w, 1, &m), 50, ERROR_NOT_FOUND);
    world_release(&w);
}

Test(peer_uploads, more_than_the_window_unanswered_is_a_limit)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    for (uint64_t rid = 0; rid < 16; rid++) {
        struct message m = read_of(&w, rid, 0, MIB);
        deliver(&w, 1, &m);
        cr_assert(eq(sz, w.effects.count, rid < 4 ? 1 : 0));
    }
    struct message m = read_of(&w, 77, 0, 1);
    ASSERT_ERROR(ask(&w, 1, &m), 77, ERROR_LIMIT);
    world_release(&w);
}

Test(peer_uploads, too_many_small_reads_are_a_limit_and_all_together_busy)
{
    struct world w = world_new(3 * MIB);
    uint32_t routes = UPLOAD_COUNT_MAX / UPLOAD_REQUESTER_COUNT_MAX;
    for (uint32_t route = 1; route <= routes + 1; route++) {
        hello(&w, route);
        /* Up to 64 of each are in hand and 512 in all, and leave the queue. */
        for (size_t i = 0; i < UPLOAD_REQUESTER_COUNT_MAX + 64; i++) {
            struct message m = read_of(&w, 3, 0, 1);
            deliver(&w, route, &m);
            bool is_refused = w.effects.count == 1 && w.effects.items[0].kind == PEER_SEND;
            if (!is_refused)
                continue;
            ASSERT_ERROR(sent(&w, 0), 3, route <= routes ? ERROR_LIMIT : ERROR_BUSY);
            break;
        }
    }
    world_release(&w);
}

static uint64_t start_read(struct world *w, uint32_t route, uint64_t rid)
{
    struct message m = read_of(w, rid, 0, MIB);
    deliver(w, route, &m);
    cr_assert(eq(sz, w->effects.count, 1));
    cr_assert(eq(int, w->effects.items[0].kind, PEER_READ_CHUNK));
    return w->effects.items[0].ticket;
}

Test(peer_uploads, a_file_that_changed_is_told_to_the_requester_and_to_its_owner)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t ticket = start_read(&w, 1, 9);
    peer_effects_clear(&w.effects);
    peer_server_on_chunk(w.server, ticket, DISK_CHANGED, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 2));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_CHANGED));
    cr_assert(eq(u64, w.effects.items[0].content.handle, share_index_at(w.index, 0)->handle));
    ASSERT_ERROR(sent(&w, 1), 9, ERROR_CHANGED);
    cr_assert(peer_server_is_idle(w.server));
    world_release(&w);
}

Test(peer_uploads, a_disk_error_is_our_own_fault)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t ticket = start_read(&w, 1, 9);
    peer_effects_clear(&w.effects);
    peer_server_on_chunk(w.server, ticket, DISK_FAILED, w.now_ms, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 9, ERROR_INTERNAL);
    cr_assert(eq(sz, w.effects.count, 1));
    world_release(&w);
}

Test(peer_uploads, a_read_whose_file_went_while_it_waited_is_answered)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t first = start_read(&w, 1, 0);
    for (uint64_t rid = 1; rid < 5; rid++) {
        struct message m = read_of(&w, rid, 0, MIB);
        deliver(&w, 1, &m);
    }
    scan(&w, NULL, 0, 0, true);
    peer_effects_clear(&w.effects);
    peer_server_on_sent(w.server, first, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    ASSERT_ERROR(sent(&w, 0), 4, ERROR_NOT_FOUND);
    world_release(&w);
}

Test(peer_uploads, a_cancelled_read_is_not_answered_queued_or_on_disk)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    uint64_t tickets[4];
    for (uint64_t rid = 0; rid < 4; rid++)
        tickets[rid] = start_read(&w, 1, rid);
    struct message queued = read_of(&w, 4, 0, MIB);
    deliver(&w, 1, &queued);
    for (uint64_t rid = 0; rid < 5; rid++) {
        struct message cancel = {.kind = KIND_CANCEL, .rid = 90, .cancel = {rid}};
        deliver(&w, 1, &cancel);
        cr_assert(eq(sz, w.effects.count, 0));
    }
    peer_server_on_chunk(w.server, tickets[0], DISK_OK, w.now_ms, &w.effects);
    peer_server_on_chunk(w.server, tickets[1], DISK_FAILED, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DROP_DATA));
    peer_server_on_sent(w.server, tickets[0], w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1)); /* the queued one is gone too */
    world_release(&w);
}

Test(peer_uploads, who_left_gets_nothing_and_makes_room_for_others)
{
    struct world w = world_new(3 * MIB);
    uint64_t first = 0;
    for (uint32_t route = 1; route <= 32; route++) {
        hello(&w, route);
        uint64_t ticket = start_read(&w, route, 0);
        first = first ? first : ticket;
    }
    hello(&w, 33);
    struct message m = read_of(&w, 1, 0, MIB);
    deliver(&w, 33, &m);
    cr_assert(eq(sz, w.effects.count, 0));
    peer_server_on_route_lost(w.server, 1, &w.effects);
    peer_server_on_chunk(w.server, first, DISK_OK, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DROP_DATA));
    peer_server_on_sent(w.server, first, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 2));
    cr_assert(eq(u32, w.effects.items[1].route, 33));
    world_release(&w);
}

Test(peer_uploads, who_reads_nothing_while_another_starves_is_disconnected_after_2_s)
{
    struct world w = world_new(3 * MIB);
    for (uint32_t route = 1; route <= 32; route++) {
        hello(&w, route);
        uint64_t ticket = start_read(&w, route, 0);
        peer_server_on_chunk(w.server, ticket, DISK_OK, w.now_ms, &w.effects);
    }
    struct message m = read_of(&w, 1, 0, MIB), ping = {.kind = KIND_PING, .rid = 3},
                   bye = {.kind = KIND_BYE, .bye = {text_of("")}};
    for (uint32_t route = 1; route <= 32; route += 2)
        deliver(&w, route, &bye); /* that helps nobody */
    hello(&w, 33);
    deliver(&w, 33, &m);
    peer_server_tick(w.server, w.now_ms + UPLOAD_STALL_MS - 1, &w.effects);
    cr_assert(eq(sz, w.effects.count, 0));
    peer_server_tick(w.server, w.now_ms + UPLOAD_STALL_MS, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DISCONNECT));
    uint32_t route = w.effects.items[0].route;
    cr_assert(eq(int, w.effects.items[0].connection, (int)route + 100));
    ASSERT_ERROR(ask(&w, route, &ping), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_uploads, a_requester_whose_queue_is_full_is_disconnected)
{
    struct world w = world_new(100);
    hello(&w, 1);
    peer_effects_clear(&w.effects);
    peer_server_on_congested(w.server, 1, &w.effects);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DISCONNECT));
    cr_assert(eq(int, w.effects.items[0].connection, 101));
    cr_assert(eq(sz, peer_server_figures(w.server).sessions, 0));
    world_release(&w);
}

Test(peer_uploads, a_lost_connection_probes_its_routes_only)
{
    struct world w = world_new(100);
    hello(&w, 1);
    hello(&w, 2);
    peer_effects_clear(&w.effects);
    peer_server_on_connection_lost(w.server, 102, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(u32, w.effects.items[0].route, 2));
    cr_assert(eq(int, sent(&w, 0).kind, KIND_PING));
    world_release(&w);
}

Test(peer_uploads, stopping_says_bye_to_every_session)
{
    struct world w = world_new(100);
    hello(&w, 1);
    hello(&w, 2);
    peer_effects_clear(&w.effects);
    peer_server_on_stop(w.server, &w.effects);
    cr_assert(eq(sz, w.effects.count, 2));
    cr_assert(eq(int, sent(&w, 1).kind, KIND_BYE));
    world_release(&w);
}

/* HASHES. */

Test(peer_uploads, hashes_are_loaded_and_sent_with_the_run_they_are)
{
    struct world w = world_new(MIB); /* 16 chunks of 64 KiB */
    hello(&w, 1);
    struct message m = hashes_of(&w, 3, 13);
    deliver(&w, 1, &m);
    struct peer_effect effect = w.effects.items[0];
    cr_assert(eq(int, effect.kind, PEER_LOAD_HASHES));
    cr_assert(eq(u32, effect.first, 3));
    cr_assert(eq(u32, effect.count, 13));
    struct hash hashes[13] = {{{1}}};
    peer_effects_clear(&w.effects);
    peer_server_on_hashes(w.server, effect.ticket, DISK_OK, hashes, w.now_ms, &w.effects);
    struct message reply = sent(&w, 0);
    cr_assert(eq(int, reply.kind, KIND_HASHES_OK));
    cr_assert(eq(u32, reply.hashes_ok.first, 3));
    cr_assert(eq(sz, reply.hashes_ok.hashes.size, 13 * 32));
    cr_assert(eq(u64, w.effects.items[0].ticket, effect.ticket));
    peer_server_on_sent(w.server, effect.ticket, w.now_ms, &w.effects);
    cr_assert(peer_server_is_idle(w.server));
    world_release(&w);
}

Test(peer_uploads, hashes_outside_the_file_are_a_bad_range)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    static const uint32_t rows[][2] = {{0, 0}, {0, 17}, {16, 1}, {15, 2}, {UINT32_MAX, 1}, {1, UINT32_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message m = hashes_of(&w, rows[i][0], rows[i][1]);
        ASSERT_ERROR(ask(&w, 1, &m), 6, ERROR_BAD_RANGE);
    }
    world_release(&w);
}

Test(peer_uploads, a_file_of_one_chunk_has_no_hashes)
{
    struct world w = world_new(65536);
    hello(&w, 1);
    struct message m = hashes_of(&w, 0, 1);
    ASSERT_ERROR(ask(&w, 1, &m), 6, ERROR_BAD_RANGE);
    world_release(&w);
}

Test(peer_uploads, more_than_16384_hashes_are_clamped)
{
    struct world w = world_new(UINT64_C(20000) << 22);
    hello(&w, 1);
    struct message m = hashes_of(&w, 0, 20000);
    deliver(&w, 1, &m);
    cr_assert(eq(u32, w.effects.items[0].count, 16384));
    world_release(&w);
}

Test(peer_uploads, hashes_that_cannot_be_loaded_are_answered)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct message m = hashes_of(&w, 0, 1);
    deliver(&w, 1, &m);
    uint64_t ticket = w.effects.items[0].ticket;
    peer_effects_clear(&w.effects);
    peer_server_on_hashes(w.server, ticket, DISK_FAILED, NULL, w.now_ms, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 6, ERROR_INTERNAL);

    deliver(&w, 1, &m);
    ticket = w.effects.items[0].ticket;
    peer_effects_clear(&w.effects);
    peer_server_on_hashes(w.server, ticket, DISK_HASHING, NULL, w.now_ms, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 6, ERROR_BUSY);
    world_release(&w);
}

/* Partial files. */

enum {
    PARTIAL = 500
};

/* 4 chunks of 64 KiB, of which the first and the third are here. */
static struct file_entry add_partial(struct world *w, const char *name)
{
    struct hash root = root_of(PARTIAL);
    struct file_entry file = {
        .id = file_id_of(4 << 16, &root), .root = root, .size = 4 << 16, .name = text_of(name)};
    static const uint8_t have = 0xa0;
    cr_assert(holdings_add_partial(w->holdings, PARTIAL, &file, &have));
    return file;
}

Test(peer_uploads, a_partial_file_tells_its_chunks_and_then_each_new_one_until_close)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    hello(&w, 2);
    struct file_entry file = add_partial(&w, "p");
    struct message m = open_id(&file.id);
    struct message reply = ask(&w, 1, &m);
    cr_assert(eq(u16, reply.open_ok.file.have_permille, 500));
    cr_assert(eq(sz, reply.open_ok.have.blob.size, 1));
    cr_assert(eq(u8, reply.open_ok.have.blob.bytes[0], 0xa0));

    holdings_partial_verified(w.holdings, PARTIAL, 3, 1);
    peer_effects_clear(&w.effects);
    peer_server_on_verified(w.server, PARTIAL, 3, 1, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    struct message have = sent(&w, 0);
    cr_assert(eq(int, have.kind, KIND_HAVE));
    cr_assert(eq(u64, have.rid, 5));
    cr_assert(eq(u32, have.have.ranges[0].first, 3));

    struct message close = {.kind = KIND_CLOSE, .close = {file.id}};
    deliver(&w, 1, &close);
    peer_server_on_verified(w.server, PARTIAL, 1, 1, &w.effects);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(peer_uploads, a_chunk_that_is_not_here_is_a_bad_range)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct file_entry file = add_partial(&w, "p");
    struct message m = {.kind = KIND_READ, .rid = 9, .read = {.file = file.id, .offset = 65535, .length = 2}};
    ASSERT_ERROR(ask(&w, 1, &m), 9, ERROR_BAD_RANGE);
    m.read.length = 1;
    deliver(&w, 1, &m);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_READ_CHUNK));
    cr_assert(w.effects.items[0].content.is_partial);
    cr_assert(eq(u64, w.effects.items[0].content.handle, PARTIAL));
    world_release(&w);
}

Test(peer_uploads, a_partial_file_is_listed_among_the_others_and_whole_once_all_is_here)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct file_entry file = add_partial(&w, "a/p");
    struct message page = list(&w, "", 0, 0);
    cr_assert(eq(u64, page.list_ok.total, 3));
    cr_assert(text_equal(page.list_ok.files.entries[1].name, text_of("a/p")));
    cr_assert(eq(u16, page.list_ok.files.entries[1].have_permille, 500));
    holdings_partial_verified(w.holdings, PARTIAL, 0, 4);
    struct message m = open_name("p");
    struct message reply = ask(&w, 1, &m);
    cr_assert(file_id_equal(&reply.open_ok.file.id, &file.id));
    cr_assert(eq(u16, reply.open_ok.file.have_permille, 1000));
    cr_assert(not(reply.open_ok.have.is_present));
    world_release(&w);
}

Test(peer_uploads, a_requester_follows_at_most_64_partial_files)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    for (uint64_t i = 0; i <= PEER_FOLLOWS_MAX; i++) {
        struct hash root = root_of(1000 + i);
        struct file_entry file = {
            .id = file_id_of(4 << 16, &root), .root = root, .size = 4 << 16, .name = text_of("x")};
        static const uint8_t have = 0x80;
        cr_assert(holdings_add_partial(w.holdings, i, &file, &have));
        struct message m = open_id(&file.id);
        struct message reply = ask(&w, 1, &m);
        if (i < PEER_FOLLOWS_MAX)
            cr_assert(eq(int, reply.kind, KIND_OPEN_OK));
        else
            ASSERT_ERROR(reply, 5, ERROR_LIMIT);
    }
    world_release(&w);
}

Test(peer_uploads, a_rate_that_is_set_holds_for_the_next_read_and_none_lets_it_go)
{
    struct world w = world_new(3 * MIB);
    hello(&w, 1);
    peer_server_set_up_rate(w.server, 100, w.now_ms);
    struct message m = read_of(&w, 33, 0, MIB);
    deliver(&w, 1, &m);
    cr_assert(eq(sz, w.effects.count, 1), "a part larger than the burst passes, and is paid off");
    peer_effects_clear(&w.effects);
    m = read_of(&w, 34, MIB, MIB);
    deliver(&w, 1, &m);
    cr_assert(eq(sz, w.effects.count, 0));
    peer_server_set_up_rate(w.server, 0, w.now_ms);
    peer_server_tick(w.server, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_READ_CHUNK));
    world_release(&w);
}
