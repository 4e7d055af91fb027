/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/fetch_private.h"

#include "node/content/tree.h"
#include "node/shell/file_io.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One write to a pipe; a pipe holds 64 KiB unless told otherwise. */
#define PIPE_PART_BYTES (1024u * 1024)

/* While a pipe is full, how often to look whether to go on. */
#define PIPE_LOOK_MS 100

/* At most this much, or what came in this time, is lost to a power failure. */
#define SYNC_BYTES (UINT64_C(256) << 20)
#define SYNC_MS    2000

static void put(struct fetch *self, struct job *job)
{
    self->job_count++;
    workers_put(self->workers, job);
}

static bool is_right(const uint8_t *bytes, const struct process_order *order)
{
    struct hash hashes[BLOCK_SIZE / LEAF_SIZE];
    uint32_t count = (order->run.length + order->span_bytes - 1) / order->span_bytes;
    tree_hash_spans(bytes, order->run.length, order->height, hashes);
    return memcmp(hashes, order->expected, count * sizeof *hashes) == 0;
}

/* A payload that came in: hashed and written from the buffer it was received in. */
struct process_job {
    struct job job;
    struct fetch *fetch;
    struct process_order order;
    zmq_msg_t payload;
    struct processed result;
    uint64_t hash_ns, write_ns;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* False when the bytes are not what they should be. */
static bool hash_payload(struct process_job *self, const uint8_t *bytes)
{
    if (self->order.expected)
        return is_right(bytes, &self->order);
    tree_hash_span(bytes, self->order.run.length, self->order.height, &self->result.hash);
    return true;
}

static void run_process(struct job *job)
{
    struct process_job *self = (struct process_job *)job;
    const uint8_t *bytes = zmq_msg_data(&self->payload);
    uint64_t begun_ns = now_ns();
    bool is_good = hash_payload(self, bytes);
    uint64_t hashed_ns = now_ns();
    self->hash_ns = hashed_ns - begun_ns;
    if (!is_good) {
        self->result.status = PROCESSED_MISMATCH;
        return;
    }
    int error = chunk_store_write(self->fetch->store, bytes, self->order.run.length, self->order.run.offset);
    self->write_ns = now_ns() - hashed_ns;
    self->result.status = error ? PROCESSED_FAILED : PROCESSED_OK;
    self->result.error_number = error;
}

static void process_done(struct job *job)
{
    struct process_job *self = (struct process_job *)job;
    struct fetch *fetch = self->fetch;
    fetch->job_count--;
    fetch->hash_ns += self->hash_ns;
    fetch->write_ns += self->write_ns;
    zmq_msg_close(&self->payload);
    if (!fetch->is_stopped && !fetch->is_finished)
        fetch_processed(fetch, self->order.ticket, &self->result);
    free(self);
}

void fetch_process(struct fetch *self, const struct process_order *order, zmq_msg_t *payload)
{
    struct process_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_process, .done = process_done};
    job->fetch = self;
    job->order = *order;
    job->result =
        (struct processed){.status = PROCESSED_FAILED, .error_number = ECANCELED}; /* until it ran */
    zmq_msg_init(&job->payload);
    zmq_msg_move(&job->payload, payload);
    put(self, &job->job);
}

/* A chunk that an earlier run wrote. */
struct check_job {
    struct job job;
    struct fetch *fetch;
    uint32_t chunk;
    struct process_order order;
    bool is_right;
};

static bool holds_chunk(struct check_job *self, int fd, uint8_t *bytes)
{
    return file_read_exactly(fd, bytes, self->order.run.length, self->order.run.offset) &&
           is_right(bytes, &self->order);
}

/* What cannot be read counts as not there: it is fetched. */
static void run_check(struct job *job)
{
    struct check_job *self = (struct check_job *)job;
    const struct fetch *fetch = self->fetch;
    if (workers_is_stopping(fetch->workers))
        return;
    uint8_t *bytes = malloc(self->order.run.length);
    assert(bytes);
    int fd = chunk_store_fd(fetch->store);
    self->is_right = holds_chunk(self, fd, bytes);
    for (size_t i = 0; i < fetch->seed_count && !self->is_right; i++) {
        self->is_right =
            holds_chunk(self, fetch->seed_fds[i], bytes) &&
            chunk_store_write(fetch->store, bytes, self->order.run.length, self->order.run.offset) == 0;
    }
    free(bytes);
}

static void check_done(struct job *job)
{
    struct check_job *self = (struct check_job *)job;
    struct fetch *fetch = self->fetch;
    fetch->job_count--;
    if (!fetch->is_stopped && !fetch->is_finished)
        fetch_checked(fetch, self->chunk, self->is_right);
    free(self);
}

