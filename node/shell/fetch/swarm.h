/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_SWARM_H
#define NODE_SHELL_FETCH_SWARM_H

/*
 * Makes the running download of a program that is no node part of a swarm, with a data port and a connection
 * to the broker of its own: joins, answers searches and serves the chunks that are verified already
 * (partials.h), and looks for further sources as long as it runs (source_search.h).
 *
 * Order of the end: swarm_stop(), which says BYE, then workers_destroy(), then swarm_destroy().
 */
#include "node/shell/fetch/fetch.h"

struct swarm_config {
    const char *broker_host; /* borrowed */
    uint16_t broker_port;
    struct node_id node;
    uint64_t instance;
    const char *node_name, *agent; /* borrowed */
    uint64_t up_rate;              /* bytes a second; 0: no limit */
    bool is_serving;               /* else it only searches */
    bool is_local;                 /* the broker is on this machine: bind the data port on loopback */
};

struct swarm;

/* Never fails: a download that cannot serve or search still downloads. */
struct swarm *swarm_new(struct loop *loop, struct workers *workers, const struct swarm_config *config);
void swarm_stop(struct swarm *self);
void swarm_destroy(struct swarm **self_p);

/* The download to serve and to find sources for; one at a time. Without one it is no node of the broker. */
void swarm_follow(struct swarm *self, struct fetch *fetch, const struct file_entry *file);
void swarm_unfollow(struct swarm *self);

/* From the fetch's events. */
void swarm_saved(struct swarm *self, uint32_t chunk);

/* No source is left: searches at once. False when that has been tried, or cannot be. `exhausted` is called if
 * it finds nothing. */
bool swarm_search_now(struct swarm *self, void (*exhausted)(void *owner), void *owner);

#endif
