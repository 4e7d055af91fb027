/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_H
#define NODE_SHELL_DOWNLOADS_H

/*
 * The downloads of a node: each looks for sources as long as it runs, serves what it has verified through the
 * node's data port, and lands in a share. A few run at once; the others wait in the order in which they came.
 * What is unfinished is kept in the state folder and goes on at the next start.
 *
 * Order of the end: downloads_stop(), workers_destroy(), downloads_destroy().
 */
#include "messages/shell/loop.h"
#include "node/holdings.h"
#include "node/shell/broker_client.h"
#include "node/shell/data_port.h"
#include "node/shell/fetch.h"

/* Each has a budget of memory of its own; the sum stays within what a node may take. */
#define DOWNLOADS_ACTIVE_MAX 4

/* Listed in all; when it is full, the oldest that is over makes room. */
#define DOWNLOADS_MAX 1000

enum downloads_state {
    DOWNLOADS_WAITING, /* for its turn */
    DOWNLOADS_ACTIVE,
    DOWNLOADS_PAUSED,
    DOWNLOADS_DONE,
    DOWNLOADS_FAILED,
};

struct downloads_source {
    struct optional_node_id node; /* absent: whoever is there */
    struct host host;
    uint16_t port;
};

/* Texts and sources are copied. */
struct downloads_order {
    struct file_entry file; /* its name is a wire name; the file lands under the last component */
    const struct downloads_source *sources; /* known already */
    size_t source_count;
    bool has_only_these; /* from these very nodes: no search for others */
};

struct downloads_view {
    uint32_t number; /* counts from 1, and is not used again */
    enum downloads_state state;
    struct file_id id;
    struct text name;   /* from the network: escape it */
    const char *target; /* the path that it got, once it is done; else NULL */
    const char *reason; /* why it failed; else NULL */
    uint64_t size, saved_bytes, rate;
    uint32_t ready_sources;
    bool is_pushed; /* somebody offered it, and it goes on only when he comes back */
};

struct downloads;

/* Borrowed, all of it, as long as the downloads live. */
struct downloads_config {
    struct loop *loop;
    struct workers *workers;
    struct holdings *holdings;
    struct data_port *port;
    struct broker_client *broker; /* NULL: none; only sources that are given */
    struct node_id node;
    uint64_t instance;
    const char *node_name, *agent;
    const char *folder; /* where files land */
    const char *temp;   /* where they are while they arrive; on the same file system */
    const char *list;   /* the file that keeps what is unfinished */
    uint64_t down_rate; /* bytes a second, over all; 0: no limit */
};

struct downloads_events {
    void *owner;
    void (*ended)(void *owner,
                  const struct downloads_view *view); /* done or failed; for whoever tells people */
    void (*landed)(void *owner);                      /* a file is new in `folder` */
};

struct downloads *downloads_new(const struct downloads_config *config, const struct downloads_events *events);
void downloads_stop(struct downloads *self);
void downloads_destroy(struct downloads **self_p);

enum downloads_result {
    DOWNLOADS_OK,
    DOWNLOADS_THERE_ALREADY, /* it is listed: *ret_number; paused or failed ones go on */
    DOWNLOADS_FULL,          /* DOWNLOADS_MAX, and none is over */
};
enum downloads_result downloads_add(struct downloads *self, const struct downloads_order *order,
                                    uint32_t *ret_number);

/* False when there is no such number, or its state does not allow it. */
bool downloads_pause(struct downloads *self, uint32_t number);
bool downloads_resume(struct downloads *self, uint32_t number); /* of a failed one too: tries again */
bool downloads_cancel(struct downloads *self,
                      uint32_t number); /* removes its partial file, and it from the list */

void downloads_set_rate(struct downloads *self, uint64_t down_rate);

/* In order of number; position < downloads_count(). Texts are valid until the next call that changes
 * anything, or the loop goes on. */
size_t downloads_count(const struct downloads *self);
struct downloads_view downloads_at(const struct downloads *self, size_t position);

#endif
