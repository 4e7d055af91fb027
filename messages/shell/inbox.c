/* SPDX-License-Identifier: MIT */
#include "messages/shell/inbox.h"

#include "messages/shell/socket.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool receive_frame(void *socket, zmq_msg_t *frame)
{
    while (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR)
            return false;
    }
    return true;
}

/* The metadata of a routing id frame is missing in libzmq 4.3.4 once the socket was polled; the header frame
 * has it. */
static void read_metadata(zmq_msg_t *frame, struct inbound *ret)
{
    ret->fd = zmq_msg_get(frame, ZMQ_SRCFD);
    const char *address = zmq_msg_gets(frame, "Peer-Address");
    ret->has_peer = address && host_parse(text_of(address), &ret->peer);
}

/* With the head that ZMTP puts in front: flags, and the size in one byte or in eight. */
static size_t wire_size(size_t frame_size)
{
    return frame_size + (frame_size > 255 ? 9 : 2);
}

/* Reads the frames after a routing id: keeps two, counts all. */
static void receive_frames(void *socket, struct inbound *ret)
{
    zmq_msg_init(&ret->header);
    zmq_msg_init(&ret->payload);
    ret->frame_count = 0;
    ret->fd = -1;
    ret->has_peer = false;
    bool has_more = true;
    while (has_more) {
        zmq_msg_t extra;
        zmq_msg_t *frame = ret->frame_count == 0 ? &ret->header : &ret->payload;
        if (ret->frame_count > 1) {
            zmq_msg_init(&extra);
            frame = &extra;
        }
        if (!receive_frame(socket, frame))
            break; /* the rest of a message is always there; nothing else can be done */
        if (ret->frame_count == 0)
            read_metadata(frame, ret);
        ret->frame_count++;
        ret->byte_count += wire_size(zmq_msg_size(frame));
        has_more = zmq_msg_more(frame);
        if (frame == &extra)
            zmq_msg_close(&extra);
    }
}

static bool read_route(zmq_msg_t *id, uint32_t *ret_route)
{
    const uint8_t *bytes = zmq_msg_data(id);
    if (zmq_msg_size(id) != ROUTE_SIZE || bytes[0] != 0)
        return false;
    memcpy(ret_route, bytes + 1, sizeof *ret_route);
    return true;
}

enum inbox_result inbox_receive_routed(void *router, struct inbound *ret)
{
    zmq_msg_t id;
    zmq_msg_init(&id);
    if (!receive_frame(router, &id)) {
        zmq_msg_close(&id);
        return INBOX_EMPTY;
    }
    ret->route = 0;
    ret->byte_count = 0;
    bool is_ours = read_route(&id, &ret->route);
    bool has_more = zmq_msg_more(&id);
    zmq_msg_close(&id);
    if (!has_more)
        return INBOX_EMPTY;
    receive_frames(router, ret);
    if (is_ours)
        return INBOX_MESSAGE;
    inbound_release(ret);
    return INBOX_DROPPED;
}

/* With ZMQ_IMMEDIATE, libzmq takes a connection that ended away from the socket when it gets round to it,
 * which is also at every hundredth zmq_msg_recv(). In the middle of a message that is an assertion (fq.cpp:
 * !_more). So what has ended by now is taken away here, where nothing is half read. */
static void settle_connections(void *dealer)
{
    int events;
    size_t size = sizeof events;
    (void)zmq_getsockopt(dealer, ZMQ_EVENTS, &events, &size);
}

enum inbox_result inbox_receive(void *dealer, struct inbound *ret)
{
    ret->route = 0;
    ret->byte_count = 0;
    settle_connections(dealer);
    receive_frames(dealer, ret);
    if (ret->frame_count > 0)
        return INBOX_MESSAGE;
    inbound_release(ret);
    return INBOX_EMPTY;
}

void inbound_release(struct inbound *self)
{
    zmq_msg_close(&self->header);
    zmq_msg_close(&self->payload);
}

static bool host_of_sockaddr(const struct sockaddr_storage *address, struct host *ret_host)
{
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        memcpy(ret_host->bytes, &in6->sin6_addr, sizeof ret_host->bytes);
        return true;
    }
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        *ret_host = (struct host){{[10] = 0xff, [11] = 0xff}};
        memcpy(ret_host->bytes + 12, &in->sin_addr, 4);
        return true;
    }
    return false;
}

bool connection_peer_host(int fd, struct host *ret_host)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return getpeername(fd, (struct sockaddr *)&address, &size) == 0 && host_of_sockaddr(&address, ret_host);
}

bool connection_local_host(int fd, const struct host *peer, struct host *ret_host)
{
    struct host actual;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return fd >= 0 && connection_peer_host(fd, &actual) && host_equal(&actual, peer) &&
           getsockname(fd, (struct sockaddr *)&address, &size) == 0 && host_of_sockaddr(&address, ret_host);
}
