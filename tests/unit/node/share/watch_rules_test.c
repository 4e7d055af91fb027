/* SPDX-License-Identifier: MIT */
/*
 * The rules of looking, on a virtual clock. What could go wrong: a file that never stops changing is never
 * looked at, or all the time; a removal waits behind a pause; a burst costs memory without end; an event is
 * forgotten.
 */
#include "node/share/watch_rules.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct watch_rules *rules;
static struct watch_place places[WATCH_PLACES_MAX];
static size_t place_count;

static void release(void)
{
    for (size_t i = 0; i < place_count; i++) {
        free(places[i].path);
        free(places[i].name);
    }
    place_count = 0;
}

static void begin(void)
{
    rules = watch_rules_new();
}

static void end(void)
{
    release();
    watch_rules_destroy(&rules);
}

TestSuite(watch_rules, .init = begin, .fini = end);

static void changed(const char *folder, const char *base, uint64_t now_ms)
{
    watch_rules_on_event(rules, WATCH_CHANGED, 3, folder, folder, base, now_ms);
}

static void finished(const char *folder, const char *base, uint64_t now_ms)
{
    watch_rules_on_event(rules, WATCH_FINISHED, 3, folder, folder, base, now_ms);
}

static size_t take(uint64_t now_ms)
{
    release();
    place_count = watch_rules_take(rules, now_ms, places, WATCH_PLACES_MAX);
    return place_count;
}

Test(watch_rules, burst_becomes_one_look_at_its_last_millisecond_and_not_before)
{
    cr_expect(eq(u64, watch_rules_next_ms(rules), UINT64_MAX));
    for (uint64_t now_ms = 1000; now_ms < 1000 + WATCH_BURST_MS; now_ms++)
        changed("d", "f", now_ms);
    cr_expect(eq(u64, watch_rules_next_ms(rules), 1000 + WATCH_BURST_MS));
    cr_expect(eq(sz, take(1000 + WATCH_BURST_MS - 1), 0));
    cr_assert(eq(sz, take(1000 + WATCH_BURST_MS), 1));
    cr_expect(eq(u32, places[0].share, 3));
    cr_expect(eq(str, places[0].name, "d/f"));
    cr_expect(eq(str, places[0].path, "d/f"));
    cr_expect(eq(u64, watch_rules_next_ms(rules), UINT64_MAX));
}

Test(watch_rules, places_have_the_path_and_the_name_of_their_folder)
{
    watch_rules_on_event(rules, WATCH_CHANGED, 0, "real", "link/to", "f", 0);
    watch_rules_on_event(rules, WATCH_CHANGED, 1, "", "", "f", 0);
    watch_rules_on_event(rules, WATCH_CHANGED, 2, "", "", "", 0);
    cr_assert(eq(sz, take(WATCH_BURST_MS), 3));
    cr_expect(eq(str, places[0].path, "real/f"));
    cr_expect(eq(str, places[0].name, "link/to/f"));
    cr_expect(eq(str, places[1].name, "f"));
    cr_expect(eq(str, places[2].name, ""));
}

Test(watch_rules, file_that_is_written_all_the_time_is_looked_at_once_in_a_while)
{
    size_t looks = 0;
    for (uint64_t now_ms = 0; now_ms < 10 * WATCH_FILE_MS; now_ms++) {
        changed("d", "f", now_ms);
        looks += take(now_ms);
    }
    cr_expect(eq(sz, looks, 10));
}

Test(watch_rules, removal_is_looked_at_soon_even_if_the_file_changed_a_moment_ago)
{
    changed("", "f", 0);
    cr_assert(eq(sz, take(WATCH_BURST_MS), 1));
    changed("", "f", 30);
    cr_expect(eq(u64, watch_rules_next_ms(rules), WATCH_BURST_MS + WATCH_FILE_MS));
    finished("", "f", 31);
    cr_expect(eq(u64, watch_rules_next_ms(rules), 31 + WATCH_BURST_MS));
    cr_assert(eq(sz, take(31 + WATCH_BURST_MS), 1));
}

Test(watch_rules, opening_and_closing_all_the_time_hurries_nobody_twice)
{
    size_t looks = 0;
    for (uint64_t now_ms = 0; now_ms < 10 * WATCH_FILE_MS; now_ms++) {
        finished("", "f", now_ms);
        looks += take(now_ms);
    }
    cr_expect(le(sz, looks, 12));
}

