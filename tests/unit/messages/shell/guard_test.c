/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a stranger fills the heap with frames of a message that never ends, an honest client
 * is cut for what was read before its beginning was known or for what another connection with its number did,
 * or one address takes all connections.
 */
#include "messages/shell/guard.h"

#include "messages/message.h"
#include "tests/unit/messages/shell/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define BUDGET_BYTES (64 * 1024)

static uint16_t port;
static void *router;
static struct guard *guard;

static void open_router(void)
{
    process_start(1);
    router = wire_listen(SOCKET_PEER, &port);
    guard = guard_new(router, BUDGET_BYTES, 0);
    cr_assert(guard != NULL);
}

static void close_router(void)
{
    guard_destroy(&guard);
    socket_close(&router);
    process_finish();
}

TestSuite(guard, .init = open_router, .fini = close_router, .timeout = 240);

/* What a loop does when there is nothing else to do: the monitor's news, and a sweep when it is due. */
static unsigned one_round(void)
{
    zmq_pollitem_t item = {.socket = guard_socket(guard), .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, GUARD_SWEEP_MS);
    unsigned lost_count = 0;
    for (int fd; guard_next_lost(guard, &fd);)
        lost_count++;
    guard_sweep(guard);
    return lost_count;
}

/* Sends messages of one kilobyte and takes each out again, as a client within its rights does. */
static void exchange(void *dealer, unsigned count)
{
    static const uint8_t body[1024];
    for (unsigned i = 0; i < count; i++) {
        wire_send(dealer, body, sizeof body);
        struct inbound inbound = wire_receive_routed(router);
        guard_delivered(guard, inbound.fd, inbound.byte_count);
        inbound_release(&inbound);
    }
}

/* Every connection is looked at within 50 sweeps, and some more. */
static bool is_cut_within_a_whole_turn(int fd)
{
    for (unsigned round = 0; round < 60; round++) {
        one_round();
        if (zmtp_is_ended(fd))
            return true;
    }
    return false;
}

Test(guard, a_message_that_never_ends_is_cut_and_an_honest_client_beside_it_is_not)
{
    void *honest = wire_connect(SOCKET_PEER_CLIENT, port);
    exchange(honest, 2 * BUDGET_BYTES / 1024);
    int fd = zmtp_connect(port, NULL, 0);
    static const uint8_t frame[2 + 255] = {ZMTP_MORE, 255};
    unsigned lost_count = 0;
    uint64_t deadline_ms = clock_now_ms() + WIRE_PATIENCE_MS;
    while (!zmtp_is_ended(fd)) {
        cr_assert(lt(u64, clock_now_ms(), deadline_ms), "the stranger lives on");
        /* Only whole frames count for libzmq; what does not fit in the kernel's buffer waits. */
        for (unsigned i = 0; i < 1000; i++)
            send(fd, frame, sizeof frame, MSG_DONTWAIT | MSG_NOSIGNAL);
        lost_count += one_round();
    }
    while (lost_count == 0 && clock_now_ms() < deadline_ms)
        lost_count += one_round();
    cr_expect(eq(uint, lost_count, 1), "the end of the connection is told once");
    exchange(honest, 1);
    close(fd);
    socket_close(&honest);
}

Test(guard, empty_frames_without_an_end_are_cut_too)
{
    int fd = zmtp_connect(port, NULL, 0);
    static uint8_t frames[4096];
    for (size_t i = 0; i < sizeof frames; i += 2)
        frames[i] = ZMTP_MORE;
    for (size_t sent = 0; sent <= BUDGET_BYTES; sent += sizeof frames)
        zmtp_put(fd, frames, sizeof frames);
    cr_expect(is_cut_within_a_whole_turn(fd));
    close(fd);
}

