/* SPDX-License-Identifier: MIT */
#ifndef NODE_RATE_RATE_SPLIT_H
#define NODE_RATE_RATE_SPLIT_H

/*
 * One rate for several: nobody gets more than he wants as long as another lacks some, and those who lack some
 * get the same (max-min fairness). What nobody wants goes to all alike, for whoever can use it at once. The
 * shares never add up to more than the whole, but for the 1 that each gets at least.
 */
#include <stddef.h>
#include <stdint.h>

/* A want of one that takes what it gets. */
#define RATE_SPLIT_ALL UINT64_MAX

/* Bytes a second; total > 0. */
void rate_split(uint64_t total, const uint64_t *wants, size_t count, uint64_t *ret_shares);

#endif
