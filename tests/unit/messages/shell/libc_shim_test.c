/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a process without descriptors leaves a stranger's connection waiting, so that its
 * listener is readable for ever; or the shim changes what it has no business with. The test program links
 * the shim as every program does. That libzmq reaches it is in tests/e2e/kernel_test.py, where ICMP is, too.
 */
#include "tests/unit/messages/shell/wire.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

TestSuite(libc_shim, .timeout = 60);

static int listen_on_any_port(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(int, bind(fd, (const struct sockaddr *)&address, sizeof address), 0));
    cr_assert(eq(int, listen(fd, 16), 0));
    cr_assert(eq(int, getsockname(fd, (struct sockaddr *)&address, &size), 0));
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int fill_descriptors(void)
{
    int last = -1;
    for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
        last = fd;
    return last;
}

static bool is_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, WIRE_PATIENCE_MS) == 1;
}

/* The number of the check that failed, 0 for none. */
static int shed(int listener, const int clients[2])
{
    struct rlimit few = {.rlim_cur = 64, .rlim_max = 64};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0)
        return 1;
    int last = fill_descriptors();
    char byte;
    for (unsigned i = 0; i < 2; i++) {
        if (!is_readable(listener))
            return 2;
        if (accept4(listener, NULL, NULL, SOCK_CLOEXEC) != -1 || errno != ECONNABORTED)
            return 3;
        if (!is_readable(clients[i]) || recv(clients[i], &byte, 1, 0) > 0)
            return 4;
    }
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    if (poll(&wait, 1, 0) != 0)
        return 5; /* nobody is left to accept, so no loop spins */
    close(last);
    if (accept4(listener, NULL, NULL, SOCK_CLOEXEC) != -1 || errno != EAGAIN)
        return 6;
    return 0;
}

Test(libc_shim, without_descriptors_connections_are_shed_one_by_one)
{
    uint16_t port = 0;
    int listener = listen_on_any_port(&port);
    int clients[] = {zmtp_connect_plain(port), zmtp_connect_plain(port)};
    pid_t child = fork();
    cr_assert(ge(int, child, 0));
    if (child == 0)
        _exit(shed(listener, clients));
    int status = 0;
    cr_assert(eq(int, waitpid(child, &status, 0), child));
    bool has_exited = WIFEXITED(status);
    cr_assert(has_exited, "ended by signal %d", WTERMSIG(status));
    cr_expect(eq(int, WEXITSTATUS(status), 0));
}

Test(libc_shim, with_descriptors_a_connection_is_accepted_as_ever)
{
    uint16_t port = 0;
    int listener = listen_on_any_port(&port), client = zmtp_connect_plain(port);
    cr_assert(is_readable(listener));
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof peer;
    int accepted = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
    cr_assert(ge(int, accepted, 0));
    cr_expect(eq(u32, peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK)));
    cr_expect(eq(int, fcntl(accepted, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC));
    cr_expect(eq(int, accept4(listener, NULL, NULL, 0), -1));
    cr_expect(eq(int, errno, EAGAIN));
    close(accepted);
    close(client);
    close(listener);
}

Test(libc_shim, other_errors_of_a_socket_are_told_as_they_are)
{
    uint16_t port = 0;
    int listener = listen_on_any_port(&port);
    close(listener);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert(eq(int, connect(fd, (const struct sockaddr *)&address, sizeof address), -1));
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    cr_assert(eq(int, poll(&wait, 1, WIRE_PATIENCE_MS), 1));
    int error = -1;
    socklen_t size = sizeof error;
    cr_assert(eq(int, getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), 0));
    cr_expect(eq(int, error, ECONNREFUSED));
    cr_assert(eq(int, getsockopt(fd, SOL_SOCKET, SO_TYPE, &error, &size), 0));
    cr_expect(eq(int, error, SOCK_STREAM));
    close(fd);
    cr_expect(eq(int, getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size), -1));
    cr_expect(eq(int, errno, EBADF));
}

Test(libc_shim, a_send_that_the_kernel_refuses_for_its_size_is_a_lost_connection)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert(eq(int, connect(fd, (const struct sockaddr *)&address, sizeof address), 0));
    static char datagram[128 * 1024];
    cr_expect(eq(i64, send(fd, datagram, sizeof datagram, 0), -1));
    cr_expect(eq(int, errno, ECONNRESET));
    close(fd);
}

Test(libc_shim, a_send_to_an_ended_connection_raises_no_signal)
{
    signal(SIGPIPE, SIG_DFL);
    int pair[2];
    cr_assert(eq(int, socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0));
    close(pair[1]);
    cr_expect(eq(i64, send(pair[0], "x", 1, 0), -1));
    cr_expect(eq(int, errno, EPIPE));
    close(pair[0]);
}
