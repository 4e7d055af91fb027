/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a file is asked of two sources, or of none any more; a source that fails takes files
 * with it; one that refuses a file is asked for it again and again; memory or requests grow without bound;
 * the end never comes, or comes while something is missing.
 */
#include "tests/unit/node/download/bundle_world.h"

#define ALL UINT64_MAX

Test(bundle, a_source_is_greeted_once_and_sent_many_reads_at_a_time)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 20, 4 * KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    cr_assert(eq(sz, world_asked_count(w, 0), 20));
    for (uint32_t i = 0; i < 20; i++)
        cr_expect(eq(u32, w->asked[i].file, i));
    world_serve_all(w, 0);
    cr_assert(w->is_complete);
    struct bundle_progress progress = world_progress(w);
    cr_assert(eq(u32, progress.stored_count, 20));
    cr_assert(eq(u64, progress.download.saved_bytes, 20 * 4 * KIB));
    cr_assert(eq(u64, progress.download.received_bytes, 20 * 4 * KIB));
    cr_assert(eq(u64, progress.download.wasted_bytes, 0));
    world_free(w);
}

Test(bundle, nothing_to_fetch_is_complete_at_once)
{
    struct world *w = world_new(0);
    world_start(w);
    cr_assert(w->is_complete);
    cr_assert(eq(u64, bundle_next_deadline_ms(w->bundle), UINT64_MAX));
    world_free(w);
}

Test(bundle, empty_files_are_stored_without_a_source_and_not_all_at_once)
{
    struct world *w = world_new(0);
    world_add_files(w, 1000, 0, 0);
    world_start(w);
    cr_assert(lt(sz, w->storing_count, 1000));
    while (w->storing_count > 0)
        world_stored(w, BUNDLE_STORED_OK);
    cr_assert(w->is_complete);
    cr_assert(eq(u32, world_progress(w).stored_count, 1000));
    cr_assert(eq(sz, w->ask_count, 0));
    world_free(w);
}

Test(bundle, each_file_is_asked_of_one_source_that_has_it)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 10, KIB, 1);
    world_add_files(w, 10, KIB, 2);
    world_add_files(w, 10, KIB, 3);
    world_start(w);
    world_ready(w, 0);
    world_ready(w, 1);
    cr_assert(eq(sz, w->asked_count, 30));
    bool was_asked[30] = {false};
    for (size_t i = 0; i < w->asked_count; i++) {
        const struct asked *asked = &w->asked[i];
        cr_expect(not(was_asked[asked->file]));
        was_asked[asked->file] = true;
        cr_expect(asked->file >= 20 || asked->source == asked->file / 10, "file %u of source %u", asked->file,
                  asked->source);
    }
    world_free(w);
}

Test(bundle, a_new_source_is_asked_for_two_of_the_largest_files_and_more_as_it_delivers)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1000, BUNDLE_FILE_SIZE_MAX, ALL);
    world_start(w);
    world_ready(w, 0);
    cr_assert(eq(sz, w->asked_count, 2));
    size_t asked = 0;
    for (unsigned round = 0; round < 5; round++) {
        w->now_ms += 20;
        asked = w->asked_count;
        for (size_t i = 0; i < asked; i++)
            world_serve(w, 0);
    }
    cr_assert(gt(sz, w->asked_count, 8));
    world_free(w);
}

Test(bundle, reads_are_bounded_in_number_for_one_source_and_for_all)
{
    struct world *w = world_new(0);
    for (uint8_t i = 0; i < 8; i++)
        world_add_source(w, (uint8_t)(i + 1));
    world_add_files(w, 100000, 1, ALL);
    world_start(w);
    world_ready(w, 0);
    for (unsigned round = 0; round < 8; round++) {
        w->now_ms += 100;
        for (size_t i = world_asked_count(w, 0); i > 0; i--)
            world_serve(w, 0);
    }
    cr_assert(eq(sz, world_asked_count(w, 0), BUNDLE_SOURCE_SLOTS_MAX));
    for (uint32_t source = 1; source < 8; source++) {
        world_ready(w, source);
        cr_expect(gt(sz, world_asked_count(w, source), 0), "source %u has nothing to do", source);
    }
    cr_assert(le(sz, w->asked_count, BUNDLE_SLOTS_MAX));
    world_free(w);
}

