/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a stranger is served without HELLO, a range outside the file or a chunk that is not
 * here is read, a page of a LIST repeats or skips names while files come and go, replies go to who cancelled
 * or left, a flood of sessions shuts others out, an ERROR bears the wrong code.
 */
#include "tests/unit/node/serve/peer_world.h"

/* HELLO and what is never answered. */

Test(peer_server, everything_before_hello_is_told_so)
{
    struct world w = world_new(100);
    const struct message requests[] = {{.kind = KIND_PING, .rid = 3}, list_of("", 0, 0),
                                       open_name("one.bin"),          hashes_of(&w, 0, 1),
                                       read_of(&w, 3, 0, 1),          {.kind = KIND_CANCEL, .rid = 3},
                                       {.kind = KIND_CLOSE, .rid = 3}};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        ASSERT_ERROR(ask(&w, 1, &requests[i]), requests[i].rid, ERROR_NOT_JOINED);
    cr_assert(eq(sz, peer_server_figures(w.server).sessions, 0));
    world_release(&w);
}

Test(peer_server, error_pong_and_bye_are_never_answered)
{
    struct world w = world_new(100);
    const struct message messages[] = {message_error(3, ERROR_INTERNAL, "x", 0),
                                       {.kind = KIND_PONG, .rid = 3},
                                       {.kind = KIND_BYE, .rid = 3, .bye = {text_of("")}}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
            deliver(&w, 1, &messages[i]);
            cr_assert(eq(sz, w.effects.count, 0), "round %d, message %zu", round, i);
        }
        hello(&w, 1);
    }
    world_release(&w);
}

Test(peer_server, hello_tells_who_is_here_and_what_may_be_asked)
{
    struct world w = world_new(100);
    struct message m = {.kind = KIND_HELLO,
                        .rid = 8,
                        .hello = {.node_name = text_of(""),
                                  .agent = text_of(""),
                                  .expected_node = {.is_present = true, .id = {{7}}}}};
    struct message reply = ask(&w, 1, &m);
    cr_assert(eq(int, reply.kind, KIND_HELLO_OK));
    cr_assert(eq(u64, reply.rid, 8));
    cr_assert(eq(u8, reply.hello_ok.node.bytes[0], 7));
    cr_assert(eq(u64, reply.hello_ok.instance, 99));
    cr_assert(eq(u32, reply.hello_ok.window_bytes, 16 * MIB));
    cr_assert(eq(u32, reply.hello_ok.max_read, MIB));
    cr_assert(eq(u32, reply.hello_ok.features, 2));
    world_release(&w);
}

Test(peer_server, another_node_is_answered_wrong_node_and_gets_no_session)
{
    struct world w = world_new(100);
    struct message m = {.kind = KIND_HELLO,
                        .rid = 8,
                        .hello = {.node_name = text_of(""),
                                  .agent = text_of(""),
                                  .expected_node = {.is_present = true, .id = {{8}}}}};
    ASSERT_ERROR(ask(&w, 1, &m), 8, ERROR_WRONG_NODE);
    struct message ping = {.kind = KIND_PING, .rid = 3};
    ASSERT_ERROR(ask(&w, 1, &ping), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_server, a_full_table_refuses_a_stranger_until_one_was_idle_for_120_s)
{
    struct world w = world_new(100);
    for (uint32_t route = 1; route <= PEER_SESSIONS_MAX; route++)
        hello(&w, route);
    struct message m = {
        .kind = KIND_HELLO, .rid = 8, .hello = {.node_name = text_of(""), .agent = text_of("")}};
    w.now_ms += PEER_IDLE_MS - 1;
    ASSERT_ERROR(ask(&w, 5000, &m), 8, ERROR_BUSY);
    hello(&w, 7); /* a member may say it again */
    w.now_ms += 1;
    cr_assert(eq(int, ask(&w, 5000, &m).kind, KIND_HELLO_OK));
    cr_assert(eq(sz, peer_server_figures(w.server).sessions, PEER_SESSIONS_MAX));
    struct message ping = {.kind = KIND_PING, .rid = 3};
    ASSERT_ERROR(ask(&w, 1, &ping), 3, ERROR_NOT_JOINED); /* the one that was idle longest */
    cr_assert(eq(int, ask(&w, 2, &ping).kind, KIND_PONG));
    world_release(&w);
}

Test(peer_server, bye_forgets_the_route)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message bye = {.kind = KIND_BYE, .bye = {text_of("done")}}, ping = {.kind = KIND_PING, .rid = 3};
    cr_assert(eq(int, ask(&w, 1, &ping).kind, KIND_PONG));
    deliver(&w, 1, &bye);
    ASSERT_ERROR(ask(&w, 1, &ping), 3, ERROR_NOT_JOINED);
    world_release(&w);
}

