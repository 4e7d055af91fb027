/* SPDX-License-Identifier: MIT */
/*
 * Libc calls as libzmq sees them. libzmq ends the process on some errno values that a stranger can cause with
 * one ICMP packet or by opening connections; the executable's own symbols come first in symbol lookup, so
 * these stand between libzmq and the C library. They change nothing but those values.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Given up to accept and close one connection when there are no file descriptors left. */
static int reserve_fd = -1;
static pthread_mutex_t reserve_lock = PTHREAD_MUTEX_INITIALIZER;

/* First it takes the place of standard streams that are closed, or the next socket or file that is opened
 * would get what is printed. Printing fails all the same. */
__attribute__((constructor)) static void open_reserve(void)
{
    do
        reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (reserve_fd >= 0 && reserve_fd <= STDERR_FILENO);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict size)
{
    long rc = syscall(SYS_getsockopt, fd, level, name, value, size);
    if (rc == 0 && level == SOL_SOCKET && name == SO_ERROR && value && *size >= sizeof(int)) {
        int *error = value;
        /* ICMP "protocol unreachable" and kernel memory pressure: to a connecter, a refused connection. */
        if (*error == ENOPROTOOPT || *error == ENOBUFS || *error == ENOMEM || *error == EHOSTDOWN)
            *error = ECONNREFUSED;
    }
    return (int)rc;
}

/*
 * Without a free descriptor, accept4 fails at once and for ever while the listener stays readable: an I/O
 * thread at 100 % CPU. The connection is accepted on the reserve and closed instead.
 */
static void shed_connection(int fd)
{
    pthread_mutex_lock(&reserve_lock);
    if (reserve_fd >= 0) {
        close(reserve_fd);
        long accepted = syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC);
        if (accepted >= 0)
            close((int)accepted);
    }
    reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pthread_mutex_unlock(&reserve_lock);
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags)
{
    long rc = syscall(SYS_accept4, fd, address, size, flags);
    if (rc < 0 && (errno == EMFILE || errno == ENFILE)) {
        shed_connection(fd);
        errno = ECONNABORTED;
    }
    return (int)rc;
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    long rc = syscall(SYS_sendto, fd, bytes, size, flags | MSG_NOSIGNAL, NULL, 0);
    if (rc < 0 && (errno == ENOMEM || errno == EACCES || errno == EMSGSIZE || errno == EOPNOTSUPP))
        errno = ECONNRESET;
    return rc;
}
