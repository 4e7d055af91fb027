/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a message of many frames eats memory or spills into the next one, a stranger picks the
 * route that its answers and those of others go to, the observed address is lost, or a number that now names
 * another connection lends it its address.
 */
#include "tests/unit/messages/shell/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static uint16_t port;
static void *router, *dealer;

static void open_both(void)
{
    process_start(1);
    router = wire_listen(SOCKET_PEER, &port);
    dealer = wire_connect(SOCKET_PEER_CLIENT, port);
}

static void close_both(void)
{
    socket_close(&dealer);
    socket_close(&router);
    process_finish();
}

TestSuite(inbox, .init = open_both, .fini = close_both, .timeout = 120);

static void send_frames(size_t count, const char *const *bodies)
{
    wire_wait(dealer, ZMQ_POLLOUT);
    for (size_t i = 0; i < count; i++) {
        int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
        cr_assert(eq(int, zmq_send(dealer, bodies[i], strlen(bodies[i]), flags), (int)strlen(bodies[i])));
    }
}

static bool frame_is(zmq_msg_t *frame, const char *text)
{
    return zmq_msg_size(frame) == strlen(text) && memcmp(zmq_msg_data(frame), text, strlen(text)) == 0;
}

Test(inbox, an_empty_socket_has_nothing_and_does_not_wait)
{
    struct inbound inbound;
    cr_expect(eq(int, inbox_receive_routed(router, &inbound), INBOX_EMPTY));
    cr_expect(eq(int, inbox_receive(dealer, &inbound), INBOX_EMPTY));
}

Test(inbox, one_frame_is_a_header_without_a_payload)
{
    wire_send(dealer, "header", 6);
    struct inbound inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.frame_count, 1));
    cr_expect(frame_is(&inbound.header, "header"));
    cr_expect(eq(sz, zmq_msg_size(&inbound.payload), 0));
    inbound_release(&inbound);
}

Test(inbox, two_frames_are_a_header_and_its_payload)
{
    send_frames(2, (const char *const[]){"header", "payload"});
    struct inbound inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.frame_count, 2));
    cr_expect(frame_is(&inbound.header, "header"));
    cr_expect(frame_is(&inbound.payload, "payload"));
    cr_expect(eq(sz, inbound.byte_count, strlen("header") + strlen("payload") + 2 * 2));
    inbound_release(&inbound);
}

Test(inbox, the_head_of_a_long_frame_counts_as_it_is)
{
    static const char body[256];
    wire_send(dealer, body, 255);
    wire_send(dealer, body, 256);
    struct inbound inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.byte_count, 255 + 2));
    inbound_release(&inbound);
    inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.byte_count, 256 + 9));
    inbound_release(&inbound);
}

Test(inbox, an_empty_frame_counts)
{
    send_frames(2, (const char *const[]){"", ""});
    struct inbound inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.frame_count, 2));
    cr_expect(eq(sz, inbound.byte_count, 2 * 2));
    inbound_release(&inbound);
}

Test(inbox, of_too_many_frames_two_are_kept_all_are_counted_and_the_next_message_is_whole)
{
    send_frames(5, (const char *const[]){"a", "b", "c", "d", "e"});
    wire_send(dealer, "next", 4);
    struct inbound inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.frame_count, 5));
    cr_expect(eq(sz, inbound.byte_count, 5 * 3));
    cr_expect(frame_is(&inbound.header, "a"));
    cr_expect(frame_is(&inbound.payload, "b"));
    inbound_release(&inbound);

    inbound = wire_receive_routed(router);
    cr_expect(eq(sz, inbound.frame_count, 1));
    cr_expect(frame_is(&inbound.header, "next"));
    inbound_release(&inbound);
}

