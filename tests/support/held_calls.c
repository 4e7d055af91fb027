/* SPDX-License-Identifier: MIT */
/*
 * A library to preload: calls that touch a disk wait, as on a mount that hangs, while the file $HELD_GATE is
 * there. Of those named in $HELD_CALL ("open", "unlink", "fsync"), the ones with $HELD_PATH in their path.
 * Each that waits is a line in $HELD_LOG, so that a test can await it.
 */
#undef _FORTIFY_SOURCE /* its headers define the very functions that are replaced here */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int open(const char *path, int flags, ...);
int openat(int folder, const char *path, int flags, ...);
int unlinkat(int folder, const char *path, int flags);
int fsync(int fd);
int fdatasync(int fd);
long syscall(long number, ...);

static long (*real_syscall(void))(long, ...)
{
    static long (*real)(long, ...);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    return real;
}

static void wait_for_gate(const char *call, const char *path)
{
    const char *gate = getenv("HELD_GATE"), *log = getenv("HELD_LOG");
    long fd = real_syscall()(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dprintf((int)fd, "%s %s\n", call, path);
        close((int)fd);
    }
    while (access(gate, F_OK) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static void hold(const char *call, int folder, const char *path)
{
    const char *held_call = getenv("HELD_CALL"), *held_path = getenv("HELD_PATH");
    char full[8192] = "", link[64];
    if (!held_call || !held_path || strcmp(call, held_call) != 0)
        return;
    if (folder >= 0 && path[0] != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t size = readlink(link, full, sizeof full / 2);
        full[size > 0 ? size : 0] = '\0';
    }
    size_t size = strlen(full);
    snprintf(full + size, sizeof full - size, "/%s", path);
    if (strstr(full, held_path) && access(getenv("HELD_GATE"), F_OK) == 0)
        wait_for_gate(call, full);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    hold("open", AT_FDCWD, path);
    return (int)real_syscall()(SYS_openat, AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, unsigned) : 0;
    va_end(arguments);
    hold("open", folder, path);
    return (int)real_syscall()(SYS_openat, folder, path, flags, mode);
}

int unlinkat(int folder, const char *path, int flags)
{
    hold("unlink", folder, path);
    return (int)real_syscall()(SYS_unlinkat, folder, path, flags);
}

int fsync(int fd)
{
    hold("fsync", fd, "");
    return (int)real_syscall()(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    hold("fsync", fd, "");
    return (int)real_syscall()(SYS_fdatasync, fd);
}

/* openat2(), which has no function of its own. */
long syscall(long number, ...)
{
    va_list arguments;
    long a[6];
    va_start(arguments, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_openat2)
        hold("open", (int)a[0], (const char *)a[1]);
    return real_syscall()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
