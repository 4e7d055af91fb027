/* SPDX-License-Identifier: MIT */
#include "node/shell/link/broker_client.h"

#include "messages/shell/inbox.h"
#include "messages/shell/socket.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages taken from the socket before others get a turn in the loop. */
#define MESSAGES_PER_ROUND 64

/* Addresses of one name that are tried one after another. */
#define ADDRESSES_MAX 16

#define TROUBLE_TEXT_SIZE 1024

struct lookup {
    struct job job;
    struct broker_client *client;
    char name[NI_MAXHOST];
    int error; /* of getaddrinfo */
    struct host hosts[ADDRESSES_MAX];
    size_t count;
};

/* A request under way. */
struct asked {
    uint64_t rid;   /* 0: the slot is free */
    bool is_search; /* FOUND is not the last reply */
    void (*replied)(void *owner, const struct message *reply);
    void *owner;
};

struct broker_client {
    struct loop *loop;
    struct workers *workers;
    struct broker_client_config config;
    struct broker_client_events events;
    struct broker_link *link;
    struct broker_effects effects;
    void *socket; /* NULL until an address is known */
    void *monitor;
    struct host hosts[ADDRESSES_MAX];
    size_t host_count, next_host;
    bool is_numeric;
    bool is_connected;
    bool is_looking_up;
    bool is_stopped;
    bool is_trouble_told; /* until joined */
    uint64_t give_up_at_ms;
    uint64_t last_rid;
    struct asked asked[BROKER_ASKED_MAX];
};

static void run_effects(struct broker_client *self);

/* Tells what is wrong once, until it is well again. `reason` may be empty. */
static void tell_trouble(struct broker_client *self, const char *what, const char *reason)
{
    char text[TROUBLE_TEXT_SIZE];
    if (self->is_trouble_told)
        return;
    self->is_trouble_told = true;
    bool is_v6 = strchr(self->config.broker_host, ':') != NULL;
    snprintf(text, sizeof text, "%s tcp://%s%s%s:%u%s%s; serving without it, and trying again", what,
             is_v6 ? "[" : "", self->config.broker_host, is_v6 ? "]" : "", self->config.broker_port,
             reason[0] ? ": " : "", reason);
    self->events.trouble(self->events.owner, text);
}

static bool send_header(struct broker_client *self, const uint8_t *bytes, size_t size)
{
    if (!self->socket)
        return false;
    if (socket_send(self->socket, bytes, size))
        return true;
    /* A connection that was just made is seen by the socket only once its commands were processed. */
    int events;
    size_t events_size = sizeof events;
    return errno == EAGAIN && zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &events_size) == 0 &&
           socket_send(self->socket, bytes, size);
}

static const char *cure_of(const struct broker_effect *effect)
{
    if (effect->code == ERROR_DUPLICATE)
        return "another znode runs with this node id: stop it, or give this one its own --state";
    if (effect->is_about_port && effect->code == ERROR_DENIED)
        return "start it with --assign-ports, or this node with another --port; trying again";
    if (effect->is_about_port && effect->code == ERROR_BUSY)
        return "start it with more --assign-ports, or this node with another --port; trying again";
    return "trying again";
}

static void on_refused(struct broker_client *self, const struct broker_effect *effect)
{
    char text[TROUBLE_TEXT_SIZE];
    snprintf(text, sizeof text, "the broker refused this node (%s: %s); %s", error_name(effect->code),
             effect->text, cure_of(effect));
    self->is_trouble_told = true;
    self->events.trouble(self->events.owner, text);
}

static void run_effect(struct broker_client *self, const struct broker_effect *effect)
{
    switch (effect->kind) {
    case BROKER_SEND:
        /* A message that cannot be sent is made up for by the link's own timers. */
        send_header(self, (const uint8_t *)self->effects.bytes.data + effect->header_offset,
                    effect->header_size);
        break;
    case BROKER_JOINED:
        self->is_trouble_told = false;
        self->events.joined(self->events.owner, &effect->host, effect->port);
        break;
    case BROKER_LOST:
        if (!self->is_stopped)
            tell_trouble(self, "lost the broker", "");
        break;
    case BROKER_REFUSED:
        on_refused(self, effect);
        break;
    case BROKER_ASSIGNED:
        self->events.assigned(self->events.owner, effect->port);
        break;
    }
}

static void run_effects(struct broker_client *self)
{
    for (size_t i = 0; i < self->effects.count; i++)
        run_effect(self, &self->effects.items[i]);
    broker_effects_clear(&self->effects);
}

/* Messages. */

