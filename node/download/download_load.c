/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

/* A source that delivers this part of its largest window in each round trip is held back by the window. */
#define FULL_WINDOW_PERCENT 70

static bool is_held_back(const struct source *source)
{
    if (source->meter.rate == 0 || source->inflight_bytes + BLOCK_SIZE <= source->window_max)
        return false;
    uint64_t a_round_trip = source->meter.rate * source->meter.round_trip_ms / 1000;
    return a_round_trip >= (uint64_t)source->window_max * FULL_WINDOW_PERCENT / 100;
}

struct download_load download_load(const struct download *self)
{
    struct download_load load = {.backlog_bytes = self->processing_bytes, .is_limited = self->is_limited};
    uint32_t held_back_count = 0, ready_count = 0;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        if (self->sources[i].state != SOURCE_READY)
            continue;
        ready_count++;
        held_back_count += is_held_back(&self->sources[i]);
    }
    load.is_window_full = ready_count > 0 && held_back_count == ready_count;
    return load;
}
