/* SPDX-License-Identifier: MIT */
#ifndef NODE_RATE_METER_H
#define NODE_RATE_METER_H

/*
 * How fast a source delivers, and so how much may be asked of it at once.
 *
 * At first the window grows by all that is delivered, as in TCP's slow start, until an interval is not a
 * quarter faster than the one before, which is how BBR ends it. Then it is rate times twice the shortest
 * round trip plus a margin: twice, so that a source that is held back by its window shows it by delivering a
 * full window per round trip and gets a larger one, until the link or the source is what bounds it.
 */

#include <stdbool.h>
#include <stdint.h>

/* Rates are taken over at least this: clocks have 1 ms, READs take about as long. */
#define METER_INTERVAL_MS 100

/* Covers the time that a source's disk and our workers take now and then. */
#define METER_MARGIN_MS 100

struct meter {
    uint64_t interval_began_ms;
    uint64_t interval_bytes;
    uint64_t rate;          /* bytes a second, smoothed; 0 until the first interval ended */
    uint64_t round_trip_ms; /* shortest seen; UINT64_MAX until the first */
    uint64_t startup_bytes; /* delivered while starting */
    bool is_starting;       /* the rate still rises */
};

void meter_init(struct meter *self, uint64_t now_ms);

/* Requests go out after nothing was outstanding: time without requests is not time that the source needed. */
void meter_resumed(struct meter *self, uint64_t now_ms);

/* `bytes` came that had been asked for at sent_ms. */
void meter_delivered(struct meter *self, uint64_t bytes, uint64_t sent_ms, uint64_t now_ms);

/* Bytes that may be outstanding: at least window_min, at most window_max, which is stronger. */
uint64_t meter_window(const struct meter *self, uint64_t window_min, uint64_t window_max);

/* How long `bytes` would take, in ms; a guess while there is no rate. */
uint64_t meter_expected_ms(const struct meter *self, uint64_t bytes);

#endif
