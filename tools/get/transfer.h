/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_TRANSFER_H
#define TOOLS_GET_TRANSFER_H

/*
 * Fetches one file after another into a folder, and tells of it: events with --json, a line and a progress
 * bar for people.
 */
#include "messages/shell/loop.h"
#include "node/shell/workers.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/get/resolve.h"

struct transfer_options {
    char *folder;             /* NULL: the current one */
    char *seed_from;          /* NULL, or an older version whose chunks are used where they fit */
    char *output;             /* NULL: the file's own base name; "-": stdout */
    struct option_span range; /* bytes of each file that are wanted */
    uint64_t timeout_ms;
    uint64_t down_rate, up_rate;   /* bytes a second; 0: no limit */
    const struct endpoint *broker; /* NULL: nodes were named, and no broker is asked */
    bool is_not_serving;
    bool is_in_order, must_replace, must_discard, is_quiet, is_explained;
};

struct transfers;
struct tally;

/* Options are borrowed. NULL after an error that was told. */
struct transfers *transfers_new(struct output *output, const struct transfer_options *options);
void transfers_destroy(struct transfers **self_p);

/* Fetches `target`, which was asked for as `text`. Returns when it ended; the exit code is in the output. */
void transfers_fetch(struct transfers *self, const char *text, const struct target *target);

/*
 * The same for one file of a tree, into an open folder (borrowed), called shown_folder, under the base name
 * of the target's. False when sources or disk gave out, for then the next file will hardly fare better.
 */
bool transfers_fetch_below(struct transfers *self, const struct target *target, int folder_fd,
                           const char *shown_folder, struct tally *tally);

/* For other work with the same threads: runs the loop until something stops it. False when a signal did. */
struct loop *transfers_loop(struct transfers *self);
struct workers *transfers_workers(struct transfers *self);
bool transfers_run(struct transfers *self);

/* Lets what is under way come back for a moment. */
void transfers_rest(struct transfers *self);

/* SIGINT or SIGTERM came: fetch no more. */
bool transfers_is_interrupted(const struct transfers *self);

#endif
