/* SPDX-License-Identifier: MIT */
/* Shares that add up to more than there is, starve one for another, or lose what one does not want. */
#include "node/rate/rate_split.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(rate_split, those_who_take_all_get_the_same)
{
    const uint64_t wants[3] = {RATE_SPLIT_ALL, RATE_SPLIT_ALL, RATE_SPLIT_ALL};
    uint64_t shares[3];
    rate_split(3000, wants, 3, shares);
    for (size_t i = 0; i < 3; i++)
        cr_expect(eq(u64, shares[i], 1000));
}

Test(rate_split, what_one_does_not_want_goes_to_those_who_do)
{
    const uint64_t wants[3] = {100, RATE_SPLIT_ALL, 500};
    uint64_t shares[3];
    rate_split(3000, wants, 3, shares);
    cr_expect(eq(u64, shares[0], 100));
    cr_expect(eq(u64, shares[1], 2400));
    cr_expect(eq(u64, shares[2], 500));
}

Test(rate_split, when_all_have_what_they_want_the_rest_is_spread)
{
    const uint64_t wants[2] = {100, 300};
    uint64_t shares[2];
    rate_split(1000, wants, 2, shares);
    cr_expect(eq(u64, shares[0], 400));
    cr_expect(eq(u64, shares[1], 600));
}

Test(rate_split, one_alone_gets_all)
{
    const uint64_t wants[1] = {5};
    uint64_t shares[1];
    rate_split(UINT64_MAX, wants, 1, shares);
    cr_expect(eq(u64, shares[0], UINT64_MAX));
}

Test(rate_split, nobody_gets_0_which_would_be_no_limit)
{
    const uint64_t wants[3] = {RATE_SPLIT_ALL, RATE_SPLIT_ALL, 0};
    uint64_t shares[3];
    rate_split(1, wants, 3, shares);
    for (size_t i = 0; i < 3; i++)
        cr_expect(eq(u64, shares[i], 1));
}

/* Wants from a small set, all combinations of four. */
Test(rate_split, shares_never_add_up_to_more_than_the_whole_nor_to_much_less)
{
    static const uint64_t choices[] = {0, 1, 7, 999, 1000, 250, RATE_SPLIT_ALL - 1, RATE_SPLIT_ALL};
    enum {
        COUNT = sizeof choices / sizeof choices[0]
    };
    for (size_t n = 0; n < COUNT * COUNT * COUNT * COUNT; n++) {
        const uint64_t wants[4] = {choices[n % COUNT], choices[n / COUNT % COUNT],
                                   choices[n / COUNT / COUNT % COUNT], choices[n / COUNT / COUNT / COUNT]};
        uint64_t shares[4], sum = 0;
        rate_split(1000, wants, 4, shares);
        for (size_t i = 0; i < 4; i++)
            sum += shares[i];
        cr_assert(le(u64, sum, 1000 + 4), "case %zu", n);
        cr_assert(ge(u64, sum, 1000 - 4), "case %zu", n);
    }
}
