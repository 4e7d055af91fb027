/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_SWARM_H
#define TESTS_SIM_SWARM_H

/*
 * Downloads and the sources they fetch from, on a virtual clock: no socket, no file, no wall clock, so that a
 * seed tells everything. A source is a script, or a node of ours whose own cores decide; downloads may serve
 * each other. Links delay, queue and break as real ones do.
 *
 * What must always hold is checked after every event; the first breach is told in `broken` and ends the run.
 */

#include "tests/sim/content.h"

#include <stddef.h>

#define SWARM_SOURCES_MAX   32
#define SWARM_DOWNLOADS_MAX 16
#define NEVER_MS            UINT64_MAX

struct source_script {
    uint64_t latency_us; /* one way */
    uint64_t jitter_us;
    uint64_t rate;     /* bytes a second that it sends, to all */
    bool is_node;      /* the cores of a node decide, not what is below under "lies" but for the bytes */
    unsigned download; /* the serving end of this download, counted from 1: it holds what that has; 0: none */
    unsigned pushes_to; /* a node that comes by itself to this download only, counted from 1; 0: is found */
    /* What it holds. */
    bool is_partial;
    unsigned have_permille;
    uint64_t growth_ms; /* between two new chunks; 0: none come */
    /* How it fails. */
    bool is_unreachable;
    uint64_t drop_every_ms; /* its connections break; 0: never */
    uint64_t frozen_at_ms;  /* keeps its connections and says nothing more */
    uint64_t bye_at_ms;
    uint64_t restart_every_ms;                      /* a node; its download with it; 0: never */
    uint64_t away_ms;                               /* each time */
    unsigned unreadable_permille, changed_permille; /* of a node's reads */
    unsigned busy_permille;                         /* of READs, HASHES and OPENs */
    uint32_t busy_ms;
    uint16_t open_error, read_error; /* always; 0: none */
    unsigned chunk_loss_permille;    /* of READs: forgets the chunk (partial only) */
    /* How it lies. */
    unsigned wrong_bytes_permille; /* of READs */
    unsigned wrong_range_permille;
    bool has_wrong_hashes, has_wrong_layout, has_wrong_bitfield;
};

struct swarm_script {
    uint64_t seed, size;
    unsigned download_count, source_count;
    struct source_script sources[SWARM_SOURCES_MAX];
    uint64_t timeout_ms, budget_bytes;
    bool is_in_order;
    unsigned claim_permille, wrong_claim_permille; /* chunks that an earlier run left */
    uint64_t disk_us;                              /* for hashing and writing one payload, at most */
    int disk_error;                                /* the 20th write fails, if not 0 */
    uint64_t revive_ms;                            /* such a download begins again so much later; 0: never */
    unsigned unsynced_permille; /* chunks that a restart finds wrong: the power had failed */
};

struct swarm_outcome {
    const char *broken; /* NULL, or what did not hold */
    uint64_t broken_at_ms;
    struct {
        bool is_complete, is_failed;
        uint64_t ended_ms, received_bytes, wasted_bytes;
        uint64_t from_source[SWARM_SOURCES_MAX];
    } downloads[SWARM_DOWNLOADS_MAX];
    size_t effects_max; /* most of one event */
    uint64_t event_count, restart_count, push_count, ended_ms;
};

/* Right bytes, right hashes, right layout: such a source may fail, but must never be banned. */
bool script_is_honest(const struct source_script *script);

/* Honest, holds all and goes on serving: with one of these every download must complete. */
bool script_is_dependable(const struct source_script *script);

struct swarm_outcome swarm_run(const struct swarm_script *script);

#endif
