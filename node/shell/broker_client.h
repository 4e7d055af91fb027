/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_BROKER_CLIENT_H
#define NODE_SHELL_BROKER_CLIENT_H

/*
 * The connection of a node to its broker: runs a broker link on a socket that is attached to a loop. A broker
 * that is missing or goes away is told once and tried again for ever, and its return is told.
 *
 * A host name is looked up on a worker, anew whenever connecting failed for a while; ZeroMQ only sees
 * addresses.
 */

#include "messages/shell/loop.h"
#include "node/broker_link.h"
#include "node/shell/workers.h"

/* Without a connection for this long, the broker is reported missing and a name is looked up again. */
#define BROKER_CONNECT_MS 3000

struct broker_client_events {
    void *owner;
    void (*joined)(void *owner, const struct host *host, uint16_t port);
    /* A line for a person, unescaped: what is wrong with the broker and what happens now. */
    void (*trouble)(void *owner, const char *text);
    /* A reply to a request of the owner's; valid for the call. NULL when the owner asks nothing. */
    void (*message)(void *owner, const struct message *message);
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
 * Sends a request of the owner's (SEARCH, PEERS, STATUS), giving it a rid that its replies will carry. False
 * when it cannot be sent now.
 */
bool broker_client_request(struct broker_client *self, struct message *request);

bool broker_client_is_joined(const struct broker_client *self);

/* Says BYE and stops. */
void broker_client_stop(struct broker_client *self);

/* After workers_destroy(), for a lookup may be under way. */
void broker_client_destroy(struct broker_client **self_p);

#endif
