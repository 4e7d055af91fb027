/* SPDX-License-Identifier: MIT */
#ifndef BROKER_PEER_H
#define BROKER_PEER_H

/* Who sent a message, as the connection shows it; nothing in it is the sender's word. */

#include "messages/host.h"

struct broker_peer {
    uint32_t route;   /* names one connection, and is never used again for another */
    int connection;   /* its fd as a number, which may be used again; -1 when not known */
    struct host host; /* observed address; the unspecified one when not known */
    bool has_local_host;
    struct host local_host; /* our own address as this peer reached it */
};

#endif
