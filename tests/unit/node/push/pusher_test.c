/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: something is sent before it may be, on the wrong connection or under an old rid; a
 * push ends too early, never, or as if all were well; a node that gets nowhere keeps us for ever; what was
 * not offered is given away.
 */
#include "tests/unit/node/push/pusher_world.h"

/* Chunks 2, 3 and 4 of ten. */
static const uint8_t some[] = {0x38, 0x00};

Test(pusher, hello_comes_first_and_the_offer_of_all_chunks_has_no_bitfield)
{
    struct world w = world_new();
    pusher_begin(w.pusher, w.now_ms);
    connect_node(&w);
    struct message hello = sent_only(&w, KIND_HELLO);
    cr_assert(eq(u64, hello.hello.instance, 99));
    cr_assert(hello.hello.expected_node.is_present);
    cr_assert(not(hello.hello.node.is_present));
    offer(&w, 10 * CHUNK, NULL);
    cr_assert(eq(sz, w.effects.count, 0), "an offer before HELLO_OK");
    greet_back(&w, hello.rid);
    struct message m = sent_only(&w, KIND_OFFER);
    cr_assert(ne(u64, m.rid, hello.rid));
    cr_assert(file_id_equal(&m.offer.file.id, &w.file.id));
    cr_assert(eq(u8, m.offer.chunk_log2, 16));
    cr_assert(eq(u16, m.offer.file.have_permille, 1000));
    cr_assert(not(m.offer.have.is_present));
    world_release(&w);
}

Test(pusher, an_offer_of_a_part_says_which)
{
    struct world w = world_new();
    struct message m = start(&w, 10 * CHUNK, some);
    cr_assert(m.offer.have.is_present);
    cr_assert(eq(sz, m.offer.have.blob.size, 2));
    cr_assert(eq(int, memcmp(m.offer.have.blob.bytes, some, 2), 0));
    cr_assert(eq(u16, m.offer.file.have_permille, 300));
    cr_assert(eq(u64, pusher_progress(w.pusher).offered_bytes, 3 * CHUNK));
    world_release(&w);
}

Test(pusher, an_empty_file_is_offered_and_stored)
{
    struct world w = world_new();
    struct message m = start(&w, 0, NULL);
    cr_assert(not(m.offer.have.is_present));
    cr_assert(eq(u16, m.offer.file.have_permille, 1000));
    accept_offer(&w, 0);
    store(&w, w.offer_rid);
    ASSERT_STATE(&w, PUSHER_STORED);
    world_release(&w);
}

Test(pusher, nobody_there_is_told_at_the_deadline_of_connecting_and_not_before)
{
    struct world w = world_new();
    pusher_begin(w.pusher, w.now_ms);
    cr_assert(pusher_must_connect(w.pusher, w.now_ms));
    cr_assert(not(pusher_must_connect(w.pusher, w.now_ms)), "one attempt at a time");
    cr_assert(eq(u64, pusher_next_deadline_ms(w.pusher), w.now_ms + PUSHER_CONNECT_MS_MAX));
    tick(&w, PUSHER_CONNECT_MS_MAX - 1);
    ASSERT_STATE(&w, PUSHER_PREPARING);
    tick(&w, 1);
    ASSERT_STATE(&w, PUSHER_UNREACHABLE);
    cr_assert(eq(u64, pusher_next_deadline_ms(w.pusher), UINT64_MAX));
    world_release(&w);
}

Test(pusher, hashing_may_take_as_long_as_it_likes)
{
    struct world w = world_new();
    pusher_begin(w.pusher, w.now_ms);
    connect_node(&w);
    greet_back(&w, sent_only(&w, KIND_HELLO).rid);
    tick(&w, 100 * TIMEOUT_MS);
    ASSERT_STATE(&w, PUSHER_PREPARING);
    offer(&w, CHUNK, NULL);
    sent_only(&w, KIND_OFFER);
    tick(&w, TIMEOUT_MS - 1);
    ASSERT_STATE(&w, PUSHER_OFFERING);
    world_release(&w);
}