Test(bundle, what_is_not_stored_yet_counts_against_the_budget)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 2000, BUNDLE_FILE_SIZE_MAX, ALL);
    world_start(w);
    world_ready(w, 0);
    while (w->asked_count > 0) {
        w->now_ms += 1;
        world_data(w, world_asked(w, 0));
    }
    cr_assert(eq(sz, w->storing_count, BUNDLE_BUDGET_BYTES / BUNDLE_FILE_SIZE_MAX));
    world_stored(w, BUNDLE_STORED_OK);
    cr_assert(eq(sz, w->asked_count, 1));
    world_free(w);
}

Test(bundle, small_files_that_are_not_stored_yet_are_bounded_in_number)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 10000, 1, ALL);
    world_start(w);
    world_ready(w, 0);
    while (w->storing_count < BUNDLE_STORING_MAX)
        world_data(w, world_asked(w, 0));
    size_t asked = w->ask_count;
    while (w->asked_count > 0)
        world_data(w, world_asked(w, 0));
    cr_assert(eq(sz, w->ask_count, asked));
    while (w->storing_count > BUNDLE_STORING_MAX - 1)
        world_stored(w, BUNDLE_STORED_OK);
    cr_assert(gt(sz, w->ask_count, asked));
    world_free(w);
}

Test(bundle, no_more_is_asked_for_than_the_rate_that_was_allowed)
{
    struct world *w = world_new_limited(0, 1000 * KIB);
    world_add_source(w, 1);
    world_add_files(w, 10000, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    uint64_t end_ms = w->now_ms + 2000;
    while (w->now_ms < end_ms) {
        world_serve_all(w, 0);
        uint64_t next_ms = bundle_next_deadline_ms(w->bundle);
        cr_assert(gt(u64, next_ms, w->now_ms), "a spin");
        world_tick(w, next_ms);
    }
    cr_assert(gt(sz, w->ask_count, 1900));
    cr_assert(lt(sz, w->ask_count, 2200));
    world_free(w);
}

Test(bundle, time_that_the_rate_takes_is_not_the_sources)
{
    struct world *w = world_new_limited(700, KIB);
    world_add_source(w, 1);
    world_add_files(w, 3, 4 * KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    while (!w->is_complete && !w->is_failed) {
        world_serve_all(w, 0);
        world_tick(w, bundle_next_deadline_ms(w->bundle));
    }
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle, a_source_that_sends_wrong_bytes_is_banned_and_its_files_move)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 8, 4 * KIB, 1);
    world_add_files(w, 8, 4 * KIB, 3);
    world_start(w);
    world_ready(w, 0);
    world_data(w, world_asked(w, 0));
    world_data(w, (struct asked){0, 9, 4 * KIB, w->asked[8].rid});
    world_stored(w, BUNDLE_STORED_MISMATCH);
    world_expect_over(w, 0, SOURCE_BANNED, "sent wrong bytes");
    cr_assert(eq(sz, w->lost_count, 8), "nobody else has the first eight");
    cr_assert(eq(u64, world_progress(w).download.wasted_bytes, 4 * KIB));
    world_stored(w, BUNDLE_STORED_OK); /* what it sent besides was right, and checked by itself */
    world_ready(w, 1);
    cr_assert(eq(sz, w->asked_count, 7));
    world_serve_all(w, 1);
    cr_assert(w->is_complete);
    cr_assert(eq(u32, world_progress(w).stored_count, 8));
    cr_assert(eq(u32, world_progress(w).lost_count, 8));
    world_free(w);
}

Test(bundle, data_of_another_range_bans)
{
    static const struct {
        const char *what;
        uint32_t file, length;
        uint64_t offset;
        size_t payload_size;
    } cases[] = {
        {"another file", 1, KIB, 0, KIB},           {"another offset", 0, KIB, 1, KIB},
        {"another length", 0, KIB - 1, 0, KIB - 1}, {"a short payload", 0, KIB, 0, KIB - 1},
        {"a long payload", 0, KIB, 0, KIB + 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world *w = world_new(0);
        world_add_source(w, 1);
        world_add_files(w, 2, KIB, ALL);
        world_start(w);
        world_ready(w, 0);
        struct message m = {.kind = KIND_DATA, .rid = world_asked(w, 0).rid};
        m.data = (struct message_range){world_id(cases[i].file), cases[i].offset, cases[i].length};
        world_say(w, 0, &m, cases[i].payload_size);
        cr_expect(bundle_source_at(w->bundle, 0).state == SOURCE_BANNED, "%s", cases[i].what);
        cr_expect(eq(u64, world_progress(w).download.wasted_bytes, cases[i].payload_size));
        cr_expect(eq(sz, w->storing_count, 0));
        world_free(w);
    }
}

Test(bundle, data_that_nobody_asked_for_is_wasted_and_forgiven)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    struct asked asked = world_asked(w, 0);
    world_data(w, asked);
    world_data(w, asked);
    world_data(w, (struct asked){0, 0, KIB, 4095});
    cr_assert(eq(sz, w->storing_count, 1));
    cr_assert(eq(u64, world_progress(w).download.wasted_bytes, 2 * KIB));
    cr_assert(eq(int, bundle_source_at(w->bundle, 0).state, SOURCE_READY));
    world_free(w);
}

