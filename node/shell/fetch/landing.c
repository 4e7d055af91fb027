/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/landing.h"

#include "node/content/tree.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/file_io.h"
#include "node/shell/folders.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long another program may take to write one small file, on a busy machine; and how often we look. */
#define LOCK_WAIT_MS 250
#define LOCK_STEP_MS 5

void landing_init(struct landing *self, int root_fd)
{
    *self = (struct landing){.root_fd = root_fd, .folder_fd = -1};
}

static void leave_folder(struct landing *self)
{
    if (self->folder_fd >= 0)
        close(self->folder_fd);
    self->folder_fd = -1;
    free(self->folder_path);
    self->folder_path = NULL;
}

void landing_release(struct landing *self)
{
    leave_folder(self);
}

/* Component by component: only mkdirat() of a single name cannot be led astray. */
static int make_folder(int root_fd, const char *path)
{
    int fd = share_open_folder(root_fd, "");
    for (const char *at = path; fd >= 0 && *at;) {
        size_t size = strcspn(at, "/");
        char *component = strndup(at, size);
        assert(component);
        int next = -1;
        if (mkdirat(fd, component, 0777) == 0 || errno == EEXIST)
            next = share_open_folder(fd, component);
        int error = errno;
        free(component);
        close(fd);
        errno = error;
        fd = next;
        at += size + (at[size] == '/');
    }
    return fd;
}

int landing_open_folder(int root_fd, const char *path)
{
    int fd = share_open_folder(root_fd, path);
    return fd < 0 && errno == ENOENT ? make_folder(root_fd, path) : fd;
}

bool landing_sync_above(int root_fd, const char *path)
{
    bool is_synced = folders_sync(root_fd);
    for (const char *slash = strchr(path, '/'); slash && is_synced; slash = strchr(slash + 1, '/')) {
        char *above = strndup(path, (size_t)(slash - path));
        assert(above);
        int fd = share_open_folder(root_fd, above);
        is_synced = fd >= 0 && folders_sync(fd);
        int error = errno;
        if (fd >= 0)
            close(fd);
        free(above);
        errno = error;
    }
    return is_synced;
}

static const char *base_of(const struct landing_file *file)
{
    const char *slash = strrchr(file->path, '/');
    return slash ? slash + 1 : file->path;
}

/* Opens the file's folder. False with errno. */
static bool enter_folder(struct landing *self, const struct landing_file *file, bool must_make)
{
    const char *base = base_of(file);
    size_t size = base > file->path ? (size_t)(base - file->path) - 1 : 0;
    bool is_here = self->folder_path && strlen(self->folder_path) == size &&
                   memcmp(self->folder_path, file->path, size) == 0;
    if (is_here && self->folder_fd >= 0)
        return true;
    if (is_here && !must_make) { /* it was not there a moment ago */
        errno = ENOENT;
        return false;
    }
    leave_folder(self);
    char *path = strndup(file->path, size);
    assert(path);
    int fd = must_make ? landing_open_folder(self->root_fd, path) : share_open_folder(self->root_fd, path);
    if (fd < 0 && errno != ENOENT) {
        int error = errno;
        free(path);
        errno = error;
        return false;
    }
    self->folder_path = path;
    self->folder_fd = fd;
    return fd >= 0;
}

static bool is_right(const struct landing_file *file, const uint8_t *bytes)
{
    struct layout layout = layout_of(file->size);
    struct hash hash = {{0}}; /* the root of an empty file */
    if (file->size > 0)
        tree_hash_span(bytes, file->size, tree_chunk_height(&layout), &hash);
    return hash_equal(&hash, &file->root);
}

/* Does the open file hold exactly these bytes? */
static bool holds_file(int fd, const struct landing_file *file)
{
    uint8_t bytes[(1u << CHUNK_LOG2_MIN) + 1];
    return file_read_at(fd, bytes, file->size + 1, 0) == (ssize_t)file->size && is_right(file, bytes);
}

