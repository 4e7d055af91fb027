/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_BUNDLE_FETCH_PRIVATE_H
#define NODE_SHELL_FETCH_BUNDLE_FETCH_PRIVATE_H

/* What bundle_fetch.c (sources and effects) and bundle_jobs.c (what runs on the workers) share. */

#include "node/shell/fetch/bundle_fetch.h"
#include "node/shell/link/source_link.h"

/* Each source is disconnected once, and all together at the end. */
#define BUNDLE_STOPPED_LINKS_MAX (2 * BUNDLE_SOURCES_MAX)

/* Files of the owner's, by its numbers. */
struct file_numbers {
    uint32_t *items;
    size_t count, capacity;
};

struct store_job;

/*
 * Payloads that wait to be stored. Making files in one folder takes turns in the kernel, and threads that
 * wait for each other only burn what the network needs: so the files of one folder stand in one line, of
 * which one job is under way at a time, and folders are spread over the lines.
 */
struct store_line {
    struct store_job *first, *last;
    bool is_storing;
};

#define STORE_LINES_MAX 4 /* jobs at once; more than cores gain nothing */

struct bundle_fetch {
    struct loop *loop;
    struct workers *workers;
    struct bundle_fetch_events events;
    struct bundle *bundle;
    struct bundle_effects effects;
    struct file_numbers files; /* the owner's number of each of the bundle's */
    int root_fd;
    bool must_replace;
    struct source_link *links[BUNDLE_SOURCES_MAX];
    struct source_link *stopped_links[BUNDLE_STOPPED_LINKS_MAX];
    size_t stopped_count;
    struct store_line store_lines[STORE_LINES_MAX];
    unsigned job_count;                 /* on the workers */
    struct file_numbers written, named; /* to be synced and named; named and to be synced */
    uint64_t written_at_ms;             /* when `written` got its first */
    bool is_syncing;
    bool is_complete; /* the bundle is; what was written last is still to be synced */
    bool is_finished; /* done() was called */
    bool is_stopped;  /* no more events */
};

void file_numbers_add(struct file_numbers *self, uint32_t number);

/* bundle_fetch.c */
void bundle_fetch_stored(struct bundle_fetch *self, uint32_t ticket, enum bundle_stored result);
void bundle_fetch_finish(struct bundle_fetch *self, enum bundle_fetch_outcome outcome, int error_number);

/* Jobs (bundle_jobs.c). */
/* Puts a payload (or NULL for an empty file) in line; takes it. */
void bundle_store(struct bundle_fetch *self, uint32_t ticket, uint32_t number, zmq_msg_t *payload);
/* Hands each line's next job to the workers if none of it is with them. */
void bundle_store_flush(struct bundle_fetch *self);
/* Forgets what is in line. */
void bundle_store_drop(struct bundle_fetch *self);
/* Starts a sync if it is time to; finishes when nothing is left. Returns when to call again. */
uint64_t bundle_sync(struct bundle_fetch *self, uint64_t now_ms);

#endif