void fetch_check(struct fetch *self, uint32_t chunk, const struct process_order *order)
{
    struct check_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_check, .done = check_done};
    job->fetch = self;
    job->chunk = chunk;
    job->order = *order;
    put(self, &job->job);
}

/* The have-map, and the layer once. */
struct map_job {
    struct job job;
    struct fetch *fetch;
    struct hash *layer;
    uint8_t *bits;
    int error_number;
};

static void run_map(struct job *job)
{
    struct map_job *self = (struct map_job *)job;
    struct chunk_store *store = self->fetch->store;
    if (self->layer)
        self->error_number = chunk_store_write_layer(store, self->layer);
    if (!self->error_number)
        self->error_number = chunk_store_write_map(store, self->bits);
}

static void map_done(struct job *job)
{
    struct map_job *self = (struct map_job *)job;
    struct fetch *fetch = self->fetch;
    int error_number = self->error_number;
    fetch->job_count--;
    fetch->is_map_being_kept = false;
    struct blob bits = {self->bits, chunk_map_bits(download_chunks(fetch->download)).size};
    if (!fetch->is_stopped && !fetch->is_finished && !error_number && fetch->events.kept)
        fetch->events.kept(fetch->events.owner, bits);
    free(self->layer);
    free(self->bits);
    free(self);
    if (fetch->is_stopped || fetch->is_finished)
        return;
    if (error_number) {
        fetch_finish(fetch, FETCH_DISK_FAILED, error_number);
        return;
    }
    fetch_keep_map(fetch);
    fetch_try_publish(fetch);
}

/* What is verified, and what an earlier run left that has not been looked at yet. */
static uint8_t *map_bits(const struct fetch *self)
{
    struct blob saved = chunk_map_bits(download_chunks(self->download));
    struct blob claimed = chunk_map_bits(download_claims(self->download));
    uint8_t *bits = malloc(saved.size + 1);
    assert(bits);
    for (size_t i = 0; i < saved.size; i++)
        bits[i] = saved.bytes[i] | claimed.bytes[i];
    return bits;
}

/* One at a time: chunks that are saved meanwhile are in the next one. */
void fetch_keep_map(struct fetch *self)
{
    bool is_needed = self->is_map_stale && !self->is_complete && self->pipe_fd < 0;
    if (!is_needed || self->is_map_being_kept)
        return;
    struct map_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_map, .done = map_done};
    job->fetch = self;
    job->bits = map_bits(self);
    const struct hash *layer = download_layer(self->download);
    if (layer && !self->is_layer_kept) {
        size_t size = (size_t)download_layout(self->download)->chunk_count * sizeof *layer;
        job->layer = malloc(size);
        assert(job->layer);
        memcpy(job->layer, layer, size);
        self->is_layer_kept = true;
    }
    self->is_map_stale = false;
    self->is_map_being_kept = true;
    self->job_count++;
    workers_put_first(self->workers,
                      &job->job); /* what is written and not in the map would be fetched again */
}

/*
 * Brings what was written to the disk while more comes, so that a power failure costs little and the end need
 * not wait for all of it.
 */
struct sync_job {
    struct job job;
    struct fetch *fetch;
    int error_number;
};

static void run_sync(struct job *job)
{
    struct sync_job *self = (struct sync_job *)job;
    self->error_number = chunk_store_sync(self->fetch->store);
}

static void sync_done(struct job *job)
{
    struct sync_job *self = (struct sync_job *)job;
    struct fetch *fetch = self->fetch;
    int error_number = self->error_number;
    fetch->job_count--;
    fetch->is_syncing = false;
    fetch->synced_at_ms = clock_now_ms();
    free(self);
    if (fetch->is_stopped || fetch->is_finished)
        return;
    /* Pages that could not be written are dropped, and a second sync would say nothing of it: the next run
     * hashes all. */
    if (error_number)
        fetch_finish(fetch, FETCH_DISK_FAILED, error_number);
    else
        fetch_try_publish(fetch);
}

void fetch_keep_durable(struct fetch *self, uint64_t now_ms)
{
    bool is_due = self->unsynced_bytes >= SYNC_BYTES ||
                  (self->unsynced_bytes > 0 && now_ms - self->synced_at_ms >= SYNC_MS);
    if (!is_due || self->is_syncing || self->is_complete || self->pipe_fd >= 0)
        return;
    struct sync_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_sync, .done = sync_done};
    job->fetch = self;
    self->is_syncing = true;
    self->unsynced_bytes = 0;
    put(self, &job->job);
}

/* Verified bytes in order, from the store into a pipe. */
struct pipe_job {
    struct job job;
    struct fetch *fetch;
    uint64_t begin, end;
    int error_number;
};

