/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SHELL_SERVER_H
#define BROKER_SHELL_SERVER_H

/*
 * The broker on a socket: receives, hands bytes to the core, does what it says, and reports what failed. It
 * decides nothing. Notes of the core are its owner's to tell.
 */

#include "broker/broker.h"

struct server;

/* `note` is called with a line for a person, unescaped. It must not wait. */
struct server_events {
    void *owner;
    void (*note)(void *owner, struct text line);
};

/* NULL with errno when there is no room for a socket. `per_address_max` is guard_new()'s. */
struct server *server_new(const struct broker_config *config, unsigned per_address_max,
                          const struct server_events *events);

/* Closes the socket; what was sent still has half a second to go out. */
void server_destroy(struct server **self_p);

/* socket_bind(); false with errno. */
bool server_bind(struct server *self, const char *endpoint, uint16_t *ret_port);

/* Serves until a signal, then says BYE to all. */
void server_run(struct server *self);

#endif