Test(peer_server, what_is_not_a_message_is_answered_and_counted)
{
    struct world w = world_new(100);
    static const uint8_t garbage[] = {0xc1, 0xff};
    peer_server_on_message(w.server, 1, 5, garbage, sizeof garbage, 1, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 0, ERROR_BAD_MESSAGE);

    /* A PING in two frames. */
    static const uint8_t ping[] = {0x93, 1, 1, 42};
    peer_effects_clear(&w.effects);
    peer_server_on_message(w.server, 1, 5, ping, sizeof ping, 2, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 42, ERROR_BAD_MESSAGE);
    cr_assert(eq(u64, peer_server_figures(w.server).bad_messages, 2));
    world_release(&w);
}

Test(peer_server, missing_fields_are_bad_only_once_hello_was_said)
{
    struct world w = world_new(100);
    static const uint8_t read_without_fields[] = {0x93, 1, 38, 42};
    peer_server_on_message(w.server, 1, 5, read_without_fields, 4, 1, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 42, ERROR_NOT_JOINED);
    hello(&w, 1);
    peer_effects_clear(&w.effects);
    peer_server_on_message(w.server, 1, 5, read_without_fields, 4, 1, 0, &w.effects);
    ASSERT_ERROR(sent(&w, 0), 42, ERROR_BAD_MESSAGE);
    world_release(&w);
}

Test(peer_server, another_version_and_unknown_kinds_are_unsupported_even_before_hello)
{
    struct world w = world_new(100);
    static const uint8_t version[] = {0x93, 2, 1, 42}, kind[] = {0x93, 1, 77, 42}, join[] = {0x93, 1, 10, 42};
    const uint8_t *const rows[] = {version, kind, join};
    for (size_t i = 0; i < 3; i++) {
        peer_effects_clear(&w.effects);
        peer_server_on_message(w.server, 1, 5, rows[i], 4, 1, 0, &w.effects);
        struct message reply = sent(&w, 0);
        ASSERT_ERROR(reply, 42, ERROR_UNSUPPORTED);
        cr_assert(eq(int, text_equal(reply.error.text, text_of("speaks 1")), i == 0));
    }
    world_release(&w);
}

Test(peer_server, replies_and_events_that_nobody_asked_for_are_dropped_and_counted)
{
    struct world w = world_new(100);
    struct message data = {.kind = KIND_DATA, .rid = 3, .data = {.file = id_at(&w, 0), .length = 1}};
    deliver(&w, 1, &data);
    cr_assert(eq(sz, w.effects.count, 0));
    hello(&w, 1);
    deliver(&w, 1, &data);
    cr_assert(eq(sz, w.effects.count, 0));
    struct message have = {.kind = KIND_HAVE, .rid = 3, .have = {.file = id_at(&w, 0)}};
    deliver(&w, 1, &have);
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(eq(u64, peer_server_figures(w.server).dropped_messages, 3));
    world_release(&w);
}

Test(peer_server, an_offer_is_denied)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message offer = {
        .kind = KIND_OFFER,
        .rid = 3,
        .offer = {.file = shared_file_entry(share_index_at(w.index, 0)), .chunk_log2 = 16}};
    ASSERT_ERROR(ask(&w, 1, &offer), 3, ERROR_DENIED);
    world_release(&w);
}

/* LIST. */

Test(peer_server, a_list_is_paged_in_byte_order_below_its_prefix)
{
    struct world w = world_new(100);
    static const char *const names[] = {"b/2", "a/9", "b/10", "b/1", "b", "bb"};
    scan(&w, names, 6, 5, true);
    hash_all(&w);
    hello(&w, 1);
    struct message page = list(&w, "b/", 0, 2);
    cr_assert(eq(sz, page.list_ok.files.count, 2));
    cr_assert(text_equal(page.list_ok.files.entries[0].name, text_of("b/1")));
    cr_assert(text_equal(page.list_ok.files.entries[1].name, text_of("b/10")));
    cr_assert(eq(u64, page.list_ok.total, 3));
    cr_assert(eq(u64, page.list_ok.generation, holdings_generation(w.holdings)));
    cr_assert(ne(u64, page.list_ok.next_cursor, 0));
    page = list(&w, "b/", page.list_ok.next_cursor, 2);
    cr_assert(eq(sz, page.list_ok.files.count, 1));
    cr_assert(text_equal(page.list_ok.files.entries[0].name, text_of("b/2")));
    cr_assert(eq(u64, page.list_ok.next_cursor, 0));
    cr_assert(eq(u64, list(&w, "zz", 0, 0).list_ok.total, 0));
    world_release(&w);
}

Test(peer_server, files_without_an_id_are_not_listed)
{
    struct world w = world_new(100);
    static const char *const names[] = {"a/one.bin", "b/two.bin", "c"};
    scan(&w, names, 3, 100, true);
    hello(&w, 1);
    struct message page = list(&w, "", 0, 0);
    cr_assert(eq(u64, page.list_ok.total, 2));
    cr_assert(eq(sz, page.list_ok.files.count, 2));
    world_release(&w);
}