Test(watch_rules, change_after_a_look_is_never_forgotten)
{
    changed("", "f", 0);
    take(WATCH_BURST_MS);
    changed("", "f", WATCH_BURST_MS);
    cr_expect(eq(sz, take(WATCH_BURST_MS + WATCH_FILE_MS - 1), 0));
    cr_expect(eq(sz, take(WATCH_BURST_MS + WATCH_FILE_MS), 1));
    changed("", "f", 100000);
    cr_expect(eq(sz, take(100000 + WATCH_BURST_MS), 1), "it was quiet in between");
}

static void change_many(const char *folder, size_t count, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        char base[24];
        snprintf(base, sizeof base, "%zu", i);
        changed(folder, base, now_ms);
    }
}

Test(watch_rules, many_names_in_one_folder_become_a_look_at_the_folder)
{
    change_many("d", WATCH_NAMES_MAX, 0);
    changed("e", "x", 0);
    cr_expect(eq(sz, take(WATCH_BURST_MS), WATCH_NAMES_MAX + 1));
    change_many("d", WATCH_NAMES_MAX + 1, 5000);
    cr_assert(eq(sz, take(5000 + WATCH_BURST_MS), 1));
    cr_expect(eq(str, places[0].name, "d"));
    change_many("d", 3, 5100);
    cr_expect(eq(u64, watch_rules_next_ms(rules), 5000 + WATCH_BURST_MS + WATCH_FOLDER_MS),
              "it has just been read as a whole");
}

Test(watch_rules, what_does_not_fit_stays_due)
{
    change_many("d", 10, 0);
    release();
    place_count = watch_rules_take(rules, WATCH_BURST_MS, places, 4);
    cr_expect(eq(sz, place_count, 4));
    cr_expect(le(u64, watch_rules_next_ms(rules), WATCH_BURST_MS));
    cr_expect(eq(sz, take(WATCH_BURST_MS), 6));
}

Test(watch_rules, too_many_places_become_one_scan_of_everything)
{
    char folder[16];
    for (int i = 0; i < WATCH_PLACES_MAX / 2; i++) {
        snprintf(folder, sizeof folder, "%d", i);
        changed(folder, "f", 0);
    }
    cr_expect(not(watch_rules_take_overflow(rules)));
    changed("one more", "f", 0);
    cr_expect(watch_rules_take_overflow(rules));
    cr_expect(not(watch_rules_take_overflow(rules)));
    cr_expect(eq(sz, take(100000), 0));
    changed("d", "f", 100000);
    cr_expect(eq(sz, take(100000 + WATCH_BURST_MS), 1), "and it goes on");
}

Test(watch_rules, places_that_are_quiet_again_make_room)
{
    char folder[16];
    for (uint64_t i = 0; i < 3 * WATCH_PLACES_MAX; i++) {
        snprintf(folder, sizeof folder, "%d", (int)i);
        changed(folder, "f", i * 10);
        take(i * 10);
    }
    cr_expect(not(watch_rules_take_overflow(rules)));
}

Test(watch_rules, lost_events_are_told_once_and_drop_what_was_pending)
{
    changed("d", "f", 0);
    watch_rules_on_overflow(rules);
    cr_expect(eq(sz, take(1000), 0));
    cr_expect(watch_rules_take_overflow(rules));
    cr_expect(not(watch_rules_take_overflow(rules)));
}

Test(watch_rules, file_is_quiet_at_its_last_millisecond_and_not_before)
{
    const uint64_t ms = 1000000;
    struct file_stamp stamp = {.ctime_ns = 5000 * ms, .mtime_ns = 9000 * ms};
    cr_expect(eq(u64, watch_quiet_ms(&stamp, 5000 * ms), WATCH_QUIET_MS));
    cr_expect(eq(u64, watch_quiet_ms(&stamp, (5000 + WATCH_QUIET_MS - 1) * ms), 1));
    cr_expect(eq(u64, watch_quiet_ms(&stamp, (5000 + WATCH_QUIET_MS) * ms), 0));
    cr_expect(eq(u64, watch_quiet_ms(&stamp, 4000 * ms), WATCH_QUIET_MS), "a clock that runs ahead");
}
