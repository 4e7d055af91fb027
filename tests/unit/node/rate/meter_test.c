/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a window stays below what the link needs (each round trip then waits), grows beyond
 * its bounds, or one pause makes a fast source look slow.
 */
#include "node/rate/meter.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define MIB (1u << 20)

/* A link that delivers what is asked, up to `rate`, one round trip later; `ms` of it. */
static uint64_t window_after(struct meter *meter, uint64_t rate, uint64_t round_trip_ms, uint64_t ms)
{
    uint64_t window = 0;
    for (uint64_t now_ms = 0; now_ms <= ms; now_ms += round_trip_ms) {
        window = meter_window(meter, 2 * MIB, 16 * MIB);
        uint64_t carried = rate * round_trip_ms / 1000;
        meter_delivered(meter, window < carried ? window : carried, now_ms, now_ms + round_trip_ms);
    }
    return window;
}

Test(meter, the_window_grows_to_what_the_link_holds)
{
    struct meter meter;
    meter_init(&meter, 0);
    uint64_t rate = 35 * 1000 * 1000, round_trip_ms = 400;
    uint64_t window = window_after(&meter, rate, round_trip_ms, 2400);
    cr_assert(ge(u64, window, rate * round_trip_ms / 1000));
    cr_assert(le(u64, window, 16 * MIB));
}

Test(meter, the_window_of_a_slow_source_is_the_smallest)
{
    struct meter meter;
    meter_init(&meter, 0);
    cr_assert(eq(u64, window_after(&meter, 100 * 1000, 100, 5000), 2 * MIB));
}

Test(meter, the_window_is_never_over_its_upper_bound_even_where_that_is_the_lower_one)
{
    struct meter meter;
    meter_init(&meter, 0);
    cr_assert(eq(u64, meter_window(&meter, 2 * MIB, MIB), MIB));
    meter_delivered(&meter, 2000 * MIB, 0, 1000);
    cr_assert(eq(u64, meter_window(&meter, 2 * MIB, 16 * MIB), 16 * MIB));
}

Test(meter, before_there_is_a_rate_the_window_grows_by_what_came)
{
    struct meter meter;
    meter_init(&meter, 0);
    cr_assert(eq(u64, meter_window(&meter, 2 * MIB, 16 * MIB), 2 * MIB));
    meter_delivered(&meter, 3 * MIB, 0, METER_INTERVAL_MS - 1);
    cr_assert(eq(u64, meter.rate, 0));
    cr_assert(eq(u64, meter_window(&meter, 2 * MIB, 16 * MIB), 5 * MIB));
}

Test(meter, the_window_grows_by_what_came_until_an_interval_is_not_a_quarter_faster)
{
    struct meter meter;
    meter_init(&meter, 0);
    meter_delivered(&meter, MIB, 0, 100);
    meter_delivered(&meter, 2 * MIB, 100, 200);
    cr_assert(meter.is_starting);
    cr_assert(eq(u64, meter_window(&meter, MIB, 64 * MIB), 4 * MIB));
    meter_delivered(&meter, 2 * MIB, 200, 300);
    cr_assert(not(meter.is_starting));
    uint64_t bytes_in_flight = meter.rate * (2 * 100 + METER_MARGIN_MS) / 1000;
    cr_assert(eq(u64, meter_window(&meter, MIB, 64 * MIB), bytes_in_flight));
    meter_delivered(&meter, 20 * MIB, 300, 400); /* later rises show in the rate */
    cr_assert(not(meter.is_starting));
}

Test(meter, a_rate_is_taken_when_its_interval_ends_and_not_before)
{
    struct meter meter;
    meter_init(&meter, 0);
    meter_delivered(&meter, 1000, 0, METER_INTERVAL_MS - 1);
    cr_assert(eq(u64, meter.rate, 0));
    meter_delivered(&meter, 1000, 0, METER_INTERVAL_MS);
    cr_assert(gt(u64, meter.rate, 0));
}

Test(meter, time_without_requests_does_not_lower_the_rate)
{
    struct meter meter;
    meter_init(&meter, 0);
    for (uint64_t ms = 100; ms <= 2000; ms += 100)
        meter_delivered(&meter, 100000, ms - 100, ms);
    uint64_t rate = meter.rate;
    cr_assert(ge(u64, rate, 990000));
    meter_resumed(&meter, 60000);
    meter_delivered(&meter, 100000, 60000, 60100);
    cr_assert(ge(u64, meter.rate, rate - 1));
}

Test(meter, one_slow_interval_takes_a_quarter_at_most)
{
    struct meter meter;
    meter_init(&meter, 0);
    for (uint64_t ms = 100; ms <= 2000; ms += 100)
        meter_delivered(&meter, 100000, ms - 100, ms);
    uint64_t rate = meter.rate;
    meter_delivered(&meter, 0, 2000, 2100);
    cr_assert(eq(u64, meter.rate, rate * 3 / 4));
}

Test(meter, the_rate_of_a_source_that_delivers_nothing_never_becomes_0_again)
{
    struct meter meter;
    meter_init(&meter, 0);
    meter_delivered(&meter, 1, 0, 1000);
    for (uint64_t ms = 2000; ms < 50000; ms += 1000)
        meter_delivered(&meter, 0, ms, ms);
    cr_assert(eq(u64, meter.rate, 1));
    cr_assert(eq(u64, meter_expected_ms(&meter, 1000), 1000001));
}

Test(meter, the_shortest_round_trip_counts)
{
    struct meter meter;
    meter_init(&meter, 0);
    meter_delivered(&meter, 1, 0, 30);
    meter_delivered(&meter, 1, 10, 30);
    meter_delivered(&meter, 1, 0, 90);
    cr_assert(eq(u64, meter.round_trip_ms, 20));
}

Test(meter, an_unknown_source_is_expected_to_have_100_mbit)
{
    struct meter meter;
    meter_init(&meter, 0);
    cr_assert(eq(u64, meter_expected_ms(&meter, 12500000), 1001));
}
