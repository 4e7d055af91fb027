/* SPDX-License-Identifier: MIT */
/* A limit that lets more through than it says, never opens again, or loses what flowed in small steps. */
#include "node/rate/rate_limit.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(rate_limit, none_allows_everything_at_any_time)
{
    struct rate_limit limit;
    rate_limit_init(&limit, 0, 5);
    rate_limit_spend(&limit, UINT32_MAX);
    cr_assert(rate_limit_allows(&limit, 5));
    cr_assert(le(u64, rate_limit_ready_ms(&limit), 5));
}

Test(rate_limit, opens_at_the_millisecond_that_it_tells_and_not_before)
{
    struct rate_limit limit;
    rate_limit_init(&limit, 1000, 0);
    cr_assert(rate_limit_allows(&limit, 0));
    rate_limit_spend(&limit, 1100);
    cr_assert(not(rate_limit_allows(&limit, 0)));
    uint64_t ready_ms = rate_limit_ready_ms(&limit);
    cr_assert(eq(u64, ready_ms, 1000));
    cr_assert(not(rate_limit_allows(&limit, ready_ms - 1)));
    cr_assert(rate_limit_allows(&limit, rate_limit_ready_ms(&limit)));
}

Test(rate_limit, over_a_minute_it_lets_through_rate_and_burst_whatever_the_steps)
{
    for (uint64_t step_ms = 1; step_ms <= RATE_BURST_MS; step_ms += 33) {
        struct rate_limit limit;
        rate_limit_init(&limit, 3000, 0);
        uint64_t sent = 0;
        for (uint64_t now_ms = 0; now_ms < 60000; now_ms += step_ms) {
            while (rate_limit_allows(&limit, now_ms)) {
                rate_limit_spend(&limit, 100);
                sent += 100;
            }
        }
        cr_expect(le(u64, sent, 3000 * 60 + 301 + 100), "step %lu", (unsigned long)step_ms);
        cr_expect(ge(u64, sent, 3000 * 60 * 95 / 100), "step %lu", (unsigned long)step_ms);
    }
}

Test(rate_limit, a_long_pause_gives_a_burst_and_not_a_flood)
{
    struct rate_limit limit;
    rate_limit_init(&limit, 1000, 0);
    rate_limit_spend(&limit, 50);
    cr_assert(rate_limit_allows(&limit, UINT64_C(1) << 40));
    rate_limit_spend(&limit, 101);
    cr_assert(not(rate_limit_allows(&limit, UINT64_C(1) << 40)));
}

Test(rate_limit, a_new_rate_holds_from_now_on_and_forgives_no_debt)
{
    struct rate_limit limit;
    rate_limit_init(&limit, 1000, 0);
    rate_limit_spend(&limit, 1101);
    rate_limit_set(&limit, 100, 500); /* 500 of them are paid by then */
    cr_expect(eq(u64, rate_limit_ready_ms(&limit), 500 + 5010));
    rate_limit_set(&limit, 10000, 500);
    cr_expect(eq(u64, rate_limit_ready_ms(&limit), 500 + 51));
    rate_limit_set(&limit, 0, 501);
    cr_expect(rate_limit_allows(&limit, 501));
    rate_limit_set(&limit, 1000, 600);
    rate_limit_spend(&limit, 102);
    cr_expect(not(rate_limit_allows(&limit, 600)));
}

Test(rate_limit, setting_it_again_and_again_lets_no_more_through)
{
    struct rate_limit limit;
    rate_limit_init(&limit, 3000, 0);
    uint64_t sent = 0;
    for (uint64_t now_ms = 0; now_ms < 60000; now_ms += 10) {
        rate_limit_set(&limit, 3000, now_ms);
        while (rate_limit_allows(&limit, now_ms)) {
            rate_limit_spend(&limit, 100);
            sent += 100;
        }
    }
    cr_expect(le(u64, sent, 3000 * 60 + 301 + 100));
}
