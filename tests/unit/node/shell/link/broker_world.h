/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_SHELL_LINK_BROKER_WORLD_H
#define TESTS_UNIT_NODE_SHELL_LINK_BROKER_WORLD_H

/* A broker client in a loop, and a scripted broker in the same one that notes requests and answers by hand.
 */

#include "messages/shell/inbox.h"
#include "messages/shell/socket.h"
#include "node/shell/link/broker_client.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

/* Far more than anything here takes, also under sanitizers on a busy machine. */
#define PATIENCE_MS 30000

#define REQUESTS_MAX 128

static struct {
    void *router;
    uint16_t port;
    struct {
        uint16_t kind;
        uint64_t rid;
        uint8_t mode;
        char text[ID_HEX_SIZE];
    } requests[REQUESTS_MAX];
    size_t count;
    uint32_t route;
} broker;

static struct loop *loop;
static struct workers *workers;
static struct share_index *empty_index;
static struct holdings *holdings;
static struct broker_client *client;

static bool (*is_reached)(void);
static uint64_t give_up_at_ms;

static inline void broker_reply(const struct message *message)
{
    msgpack_sbuffer header;
    msgpack_sbuffer_init(&header);
    message_write(message, &header);
    uint8_t id[ROUTE_SIZE];
    socket_route_bytes(broker.route, id);
    zmq_send(broker.router, id, sizeof id, ZMQ_SNDMORE);
    zmq_send(broker.router, header.data, header.size, 0);
    msgpack_sbuffer_destroy(&header);
}

static inline void broker_on_message(void *owner)
{
    (void)owner;
    struct inbound inbound;
    if (inbox_receive_routed(broker.router, &inbound) != INBOX_MESSAGE)
        return;
    struct envelope envelope;
    struct message m;
    if (envelope_open(&envelope, zmq_msg_data(&inbound.header), zmq_msg_size(&inbound.header),
                      RECEIVER_BROKER, inbound.frame_count) == ENVELOPE_OK &&
        message_read(&envelope, &m) && broker.count < REQUESTS_MAX && m.kind != KIND_PING) {
        broker.route = inbound.route;
        broker.requests[broker.count].kind = m.kind;
        broker.requests[broker.count].rid = m.rid;
        if (m.kind == KIND_SEARCH) {
            broker.requests[broker.count].mode = m.search.mode;
            snprintf(broker.requests[broker.count].text, ID_HEX_SIZE, "%.*s", (int)m.search.text.size,
                     m.search.text.bytes);
        }
        broker.count++;
    }
    envelope_close(&envelope);
    inbound_release(&inbound);
}

static inline uint64_t world_watch(void *owner, uint64_t now_ms)
{
    (void)owner;
    if (now_ms >= give_up_at_ms || is_reached())
        loop_stop(loop);
    return now_ms + 10;
}

/* Runs the loop until the condition holds. */
static inline void world_run_until(bool (*condition)(void))
{
    is_reached = condition;
    give_up_at_ms = clock_now_ms() + PATIENCE_MS;
    loop_run(loop);
    cr_assert(condition());
}

static inline void world_on_workers(void *owner)
{
    workers_collect(owner);
}

static inline void world_on_joined(void *owner, const struct host *host, uint16_t port)
{
    (void)owner, (void)host, (void)port;
}

static inline void world_on_trouble(void *owner, const char *text)
{
    (void)owner, (void)text;
}

/* A request can be sent as soon as the connection stands. Sends one. */
static inline bool world_is_connected(void)
{
    static bool is_connected;
    const struct message status = {.kind = KIND_STATUS};
    uint64_t rid = is_connected ? 0 : broker_client_ask(client, &status, NULL, NULL);
    broker_client_forget(client, rid);
    is_connected |= rid != 0;
    return is_connected;
}

static inline bool world_has_status(void)
{
    return broker.count > 0;
}

static inline void world_start(void)
{
    process_start(1);
    loop = loop_new();
    workers = workers_new(2);
    empty_index = share_index_new();
    holdings = holdings_new(empty_index);
    broker.router = socket_open(SOCKET_BROKER);
    cr_assert(socket_bind(broker.router, "tcp://127.0.0.1:*", &broker.port));
    struct broker_client_config config = {
        .broker_host = "127.0.0.1",
        .broker_port = broker.port,
        .link = {.node_name = text_of("test"), .agent = text_of("test"), .is_only_asking = true},
    };
    struct broker_client_events events = {.joined = world_on_joined, .trouble = world_on_trouble};
    client = broker_client_new(loop, workers, &config, holdings, &events);
    cr_assert(client != NULL);
    loop_add_socket(loop, broker.router, broker_on_message, NULL);
    loop_add_fd(loop, workers_fd(workers), world_on_workers, workers);
    loop_add_ticker(loop, world_watch, NULL);
    world_run_until(world_is_connected);
    world_run_until(world_has_status);
    broker.count = 0;
}

/* Whatever uses the client has ended; `release` frees what was on the workers, or is NULL. */
static inline void world_end(void (*release)(void))
{
    broker_client_stop(client);
    workers_destroy(&workers);
    if (release)
        release();
    broker_client_destroy(&client);
    holdings_destroy(&holdings);
    share_index_destroy(&empty_index);
    loop_destroy(&loop);
    socket_close(&broker.router);
    process_finish();
}

#endif
