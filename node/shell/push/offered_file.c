/* SPDX-License-Identifier: MIT */
#include "node/shell/push/offered_file.h"

#include "messages/name.h"
#include "node/content/tree.h"
#include "node/serve/holdings.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/fetch/partial_name.h"
#include "node/shell/file_io.h"
#include "node/shell/share/file_hash.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct offered_file {
    struct job job; /* opens the file */
    struct workers *workers;
    char *path;
    bool has_range;
    struct chunk_range range;
    offered_file_done *done;
    void *owner;
    bool is_closed, is_over;
    unsigned job_count; /* under way, of all kinds */
    char *problem;

    char *name;
    int fd; /* the store's, when there is one */
    struct file_stamp stamp;
    bool is_executable;
    struct chunk_store *store; /* of a partial file */
    struct layout layout;

    struct file_hash *hash; /* while a complete file is hashed */
    struct hash root;
    struct hash *layer;    /* ours; NULL when it is the store's, or none */
    struct chunk_map have; /* verified, and chosen */
    uint32_t next_chunk;
    uint64_t hashed_bytes;
};

/* One claimed chunk on its way through a worker. */
struct check {
    struct job job;
    struct offered_file *file;
    uint32_t chunk;
    bool is_read; /* else `hash` says nothing */
    struct hash hash;
};

/* The end. */

static void release(struct offered_file *self)
{
    if (self->store)
        chunk_store_close(&self->store);
    else if (self->fd >= 0)
        close(self->fd);
    chunk_map_release(&self->have);
    free(self->layer);
    free(self->name);
    free(self->problem);
    free(self->path);
    free(self);
}

__attribute__((format(printf, 2, 3))) static void fail(struct offered_file *self, const char *format, ...)
{
    if (self->problem)
        return;
    va_list arguments;
    va_start(arguments, format);
    int rc = vasprintf(&self->problem, format, arguments);
    va_end(arguments);
    assert(rc >= 0);
}

/* After each job: tells its owner when that was the last, or ends what its owner closed. */
static void settle(struct offered_file *self)
{
    if (self->job_count > 0)
        return;
    if (self->is_closed) {
        release(self);
        return;
    }
    self->is_over = true;
    self->done(self->owner, self->problem);
}

void offered_file_close(struct offered_file **self_p)
{
    struct offered_file *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->is_closed = true;
    if (self->is_over)
        release(self);
}

/* Opening, on a worker. */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void check_name(struct offered_file *self)
{
    if (!name_is_valid(text_of(self->name)))
        fail(self, "%s: its name is not UTF-8 or holds control characters, and no node takes that: rename it",
             self->path);
    else if (self->name[0] == '.')
        fail(self, "%s: no node takes a name that begins with a dot: rename it", self->path);
}

static void use_complete(struct offered_file *self)
{
    self->name = strdup(base_of(self->path));
    assert(self->name);
    if (self->stamp.size > FILE_HASH_SIZE_MAX)
        fail(self, "%s is larger than any file that can be pushed", self->path);
    else
        self->layout = layout_of(self->stamp.size);
    check_name(self);
}

/* `target` is the name of the file that it will be. */
static void use_partial(struct offered_file *self, const char *target, const uint8_t *id_begin)
{
    self->name = strdup(target);
    assert(self->name);
    check_name(self);
    bool is_ours = chunk_store_open_reader(self->fd, &self->store) &&
                   memcmp(chunk_store_id(self->store)->bytes, id_begin, PARTIAL_ID_SIZE) == 0;
    if (!is_ours) {
        fail(self, "%s holds nothing that is verified: let zget fetch a part of it first", self->path);
        return;
    }
    self->layout = *chunk_store_layout(self->store);
    const struct hash *layer = chunk_store_layer(self->store);
    if (!layout_has_layer(&self->layout))
        return; /* its only chunk is the root: checked when that is hashed */
    struct file_id id = {{0}};
    if (layer && tree_root_of_layer(&self->layout, layer, &self->root))
        id = file_id_of(self->layout.size, &self->root);
    if (!file_id_equal(&id, chunk_store_id(self->store)))
        fail(self, "%s: its hashes are damaged: let zget go on with it for a moment", self->path);
}

