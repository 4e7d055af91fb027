/* SPDX-License-Identifier: MIT */
/*
 * Sources from their address to their end. What could go wrong: another node at a re-used address is
 * believed, a wrong description of the file is taken, a busy source is lost or hammered, an address is tried
 * again and again because someone names it, one that answers nothing holds its slot for ever.
 */
#include "tests/unit/node/download/download_world.h"

Test(download_sources, hello_open_and_hashes_go_out_together)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 7);
    world_connected(&w, 0);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SEND), 3));
    cr_assert(ne(u64, w.hello_rid[0], w.open_rid[0]));
    struct envelope envelope;
    struct message hello;
    const struct download_effect *effect = &w.effects.entries[0];
    envelope_open(&envelope, (const uint8_t *)w.effects.arena.data + effect->bytes_offset, effect->bytes_size,
                  RECEIVER_SERVER, 1);
    cr_assert(message_read(&envelope, &hello));
    cr_assert(eq(int, hello.kind, KIND_HELLO));
    cr_assert(hello.hello.expected_node.is_present);
    cr_assert(eq(u8, hello.hello.expected_node.id.bytes[0], 7));
    cr_assert(eq(u8, hello.hello.node.id.bytes[0], 99));
    envelope_close(&envelope);
    world_add(&w, 2, 0);
    world_connected(&w, 1); /* the layer is asked of one */
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SEND), 2));
    world_release(&w);
}

Test(download_sources, a_source_is_ready_and_told_when_both_are_answered)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 0);
    world_connected(&w, 0);
    struct message hello = world_hello_ok(&w, 0), open = world_open_ok(&w, 0);
    world_say(&w, 0, &open, 0); /* before HELLO_OK it means nothing */
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_CONNECTING));
    world_say(&w, 0, &hello, 0);
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_CONNECTING));
    open.rid++;
    world_say(&w, 0, &open, 0);
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_CONNECTING));
    open.rid--;
    world_say(&w, 0, &open, 0);
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_READY));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SOURCE), 1));
    cr_assert(strcmp(world_source(&w, 0).name, "n") == 0);
    cr_assert(world_source(&w, 0).has_node);
    world_release(&w);
}

Test(download_sources, another_node_at_the_address_is_left)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 7);
    world_connected(&w, 0);
    struct message hello = world_hello_ok(&w, 0); /* from node 1 */
    world_say(&w, 0, &hello, 0);
    world_expect_end(&w, 0, SOURCE_LEFT, "another node answers at this address");
    world_release(&w);
}

Test(download_sources, an_address_that_is_ourselves_is_left)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 0);
    world_connected(&w, 0);
    struct message hello = world_hello_ok(&w, 0);
    hello.hello_ok.node.bytes[0] = 99;
    world_say(&w, 0, &hello, 0);
    world_expect_end(&w, 0, SOURCE_LEFT, "is this very program");
    world_release(&w);
}

Test(download_sources, one_that_allows_less_than_the_protocol_asks_for_is_left)
{
    for (int i = 0; i < 2; i++) {
        struct world w = world_new(5 * MIB);
        world_add(&w, 1, 0);
        world_connected(&w, 0);
        struct message hello = world_hello_ok(&w, 0);
        *(i ? &hello.hello_ok.max_read : &hello.hello_ok.window_bytes) = MIB - 1;
        world_say(&w, 0, &hello, 0);
        world_expect_end(&w, 0, SOURCE_LEFT, "allows less than the protocol asks for");
        world_release(&w);
    }
}

