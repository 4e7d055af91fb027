/* SPDX-License-Identifier: MIT */
#include "node/shell/kept_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading. */

/* 0 or an errno. */
static int read_all(int fd, char *bytes, size_t size, size_t *ret_used)
{
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, bytes + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    *ret_used = used;
    return 0;
}

char *kept_file_read(const char *path, size_t size_max, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* a FIFO would wait for a writer */
    if (fd < 0)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    int error = fstat(fd, &status) == 0 ? 0 : errno;
    if (!error && (!S_ISREG(status.st_mode) || (uintmax_t)status.st_size > size_max))
        error = EINVAL;
    if (!error) {
        text = malloc((size_t)status.st_size + 1);
        assert(text);
        error = read_all(fd, text, (size_t)status.st_size, &size);
    }
    close(fd);
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    text[size] = '\0';
    *ret_size = size;
    return text;
}

/* Replacing. */

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text += written;
        size -= (size_t)written;
    }
    return fsync(fd) == 0;
}

static bool sync_parent(const char *path)
{
    char *copy = strdup(path);
    assert(copy);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL); /* some file systems cannot */
    if (fd >= 0)
        close(fd);
    free(copy);
    return is_synced;
}

int kept_file_replace(const char *path, const char *text, size_t size)
{
    char *fresh = NULL;
    int length = asprintf(&fresh, "%s.new", path);
    assert(length >= 0);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    bool is_done = fd >= 0 && write_all(fd, text, size) && rename(fresh, path) == 0 && sync_parent(path);
    int error = is_done ? 0 : errno;
    if (fd >= 0)
        close(fd);
    free(fresh);
    return error;
}
