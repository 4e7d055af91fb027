/* SPDX-License-Identifier: MIT */
#include "node/shell/serve/uploads.h"

#include "messages/shell/socket.h"
#include "node/shell/file_io.h"
#include "node/shell/serve/buffer_pool.h"
#include "node/shell/serve/open_files.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* After this time without a transfer, memory goes back to the system and files are closed. */
#define IDLE_MS 2000

/* READs that are hardly more than waking a thread are read many at a time; few enough that all threads get
 * some. */
#define BATCH_READ_BYTES (64u << 10)
#define BATCH_COUNT      16

struct read_job;

struct uploads {
    struct loop *loop;
    struct workers *workers;
    struct uploads_events events;
    void *socket; /* NULL: none now */
    bool is_router;
    struct buffer_pool *pool;
    struct open_files files;
    struct content_source source;
    struct peer_server *server; /* NULL before uploads_start() and after uploads_stop() */
    struct peer_effects effects;
    bool is_running_effects, is_orphaned;
    const struct file_stamp
        *changed_stamp;          /* of the file whose change is being told; NULL when it is not known */
    struct buffer *read_buffers; /* read, and not sent yet */
    size_t read_count;           /* under way */
    struct read_job *batch;      /* small ones of this round, the last first; NULL: none */
    size_t batch_count;
    uint64_t active_at_ms;
    bool is_trimmed;
};

/* One READ on its way through a worker. */
struct read_job {
    struct job job;
    struct read_job *before; /* of the same batch; this one's job runs and finishes them all */
    struct uploads *uploads;
    struct open_file *file;
    struct content content;
    struct buffer *buffer;
    uint64_t offset;
    uint32_t length;
    int fd, open_error;
    bool has_made_room; /* for its descriptor */
    enum disk_result result;
    int error; /* when the result is DISK_FAILED */
    bool has_seen_stamp;
    struct file_stamp seen_stamp; /* when the result is DISK_CHANGED */
};

/* Reading. */

/* An error that says nothing about the file. */
static bool is_our_own_trouble(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN || error == EINTR ||
           error == EIO;
}

/* What is gone, or no longer ours to read, is not what was hashed. */
static enum disk_result open_first(struct read_job *self)
{
    self->fd = open_file_fd(self->file, &self->seen_stamp);
    if (self->fd >= 0)
        return DISK_OK;
    self->open_error = self->error = errno;
    self->has_seen_stamp = self->error == ESTALE;
    return is_our_own_trouble(self->error) ? DISK_FAILED : DISK_CHANGED;
}

static enum disk_result check_stamp(struct read_job *self)
{
    const struct open_file_place *place = &self->file->place;
    if (!place->has_stamp)
        return DISK_OK;
    self->error = stamp_read(self->fd, &self->seen_stamp);
    if (self->error != 0)
        return DISK_FAILED;
    self->has_seen_stamp = true;
    return file_stamp_equal(&self->seen_stamp, &place->stamp) ? DISK_OK : DISK_CHANGED;
}

static enum disk_result read_range(struct read_job *self)
{
    ssize_t got = file_read_at(self->fd, self->buffer->bytes, self->length, self->offset);
    if (got < 0) {
        self->error = errno;
        return DISK_FAILED;
    }
    return got == (ssize_t)self->length ? DISK_OK : DISK_CHANGED; /* shorter than it was */
}

static void read_one(struct read_job *self)
{
    self->result = open_first(self);
    if (self->result == DISK_OK)
        self->result = check_stamp(self);
    if (self->result != DISK_OK)
        return;
    self->result = read_range(self);
    if (self->result == DISK_FAILED)
        return;
    enum disk_result after = check_stamp(self); /* also of one that was cut short: its owner hears of it */
    if (self->result == DISK_OK)
        self->result = after;
}

static void run_reads(struct job *job)
{
    for (struct read_job *self = (struct read_job *)job; self; self = self->before)
        read_one(self);
}

static void tell_unreadable(struct uploads *self, struct content content, int error)
{
    if (self->events.unreadable)
        self->events.unreadable(self->events.owner, content, error);
}

