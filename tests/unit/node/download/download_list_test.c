/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: more run than may; one waits for ever behind another that has no source; a slot is
 * lost or given twice when a download is paused, resumed or cancelled while it ends; a number means two
 * files; a full list refuses although something in it is over; what must be kept for the next start is not
 * told.
 */
#include "tests/unit/node/download/download_list_world.h"

TestSuite(download_list, .init = make_list, .fini = free_list, .timeout = 60);

/* Four that run. */
static void fill_slots(void)
{
    for (uint32_t i = 1; i <= DOWNLOADS_ACTIVE_MAX; i++) {
        cr_assert(eq(u32, add(i), i));
        cr_assert(eq(u32, start(), i));
    }
}

/* Turns. */

Test(download_list, they_start_in_the_order_in_which_they_came_and_no_more_than_may)
{
    for (uint32_t i = 1; i <= DOWNLOADS_ACTIVE_MAX + 2; i++)
        add(i);
    for (uint32_t i = 1; i <= DOWNLOADS_ACTIVE_MAX; i++) {
        cr_expect(eq(u32, start(), i));
        cr_expect(eq(int, state_of(i), DOWNLOADS_ACTIVE));
    }
    cr_expect(eq(u32, start(), 0));
    cr_expect(eq(int, state_of(DOWNLOADS_ACTIVE_MAX + 1), DOWNLOADS_WAITING));
    download_list_done(list, 2, "/x");
    cr_expect(eq(u32, start(), 0), "its slot is not free yet");
    download_list_stopped(list, 2);
    cr_expect(eq(u32, start(), DOWNLOADS_ACTIVE_MAX + 1));
    cr_expect(eq(u32, start(), 0));
}

Test(download_list, one_that_is_resumed_goes_behind_those_that_wait)
{
    fill_slots();
    uint32_t paused = add(10), waiting = add(11);
    cr_assert(download_list_pause(list, paused));
    cr_assert(download_list_resume(list, paused));
    download_list_failed(list, 1, "disk");
    download_list_stopped(list, 1);
    cr_expect(eq(u32, start(), waiting));
}

Test(download_list, a_paused_one_does_not_start)
{
    uint32_t number = add(1);
    cr_assert(download_list_pause(list, number));
    cr_expect(eq(u32, start(), 0));
    cr_assert(download_list_resume(list, number));
    cr_expect(eq(u32, start(), number));
}

Test(download_list, one_that_is_resumed_while_it_ends_starts_again_only_afterwards)
{
    uint32_t number = add(1);
    start();
    download_list_pause(list, number);
    download_list_resume(list, number);
    cr_expect(eq(u32, start(), 0));
    cr_expect(eq(uint, download_list_running_count(list), 1));
    download_list_stopped(list, number);
    cr_expect(eq(u32, start(), number));
    cr_expect(eq(uint, download_list_running_count(list), 1));
}

Test(download_list, one_that_is_cancelled_while_it_runs_keeps_its_slot_until_it_has_ended)
{
    fill_slots();
    uint32_t waiting = add(10);
    cr_assert(download_list_cancel(list, 3));
    cr_expect(download_list_find(list, 3) == NULL);
    cr_expect(eq(u32, start(), 0));
    download_list_stopped(list, 3);
    cr_expect(eq(u32, start(), waiting));
}

/* What a person may do, and when. */

Test(download_list, each_state_allows_what_makes_sense)
{
    static const struct {
        enum downloads_state state;
        bool may_pause, may_resume;
    } rows[] = {
        {DOWNLOADS_WAITING, true, false}, {DOWNLOADS_ACTIVE, true, false}, {DOWNLOADS_PAUSED, false, true},
        {DOWNLOADS_DONE, false, false},   {DOWNLOADS_FAILED, false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned action = 0; action < 3; action++) {
            uint32_t number = add(1);
            if (rows[i].state == DOWNLOADS_ACTIVE)
                start();
            else if (rows[i].state == DOWNLOADS_PAUSED)
                download_list_pause(list, number);
            else if (rows[i].state == DOWNLOADS_DONE)
                download_list_done(list, number, "/x");
            else if (rows[i].state == DOWNLOADS_FAILED)
                download_list_failed(list, number, "why");
            cr_assert(eq(int, state_of(number), rows[i].state));
            if (action == 0)
                cr_expect(eq(int, download_list_pause(list, number), rows[i].may_pause), "row %zu", i);
            else if (action == 1)
                cr_expect(eq(int, download_list_resume(list, number), rows[i].may_resume), "row %zu", i);
            else
                cr_expect(download_list_cancel(list, number), "row %zu", i);
            free_list();
            make_list();
        }
    }
}

