/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "node/shell/fetch/chunk_store_private.h"
#include "node/shell/fetch/landing.h"
#include "node/shell/file_io.h"
#include "node/shell/folders.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A range is copied out in parts of this size. */
#define CUT_PART_SIZE (1u << 20)

#define CUT_SUFFIX ".zcut"
_Static_assert(sizeof CUT_SUFFIX <= sizeof PARTIAL_SUFFIX, "fits where the other does");

static bool is_named(int folder_fd, const char *name, const struct stat *file)
{
    struct stat named;
    return fstatat(folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && file->st_dev == named.st_dev &&
           file->st_ino == named.st_ino;
}

static bool is_open(int folder_fd, const char *name, int fd)
{
    struct stat file;
    return fstat(fd, &file) == 0 && is_named(folder_fd, name, &file);
}

static int move_name(int from_fd, const char *from, int to_fd, const char *to, bool must_replace)
{
    if (must_replace)
        return renameat(from_fd, from, to_fd, to) == 0 ? 0 : errno;
    if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (linkat(from_fd, from, to_fd, to, 0) != 0)
        return errno;
    return unlinkat(from_fd, from, 0) == 0 ? 0 : errno;
}

/* linkat() by descriptor would leave no moment between look and rename, but who watches a folder takes a new
 * link for a file that is still being written. */
int chunk_store_rename(const struct stat *file, int from_fd, const char *from, int to_fd, const char *to,
                       bool must_replace)
{
    int error = move_name(from_fd, from, to_fd, to, must_replace);
    if (error)
        return error;
    return is_named(to_fd, to, file) ? 0 : ENOENT;
}

/* The open file, if it still has this name. 0 or an errno. */
static int rename_open(int fd, int from_fd, const char *from, int to_fd, const char *to, bool must_replace)
{
    struct stat file;
    if (fstat(fd, &file) != 0)
        return errno;
    return is_named(from_fd, from, &file) ? chunk_store_rename(&file, from_fd, from, to_fd, to, must_replace)
                                          : ENOENT;
}

void chunk_store_set_attributes(struct chunk_store *self, const struct file_attributes *attributes)
{
    self->attributes = *attributes;
}

void chunk_store_set_below(struct chunk_store *self, const char *below)
{
    assert(self->temp_fd != self->folder_fd);
    free(self->below);
    self->below = strdup(below);
    assert(self->below);
    self->above_size = *below ? strlen(below) + 1 : 0;
}

/* The name once, and first: bytes that no name leads to are lost. */
int chunk_store_sync(struct chunk_store *self)
{
    if (!self->is_name_synced && self->temp_fd >= 0 && !folders_sync(self->temp_fd))
        return errno;
    self->is_name_synced = true;
    return fdatasync(self->fd) == 0 ? 0 : errno;
}

/* False with errno. */
static bool enter_folder(struct chunk_store *self)
{
    if (!self->below)
        return true;
    int fd = landing_open_folder(self->folder_fd, self->below);
    if (fd < 0)
        return false;
    if (*self->below && !landing_sync_above(self->folder_fd, self->below)) {
        int error = errno;
        close(fd);
        errno = error;
        return false;
    }
    close(self->folder_fd);
    self->folder_fd = fd;
    free(self->below);
    self->below = NULL;
    return true;
}

/* Once for each change. */
static bool was_touched(struct chunk_store *self)
{
    pthread_mutex_lock(&self->writing);
    chunk_store_watch(self);
    bool was_touched = self->is_touched;
    self->is_touched = false;
    chunk_store_remember(self);
    pthread_mutex_unlock(&self->writing);
    return was_touched;
}

/* The new name first: a power failure in between leaves both names rather than none. */
static bool sync_folders(const struct chunk_store *self)
{
    return folders_sync(self->folder_fd) && (self->temp_fd == self->folder_fd || folders_sync(self->temp_fd));
}

/* ` (2)` before the extension, or the next number that is free. 0 or an errno. */
static int rename_numbered(struct chunk_store *self, int fd, const char *from)
{
    for (unsigned number = 2; number <= PUBLISH_NUMBER_MAX; number++) {
        char *numbered = name_numbered_entry(self->name, self->above_size, number);
        int error =
            numbered ? rename_open(fd, self->temp_fd, from, self->folder_fd, numbered, false) : ENAMETOOLONG;
        if (error == 0)
            snprintf(self->name, sizeof self->name, "%s", numbered);
        free(numbered);
        if (error != EEXIST)
            return error;
    }
    return EEXIST;
}

/* Whoever removed our file may have begun another under its name, which is not verified. */
static enum publish_result give_name(struct chunk_store *self, int fd, const char *from,
                                     enum publish_conflict conflict)
{
    int error =
        rename_open(fd, self->temp_fd, from, self->folder_fd, self->name, conflict == CONFLICT_REPLACES);
    if (error == EEXIST && conflict == CONFLICT_NUMBERS)
        error = rename_numbered(self, fd, from);
    if (error == 0)
        return sync_folders(self) ? PUBLISH_OK : PUBLISH_FAILED;
    errno = error;
    return error == EEXIST ? PUBLISH_EXISTS : PUBLISH_FAILED;
}

static enum publish_result publish_whole(struct chunk_store *self, enum publish_conflict conflict)
{
    /* The final name must never stand for less than synced bytes of exactly the right size. */
    if (ftruncate(self->fd, (off_t)self->layout.size) != 0)
        return PUBLISH_FAILED;
    file_attributes_apply(&self->attributes, self->fd);
    chunk_store_remember(self);
    if (fdatasync(self->fd) != 0)
        return PUBLISH_FAILED;
    if (was_touched(self)) /* syncing may take long */
        return PUBLISH_TOUCHED;
    return give_name(self, self->fd, self->partial_name, conflict);
}

/* 0 or an errno. */
static int copy_range(const struct chunk_store *self, int fd)
{
    uint64_t size = self->range_end - self->range_begin;
    uint8_t *part = malloc(CUT_PART_SIZE);
    assert(part);
    int error = 0;
    for (uint64_t at = 0; at < size && !error;) {
        size_t length = size - at < CUT_PART_SIZE ? (size_t)(size - at) : CUT_PART_SIZE;
        error = file_read_exactly(self->fd, part, length, self->range_begin + at)
                    ? chunk_store_put(fd, part, length, at)
                    : EIO;
        at += length;
    }
    free(part);
    if (!error && fdatasync(fd) != 0)
        error = errno;
    return error;
}

/* Chunks outside the range that an earlier run fetched are worth keeping. */
static bool holds_more(const struct chunk_store *self)
{
    uint64_t chunk_size = UINT64_C(1) << self->layout.chunk_log2;
    uint32_t begin = (uint32_t)(self->range_begin >> self->layout.chunk_log2);
    uint32_t end = (uint32_t)((self->range_end + chunk_size - 1) >> self->layout.chunk_log2);
    for (uint32_t i = 0; i < self->claims.count; i++) {
        if ((i < begin || i >= end) && chunk_map_has(&self->claims, i))
            return true;
    }
    return false;
}

/* The range becomes a file of its own. The lock on the partial file keeps others off this name too. */
static enum publish_result publish_range(struct chunk_store *self, enum publish_conflict conflict)
{
    char cut_name[PARTIAL_NAME_SIZE];
    size_t stem_size = strlen(self->partial_name) - strlen(PARTIAL_SUFFIX);
    snprintf(cut_name, sizeof cut_name, "%.*s" CUT_SUFFIX, (int)stem_size, self->partial_name);
    (void)unlinkat(self->temp_fd, cut_name, 0); /* of a run that was killed */
    int fd = openat(self->temp_fd, cut_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        return PUBLISH_FAILED;
    enum publish_result result = PUBLISH_FAILED;
    errno = copy_range(self, fd);
    if (errno == 0)
        result = was_touched(self) ? PUBLISH_TOUCHED : give_name(self, fd, cut_name, conflict);
    int error = errno;
    if (result != PUBLISH_OK)
        (void)unlinkat(self->temp_fd, cut_name, 0);
    else if (!holds_more(self) && is_open(self->temp_fd, self->partial_name, self->fd))
        (void)unlinkat(self->temp_fd, self->partial_name, 0);
    close(fd);
    errno = error;
    return result;
}

enum publish_result chunk_store_publish(struct chunk_store *self, enum publish_conflict conflict)
{
    if (was_touched(self))
        return PUBLISH_TOUCHED;
    if (!enter_folder(self))
        return PUBLISH_FAILED;
    bool is_whole = self->range_begin == 0 && self->range_end == self->layout.size;
    return is_whole ? publish_whole(self, conflict) : publish_range(self, conflict);
}

const char *chunk_store_target(const struct chunk_store *self)
{
    return self->name;
}
