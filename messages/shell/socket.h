/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_SHELL_SOCKET_H
#define MESSAGES_SHELL_SOCKET_H

/*
 * ZeroMQ sockets with the options that every socket of ours has, out of the one context of the
 * process (CZMQ's). Two contexts in one process can crash on Debian's libzmq.
 */

#include "messages/host.h"

enum socket_role {
    SOCKET_BROKER,        /* the broker's ROUTER */
    SOCKET_BROKER_CLIENT, /* a DEALER to a broker */
    SOCKET_PEER,          /* a node's data port, a ROUTER */
    SOCKET_PEER_CLIENT,   /* a DEALER to a node's data port */
};

/*
 * Once per process, before the first socket: limits of files and sockets, `io_threads`, no signal handlers of
 * CZMQ's, allocator settings; blocks stop_signals(). Pair with process_finish(), after every socket is
 * closed.
 */
void process_start(unsigned io_threads);
void process_finish(void);

/* For a program that moves files: an I/O thread for each processor, up to 4. */
unsigned process_io_threads(void);

/* NULL with errno when there is no room for another socket. Close with socket_close(). */
void *socket_open(enum socket_role role);
void socket_close(void **socket_p);

/*
 * Binds to an endpoint from the command line (`tcp://ADDR:PORT`, `*` for any of the two). False with errno.
 * ret_port is the real port.
 */
bool socket_bind(void *socket, const char *endpoint, uint16_t *ret_port);

/* Connects to an address; text never gets here. */
bool socket_connect(void *socket, const struct host *host, uint16_t port);

/* The routing id of a route as libzmq wants it: a zero and 4 bytes that libzmq made up. */
#define ROUTE_SIZE 5
void socket_route_bytes(uint32_t route, uint8_t ret_bytes[ROUTE_SIZE]);

/* Sends one header frame without waiting. False with errno: EAGAIN (queue full), EHOSTUNREACH (route gone).
 */
bool socket_send(void *socket, const void *bytes, size_t size);
bool socket_send_route(void *socket, uint32_t route, const void *bytes, size_t size);

/*
 * Events of a socket (ZMQ_EVENT_..., values are fds), to be polled and read in the same thread. The queue is
 * unbounded: libzmq's I/O thread would wait for a full one. NULL with errno. Close before the socket itself.
 */
void *monitor_open(void *socket, int events);
void monitor_close(void *socket, void **monitor_p);
bool monitor_next(void *monitor, uint16_t *ret_event, uint32_t *ret_value);

#endif
