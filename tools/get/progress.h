/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_PROGRESS_H
#define TOOLS_GET_PROGRESS_H

/*
 * What zget tells of one file: JSON events, or a bar and lines for people. A file that is part of a tree has
 * its events, but people see one bar and one line for the whole tree. The figures of `done` add up here.
 */

#include "node/download/download.h"
#include "tools/get/bar.h"

struct progress_file {
    struct file_id id;
    struct hash root;
    uint64_t size;
    const char *wire_name;     /* unescaped */
    const char *folder, *name; /* as told; NULL both for stdout */
    bool is_range;             /* only [begin, end) is wanted */
    uint64_t begin, end;
};

/* Files that are told as one. */
struct tally {
    struct bar *bar;
    uint64_t file_count; /* those that are over, like the bytes */
    uint64_t saved_bytes, received_bytes, wasted_bytes;
    unsigned source_count; /* the most that gave to one of them, or to the stream */
};

struct progress;

/* The file's strings are borrowed. `tally` is NULL for a file on its own. */
struct progress *progress_new(struct output *output, const struct progress_file *file, bool is_quiet,
                              struct tally *tally);
void progress_destroy(struct progress **self_p);

/* The target was there already: no traffic. */
void progress_same(struct progress *self);

void progress_start(struct progress *self, const struct layout *layout, uint64_t saved_bytes,
                    uint64_t now_ms);

/* A source has a new state. */
void progress_source(struct progress *self, const struct download_source *source);

/* At most 4 times a second; returns when to call again. */
uint64_t progress_show(struct progress *self, const struct download_progress *figures, uint64_t now_ms);

/* What one source gave in all; those that gave nothing are left out. Then progress_end(). */
void progress_total(struct progress *self, const struct download_source *source);
void progress_end(struct progress *self, const struct download_progress *figures, bool is_complete,
                  uint64_t now_ms);

/* For files that come as a stream: the events of one that is complete, and of a source. */
void progress_tell_file(struct output *output, const struct progress_file *file, uint64_t received_bytes,
                        double seconds);
void progress_tell_source(struct output *output, struct bar *bar, const struct download_source *source,
                          bool is_quiet);

/* Adds to the figures of `done`. */
void progress_count(struct output *output, uint64_t files, uint64_t bytes, uint64_t received_bytes,
                    uint64_t wasted_bytes);

#endif
