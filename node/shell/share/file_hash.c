/* SPDX-License-Identifier: MIT */
#include "node/shell/share/file_hash.h"

#include "node/content/tree.h"
#include "node/shell/file_io.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Read and hashed at a time: it stays in the core's own cache, which is faster than a trip through memory. */
#define PIECE_SIZE (256u << 10)

/* Two ticks of the slowest kernel clock (100 Hz) that stamps files. */
#define FRESH_NS 20000000

#define NS_PER_S 1000000000

struct span {
    struct job job; /* first: a job is cast back to its span */
    struct file_hash *file;
    uint64_t begin, end;
    enum file_hash_status status; /* of this run */
    int error;
};

struct file_hash {
    struct job job; /* opens the file and hashes a small one; at the end joins a large one */
    struct workers *workers;
    int folder_fd;
    char *path; /* NULL when the descriptor was given */
    int fd;
    unsigned parallel;
    unsigned running_count; /* spans */
    uint64_t next_begin, hashed_bytes;
    bool is_ready, is_joined;
    struct layout layout;
    struct hash *layer; /* chunk_count hashes */
    struct file_hash_result result;
    file_hash_done *done;
    void *owner;
    struct span spans[FILE_HASH_PARALLEL_MAX];
};

/* On a worker */

/* Reads exactly `size` bytes: READY, CHANGED when the file ends before, FAILED with *ret_error. */
static enum file_hash_status read_all(int fd, uint8_t *bytes, uint64_t size, uint64_t offset, int *ret_error)
{
    ssize_t got = file_read_at(fd, bytes, size, offset);
    if (got < 0) {
        *ret_error = errno;
        return FILE_HASH_FAILED;
    }
    return got == (ssize_t)size ? FILE_HASH_READY : FILE_HASH_CHANGED;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Hashes the chunks of one piece, which are whole, or a part of one chunk, which becomes `parts`. */
static void hash_piece(const struct file_hash *file, const uint8_t *bytes, uint64_t size, uint64_t offset,
                       struct hash *parts)
{
    uint64_t chunk_size = UINT64_C(1) << file->layout.chunk_log2;
    unsigned chunk_height = tree_chunk_height(&file->layout);
    if (chunk_size > PIECE_SIZE) {
        unsigned height = __builtin_ctz(PIECE_SIZE) - LEAF_LOG2;
        uint64_t part = offset % chunk_size / PIECE_SIZE;
        tree_hash_span(bytes, size, height, &parts[part]);
        bool ends_chunk = (offset + size) % chunk_size == 0 || offset + size == file->layout.size;
        if (ends_chunk)
            tree_join(parts, part + 1, height, chunk_height, &file->layer[offset / chunk_size]);
        return;
    }
    tree_hash_spans(bytes, size, chunk_height, &file->layer[offset / chunk_size]);
}

/* Hashes [begin, end), which is whole chunks or ends with the file, into the layer; then looks at the file
 * again. */
static enum file_hash_status hash_range(const struct file_hash *file, uint64_t begin, uint64_t end,
                                        int *ret_error)
{
    uint8_t bytes[PIECE_SIZE]; /* on the worker's stack: touched once, warm ever after */
    struct hash parts[(1u << CHUNK_LOG2_MAX) / PIECE_SIZE];
    for (uint64_t offset = begin; offset < end; offset += PIECE_SIZE) {
        if (workers_is_stopping(file->workers))
            return FILE_HASH_STOPPED;
        uint64_t size = least(PIECE_SIZE, end - offset);
        enum file_hash_status status = read_all(file->fd, bytes, size, offset, ret_error);
        if (status != FILE_HASH_READY)
            return status;
        hash_piece(file, bytes, size, offset, parts);
    }
    struct file_stamp now;
    *ret_error = stamp_read(file->fd, &now);
    if (*ret_error)
        return FILE_HASH_FAILED;
    return file_stamp_equal(&now, &file->result.stamp) ? FILE_HASH_READY : FILE_HASH_CHANGED;
}

/* Until the clock that stamps files has moved on, a write that we do not see could leave the stamp as it is.
 */
static void wait_while_fresh(const struct file_stamp *stamp)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    uint64_t age_ns = now_ns - stamp->ctime_ns;
    if (now_ns >= stamp->ctime_ns && age_ns < FRESH_NS)
        nanosleep(&(struct timespec){.tv_nsec = (long)(FRESH_NS - age_ns)}, NULL);
}

static enum file_hash_status fail(int error, int *ret_error)
{
    *ret_error = error;
    return FILE_HASH_FAILED;
}

/* Opens the file and prepares its layer. Sets the stamp and the layout. */
static enum file_hash_status prepare(struct file_hash *self, int *ret_error)
{
    struct file_stamp stamp;
    if (self->fd < 0) {
        self->fd = share_open(self->folder_fd, self->path, &stamp);
        if (self->fd < 0)
            return fail(errno, ret_error);
        wait_while_fresh(&stamp);
    }
    int error = stamp_read(self->fd, &stamp);
    if (!error && stamp.size > FILE_HASH_SIZE_MAX)
        error = EFBIG;
    if (error)
        return fail(error, ret_error);
    self->result.stamp = stamp;
    self->layout = layout_of(stamp.size);
    self->layer = malloc(((size_t)self->layout.chunk_count + 1) * sizeof *self->layer);
    if (!self->layer)
        return fail(ENOMEM, ret_error);
    return FILE_HASH_READY;
}