Test(inbox, a_reply_of_too_many_frames_is_counted_too)
{
    wire_send(dealer, "question", 8);
    struct inbound inbound = wire_receive_routed(router);
    uint8_t id[ROUTE_SIZE];
    socket_route_bytes(inbound.route, id);
    inbound_release(&inbound);
    zmq_send(router, id, sizeof id, ZMQ_SNDMORE);
    for (unsigned i = 0; i < 4; i++)
        zmq_send(router, "x", 1, i < 3 ? ZMQ_SNDMORE : 0);

    inbound = wire_receive(dealer);
    cr_expect(eq(u32, inbound.route, 0));
    cr_expect(eq(sz, inbound.frame_count, 4));
    inbound_release(&inbound);
    cr_expect(eq(int, inbox_receive(dealer, &inbound), INBOX_EMPTY));
}

Test(inbox, an_answer_to_a_route_reaches_who_asked_and_no_one_else)
{
    void *other = wire_connect(SOCKET_PEER_CLIENT, port);
    wire_send(other, "other", 5);
    struct inbound first = wire_receive_routed(router);
    wire_send(dealer, "asks", 4);
    struct inbound second = wire_receive_routed(router);
    cr_expect(ne(u32, first.route, second.route));
    cr_assert(socket_send_route(router, second.route, "answer", 6));

    struct inbound answer = wire_receive(dealer);
    cr_expect(frame_is(&answer.header, "answer"));
    inbound_release(&answer);
    cr_expect(eq(int, inbox_receive(other, &answer), INBOX_EMPTY));
    inbound_release(&first);
    inbound_release(&second);
    socket_close(&other);
}

/* libzmq 4.3.4 keeps the metadata off the first frame once the socket was polled, as it is here. */
Test(inbox, the_observed_address_and_the_connection_come_with_a_message)
{
    wire_send(dealer, "header", 6);
    struct inbound inbound = wire_receive_routed(router);
    cr_assert(inbound.has_peer);
    cr_expect(host_is_loopback(&inbound.peer));
    struct host at_fd;
    cr_assert(connection_peer_host(inbound.fd, &at_fd));
    cr_expect(host_equal(&at_fd, &inbound.peer));
    inbound_release(&inbound);
}

Test(inbox, a_route_that_an_application_chose_is_refused_and_its_bytes_are_accounted)
{
    int fd = zmtp_connect(port, "mine!", 5);
    zmtp_frame(fd, ZMTP_MORE, "header", 6);
    zmtp_frame(fd, 0, "payload", 7);
    wire_wait(router, ZMQ_POLLIN);
    struct inbound inbound;
    cr_expect(eq(int, inbox_receive_routed(router, &inbound), INBOX_DROPPED));
    cr_expect(ge(int, inbound.fd, 0));
    cr_expect(eq(sz, inbound.byte_count, 6 + 7 + 2 * 2));
    cr_expect(eq(int, inbox_receive_routed(router, &inbound), INBOX_EMPTY));
    close(fd);
}

Test(inbox, a_chosen_route_of_another_length_is_refused_even_behind_a_zero)
{
    int fd = zmtp_connect(port, "\0four", 4);
    zmtp_frame(fd, 0, "header", 6);
    wire_wait(router, ZMQ_POLLIN);
    struct inbound inbound;
    cr_expect(eq(int, inbox_receive_routed(router, &inbound), INBOX_DROPPED));
    close(fd);
}

Test(inbox, the_local_end_is_told_only_of_a_connection_that_still_has_the_peer)
{
    wire_send(dealer, "header", 6);
    struct inbound inbound = wire_receive_routed(router);
    struct host local, stranger = {{[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 7}};
    cr_expect(connection_local_host(inbound.fd, &inbound.peer, &local));
    cr_expect(host_is_loopback(&local));
    cr_expect(not(connection_local_host(inbound.fd, &stranger, &local)));
    cr_expect(not(connection_local_host(-1, &inbound.peer, &local)));
    inbound_release(&inbound);

    int pipes[2];
    cr_assert(eq(int, pipe(pipes), 0));
    cr_expect(not(connection_peer_host(pipes[0], &local)));
    int unix_pair[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair), 0));
    cr_expect(not(connection_peer_host(unix_pair[0], &local)));
    for (unsigned i = 0; i < 2; i++) {
        close(pipes[i]);
        close(unix_pair[i]);
    }
}