/* With no read under way any more. */
static void release(struct uploads *self)
{
    while (self->read_buffers) {
        struct buffer *buffer = self->read_buffers;
        self->read_buffers = buffer->next;
        buffer_pool_give(self->pool, buffer);
    }
    open_files_close_unused(&self->files);
    buffer_pool_destroy(&self->pool);
    peer_effects_release(&self->effects);
    free(self);
}

/* What is kept open for later makes room for now, once. True when it is read again. */
static bool try_again(struct read_job *self)
{
    bool is_full = self->open_error == EMFILE || self->open_error == ENFILE;
    if (!is_full || self->has_made_room || workers_is_stopping(self->uploads->workers))
        return false;
    open_files_close_unused(&self->uploads->files);
    self->has_made_room = true;
    self->open_error = 0;
    self->before = NULL;
    workers_put(self->uploads->workers, &self->job);
    return true;
}

static void finish_one(struct read_job *self)
{
    struct uploads *uploads = self->uploads;
    uint64_t ticket = self->buffer->ticket;
    if (try_again(self))
        return;
    uploads->read_count--;
    if (self->open_error != 0) /* the next one looks for it anew */
        open_file_drop(self->file);
    if (self->result == DISK_OK && uploads->server) {
        self->buffer->next = uploads->read_buffers;
        uploads->read_buffers = self->buffer;
    } else {
        buffer_pool_give(uploads->pool, self->buffer);
    }
    if (uploads->server && self->result == DISK_FAILED)
        tell_unreadable(uploads, self->content, self->error);
    if (uploads->server) {
        uploads->changed_stamp = self->has_seen_stamp ? &self->seen_stamp : NULL;
        peer_server_on_chunk(uploads->server, ticket, self->result, clock_now_ms(), &uploads->effects);
        uploads_run(uploads);
        uploads->changed_stamp = NULL;
    }
    open_files_put(&uploads->files, self->file);
    free(self);
    if (uploads->is_orphaned && uploads->read_count == 0)
        release(uploads);
}

static void finish_reads(struct job *job)
{
    struct read_job *before;
    for (struct read_job *self = (struct read_job *)job; self; self = before) {
        before = self->before;
        finish_one(self);
    }
}

static void flush_batch(struct uploads *self)
{
    if (self->batch)
        workers_put(self->workers, &self->batch->job);
    self->batch = NULL;
    self->batch_count = 0;
}

static struct open_file *open_content(struct uploads *self, struct content content)
{
    struct open_file *file = open_files_find(&self->files, content);
    if (file)
        return file;
    struct open_file_place place;
    bool is_found = self->source.locate(self->source.owner, content, &place);
    if (!is_found && (errno == EMFILE || errno == ENFILE)) {
        open_files_close_unused(&self->files);
        is_found = self->source.locate(self->source.owner, content, &place);
    }
    return is_found ? open_files_add(&self->files, content, &place) : NULL;
}

static void start_read(struct uploads *self, const struct peer_effect *effect)
{
    struct open_file *file = open_content(self, effect->content);
    if (!file) {
        int error = errno;
        bool is_ours = is_our_own_trouble(error);
        if (is_ours)
            tell_unreadable(self, effect->content, error);
        peer_server_on_chunk(self->server, effect->ticket, is_ours ? DISK_FAILED : DISK_CHANGED,
                             clock_now_ms(), &self->effects);
        return;
    }
    struct read_job *job = calloc(1, sizeof *job);
    assert(job);
    file->user_count++;
    *job = (struct read_job){
        .job = {.run = run_reads, .done = finish_reads, .lane = file->place.lane},
        .uploads = self,
        .file = file,
        .content = effect->content,
        .buffer = buffer_pool_take(self->pool, effect->length, effect->ticket),
        .offset = effect->offset,
        .length = effect->length,
        .result = DISK_FAILED,
    };
    self->read_count++;
    if (effect->length > BATCH_READ_BYTES) {
        workers_put(self->workers, &job->job);
        return;
    }
    if (self->batch && self->batch->job.lane != job->job.lane)
        flush_batch(self);
    job->before = self->batch;
    self->batch = job;
    if (++self->batch_count == BATCH_COUNT)
        flush_batch(self);
}

