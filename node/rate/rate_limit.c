/* SPDX-License-Identifier: MIT */
#include "node/rate/rate_limit.h"

static int64_t burst_of(const struct rate_limit *self)
{
    return (int64_t)(self->rate * RATE_BURST_MS / 1000) + 1;
}

void rate_limit_init(struct rate_limit *self, uint64_t rate, uint64_t now_ms)
{
    *self = (struct rate_limit){.rate = rate, .filled_ms = now_ms};
    self->tokens = burst_of(self);
}

static void fill(struct rate_limit *self, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - self->filled_ms;
    uint64_t flowed = self->rate * (elapsed_ms < 60000 ? elapsed_ms : 60000) / 1000;
    if (flowed == 0)
        return; /* parts of a byte are kept as time */
    self->tokens += (int64_t)flowed;
    self->filled_ms = now_ms;
    if (self->tokens > burst_of(self))
        self->tokens = burst_of(self);
}

void rate_limit_set(struct rate_limit *self, uint64_t rate, uint64_t now_ms)
{
    bool was_limited = self->rate > 0;
    if (was_limited)
        fill(self, now_ms);
    self->rate = rate;
    self->filled_ms = now_ms;
    if (!was_limited || self->tokens > burst_of(self))
        self->tokens = burst_of(self);
}

bool rate_limit_allows(struct rate_limit *self, uint64_t now_ms)
{
    if (self->rate == 0)
        return true;
    fill(self, now_ms);
    return self->tokens > 0;
}

void rate_limit_spend(struct rate_limit *self, uint64_t bytes)
{
    if (self->rate > 0)
        self->tokens -= (int64_t)bytes;
}

uint64_t rate_limit_ready_ms(const struct rate_limit *self)
{
    if (self->rate == 0 || self->tokens > 0)
        return self->filled_ms;
    uint64_t missing = (uint64_t)(1 - self->tokens);
    return self->filled_ms + (missing * 1000 + self->rate - 1) / self->rate;
}