Test(download_list, what_is_not_there_can_be_neither_paused_nor_resumed_nor_cancelled)
{
    uint32_t number = add(1);
    download_list_cancel(list, number);
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect(not(download_list_pause(list, i)));
        cr_expect(not(download_list_resume(list, i)));
        cr_expect(not(download_list_cancel(list, i)));
        download_list_done(list, i, "/x");
        download_list_failed(list, i, "why");
        download_list_saved(list, i, 5);
        download_list_starved(list, i, true, 0);
        download_list_offered(list, i, NULL, 0);
    }
    cr_expect(eq(sz, download_list_count(list), 0));
}

Test(download_list, a_number_is_not_used_again)
{
    uint32_t first = add(1);
    download_list_cancel(list, first);
    cr_expect(eq(u32, add(1), first + 1));
}

Test(download_list, what_failed_tells_why_until_it_goes_on)
{
    uint32_t number = add(1);
    start();
    download_list_failed(list, number, "no space");
    cr_expect(eq(str, download_list_find(list, number)->reason, "no space"));
    download_list_resume(list, number);
    cr_expect(download_list_find(list, number)->reason == NULL);
}

Test(download_list, what_is_done_tells_where_it_is_and_has_all_bytes)
{
    uint32_t number = add(1);
    start();
    download_list_saved(list, number, 400);
    cr_expect(eq(u64, download_list_find(list, number)->saved_bytes, 400));
    download_list_done(list, number, "/Download/film (2).mkv");
    cr_expect(eq(str, download_list_find(list, number)->target, "/Download/film (2).mkv"));
    cr_expect(eq(u64, download_list_find(list, number)->saved_bytes, 1000));
}

/* The same file again. */

Test(download_list, a_file_that_is_listed_keeps_its_number_and_gets_the_new_sources)
{
    struct downloads_order order = order_of(1);
    struct downloads_source sources[2] = {{.host = {{1}}, .port = 1}, {.host = {{2}}, .port = 2}};
    uint32_t number = 0, again = 0;
    order.sources = sources;
    order.source_count = 1;
    order.has_only_these = true;
    download_list_add(list, &order, &number);
    order.source_count = 2;
    cr_expect(eq(int, download_list_add(list, &order, &again), DOWNLOADS_THERE_ALREADY));
    cr_expect(eq(u32, again, number));
    cr_expect(eq(sz, download_list_count(list), 1));
    cr_expect(eq(sz, download_list_find(list, number)->source_count, 2), "the first one is not there twice");
    cr_expect(download_list_find(list, number)->has_only_these);
    order.has_only_these = false;
    download_list_add(list, &order, &again);
    cr_expect(not(download_list_find(list, number)->has_only_these));
}

Test(download_list, asking_again_resumes_what_was_paused_or_failed)
{
    struct downloads_order order = order_of(1);
    uint32_t number = add(1), again;
    download_list_pause(list, number);
    cr_expect(eq(int, download_list_add(list, &order, &again), DOWNLOADS_THERE_ALREADY));
    cr_expect(eq(int, state_of(number), DOWNLOADS_WAITING));
    download_list_failed(list, number, "why");
    download_list_add(list, &order, &again);
    cr_expect(eq(int, state_of(number), DOWNLOADS_WAITING));
}

Test(download_list, a_file_that_is_done_can_be_fetched_again)
{
    struct downloads_order order = order_of(1);
    uint32_t number = add(1), again = 0;
    download_list_done(list, number, "/x");
    cr_expect(eq(int, download_list_add(list, &order, &again), DOWNLOADS_OK));
    cr_expect(ne(u32, again, number));
    cr_expect(eq(sz, download_list_count(list), 1));
    cr_expect(eq(u32, start(), again));
}

Test(download_list, more_sources_than_are_kept_are_left_out)
{
    struct downloads_source sources[DOWNLOADS_SOURCES_MAX + 1] = {0};
    struct downloads_order order = order_of(1);
    uint32_t number;
    for (uint16_t i = 0; i <= DOWNLOADS_SOURCES_MAX; i++)
        sources[i].port = (uint16_t)(i + 1);
    order.sources = sources;
    order.source_count = DOWNLOADS_SOURCES_MAX + 1;
    download_list_add(list, &order, &number);
    cr_expect(eq(sz, download_list_find(list, number)->source_count, DOWNLOADS_SOURCES_MAX));
}

Test(download_list, the_name_is_a_copy)
{
    char name[] = "film.mkv";
    struct downloads_order order = order_of(1);
    uint32_t number;
    order.file.name = text_of(name);
    download_list_add(list, &order, &number);
    name[0] = 'X';
    cr_expect(text_equal(download_list_find(list, number)->file.name, text_of("film.mkv")));
}

/* Without a source. */

Test(download_list, one_without_a_source_keeps_its_slot_while_nobody_waits)
{
    fill_slots();
    download_list_starved(list, 1, true, 5000);
    cr_expect(eq(u64, download_list_next_deadline_ms(list, now_ms), UINT64_MAX));
    cr_expect(eq(u32, download_list_yield(list, UINT64_MAX), 0));
}

