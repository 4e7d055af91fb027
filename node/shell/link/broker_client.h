/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_LINK_BROKER_CLIENT_H
#define NODE_SHELL_LINK_BROKER_CLIENT_H

/*
 * The connection of a node to its broker: runs a broker link on a socket that is attached to a loop. A broker
 * that is missing or goes away is told once and tried again for ever, and its return is told.
 *
 * A host name is looked up on a worker, anew whenever connecting failed for a while; ZeroMQ only sees
 * addresses.
 */

#include "messages/shell/loop.h"
#include "node/link/broker_link.h"
#include "node/shell/workers.h"

/* Without a connection for this long, the broker is reported missing and a name is looked up again. */
#define BROKER_CONNECT_MS 3000

/* Requests under way: a search for each download that runs, and what people ask for. */
#define BROKER_ASKED_MAX 64

struct broker_client_events {
    void *owner;
    void (*joined)(void *owner, const struct host *host, uint16_t port);
    /* The broker assigned a data port: bind it and call broker_client_on_bound(). NULL when the link has one.
     */
    void (*assigned)(void *owner, uint16_t port);
    /* A line for a person, unescaped: what is wrong with the broker and what happens now. */
    void (*trouble)(void *owner, const char *text);
};

struct broker_client_config {
    const char *broker_host; /* a name or a numeric address; borrowed */
    uint16_t broker_port;
    struct broker_link_config link;
};

struct broker_client;

/* Starts connecting. Loop, workers and holdings outlive the client. NULL with errno. */
struct broker_client *broker_client_new(struct loop *loop, struct workers *workers,
                                        const struct broker_client_config *config,
                                        const struct holdings *holdings,
                                        const struct broker_client_events *events);

/*
 * Sends a request (SEARCH, PEERS, STATUS) under a rid of its own, which is returned; 0 when it cannot be sent
 * now, or BROKER_ASKED_MAX are under way. `replied` gets each reply, valid for the call, of any kind, for the
 * broker may be a strange one: a search goes on after FOUND, everything else ends a request. A broker may
 * never answer: keep a deadline, and forget the request then.
 */
uint64_t broker_client_ask(struct broker_client *self, const struct message *request,
                           void (*replied)(void *owner, const struct message *reply), void *owner);

/* No more replies to it. Nothing happens when it has ended, or for rid 0. */
void broker_client_forget(struct broker_client *self, uint64_t rid);

bool broker_client_is_joined(const struct broker_client *self);

/* As the broker granted it; 0 before it did. */
uint32_t broker_client_lease_ms(const struct broker_client *self);

/* As broker_link_on_bound(). What the owner started because of the port comes before the client in the loop
 * from now on, so that what it finds out is told in the same round. */
void broker_client_on_bound(struct broker_client *self, uint16_t port, struct text node_name);

/* As broker_link_rest() and broker_link_wake(): while the loop does not run, nothing is answered. */
void broker_client_rest(struct broker_client *self);
void broker_client_wake(struct broker_client *self);

/* Says BYE and stops. */
void broker_client_stop(struct broker_client *self);

/* After workers_destroy(), for a lookup may be under way. */
void broker_client_destroy(struct broker_client **self_p);

#endif
