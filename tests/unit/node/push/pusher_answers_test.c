/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a refusal is taken for another, or for none; a busy node is pestered or forgotten;
 * what a node says under a wrong rid, of another file, out of order or out of bounds counts, crashes or takes
 * for ever.
 */
#include "tests/unit/node/push/pusher_world.h"

Test(pusher_answers, each_refusal_of_an_offer_has_its_end)
{
    static const struct {
        uint16_t code;
        enum pusher_state state;
    } rows[] = {
        {ERROR_DENIED, PUSHER_DENIED},        {ERROR_NO_SPACE, PUSHER_NO_SPACE},
        {ERROR_BAD_MESSAGE, PUSHER_DISPUTED}, {ERROR_UNSUPPORTED, PUSHER_REFUSED},
        {ERROR_INTERNAL, PUSHER_REFUSED},     {999, PUSHER_REFUSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int is_accepted = 0; is_accepted < 2; is_accepted++) {
            struct world w = world_new();
            start(&w, 10 * CHUNK, NULL);
            if (is_accepted)
                accept_offer(&w, 10);
            refuse(&w, w.offer_rid, (enum error_code)rows[i].code, 0);
            cr_expect(eq(int, pusher_state(w.pusher), rows[i].state), "row %zu", i);
            cr_expect(eq(int, pusher_error(w.pusher), rows[i].code), "row %zu", i);
            cr_expect(text_equal(pusher_answer(w.pusher), text_of("words")), "row %zu", i);
            cr_expect(eq(sz, w.effects.count, 0), "row %zu: a CLOSE for what the node has closed", i);
            world_release(&w);
        }
    }
}

Test(pusher_answers, a_refused_greeting_ends_the_push_and_the_next_file_greets_again)
{
    struct world w = world_new();
    pusher_begin(w.pusher, w.now_ms);
    connect_node(&w);
    refuse(&w, sent_only(&w, KIND_HELLO).rid, ERROR_WRONG_NODE, 0);
    ASSERT_STATE(&w, PUSHER_WRONG_NODE);
    offer(&w, CHUNK, NULL);
    cr_assert(eq(sz, w.effects.count, 0), "it is over");
    pusher_begin(w.pusher, w.now_ms);
    tick(&w, 0);
    sent_only(&w, KIND_HELLO);
    world_release(&w);
}

Test(pusher_answers, another_node_than_the_expected_one_gets_no_offer)
{
    struct world w = world_new();
    pusher_begin(w.pusher, w.now_ms);
    connect_node(&w);
    struct message m = {.kind = KIND_HELLO_OK, .rid = sent_only(&w, KIND_HELLO).rid};
    m.hello_ok.node = (struct node_id){{8}};
    m.hello_ok.node_name = m.hello_ok.agent = text_of("n");
    say(&w, &m);
    ASSERT_STATE(&w, PUSHER_WRONG_NODE);
    world_release(&w);
}

Test(pusher_answers, a_busy_node_is_asked_again_when_it_said_within_reason)
{
    static const struct {
        uint32_t said_ms, meant_ms;
    } rows[] = {{0, PUSHER_RETRY_MS_MIN}, {500, 500}, {UINT32_MAX, PUSHER_RETRY_MS_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w = world_new();
        uint64_t rid = start(&w, CHUNK, NULL).rid;
        refuse(&w, rid, i % 2 ? ERROR_LIMIT : ERROR_BUSY, rows[i].said_ms);
        ASSERT_STATE(&w, PUSHER_OFFERING);
        uint64_t wanted_ms =
            w.now_ms + (rows[i].meant_ms < TIMEOUT_MS ? rows[i].meant_ms : (uint64_t)TIMEOUT_MS);
        cr_expect(eq(u64, pusher_next_deadline_ms(w.pusher), wanted_ms), "row %zu", i);
        tick(&w, wanted_ms - w.now_ms);
        if (rows[i].meant_ms < TIMEOUT_MS)
            cr_expect(ne(u64, sent_only(&w, KIND_OFFER).rid, rid), "row %zu", i);
        else
            ASSERT_STATE(&w, PUSHER_TIMED_OUT);
        world_release(&w);
    }
}

Test(pusher_answers, a_busy_greeting_is_repeated)
{
    struct world w = world_new();
    pusher_begin(w.pusher, w.now_ms);
    connect_node(&w);
    refuse(&w, sent_only(&w, KIND_HELLO).rid, ERROR_BUSY, 100);
    tick(&w, 99);
    cr_assert(eq(sz, w.effects.count, 0));
    tick(&w, 1);
    sent_only(&w, KIND_HELLO);
    world_release(&w);
}

Test(pusher_answers, a_node_that_forgot_the_greeting_hears_it_again_a_few_times)
{
    struct world w = world_new();
    start(&w, CHUNK, NULL);
    for (unsigned i = 1; i < PUSHER_GREETINGS_MAX; i++) {
        refuse(&w, w.offer_rid, ERROR_NOT_JOINED, 0);
        greet_back(&w, sent_only(&w, KIND_HELLO).rid);
        sent_only(&w, KIND_OFFER);
    }
    refuse(&w, w.offer_rid, ERROR_NOT_JOINED, 0);
    ASSERT_STATE(&w, PUSHER_REFUSED);
    world_release(&w);
}

Test(pusher_answers, what_is_about_something_else_means_nothing)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK, NULL);
    struct message m = {.kind = KIND_OFFER_OK, .rid = w.offer_rid, .offer_ok = {.missing = 3}};
    say(&w, &m); /* another file */
    ASSERT_STATE(&w, PUSHER_OFFERING);
    m.offer_ok.file = w.file.id;
    m.rid++;
    say(&w, &m);
    ASSERT_STATE(&w, PUSHER_OFFERING);
    confirm(&w, 0, 1); /* before OFFER_OK */
    accept_offer(&w, 10);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 0));
    refuse(&w, w.offer_rid + 1, ERROR_DENIED, 0);
    refuse(&w, 0, ERROR_DENIED, 0);
    store(&w, w.offer_rid + 1);
    store(&w, 0);
    accept_offer(&w, 1); /* once is enough */
    ASSERT_STATE(&w, PUSHER_SERVING);
    cr_assert(eq(u32, pusher_progress(w.pusher).missing_count, 10));
    world_release(&w);
}