Test(download_list, it_makes_room_after_its_time_and_not_before_and_goes_behind)
{
    fill_slots();
    uint32_t waiting = add(10);
    download_list_starved(list, 2, true, 5000);
    download_list_starved(list, 2, true, 9000); /* still */
    cr_expect(eq(u64, download_list_next_deadline_ms(list, now_ms), 5000 + DOWNLOADS_STARVED_MS));
    cr_expect(eq(u32, download_list_yield(list, 5000 + DOWNLOADS_STARVED_MS - 1), 0));
    cr_expect(eq(u32, download_list_yield(list, 5000 + DOWNLOADS_STARVED_MS), 2));
    cr_expect(eq(int, state_of(2), DOWNLOADS_WAITING));
    download_list_stopped(list, 2);
    cr_expect(eq(u32, start(), waiting));
    download_list_done(list, waiting, "/x");
    download_list_stopped(list, waiting);
    cr_expect(eq(u32, start(), 2));
}

Test(download_list, a_source_that_came_in_time_saves_its_slot)
{
    fill_slots();
    add(10);
    download_list_starved(list, 2, true, 0);
    download_list_starved(list, 2, false, DOWNLOADS_STARVED_MS - 1);
    cr_expect(eq(u32, download_list_yield(list, UINT64_MAX - 1), 0));
    download_list_starved(list, 2, true, DOWNLOADS_STARVED_MS);
    cr_expect(eq(u32, download_list_yield(list, DOWNLOADS_STARVED_MS + 1), 0), "it begins anew");
}

Test(download_list, the_one_that_starves_longest_goes_and_only_one_for_each_slot)
{
    fill_slots();
    add(10);
    download_list_starved(list, 3, true, 100);
    download_list_starved(list, 1, true, 200);
    cr_expect(eq(u32, download_list_yield(list, 100000), 3));
    cr_expect(eq(u32, download_list_yield(list, 100000), 0), "there is room as soon as it has ended");
}

Test(download_list, all_of_many_without_a_source_get_their_turn)
{
    bool had_turn[3 * DOWNLOADS_ACTIVE_MAX + 1] = {false};
    for (uint32_t i = 1; i <= 3 * DOWNLOADS_ACTIVE_MAX; i++)
        add(i);
    for (now_ms = 0; now_ms <= 5 * DOWNLOADS_STARVED_MS; now_ms += 1000) {
        uint32_t number;
        while ((number = download_list_yield(list, now_ms)) != 0)
            download_list_stopped(list, number);
        while ((number = start()) != 0) {
            had_turn[number] = true;
            download_list_starved(list, number, true, now_ms);
        }
    }
    for (uint32_t i = 1; i <= 3 * DOWNLOADS_ACTIVE_MAX; i++)
        cr_expect(had_turn[i], "download %u", i);
}

/* Room. */

Test(download_list, a_full_list_refuses_while_nothing_is_over)
{
    for (uint32_t i = 1; i <= DOWNLOADS_MAX; i++)
        add(i);
    struct downloads_order order = order_of(DOWNLOADS_MAX + 1);
    uint32_t number = 77;
    cr_expect(eq(int, download_list_add(list, &order, &number), DOWNLOADS_FULL));
    cr_expect(eq(u32, number, 77));
    order = order_of(5);
    cr_expect(eq(int, download_list_add(list, &order, &number), DOWNLOADS_THERE_ALREADY));
}

Test(download_list, the_oldest_that_is_over_makes_room)
{
    for (uint32_t i = 1; i <= DOWNLOADS_MAX; i++)
        add(i);
    download_list_done(list, 700, "/x");
    download_list_failed(list, 300, "why");
    add(DOWNLOADS_MAX + 1);
    cr_expect(download_list_find(list, 300) == NULL);
    cr_expect(download_list_find(list, 700) != NULL);
    cr_expect(eq(sz, download_list_count(list), DOWNLOADS_MAX));
    cr_expect(eq(u32, download_list_at(list, DOWNLOADS_MAX - 1)->number, DOWNLOADS_MAX + 1));
}

/* What must be kept. */

Test(download_list, every_change_that_must_be_kept_is_told_and_no_other)
{
    uint64_t before = download_list_generation(list);
    uint32_t number = add(1);
    cr_expect(ne(u64, download_list_generation(list), before));
    before = download_list_generation(list);
    start();
    download_list_saved(list, number, 10);
    download_list_starved(list, number, true, 5);
    cr_expect(eq(u64, download_list_generation(list), before));
    download_list_pause(list, number);
    cr_expect(ne(u64, download_list_generation(list), before));
    before = download_list_generation(list);
    download_list_resume(list, number);
    cr_expect(ne(u64, download_list_generation(list), before));
    before = download_list_generation(list);
    download_list_done(list, number, "/x");
    cr_expect(ne(u64, download_list_generation(list), before));
    before = download_list_generation(list);
    download_list_cancel(list, number);
    cr_expect(ne(u64, download_list_generation(list), before));
}
