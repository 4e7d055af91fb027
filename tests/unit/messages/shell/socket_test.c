/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a program reports a port that it does not have, a send to nobody waits or passes for
 * sent, a frame beyond the limits gets in, or a process without descriptors dies instead of hearing no.
 */
#include "tests/unit/messages/shell/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void start(void)
{
    process_start(1);
}

TestSuite(socket, .init = start, .fini = process_finish, .timeout = 120);

Test(socket, a_bind_to_any_port_tells_the_real_one)
{
    uint16_t port = 0;
    void *router = wire_listen(SOCKET_BROKER, &port);
    cr_expect(ne(u16, port, 0));
    close(zmtp_connect(port, NULL, 0));
    socket_close(&router);
    cr_expect(router == NULL);
    socket_close(&router);
}

Test(socket, a_port_that_is_taken_or_an_address_that_is_none_is_refused_with_an_errno)
{
    uint16_t port = 0, untouched = 7;
    void *router = wire_listen(SOCKET_PEER, &port), *other = socket_open(SOCKET_PEER);
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", port);
    cr_expect(not(socket_bind(other, endpoint, &untouched)));
    cr_expect(eq(int, errno, EADDRINUSE));
    const char *const wrong[] = {"tcp://127.0.0.1", "tcp://192.0.2.7:*", "tcp://:::", "nonsense", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect(not(socket_bind(other, wrong[i], &untouched)), "row %zu (%s)", i, wrong[i]);
    cr_expect(eq(u16, untouched, 7));
    socket_close(&router);
    socket_close(&other);
}

Test(socket, one_socket_listens_on_both_families)
{
    uint16_t port = 0;
    void *router = socket_open(SOCKET_PEER);
    cr_assert(socket_bind(router, "tcp://[::]:*", &port));
    void *dealer = wire_connect(SOCKET_PEER_CLIENT, port);
    wire_send(dealer, "x", 1);
    struct inbound inbound = wire_receive_routed(router);
    char host[HOST_TEXT_SIZE];
    host_format(&inbound.peer, host);
    cr_expect(eq(str, host, "127.0.0.1"), "a mapped address is an IPv4 address");
    inbound_release(&inbound);
    socket_close(&dealer);
    socket_close(&router);
}

Test(socket, a_send_to_a_route_that_never_was_is_refused)
{
    uint16_t port = 0;
    void *router = wire_listen(SOCKET_PEER, &port);
    cr_expect(not(socket_send_route(router, 12345, "x", 1)));
    cr_expect(eq(int, errno, EHOSTUNREACH));
    socket_close(&router);
}

Test(socket, a_send_to_a_route_whose_connection_ended_is_refused)
{
    uint16_t port = 0;
    void *router = wire_listen(SOCKET_PEER, &port);
    int fd = zmtp_connect(port, NULL, 0);
    zmtp_frame(fd, 0, "x", 1);
    struct inbound inbound = wire_receive_routed(router);
    cr_expect(socket_send_route(router, inbound.route, "y", 1));
    close(fd);
    uint64_t deadline_ms = clock_now_ms() + WIRE_PATIENCE_MS;
    bool is_sent = true;
    while (is_sent && clock_now_ms() < deadline_ms) {
        is_sent = socket_send_route(router, inbound.route, "z", 1);
        /* libzmq's thread learns of the end by itself; a socket that is asked for its events hears from it.
         */
        zmq_pollitem_t item = {.socket = router, .events = ZMQ_POLLIN};
        zmq_poll(&item, 1, is_sent ? 10 : 0);
    }
    cr_expect(not(is_sent));
    cr_expect(not(socket_send_route(router, inbound.route, "z", 1)));
    cr_expect(eq(int, errno, EHOSTUNREACH));
    inbound_release(&inbound);
    socket_close(&router);
}

Test(socket, a_reader_that_does_not_read_fills_its_queue_and_the_send_does_not_wait)
{
    uint16_t port = 0;
    void *router = wire_listen(SOCKET_BROKER, &port);
    int fd = zmtp_connect(port, NULL, 0);
    zmtp_frame(fd, 0, "x", 1);
    struct inbound inbound = wire_receive_routed(router);
    static uint8_t body[60000];
    uint64_t deadline_ms = clock_now_ms() + WIRE_PATIENCE_MS;
    while (socket_send_route(router, inbound.route, body, sizeof body))
        cr_assert(lt(u64, clock_now_ms(), deadline_ms));
    cr_expect(eq(int, errno, EAGAIN));
    inbound_release(&inbound);
    close(fd);
    socket_close(&router);
}

Test(socket, a_dealer_without_a_connection_queues_nothing)
{
    uint16_t port = 0;
    void *router = wire_listen(SOCKET_PEER, &port);
    socket_close(&router);
    void *dealer = wire_connect(SOCKET_PEER_CLIENT, port);
    cr_expect(not(socket_send(dealer, "x", 1)));
    cr_expect(eq(int, errno, EAGAIN));
    socket_close(&dealer);
}

/* The header of a frame of `size` bytes whose body never comes: libzmq decides by it alone. */
static bool frame_is_refused(enum socket_role role, uint64_t size)
{
    uint16_t port = 0;
    void *router = wire_listen(role, &port);
    int fd = zmtp_connect(port, NULL, 0);
    uint8_t head[9] = {2};
    for (unsigned i = 0; i < 8; i++)
        head[8 - i] = (uint8_t)(size >> (8 * i));
    zmtp_put(fd, head, sizeof head);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    bool is_refused = poll(&wait, 1, size > 5 * 1024 * 1024 ? WIRE_PATIENCE_MS : 300) == 1;
    close(fd);
    socket_close(&router);
    return is_refused;
}

Test(socket, a_frame_that_no_message_needs_ends_the_connection)
{
    cr_expect(frame_is_refused(SOCKET_BROKER, UINT64_MAX >> 1));
    cr_expect(frame_is_refused(SOCKET_BROKER, 6 * 1024 * 1024));
    cr_expect(frame_is_refused(SOCKET_PEER, 6 * 1024 * 1024));
    cr_expect(not(frame_is_refused(SOCKET_BROKER, 256 * 1024)), "a JOIN with its filter");
    cr_expect(not(frame_is_refused(SOCKET_PEER, 1024 * 1024)));
}

/* In a child, so that the limit is nobody else's: the number of the check that failed, 0 for none. */
static int without_descriptors(void)
{
    process_start(1);
    void *first = socket_open(SOCKET_PEER);
    if (!first)
        return 1;
    int lowest_free =
        dup(STDERR_FILENO); /* the limit is a number: poll() fails above it, also for what is open */
    close(lowest_free);
    struct rlimit none = {.rlim_cur = (rlim_t)lowest_free, .rlim_max = (rlim_t)lowest_free};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0)
        return 2;
    errno = 0;
    if (socket_open(SOCKET_PEER_CLIENT) != NULL)
        return 3;
    if (errno != EMFILE)
        return 4;
    socket_close(&first); /* closing needs none */
    return 0;
}

