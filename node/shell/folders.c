/* SPDX-License-Identifier: MIT */
#include "node/shell/folders.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool folders_sync(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL;
}

/* A folder that may be written to but not read cannot be synced. */
bool folders_sync_above(const char *path)
{
    char *copy = strdup(path);
    assert(copy);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_unreadable = fd < 0 && errno == EACCES;
    free(copy);
    if (fd < 0)
        return is_unreadable;
    bool is_synced = folders_sync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return is_synced;
}

bool folders_make_one(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0)
        return folders_sync_above(path);
    return errno == EEXIST;
}

/* From the end: a folder above that is there may be one that we may not write to, or not even see. */
bool folders_make(const char *path, mode_t mode)
{
    if (folders_make_one(path, mode))
        return true;
    return errno == ENOENT && folders_make_above(path, mode) && folders_make_one(path, mode);
}

bool folders_make_above(const char *path, mode_t mode)
{
    char *copy = strdup(path);
    assert(copy);
    bool is_made = folders_make(dirname(copy), mode);
    int error = errno;
    free(copy);
    errno = error;
    return is_made;
}