static void load_hashes(struct uploads *self, const struct peer_effect *effect)
{
    struct hash *hashes = calloc(effect->count, sizeof *hashes);
    assert(hashes);
    enum disk_result result =
        self->source.load_hashes(self->source.owner, effect->content, effect->first, effect->count, hashes);
    peer_server_on_hashes(self->server, effect->ticket, result, hashes, clock_now_ms(), &self->effects);
    free(hashes);
}

/* Sending. */

/* EHOSTUNREACH: the route is gone. EAGAIN: it has not read 2048 replies. Either way nobody waits for it. */
static void on_send_failed(struct uploads *self, uint32_t route, int error)
{
    if (error == EAGAIN)
        peer_server_on_congested(self->server, route, &self->effects);
    else
        peer_server_on_route_lost(self->server, route, &self->effects);
}

static bool send_frame(struct uploads *self, const void *bytes, size_t size)
{
    return zmq_send(self->socket, bytes, size, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0;
}

/* A ROUTER wants to know whom for. */
static bool send_route(struct uploads *self, uint32_t route)
{
    uint8_t id[ROUTE_SIZE];
    socket_route_bytes(route, id);
    return !self->is_router || send_frame(self, id, sizeof id);
}

/* Sends [header] payload to a route; the payload's buffer comes back through the pool, sent or not. */
static bool send_buffer(struct uploads *self, uint32_t route, const uint8_t *header, size_t header_size,
                        struct buffer *buffer, size_t size)
{
    zmq_msg_t message;
    buffer_to_message(buffer, size, &message);
    bool is_sent = send_route(self, route) && (!header || send_frame(self, header, header_size)) &&
                   zmq_msg_send(&message, self->socket, ZMQ_DONTWAIT) >= 0;
    if (is_sent)
        return true;
    int error = errno;
    zmq_msg_close(&message);
    on_send_failed(self, route, error);
    return false;
}

static struct buffer *take_read_buffer(struct uploads *self, uint64_t ticket)
{
    for (struct buffer **at = &self->read_buffers; *at; at = &(*at)->next) {
        struct buffer *buffer = *at;
        if (buffer->ticket != ticket)
            continue;
        *at = buffer->next;
        return buffer;
    }
    return NULL;
}

static void send_header(struct uploads *self, const struct peer_effect *effect)
{
    const uint8_t *header = peer_effect_header(&self->effects, effect);
    if (effect->ticket == 0) {
        if (!send_route(self, effect->route) || !socket_send(self->socket, header, effect->header_size))
            on_send_failed(self, effect->route, errno);
        return;
    }
    /* It weighs: it goes in a buffer of the pool, which tells when it is sent. */
    struct buffer *buffer = buffer_pool_take(self->pool, (uint32_t)effect->header_size, effect->ticket);
    memcpy(buffer->bytes, header, effect->header_size);
    send_buffer(self, effect->route, NULL, 0, buffer, effect->header_size);
}

static void send_data(struct uploads *self, const struct peer_effect *effect)
{
    struct buffer *buffer = take_read_buffer(self, effect->ticket);
    assert(buffer);
    const uint8_t *header = peer_effect_header(&self->effects, effect);
    bool is_sent = send_buffer(self, effect->route, header, effect->header_size, buffer, effect->length);
    if (is_sent && self->events.sent)
        self->events.sent(self->events.owner, effect->content, effect->offset, effect->length);
}

static void run_effect(struct uploads *self, const struct peer_effect *effect)
{
    struct buffer *buffer;
    switch (effect->kind) {
    case PEER_SEND:
        send_header(self, effect);
        break;
    case PEER_SEND_DATA:
        send_data(self, effect);
        break;
    case PEER_DROP_DATA:
        buffer = take_read_buffer(self, effect->ticket);
        assert(buffer);
        buffer_pool_give(self->pool, buffer);
        peer_server_on_sent(self->server, effect->ticket, clock_now_ms(), &self->effects);
        break;
    case PEER_READ_CHUNK:
        start_read(self, effect);
        break;
    case PEER_LOAD_HASHES:
        load_hashes(self, effect);
        break;
    case PEER_DISCONNECT:
        self->events.cut(self->events.owner, effect->connection);
        break;
    case PEER_CHANGED:
        open_files_forget(&self->files, effect->content);
        self->source.changed(self->source.owner, effect->content, self->changed_stamp);
        break;
    case PEER_PUSH:
        self->events.push(self->events.owner, effect->route);
        break;
    case PEER_PUSHER_GONE:
        self->events.pusher_gone(self->events.owner, effect->route);
        break;
    }
}

/* Results add further effects behind those that are being run. */
void uploads_run(struct uploads *self)
{
    if (self->is_running_effects)
        return;
    self->is_running_effects = true;
    for (size_t i = 0; i < self->effects.count; i++) {
        struct peer_effect effect = self->effects.items[i];
        run_effect(self, &effect);
    }
    peer_effects_clear(&self->effects);
    self->is_running_effects = false;
}

/* Events. */

static void on_returned(void *owner)
{
    struct uploads *self = owner;
    uint64_t ticket;
    buffer_pool_begin_returned(self->pool);
    while ((ticket = buffer_pool_next_returned(self->pool)) != 0)
        peer_server_on_sent(self->server, ticket, clock_now_ms(), &self->effects);
    uploads_run(self);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct uploads *self = owner;
    uploads_run(self); /* what uploads_send() left */
    if (!peer_server_is_idle(self->server)) {
        self->active_at_ms = now_ms;
        self->is_trimmed = false;
        peer_server_tick(self->server, now_ms, &self->effects);
        uploads_run(self);
    } else if (!self->is_trimmed && now_ms - self->active_at_ms >= IDLE_MS) {
        open_files_close_unused(&self->files);
        buffer_pool_trim(self->pool);
        malloc_trim(0);
        self->is_trimmed = true;
    }
    flush_batch(self);
    uint64_t next_ms = peer_server_next_deadline_ms(self->server);
    uint64_t trim_ms = self->is_trimmed ? UINT64_MAX : self->active_at_ms + IDLE_MS;
    if (trim_ms < next_ms)
        next_ms = trim_ms;
    return next_ms > now_ms ? next_ms : now_ms + 1;
}

void uploads_set_socket(struct uploads *self, void *socket, bool is_router)
{
    self->socket = socket;
    self->is_router = is_router;
}

struct peer_server *uploads_server(struct uploads *self)
{
    return self->server;
}

struct peer_effects *uploads_effects(struct uploads *self)
{
    return &self->effects;
}

/* The effects of a failure wait for the next tick: the caller may be in the middle of its own. */
void uploads_send(struct uploads *self, uint32_t route, const void *bytes, size_t size)
{
    if (self->server && (!send_route(self, route) || !socket_send(self->socket, bytes, size)))
        on_send_failed(self, route, errno);
}

void uploads_forget(struct uploads *self, struct content content)
{
    open_files_forget(&self->files, content);
}

/* Life. */

struct uploads *uploads_new(struct loop *loop, struct workers *workers, const struct uploads_events *events)
{
    struct uploads *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->workers = workers;
    self->events = *events;
    peer_effects_init(&self->effects);
    self->pool = buffer_pool_new();
    if (!self->pool) {
        int error = errno;
        free(self);
        errno = error;
        return NULL;
    }
    return self;
}

bool uploads_start(struct uploads *self, const struct peer_server_config *config,
                   const struct holdings *holdings, const struct content_source *source)
{
    self->source = *source;
    self->server = peer_server_new(config, holdings);
    self->active_at_ms = clock_now_ms();
    return loop_add_fd(self->loop, buffer_pool_fd(self->pool), on_returned, self) &&
           loop_add_ticker(self->loop, on_tick, self);
}

void uploads_stop(struct uploads *self)
{
    if (!self->server)
        return;
    peer_server_on_stop(self->server, &self->effects);
    uploads_run(self);
    flush_batch(self); /* the workers bring them back */
    loop_remove_fd(self->loop, buffer_pool_fd(self->pool));
    loop_remove_ticker(self->loop, self);
    peer_server_destroy(&self->server);
}

void uploads_destroy(struct uploads **self_p)
{
    struct uploads *self = *self_p;
    if (!self)
        return;
    uploads_stop(self);
    self->is_orphaned = true;
    if (self->read_count == 0)
        release(self);
    *self_p = NULL;
}