Test(guard, what_stays_within_the_budget_is_not_cut)
{
    int fd = zmtp_connect(port, NULL, 0);
    static const uint8_t body[255];
    for (unsigned i = 0; i < 200; i++)
        zmtp_frame(fd, ZMTP_MORE, body, sizeof body);
    cr_expect(not(is_cut_within_a_whole_turn(fd)));
    close(fd);
}

static size_t allow_all(void *owner, int fd)
{
    size_t *ret_calls = owner;
    ++*ret_calls;
    return fd >= 0 ? 4 * BUDGET_BYTES : 0;
}

Test(guard, what_was_asked_for_may_exceed_the_budget)
{
    size_t calls = 0;
    guard_set_allowance(guard, allow_all, &calls);
    int fd = zmtp_connect(port, NULL, 0);
    static const uint8_t body[255];
    for (size_t sent = 0; sent < 2 * BUDGET_BYTES; sent += sizeof body)
        zmtp_frame(fd, ZMTP_MORE, body, sizeof body);
    cr_expect(not(is_cut_within_a_whole_turn(fd)));
    cr_expect(gt(sz, calls, 0));
    guard_set_allowance(guard, NULL, NULL);
    cr_expect(is_cut_within_a_whole_turn(fd));
    close(fd);
}

Test(guard, bytes_that_were_read_before_the_connection_was_announced_count_as_delivered)
{
    void *dealer = wire_connect(SOCKET_PEER_CLIENT, port);
    exchange(dealer, 3 * BUDGET_BYTES / 1024);
    unsigned lost_count = 0;
    for (unsigned round = 0; round < 60; round++)
        lost_count += one_round();
    cr_expect(eq(uint, lost_count, 0));
    exchange(dealer, 1);
    socket_close(&dealer);
}

Test(guard, a_number_that_names_the_next_connection_does_not_carry_the_last_one_s_debt_or_credit)
{
    int first = zmtp_connect(port, NULL, 0);
    static const uint8_t body[255];
    for (unsigned i = 0; i < 200; i++)
        zmtp_frame(first, ZMTP_MORE, body, sizeof body);
    one_round();
    close(first);
    unsigned lost_count = 0;
    uint64_t deadline_ms = clock_now_ms() + WIRE_PATIENCE_MS;
    while (lost_count == 0 && clock_now_ms() < deadline_ms)
        lost_count += one_round();
    cr_assert(eq(uint, lost_count, 1));

    int second = zmtp_connect(port, NULL, 0);
    zmtp_frame(second, 0, "message", 7);
    struct inbound inbound = wire_receive_routed(router);
    guard_delivered(guard, inbound.fd, inbound.byte_count);
    inbound_release(&inbound);
    cr_expect(not(is_cut_within_a_whole_turn(second)));

    for (unsigned i = 0; i < 2 * BUDGET_BYTES / sizeof body; i++)
        zmtp_frame(second, ZMTP_MORE, body, sizeof body);
    cr_expect(is_cut_within_a_whole_turn(second));
    close(second);
}

Test(guard, many_long_messages_that_were_all_read_leave_no_debt)
{
    void *dealer = wire_connect(SOCKET_PEER_CLIENT, port);
    exchange(dealer, 1);
    one_round();
    exchange(dealer, BUDGET_BYTES / 5);
    unsigned lost_count = 0;
    for (unsigned round = 0; round < 60; round++)
        lost_count += one_round();
    cr_expect(eq(uint, lost_count, 0));
    socket_close(&dealer);
}

Test(guard, a_broker_that_is_behind_with_the_longest_answers_cuts_nobody)
{
    guard_destroy(&guard);
    socket_close(&router);
    router = wire_listen(SOCKET_BROKER, &port);
    guard = guard_new(router, 1024 * 1024, 0);
    void *dealer = wire_connect(SOCKET_BROKER_CLIENT, port);
    static const uint8_t answer[HEADER_SIZE_MAX_BROKER];
    for (unsigned i = 0; i < 100; i++)
        wire_send(dealer, answer, sizeof answer);
    unsigned lost_count = 0;
    for (unsigned round = 0; round < 60; round++)
        lost_count += one_round();
    cr_expect(eq(uint, lost_count, 0));
    for (unsigned i = 0; i < 100; i++) {
        struct inbound inbound = wire_receive_routed(router);
        cr_expect(eq(sz, zmq_msg_size(&inbound.header), sizeof answer));
        inbound_release(&inbound);
    }
    socket_close(&dealer);
}