/* Writes all, or ends with an errno. A reader that takes nothing holds up neither an interrupt nor the end.
 */
static int write_in_order(const struct fetch *fetch, const uint8_t *bytes, uint32_t size)
{
    while (size > 0 && !fetch->is_stopped && !workers_is_stopping(fetch->workers)) {
        ssize_t written = write(fetch->pipe_fd, bytes, size);
        if (written >= 0) {
            bytes += written;
            size -= (uint32_t)written;
        } else if (errno == EAGAIN) {
            struct pollfd poll_fd = {.fd = fetch->pipe_fd, .events = POLLOUT};
            poll(&poll_fd, 1, PIPE_LOOK_MS);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return size > 0 ? ECANCELED : 0;
}

static void run_pipe(struct job *job)
{
    struct pipe_job *self = (struct pipe_job *)job;
    int fd = chunk_store_fd(self->fetch->store);
    uint8_t *bytes = malloc(PIPE_PART_BYTES);
    assert(bytes);
    while (self->begin < self->end && !self->error_number) {
        uint64_t left = self->end - self->begin;
        uint32_t size = left < PIPE_PART_BYTES ? (uint32_t)left : PIPE_PART_BYTES;
        if (file_read_exactly(fd, bytes, size, self->begin))
            self->error_number = write_in_order(self->fetch, bytes, size);
        else
            self->error_number = EIO;
        self->begin += size;
    }
    free(bytes);
}

static void pipe_done(struct job *job)
{
    struct pipe_job *self = (struct pipe_job *)job;
    struct fetch *fetch = self->fetch;
    fetch->job_count--;
    fetch->is_piping = false;
    fetch->pipe_offset = self->begin;
    int error_number = self->error_number;
    free(self);
    if (fetch->is_stopped || fetch->is_finished)
        return;
    if (error_number) {
        fetch_finish(fetch, FETCH_DISK_FAILED, error_number);
        return;
    }
    fetch_advance_pipe(fetch);
    fetch_try_publish(fetch);
}

void fetch_advance_pipe(struct fetch *self)
{
    if (self->pipe_fd < 0 || self->is_piping)
        return;
    const struct layout *layout = download_layout(self->download);
    if (self->pipe_offset == self->pipe_end)
        return;
    const struct chunk_map *chunks = download_chunks(self->download);
    uint32_t chunk = (uint32_t)(self->pipe_offset >> layout->chunk_log2);
    uint64_t end = (uint64_t)chunk << layout->chunk_log2;
    for (; chunk < layout->chunk_count && chunk_map_has(chunks, chunk); chunk++)
        end += layout_chunk_length(layout, chunk);
    if (end <= self->pipe_offset)
        return;
    struct pipe_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_pipe, .done = pipe_done};
    job->fetch = self;
    job->begin = self->pipe_offset;
    job->end = end < self->pipe_end ? end : self->pipe_end;
    self->is_piping = true;
    put(self, &job->job);
}

struct publish_job {
    struct job job;
    struct fetch *fetch;
    enum publish_result result;
    int error_number;
};

static void run_publish(struct job *job)
{
    struct publish_job *self = (struct publish_job *)job;
    self->result = chunk_store_publish(self->fetch->store, self->fetch->conflict);
    self->error_number = errno;
}

static void publish_done(struct job *job)
{
    struct publish_job *self = (struct publish_job *)job;
    struct fetch *fetch = self->fetch;
    fetch->job_count--;
    enum publish_result result = self->result;
    int error_number = self->error_number;
    free(self);
    if (fetch->is_stopped)
        return;
    if (result == PUBLISH_OK)
        fetch_finish(fetch, FETCH_PUBLISHED, 0);
    else if (result == PUBLISH_EXISTS)
        fetch_finish(fetch, FETCH_EXISTS, 0);
    else if (result == PUBLISH_TOUCHED)
        fetch_doubt(fetch);
    else
        fetch_finish(fetch, FETCH_DISK_FAILED, error_number);
}

/* Once everything is verified and written, and nothing else writes to the partial file. */
void fetch_try_publish(struct fetch *self)
{
    if (!self->is_complete || self->is_publishing || self->is_finished || self->is_map_being_kept ||
        self->is_syncing)
        return;
    if (self->pipe_fd >= 0) {
        if (!self->is_piping && self->pipe_offset == self->pipe_end)
            fetch_finish(self, FETCH_PUBLISHED, 0);
        return;
    }
    struct publish_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_publish, .done = publish_done};
    job->fetch = self;
    job->result = PUBLISH_FAILED; /* until it ran */
    job->error_number = ECANCELED;
    self->is_publishing = true;
    put(self, &job->job);
}
