/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_RANDOM_H
#define TESTS_SIM_RANDOM_H

/* splitmix64 (Steele, Lea and Flood, 2014): every choice of a run comes from its seed. */

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* [begin, end) */
static inline uint64_t random_between(uint64_t *state, uint64_t begin, uint64_t end)
{
    return begin + random_next(state) % (end - begin);
}

static inline bool random_permille(uint64_t *state, unsigned permille)
{
    return random_next(state) % 1000 < permille;
}

#endif