Test(download_sources, a_wrong_description_of_the_file_bans)
{
    struct chunk_map wrong_size, right;
    chunk_map_init(&wrong_size, 72);
    chunk_map_init(&right, 79); /* the file has 79 chunks: one spare bit */
    for (int i = 0; i < 4; i++) {
        struct world w = world_new(79 * 64 * KIB);
        world_add(&w, 1, 0);
        world_connected(&w, 0);
        struct message hello = world_hello_ok(&w, 0), open = world_open_ok(&w, 0);
        world_say(&w, 0, &hello, 0);
        const char *expected = "sent a wrong list of chunks";
        if (i == 0) {
            open.open_ok.chunk_log2++;
            expected = "describes another file than it was asked for";
        } else if (i == 1) {
            open.open_ok.file.size++;
            open.open_ok.file.id = file_id_of(open.open_ok.file.size, &w.root);
            expected = "describes another file than it was asked for";
        } else {
            open.open_ok.have.is_present = true;
            open.open_ok.have.blob = chunk_map_bits(i == 2 ? &wrong_size : &right);
            right.bits[9] = 1; /* the spare bit */
        }
        world_say(&w, 0, &open, 0);
        world_expect_end(&w, 0, SOURCE_BANNED, expected);
        world_release(&w);
    }
    chunk_map_release(&wrong_size);
    chunk_map_release(&right);
}

Test(download_sources, an_error_to_the_greeting_ends_it_with_its_reason)
{
    static const struct {
        enum error_code code;
        bool is_to_open;
        const char *reason;
    } rows[] = {
        {ERROR_WRONG_NODE, false, "another node answers at this address"},
        {ERROR_DENIED, false, "refused us: denied"},
        {ERROR_NOT_FOUND, true, "does not have the file"},
        {ERROR_INTERNAL, true, "refused us: internal"},
        {ERROR_CHANGED, true, "refused us: changed"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = world_new(5 * MIB);
        world_add(&w, 1, 0);
        world_connected(&w, 0);
        world_error(&w, 0, rows[i].is_to_open ? w.open_rid[0] : w.hello_rid[0], rows[i].code, 0);
        world_expect_end(&w, 0, SOURCE_LEFT, rows[i].reason);
        world_release(&w);
    }
}

Test(download_sources, one_that_is_busy_is_greeted_again_at_its_time_and_not_before)
{
    static const enum error_code codes[] = {ERROR_BUSY, ERROR_LIMIT};
    for (size_t i = 0; i < 2; i++) {
        struct world w = world_new(5 * MIB);
        world_add(&w, 1, 0);
        world_connected(&w, 0);
        uint64_t hello_rid = w.hello_rid[0];
        world_error(&w, 0, hello_rid, codes[i], 12345);
        world_error(&w, 0, w.open_rid[0], ERROR_NOT_JOINED, 0); /* follows from the first */
        cr_assert(eq(int, world_source(&w, 0).state, SOURCE_CONNECTING));
        cr_assert(eq(u64, download_next_deadline_ms(w.download), w.now_ms + 12345));
        world_tick(&w, w.now_ms + 12344);
        cr_assert(eq(sz, w.effects.count, 0));
        world_tick(&w, w.now_ms + 1);
        cr_assert(eq(sz, world_count(&w, DOWNLOAD_SEND), 2));
        cr_assert(ne(u64, w.hello_rid[0], hello_rid));
        world_greet(&w, 0, NULL);
        cr_assert(eq(int, world_source(&w, 0).state, SOURCE_READY));
        world_release(&w);
    }
}

Test(download_sources, one_that_does_not_answer_is_left_at_ten_seconds)
{
    for (int is_connected = 0; is_connected < 2; is_connected++) {
        struct world w = world_new(5 * MIB);
        world_add(&w, 1, 0);
        uint64_t from_ms = w.now_ms;
        if (is_connected) {
            w.now_ms = from_ms = w.now_ms + 3000;
            world_connected(&w, 0);
        }
        cr_assert(eq(u64, download_next_deadline_ms(w.download), from_ms + DOWNLOAD_HELLO_MS));
        world_tick(&w, from_ms + DOWNLOAD_HELLO_MS - 1);
        cr_assert(eq(int, world_source(&w, 0).state, SOURCE_CONNECTING));
        world_tick(&w, from_ms + DOWNLOAD_HELLO_MS);
        world_expect_end(&w, 0, SOURCE_LEFT, "does not answer");
        cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
        world_release(&w);
    }
}

Test(download_sources, one_that_cannot_be_reached_is_left_after_three_attempts)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 0);
    for (int i = 1; i < DOWNLOAD_ATTEMPTS_MAX; i++) {
        world_lost(&w, 0);
        cr_assert(eq(int, world_source(&w, 0).state, SOURCE_CONNECTING));
        cr_assert(eq(sz, world_count(&w, DOWNLOAD_DISCONNECT), 0));
    }
    world_lost(&w, 0);
    world_expect_end(&w, 0, SOURCE_LEFT, "cannot be reached");
    world_release(&w);
}

