/* SPDX-License-Identifier: MIT */
/*
 * sim_crowd SEED COUNT: thirty nodes and one file, with faults that follow from SEED, SEED + 1, ...: some
 * hold it, some fetch it and serve each other what they have, some push it, some lie. They stall, leave, are
 * killed and come back, lose what was not synced; their disks fail. Nodes of ours run the cores that znode
 * and zget run.
 *
 * What could go wrong: wrong bytes are kept, an honest node is banned, a node sends what it does not have or
 * holds more than it may, a download waits for ever or spins, or fails although somebody has it all.
 */
#include "tests/sim/random.h"
#include "tests/sim/seeds.h"
#include "tests/sim/swarm.h"

#define MIB            (1u << 20)
#define NODES          30
#define DOWNLOADS_MIN  4
#define RESTART_MS_MIN 400
#define RESTART_MS_MAX 6000

static struct source_script any_node(uint64_t *random)
{
    return (struct source_script){
        .is_node = true,
        .latency_us = random_between(random, 50, random_permille(random, 200) ? 100000 : 5000),
        .jitter_us = random_between(random, 0, 3000),
        .rate = random_between(random, 200000, random_permille(random, 300) ? 50 * MIB : 3 * MIB),
        .frozen_at_ms = NEVER_MS,
        .bye_at_ms = NEVER_MS,
    };
}

/* What can happen to any node. */
static void trouble(struct source_script *script, uint64_t *random)
{
    switch (random_between(random, 0, 6)) {
    case 0:
        script->drop_every_ms = random_between(random, 100, 4000);
        break;
    case 1:
        script->frozen_at_ms = random_between(random, 1000, 8000);
        break;
    case 2:
        script->unreadable_permille = (unsigned)random_between(random, 1, 300);
        break;
    case 3:
        script->rate = random_between(random, 20000, 90000);
        break;
    default:
        script->restart_every_ms = random_between(random, RESTART_MS_MIN, RESTART_MS_MAX);
        script->away_ms = random_between(random, 0, 5000);
        break;
    }
}

/* What only strangers and broken disks do. */
static void lie(struct source_script *script, uint64_t *random)
{
    switch (random_between(random, 0, 7)) {
    case 0:
    case 1:
        script->wrong_bytes_permille = random_permille(random, 500) ? 1000 : 10;
        break;
    case 2:
        script->changed_permille = (unsigned)random_between(random, 1, 100);
        break;
    case 3:
        script->is_node = false;
        script->has_wrong_hashes = true;
        break;
    case 4:
        script->is_node = false;
        script->wrong_range_permille = 100;
        break;
    case 5:
        script->is_node = false;
        script->busy_permille = (unsigned)random_between(random, 1, 1000);
        script->busy_ms = (uint32_t)random_between(random, 0, 3000);
        break;
    default:
        script->is_node = false;
        script->read_error = (uint16_t)random_between(random, 1, 13);
        break;
    }
}

static struct swarm_script any_script(uint64_t seed)
{
    uint64_t random = seed;
    struct swarm_script script = {
        .seed = seed,
        .size = random_between(&random, 0, random_permille(&random, 100) ? 12 * MIB : 3 * MIB),
        .source_count = NODES,
        .download_count = (unsigned)random_between(&random, DOWNLOADS_MIN, SWARM_DOWNLOADS_MAX + 1),
        .timeout_ms = 300000,
        .disk_us = random_between(&random, 0, random_permille(&random, 100) ? 100000 : 5000),
        .disk_error = random_permille(&random, 100) ? 28 : 0,
        .revive_ms = 3000,
        .unsynced_permille = random_permille(&random, 300) ? 100 : 0,
    };
    if (random_permille(&random, 200)) {
        script.claim_permille = (unsigned)random_between(&random, 1, 1001);
        script.wrong_claim_permille = (unsigned)random_between(&random, 0, 300);
    }
    unsigned trouble_permille = (unsigned)random_between(&random, 0, 1001);
    unsigned lie_permille = (unsigned)random_between(&random, 0, 600);
    for (unsigned i = 0; i < NODES; i++) {
        struct source_script *source = &script.sources[i];
        *source = any_node(&random);
        if (random_permille(&random, trouble_permille))
            trouble(source, &random);
        if (i < script.download_count) {
            source->download = i + 1;
        } else if (random_permille(&random, 150)) {
            source->pushes_to = (unsigned)random_between(&random, 1, script.download_count + 1);
            source->is_partial = random_permille(&random, 500);
            source->have_permille = (unsigned)random_between(&random, 0, 1000);
            source->wrong_bytes_permille = random_permille(&random, 200) ? 100 : 0;
        } else if (random_permille(&random, lie_permille)) {
            lie(source, &random);
            source->restart_every_ms = source->is_node ? source->restart_every_ms : 0;
        } else if (random_permille(&random, 300)) {
            source->is_partial = true;
            source->have_permille = (unsigned)random_between(&random, 0, 1000);
            source->growth_ms = random_between(&random, 0, 500);
        }
    }
    return script;
}

int main(int argc, char **argv)
{
    return seeds_main(argc, argv, "sim_crowd", any_script);
}