/* The slot of a request; of rid 0: a free one. NULL when there is none. */
static struct asked *asked_by_rid(struct broker_client *self, uint64_t rid)
{
    for (size_t i = 0; i < BROKER_ASKED_MAX; i++) {
        if (self->asked[i].rid == rid)
            return &self->asked[i];
    }
    return NULL;
}

static void hand_to_asker(struct broker_client *self, const struct message *reply)
{
    struct asked *slot = reply->rid == 0 ? NULL : asked_by_rid(self, reply->rid);
    if (!slot)
        return;
    struct asked asked = *slot; /* the asker may ask again at once */
    if (!asked.is_search || reply->kind != KIND_FOUND)
        slot->rid = 0;
    asked.replied(asked.owner, reply);
}

static void on_inbound(struct broker_client *self, struct inbound *in)
{
    struct envelope envelope;
    struct message message;
    enum envelope_result opened = envelope_open(&envelope, zmq_msg_data(&in->header),
                                                zmq_msg_size(&in->header), RECEIVER_MEMBER, in->frame_count);
    enum broker_link_result result = broker_link_on_envelope(self->link, opened, &envelope, random_u64(),
                                                             clock_now_ms(), &self->effects, &message);
    run_effects(self);
    if (result == BROKER_LINK_NOT_MINE)
        hand_to_asker(self, &message);
    envelope_close(&envelope);
}

static void on_socket(void *owner)
{
    struct broker_client *self = owner;
    struct inbound in;
    for (unsigned i = 0; i < MESSAGES_PER_ROUND && self->socket; i++) {
        enum inbox_result result = inbox_receive(self->socket, &in);
        if (result == INBOX_EMPTY)
            break;
        if (result != INBOX_MESSAGE)
            continue;
        on_inbound(self, &in);
        inbound_release(&in);
    }
}

/* The connection. */

static void on_connection_lost(struct broker_client *self)
{
    self->is_connected = false;
    self->give_up_at_ms = clock_now_ms() + BROKER_CONNECT_MS;
    broker_link_on_disconnected(self->link, &self->effects);
    run_effects(self);
}

static void on_monitor(void *owner)
{
    struct broker_client *self = owner;
    uint16_t event;
    uint32_t value;
    while (monitor_next(self->monitor, &event, &value)) {
        if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
            self->is_connected = true;
            broker_link_on_connected(self->link, random_u64(), clock_now_ms());
        } else if (event == ZMQ_EVENT_DISCONNECTED && self->is_connected) {
            on_connection_lost(self);
        }
    }
}

static void close_socket(struct broker_client *self)
{
    if (self->socket)
        loop_remove_socket(self->loop, self->socket);
    if (self->monitor) {
        loop_remove_socket(self->loop, self->monitor);
        monitor_close(self->socket, &self->monitor);
    }
    socket_close(&self->socket);
}

/* To the next address that is known. */
static bool open_socket(struct broker_client *self)
{
    close_socket(self);
    const struct host *host = &self->hosts[self->next_host++ % self->host_count];
    self->give_up_at_ms = clock_now_ms() + BROKER_CONNECT_MS;
    self->socket = socket_open(SOCKET_BROKER_CLIENT);
    if (!self->socket)
        return false;
    self->monitor = monitor_open(self->socket, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED);
    if (self->monitor && loop_add_socket(self->loop, self->socket, on_socket, self) &&
        loop_add_socket(self->loop, self->monitor, on_monitor, self) &&
        socket_connect(self->socket, host, self->config.broker_port))
        return true;
    int error = errno;
    close_socket(self);
    errno = error;
    return false;
}

/* Names. */

static void run_lookup(struct job *job)
{
    struct lookup *self = (struct lookup *)job;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    self->error = getaddrinfo(self->name, NULL, &hints, &found);
    if (self->error != 0)
        return;
    for (struct addrinfo *a = found; a && self->count < ADDRESSES_MAX; a = a->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0 &&
            host_parse(text_of(text), &self->hosts[self->count]))
            self->count++;
    }
    freeaddrinfo(found);
}

static void finish_lookup(struct job *job)
{
    struct lookup *lookup = (struct lookup *)job;
    struct broker_client *self = lookup->client;
    self->is_looking_up = false;
    self->give_up_at_ms = clock_now_ms() + BROKER_CONNECT_MS;
    if (!self->is_stopped && lookup->count > 0) {
        memcpy(self->hosts, lookup->hosts, sizeof self->hosts);
        self->host_count = lookup->count;
        open_socket(self); /* if it fails, the next round tries again */
    } else if (!self->is_stopped) {
        tell_trouble(self, "cannot find the broker",
                     lookup->error != 0 ? gai_strerror(lookup->error) : "no usable address");
    }
    free(lookup);
}

