/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_BUNDLE_FETCH_H
#define NODE_SHELL_FETCH_BUNDLE_FETCH_H

/*
 * Runs a bundle: sockets to the sources, workers that check and write, and the syncs. All decisions about
 * whom to ask are the core's (node/download/bundle.h).
 *
 * Files are synced many at a time, not one by one: each batch is written under partial names, one syncfs()
 * makes it durable, then it is renamed; the next batch's syncfs() makes the names durable, and only then the
 * files are told as done. So a power cut never leaves less than a whole file under its name.
 */
#include "messages/shell/loop.h"
#include "node/download/bundle.h"
#include "node/shell/fetch/landing.h"
#include "node/shell/workers.h"

enum bundle_fetch_outcome {
    BUNDLE_FETCH_ENDED,       /* each file was told of */
    BUNDLE_FETCH_TIMED_OUT,   /* nothing came within the timeout; what was not told of is missing */
    BUNDLE_FETCH_DISK_FAILED, /* no file can be written any more: an errno */
};

enum bundle_fetch_file {
    BUNDLE_FETCH_PUBLISHED, /* durable under its name */
    BUNDLE_FETCH_EXISTS,    /* another file has taken the name meanwhile */
    BUNDLE_FETCH_UNWRITTEN, /* this one cannot be written: an errno */
    BUNDLE_FETCH_LOST,      /* no source is left for it */
};

/* From the loop only. `file` is the owner's number. */
struct bundle_fetch_events {
    void *owner;
    /* Asked for what is to be known of a file; strings stay valid as long as the fetch. */
    void (*describe)(void *owner, uint32_t file, struct landing_file *ret_file);
    void (*source)(void *owner, uint32_t source); /* has a new state */
    void (*file)(void *owner, uint32_t file, enum bundle_fetch_file result, int error_number);
    void (*done)(void *owner, enum bundle_fetch_outcome outcome, int error_number); /* once, the last event */
};

struct bundle_fetch_config {
    struct bundle_config bundle;
    int root_fd; /* the folder below which the files land; borrowed */
    bool must_replace;
};

struct bundle_fetch;

struct bundle_fetch *bundle_fetch_new(struct loop *loop, struct workers *workers,
                                      const struct bundle_fetch_config *config,
                                      const struct bundle_fetch_events *events);

/* As in node/download/bundle.h; before bundle_fetch_start(). */
uint32_t bundle_fetch_add_source(struct bundle_fetch *self, const struct optional_node_id *node,
                                 const struct host *host, uint16_t port);
bool bundle_fetch_add_file(struct bundle_fetch *self, uint32_t file, uint64_t sources);

/* A file that an earlier run has written, but not named. */
void bundle_fetch_add_written(struct bundle_fetch *self, uint32_t file);

void bundle_fetch_start(struct bundle_fetch *self);

/* Stops everything but what is running on the workers. No events any more. */
void bundle_fetch_stop(struct bundle_fetch *self);
bool bundle_fetch_is_idle(const struct bundle_fetch *self);

/* After workers_destroy(), or once idle. */
void bundle_fetch_destroy(struct bundle_fetch **self_p);

struct bundle_progress bundle_fetch_progress(const struct bundle_fetch *self);
struct download_source bundle_fetch_source_at(const struct bundle_fetch *self, uint32_t source);

#endif
