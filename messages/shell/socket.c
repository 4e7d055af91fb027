/* SPDX-License-Identifier: MIT */
#include "messages/shell/socket.h"

#include "messages/message.h"
#include "messages/shell/loop.h"

#include <assert.h>
#include <czmq.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zmq.h>

/* Enough for 10 000 nodes and their files; also what systemd units of servers ask for. */
#define OPEN_FILES_WANTED 65536

/* Bounds what a large machine gives to sockets alone. */
#define IO_THREADS_MAX 4

/* A CURVE message adds 33 bytes to a frame. */
#define FRAME_OVERHEAD 64

#define MEBIBYTE (1024 * 1024)

static int open_sockets;

static void raise_open_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= OPEN_FILES_WANTED)
        return;
    limit.rlim_cur = limit.rlim_max < OPEN_FILES_WANTED ? limit.rlim_max : OPEN_FILES_WANTED;
    setrlimit(RLIMIT_NOFILE, &limit); /* best effort: the shim sheds what does not fit */
}

/*
 * glibc maps and unmaps every received megabyte by default, and the page faults cost more than SHA-256.
 * One arena, because libzmq allocates in one thread what another frees.
 */
static void tune_allocator(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 * MEBIBYTE);
    mallopt(M_TRIM_THRESHOLD, 256 * MEBIBYTE);
    mallopt(M_TOP_PAD, 16 * MEBIBYTE);
    mallopt(M_ARENA_MAX, 1);
}

void process_start(unsigned io_threads)
{
    raise_open_files();
    tune_allocator();
    signal(SIGPIPE, SIG_IGN);
    /* Blocked before any thread starts, so that only the loop's signalfd sees them. */
    sigset_t set = stop_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);

    zsys_handler_set(NULL);
    zsys_init();
    zsys_set_io_threads(io_threads);
    zsys_set_max_sockets(0);
}

unsigned process_io_threads(void)
{
    unsigned count = processor_count();
    return count < IO_THREADS_MAX ? count : IO_THREADS_MAX;
}

void process_finish(void)
{
    assert(open_sockets == 0);
    zsys_shutdown();
}

static void set_int(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(rc == 0); /* an option that this libzmq does not know is our bug */
    (void)rc;
}

struct role_options {
    int type;
    int frame_size_max;
    int queue_count_max; /* per connection and direction; memory is bounded by credit, not by this */
    int inbound_count_max;
    int reconnect_max_ms;
};

static const struct role_options role_options[] = {
    /* What a broker has not read of a node's long answers must stay within the budget of its guard. */
    [SOCKET_BROKER] = {ZMQ_ROUTER, HEADER_SIZE_MAX_JOIN + FRAME_OVERHEAD, 200, 12, 8000},
    [SOCKET_BROKER_CLIENT] = {ZMQ_DEALER, HEADER_SIZE_MAX_BROKER + FRAME_OVERHEAD, 1000, 1000, 8000},
    [SOCKET_PEER] = {ZMQ_ROUTER, HEADER_SIZE_MAX_PEER + FRAME_OVERHEAD, 2048, 2048, 30000},
    [SOCKET_PEER_CLIENT] = {ZMQ_DEALER, PAYLOAD_SIZE_MAX + FRAME_OVERHEAD, 2048, 2048, 30000},
};

/* libzmq cancels the timer of a heartbeat by a walk over those of all connections: with ten thousand nodes a
 * broker that sent heartbeats of its own would spend a third of a core on them, and stand still once it gets
 * less. Nodes have a lease, what connects sends heartbeats with a time to live, and the kernel asks those
 * that send neither. */
static void leave_the_dead_to_the_kernel(void *socket)
{
    set_int(socket, ZMQ_HEARTBEAT_IVL, 0);
    set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 60);
    set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, 10);
    set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
}

