/* SPDX-License-Identifier: MIT */
#include "node/shell/kept_file.h"

#include "node/shell/file_io.h"
#include "node/shell/folders.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading. */

char *kept_file_read(const char *path, size_t size_max, size_t *ret_size)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); /* a FIFO would wait for a writer */
    if (fd < 0)
        return NULL;
    char *text = NULL;
    ssize_t size = 0;
    int error = fstat(fd, &status) == 0 ? 0 : errno;
    if (!error && (!S_ISREG(status.st_mode) || (uintmax_t)status.st_size > size_max))
        error = EINVAL;
    if (!error) {
        text = malloc((size_t)status.st_size + 1);
        assert(text);
        size = file_read_at(fd, text, (size_t)status.st_size, 0);
        error = size < 0 ? errno : 0;
    }
    close(fd);
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    text[size] = '\0';
    *ret_size = (size_t)size;
    return text;
}

/* Replacing. */

int kept_file_replace(const char *path, const char *text, size_t size)
{
    char *fresh = NULL;
    int length = asprintf(&fresh, "%s.new", path);
    assert(length >= 0);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    int error = fd >= 0 ? file_write_at(fd, text, size, 0) : errno;
    if (!error && (fsync(fd) != 0 || rename(fresh, path) != 0 || !folders_sync_above(path)))
        error = errno;
    if (fd >= 0)
        close(fd);
    free(fresh);
    return error;
}
