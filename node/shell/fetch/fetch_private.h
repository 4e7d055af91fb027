/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_FETCH_PRIVATE_H
#define NODE_SHELL_FETCH_FETCH_PRIVATE_H

/* What fetch.c (sources and effects) and fetch_jobs.c (what runs on the workers) share. */

#include "node/shell/fetch/chunk_store.h"
#include "node/shell/fetch/fetch.h"
#include "node/shell/link/source_link.h"

#include <stdatomic.h>

/* Links stopped since the last tick: each slot's, and those that took its place in the same round. */
#define STOPPED_LINKS_MAX (4 * DOWNLOAD_SOURCES_MAX)

struct fetch {
    struct loop *loop;
    struct workers *workers;
    struct fetch_events events;
    struct download *download;
    struct download_effects effects;
    struct chunk_store *store;
    enum publish_conflict conflict;
    int seed_fds[FETCH_SEEDS_MAX]; /* the owner's */
    size_t seed_count;
    struct source_link *links[DOWNLOAD_SOURCES_MAX];
    struct data_port *ports[DOWNLOAD_SOURCES_MAX]; /* of a pusher that is asked; NULL for any other source */
    uint32_t routes[DOWNLOAD_SOURCES_MAX];
    struct source_link *stopped_links[STOPPED_LINKS_MAX];
    size_t stopped_count;
    unsigned job_count; /* on the workers */
    bool is_map_stale, is_map_being_kept, is_layer_kept;
    bool is_syncing;
    uint64_t unsynced_bytes, synced_at_ms;
    uint64_t hash_ns, write_ns;     /* spent by jobs that are done */
    int pipe_fd;                    /* ours */
    uint64_t pipe_offset, pipe_end; /* in the file: what the pipe is still to get */
    bool is_piping;
    bool is_complete, is_publishing, is_starved;
    unsigned doubt_count;
    bool is_finished;       /* done() was called */
    atomic_bool is_stopped; /* no more events; a worker that waits for a pipe looks at it too */
};

/* The core's results (fetch.c). */
void fetch_processed(struct fetch *self, uint32_t ticket, const struct processed *result);
void fetch_checked(struct fetch *self, uint32_t chunk, bool is_right);
void fetch_finish(struct fetch *self, enum fetch_outcome outcome, int error_number);

/* Another program wrote to the partial file: all is hashed again, what is wrong fetched again. */
void fetch_doubt(struct fetch *self);

/* Jobs (fetch_jobs.c). */
void fetch_process(struct fetch *self, const struct process_order *order, zmq_msg_t *payload); /* takes it */
void fetch_check(struct fetch *self, uint32_t chunk, const struct process_order *order);
void fetch_keep_map(struct fetch *self);
void fetch_keep_durable(struct fetch *self, uint64_t now_ms);
void fetch_advance_pipe(struct fetch *self);
void fetch_try_publish(struct fetch *self);

#endif
