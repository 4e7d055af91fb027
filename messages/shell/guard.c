/* SPDX-License-Identifier: MIT */
#include "messages/shell/guard.h"

#include "messages/shell/inbox.h"
#include "messages/shell/loop.h"
#include "messages/shell/socket.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

/* One class room behind one NAT address, with room; what a single stranger can make us hold is 1024 * 33 KiB.
 */
#define PER_ADDRESS_DEFAULT 1024

/* Heartbeats and other commands are received but never delivered: about 20 bytes every 10 s each way. */
#define COMMAND_BYTES_PER_S 16

/* TCP_INFO costs about 1 us: a whole sweep only after the process grew, else a part of it. */
#define GROWTH_BYTES (16u * 1024 * 1024)
#define SWEEP_PARTS  50

struct connection {
    bool is_live;
    struct host peer;
    uint64_t accepted_ms;
    uint64_t delivered; /* bytes that reached us */
};

struct guard {
    void *watched;
    void *monitor;
    size_t budget_bytes;
    size_t (*allowed_bytes)(void *owner, int fd); /* NULL: nothing beyond the budget */
    void *owner;
    unsigned per_address_max;
    bool exempts_loopback;
    struct connection *connections; /* by fd */
    size_t connections_size;
    size_t sweep_cursor;
    uint64_t swept_ms;
    uint64_t resident_bytes;
};

struct guard *guard_new(void *socket, size_t budget_bytes, unsigned per_address_max)
{
    int type = ZMQ_ROUTER;
    size_t size = sizeof type;
    zmq_getsockopt(socket, ZMQ_TYPE, &type, &size);
    int events = type == ZMQ_ROUTER ? ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED
                                    : ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_CLOSED |
                                          ZMQ_EVENT_DISCONNECTED;
    void *monitor = monitor_open(socket, events);
    if (!monitor)
        return NULL;
    struct guard *self = calloc(1, sizeof *self);
    assert(self);
    self->watched = socket;
    self->monitor = monitor;
    self->budget_bytes = budget_bytes;
    self->per_address_max = per_address_max ? per_address_max : PER_ADDRESS_DEFAULT;
    self->exempts_loopback = per_address_max == 0;
    return self;
}

void guard_destroy(struct guard **self_p)
{
    struct guard *self = *self_p;
    if (!self)
        return;
    monitor_close(self->watched, &self->monitor);
    free(self->connections);
    free(self);
    *self_p = NULL;
}

void guard_set_allowance(struct guard *self, size_t (*allowed_bytes)(void *owner, int fd), void *owner)
{
    self->allowed_bytes = allowed_bytes;
    self->owner = owner;
}

void *guard_socket(struct guard *self)
{
    return self->monitor;
}

static struct connection *connection_at(struct guard *self, int fd)
{
    assert(fd >= 0);
    size_t index = (size_t)fd;
    if (index >= self->connections_size) {
        size_t size = index + 64;
        struct connection *grown = realloc(self->connections, size * sizeof *grown);
        assert(grown);
        memset(grown + self->connections_size, 0, (size - self->connections_size) * sizeof *grown);
        self->connections = grown;
        self->connections_size = size;
    }
    return &self->connections[index];
}

static unsigned count_from(const struct guard *self, const struct host *peer)
{
    unsigned count = 0;
    for (size_t i = 0; i < self->connections_size; i++)
        count += self->connections[i].is_live && host_equal(&self->connections[i].peer, peer);
    return count;
}

/* Ends a connection as if the peer had: libzmq sees the end and frees what it holds. Never close(), the fd is
 * libzmq's. */
static void cut(struct connection *connection, int fd)
{
    struct host peer;
    if (connection_peer_host(fd, &peer) && host_equal(&peer, &connection->peer))
        shutdown(fd, SHUT_RDWR);
    connection->is_live = false;
}