Test(socket, without_descriptors_a_socket_is_null_and_the_process_lives)
{
    pid_t child = fork();
    cr_assert(ge(int, child, 0));
    if (child == 0)
        _exit(without_descriptors());
    int status = 0;
    cr_assert(eq(int, waitpid(child, &status, 0), child));
    bool has_exited = WIFEXITED(status);
    cr_assert(has_exited, "ended by signal %d", WTERMSIG(status));
    cr_expect(eq(int, WEXITSTATUS(status), 0));
}

Test(socket, a_process_may_have_as_many_files_as_it_is_allowed)
{
    struct rlimit limit;
    cr_assert(eq(int, getrlimit(RLIMIT_NOFILE, &limit), 0));
    cr_expect(limit.rlim_cur >= 65536 || limit.rlim_cur == limit.rlim_max);
}

Test(socket, a_monitor_tells_of_connections_and_their_end_and_does_not_wait)
{
    uint16_t port = 0, event = 0;
    uint32_t fd = 0, ended_fd = 0;
    void *router = wire_listen(SOCKET_PEER, &port);
    void *monitor = monitor_open(router, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED);
    cr_assert(monitor != NULL);
    cr_expect(not(monitor_next(monitor, &event, &fd)));
    int client = zmtp_connect(port, NULL, 0);
    wire_wait(monitor, ZMQ_POLLIN);
    cr_assert(monitor_next(monitor, &event, &fd));
    cr_expect(eq(u16, event, ZMQ_EVENT_ACCEPTED));
    close(client);
    wire_wait(monitor, ZMQ_POLLIN);
    cr_assert(monitor_next(monitor, &event, &ended_fd));
    cr_expect(eq(u16, event, ZMQ_EVENT_DISCONNECTED));
    cr_expect(eq(u32, fd, ended_fd));
    monitor_close(router, &monitor);
    socket_close(&router);
}

Test(socket, a_broker_has_no_timer_for_each_of_its_connections)
{
    static const struct {
        enum socket_role role;
        int heartbeat_ms;
    } rows[] = {
        {SOCKET_BROKER, 0}, {SOCKET_BROKER_CLIENT, 10000}, {SOCKET_PEER, 10000}, {SOCKET_PEER_CLIENT, 10000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        void *socket = socket_open(rows[i].role);
        int interval_ms = -1;
        size_t size = sizeof interval_ms;
        cr_assert(zero(zmq_getsockopt(socket, ZMQ_HEARTBEAT_IVL, &interval_ms, &size)));
        cr_expect(eq(int, interval_ms, rows[i].heartbeat_ms), "row %zu", i);
        socket_close(&socket);
    }
}