Test(peer_server, a_page_neither_repeats_nor_skips_when_files_come_and_go)
{
    struct world w = world_new(100);
    static const char *const before[] = {"b", "d", "f", "h"}, *const after[] = {"a", "b", "c", "h"};
    scan(&w, before, 4, 5, true);
    hash_all(&w);
    hello(&w, 1);
    struct message page = list(&w, "", 0, 2);
    uint64_t cursor = page.list_ok.next_cursor;
    cr_assert(text_equal(page.list_ok.files.entries[1].name, text_of("d")));
    scan(&w, after, 4, 5, true);
    hash_all(&w);
    page = list(&w, "", cursor, 2);
    cr_assert(eq(sz, page.list_ok.files.count, 1));
    cr_assert(text_equal(page.list_ok.files.entries[0].name, text_of("h")));
    cr_assert(eq(u64, page.list_ok.total, 4));
    world_release(&w);
}

Test(peer_server, a_cursor_that_was_never_given_is_bad)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message m = list_of("", 77, 0);
    ASSERT_ERROR(ask(&w, 1, &m), 4, ERROR_BAD_MESSAGE);
    world_release(&w);
}

Test(peer_server, a_page_fits_in_a_header_whatever_the_names_are)
{
    struct world w = world_new(100);
    enum {
        COUNT = 2100
    };
    char *names[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        char number[24];
        snprintf(number, sizeof number, "%06zu", i);
        names[i] = malloc(1025);
        memset(names[i], 'x', 1018);
        memcpy(names[i] + 1018, number, 7);
    }
    scan(&w, (const char *const *)names, COUNT, 5, true);
    hash_all(&w);
    hello(&w, 1);
    uint64_t cursor = 0, listed = 0;
    do {
        struct message page = list(&w, "", cursor, 5000);
        cr_assert(le(sz, w.effects.items[0].header_size, HEADER_SIZE_MAX_PEER));
        cr_assert(le(sz, page.list_ok.files.count, FILES_MAX));
        listed += page.list_ok.files.count;
        cursor = page.list_ok.next_cursor;
    } while (cursor != 0);
    cr_assert(eq(u64, listed, COUNT));
    for (size_t i = 0; i < COUNT; i++)
        free(names[i]);
    world_release(&w);
}

Test(peer_server, lists_that_are_not_read_wait_and_then_are_refused)
{
    struct world w = world_new(100);
    hello(&w, 1);
    struct message m = list_of("", 0, 0);
    for (size_t i = 0; i < UPLOAD_REQUESTER_IN_HAND_BYTES_MAX / MIB; i++)
        cr_assert(eq(int, ask(&w, 1, &m).kind, KIND_LIST_OK));
    for (size_t i = 0; i < UPLOAD_REQUESTER_LISTS_MAX; i++) {
        deliver(&w, 1, &m);
        cr_assert(eq(sz, w.effects.count, 0));
    }
    ASSERT_ERROR(ask(&w, 1, &m), 4, ERROR_LIMIT);
    world_release(&w);
}

/* OPEN. */

Test(peer_server, a_file_is_opened_by_id_by_whole_name_and_by_a_base_name_that_one_file_has)
{
    struct world w = world_new(MIB);
    hello(&w, 1);
    struct file_id id = id_at(&w, 1);
    const struct message rows[] = {open_id(&id), open_name("b/two.bin"), open_name("two.bin")};
    for (size_t i = 0; i < 3; i++) {
        struct message reply = ask(&w, 1, &rows[i]);
        cr_assert(eq(int, reply.kind, KIND_OPEN_OK), "row %zu", i);
        cr_assert(file_id_equal(&reply.open_ok.file.id, &id));
        cr_assert(eq(u8, reply.open_ok.chunk_log2, 16));
        cr_assert(not(reply.open_ok.have.is_present));
    }
    world_release(&w);
}

Test(peer_server, what_cannot_be_opened_has_its_own_error_each)
{
    struct world w = world_new(100);
    static const char *const names[] = {"a/one.bin", "b/one.bin"};
    scan(&w, names, 2, 100, true);
    hash_all(&w);
    hello(&w, 1);
    struct message m = open_name("nothing");
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    m = open_name("one.bin");
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    struct file_id unknown = {{1}};
    m = open_id(&unknown);
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    m = (struct message){.kind = KIND_OPEN, .rid = 5};
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_BAD_MESSAGE);
    world_release(&w);
}

Test(peer_server, while_ids_are_being_found_out_the_answer_is_busy_and_says_when)
{
    struct world w = world_new(100);
    static const char *const names[] = {"a/one.bin", "b/two.bin", "c"};
    scan(&w, names, 3, 100, true);
    hello(&w, 1);
    struct message m = open_name("c");
    struct message reply = ask(&w, 1, &m);
    ASSERT_ERROR(reply, 5, ERROR_BUSY);
    cr_assert(eq(u32, reply.error.retry_ms, PEER_HASHING_RETRY_MS));
    struct file_id unknown = {{1}};
    m = open_id(&unknown);
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_BUSY);
    m = open_name("nothing"); /* names are known: this is no question of hashing */
    ASSERT_ERROR(ask(&w, 1, &m), 5, ERROR_NOT_FOUND);
    world_release(&w);
}
