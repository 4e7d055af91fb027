/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_FOLDER_PRIVATE_H
#define TOOLS_GET_FOLDER_PRIVATE_H

/* What folder.c (one tree from name to end), folder_look.c (what is there already) and folder_stream.c (its
 * small files) share. */

#include "node/shell/fetch/landing.h"
#include "tools/get/folder.h"
#include "tools/get/progress.h"

/* What is to be told of many files is told of so many; the rest is counted. */
#define FOLDER_TOLD_MAX 10

/* Of a catalogue_file. */
enum file_state {
    FILE_MISSING,
    FILE_WRITTEN, /* by an earlier run, under its partial name */
    FILE_DONE,
    FILE_FAILED, /* told */
};

struct folder {
    struct transfers *transfers;
    struct output *output;
    const struct folder_config *config;
    const char *text;
    const char *root; /* as typed */
    int root_fd;
    struct gathered gathered;
    struct tally tally;
    size_t failed_count;
    uint64_t begun_ms;
    uint64_t streamed_base_bytes; /* of the tally, when the stream began */
};

/* One chunk: it comes in the stream. */
bool folder_is_small(const struct catalogue_file *file);

void folder_describe(const struct catalogue_file *file, struct landing_file *ret_file);

/* One file that cannot be fetched, for a reason of its own: exit 2. */
void folder_refuse(struct folder *self, struct catalogue_file *file, const char *why);

/* A small file is complete; `received_bytes` 0 when it was there already. */
void folder_done(struct folder *self, struct catalogue_file *file, uint64_t received_bytes, uint64_t now_ms);

/* Sets the state of each small file. False when a signal came. (folder_look.c) */
bool folder_look(struct folder *self);

/* Fetches all small files that are missing, as far as it goes. False when there is no going on.
 * (folder_stream.c) */
bool folder_stream(struct folder *self);

#endif