static unsigned living_of(const int *fds, unsigned count)
{
    unsigned living = 0;
    for (unsigned i = 0; i < count; i++)
        living += !zmtp_is_ended(fds[i]);
    return living;
}

/* Of `count` connections from this address so many live once libzmq has accepted all, and no fewer. */
static void expect_living(unsigned count, unsigned expected)
{
    int fds[8];
    cr_assert(le(uint, count, 8));
    for (unsigned i = 0; i < count; i++)
        fds[i] = zmtp_connect_plain(port);
    uint64_t deadline_ms = clock_now_ms() + WIRE_PATIENCE_MS;
    while (living_of(fds, count) > expected && clock_now_ms() < deadline_ms)
        one_round();
    for (unsigned round = 0; round < 20; round++)
        one_round();
    cr_expect(eq(uint, living_of(fds, count), expected));
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

Test(guard, an_address_has_no_more_connections_than_it_was_given)
{
    guard_destroy(&guard);
    guard = guard_new(router, BUDGET_BYTES, 3);
    expect_living(6, 3);
}

Test(guard, loopback_is_not_limited_unless_asked)
{
    expect_living(6, 6);
}

Test(guard, a_connection_that_ended_makes_room_for_another)
{
    guard_destroy(&guard);
    guard = guard_new(router, BUDGET_BYTES, 1);
    for (unsigned i = 0; i < 3; i++) {
        int fd = zmtp_connect(port, NULL, 0);
        one_round();
        cr_expect(not(zmtp_is_ended(fd)), "connection %u", i);
        close(fd);
        unsigned lost_count = 0;
        uint64_t deadline_ms = clock_now_ms() + WIRE_PATIENCE_MS;
        while (lost_count == 0 && clock_now_ms() < deadline_ms)
            lost_count += one_round();
        cr_assert(eq(uint, lost_count, 1));
    }
}

/* Waits for one of the events of a connecting socket. */
static enum guard_event next_event(struct guard *of)
{
    int fd = -1;
    wire_wait(guard_socket(of), ZMQ_POLLIN);
    return guard_next(of, &fd);
}

Test(guard, a_dealer_is_told_that_it_is_connected_and_when_that_is_over)
{
    void *dealer = socket_open(SOCKET_PEER_CLIENT);
    struct guard *client = guard_new(dealer, BUDGET_BYTES, 0);
    struct host loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    cr_assert(socket_connect(dealer, &loopback, port));
    enum guard_event event;
    while ((event = next_event(client)) == GUARD_NOTHING)
        ;
    cr_expect(eq(int, event, GUARD_READY));

    guard_destroy(&guard);
    socket_close(&router); /* its port is free from here on */
    while ((event = next_event(client)) == GUARD_NOTHING)
        ;
    cr_expect(eq(int, event, GUARD_LOST));
    guard_destroy(&client);
    socket_close(&dealer);
}

Test(guard, a_dealer_is_told_that_nobody_is_there)
{
    guard_destroy(&guard);
    socket_close(&router);
    void *dealer = socket_open(SOCKET_PEER_CLIENT);
    struct guard *client = guard_new(dealer, BUDGET_BYTES, 0);
    struct host loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    cr_assert(socket_connect(dealer, &loopback, port));
    /* libzmq closes the listener in its own time: until then the connection is made, and lost again. */
    while (next_event(client) != GUARD_REFUSED)
        ;
    guard_destroy(&client);
    socket_close(&dealer);
}
