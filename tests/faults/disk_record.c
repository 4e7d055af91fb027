/* SPDX-License-Identifier: MIT */

/*
 * Preloaded into a program: writes down every call that changes files below one folder, in the order in
 * which they happened, and ends the program at one of them.
 *
 *   DISK_RECORD_FOLDER   the folder, an absolute path without symlinks
 *   DISK_RECORD_LOG      the record, appended to; see tests/support/disk_model.py, which reads it
 *   DISK_RECORD_KILL_AT  SIGKILL at this call, counted from 1: a write is half done, all else is not done
 *
 * Calls are made one at a time, so that the record has the order of their effects. What libc does inside
 * (stdio, mkstemp) is not seen; the reader notices, for what the record leads to must be what is there.
 */

#undef _FORTIFY_SOURCE /* its headers define the very functions that are replaced here */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096

/* A name in a folder of the record. */
struct place {
    ino_t folder;
    const char *name; /* in the path it was found in */
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static int log_fd = -1;
static unsigned long call_count, kill_at;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK_RECORD_FOLDER"), *log = getenv("DISK_RECORD_LOG");
    const char *number = getenv("DISK_RECORD_KILL_AT");
    if (!path || !log)
        return;
    snprintf(folder, sizeof folder, "%s", path);
    kill_at = number ? strtoul(number, NULL, 10) : 0;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static bool is_below(int fd)
{
    char link[64], path[PATH_MAX + 1];
    size_t size = strlen(folder);
    if (log_fd < 0 || fd < 0)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, sizeof path - 1);
    return got >= (ssize_t)size && memcmp(path, folder, size) == 0 &&
           (path[size] == '/' || got == (ssize_t)size);
}

static ino_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static bool is_file_below(int fd)
{
    struct stat status;
    return log_fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && is_below(fd);
}

