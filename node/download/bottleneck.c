/* SPDX-License-Identifier: MIT */
#include "node/download/bottleneck.h"

enum bottleneck bottleneck_of(const struct bottleneck_sample *sample)
{
    if (sample->is_limited)
        return BOTTLENECK_LIMIT;
    /* First, for without a processor writing takes long too; who waits for a disk needs none. */
    if (sample->cpu_percent >= BOTTLENECK_CPU_PERCENT)
        return BOTTLENECK_RECEIVER;
    if (sample->backlog_bytes >= BOTTLENECK_BACKLOG_BYTES)
        return sample->write_ns > sample->hash_ns ? BOTTLENECK_DISK : BOTTLENECK_RECEIVER;
    return sample->is_window_full ? BOTTLENECK_WINDOW : BOTTLENECK_SOURCES;
}

void bottleneck_add(struct bottleneck_tally *self, const struct bottleneck_sample *sample)
{
    self->ms[bottleneck_of(sample)] += sample->elapsed_ms;
}

enum bottleneck bottleneck_verdict(const struct bottleneck_tally *self)
{
    enum bottleneck most = BOTTLENECK_SOURCES;
    for (unsigned i = 0; i < BOTTLENECK_COUNT; i++) {
        if (self->ms[i] > self->ms[most])
            most = (enum bottleneck)i;
    }
    return most;
}

unsigned bottleneck_percent(const struct bottleneck_tally *self, enum bottleneck cause)
{
    uint64_t total_ms = 0;
    for (unsigned i = 0; i < BOTTLENECK_COUNT; i++)
        total_ms += self->ms[i];
    return total_ms ? (unsigned)(self->ms[cause] * 100 / total_ms) : 0;
}
