/* SPDX-License-Identifier: MIT */
#include "node/shell/share/share_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel says EAGAIN when a rename elsewhere raced with a resolution below a folder; it rarely happens
 * twice. */
#define RACE_RETRIES_MAX 16

static int open_beneath(int folder_fd, const char *path, uint64_t flags)
{
    const struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int i = 0; i < RACE_RETRIES_MAX; i++) {
        fd = syscall(SYS_openat2, folder_fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

static uint64_t ns_of(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

struct file_stamp stamp_of(const struct stat *status)
{
    return (struct file_stamp){
        .device = status->st_dev,
        .inode = status->st_ino,
        .size = (uint64_t)status->st_size,
        .mtime_ns = ns_of(status->st_mtim),
        .ctime_ns = ns_of(status->st_ctim),
    };
}

int stamp_read(int fd, struct file_stamp *ret_stamp)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return errno;
    if (!S_ISREG(status.st_mode))
        return EINVAL;
    *ret_stamp = stamp_of(&status);
    return 0;
}

int share_open(int folder_fd, const char *path, struct file_stamp *ret_stamp)
{
    int fd = open_beneath(folder_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -1;
    int error = stamp_read(fd, ret_stamp);
    if (error) {
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int share_open_folder(int folder_fd, const char *path)
{
    return open_beneath(folder_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY);
}

int share_stat(int folder_fd, const char *path, struct stat *ret_status)
{
    int fd = open_beneath(folder_fd, path, O_PATH);
    if (fd < 0)
        return -1;
    int result = fstat(fd, ret_status);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}