static void start_lookup(struct broker_client *self)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);
    assert(lookup);
    lookup->job = (struct job){.run = run_lookup, .done = finish_lookup};
    lookup->client = self;
    snprintf(lookup->name, sizeof lookup->name, "%s", self->config.broker_host);
    self->is_looking_up = true;
    workers_put(self->workers, &lookup->job);
}

/* No connection for a while: another address, if there can be one. ZeroMQ itself goes on with the same one.
 */
static void on_connect_timeout(struct broker_client *self, uint64_t now_ms)
{
    self->give_up_at_ms = now_ms + BROKER_CONNECT_MS;
    if (self->socket)
        tell_trouble(self, "cannot reach the broker", "");
    if (!self->is_numeric)
        start_lookup(self);
    else if (!self->socket)
        open_socket(self);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct broker_client *self = owner;
    if (!self->is_connected && !self->is_looking_up && now_ms >= self->give_up_at_ms)
        on_connect_timeout(self, now_ms);
    broker_link_tick(self->link, random_u64(), now_ms, &self->effects);
    run_effects(self);
    uint64_t next_ms = broker_link_next_deadline_ms(self->link);
    bool is_waiting = !self->is_connected && !self->is_looking_up;
    return is_waiting && self->give_up_at_ms < next_ms ? self->give_up_at_ms : next_ms;
}

/* Life. */

struct broker_client *broker_client_new(struct loop *loop, struct workers *workers,
                                        const struct broker_client_config *config,
                                        const struct holdings *holdings,
                                        const struct broker_client_events *events)
{
    struct broker_client *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->workers = workers;
    self->config = *config;
    self->events = *events;
    self->link = broker_link_new(&config->link, holdings);
    broker_effects_init(&self->effects);
    self->is_numeric = host_parse(text_of(config->broker_host), &self->hosts[0]);
    self->host_count = self->is_numeric ? 1 : 0;
    bool is_started = loop_add_ticker(loop, on_tick, self) && (!self->is_numeric || open_socket(self));
    if (!is_started) {
        int error = errno;
        self->is_stopped = true;
        loop_remove_ticker(loop, self);
        broker_client_destroy(&self);
        errno = error;
        return NULL;
    }
    if (!self->is_numeric)
        start_lookup(self);
    return self;
}

uint64_t broker_client_ask(struct broker_client *self, const struct message *request,
                           void (*replied)(void *owner, const struct message *reply), void *owner)
{
    struct asked *slot = asked_by_rid(self, 0);
    if (!slot)
        return 0;
    struct message message = *request;
    message.rid = self->last_rid + 1;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(&message, &bytes);
    bool is_sent = send_header(self, (const uint8_t *)bytes.data, bytes.size);
    msgpack_sbuffer_destroy(&bytes);
    if (!is_sent)
        return 0;
    *slot = (struct asked){++self->last_rid, request->kind == KIND_SEARCH, replied, owner};
    return message.rid;
}

void broker_client_forget(struct broker_client *self, uint64_t rid)
{
    struct asked *slot = rid == 0 ? NULL : asked_by_rid(self, rid);
    if (slot)
        slot->rid = 0;
}

bool broker_client_is_joined(const struct broker_client *self)
{
    return broker_link_is_joined(self->link);
}

void broker_client_on_bound(struct broker_client *self, uint16_t port, struct text node_name)
{
    broker_link_on_bound(self->link, port, node_name, random_u64(), clock_now_ms());
    loop_remove_ticker(self->loop, self);
    bool is_added = loop_add_ticker(self->loop, on_tick, self);
    assert(is_added); /* fewer than LOOP_TICKERS_MAX are ever used */
    (void)is_added;
}

uint32_t broker_client_lease_ms(const struct broker_client *self)
{
    return broker_link_lease_ms(self->link);
}

void broker_client_rest(struct broker_client *self)
{
    broker_link_rest(self->link, &self->effects);
    run_effects(self);
}

void broker_client_wake(struct broker_client *self)
{
    broker_link_wake(self->link, clock_now_ms());
}

void broker_client_stop(struct broker_client *self)
{
    if (self->is_stopped)
        return;
    self->is_stopped = true;
    broker_link_on_stop(self->link, &self->effects);
    run_effects(self);
    loop_remove_ticker(self->loop, self);
    close_socket(self);
}

void broker_client_destroy(struct broker_client **self_p)
{
    struct broker_client *self = *self_p;
    if (!self)
        return;
    broker_client_stop(self);
    assert(!self->is_looking_up);
    close_socket(self);
    broker_effects_release(&self->effects);
    broker_link_destroy(&self->link);
    free(self);
    *self_p = NULL;
}