Test(download_sources, a_lost_connection_gives_its_reads_to_others_and_is_greeted_anew)
{
    struct world w = world_new(5 * MIB);
    uint32_t lost = world_ready(&w, NULL), other = world_ready(&w, NULL);
    world_give_layer(&w, lost);
    cr_assert(gt(u64, world_asked_bytes(&w, lost), 0));
    cr_assert(eq(u64, world_asked_bytes(&w, lost) + world_asked_bytes(&w, other), 2 * START_WINDOW_BYTES));
    world_lost(&w, lost);
    cr_assert(eq(int, world_source(&w, lost).state, SOURCE_CONNECTING));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SOURCE), 1)); /* told at once */
    world_expect_reason(&w, lost, "connection lost");
    cr_assert(eq(u64, world_source(&w, lost).inflight_bytes, 0));
    struct message data = {.kind = KIND_DATA, .rid = 1 << 10};
    world_say(&w, lost, &data, 0); /* nothing is owed any more */
    cr_assert(eq(int, world_source(&w, lost).state, SOURCE_CONNECTING));
    world_connected(&w, lost);
    world_greet(&w, lost, NULL);
    cr_assert(eq(int, world_source(&w, lost).state, SOURCE_READY));
    cr_assert(gt(u64, world_asked_bytes(&w, lost), 0));
    for (int i = 0; i < 2 * DOWNLOAD_ATTEMPTS_MAX; i++) { /* each greeting that succeeds counts anew */
        world_lost(&w, lost);
        world_connected(&w, lost);
        world_greet(&w, lost, NULL);
    }
    cr_assert(eq(int, world_source(&w, lost).state, SOURCE_READY));
    for (int i = 0; i < DOWNLOAD_ATTEMPTS_MAX; i++)
        world_lost(&w, lost);
    cr_assert(eq(int, world_source(&w, lost).state, SOURCE_LEFT));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_DISCONNECT), 1));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SOURCE), 0)); /* but not twice */
    world_release(&w);
}

Test(download_sources, a_bye_gives_its_reads_to_others)
{
    struct world w = world_new(START_WINDOW_BYTES);
    uint32_t leaver = world_ready(&w, NULL);
    world_give_layer(&w, leaver);
    uint32_t other = world_ready(&w, NULL);
    cr_assert(eq(u64, world_asked_bytes(&w, leaver), START_WINDOW_BYTES));
    struct message bye = {.kind = KIND_BYE};
    world_say(&w, leaver, &bye, 0);
    world_expect_end(&w, leaver, SOURCE_LEFT, "said goodbye");
    cr_assert(eq(u64, world_asked_bytes(&w, other), START_WINDOW_BYTES));
    world_release(&w);
}

Test(download_sources, the_same_node_or_address_is_added_once)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 1);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CONNECT), 1));
    world_add(&w, 2, 1); /* the node elsewhere */
    cr_assert(eq(sz, w.effects.count, 0));
    world_add(&w, 1, 2); /* the address again */
    cr_assert(eq(sz, w.effects.count, 0));
    world_add(&w, 1, 0);
    cr_assert(eq(sz, w.effects.count, 0));
    world_add(&w, 2, 2);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CONNECT), 1));
    world_release(&w);
}

