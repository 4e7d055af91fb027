/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_MESSAGES_SHELL_WIRE_H
#define TESTS_UNIT_MESSAGES_SHELL_WIRE_H

/*
 * Both ends of a connection on loopback: our sockets, and a client that speaks ZMTP 3 by hand, for frames
 * that libzmq would not send. Every wait has a deadline, and a failure ends the test.
 */

#include "messages/shell/inbox.h"
#include "messages/shell/loop.h"
#include "messages/shell/socket.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Far more than anything here takes, also under sanitizers on a busy machine. */
#define WIRE_PATIENCE_MS 30000

#define ZMTP_MORE    1
#define ZMTP_COMMAND 4

static inline void *wire_listen(enum socket_role role, uint16_t *ret_port)
{
    void *socket = socket_open(role);
    assert(socket);
    bool is_bound = socket_bind(socket, "tcp://127.0.0.1:*", ret_port);
    assert(is_bound);
    return socket;
}

static inline void *wire_connect(enum socket_role role, uint16_t port)
{
    struct host loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    void *socket = socket_open(role);
    assert(socket);
    bool is_connected = socket_connect(socket, &loopback, port);
    assert(is_connected);
    return socket;
}

static inline void wire_wait(void *socket, short events)
{
    zmq_pollitem_t item = {.socket = socket, .events = events};
    int ready = zmq_poll(&item, 1, WIRE_PATIENCE_MS);
    assert(ready == 1);
}

/* Our DEALERs queue nothing for a connection that is not there yet. */
static inline void wire_send(void *dealer, const void *bytes, size_t size)
{
    wire_wait(dealer, ZMQ_POLLOUT);
    bool is_sent = socket_send(dealer, bytes, size);
    assert(is_sent);
}

static inline struct inbound wire_receive_routed(void *router)
{
    struct inbound inbound;
    wire_wait(router, ZMQ_POLLIN);
    enum inbox_result result = inbox_receive_routed(router, &inbound);
    assert(result == INBOX_MESSAGE);
    return inbound;
}

static inline struct inbound wire_receive(void *dealer)
{
    struct inbound inbound;
    wire_wait(dealer, ZMQ_POLLIN);
    enum inbox_result result = inbox_receive(dealer, &inbound);
    assert(result == INBOX_MESSAGE);
    return inbound;
}

static inline int zmtp_connect_plain(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(fd >= 0);
    int result = connect(fd, (const struct sockaddr *)&address, sizeof address);
    assert(result == 0);
    return fd;
}

static inline void zmtp_put(int fd, const void *bytes, size_t size)
{
    ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
    assert(sent == (ssize_t)size);
}

static inline void zmtp_take(int fd, void *ret_bytes, size_t size)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int ready = poll(&wait, 1, WIRE_PATIENCE_MS);
    assert(ready == 1);
    ssize_t got = recv(fd, ret_bytes, size, MSG_WAITALL);
    assert(got == (ssize_t)size);
}

/* A frame of less than 256 bytes. */
static inline void zmtp_frame(int fd, uint8_t flags, const void *body, uint8_t size)
{
    uint8_t frame[2 + 255] = {flags, size};
    if (size > 0)
        memcpy(frame + 2, body, size);
    zmtp_put(fd, frame, 2 + (size_t)size);
}

/* Connects as a DEALER that chooses `identity` for itself; NULL leaves the choice to the other side. */
static inline int zmtp_connect(uint16_t port, const char *identity, uint8_t identity_size)
{
    static const uint8_t greeting[64] = {[0] = 0xff, [9] = 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    uint8_t ready[128] = "\5READY\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0";
    size_t size = 6 + 12 + 4 + 6 + 9 + 3;
    ready[size++] = identity ? identity_size : 0;
    if (identity)
        memcpy(ready + size, identity, identity_size);
    size += identity ? identity_size : 0;

    int fd = zmtp_connect_plain(port);
    uint8_t theirs[64], head[2], body[255];
    zmtp_put(fd, greeting, sizeof greeting);
    zmtp_take(fd, theirs, sizeof theirs);
    zmtp_frame(fd, ZMTP_COMMAND, ready, (uint8_t)size);
    zmtp_take(fd, head, sizeof head);
    assert(head[0] == ZMTP_COMMAND);
    zmtp_take(fd, body, head[1]);
    return fd;
}

/* The other side ended the connection; what it sent before is skipped. Does not wait. */
static inline bool zmtp_is_ended(int fd)
{
    char bytes[4096];
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        ;
    return got == 0 || errno != EAGAIN;
}

#endif
