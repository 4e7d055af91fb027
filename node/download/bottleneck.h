/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_BOTTLENECK_H
#define NODE_DOWNLOAD_BOTTLENECK_H

/*
 * Why a download is as fast as it is. Samples of its state are sorted into causes; the one that held for the
 * longest time is the verdict.
 */
#include <stdbool.h>
#include <stdint.h>

enum bottleneck {
    BOTTLENECK_SOURCES,  /* asked for all they may be asked for, and waited */
    BOTTLENECK_WINDOW,   /* sources delivered a full window a round trip, and more was not allowed */
    BOTTLENECK_RECEIVER, /* our own processors */
    BOTTLENECK_DISK,     /* writing */
    BOTTLENECK_LIMIT,    /* --down */
    BOTTLENECK_COUNT,
};

/* More than this waiting to be hashed and written: it comes in faster than it is worked off. */
#define BOTTLENECK_BACKLOG_BYTES (6u * 1024 * 1024)

/* Of all processors that we may use, in percent: beyond this they are what bounds. */
#define BOTTLENECK_CPU_PERCENT 85

/* What happened since the last sample. */
struct bottleneck_sample {
    uint64_t elapsed_ms;
    uint64_t backlog_bytes;     /* received and not yet written, now */
    uint64_t hash_ns, write_ns; /* spent by all workers */
    unsigned cpu_percent;       /* of all processors that we may use: what we had, and what we waited for */
    bool is_window_full;        /* every ready source has a full window that may not grow */
    bool is_limited;            /* a rate limit holds back READs */
};

struct bottleneck_tally {
    uint64_t ms[BOTTLENECK_COUNT];
};

enum bottleneck bottleneck_of(const struct bottleneck_sample *sample);
void bottleneck_add(struct bottleneck_tally *self, const struct bottleneck_sample *sample);

/* The cause of most of the time. */
enum bottleneck bottleneck_verdict(const struct bottleneck_tally *self);
unsigned bottleneck_percent(const struct bottleneck_tally *self, enum bottleneck cause);

#endif
