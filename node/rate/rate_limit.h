/* SPDX-License-Identifier: MIT */
#ifndef NODE_RATE_RATE_LIMIT_H
#define NODE_RATE_RATE_LIMIT_H

/*
 * A token bucket over bytes: at most `rate` a second, with a burst of what flows in RATE_BURST_MS. A single
 * part that is larger than the burst passes when the bucket is full and is paid off afterwards.
 */
#include <stdbool.h>
#include <stdint.h>

#define RATE_BURST_MS 100

struct rate_limit {
    uint64_t rate;  /* bytes a second; 0: no limit */
    int64_t tokens; /* bytes; below 0 while a large part is being paid off */
    uint64_t filled_ms;
};

void rate_limit_init(struct rate_limit *self, uint64_t rate, uint64_t now_ms);

/* From now on; what was spent stays spent. */
void rate_limit_set(struct rate_limit *self, uint64_t rate, uint64_t now_ms);

/* True when something may be sent or asked for now. */
bool rate_limit_allows(struct rate_limit *self, uint64_t now_ms);

/* Pays for what was. Only after rate_limit_allows(). */
void rate_limit_spend(struct rate_limit *self, uint64_t bytes);

/* When rate_limit_allows() will be true; now_ms or earlier if it is. */
uint64_t rate_limit_ready_ms(const struct rate_limit *self);

#endif
