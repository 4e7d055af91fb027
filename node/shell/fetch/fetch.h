/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_FETCH_H
#define NODE_SHELL_FETCH_FETCH_H

/*
 * Runs one download: sockets to the sources, the partial file, workers that hash and write, publishing. All
 * decisions are the download core's.
 */
#include "messages/shell/inbox.h"
#include "messages/shell/loop.h"
#include "node/download/download.h"
#include "node/shell/fetch/file_attributes.h"
#include "node/shell/workers.h"

/* Each is read once, whole: one named by hand, the target itself, partial files of other versions. */
#define FETCH_SEEDS_MAX 8

enum fetch_outcome {
    FETCH_PUBLISHED,   /* complete under its final name */
    FETCH_EXISTS,      /* complete, but another file has taken the name meanwhile; the partial file is kept */
    FETCH_STARVED,     /* no source is left */
    FETCH_TIMED_OUT,   /* no verified chunk within the timeout */
    FETCH_DISK_FAILED, /* writing, syncing or renaming failed: an errno; EPIPE when the reader of a pipe went,
                          ETXTBSY when another program keeps changing the partial file */
};

struct fetch_events {
    void *owner;
    void (*source)(void *owner, uint32_t source); /* has a new state: fetch_source_at() */
    void (*saved)(void *owner, uint32_t chunk);   /* verified and written */
    /* The have-map on disk has these bits: what was saved and is among them outlives a kill. May be NULL. */
    void (*kept)(void *owner, struct blob bits);
    /* What an earlier run left of the chunk was wrong. May be NULL. */
    void (*unsaved)(void *owner, uint32_t chunk);
    /* No source is left. Add some, or end it with fetch_give_up(). */
    void (*starved)(void *owner);
    void (*done)(void *owner, enum fetch_outcome outcome, int error_number); /* once, the last event */
};

struct fetch_config {
    struct download_config download;
    const char *folder;                /* where the target is */
    const char *temp;                  /* where its partial file is; NULL: beside it */
    const char *below;                 /* folders between `folder` and the target, made at the end; or NULL */
    const char *name;                  /* the target's name in its folder */
    struct file_attributes attributes; /* of the target */
    /* Other files that may hold chunks of this one at the same place (an older version): they are copied
     * where they match. Open until the fetch is destroyed. */
    const int *seed_fds;
    size_t seed_count; /* at most FETCH_SEEDS_MAX */
    bool must_replace; /* an existing target is replaced at the end */
    bool must_number;  /* or the new one gets a number */
    int pipe_fd; /* -1, or write there in order instead of into a target; folder and name are not used */
};

enum fetch_start {
    FETCH_STARTED,
    FETCH_LOCKED,   /* another program is fetching this file; try again later */
    FETCH_NO_SPACE, /* what is missing does not fit: *ret_needed, *ret_free */
    FETCH_REFUSED,  /* the partial file cannot be opened: errno */
};

struct fetch;
struct chunk_store;

/* Opens the partial file that the config names, and reads what it says. Waits for the disk, so it may be
 * called on a worker. *ret_store is for fetch_begin(), or to be closed. */
enum fetch_start fetch_open_store(const struct fetch_config *config, struct chunk_store **ret_store,
                                  uint64_t *ret_needed, uint64_t *ret_free);

/* Starts on it. Events come, from the loop only; add sources next. */
struct fetch *fetch_begin(struct loop *loop, struct workers *workers, const struct fetch_config *config,
                          const struct fetch_events *events, struct chunk_store **store);

/* Both, for who has nothing else to do until it is open. */
enum fetch_start fetch_new(struct loop *loop, struct workers *workers, const struct fetch_config *config,
                           const struct fetch_events *events, struct fetch **ret_fetch, uint64_t *ret_needed,
                           uint64_t *ret_free);

/* Stops everything but what is running on the workers; keeps the partial file. No events any more. */
void fetch_stop(struct fetch *self);

/* After workers_destroy(), or once fetch_is_idle(). */
void fetch_destroy(struct fetch **self_p);
bool fetch_is_idle(const struct fetch *self);

/* Once it is stopped and idle: the partial file, to be closed or removed on a worker, for a large one takes
 * its time. NULL when it was taken before. After it only fetch_destroy() is left to call. */
struct chunk_store *fetch_take_store(struct fetch *self);

void fetch_add_source(struct fetch *self, const struct optional_node_id *node, const struct host *host,
                      uint16_t port);

struct data_port;

/*
 * A source that came by itself: it is asked over the route of the data port by which it came, and what it
 * answers is handed in. It ends as any source: the event, with a state that is not SOURCE_READY. False when
 * there is no room for it.
 */
bool fetch_add_pusher(struct fetch *self, struct data_port *port, uint32_t route,
                      const struct download_pusher *pusher, uint32_t *ret_source);

/* As download_remove_pusher(). */
void fetch_remove_pusher(struct fetch *self, uint32_t source, bool is_gone);

/* Takes a message of a pusher that answers a question of this download; false: it is none. */
bool fetch_on_answer(struct fetch *self, uint32_t source, uint64_t rid, struct inbound *inbound);

/* Ends a starved download: done() with FETCH_STARVED. */
void fetch_give_up(struct fetch *self);

struct download_progress fetch_progress(const struct fetch *self);
struct download_source fetch_source_at(const struct fetch *self, uint32_t source);
const struct layout *fetch_layout(const struct fetch *self);
const struct chunk_map *fetch_chunks(const struct fetch *self);
const struct chunk_map *fetch_claims(const struct fetch *self); /* not looked at again yet */

/* The verified chunk layer; NULL until it is here, and for a file of one chunk. Valid as long as the fetch.
 */
const struct hash *fetch_layer(const struct fetch *self);

/* A further descriptor of the partial file, to serve verified chunks from; the caller closes it. -1 with
 * errno. */
int fetch_reader(const struct fetch *self);

/* After FETCH_PUBLISHED: the name that the target got. Valid as long as the fetch. */
const char *fetch_target(const struct fetch *self);

/* What it may take while others run too, as in its download_config. */
void fetch_set_share(struct fetch *self, uint64_t budget_bytes, uint64_t down_rate);

/* How busy it is, and what its workers have spent so far. */
struct fetch_load {
    struct download_load download;
    uint64_t hash_ns, write_ns;
};
struct fetch_load fetch_load(const struct fetch *self);

/* No source is left, and nothing is under way. */
bool fetch_is_starved(const struct fetch *self);

#endif
