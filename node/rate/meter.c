/* SPDX-License-Identifier: MIT */
#include "node/rate/meter.h"

/* What a source is taken for before it delivered anything: 100 Mbit/s, so that fast ones are tried soon. */
#define RATE_GUESS (100 * 1000 * 1000 / 8)

void meter_init(struct meter *self, uint64_t now_ms)
{
    *self = (struct meter){.interval_began_ms = now_ms, .round_trip_ms = UINT64_MAX, .is_starting = true};
}

void meter_resumed(struct meter *self, uint64_t now_ms)
{
    self->interval_began_ms = now_ms;
    self->interval_bytes = 0;
}

void meter_delivered(struct meter *self, uint64_t bytes, uint64_t sent_ms, uint64_t now_ms)
{
    uint64_t round_trip_ms = now_ms - sent_ms;
    if (round_trip_ms < self->round_trip_ms)
        self->round_trip_ms = round_trip_ms;
    if (self->is_starting)
        self->startup_bytes += bytes;
    self->interval_bytes += bytes;
    uint64_t elapsed_ms = now_ms - self->interval_began_ms;
    if (elapsed_ms < METER_INTERVAL_MS)
        return;
    uint64_t rate = self->interval_bytes * 1000 / elapsed_ms;
    if (self->rate > 0 && rate < self->rate + self->rate / 4)
        self->is_starting = false;
    /* Rises are believed sooner than falls: a pause of one interval must not starve a source. */
    if (self->rate == 0 || rate > self->rate)
        self->rate = self->rate / 4 + rate * 3 / 4;
    else
        self->rate = self->rate * 3 / 4 + rate / 4;
    if (self->rate == 0)
        self->rate = 1;
    meter_resumed(self, now_ms);
}

uint64_t meter_window(const struct meter *self, uint64_t window_min, uint64_t window_max)
{
    uint64_t window = window_min + self->startup_bytes;
    if (!self->is_starting)
        window = self->rate * (2 * self->round_trip_ms + METER_MARGIN_MS) / 1000;
    else if (self->rate > 0 && window > self->rate)
        window = self->rate; /* of a slow source never more than a second's worth */
    if (window < window_min)
        window = window_min;
    return window < window_max ? window : window_max;
}

uint64_t meter_expected_ms(const struct meter *self, uint64_t bytes)
{
    return bytes * 1000 / (self->rate ? self->rate : RATE_GUESS) + 1;
}
