/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DATA_PORT_H
#define NODE_SHELL_DATA_PORT_H

/*
 * The data port: the socket at which others fetch. It attaches to a loop, so that any program can serve.
 *
 * A requester whose queue in libzmq overflows (2048 replies that it does not read) is dropped, not waited
 * for.
 */

#include "node/shell/uploads.h"

struct data_port;

/* Opens the socket. NULL with errno. Loop and workers outlive the data port's use of them: see
 * data_port_destroy(). */
struct data_port *data_port_new(struct loop *loop, struct workers *workers);

/* `endpoint` as for socket_bind(). False with errno; may be tried again with another one. */
bool data_port_bind(struct data_port *self, const char *endpoint, uint16_t *ret_port);

/* Begins to serve. The holdings and the texts of the config outlive the data port. False with errno. */
bool data_port_start(struct data_port *self, const struct peer_server_config *config,
                     const struct holdings *holdings, const struct content_source *source);

/* After holdings_partial_verified(): tells those who follow the file. */
void data_port_verified(struct data_port *self, uint64_t partial_handle, uint32_t first, uint32_t count);

/* A partial file is about to be removed or renamed: forgets its descriptor. */
void data_port_forget(struct data_port *self, struct content content);

/* Says BYE to all and stops serving. */
void data_port_stop(struct data_port *self);

/* After workers_destroy(), for reads may be under way. Messages that are still being sent are not lost. */
void data_port_destroy(struct data_port **self_p);

struct peer_server_figures data_port_figures(const struct data_port *self);

#endif
