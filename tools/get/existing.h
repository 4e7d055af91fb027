/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_EXISTING_H
#define TOOLS_GET_EXISTING_H

/*
 * What is there already where a file is to go: the very file, something else, and older versions and partial
 * files whose chunks may fit.
 */
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/fetch/fetch.h"
#include "tools/get/transfer.h"

#include <time.h>

/* One file and its place. All borrowed. */
struct site {
    struct transfers *transfers;
    struct output *output;
    const struct transfer_options *options;
    const struct target *target;
    const char *folder, *name; /* NULL both for stdout */
    const char *shown_folder;  /* as people know it */
};

enum existing {
    EXISTING_NONE, /* or it may be replaced; or a signal came */
    EXISTING_SAME,
    EXISTING_IN_THE_WAY, /* told */
};

/* Hashes a file of the right size with the threads of the transfers. */
enum existing existing_check(const struct site *site);

/* The partial file's name, and when it was changed last; all zero when it is not there. */
void existing_partial(const struct site *site, char ret_name[PARTIAL_NAME_SIZE],
                      struct timespec *ret_change_at);

/* What is not a plain file has the name of the partial file: told. False when nothing is wrong with it. */
bool existing_tell_bad_partial(const struct site *site);

/* Open files that may hold chunks of the target. */
struct seeds {
    int fds[FETCH_SEEDS_MAX];
    size_t count;
};

/* Partial files of other versions: told, and kept as seeds or, with --discard, removed. */
void seeds_take_partials(struct seeds *self, const struct site *site);

/* The file named by --seed-from, and the one that is about to be replaced. False after an error that was
 * told.
 */
bool seeds_open(struct seeds *self, const struct site *site);
void seeds_close(struct seeds *self);

#endif