Test(pusher, the_timeout_counts_from_the_last_new_chunk)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, NULL);
    tick(&w, 1000);
    accept_offer(&w, 10);
    tick(&w, 1000);
    confirm(&w, 4, 2);
    tick(&w, 1000);
    confirm(&w, 4, 2); /* nothing new */
    tick(&w, TIMEOUT_MS - 1001);
    ASSERT_STATE(&w, PUSHER_SERVING);
    tick(&w, 1);
    ASSERT_STATE(&w, PUSHER_TIMED_OUT);
    sent_only(&w, KIND_CLOSE);
    world_release(&w);
}

Test(pusher, sending_is_progress_but_not_the_same_for_ever)
{
    struct world w = world_new();
    start(&w, 2 * CHUNK, NULL);
    accept_offer(&w, 2);
    uint64_t bytes = 0;
    while (pusher_state(w.pusher) == PUSHER_SERVING && bytes < 1000 * MIB) {
        serve(&w, 0, CHUNK);
        bytes += CHUNK;
        tick(&w, TIMEOUT_MS - 1);
    }
    ASSERT_STATE(&w, PUSHER_TIMED_OUT);
    cr_assert(gt(u64, bytes, 2 * 16 * MIB));
    cr_assert(lt(u64, bytes, 2 * 17 * MIB));
    cr_assert(eq(u32, pusher_progress(w.pusher).sent_count, 1));
    cr_assert(eq(u64, pusher_progress(w.pusher).sent_bytes, bytes));
    world_release(&w);
}

Test(pusher, after_a_lost_connection_it_offers_again_and_old_rids_mean_nothing)
{
    struct world w = world_new();
    uint64_t old_rid = start(&w, 10 * CHUNK, NULL).rid;
    accept_offer(&w, 10);
    confirm(&w, 0, 4);
    lose(&w);
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(not(pusher_must_connect(w.pusher, w.now_ms)));
    cr_assert(eq(u64, pusher_next_deadline_ms(w.pusher), w.now_ms + PUSHER_RECONNECT_MS));
    w.now_ms += PUSHER_RECONNECT_MS;
    connect_node(&w);
    greet_back(&w, sent_only(&w, KIND_HELLO).rid);
    sent_only(&w, KIND_OFFER);
    cr_assert(ne(u64, w.offer_rid, old_rid));
    store(&w, old_rid);
    ASSERT_STATE(&w, PUSHER_OFFERING);
    accept_offer(&w, 6);
    confirm_by(&w, old_rid, 5, 1);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 4));
    confirm(&w, 4, 6);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 10));
    cr_assert(eq(u32, pusher_progress(w.pusher).missing_count, 10));
    store(&w, w.offer_rid);
    ASSERT_STATE(&w, PUSHER_STORED);
    world_release(&w);
}

Test(pusher, a_node_that_comes_and_goes_is_given_up_in_ever_longer_pauses)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, NULL);
    accept_offer(&w, 10);
    uint64_t begin_ms = w.now_ms, pause_ms = PUSHER_RECONNECT_MS;
    while (pusher_state(w.pusher) != PUSHER_TIMED_OUT) {
        cr_assert(lt(u64, w.now_ms, begin_ms + 2 * TIMEOUT_MS));
        lose(&w);
        tick(&w, pause_ms - 1);
        cr_assert(not(pusher_must_connect(w.pusher, w.now_ms)));
        tick(&w, 1);
        if (pusher_is_over(w.pusher))
            break;
        connect_node(&w);
        greet_back(&w, sent_only(&w, KIND_HELLO).rid);
        sent_only(&w, KIND_OFFER);
        accept_offer(&w, 10);
        pause_ms = 2 * pause_ms < PUSHER_RECONNECT_MS_MAX ? 2 * pause_ms : PUSHER_RECONNECT_MS_MAX;
    }
    cr_assert(ge(u64, w.now_ms, begin_ms + TIMEOUT_MS));
    world_release(&w);
}

