/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a source is greeted for ever, or given up at the first hiccup; another node than the
 * one that was asked for is believed; the bundle waits for a source that is gone.
 */
#include "tests/unit/node/download/bundle_world.h"

#define ALL UINT64_MAX

Test(bundle_sources, a_lost_connection_gives_its_files_back_and_the_third_in_a_row_ends_the_source)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 10, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_ready(w, 1);
    cr_assert(eq(sz, world_asked_count(w, 1), 0));
    world_connection_lost(w, 0);
    cr_assert(eq(sz, world_asked_count(w, 1), 10));
    cr_assert(eq(int, bundle_source_at(w->bundle, 0).state, SOURCE_CONNECTING));
    world_connection_lost(w, 0);
    world_connection_lost(w, 0);
    world_expect_over(w, 0, SOURCE_LEFT, "connection lost");
    world_serve_all(w, 1);
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle_sources, a_source_that_comes_back_is_asked_again)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 3, KIB, ALL);
    world_start(w);
    for (unsigned i = 0; i < 5; i++) {
        world_ready(w, 0);
        cr_assert(eq(sz, w->asked_count, 3));
        world_connection_lost(w, 0);
        cr_assert(eq(sz, w->asked_count, 0));
    }
    world_ready(w, 0);
    world_serve_all(w, 0);
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle_sources, when_the_last_source_is_gone_what_it_had_is_lost_and_that_is_the_end)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 5, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_serve(w, 0);
    struct message bye = {.kind = KIND_BYE};
    bye.bye.reason = text_of("test");
    world_say(w, 0, &bye, 0);
    world_expect_over(w, 0, SOURCE_LEFT, "said goodbye");
    cr_assert(eq(sz, w->lost_count, 4));
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle_sources, a_source_that_never_answers_is_given_up)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    uint64_t end_ms = bundle_next_deadline_ms(w->bundle);
    cr_assert(eq(u64, end_ms, w->now_ms + DOWNLOAD_HELLO_MS));
    world_tick(w, end_ms - 1);
    cr_assert(not(w->is_complete));
    world_tick(w, end_ms);
    world_expect_over(w, 0, SOURCE_LEFT, "does not answer");
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle_sources, another_node_at_the_address_is_not_believed)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_connected(w, 0);
    struct message m = world_hello_ok(w, 0);
    m.hello_ok.node.bytes[0] ^= 1;
    world_say(w, 0, &m, 0);
    world_expect_over(w, 0, SOURCE_LEFT, "another node answers at this address");
    world_connected(w, 1);
    struct message error = message_error(w->hello_rid[1], ERROR_WRONG_NODE, "test", 0);
    world_say(w, 1, &error, 0);
    world_expect_over(w, 1, SOURCE_LEFT, "another node answers at this address");
    world_free(w);
}

Test(bundle_sources, a_source_that_allows_less_than_a_file_is_of_no_use)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_connected(w, 0);
    struct message m = world_hello_ok(w, 0);
    m.hello_ok.max_read = BUNDLE_FILE_SIZE_MAX - 1;
    world_say(w, 0, &m, 0);
    world_expect_over(w, 0, SOURCE_LEFT, "allows less than the protocol asks for");
    world_free(w);
}

Test(bundle_sources, a_source_that_is_busy_when_greeted_is_greeted_again_and_one_that_denies_is_left)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_connected(w, 0);
    uint64_t rid = w->hello_rid[0];
    struct message error = message_error(rid, ERROR_BUSY, "test", 200);
    world_say(w, 0, &error, 0);
    world_tick(w, w->now_ms + 199);
    cr_assert(eq(u64, w->hello_rid[0], rid));
    world_tick(w, w->now_ms + 1);
    cr_assert(ne(u64, w->hello_rid[0], rid));
    world_connected(w, 1);
    error = message_error(w->hello_rid[1], ERROR_DENIED, "test", 0);
    world_say(w, 1, &error, 0);
    world_expect_over(w, 1, SOURCE_LEFT, "refused us: denied");
    struct message m = world_hello_ok(w, 0);
    world_say(w, 0, &m, 0);
    world_serve(w, 0);
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle_sources, a_ping_is_answered)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_say(w, 0, &(struct message){.kind = KIND_PING, .rid = 5}, 0);
    cr_assert(eq(sz, w->pong_count, 1));
    world_free(w);
}

Test(bundle_sources, addresses_that_cannot_be_used_are_refused)
{
    struct world *w = world_new(0);
    struct host host;
    cr_assert(host_parse(text_of("224.0.0.1"), &host));
    cr_assert(eq(u32, bundle_add_source(w->bundle, &(struct optional_node_id){0}, &host, 1), UINT32_MAX));
    cr_assert(host_parse(text_of("10.0.0.1"), &host));
    cr_assert(eq(u32, bundle_add_source(w->bundle, &(struct optional_node_id){0}, &host, 0), UINT32_MAX));
    world_free(w);
}
