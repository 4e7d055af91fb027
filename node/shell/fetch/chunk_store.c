/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/chunk_store_private.h"

#include "messages/sha256.h"
#include "node/shell/file_io.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#define ID_DIGITS     12

/* Map and layer of 28 TiB, the largest file that is served in part. */
#define TAIL_BYTES_MAX (UINT64_C(256) << 20)

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
    size_t room = (PARTIAL_NAME_SIZE - 1) - (1 + 1 + ID_DIGITS + strlen(PARTIAL_SUFFIX));
    size_t size = strlen(name) < room ? strlen(name) : room;
    while (size > 0 && size < strlen(name) && ((unsigned char)name[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a UTF-8 sequence */
    snprintf(ret_name, PARTIAL_NAME_SIZE, ".%.*s.%s" PARTIAL_SUFFIX, (int)size, name, digits);
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
    bool is_valid = file_read_exactly(self->fd, map, size + sizeof checksum, map_offset(self)) &&
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
    if (!file_read_exactly(self->fd, self->layer, size, layer_offset(self))) {
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
    self->folder_fd = self->temp_fd = self->fd = -1;
    self->range_end = layout->size;
    int rc = pthread_mutex_init(&self->writing, NULL);
    assert(rc == 0);
    chunk_map_init(&self->claims, layout->chunk_count);
    self->map_size = (size_t)page_up(MAP_HEAD_SIZE + layout_bitfield_size(layout) + sizeof(struct hash));
    return self;
}

static void store_free(struct chunk_store **self_p)
{
    struct chunk_store *self = *self_p;
    if (self->fd >= 0)
        close(self->fd);
    if (self->temp_fd >= 0 && self->temp_fd != self->folder_fd)
        close(self->temp_fd);
    if (self->folder_fd >= 0)
        close(self->folder_fd);
    chunk_map_release(&self->claims);
    pthread_mutex_destroy(&self->writing);
    free(self->below);
    free(self->layer);
    free(self);
    *self_p = NULL;
}

/* Another program may have published or removed the file between our open and our lock. */
static bool is_still_named(const struct chunk_store *self)
{
    struct stat opened, named;
    return fstat(self->fd, &opened) == 0 &&
           fstatat(self->temp_fd, self->partial_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
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
        self->fd = openat(self->temp_fd, self->partial_name,
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

static bool open_folders(struct chunk_store *self, const char *folder, const char *temp)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    self->folder_fd = open(folder, flags);
    self->temp_fd = temp ? open(temp, flags) : self->folder_fd;
    return self->folder_fd >= 0 && self->temp_fd >= 0;
}

enum store_result chunk_store_open(const char *folder, const char *temp, const char *name,
                                   const struct file_id *id, const struct layout *layout,
                                   struct chunk_store **ret_store)
{
    if (strlen(name) > (PARTIAL_NAME_SIZE - 1)) {
        errno = ENAMETOOLONG;
        return STORE_FAILED;
    }
    struct chunk_store *self = store_new(id, layout);
    snprintf(self->name, sizeof self->name, "%s", name);
    chunk_store_partial_name(name, id, self->partial_name);
    enum store_result result = open_folders(self, folder, temp) ? open_partial(self) : STORE_FAILED;
    if (result == STORE_OK) {
        chunk_store_begin_watching(self);
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
    self->fd = fd; /* nobody else can open it, so it is not watched */
    *ret_store = self;
    return STORE_OK;
}

/* The file that a map at this place is of: one that ends just before. */
static bool read_head(int fd, uint64_t offset, struct file_id *ret_id, uint64_t *ret_size)
{
    uint8_t head[MAP_HEAD_SIZE];
    uint64_t size = 0;
    if (!file_read_exactly(fd, head, sizeof head, offset) || memcmp(head, MAP_MAGIC, 8) != 0)
        return false;
    for (unsigned i = 0; i < 8; i++)
        size |= (uint64_t)head[40 + i] << (8 * i);
    if (size == 0 || size > FILE_SIZE_MAX || page_up(size) != offset)
        return false;
    memcpy(ret_id->bytes, head + 8, sizeof ret_id->bytes);
    *ret_size = size;
    return true;
}

/* What may lie behind the content in a partial file of this size: a file that fits has no more chunks. */
static uint64_t tail_bytes_max(uint64_t size)
{
    uint64_t chunks = (size >> CHUNK_LOG2_MAX) + 1;
    if (chunks < CHUNKS_WANTED_MAX)
        chunks = CHUNKS_WANTED_MAX;
    uint64_t map_size = page_up(MAP_HEAD_SIZE + chunks / 8 + 1 + sizeof(struct hash));
    uint64_t bytes = map_size + page_up(chunks * sizeof(struct hash));
    return bytes < TAIL_BYTES_MAX ? bytes : TAIL_BYTES_MAX;
}

bool chunk_store_open_reader(int fd, struct chunk_store **ret_store)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    /* The last map is the file's own: content may hold others, of partial files that are fetched themselves.
     */
    uint64_t end = page_up((uint64_t)status.st_size);
    uint64_t tail_bytes = tail_bytes_max(end);
    uint64_t begin = end > tail_bytes ? end - tail_bytes : 0;
    for (uint64_t at = end; at > begin; at -= PAGE) {
        struct file_id id;
        uint64_t size;
        if (!read_head(fd, at - PAGE, &id, &size))
            continue;
        struct layout layout = layout_of(size);
        struct chunk_store *self = store_new(&id, &layout);
        self->fd = fd;
        if (read_map(self)) {
            read_layer(self);
            *ret_store = self;
            return true;
        }
        self->fd = -1;
        store_free(&self);
    }
    return false;
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
        unlinkat((*self_p)->temp_fd, (*self_p)->partial_name, 0);
    store_free(self_p);
}

int chunk_store_fd(const struct chunk_store *self)
{
    return self->fd;
}

const struct file_id *chunk_store_id(const struct chunk_store *self)
{
    return &self->id;
}

const struct layout *chunk_store_layout(const struct chunk_store *self)
{
    return &self->layout;
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

void chunk_store_set_range(struct chunk_store *self, uint64_t begin, uint64_t end)
{
    assert(begin <= end);
    assert(end <= self->layout.size);
    self->range_begin = begin;
    self->range_end = end;
}

/* The chunks of the range that are not here, and the file that is cut out of them. */
static uint64_t range_needed(const struct chunk_store *self)
{
    uint64_t chunk_size = UINT64_C(1) << self->layout.chunk_log2;
    uint64_t needed = self->map_size + layer_size(self);
    for (uint64_t at = self->range_begin / chunk_size * chunk_size; at < self->range_end; at += chunk_size) {
        uint32_t chunk = (uint32_t)(at >> self->layout.chunk_log2);
        if (!chunk_map_has(&self->claims, chunk))
            needed += layout_chunk_length(&self->layout, chunk);
    }
    return needed + (self->partial_name[0] ? self->range_end - self->range_begin : 0);
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
    if (self->range_begin > 0 || self->range_end < self->layout.size)
        *ret_needed = range_needed(self);
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
    int error = chunk_store_write(self, map, self->map_size, map_offset(self));
    free(map);
    return error;
}

int chunk_store_write_layer(struct chunk_store *self, const struct hash *layer)
{
    return chunk_store_write(self, layer, layer_size(self), layer_offset(self));
}

void chunk_store_find_others(const char *folder, const char *name, const struct file_id *id, void *owner,
                             void (*found)(void *owner, int folder_fd, const char *partial_name))
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    char ours[PARTIAL_NAME_SIZE];
    chunk_store_partial_name(name, id, ours);
    size_t suffix_size = ID_DIGITS + strlen(PARTIAL_SUFFIX);
    size_t size = strlen(ours), stem_size = size - suffix_size;
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        const char *other = entry->d_name;
        if (strlen(other) == size && strcmp(other, ours) != 0 && memcmp(other, ours, stem_size) == 0 &&
            strcmp(other + size - strlen(PARTIAL_SUFFIX), PARTIAL_SUFFIX) == 0 &&
            strspn(other + stem_size, "0123456789abcdef") == ID_DIGITS)
            found(owner, dirfd(dir), other);
    }
    closedir(dir);
}