static void check_range(struct offered_file *self)
{
    uint32_t count = self->layout.chunk_count;
    if (count > HOLDINGS_PARTIAL_CHUNKS_MAX)
        fail(self, "%s is larger than any file that can be pushed", self->path);
    else if (self->has_range && count == 0)
        fail(self, "%s is empty and has no chunks", self->path);
    else if (self->has_range && (self->range.first >= count || self->range.count > count - self->range.first))
        fail(self, "%s has the chunks 0-%u: choose some of those", self->path, count - 1);
}

static bool open_path(struct offered_file *self, const char *path)
{
    struct stat status;
    self->fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (self->fd < 0)
        return false;
    int error = fstat(self->fd, &status) == 0 ? 0 : errno;
    if (error)
        fail(self, "cannot read %s: %s", self->path, strerror(error));
    else if (S_ISDIR(status.st_mode))
        fail(self, "%s is a folder: name the files in it", self->path);
    else if (!S_ISREG(status.st_mode))
        fail(self, "%s is no regular file", self->path);
    self->stamp = stamp_of(&status);
    self->is_executable = status.st_mode & S_IXUSR;
    return true;
}

/* There is no file of this name: perhaps an unfinished download of it. */
static void open_partial_of(struct offered_file *self)
{
    int error = errno;
    struct partial_name found[OFFERED_FILE_CHOICES_MAX];
    char *folder = strndup(self->path, (size_t)(base_of(self->path) - self->path));
    assert(folder);
    const char *target = base_of(self->path);
    size_t count = error == ENOENT && *target
                       ? partial_name_find(*folder ? folder : ".", target, found, OFFERED_FILE_CHOICES_MAX)
                       : 0;
    if (count > 1) {
        fail(self, "%s: there are several unfinished downloads of this name: name %s%s or %s%s", self->path,
             folder, found[0].entry, folder, found[1].entry);
    } else if (count == 1) {
        char *path = NULL;
        int rc = asprintf(&path, "%s%s", folder, found[0].entry);
        assert(rc >= 0);
        if (open_path(self, path) && !self->problem)
            use_partial(self, target, found[0].id_begin);
        error = errno;
        free(path);
    }
    free(folder);
    if (self->fd < 0)
        fail(self, "cannot read %s: %s", self->path, strerror(error));
}

static void run_open(struct job *job)
{
    struct offered_file *self = (struct offered_file *)job;
    struct partial_name partial;
    if (!open_path(self, self->path))
        open_partial_of(self);
    else if (!self->problem && partial_name_parse(base_of(self->path), &partial))
        use_partial(self, partial.target, partial.id_begin);
    else if (!self->problem)
        use_complete(self);
    if (!self->problem)
        check_range(self);
}

/* A complete file. */

static void on_hashed(void *owner, struct file_hash_result *result)
{
    struct offered_file *self = owner;
    self->job_count--;
    self->hash = NULL;
    switch (result->status) {
    case FILE_HASH_READY:
        self->root = result->root;
        self->stamp = result->stamp;
        self->hashed_bytes = result->stamp.size;
        self->layer = result->layer;
        result->layer = NULL;
        if (self->layout.size != result->stamp.size)
            fail(self, "%s changed while it was read: push it when it is complete", self->path);
        break;
    case FILE_HASH_CHANGED:
        fail(self, "%s changed while it was read: push it when it is complete", self->path);
        break;
    case FILE_HASH_FAILED:
        fail(self, "cannot read %s: %s", self->path, strerror(result->error));
        break;
    case FILE_HASH_STOPPED:
        fail(self, "%s: stopped", self->path);
        break;
    }
    for (uint32_t i = 0; !self->problem && i < self->layout.chunk_count; i++) {
        if (!self->has_range || i - self->range.first < self->range.count)
            chunk_map_set(&self->have, i);
    }
    settle(self);
}

static void hash_whole(struct offered_file *self)
{
    int fd = offered_file_reader(self);
    if (fd < 0) {
        fail(self, "cannot read %s: %s", self->path, strerror(errno));
        return;
    }
    self->job_count++;
    self->hash = file_hash_start_open(self->workers, fd, workers_count(self->workers) + 1, on_hashed, self);
}

/* A partial file. */

static void run_check(struct job *job)
{
    struct check *self = (struct check *)job;
    const struct layout *layout = &self->file->layout;
    uint32_t length = layout_chunk_length(layout, self->chunk);
    uint64_t offset = (uint64_t)self->chunk << layout->chunk_log2;
    uint8_t *bytes = malloc(length);
    assert(bytes);
    self->is_read = file_read_exactly(self->file->fd, bytes, length, offset);
    if (self->is_read)
        tree_hash_span(bytes, length, tree_chunk_height(layout), &self->hash);
    free(bytes);
}

