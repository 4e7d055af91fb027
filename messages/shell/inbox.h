/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SHELL_INBOX_H
#define MESSAGES_SHELL_INBOX_H

/*
 * Receives one message, however many frames a stranger sends: the first two are kept, the rest is counted
 * and dropped as it comes. What a route sends belongs to the connection `fd`, as a number to account by:
 * it may already name another connection.
 */

#include "messages/host.h"

#include <zmq.h>

/*
 * The 4 bytes that libzmq made up for a connection behind the leading zero of its routing id. Ids set by an
 * application are dropped with their message. One that imitates ours (a zero and 4 bytes) cannot be told
 * apart: its bytes are the stranger's guess at a number that no one is told, so a route proves nothing.
 */
struct inbound {
    uint32_t route; /* 0 on a DEALER */
    int fd;         /* -1 when not known */
    bool has_peer;
    struct host peer;   /* the observed address of the other end */
    size_t frame_count; /* without the routing id; 1, or 2 with a payload, is what the protocol knows */
    size_t byte_count;  /* of all frames on the wire, for the guard */
    zmq_msg_t header;
    zmq_msg_t payload; /* empty unless frame_count is 2 */
};

enum inbox_result {
    INBOX_MESSAGE, /* release it with inbound_release() */
    INBOX_DROPPED, /* something came that no one may send; ret->fd and byte_count are set, nothing to release
                    */
    INBOX_EMPTY,
};

enum inbox_result inbox_receive_routed(void *router, struct inbound *ret);
enum inbox_result inbox_receive(void *dealer, struct inbound *ret);
void inbound_release(struct inbound *self);

/* The address of the other end of the connection that has the number `fd` now. */
bool connection_peer_host(int fd, struct host *ret_host);

/* The address of our own end of the connection `fd`, if its other end still is `peer`. */
bool connection_local_host(int fd, const struct host *peer, struct host *ret_host);

#endif