Test(pusher, what_was_not_offered_is_not_given)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 10);
    read_range(&w, 5, 0, 1);
    cr_assert(eq(u16, sent_only(&w, KIND_ERROR).error.code, ERROR_BAD_RANGE));
    read_range(&w, 5, 4 * CHUNK, CHUNK + 1);
    cr_assert(eq(u16, sent_only(&w, KIND_ERROR).error.code, ERROR_BAD_RANGE));
    read_range(&w, 5, 10 * CHUNK, 1);
    cr_assert(eq(u16, sent_only(&w, KIND_ERROR).error.code, ERROR_BAD_RANGE));
    serve(&w, 2 * CHUNK, 3 * CHUNK);
    world_release(&w);
}

Test(pusher, nothing_is_given_once_it_is_over_or_before_it_began)
{
    struct world w = world_new();
    w.file = file_of(CHUNK);
    read_range(&w, 5, 0, 1);
    cr_assert(eq(sz, w.effects.count, 0), "no connection");
    start(&w, CHUNK, NULL);
    accept_offer(&w, 1);
    peer_effects_clear(&w.effects);
    pusher_withdraw(w.pusher, &w.effects);
    sent_only(&w, KIND_CLOSE);
    ASSERT_STATE(&w, PUSHER_WITHDRAWN);
    read_range(&w, 5, 0, 1);
    cr_assert(eq(u16, sent_only(&w, KIND_ERROR).error.code, ERROR_NOT_FOUND));
    world_release(&w);
}

Test(pusher, a_read_that_the_rate_would_keep_waiting_is_refused_with_a_time)
{
    struct world w = world_of_rate(MIB);
    start(&w, 64 * MIB, NULL);
    accept_offer(&w, 1024);
    unsigned refused = 0;
    for (unsigned i = 0; i < 16; i++) {
        read_range(&w, 100 + i, (uint64_t)i * MIB, MIB);
        if (w.effects.count == 0 || w.effects.items[0].kind == PEER_READ_CHUNK)
            continue;
        struct message error = sent_only(&w, KIND_ERROR);
        cr_assert(eq(u16, error.error.code, ERROR_BUSY));
        cr_assert(ge(u32, error.error.retry_ms, PUSHER_WAIT_MS_MAX / 2));
        refused++;
    }
    cr_assert(ge(int, (int)refused, 7));
    cr_assert(lt(int, (int)refused, 10));
    world_release(&w);
}

Test(pusher, a_ping_and_a_cancel_are_served_as_a_node_would)
{
    struct world w = world_new();
    start(&w, CHUNK, NULL);
    say(&w, &(struct message){.kind = KIND_PING, .rid = 77});
    cr_assert(eq(u64, sent_only(&w, KIND_PONG).rid, 77));
    read_range(&w, 5, 0, 100);
    uint64_t ticket = w.effects.items[0].ticket;
    say(&w, &(struct message){.kind = KIND_CANCEL, .rid = 6, .cancel = {.read_rid = 5}});
    cr_assert(eq(sz, w.effects.count, 0));
    peer_server_on_chunk(w.server, ticket, DISK_OK, w.now_ms, &w.effects);
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DROP_DATA));
    world_release(&w);
}

Test(pusher, the_next_file_goes_over_the_same_connection)
{
    struct world w = world_new();
    start(&w, CHUNK, NULL);
    accept_offer(&w, 1);
    store(&w, w.offer_rid);
    ASSERT_STATE(&w, PUSHER_STORED);
    uint64_t old_rid = w.offer_rid;
    pusher_begin(w.pusher, w.now_ms);
    cr_assert(not(pusher_must_connect(w.pusher, w.now_ms)));
    offer(&w, 2 * CHUNK, NULL);
    sent_only(&w, KIND_OFFER);
    cr_assert(ne(u64, w.offer_rid, old_rid));
    cr_assert(not(pusher_progress(w.pusher).is_accepted));
    cr_assert(eq(sz, pusher_answer(w.pusher).size, 0));
    world_release(&w);
}

