/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_TRANSFER_PRIVATE_H
#define TOOLS_GET_TRANSFER_PRIVATE_H

/* What transfer.c (files one after another, their sources and events) and transfer_start.c (how one begins,
 * and what is told of its end) share. */

#include "node/shell/fetch/swarm.h"
#include "tools/get/existing.h"
#include "tools/get/explain.h"
#include "tools/get/progress.h"

#define TRANSFER_AGENT "zget/" ZSWARM_VERSION

struct transfers {
    struct output *output;
    const struct transfer_options *options;
    struct loop *loop;
    struct workers *workers;
    uint64_t instance;
    struct swarm *swarm; /* from the first download that lasts; NULL before, and without a broker */
    struct node_id node;
    char node_name[LABEL_SIZE_MAX + 1];
    bool is_interrupted;
    uint64_t wake_at_ms, swarm_at_ms;

    /* The file under way. */
    const struct target *target;
    char *folder, *name; /* NULL both for stdout */
    char *shown_folder;  /* as people know it */
    struct tally *tally; /* NULL for a file on its own */
    struct fetch *fetch;
    struct progress *progress;
    struct explain explain;
    size_t vacancy_count; /* sources that left and were not replaced */
    bool is_starved;
    bool is_ended;
    enum fetch_outcome outcome;
    int error_number;
    struct seeds seeds;
    uint64_t range_begin, range_end; /* bytes of the file that are wanted; all unless a range was given */
    size_t next_source;              /* of the target's: more than a download takes wait for one to leave */
};

struct site transfer_site(struct transfers *self);

/* Sleeps in the loop, so that a signal ends it. */
void transfer_wait(struct transfers *self, uint64_t ms);

/* Starts the fetch, waiting for another zget that has the file. True without a fetch when that one has
 * fetched it; false after an error that was told, or a signal. */
bool transfer_start(struct transfers *self, const struct fetch_events *events);

/* Says why the file is not there, if it is not, and sets the exit code. */
void transfer_tell_outcome(struct transfers *self);

#endif