/* False when the path leads elsewhere. */
static bool find(int at_fd, const char *path, struct place *ret_place)
{
    const char *slash = strrchr(path, '/');
    char above[PATH_MAX] = ".";
    if (log_fd < 0 || strlen(path) >= sizeof above)
        return false;
    if (slash)
        snprintf(above, sizeof above, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = (int)syscall(SYS_openat, at_fd, above, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    bool is_here = is_below(fd);
    if (is_here)
        *ret_place = (struct place){inode_of(fd), slash ? slash + 1 : path};
    if (fd >= 0)
        syscall(SYS_close, fd);
    return is_here;
}

/* 0 when there is nothing of that name. */
static ino_t inode_at(int at_fd, const char *path)
{
    struct stat status;
    return fstatat(at_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_ino : 0;
}

/* Every call that counts begins here; true when it is the last. */
static bool begin_call(void)
{
    pthread_mutex_lock(&turn);
    return ++call_count == kill_at;
}

static void end_call(void)
{
    int error = errno;
    pthread_mutex_unlock(&turn);
    errno = error;
}

static void die(void)
{
    raise(SIGKILL);
}

/* One write, so that a killed program leaves no half of an entry. */
static void put(const void *data, size_t size, const char *format, ...)
{
    char line[3 * PATH_MAX];
    int error = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    char *bytes = malloc((size_t)length + size);
    if (!bytes)
        abort();
    memcpy(bytes, line, (size_t)length);
    if (size > 0)
        memcpy(bytes + length, data, size);
    if (syscall(SYS_write, log_fd, bytes, (size_t)length + size) != (long)((size_t)length + size))
        abort();
    free(bytes);
    errno = error;
}

/* Opening. */

static int record_open(int at_fd, const char *path, int flags, mode_t mode)
{
    struct place place;
    bool may_change = (flags & (O_CREAT | O_TRUNC)) != 0 && (flags & O_TMPFILE) != O_TMPFILE;
    if (!may_change || !find(at_fd, path, &place))
        return (int)syscall(SYS_openat, at_fd, path, flags, mode);
    if (begin_call())
        die();
    struct stat before;
    bool is_new = fstatat(at_fd, path, &before, 0) != 0;
    int fd = (int)syscall(SYS_openat, at_fd, path, flags, mode);
    if (fd >= 0 && is_new)
        put(NULL, 0, "make %ju %ju %s%c", (uintmax_t)inode_of(fd), (uintmax_t)place.folder, place.name, 0);
    else if (fd >= 0 && (flags & O_TRUNC) && before.st_size > 0)
        put(NULL, 0, "cut %ju 0%c", (uintmax_t)inode_of(fd), 0);
    end_call();
    return fd;
}

#define OPEN_MODE(last, flags)                                                                               \
    mode_t mode = 0;                                                                                         \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                 \
        va_list args;                                                                                        \
        va_start(args, last);                                                                                \
        mode = va_arg(args, mode_t);                                                                         \
        va_end(args);                                                                                        \
    }

int open(const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return record_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return record_open(AT_FDCWD, path, flags, mode);
}

int openat(int at_fd, const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return record_open(at_fd, path, flags, mode);
}

int openat64(int at_fd, const char *path, int flags, ...)
{
    OPEN_MODE(flags, flags)
    return record_open(at_fd, path, flags, mode);
}

/* What checked headers make of a call without a mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at_fd, const char *path, int flags);
int __openat64_2(int at_fd, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return record_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return record_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int at_fd, const char *path, int flags)
{
    return record_open(at_fd, path, flags, 0);
}

int __openat64_2(int at_fd, const char *path, int flags)
{
    return record_open(at_fd, path, flags, 0);
}

/* Content. */

static ssize_t write_at(int fd, const void *bytes, size_t size, off64_t offset)
{
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

static void put_written(int fd, const void *bytes, ssize_t size, off64_t offset)
{
    if (size > 0)
        put(bytes, (size_t)size, "write %ju %jd %zd%c", (uintmax_t)inode_of(fd), (intmax_t)offset, size, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    if (!is_file_below(fd))
        return write_at(fd, bytes, size, offset);
    if (begin_call()) {
        put_written(fd, bytes, write_at(fd, bytes, size / 2 / PAGE * PAGE, offset), offset);
        die();
    }
    ssize_t put_size = write_at(fd, bytes, size, offset);
    put_written(fd, bytes, put_size, offset);
    end_call();
    return put_size;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite64(fd, bytes, size, offset);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (!is_file_below(fd))
        return syscall(SYS_write, fd, bytes, size);
    if (begin_call())
        size = size / 2;
    ssize_t put_size = syscall(SYS_write, fd, bytes, size);
    put_written(fd, bytes, put_size, lseek64(fd, 0, SEEK_CUR) - put_size);
    if (call_count == kill_at)
        die();
    end_call();
    return put_size;
}

int ftruncate64(int fd, off64_t size)
{
    if (!is_file_below(fd))
        return (int)syscall(SYS_ftruncate, fd, size);
    if (begin_call())
        die();
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0)
        put(NULL, 0, "cut %ju %jd%c", (uintmax_t)inode_of(fd), (intmax_t)size, 0);
    end_call();
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

/* Only what the programs use: a hole within, or room that is allocated. */
int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    if (!is_file_below(fd))
        return (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (begin_call())
        die();
    int rc = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (rc == 0)
        put(NULL, 0, "%s %ju %jd %jd%c", mode == 0 ? "room" : "zero", (uintmax_t)inode_of(fd),
            (intmax_t)offset, (intmax_t)size, 0);
    end_call();
    return rc;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fallocate64(fd, mode, offset, size);
}

/* Syncing. */

static int record_sync(int fd, long number, const char *name)
{
    if (!is_below(fd))
        return (int)syscall(number, fd);
    if (begin_call())
        die();
    int rc = (int)syscall(number, fd);
    if (rc == 0)
        put(NULL, 0, "%s %ju%c", name, (uintmax_t)inode_of(fd), 0);
    end_call();
    return rc;
}

int fsync(int fd)
{
    return record_sync(fd, SYS_fsync, "sync");
}

int fdatasync(int fd)
{
    return record_sync(fd, SYS_fdatasync, "sync");
}

int syncfs(int fd)
{
    return record_sync(fd, SYS_syncfs, "syncall");
}

/* Names. */

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    struct place old, new;
    bool is_here = find(from_fd, from, &old) && find(to_fd, to, &new);
    if (!is_here)
        return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (begin_call())
        die();
    int rc = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (rc == 0)
        put(NULL, 0, "move %ju %ju %ju %s%c%s%c", (uintmax_t)inode_at(to_fd, to), (uintmax_t)old.folder,
            (uintmax_t) new.folder, old.name, 0, new.name, 0);
    end_call();
    return rc;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    struct place place;
    if (!find(to_fd, to, &place))
        return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (begin_call())
        die();
    int rc = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
    if (rc == 0)
        put(NULL, 0, "link %ju %ju %s%c", (uintmax_t)inode_at(to_fd, to), (uintmax_t)place.folder, place.name,
            0);
    end_call();
    return rc;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int at_fd, const char *path, int flags)
{
    struct place place;
    if (!find(at_fd, path, &place))
        return (int)syscall(SYS_unlinkat, at_fd, path, flags);
    if (begin_call())
        die();
    int rc = (int)syscall(SYS_unlinkat, at_fd, path, flags);
    if (rc == 0)
        put(NULL, 0, "drop %ju %s%c", (uintmax_t)place.folder, place.name, 0);
    end_call();
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int at_fd, const char *path, mode_t mode)
{
    struct place place;
    if (!find(at_fd, path, &place))
        return (int)syscall(SYS_mkdirat, at_fd, path, mode);
    if (begin_call())
        die();
    int rc = (int)syscall(SYS_mkdirat, at_fd, path, mode);
    if (rc == 0)
        put(NULL, 0, "folder %ju %ju %s%c", (uintmax_t)inode_at(at_fd, path), (uintmax_t)place.folder,
            place.name, 0);
    end_call();
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}
