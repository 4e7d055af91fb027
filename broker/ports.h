/* SPDX-License-Identifier: MIT */
#ifndef BROKER_PORTS_H
#define BROKER_PORTS_H

/*
 * Data ports that the broker assigns to nodes that ask for one (JOIN with port 0), out of one range
 * for each address. A port is free at an address when no joined node holds it there and it was not
 * assigned there in the last PORTS_RESERVED_MS.
 */

#include "messages/host.h"

/* Time for the node to bind it and join again (docs/protocol.md, "Join"). */
#define PORTS_RESERVED_MS 30000

/* Strangers ask for ports; about 120 bytes each, 8 MiB in all, and twice the 30 000 ports of a wide range. */
#define PORTS_RESERVED_MAX 65536

enum ports_result {
    PORTS_ASSIGNED,
    PORTS_DENIED, /* no range was configured */
    PORTS_BUSY,   /* none is free at that address now */
};

struct ports;

/* The range [begin, end); empty for none. */
struct ports *ports_new(uint32_t begin, uint32_t end);
void ports_destroy(struct ports **self_p);

enum ports_result ports_assign(struct ports *self, const struct host *host, uint64_t now_ms,
                               uint16_t *ret_port);

/* When BUSY is worth another try: the end of the oldest reservation, at least 1 ms from now. */
uint32_t ports_retry_ms(const struct ports *self, uint64_t now_ms);

/* A node at `host` joined with, or left, this port. Pair them. */
void ports_hold(struct ports *self, const struct host *host, uint16_t port);
void ports_let_go(struct ports *self, const struct host *host, uint16_t port);

#endif
