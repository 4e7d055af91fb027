/* SPDX-License-Identifier: MIT */
#include "node/shell/chunk_store.h"

#include "messages/sha256.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PAGE          4096u
#define MAP_MAGIC     "zswarm1\n"
#define MAP_HEAD_SIZE (8 + 32 + 8) /* magic, id, size */
#define SUFFIX        ".zpart"
#define ID_DIGITS     12

struct chunk_store {
    struct layout layout;
    struct file_id id;
    struct file_attributes attributes;
    int folder_fd, fd;
    char name[PARTIAL_NAME_SIZE];
    char partial_name[PARTIAL_NAME_SIZE]; /* empty when unnamed */
    struct chunk_map claims;
    struct hash *layer;
    size_t map_size; /* head, bits, checksum, rounded up to a page */
};

static uint64_t page_up(uint64_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

static uint64_t map_offset(const struct chunk_store *self)
{
    return page_up(self->layout.size);
}

static uint64_t layer_offset(const struct chunk_store *self)
{
    return map_offset(self) + self->map_size;
}

static size_t layer_size(const struct chunk_store *self)
{
    return layout_has_layer(&self->layout) ? (size_t)self->layout.chunk_count * sizeof(struct hash) : 0;
}

void chunk_store_partial_name(const char *name, const struct file_id *id, char ret_name[PARTIAL_NAME_SIZE])
{
    char digits[ID_HEX_SIZE];
    hex_format(id->bytes, ID_DIGITS / 2, digits);
    size_t room = (PARTIAL_NAME_SIZE - 1) - (1 + 1 + ID_DIGITS + strlen(SUFFIX));
    size_t size = strlen(name) < room ? strlen(name) : room;
    while (size > 0 && size < strlen(name) && ((unsigned char)name[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a UTF-8 sequence */
    snprintf(ret_name, PARTIAL_NAME_SIZE, ".%.*s.%s" SUFFIX, (int)size, name, digits);
}

static bool read_all(int fd, void *bytes, size_t size, uint64_t offset)
{
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

static int write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t put = pwrite(fd, at, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        at += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return 0;
}

static void format_head(const struct chunk_store *self, uint8_t ret_head[MAP_HEAD_SIZE])
{
    memcpy(ret_head, MAP_MAGIC, 8);
    memcpy(ret_head + 8, self->id.bytes, sizeof self->id.bytes);
    for (unsigned i = 0; i < 8; i++)
        ret_head[40 + i] = (uint8_t)(self->layout.size >> (8 * i));
}

/* True when there is a map of this file with a right checksum. */
static bool read_map(struct chunk_store *self)
{
    uint8_t head[MAP_HEAD_SIZE];
    format_head(self, head);
    uint32_t bits_size = layout_bitfield_size(&self->layout);
    size_t size = MAP_HEAD_SIZE + (size_t)bits_size;
    uint8_t *map = malloc(self->map_size);
    assert(map);
    struct hash checksum;
    bool is_valid = read_all(self->fd, map, size + sizeof checksum, map_offset(self)) &&
                    memcmp(map, head, sizeof head) == 0;
    if (is_valid) {
        sha256(map, size, &checksum);
        is_valid = memcmp(map + size, checksum.bytes, sizeof checksum.bytes) == 0 &&
                   chunk_map_load(&self->claims, (struct blob){map + MAP_HEAD_SIZE, bits_size});
    }
    free(map);
    return is_valid;
}

static void read_layer(struct chunk_store *self)
{
    size_t size = layer_size(self);
    if (size == 0)
        return;
    self->layer = malloc(size);
    assert(self->layer);
    if (!read_all(self->fd, self->layer, size, layer_offset(self))) {
        free(self->layer);
        self->layer = NULL;
    }
}

/* Without a map, whatever bytes are there may be the file's: their hashes tell. */
static void claim_all(struct chunk_store *self, uint64_t size)
{
    for (uint32_t i = 0; i < self->layout.chunk_count; i++) {
        uint64_t end = ((uint64_t)i << self->layout.chunk_log2) + layout_chunk_length(&self->layout, i);
        if (end <= size)
            chunk_map_set(&self->claims, i);
    }
}

static struct chunk_store *store_new(const struct file_id *id, const struct layout *layout)
{
    struct chunk_store *self = calloc(1, sizeof *self);
    assert(self);
    self->layout = *layout;
    self->id = *id;
    self->folder_fd = self->fd = -1;
    chunk_map_init(&self->claims, layout->chunk_count);
    self->map_size = (size_t)page_up(MAP_HEAD_SIZE + layout_bitfield_size(layout) + sizeof(struct hash));
    return self;
}

static void store_free(struct chunk_store **self_p)
{
    struct chunk_store *self = *self_p;
    if (self->fd >= 0)
        close(self->fd);
    if (self->folder_fd >= 0)
        close(self->folder_fd);
    chunk_map_release(&self->claims);
    free(self->layer);
    free(self);
    *self_p = NULL;
}

/* Another program may have published or removed the file between our open and our lock. */
static bool is_still_named(const struct chunk_store *self)
{
    struct stat opened, named;
    return fstat(self->fd, &opened) == 0 &&
           fstatat(self->folder_fd, self->partial_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* What has another name too is somebody's file, not ours to write to. False with errno. */
static bool is_only_name(const struct chunk_store *self)
{
    struct stat status;
    if (fstat(self->fd, &status) != 0)
        return false;
    errno = EMLINK;
    return status.st_nlink == 1;
}

static enum store_result open_partial(struct chunk_store *self)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        self->fd = openat(self->folder_fd, self->partial_name,
                          O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (self->fd < 0)
            return STORE_FAILED;
        struct stat status;
        if (fstat(self->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
            errno = EINVAL;
            return STORE_FAILED;
        }
        if (flock(self->fd, LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK ? STORE_LOCKED : STORE_FAILED;
        if (is_still_named(self))
            return is_only_name(self) ? STORE_OK : STORE_FAILED;
        close(self->fd);
        self->fd = -1;
    }
    errno = EAGAIN;
    return STORE_FAILED;
}

static void load(struct chunk_store *self)
{
    struct stat status;
    if (fstat(self->fd, &status) != 0 || status.st_size == 0)
        return;
    if (!read_map(self))
        claim_all(self, (uint64_t)status.st_size);
    read_layer(self);
}

enum store_result chunk_store_open(const char *folder, const char *name, const struct file_id *id,
                                   const struct layout *layout, struct chunk_store **ret_store)
{
    if (strlen(name) > (PARTIAL_NAME_SIZE - 1)) {
        errno = ENAMETOOLONG;
        return STORE_FAILED;
    }
    struct chunk_store *self = store_new(id, layout);
    snprintf(self->name, sizeof self->name, "%s", name);
    chunk_store_partial_name(name, id, self->partial_name);
    self->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum store_result result = self->folder_fd < 0 ? STORE_FAILED : open_partial(self);
    if (result == STORE_OK) {
        load(self);
        *ret_store = self;
        return STORE_OK;
    }
    int error = errno;
    store_free(&self);
    errno = error;
    return result;
}

enum store_result chunk_store_open_unnamed(const struct file_id *id, const struct layout *layout,
                                           struct chunk_store **ret_store)
{
    const char *folder = getenv("TMPDIR");
    int fd = open(folder && folder[0] ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return STORE_FAILED;
    struct chunk_store *self = store_new(id, layout);
    self->fd = fd;
    *ret_store = self;
    return STORE_OK;
}

void chunk_store_close(struct chunk_store **self_p)
{
    if (*self_p)
        store_free(self_p);
}

void chunk_store_discard(struct chunk_store **self_p)
{
    if (!*self_p)
        return;
    if ((*self_p)->partial_name[0])
        unlinkat((*self_p)->folder_fd, (*self_p)->partial_name, 0);
    store_free(self_p);
}

int chunk_store_fd(const struct chunk_store *self)
{
    return self->fd;
}

const char *chunk_store_name(const struct chunk_store *self)
{
    return self->partial_name;
}

const struct chunk_map *chunk_store_claims(const struct chunk_store *self)
{
    return &self->claims;
}

const struct hash *chunk_store_layer(const struct chunk_store *self)
{
    return self->layer;
}

bool chunk_store_space(const struct chunk_store *self, uint64_t *ret_needed, uint64_t *ret_free)
{
    struct stat status;
    struct statvfs fs;
    if (fstat(self->fd, &status) != 0 || fstatvfs(self->fd, &fs) != 0)
        return false;
    uint64_t allocated = (uint64_t)status.st_blocks * 512;
    uint64_t wanted = layer_offset(self) + layer_size(self);
    *ret_needed = wanted > allocated ? wanted - allocated : 0;
    *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    return true;
}

int chunk_store_write_map(struct chunk_store *self, const uint8_t *bits)
{
    uint32_t bits_size = layout_bitfield_size(&self->layout);
    size_t size = MAP_HEAD_SIZE + (size_t)bits_size;
    uint8_t *map = calloc(1, self->map_size);
    assert(map);
    format_head(self, map);
    memcpy(map + MAP_HEAD_SIZE, bits, bits_size);
    struct hash checksum;
    sha256(map, size, &checksum);
    memcpy(map + size, checksum.bytes, sizeof checksum.bytes);
    int error = write_all(self->fd, map, self->map_size, map_offset(self));
    free(map);
    return error;
}

int chunk_store_write_layer(struct chunk_store *self, const struct hash *layer)
{
    return write_all(self->fd, layer, layer_size(self), layer_offset(self));
}

int chunk_store_rename(int folder_fd, const char *from, const char *to, bool must_replace)
{
    if (must_replace)
        return renameat(folder_fd, from, folder_fd, to) == 0 ? 0 : errno;
    if (renameat2(folder_fd, from, folder_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    if (linkat(folder_fd, from, folder_fd, to, 0) != 0)
        return errno;
    return unlinkat(folder_fd, from, 0) == 0 ? 0 : errno;
}

void chunk_store_set_attributes(struct chunk_store *self, const struct file_attributes *attributes)
{
    self->attributes = *attributes;
}

enum publish_result chunk_store_publish(struct chunk_store *self, bool must_replace)
{
    /* The final name must never stand for less than synced bytes of exactly the right size. */
    if (ftruncate(self->fd, (off_t)self->layout.size) != 0)
        return PUBLISH_FAILED;
    file_attributes_apply(&self->attributes, self->fd);
    if (fdatasync(self->fd) != 0)
        return PUBLISH_FAILED;
    /* Whoever removed our file may have begun another under its name, which is not verified. */
    int error = is_still_named(self)
                    ? chunk_store_rename(self->folder_fd, self->partial_name, self->name, must_replace)
                    : ENOENT;
    if (error != 0) {
        errno = error;
        return error == EEXIST ? PUBLISH_EXISTS : PUBLISH_FAILED;
    }
    if (fsync(self->folder_fd) != 0 && errno != EINVAL) /* some network file systems cannot sync folders */
        return PUBLISH_FAILED;
    return PUBLISH_OK;
}

void chunk_store_find_others(const char *folder, const char *name, const struct file_id *id, void *owner,
                             void (*found)(void *owner, int folder_fd, const char *partial_name))
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    char ours[PARTIAL_NAME_SIZE];
    chunk_store_partial_name(name, id, ours);
    size_t suffix_size = ID_DIGITS + strlen(SUFFIX);
    size_t size = strlen(ours), stem_size = size - suffix_size;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        const char *other = entry->d_name;
        if (strlen(other) == size && strcmp(other, ours) != 0 && memcmp(other, ours, stem_size) == 0 &&
            strcmp(other + size - strlen(SUFFIX), SUFFIX) == 0 &&
            strspn(other + stem_size, "0123456789abcdef") == ID_DIGITS)
            found(owner, dirfd(dir), other);
    }
    closedir(dir);
}
