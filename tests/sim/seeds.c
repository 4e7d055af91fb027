/* SPDX-License-Identifier: MIT */
#include "tests/sim/seeds.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MS_PER_HOUR 3600000.0

static char repeat[128];

struct totals {
    uint64_t seeds, completed, failed, restarts, pushes, events, virtual_ms;
    size_t effects_max;
};

/* An assert of a core ended the run: say of which. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    ssize_t count = write(STDERR_FILENO, repeat, strlen(repeat));
    (void)count;
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add(struct totals *totals, const struct swarm_script *script, const struct swarm_outcome *outcome)
{
    totals->seeds++;
    for (unsigned k = 0; k < script->download_count; k++) {
        totals->completed += outcome->downloads[k].is_complete;
        totals->failed += outcome->downloads[k].is_failed;
    }
    totals->restarts += outcome->restart_count;
    totals->pushes += outcome->push_count;
    totals->events += outcome->event_count;
    totals->virtual_ms += outcome->ended_ms;
    totals->effects_max =
        outcome->effects_max > totals->effects_max ? outcome->effects_max : totals->effects_max;
}

int seeds_main(int argc, char **argv, const char *program, struct swarm_script (*script_of)(uint64_t seed))
{
    bool is_timed = argc == 4 && strcmp(argv[2], "--seconds") == 0;
    if (argc != 3 && !is_timed) {
        fprintf(stderr, "usage: %s SEED COUNT, or SEED --seconds N\n", program);
        return 2;
    }
    uint64_t first = strtoull(argv[1], NULL, 10);
    uint64_t count = is_timed ? UINT64_MAX : strtoull(argv[2], NULL, 10);
    double began_s = now_s(), seconds = is_timed ? strtod(argv[3], NULL) : 0;
    struct totals totals = {0};
    signal(SIGABRT, on_abort);
    while (totals.seeds < count && (!is_timed || now_s() - began_s < seconds)) {
        uint64_t seed = first + totals.seeds;
        snprintf(repeat, sizeof repeat, "repeat with: %s %" PRIu64 " 1\n", program, seed);
        struct swarm_script script = script_of(seed);
        struct swarm_outcome outcome = swarm_run(&script);
        if (outcome.broken) {
            fprintf(stderr, "seed %" PRIu64 " at %" PRIu64 " ms: %s; %s", seed, outcome.broken_at_ms,
                    outcome.broken, repeat);
            return 1;
        }
        add(&totals, &script, &outcome);
    }
    double took_s = now_s() - began_s;
    printf("%s: %" PRIu64 " seeds (%.0f a second), %.1f simulated hours, %" PRIu64
           " downloads complete, %" PRIu64 " failed as they had to, %" PRIu64 " restarts, %" PRIu64
           " pushes, %" PRIu64 " events, at most %zu effects of one, 0 "
           "violations\n",
           program, totals.seeds, (double)totals.seeds / (took_s > 0 ? took_s : 1),
           (double)totals.virtual_ms / MS_PER_HOUR, totals.completed, totals.failed, totals.restarts,
           totals.pushes, totals.events, totals.effects_max);
    return 0;
}
