/* SPDX-License-Identifier: MIT */
#include "node/rate/rate_split.h"

#include <assert.h>

/* The smallest want above `from`. */
static uint64_t next_want(const uint64_t *wants, size_t count, uint64_t from)
{
    uint64_t next = RATE_SPLIT_ALL;
    for (size_t i = 0; i < count; i++) {
        if (wants[i] > from && wants[i] < next)
            next = wants[i];
    }
    return next;
}

/* All shares rise together; each stops at its want. */
void rate_split(uint64_t total, const uint64_t *wants, size_t count, uint64_t *ret_shares)
{
    assert(total > 0);
    uint64_t level = 0, left = total;
    size_t lacking = count;
    while (lacking > 0) {
        lacking = 0;
        for (size_t i = 0; i < count; i++)
            lacking += wants[i] > level;
        if (lacking == 0)
            break;
        uint64_t step = next_want(wants, count, level) - level;
        if (step > left / lacking) {
            level += left / lacking;
            left = 0;
            break;
        }
        level += step;
        left -= step * lacking;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t share = (wants[i] < level ? wants[i] : level) + left / count;
        ret_shares[i] = share > 0 ? share : 1;
    }
}