static bool is_right(struct offered_file *self, const struct check *check)
{
    if (layout_has_layer(&self->layout))
        return hash_equal(&check->hash, &chunk_store_layer(self->store)[check->chunk]);
    struct file_id id = file_id_of(self->layout.size, &check->hash);
    self->root = check->hash;
    return file_id_equal(&id, chunk_store_id(self->store));
}

static void check_more(struct offered_file *self);

static void done_check(struct job *job)
{
    struct check *check = (struct check *)job;
    struct offered_file *self = check->file;
    self->job_count--;
    if (check->is_read && is_right(self, check))
        chunk_map_set(&self->have, check->chunk);
    self->hashed_bytes += layout_chunk_length(&self->layout, check->chunk);
    free(check);
    check_more(self);
    settle(self);
}

/* The next claimed chunk that was chosen; chunk_count when there is none. */
static uint32_t next_claim(const struct offered_file *self)
{
    const struct chunk_map *claims = chunk_store_claims(self->store);
    uint32_t chunk = self->next_chunk;
    while (chunk < self->layout.chunk_count &&
           (!chunk_map_has(claims, chunk) ||
            (self->has_range && chunk - self->range.first >= self->range.count)))
        chunk++;
    return chunk;
}

static void check_more(struct offered_file *self)
{
    bool is_ending = self->is_closed || workers_is_stopping(self->workers);
    while (!is_ending && self->job_count <= workers_count(self->workers)) {
        uint32_t chunk = next_claim(self);
        if (chunk == self->layout.chunk_count)
            break;
        self->next_chunk = chunk + 1;
        struct check *check = calloc(1, sizeof *check);
        assert(check);
        *check = (struct check){.job = {.run = run_check, .done = done_check}, .file = self, .chunk = chunk};
        self->job_count++;
        workers_put(self->workers, &check->job);
    }
    if (self->job_count == 0 && self->have.set_count == 0)
        fail(self, "%s holds nothing%s that is verified: let zget fetch a part of it first", self->path,
             self->has_range ? " of these chunks" : "");
}

/* Both. */

static void done_open(struct job *job)
{
    struct offered_file *self = (struct offered_file *)job;
    self->job_count--;
    if (!self->name)
        fail(self, "%s: stopped", self->path); /* it did not run */
    if (!self->problem) {
        chunk_map_init(&self->have, self->layout.chunk_count);
        if (self->store)
            check_more(self);
        else
            hash_whole(self);
    }
    settle(self);
}

struct offered_file *offered_file_new(struct workers *workers, const char *path,
                                      const struct chunk_range *range, offered_file_done *done, void *owner)
{
    struct offered_file *self = calloc(1, sizeof *self);
    assert(self);
    self->job = (struct job){.run = run_open, .done = done_open};
    self->workers = workers;
    self->path = strdup(path);
    assert(self->path);
    self->has_range = range;
    if (range)
        self->range = *range;
    self->done = done;
    self->owner = owner;
    self->fd = -1;
    self->job_count = 1;
    workers_put(workers, &self->job);
    return self;
}

const char *offered_file_name(const struct offered_file *self)
{
    return self->have.bits ? self->name : NULL;
}

void offered_file_hashed(const struct offered_file *self, uint64_t *ret_hashed, uint64_t *ret_size)
{
    bool is_known = self->have.bits;
    *ret_hashed = self->hash ? file_hash_bytes(self->hash) : self->hashed_bytes;
    *ret_size = is_known ? self->layout.size : 0;
}

struct offered_view offered_file_view(const struct offered_file *self)
{
    struct offered_view view = {
        .file = {.id = file_id_of(self->layout.size, &self->root),
                 .root = self->root,
                 .size = self->layout.size,
                 .name = text_of(self->name)},
        .have = chunk_map_is_full(&self->have) ? NULL : self->have.bits,
        .layer = self->store ? chunk_store_layer(self->store) : self->layer,
        .has_stamp = !self->store,
        .stamp = self->stamp,
    };
    if (!self->store) {
        view.file.has_mtime = true;
        view.file.mtime_ms = self->stamp.mtime_ns / 1000000;
        view.file.has_executable = true;
        view.file.is_executable = self->is_executable;
    }
    return view;
}

int offered_file_reader(const struct offered_file *self)
{
    return fcntl(self->fd, F_DUPFD_CLOEXEC, 3);
}
