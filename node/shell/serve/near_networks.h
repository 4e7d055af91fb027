/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_NEAR_NETWORKS_H
#define NODE_SHELL_SERVE_NEAR_NETWORKS_H

/* The networks that this machine is on, itself included: who is in one of them is near. */
#include "messages/host.h"

/* Interfaces with an address each; what is beyond is taken for far, and only loses an exemption. */
#define NEAR_NETWORKS_MAX 64

struct near_networks {
    struct near_network {
        struct host host, mask;
    } entries[NEAR_NETWORKS_MAX];
    size_t count;
};

/* A mask that is shorter makes no network but a good part of the world: a tunnel, say, that has the default
 * route by its mask. Nobody is near because of it. */
#define NEAR_V4_BITS_MIN 8
#define NEAR_V6_BITS_MIN 16

/* IPv4 in the mapped form, mask and all. Leaves out what is no network, and what there is no room for. */
void near_networks_add(struct near_networks *self, const struct host *host, const struct host *mask);

/* As they are now; none when that cannot be found out. */
void near_networks_read(struct near_networks *self);
bool near_networks_has(const struct near_networks *self, const struct host *host);

#endif
