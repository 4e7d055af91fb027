/* SPDX-License-Identifier: MIT */
#include "tools/exchange.h"

#include "messages/shell/inbox.h"
#include "messages/shell/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <zmq.h>

struct exchange {
    void *socket, *monitor;
    enum receiver receiver;
    uint64_t connect_deadline_ms;
    bool was_connected, is_lost;
    msgpack_sbuffer pending; /* to be sent; empty when nothing is */
    bool has_message;        /* `inbound` and `envelope` hold what was handed out last */
    struct inbound inbound;
    struct envelope envelope;
};

struct exchange *exchange_new(enum socket_role role, const struct host *host, uint16_t port)
{
    assert(role == SOCKET_BROKER_CLIENT || role == SOCKET_PEER_CLIENT);
    struct exchange *self = calloc(1, sizeof *self);
    assert(self);
    msgpack_sbuffer_init(&self->pending);
    self->receiver = role == SOCKET_BROKER_CLIENT ? RECEIVER_MEMBER : RECEIVER_CLIENT;
    self->connect_deadline_ms = clock_now_ms() + EXCHANGE_CONNECT_MS_MAX;
    self->socket = socket_open(role);
    if (self->socket)
        self->monitor = monitor_open(self->socket, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED);
    if (!self->monitor || !socket_connect(self->socket, host, port)) {
        int error = errno;
        exchange_destroy(&self);
        errno = error;
        return NULL;
    }
    /* process_start() blocked them for programs that run a loop. */
    sigset_t set = stop_signals();
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    return self;
}

static void release_message(struct exchange *self)
{
    if (!self->has_message)
        return;
    envelope_close(&self->envelope);
    inbound_release(&self->inbound);
    self->has_message = false;
}

void exchange_destroy(struct exchange **self_p)
{
    assert(self_p);
    struct exchange *self = *self_p;
    if (!self)
        return;
    release_message(self);
    if (self->monitor)
        monitor_close(self->socket, &self->monitor);
    if (self->socket) {
        int zero = 0; /* what was not answered is of no use to anyone any more */
        zmq_setsockopt(self->socket, ZMQ_LINGER, &zero, sizeof zero);
    }
    socket_close(&self->socket);
    msgpack_sbuffer_destroy(&self->pending);
    free(self);
    *self_p = NULL;
}

void exchange_connect_within(struct exchange *self, uint64_t time_ms)
{
    if (time_ms < EXCHANGE_CONNECT_MS_MAX)
        self->connect_deadline_ms = clock_now_ms() + time_ms;
}

/* A reply that came before its request was sent has made that request needless. */
void exchange_send(struct exchange *self, const struct message *message)
{
    msgpack_sbuffer_clear(&self->pending);
    message_write(message, &self->pending);
}

bool exchange_was_connected(const struct exchange *self)
{
    return self->was_connected;
}

static void read_monitor(struct exchange *self)
{
    uint16_t event;
    uint32_t value;
    while (monitor_next(self->monitor, &event, &value)) {
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            self->was_connected = true;
        else if (self->was_connected)
            self->is_lost = true;
    }
}

static void reply(struct exchange *self, const struct message *message)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    message_write(message, &buffer);
    socket_send(self->socket, buffer.data, buffer.size); /* lost with the connection, if it is */
    msgpack_sbuffer_destroy(&buffer);
}

static void send_pending(struct exchange *self)
{
    if (self->pending.size > 0 && socket_send(self->socket, self->pending.data, self->pending.size))
        msgpack_sbuffer_clear(&self->pending);
}

/* Reads one message, already received. True when it is for the caller. */
static bool read_message(struct exchange *self, struct message *ret_message)
{
    struct envelope *envelope = &self->envelope;
    enum envelope_result result =
        envelope_open(envelope, zmq_msg_data(&self->inbound.header), zmq_msg_size(&self->inbound.header),
                      self->receiver, self->inbound.frame_count);
    enum error_code code = ERROR_BAD_MESSAGE;
    const char *text = "malformed";
    if (result == ENVELOPE_UNASKED)
        return false;
    if (result == ENVELOPE_OK) {
        if (message_read(envelope, ret_message)) {
            if (ret_message->kind != KIND_PING)
                return true;
            reply(self, &(struct message){.kind = KIND_PONG, .rid = ret_message->rid});
            return false;
        }
    } else if (result == ENVELOPE_VERSION) {
        code = ERROR_UNSUPPORTED;
        text = "speaks 1";
    } else if (result == ENVELOPE_UNSUPPORTED) {
        code = ERROR_UNSUPPORTED;
        text = "not a kind that a client serves";
    }
    if (!envelope->is_never_answered) {
        struct message error = message_error(envelope->rid, code, text, 0);
        reply(self, &error);
    }
    return false;
}

enum exchange_result exchange_wait(struct exchange *self, uint64_t deadline_ms, struct message *ret_message)
{
    release_message(self);
    for (;;) {
        /* First of all, so that a flood of messages cannot hold the caller past its deadline. */
        uint64_t now_ms = clock_now_ms();
        if (now_ms >= deadline_ms)
            return EXCHANGE_DEADLINE;
        send_pending(self); /* a flood of messages must not keep it back */
        if (inbox_receive(self->socket, &self->inbound) == INBOX_MESSAGE) {
            self->has_message = true;
            if (read_message(self, ret_message))
                return EXCHANGE_MESSAGE;
            release_message(self);
            continue;
        }
        if (self->is_lost)
            return EXCHANGE_LOST;
        if (!self->was_connected && now_ms >= self->connect_deadline_ms)
            return EXCHANGE_UNREACHABLE;
        uint64_t until_ms = deadline_ms;
        if (!self->was_connected && self->connect_deadline_ms < until_ms)
            until_ms = self->connect_deadline_ms;
        bool must_send = self->pending.size > 0;
        zmq_pollitem_t items[] = {
            {.socket = self->socket, .events = (short)(must_send ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN)},
            {.socket = self->monitor, .events = ZMQ_POLLIN},
        };
        uint64_t wait_ms = until_ms - now_ms;
        zmq_poll(items, 2, wait_ms < INT_MAX ? (long)wait_ms : INT_MAX);
        if (items[1].revents & ZMQ_POLLIN)
            read_monitor(self);
    }
}
