/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/chunk_store_private.h"

#include "node/shell/file_io.h"
#include "node/shell/share/remote_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size > 0 && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

int chunk_store_put(int fd, const void *bytes, size_t size, uint64_t offset)
{
    struct stat status;
    if (!is_zero(bytes, size) ||
        fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size) != 0)
        return file_write_at(fd, bytes, size, offset);
    if (fstat(fd, &status) != 0)
        return errno;
    bool is_long_enough = (uint64_t)status.st_size >= offset + size;
    return is_long_enough || ftruncate(fd, (off_t)(offset + size)) == 0 ? 0 : errno;
}

void chunk_store_begin_watching(struct chunk_store *self)
{
    self->is_watched = !remote_disk_has(self->fd);
    chunk_store_remember(self);
}

void chunk_store_remember(struct chunk_store *self)
{
    struct stat status;
    if (!self->is_watched || fstat(self->fd, &status) != 0)
        return;
    self->change_at = status.st_ctim;
    self->left_size = status.st_size;
}

void chunk_store_watch(struct chunk_store *self)
{
    struct stat status;
    if (!self->is_watched)
        return;
    if (fstat(self->fd, &status) != 0 || status.st_size != self->left_size ||
        status.st_ctim.tv_sec != self->change_at.tv_sec || status.st_ctim.tv_nsec != self->change_at.tv_nsec)
        self->is_touched = true;
}

int chunk_store_write(struct chunk_store *self, const void *bytes, size_t size, uint64_t offset)
{
    pthread_mutex_lock(&self->writing);
    chunk_store_watch(self);
    int error = chunk_store_put(self->fd, bytes, size, offset);
    chunk_store_remember(self);
    pthread_mutex_unlock(&self->writing);
    return error;
}
