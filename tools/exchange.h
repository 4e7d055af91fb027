/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_EXCHANGE_H
#define TOOLS_EXCHANGE_H

/*
 * One connection of a small program to a broker or a node, used by one thread that has nothing else to do:
 * send a request, wait for what comes. Stray messages are answered or dropped as the protocol says.
 *
 * SIGINT and SIGTERM end the program, or go to its handlers, for it has no state to save.
 */

#include "messages/message.h"
#include "messages/shell/socket.h"

/* Connecting takes a few round trips; where nobody listens a long timeout is not waited out. */
#define EXCHANGE_CONNECT_MS_MAX 5000

struct exchange;

enum exchange_result {
    EXCHANGE_MESSAGE,
    EXCHANGE_DEADLINE,    /* nothing came; also when never connected so far */
    EXCHANGE_UNREACHABLE, /* no connection in the time for it */
    EXCHANGE_LOST,        /* the other end closed the connection */
};

/* `role` is SOCKET_BROKER_CLIENT or SOCKET_PEER_CLIENT. NULL with errno. After process_start(). */
struct exchange *exchange_new(enum socket_role role, const struct host *host, uint16_t port);
void exchange_destroy(struct exchange **self_p);

/* For who has less time than that: no connection is waited for any longer than this. */
void exchange_connect_within(struct exchange *self, uint64_t time_ms);

/* Sent as soon as there is a connection, while exchange_wait() runs. What could not be sent yet is replaced.
 */
void exchange_send(struct exchange *self, const struct message *message);

/* The next message; valid until the next call. `deadline_ms` is on the monotonic clock. */
enum exchange_result exchange_wait(struct exchange *self, uint64_t deadline_ms, struct message *ret_message);

/* True once the other end has shown that it speaks ZMTP. */
bool exchange_was_connected(const struct exchange *self);

#endif
