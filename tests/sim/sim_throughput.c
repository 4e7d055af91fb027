/* SPDX-License-Identifier: MIT */
/*
 * How long downloads take in virtual time, beside what the links could carry at best. What could go wrong: a
 * window too small for its link, a slow source that holds up the end, the same bytes fetched twice. Prints a
 * table; a row over its limits fails the run.
 */
#include "tests/sim/swarm.h"

#include <stdio.h>

#define MIB (1u << 20)
#define MB  1000000u
#define KB  1000u

struct scenario {
    const char *name;
    uint64_t size;
    uint64_t latency_us; /* one way, of every source */
    struct {
        unsigned count;
        uint64_t rate;
    } groups[3];
    unsigned frozen_count; /* so many of the last sources freeze when half has come */
    unsigned percent_max;  /* of the best possible time */
    uint64_t extra_ms_max; /* on top of that: greeting, the layer, slow start, a stall */
    unsigned waste_permille_max;
};

static const struct scenario scenarios[] = {
    {"one source, 0.2 ms", 512 * MIB, 100, {{1, 100 * MB}}, 0, 101, 50, 0},
    {"one source, 60 ms round trip", 512 * MIB, 30000, {{1, 100 * MB}}, 0, 101, 600, 0},
    {"one slow source", 16 * MIB, 5000, {{1, 200 * KB}}, 0, 101, 300, 0},
    {"four equal, 0.2 ms", 512 * MIB, 100, {{4, 25 * MB}}, 0, 103, 100, 10},
    {"four equal, 40 ms round trip", 512 * MIB, 20000, {{4, 25 * MB}}, 0, 105, 300, 10},
    {"four equal and slow", 32 * MIB, 5000, {{4, 500 * KB}}, 0, 105, 500, 10},
    {"sixteen equal", 512 * MIB, 1000, {{16, 10 * MB}}, 0, 105, 200, 10},
    {"rates of one to twenty", 256 * MIB, 1000, {{2, 1 * MB}, {2, 5 * MB}, {2, 20 * MB}}, 0, 105, 300, 10},
    {"three fast and one slow", 256 * MIB, 1000, {{3, 10 * MB}, {1, 50 * KB}}, 0, 103, 300, 10},
    {"one fast and three slow", 256 * MIB, 10000, {{1, 20 * MB}, {3, 20 * KB}}, 0, 103, 300, 10},
    {"a small file, one of four slow", 5 * MIB, 1000, {{3, 10 * MB}, {1, 50 * KB}}, 0, 110, 400, 300},
    {"one of four freezes", 256 * MIB, 1000, {{4, 10 * MB}}, 1, 125, 6000, 10},
    {"three of four fast ones freeze", 2000ull * MIB, 10000, {{4, 100 * MB}}, 3, 250, 7000, 10},
    {"chunks of 4 MiB, four equal", 6000ull * MIB, 1000, {{4, 100 * MB}}, 0, 103, 200, 10},
    {"chunks of 4 MiB, one of four slow",
     6000ull * MIB,
     1000,
     {{3, 100 * MB}, {1, 500 * KB}},
     0,
     103,
     500,
     10},
};

static struct swarm_script script_of(const struct scenario *scenario, uint64_t *ret_rate)
{
    struct swarm_script script = {
        .seed = 7, .size = scenario->size, .download_count = 1, .timeout_ms = 60000, .disk_us = 3000};
    *ret_rate = 0;
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < scenario->groups[i].count; k++) {
            script.sources[script.source_count++] = (struct source_script){
                .latency_us = scenario->latency_us,
                .rate = scenario->groups[i].rate,
                .frozen_at_ms = NEVER_MS,
                .bye_at_ms = NEVER_MS,
            };
            *ret_rate += scenario->groups[i].rate;
        }
    }
    for (unsigned i = 0; i < scenario->frozen_count; i++)
        script.sources[script.source_count - 1 - i].frozen_at_ms =
            1000 + scenario->size / 2 * 1000 / *ret_rate;
    return script;
}

static bool run(const struct scenario *scenario)
{
    uint64_t rate;
    struct swarm_script script = script_of(scenario, &rate);
    struct swarm_outcome outcome = swarm_run(&script);
    uint64_t best_ms = scenario->size * 1000 / rate;
    uint64_t took_ms = outcome.downloads[0].ended_ms - 1000; /* the clock begins at 1 s */
    uint64_t received = outcome.downloads[0].received_bytes;
    double waste_permille = 1000.0 * (double)received / (double)scenario->size - 1000;
    bool is_good = !outcome.broken && outcome.downloads[0].is_complete &&
                   took_ms <= best_ms * scenario->percent_max / 100 + scenario->extra_ms_max &&
                   waste_permille <= scenario->waste_permille_max;
    printf("%-34s best %6lu ms, took %6lu ms (%5.1f %%), fetched twice %5.1f permille%s%s\n", scenario->name,
           (unsigned long)best_ms, (unsigned long)took_ms, 100.0 * (double)took_ms / (double)best_ms,
           waste_permille, is_good ? "" : "  OVER ITS LIMIT ", outcome.broken ? outcome.broken : "");
    return is_good;
}

int main(void)
{
    bool is_good = true;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        is_good &= run(&scenarios[i]);
    return is_good ? 0 : 1;
}