void *socket_open(enum socket_role role)
{
    const struct role_options *options = &role_options[role];
    void *socket = zmq_socket(zsys_init(), options->type);
    if (!socket)
        return NULL;
    open_sockets++;

    int64_t frame_size_max = options->frame_size_max;
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_size_max, sizeof frame_size_max);
    set_int(socket, ZMQ_SNDHWM, options->queue_count_max);
    set_int(socket, ZMQ_RCVHWM, options->inbound_count_max);
    set_int(socket, ZMQ_HANDSHAKE_IVL, 4000);
    if (role == SOCKET_BROKER) {
        leave_the_dead_to_the_kernel(socket);
    } else {
        set_int(socket, ZMQ_HEARTBEAT_IVL, 10000);
        set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 25000);
        set_int(socket, ZMQ_HEARTBEAT_TTL, 30000); /* above 65 s it wraps */
    }
    set_int(socket, ZMQ_LINGER, 500);
    set_int(socket, ZMQ_IPV6, 1);
    set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    set_int(socket, ZMQ_TCP_MAXRT, 20000);
    /* SO_SNDBUF and SO_RCVBUF stay the kernel's: setting them turns autotuning off. */
    if (options->type == ZMQ_ROUTER) {
        set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
        set_int(socket, ZMQ_BACKLOG, 4096);
    } else {
        set_int(socket, ZMQ_IMMEDIATE, 1); /* nothing piles up for an endpoint that never answers */
        set_int(socket, ZMQ_CONNECT_TIMEOUT, 4000);
        set_int(socket, ZMQ_RECONNECT_IVL, 300 + (int)(random_u64() % 500));
        set_int(socket, ZMQ_RECONNECT_IVL_MAX, options->reconnect_max_ms);
    }
    return socket;
}

void socket_close(void **socket_p)
{
    if (!*socket_p)
        return;
    zmq_close(*socket_p);
    open_sockets--;
    *socket_p = NULL;
}

bool socket_bind(void *socket, const char *endpoint, uint16_t *ret_port)
{
    if (zmq_bind(socket, endpoint) != 0)
        return false;
    char bound[256] = "";
    size_t size = sizeof bound;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &size) != 0)
        return false;
    const char *colon = strrchr(bound, ':');
    *ret_port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
    return true;
}

bool socket_connect(void *socket, const struct host *host, uint16_t port)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(host, port, endpoint);
    return zmq_connect(socket, endpoint) == 0;
}

bool socket_send(void *socket, const void *bytes, size_t size)
{
    return zmq_send(socket, bytes, size, ZMQ_DONTWAIT) >= 0;
}

void socket_route_bytes(uint32_t route, uint8_t ret_bytes[ROUTE_SIZE])
{
    ret_bytes[0] = 0;
    memcpy(ret_bytes + 1, &route, sizeof route);
}

bool socket_send_route(void *socket, uint32_t route, const void *bytes, size_t size)
{
    uint8_t id[ROUTE_SIZE];
    socket_route_bytes(route, id);
    /* A full queue or a lost route shows at the first frame; what follows is swallowed if the peer dies just
     * then. */
    if (zmq_send(socket, id, sizeof id, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0)
        return false;
    return zmq_send(socket, bytes, size, ZMQ_DONTWAIT) >= 0;
}

void *monitor_open(void *socket, int events)
{
    static unsigned serial;
    char address[64];
    snprintf(address, sizeof address, "inproc://monitor-%u", ++serial);
    if (zmq_socket_monitor(socket, address, events) != 0)
        return NULL;
    void *monitor = zmq_socket(zsys_init(), ZMQ_PAIR);
    int zero = 0;
    if (monitor && zmq_setsockopt(monitor, ZMQ_RCVHWM, &zero, sizeof zero) == 0 &&
        zmq_setsockopt(monitor, ZMQ_LINGER, &zero, sizeof zero) == 0 && zmq_connect(monitor, address) == 0) {
        open_sockets++;
        return monitor;
    }
    if (monitor)
        zmq_close(monitor);
    zmq_socket_monitor(socket, NULL, 0);
    return NULL;
}

void monitor_close(void *socket, void **monitor_p)
{
    zmq_socket_monitor(socket, NULL, 0);
    socket_close(monitor_p);
}

bool monitor_next(void *monitor, uint16_t *ret_event, uint32_t *ret_value)
{
    /* An event is a 6-byte frame (u16 event, u32 value) and an address. */
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    bool is_read = zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= 0;
    if (is_read && zmq_msg_size(&frame) >= 6) {
        memcpy(ret_event, zmq_msg_data(&frame), 2);
        memcpy(ret_value, (const char *)zmq_msg_data(&frame) + 2, 4);
    }
    while (is_read && zmq_msg_more(&frame))
        zmq_msg_recv(&frame, monitor, 0);
    zmq_msg_close(&frame);
    return is_read;
}