/* The root, once the layer is filled. */
static enum file_hash_status join(struct file_hash *self, int *ret_error)
{
    if (self->layout.chunk_count == 0)
        self->result.root = *tree_padding(0);
    else if (!tree_root_of_layer(&self->layout, self->layer, &self->result.root))
        return fail(ENOMEM, ret_error);
    self->is_joined = true;
    return FILE_HASH_READY;
}

static enum file_hash_status begin(struct file_hash *self, int *ret_error)
{
    enum file_hash_status status = prepare(self, ret_error);
    if (status != FILE_HASH_READY)
        return status;
    self->is_ready = true;
    posix_fadvise(self->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (self->layout.size > FILE_HASH_SPAN_SIZE)
        return FILE_HASH_READY; /* the spans follow */
    status = hash_range(self, 0, self->layout.size, ret_error);
    return status == FILE_HASH_READY ? join(self, ret_error) : status;
}

static void run_file(struct job *job)
{
    struct file_hash *self = (struct file_hash *)job;
    int error = 0;
    self->result.status = self->is_ready ? join(self, &error) : begin(self, &error);
    self->result.error = error;
}

static void run_span(struct job *job)
{
    struct span *span = (struct span *)job;
    span->error = 0;
    span->status = hash_range(span->file, span->begin, span->end, &span->error);
}

/* On the owner's thread */

static void finish(struct file_hash *self)
{
    if (self->fd >= 0)
        close(self->fd);
    if (self->result.status == FILE_HASH_READY && layout_has_layer(&self->layout)) {
        self->result.layer = self->layer;
        self->layer = NULL;
    }
    self->done(self->owner, &self->result);
    free(self->result.layer);
    free(self->layer);
    free(self->path);
    free(self);
}

/* Puts in as many spans as may run; at the end, the job that joins them. True when there is nothing left to
 * do. */
static bool advance(struct file_hash *self)
{
    bool is_good = self->result.status == FILE_HASH_READY;
    for (unsigned i = 0; i < FILE_HASH_PARALLEL_MAX && is_good; i++) {
        struct span *span = &self->spans[i];
        if (self->running_count >= self->parallel || self->next_begin >= self->layout.size)
            break;
        if (span->file)
            continue;
        span->file = self;
        span->status = FILE_HASH_STOPPED; /* unless it runs */
        span->begin = self->next_begin;
        span->end = least(span->begin + FILE_HASH_SPAN_SIZE, self->layout.size);
        self->next_begin = span->end;
        self->running_count++;
        workers_put(self->workers, &span->job);
    }
    if (self->running_count > 0)
        return false;
    if (!is_good)
        return true;
    self->result.status = FILE_HASH_STOPPED; /* unless it runs */
    workers_put(self->workers, &self->job);
    return false;
}

static void done_span(struct job *job)
{
    struct span *span = (struct span *)job;
    struct file_hash *self = span->file;
    span->file = NULL;
    self->running_count--;
    if (span->status == FILE_HASH_READY) {
        self->hashed_bytes += span->end - span->begin;
    } else if (self->result.status == FILE_HASH_READY) {
        self->result.status = span->status;
        self->result.error = span->error;
    }
    if (advance(self))
        finish(self);
}

static void done_file(struct job *job)
{
    struct file_hash *self = (struct file_hash *)job;
    if (self->result.status == FILE_HASH_READY && !self->is_joined) {
        advance(self); /* never finishes here: a large file has spans */
        return;
    }
    if (self->result.status == FILE_HASH_READY)
        self->hashed_bytes = self->layout.size;
    finish(self);
}

static struct file_hash *start(struct workers *workers, unsigned parallel, file_hash_done *done, void *owner)
{
    struct file_hash *self = calloc(1, sizeof *self);
    assert(self);
    self->job = (struct job){.run = run_file, .done = done_file};
    self->workers = workers;
    self->fd = -1;
    self->done = done;
    self->owner = owner;
    self->result.status = FILE_HASH_STOPPED; /* unless it runs */
    for (size_t i = 0; i < FILE_HASH_PARALLEL_MAX; i++)
        self->spans[i].job = (struct job){.run = run_span, .done = done_span};
    file_hash_set_parallel(self, parallel);
    return self;
}

struct file_hash *file_hash_start(struct workers *workers, int folder_fd, const char *path, unsigned parallel,
                                  file_hash_done *done, void *owner)
{
    struct file_hash *self = start(workers, parallel, done, owner);
    self->folder_fd = folder_fd;
    self->path = strdup(path);
    assert(self->path);
    workers_put(workers, &self->job);
    return self;
}

struct file_hash *file_hash_start_open(struct workers *workers, int fd, unsigned parallel,
                                       file_hash_done *done, void *owner)
{
    struct file_hash *self = start(workers, parallel, done, owner);
    self->fd = fd;
    workers_put(workers, &self->job);
    return self;
}

void file_hash_set_parallel(struct file_hash *self, unsigned parallel)
{
    if (parallel < 1)
        parallel = 1;
    self->parallel = parallel < FILE_HASH_PARALLEL_MAX ? parallel : FILE_HASH_PARALLEL_MAX;
    /* Only between the first job and the last, which end by themselves. */
    if (self->running_count > 0)
        advance(self);
}

uint64_t file_hash_bytes(const struct file_hash *self)
{
    return self->hashed_bytes;
}