Test(pusher_answers, have_beyond_the_file_is_cut_and_each_chunk_counts_once)
{
    struct world w = world_new();
    start(&w, 10 * CHUNK - 1, NULL);
    accept_offer(&w, UINT32_MAX);
    cr_assert(eq(u32, pusher_progress(w.pusher).missing_count, 10));
    confirm(&w, 10, 1);
    confirm(&w, UINT32_MAX, UINT32_MAX);
    confirm(&w, 3, 0);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 0));
    confirm(&w, 8, UINT32_MAX);
    confirm(&w, 9, 1);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 2));
    cr_assert(eq(u64, pusher_progress(w.pusher).saved_bytes, 2 * CHUNK - 1));
    world_release(&w);
}

Test(pusher_answers, one_message_marks_no_more_chunks_than_there_are)
{
    struct world w = world_new();
    start(&w, (uint64_t)1 << 40, NULL); /* 262144 chunks */
    accept_offer(&w, 262144);
    struct chunk_range ranges[1000];
    for (size_t i = 0; i < 1000; i++)
        ranges[i] = (struct chunk_range){0, 262144};
    ranges[0].count = 100;
    struct message m = {
        .kind = KIND_HAVE, .rid = w.offer_rid, .have = {.file = w.file.id, .ranges = ranges, .count = 1000}};
    say(&w, &m);
    cr_assert(eq(u32, pusher_progress(w.pusher).saved_count, 262144 - 100));
    world_release(&w);
}

Test(pusher_answers, stored_is_the_nodes_word_also_before_offer_ok)
{
    struct world w = world_new();
    start(&w, CHUNK, NULL);
    store(&w, w.offer_rid);
    ASSERT_STATE(&w, PUSHER_STORED);
    cr_assert(text_equal(pusher_answer(w.pusher), text_of("b.bin")));
    cr_assert(pusher_progress(w.pusher).is_accepted);
    world_release(&w);
}

Test(pusher_answers, a_node_that_lost_what_it_had_confirmed_is_not_believed_to_have_it)
{
    static const uint8_t some[] = {0x38, 0x00};
    struct world w = world_new();
    start(&w, 10 * CHUNK, some);
    accept_offer(&w, 10);
    confirm(&w, 2, 2);
    lose(&w);
    w.now_ms += PUSHER_RECONNECT_MS;
    connect_node(&w);
    greet_back(&w, sent_only(&w, KIND_HELLO).rid);
    sent_only(&w, KIND_OFFER);
    accept_offer(&w, 10);
    cr_assert(eq(u64, pusher_progress(w.pusher).saved_bytes, 0));
    confirm(&w, 4, 1);
    tick(&w, 0);
    ASSERT_STATE(&w, PUSHER_SERVING);
    world_release(&w);
}

Test(pusher_answers, bye_ends_the_connection)
{
    struct world w = world_new();
    start(&w, CHUNK, NULL);
    say(&w, &(struct message){.kind = KIND_BYE, .bye = {.reason = text_of("stopping")}});
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, PEER_DISCONNECT));
    cr_assert(eq(int, w.effects.items[0].connection, (int)w.route));
    lose(&w);
    ASSERT_STATE(&w, PUSHER_OFFERING);
    world_release(&w);
}

Test(pusher_answers, garbage_is_answered_once_or_not_at_all)
{
    static const struct {
        const char *bytes;
        size_t size, frame_count;
        uint16_t code; /* 0: no answer */
    } rows[] = {
        {"", 0, 1, ERROR_BAD_MESSAGE},
        {"\xc1", 1, 1, ERROR_BAD_MESSAGE},
        {"\x93\x02\x26\x05", 4, 1, ERROR_UNSUPPORTED},         /* version 2 */
        {"\x93\x01\xcd\x27\x0f\x05", 6, 1, ERROR_UNSUPPORTED}, /* kind 9999 */
        {"\x93\x01\x20\x05", 4, 1, ERROR_UNSUPPORTED},         /* LIST */
        {"\x93\x01\x26\x05", 4, 1, ERROR_BAD_MESSAGE},         /* READ without fields */
        {"\x93\x01\x01\x05", 4, 2, ERROR_BAD_MESSAGE},         /* PING with a payload */
        {"\x93\x01\x0b\x05", 4, 1, 0},                         /* JOIN_OK: a reply of the other link */
        {"\x93\x01\x00\x05", 4, 1, 0},                         /* ERROR without fields */
        {"\x93\x01\x02\x05", 4, 1, 0},                         /* PONG */
    };
    struct world w = world_new();
    start(&w, CHUNK, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        say_bytes(&w, rows[i].bytes, rows[i].size, rows[i].frame_count);
        cr_expect(eq(sz, w.effects.count, rows[i].code != 0), "row %zu", i);
        if (rows[i].code && w.effects.count == 1)
            cr_expect(eq(u16, sent(&w, 0).error.code, rows[i].code), "row %zu", i);
    }
    ASSERT_STATE(&w, PUSHER_OFFERING);
    world_release(&w);
}
