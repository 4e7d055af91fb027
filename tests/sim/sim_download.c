/* SPDX-License-Identifier: MIT */
/*
 * sim_download SEED COUNT: runs COUNT downloads with faults that follow from SEED, SEED + 1, ... and prints
 * how to repeat the first that went wrong. What could go wrong: wrong bytes are kept, an honest source is
 * banned, a download waits for ever or spins, memory grows beyond its budget.
 *
 * CTest runs a few hundred; tests/sim/run takes as long as it is given.
 */
#include "tests/sim/random.h"
#include "tests/sim/seeds.h"
#include "tests/sim/swarm.h"

#define MIB (1u << 20)

static uint64_t any_size(uint64_t *random)
{
    static const uint64_t sizes[] = {0,       1,        16384,         16385,     65536,     65537,     MIB,
                                     5 * MIB, 64 * MIB, 128 * MIB + 1, 256 * MIB, 700 * MIB, 40 * 65536};
    unsigned pick = (unsigned)random_between(random, 0, 40);
    if (pick == 0)
        return UINT64_C(2048) * MIB + 1 + random_between(random, 0, 200 * MIB); /* chunks of 2 MiB */
    if (pick < sizeof sizes / sizeof *sizes)
        return sizes[pick];
    return random_between(random, 0, pick < 36 ? 5 * MIB : 50 * MIB);
}

static struct source_script any_source(uint64_t *random)
{
    struct source_script script = {
        .latency_us = random_between(random, 50, random_permille(random, 200) ? 150000 : 10000),
        .jitter_us = random_between(random, 0, 3000),
        .rate = random_between(random, 200000, random_permille(random, 300) ? 100 * MIB : 5 * MIB),
        .frozen_at_ms = NEVER_MS,
        .bye_at_ms = NEVER_MS,
    };
    return script;
}

static void spoil(struct source_script *script, uint64_t *random)
{
    uint64_t at_ms = 1000 + random_between(random, 0, 5000);
    switch (random_between(random, 0, 18)) {
    case 0:
    case 1:
        script->wrong_bytes_permille = random_permille(random, 500) ? 1000 : 10;
        break;
    case 2:
        script->wrong_range_permille = 100;
        break;
    case 3:
        script->has_wrong_hashes = true;
        break;
    case 4:
        script->has_wrong_layout = true;
        break;
    case 5:
        script->has_wrong_bitfield = true;
        break;
    case 6:
    case 7:
        script->frozen_at_ms = at_ms;
        break;
    case 8:
        script->bye_at_ms = at_ms - 1000;
        break;
    case 9:
        script->is_unreachable = true;
        break;
    case 10:
        script->drop_every_ms = random_between(random, 100, 4000);
        break;
    case 11:
        script->open_error = (uint16_t)random_between(random, 1, 13);
        break;
    case 12:
        script->read_error = (uint16_t)random_between(random, 1, 13);
        break;
    case 13:
    case 14:
        script->is_partial = true;
        script->have_permille = (unsigned)random_between(random, 0, 1000);
        script->growth_ms = random_between(random, 0, 200);
        script->chunk_loss_permille = random_permille(random, 300) ? 20 : 0;
        break;
    case 15:
        script->rate = random_between(random, 40000, 90000);
        break;
    default:
        script->busy_permille = (unsigned)random_between(random, 0, 400);
        script->busy_ms = (uint32_t)random_between(random, 0, 3000);
        break;
    }
}

static struct swarm_script any_script(uint64_t seed)
{
    uint64_t random = seed;
    struct swarm_script script = {
        .seed = seed,
        .size = any_size(&random),
        .source_count = (unsigned)random_between(&random, 1, random_permille(&random, 100) ? 17 : 7),
        .download_count = random_permille(&random, 100) ? (unsigned)random_between(&random, 2, 4) : 1,
        .timeout_ms = 300000,
        .is_in_order = random_permille(&random, 200),
        .disk_us = random_between(&random, 0, random_permille(&random, 100) ? 300000 : 5000),
        .disk_error = random_permille(&random, 20) ? 28 : 0,
    };
    if (random_permille(&random, 200))
        script.budget_bytes = random_between(&random, 4 * MIB, 16 * MIB);
    if (random_permille(&random, 200)) {
        script.claim_permille = (unsigned)random_between(&random, 1, 1001);
        script.wrong_claim_permille = (unsigned)random_between(&random, 0, 300);
    }
    unsigned spoil_permille = (unsigned)random_between(&random, 0, 1001);
    for (unsigned i = 0; i < script.source_count; i++) {
        script.sources[i] = any_source(&random);
        while (random_permille(&random, spoil_permille)) {
            spoil(&script.sources[i], &random);
            if (random_permille(&random, 700))
                break;
        }
    }
    return script;
}

int main(int argc, char **argv)
{
    return seeds_main(argc, argv, "sim_download", any_script);
}
