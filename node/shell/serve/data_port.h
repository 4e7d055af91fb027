/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_DATA_PORT_H
#define NODE_SHELL_SERVE_DATA_PORT_H

/*
 * The data port: the socket at which others fetch. It attaches to a loop, so that any program can serve.
 *
 * A requester whose queue in libzmq overflows (2048 replies that it does not read) is dropped, not waited
 * for.
 */

#include "messages/shell/inbox.h"
#include "node/shell/serve/uploads.h"

struct data_port;

/* Who owns the OFFERs that come in. */
struct push_events {
    void *owner;
    /* OFFER, CLOSE, and what may answer our questions: HASHES_OK, DATA, ERROR. The payload may be moved. */
    void (*message)(void *owner, struct inbound *inbound);
    /* The pusher said BYE or its connection ended. */
    void (*gone)(void *owner, uint32_t route);
    /* Bytes that were asked for over the connection and did not come yet. */
    size_t (*asked_bytes)(void *owner, int connection);
};

/* Opens the socket. NULL with errno. Loop and workers outlive the data port's use of them: see
 * data_port_destroy(). */
struct data_port *data_port_new(struct loop *loop, struct workers *workers);

/* `endpoint` as for socket_bind(). False with errno; may be tried again with another one. */
bool data_port_bind(struct data_port *self, const char *endpoint, uint16_t *ret_port);

/* Before the start: the rates do not hold for those on the networks that this machine is on. */
void data_port_exempt_near(struct data_port *self);

/* Begins to serve. The holdings and the texts of the config outlive the data port. False with errno. */
bool data_port_start(struct data_port *self, const struct peer_server_config *config,
                     const struct holdings *holdings, const struct content_source *source);

/* Before the first message, when the config says FEATURE_ACCEPTS_PUSHES; functions that are NULL: no more. */
void data_port_accept_pushes(struct data_port *self, const struct push_events *events);

/* A header to a pusher. If its route is gone, `gone` comes a moment later. */
void data_port_send(struct data_port *self, uint32_t route, const void *bytes, size_t size);

/* No OFFER of the route stands any more. */
void data_port_push_over(struct data_port *self, uint32_t route);

/* After holdings_partial_verified(): tells those who follow the file. */
void data_port_verified(struct data_port *self, uint64_t partial_handle, uint32_t first, uint32_t count);

/* A partial file is about to be removed or renamed: forgets its descriptor. */
void data_port_forget(struct data_port *self, struct content content);

/* Says BYE to all and stops serving. */
void data_port_stop(struct data_port *self);

/* After workers_destroy(), for reads may be under way. Messages that are still being sent are not lost. */
void data_port_destroy(struct data_port **self_p);

/* Bytes a second from now on, over all requesters; 0: no limit. */
void data_port_set_up_rate(struct data_port *self, uint64_t up_rate);

struct peer_server_figures data_port_figures(const struct data_port *self);

#endif
