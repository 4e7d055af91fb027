/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_NODE_ADDRESS_H
#define NODE_SHELL_SERVE_NODE_ADDRESS_H

/* Where a node's data port is bound: on which addresses, and at which port. */

#include "messages/host.h"
#include "node/shell/serve/data_port.h"

/* `--port auto`. Outside the kernel's ephemeral range: a client that reconnects there could meet itself. */
#define NODE_PORT_FIRST 9000
#define NODE_PORT_LAST  9999

struct port_choice {
    uint16_t preferred;   /* tried first when it is inside the range; 0 for none */
    uint16_t first, last; /* 0, 0: any free port */
};

/*
 * Binds on `host` (NULL: all interfaces) at the first free port: the preferred one, then the others from a
 * random one on. False with errno; EADDRINUSE when all are taken.
 */
bool node_address_bind(struct data_port *port, const struct host *host, const struct port_choice *choice,
                       uint16_t *ret_port);

/* An address of this machine that others can use: the first that is up and not loopback, else 127.0.0.1. */
struct host node_address_of_machine(void);

#endif
