/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a download that the user holds back is blamed on a source, a busy processor is taken
 * for a slow disk, a short spell of one cause beats the one that held most of the time, a division by no
 * time.
 */
#include "node/download/bottleneck.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define BACKLOG BOTTLENECK_BACKLOG_BYTES
#define BUSY    BOTTLENECK_CPU_PERCENT

Test(bottleneck, each_cause_has_its_signs_and_the_nearest_to_us_wins)
{
    static const struct {
        const char *name;
        struct bottleneck_sample sample;
        enum bottleneck expected;
    } rows[] = {
        {"nothing is full", {.elapsed_ms = 1}, BOTTLENECK_SOURCES},
        {"a little waits", {.backlog_bytes = BACKLOG - 1, .write_ns = 2, .hash_ns = 1}, BOTTLENECK_SOURCES},
        {"full windows", {.is_window_full = true}, BOTTLENECK_WINDOW},
        {"writing holds up", {.backlog_bytes = BACKLOG, .write_ns = 2, .hash_ns = 1}, BOTTLENECK_DISK},
        {"hashing holds up", {.backlog_bytes = BACKLOG, .write_ns = 1, .hash_ns = 1}, BOTTLENECK_RECEIVER},
        {"processors almost busy", {.cpu_percent = BUSY - 1}, BOTTLENECK_SOURCES},
        {"processors busy", {.cpu_percent = BUSY}, BOTTLENECK_RECEIVER},
        {"busy before full windows", {.cpu_percent = BUSY, .is_window_full = true}, BOTTLENECK_RECEIVER},
        {"busy processors before slow writing",
         {.backlog_bytes = BACKLOG, .write_ns = 2, .hash_ns = 1, .cpu_percent = BUSY},
         BOTTLENECK_RECEIVER},
        {"a limit before all",
         {.backlog_bytes = BACKLOG,
          .write_ns = 2,
          .hash_ns = 1,
          .cpu_percent = BUSY,
          .is_window_full = true,
          .is_limited = true},
         BOTTLENECK_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect(eq(int, bottleneck_of(&rows[i].sample), rows[i].expected), "row %zu (%s)", i, rows[i].name);
}

Test(bottleneck, the_verdict_is_what_held_longest_not_what_was_seen_most_often)
{
    struct bottleneck_tally tally = {{0}};
    for (int i = 0; i < 3; i++)
        bottleneck_add(&tally, &(struct bottleneck_sample){.elapsed_ms = 100});
    bottleneck_add(&tally, &(struct bottleneck_sample){.elapsed_ms = 700, .is_limited = true});
    cr_assert(eq(int, bottleneck_verdict(&tally), BOTTLENECK_LIMIT));
    cr_assert(eq(uint, bottleneck_percent(&tally, BOTTLENECK_LIMIT), 70));
    cr_assert(eq(uint, bottleneck_percent(&tally, BOTTLENECK_SOURCES), 30));
    cr_assert(eq(uint, bottleneck_percent(&tally, BOTTLENECK_DISK), 0));
}

Test(bottleneck, without_a_sample_it_is_the_sources_for_no_time)
{
    struct bottleneck_tally tally = {{0}};
    cr_assert(eq(int, bottleneck_verdict(&tally), BOTTLENECK_SOURCES));
    cr_assert(eq(uint, bottleneck_percent(&tally, BOTTLENECK_SOURCES), 0));
}