/* The partial file as an earlier run left it, complete. */
static bool is_written(const struct landing *self, const struct landing_file *file)
{
    char name[PARTIAL_NAME_SIZE];
    chunk_store_partial_name(base_of(file), &file->id, name);
    int fd = openat(self->folder_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat status;
    bool is_ours = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1;
    bool is_complete = is_ours && (uint64_t)status.st_size == file->size && holds_file(fd, file);
    if (fd >= 0)
        close(fd);
    return is_complete;
}

enum landing_result landing_look(struct landing *self, const struct landing_file *file)
{
    struct stat status;
    if (!enter_folder(self, file, false))
        return errno == ENOENT ? LANDING_MISSING : LANDING_FAILED;
    if (fstatat(self->folder_fd, base_of(file), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return LANDING_FAILED;
        return is_written(self, file) ? LANDING_WRITTEN : LANDING_MISSING;
    }
    if (!S_ISREG(status.st_mode) || (uint64_t)status.st_size != file->size)
        return LANDING_DIFFERENT;
    int fd =
        openat(self->folder_fd, base_of(file), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return LANDING_FAILED;
    bool is_same = holds_file(fd, file);
    close(fd);
    return is_same ? LANDING_OK : LANDING_DIFFERENT;
}

/* Who has the lock writes the same small file, which is soon done, or downloads it by itself. */
static bool lock_soon(int fd)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000};
    for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK || waited_ms >= LOCK_WAIT_MS)
            return false;
        nanosleep(&step, NULL);
    }
    return true;
}

/*
 * An earlier run may have left the partial file half written, and another program may be writing the very
 * same bytes; what is not a plain file of one name is not ours to write to.
 */
static int open_partial(const struct landing *self, const char *name, bool *ret_is_new)
{
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = openat(self->folder_fd, name, flags | O_EXCL, 0666);
    *ret_is_new = fd >= 0;
    if (fd >= 0 || errno != EEXIST)
        return fd;
    fd = openat(self->folder_fd, name, flags, 0666);
    struct stat status;
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 && lock_soon(fd))
        return fd;
    close(fd);
    errno = EBUSY;
    return -1;
}

static int cut(int fd, const struct landing_file *file)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return errno;
    bool is_longer = (uint64_t)status.st_size > file->size;
    return is_longer && ftruncate(fd, (off_t)file->size) != 0 ? errno : 0;
}

enum landing_result landing_write(struct landing *self, const struct landing_file *file, const uint8_t *bytes)
{
    if (!is_right(file, bytes))
        return LANDING_MISMATCH;
    if (!enter_folder(self, file, true))
        return LANDING_FAILED;
    char name[PARTIAL_NAME_SIZE];
    chunk_store_partial_name(base_of(file), &file->id, name);
    bool is_new;
    int fd = open_partial(self, name, &is_new);
    if (fd < 0)
        return LANDING_FAILED;
    int error = file_write_at(fd, bytes, file->size, 0);
    if (!error && !is_new)
        error = cut(fd, file);
    if (!error)
        file_attributes_apply(&file->attributes, fd);
    if (close(fd) != 0 && !error) /* network file systems report a full disk here */
        error = errno;
    errno = error;
    return error ? LANDING_FAILED : LANDING_OK;
}

/* As it was written: its time says that nobody else has done so since. */
static bool is_untouched(const struct stat *status, const struct landing_file *file)
{
    const struct file_attributes *attributes = &file->attributes;
    uint64_t mtime_ms = (uint64_t)status->st_mtim.tv_sec * 1000 + (uint64_t)status->st_mtim.tv_nsec / 1000000;
    return S_ISREG(status->st_mode) && status->st_nlink == 1 && (uint64_t)status->st_size == file->size &&
           attributes->has_mtime && mtime_ms == attributes->mtime_ms;
}

/* 0 or an errno. */
static int give_name(struct landing *self, const struct landing_file *file, const char *partial_name,
                     bool must_replace)
{
    struct stat before;
    if (fstatat(self->folder_fd, partial_name, &before, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    if (!is_untouched(&before, file) && !is_written(self, file))
        return ETXTBSY;
    return chunk_store_rename(&before, self->folder_fd, partial_name, self->folder_fd, base_of(file),
                              must_replace);
}

enum landing_result landing_publish(struct landing *self, const struct landing_file *file, bool must_replace)
{
    if (!enter_folder(self, file, false))
        return LANDING_FAILED;
    char name[PARTIAL_NAME_SIZE];
    chunk_store_partial_name(base_of(file), &file->id, name);
    int error = give_name(self, file, name, must_replace);
    if (error == 0)
        return LANDING_OK;
    /* Another zget of the same file may have been faster. */
    if ((error == EEXIST || error == ENOENT) && landing_look(self, file) == LANDING_OK) {
        (void)unlinkat(self->folder_fd, name, 0);
        return LANDING_OK;
    }
    if (error == EEXIST) /* it will not be wanted again soon, and is soon fetched again */
        (void)unlinkat(self->folder_fd, name, 0);
    errno = error;
    return error == EEXIST ? LANDING_DIFFERENT : LANDING_FAILED;
}