Test(bundle, a_malformed_message_bans)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    bundle_on_message(w->bundle, 0, (const uint8_t *)"\xc1", 1, 1, 0, w->now_ms, &w->effects);
    world_expect_over(w, 0, SOURCE_BANNED, "sent a malformed message");
    world_free(w);
}

Test(bundle, a_refused_file_is_asked_of_others_and_not_of_the_same_again)
{
    static const enum error_code codes[] = {ERROR_NOT_FOUND, ERROR_CHANGED, ERROR_BAD_RANGE, ERROR_INTERNAL};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct world *w = world_new(0);
        world_add_source(w, 1);
        world_add_source(w, 2);
        world_add_files(w, 2, KIB, ALL);
        world_start(w);
        world_ready(w, 0);
        world_error(w, world_asked(w, 0), codes[i], 0);
        cr_expect(eq(sz, world_asked_count(w, 0), 1));
        cr_expect(eq(int, bundle_source_at(w->bundle, 0).state, SOURCE_READY));
        world_ready(w, 1);
        cr_expect(eq(u32, world_asked(w, 1).file, 0));
        world_error(w, world_asked(w, 1), codes[i], 0);
        cr_expect(eq(sz, w->lost_count, 1));
        cr_expect(eq(u32, w->lost[0], 0));
        world_serve(w, 0);
        cr_expect(w->is_complete);
        world_free(w);
    }
}

Test(bundle, busy_is_obeyed_to_the_millisecond)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_error(w, world_asked(w, 0), ERROR_BUSY, 300);
    cr_assert(eq(sz, w->asked_count, 0));
    cr_assert(eq(u64, bundle_next_deadline_ms(w->bundle), w->now_ms + 300));
    uint64_t began_ms = w->now_ms;
    world_tick(w, began_ms + 299);
    cr_assert(eq(sz, w->asked_count, 0));
    world_tick(w, began_ms + 300);
    cr_assert(eq(sz, w->asked_count, 1));
    world_free(w);
}

Test(bundle, a_source_that_says_limit_is_asked_for_half_as_many_and_never_for_none)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 100, 1, ALL);
    world_start(w);
    world_ready(w, 0);
    cr_assert(eq(sz, w->asked_count, 100));
    for (unsigned round = 0; round < 12; round++) {
        while (w->asked_count > 0)
            world_error(w, world_asked(w, 0), ERROR_LIMIT, 10);
        world_tick(w, w->now_ms + 10);
    }
    cr_assert(eq(sz, w->asked_count, 8));
    world_serve_all(w, 0);
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle, files_of_no_source_are_lost_at_the_start)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 1, KIB, 0);
    world_add_files(w, 1, KIB, 1);
    world_start(w);
    cr_assert(eq(sz, w->lost_count, 1));
    cr_assert(not(w->is_complete));
    world_free(w);
}

Test(bundle, a_stalled_source_is_left_alone_when_another_can_do_it)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 4, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    cr_assert(eq(sz, world_asked_count(w, 0), 4));
    w->now_ms += DOWNLOAD_STALL_MS - 1;
    world_ready(w, 1);
    world_tick(w, w->now_ms);
    size_t moved = world_asked_count(w, 1);
    world_tick(w, w->now_ms + 1);
    cr_assert(eq(sz, world_asked_count(w, 0), 0));
    cr_assert(eq(sz, world_asked_count(w, 1), 4));
    cr_assert(eq(sz, w->cancel_count, 4));
    cr_assert(le(sz, moved, 4));
    world_free(w);
}

Test(bundle, an_only_source_that_stalls_is_waited_for)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 4, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    for (unsigned i = 0; i < 10; i++)
        world_tick(w, w->now_ms + DOWNLOAD_STALL_MS);
    cr_assert(eq(sz, w->cancel_count, 0));
    world_serve_all(w, 0);
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle, late_reads_move_to_a_source_with_nothing_to_do_and_not_before_they_are_late)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_source(w, 2);
    world_add_files(w, 4, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_ready(w, 1);
    uint64_t began_ms = w->now_ms;
    world_tick(w, began_ms + BUNDLE_LATE_MS - 1);
    cr_assert(eq(sz, world_asked_count(w, 1), 0));
    world_tick(w, began_ms + BUNDLE_LATE_MS);
    cr_assert(eq(sz, world_asked_count(w, 1), 4));
    cr_assert(eq(sz, world_asked_count(w, 0), 0));
    world_serve_all(w, 1);
    cr_assert(w->is_complete);
    world_free(w);
}

