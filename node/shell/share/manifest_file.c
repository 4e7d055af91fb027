/* SPDX-License-Identifier: MIT */
#include "node/shell/share/manifest_file.h"

#include "node/shell/file_io.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All bytes of an open file; malloc'd. NULL with errno. */
static char *read_all(int fd, size_t size, size_t *ret_size)
{
    char *bytes = malloc(size + 1);
    assert(bytes);
    ssize_t got = file_read_at(fd, bytes, size, 0);
    if (got < 0) {
        int error = errno;
        free(bytes);
        errno = error;
        return NULL;
    }
    *ret_size = (size_t)got;
    return bytes;
}

static int read_open(struct manifest_file *self, int fd)
{
    struct file_stamp stamp;
    int error = stamp_read(fd, &stamp);
    if (error)
        return error;
    if (self->manifest && file_stamp_equal(&stamp, &self->stamp))
        return 0;
    if (stamp.size > MANIFEST_SIZE_MAX)
        return EFBIG;
    size_t size;
    char *bytes = read_all(fd, stamp.size, &size);
    if (!bytes)
        return errno;
    manifest_destroy(&self->manifest);
    self->manifest = manifest_new((struct text){bytes, size});
    self->stamp = stamp; /* what was written meanwhile has a later one */
    self->is_new = true;
    free(bytes);
    return 0;
}

int manifest_file_update(struct manifest_file *self)
{
    int fd = open(self->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = read_open(self, fd);
    close(fd);
    return error;
}

int manifest_file_init(struct manifest_file *self, const char *path)
{
    *self = (struct manifest_file){0};
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
    assert(folder);
    self->folder = realpath(folder, NULL);
    free(folder);
    if (!self->folder)
        return errno;
    int size = asprintf(&self->path, "%s%s%s", self->folder, self->folder[1] ? "/" : "", base);
    assert(size >= 0);
    int error = manifest_file_update(self);
    if (error)
        manifest_file_release(self);
    return error;
}

void manifest_file_release(struct manifest_file *self)
{
    manifest_destroy(&self->manifest);
    free(self->path);
    free(self->folder);
    *self = (struct manifest_file){0};
}

char *manifest_file_path(const struct manifest_file *self, const struct manifest_entry *entry)
{
    char *path = NULL;
    bool is_absolute = *entry->path == '/';
    int size = asprintf(&path, "%s%s%s", is_absolute ? "" : self->folder,
                        is_absolute || !self->folder[1] ? "" : "/", entry->path);
    assert(size >= 0);
    return path;
}
