/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: bytes on their way count as bytes that wait for us, a backlog never goes away, a slow
 * or a fresh source looks held back by its window, one source that is hides others that are not, a limit is
 * told when nothing waits for it.
 */
#include "tests/unit/node/download/download_world.h"

#define BIG (UINT64_C(1) << 30)

/* A source that allows `window_bytes`, with the layer given: READs go out. */
static uint32_t ready_with_window(struct world *w, uint32_t window_bytes, bool gives_layer)
{
    uint32_t source = 0;
    while (world_source(w, source).state != SOURCE_FREE)
        source++;
    world_add(w, (uint8_t)(source + 1), (uint8_t)(source + 1));
    world_connected(w, source);
    struct message hello = world_hello_ok(w, source), open = world_open_ok(w, source);
    hello.hello_ok.window_bytes = window_bytes;
    world_say(w, source, &hello, 0);
    world_say(w, source, &open, 0);
    if (gives_layer)
        world_give_layer(w, source);
    return source;
}

/* The source answers all that it was asked `delay_ms` ago, so often. */
static void answer_rounds(struct world *w, uint32_t source, unsigned rounds, uint64_t delay_ms)
{
    for (unsigned i = 0; i < rounds; i++) {
        w->now_ms += delay_ms;
        uint64_t last_rid = 0;
        for (size_t k = 0; k < w->asked_count; k++) {
            if (w->asked[k].source == source && w->asked[k].rid > last_rid)
                last_rid = w->asked[k].rid;
        }
        while (world_asked_count(w, source) > 0 && world_asked(w, source).rid <= last_rid)
            world_serve(w, source);
    }
}

Test(download_load, an_idle_download_has_none)
{
    struct world w = world_new(BIG);
    struct download_load load = download_load(w.download);
    cr_assert(eq(u64, load.backlog_bytes, 0));
    cr_assert(not(load.is_window_full));
    cr_assert(not(load.is_limited));
    world_release(&w);
}

Test(download_load, the_backlog_is_what_came_and_is_not_written_and_not_what_is_asked_for)
{
    struct world w = world_new(BIG);
    uint32_t source = ready_with_window(&w, 16 * MIB, true);
    cr_assert(gt(u64, world_asked_bytes(&w, source), 0));
    cr_assert(eq(u64, download_load(w.download).backlog_bytes, 0));
    struct asked asked = world_asked(&w, source);
    struct process_order order = world_answer(&w, asked);
    cr_assert(eq(u64, download_load(w.download).backlog_bytes, asked.length));
    world_processed(&w, &order, PROCESSED_OK, 0);
    cr_assert(eq(u64, download_load(w.download).backlog_bytes, 0));
    world_release(&w);
}

Test(download_load, a_source_that_delivers_its_whole_window_each_round_trip_is_held_back)
{
    struct world w = world_new(BIG);
    uint32_t source = ready_with_window(&w, MIB, true);
    cr_assert(not(download_load(w.download).is_window_full), "nothing is known of it yet");
    answer_rounds(&w, source, 20, 200);
    cr_assert(download_load(w.download).is_window_full);
    world_release(&w);
}

Test(download_load, at_the_end_of_a_file_a_window_is_not_full_any_more)
{
    struct world w = world_new(60 * MIB);
    uint32_t source = ready_with_window(&w, 2 * MIB, true);
    answer_rounds(&w, source, 10, 200);
    cr_assert(download_load(w.download).is_window_full);
    while (world_asked_bytes(&w, source) > MIB)
        answer_rounds(&w, source, 1, 200);
    cr_assert(gt(sz, w.asked_count, 0));
    cr_assert(not(download_load(w.download).is_window_full));
    world_release(&w);
}

Test(download_load, a_source_with_room_in_its_window_is_not_held_back)
{
    struct world w = world_new(BIG);
    uint32_t source = ready_with_window(&w, 16 * MIB, true);
    for (int i = 0; i < 40; i++) { /* one READ after another, as over a slow link */
        w.now_ms += 100;
        world_serve(&w, source);
    }
    cr_assert(gt(u64, world_source(&w, source).rate, 0));
    cr_assert(not(download_load(w.download).is_window_full));
    world_release(&w);
}

Test(download_load, a_slow_source_with_a_full_small_window_is_slow_and_not_held_back)
{
    struct world w = world_new(BIG);
    uint32_t source = ready_with_window(&w, 2 * MIB, true);
    world_serve(&w, source); /* the round trip is short; then a little at a time */
    for (int i = 0; i < 40; i++) {
        w.now_ms += 100;
        world_serve(&w, source);
    }
    cr_assert(not(download_load(w.download).is_window_full));
    world_release(&w);
}

Test(download_load, one_source_that_could_give_more_is_enough_for_the_window_not_to_bound)
{
    struct world w = world_new(BIG);
    uint32_t held_back = ready_with_window(&w, MIB, true);
    answer_rounds(&w, held_back, 20, 200);
    cr_assert(download_load(w.download).is_window_full);
    ready_with_window(&w, 16 * MIB, false);
    cr_assert(not(download_load(w.download).is_window_full));
    world_release(&w);
}

Test(download_load, a_limit_is_told_while_reads_wait_for_it_and_not_after)
{
    struct download_config config = world_config();
    config.down_rate = MIB;
    struct world w = world_prepare(3 * MIB, config);
    world_start(&w);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(not(download_load(w.download).is_limited));
    world_give_layer(&w, source);
    cr_assert(download_load(w.download).is_limited);
    uint64_t next_ms = download_next_deadline_ms(w.download);
    cr_assert(gt(u64, next_ms, w.now_ms));
    while (w.asked_count > 0 || download_load(w.download).is_limited) {
        if (w.asked_count > 0)
            world_serve(&w, source);
        else
            world_tick(&w, download_next_deadline_ms(w.download));
    }
    cr_assert(eq(u64, download_progress(w.download).saved_bytes, 3 * MIB));
    world_release(&w);
}