Test(download_sources, ourselves_and_addresses_that_nobody_can_have_are_not_added)
{
    static const char *const hosts[] = {"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"};
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 99);
    cr_assert(eq(sz, w.effects.count, 0));
    struct host host;
    struct optional_node_id nobody = {0};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        cr_assert(host_parse(text_of(hosts[i]), &host));
        download_add_source(w.download, &nobody, &host, 6900, w.now_ms, &w.effects);
        cr_expect(eq(sz, w.effects.count, 0), "%s", hosts[i]);
    }
    cr_assert(host_parse(text_of("10.0.0.1"), &host));
    download_add_source(w.download, &nobody, &host, 0, w.now_ms, &w.effects);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download_sources, a_full_table_takes_no_more)
{
    struct world w = world_new(5 * MIB);
    for (uint8_t i = 1; i <= DOWNLOAD_SOURCES_MAX; i++) {
        world_add(&w, i, i);
        cr_assert(eq(sz, world_count(&w, DOWNLOAD_CONNECT), 1));
    }
    world_add(&w, 200, 200);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download_sources, in_a_full_table_one_that_left_and_gave_nothing_makes_room)
{
    struct world w = world_new(5 * MIB);
    for (uint8_t i = 1; i <= DOWNLOAD_SOURCES_MAX; i++)
        world_add(&w, i, i);
    for (unsigned i = 0; i < DOWNLOAD_ATTEMPTS_MAX; i++)
        world_lost(&w, 7);
    cr_assert(eq(int, world_source(&w, 7).state, SOURCE_LEFT));
    world_add(&w, 200, 200);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CONNECT), 1));
    cr_assert(eq(u32, world_effect(&w, DOWNLOAD_CONNECT)->source, 7));
    world_release(&w);
}

static void expect_added_again_after(struct world *w, uint64_t ms)
{
    w->now_ms += ms - 1;
    world_add(w, 1, 1);
    cr_assert(eq(sz, w->effects.count, 0));
    w->now_ms++;
    world_add(w, 1, 1);
    cr_assert(eq(sz, world_count(w, DOWNLOAD_CONNECT), 1));
}

Test(download_sources, one_that_left_is_added_again_after_30_seconds_and_not_before)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    struct message bye = {.kind = KIND_BYE};
    world_say(&w, source, &bye, 0);
    expect_added_again_after(&w, 30000);
    world_release(&w);
}

Test(download_sources, one_that_delivered_and_said_goodbye_is_added_again_after_1_second_and_not_before)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    world_serve(&w, source);
    struct message bye = {.kind = KIND_BYE};
    world_say(&w, source, &bye, 0);
    expect_added_again_after(&w, 1000);
    world_release(&w);
}

Test(download_sources, one_that_delivered_and_refuses_is_added_again_after_30_seconds_and_not_before)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    world_serve(&w, source);
    world_error(&w, source, world_asked(&w, source).rid, ERROR_CHANGED, 0);
    expect_added_again_after(&w, 30000);
    world_release(&w);
}

Test(download_sources, a_banned_one_never_comes_back)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    world_bytes(&w, source, "\xc1", 1, 1, 0);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_BANNED));
    w.now_ms += UINT64_C(1) << 40;
    world_add(&w, 1, 1);
    world_add(&w, 2, 1);
    world_add(&w, 1, 2);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download_sources, a_slot_is_not_used_again_while_its_last_payload_is_being_hashed)
{
    struct world w = world_new(2 * 64 * KIB);
    uint32_t first = world_ready(&w, NULL);
    world_give_layer(&w, first);
    struct process_order order = world_answer(&w, world_asked(&w, first));
    struct message bye = {.kind = KIND_BYE};
    world_say(&w, first, &bye, 0);
    w.now_ms += 30000;
    world_add(&w, 9, 9);
    cr_assert(ne(u32, world_effect(&w, DOWNLOAD_CONNECT)->source, first));
    world_processed(&w, &order, PROCESSED_MISMATCH, 0);
    world_add(&w, 10, 10);
    cr_assert(eq(u32, world_effect(&w, DOWNLOAD_CONNECT)->source, first));
    world_release(&w);
}