Test(pusher, what_is_still_sent_of_an_earlier_file_is_not_this_ones)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, NULL);
    accept_offer(&w, 10);
    store(&w, w.offer_rid);
    pusher_begin(w.pusher, w.now_ms);
    offer(&w, CHUNK, NULL);
    sent_only(&w, KIND_OFFER);
    accept_offer(&w, 1);
    pusher_on_sent(w.pusher, w.handle - 1, 9 * CHUNK, CHUNK, w.now_ms);
    cr_assert(eq(u32, pusher_progress(w.pusher).sent_count, 0));
    cr_assert(eq(u64, pusher_progress(w.pusher).sent_bytes, 0));
    world_release(&w);
}

Test(pusher, a_part_is_over_when_all_of_it_is_saved_and_the_rest_is_not)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 10);
    confirm(&w, 2, 2);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SERVING);
    confirm(&w, 4, 1);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SAVED);
    sent_only(&w, KIND_CLOSE);
    cr_assert(eq(u64, pusher_progress(w.pusher).saved_bytes, 3 * CHUNK));
    world_release(&w);
}

Test(pusher, a_part_that_completes_the_file_waits_for_its_name_but_not_for_ever)
{
    for (int is_told = 0; is_told < 2; is_told++) {
        struct world w = world_new();
        start(&w, 10 * CHUNK, some);
        accept_offer(&w, 3);
        confirm(&w, 2, 3);
        tick(&w, PUSHER_STORED_MS - 1);
        ASSERT_STATE(&w, PUSHER_SERVING);
        if (is_told)
            store(&w, w.offer_rid);
        else
            tick(&w, 1);
        ASSERT_STATE(&w, is_told ? PUSHER_STORED : PUSHER_SAVED);
        world_release(&w);
    }
}

/* The OPEN that asks what is there. */
static uint64_t probe(struct world *w)
{
    tick(w, PUSHER_QUIET_MS - 1);
    cr_assert(eq(sz, w->effects.count, 0));
    tick(w, 1);
    struct message m = sent_only(w, KIND_OPEN);
    cr_assert(m.open.file.is_present);
    cr_assert(eq(int, memcmp(m.open.file.bytes, w->file.id.bytes, 32), 0));
    return m.rid;
}

static void answer_probe(struct world *w, uint64_t rid, const uint8_t *have)
{
    struct message m = {.kind = KIND_OPEN_OK, .rid = rid, .open_ok = {.file = w->file, .chunk_log2 = 16}};
    m.open_ok.file.have_permille = 500;
    m.open_ok.have = (struct optional_blob){have != NULL, {have, 2}};
    say(w, &m);
}

Test(pusher, when_a_part_may_have_been_there_before_the_node_is_asked)
{
    static const uint8_t more[] = {0x3c, 0x00}, less[] = {0x30, 0x00};
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 7);
    answer_probe(&w, probe(&w), less);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SERVING);
    tick(&w, PUSHER_PROBE_MS - 1);
    cr_assert(eq(sz, w.effects.count, 0));
    tick(&w, 1);
    answer_probe(&w, sent_only(&w, KIND_OPEN).rid, more);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SAVED);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 0), "nothing was confirmed");
    world_release(&w);
}

Test(pusher, a_node_that_has_all_of_it_has_the_part)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 7);
    answer_probe(&w, probe(&w), NULL);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SAVED);
    world_release(&w);
}

Test(pusher, events_of_the_question_count_as_well)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 7);
    confirm_by(&w, probe(&w), 2, 3);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SAVED);
    world_release(&w);
}

Test(pusher, while_it_surely_lacks_some_of_a_part_it_is_not_asked)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 8); /* one of ours at least */
    confirm(&w, 5, 5);   /* by another pusher */
    tick(&w, TIMEOUT_MS - 1);
    cr_assert(eq(sz, w.effects.count, 0));
    tick(&w, 1);
    ASSERT_STATE(&w, PUSHER_TIMED_OUT);
    world_release(&w);
}