/* What libzmq took from the kernel on this connection so far. */
static uint64_t taken_bytes(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return 0;
    int unread = 0;
    if (ioctl(fd, SIOCINQ, &unread) != 0 || unread < 0)
        unread = 0;
    return info.tcpi_bytes_received > (uint64_t)unread ? info.tcpi_bytes_received - (uint64_t)unread : 0;
}

/*
 * Messages of a connection may be read before the news of it: what was delivered under its number counts for
 * it, but never more than it sent, for part of that may have been the last connection's.
 */
static void on_begun(struct guard *self, int fd)
{
    struct host peer;
    if (!connection_peer_host(fd, &peer))
        return; /* gone already */
    struct connection *connection = connection_at(self, fd);
    uint64_t taken = taken_bytes(fd);
    *connection =
        (struct connection){.is_live = true,
                            .peer = peer,
                            .accepted_ms = clock_now_ms(),
                            .delivered = connection->delivered < taken ? connection->delivered : taken};
    bool is_exempt = self->exempts_loopback && host_is_loopback(&peer);
    if (!is_exempt && count_from(self, &peer) > self->per_address_max)
        cut(connection, fd);
}

enum guard_event guard_next(struct guard *self, int *ret_fd)
{
    uint16_t event = 0;
    uint32_t value = 0;
    while (monitor_next(self->monitor, &event, &value)) {
        int fd = (int)value;
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            return GUARD_READY;
        if (event == ZMQ_EVENT_CLOSED)
            return GUARD_REFUSED;
        if (fd < 0)
            continue;
        if (event == ZMQ_EVENT_DISCONNECTED) {
            connection_at(self, fd)->is_live = false;
            *ret_fd = fd;
            return GUARD_LOST;
        }
        on_begun(self, fd);
    }
    return GUARD_NOTHING;
}

bool guard_next_lost(struct guard *self, int *ret_fd)
{
    enum guard_event event;
    do {
        event = guard_next(self, ret_fd);
    } while (event != GUARD_NOTHING && event != GUARD_LOST);
    return event == GUARD_LOST;
}

void guard_delivered(struct guard *self, int fd, size_t bytes)
{
    if (fd >= 0)
        connection_at(self, fd)->delivered += bytes;
}

void guard_cut(struct guard *self, int fd)
{
    if (fd >= 0 && connection_at(self, fd)->is_live)
        cut(connection_at(self, fd), fd);
}

static uint64_t resident_bytes(void)
{
    unsigned long total_pages = 0, resident_pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%lu %lu", &total_pages, &resident_pages) != 2)
        resident_pages = 0;
    fclose(file);
    return (uint64_t)resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void inspect(struct guard *self, size_t index, uint64_t now_ms)
{
    struct connection *connection = &self->connections[index];
    if (!connection->is_live)
        return;
    struct host peer;
    if (!connection_peer_host((int)index, &peer) || !host_equal(&peer, &connection->peer))
        return; /* the number is another connection's by now; its own event is on the way */
    uint64_t allowed = self->budget_bytes + (now_ms - connection->accepted_ms) / 1000 * COMMAND_BYTES_PER_S;
    uint64_t taken = taken_bytes((int)index);
    if (taken > connection->delivered + allowed && self->allowed_bytes)
        allowed += self->allowed_bytes(self->owner, (int)index);
    if (taken > connection->delivered + allowed)
        cut(connection, (int)index);
}

void guard_sweep(struct guard *self)
{
    uint64_t now_ms = clock_now_ms();
    if (now_ms - self->swept_ms < GUARD_SWEEP_MS || self->connections_size == 0)
        return;
    self->swept_ms = now_ms;
    uint64_t resident = resident_bytes();
    size_t count = self->connections_size / SWEEP_PARTS + 1;
    if (resident > self->resident_bytes + GROWTH_BYTES) {
        count = self->connections_size;
        self->resident_bytes = resident;
    } else if (resident < self->resident_bytes) {
        self->resident_bytes = resident;
    }
    for (size_t i = 0; i < count; i++) {
        self->sweep_cursor = (self->sweep_cursor + 1) % self->connections_size;
        inspect(self, self->sweep_cursor, now_ms);
    }
}