Test(bundle, without_a_stored_file_within_the_timeout_it_ends)
{
    struct world *w = world_new(700);
    world_add_source(w, 1);
    world_add_files(w, 4, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    w->now_ms += 500;
    world_serve(w, 0);
    uint64_t stored_ms = w->now_ms;
    world_tick(w, stored_ms + 699);
    cr_assert(not(w->is_failed));
    world_tick(w, stored_ms + 700);
    cr_assert(w->is_failed);
    cr_assert(not(w->is_complete));
    world_free(w);
}

Test(bundle, time_that_the_disk_takes_is_not_the_sources)
{
    struct world *w = world_new(700);
    world_add_source(w, 1);
    world_add_files(w, 4, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_data(w, world_asked(w, 0));
    world_tick(w, w->now_ms + 60000);
    cr_assert(not(w->is_failed));
    world_stored(w, BUNDLE_STORED_OK);
    world_tick(w, w->now_ms + 699);
    cr_assert(not(w->is_failed));
    world_tick(w, w->now_ms + 1);
    cr_assert(w->is_failed);
    world_free(w);
}

Test(bundle, a_file_that_the_disk_refuses_is_over_and_the_others_go_on)
{
    struct world *w = world_new(0);
    world_add_source(w, 1);
    world_add_files(w, 2, KIB, ALL);
    world_start(w);
    world_ready(w, 0);
    world_data(w, world_asked(w, 0));
    world_stored(w, BUNDLE_STORED_REFUSED);
    cr_assert(eq(sz, w->asked_count, 1));
    world_serve(w, 0);
    cr_assert(w->is_complete);
    cr_assert(eq(u32, world_progress(w).refused_count, 1));
    cr_assert(eq(u64, world_progress(w).download.saved_bytes, KIB));
    world_free(w);
}

Test(bundle, sources_and_files_beyond_the_limits_are_refused)
{
    struct world *w = world_new(0);
    for (unsigned i = 0; i < BUNDLE_SOURCES_MAX; i++)
        cr_assert(eq(u32, world_add_source(w, (uint8_t)(i + 1)), i));
    cr_assert(eq(u32, world_add_source(w, 100), UINT32_MAX));
    world_add_files(w, BUNDLE_FILES_MAX, KIB, 1);
    struct file_id id = world_id(0);
    cr_assert(not(bundle_add_file(w->bundle, &id, KIB, 1)));
    world_free(w);
}

/* Sources that fail at random, on a virtual clock: everything that anyone honest has arrives, once. */
Test(bundle, whatever_fails_every_file_of_an_honest_source_arrives)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct world *w = world_new(0);
        srand(seed);
        for (uint8_t i = 0; i < 4; i++)
            world_add_source(w, (uint8_t)(i + 1));
        for (uint32_t i = 0; i < 300; i++) /* source 0 is honest and has all */
            world_add_files(w, 1, (uint32_t)rand() % BUNDLE_FILE_SIZE_MAX, 1 | ((uint64_t)rand() & 0xe));
        world_start(w);
        for (uint32_t i = 0; i < 4; i++)
            world_ready(w, i);
        for (unsigned step = 0; step < 100000 && !w->is_complete; step++) {
            uint32_t source = (uint32_t)rand() % 4;
            struct asked asked = world_asked(w, source);
            int dice = source == 0 ? 99 : rand() % 100;
            if (w->storing_count > 0 && rand() % 2)
                world_stored(w, w->storing[0].source == 0 || w->storing[0].source == UINT32_MAX || rand() % 50
                                    ? BUNDLE_STORED_OK
                                    : BUNDLE_STORED_MISMATCH);
            else if (asked.file == UINT32_MAX)
                world_tick(w, w->now_ms + (uint64_t)rand() % 2000);
            else if (dice < 10)
                world_error(w, asked, ERROR_CHANGED, 0);
            else if (dice < 15)
                world_error(w, asked, ERROR_LIMIT, 100);
            else if (dice < 16)
                world_connection_lost(w, source);
            else
                world_data(w, asked);
        }
        cr_expect(w->is_complete, "seed %u", seed);
        cr_expect(world_progress(w).stored_count == 300, "seed %u: %u", seed, world_progress(w).stored_count);
        world_free(w);
    }
}
