/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SHELL_SERVER_H
#define BROKER_SHELL_SERVER_H

/*
 * The broker on a socket: receives, hands bytes to the core, does what it says, and reports what failed. It
 * decides nothing. One line on stderr for each note of the core; a stderr that nobody reads loses lines
 * and never stops the broker.
 */

#include "broker/broker.h"

struct server;

/* NULL with errno when there is no room for a socket. `per_address_max` is guard_new()'s. */
struct server *server_new(const struct broker_config *config, unsigned per_address_max);

/* Closes the socket; what was sent still has half a second to go out. */
void server_destroy(struct server **self_p);

/* socket_bind(); false with errno. */
bool server_bind(struct server *self, const char *endpoint, uint16_t *ret_port);

/* Serves until a signal, then says BYE to all. */
void server_run(struct server *self);

#endif
