/* SPDX-License-Identifier: MIT */
#include "node/shell/data_port.h"

#include "messages/shell/guard.h"
#include "messages/shell/inbox.h"
#include "messages/shell/socket.h"
#include "node/shell/buffer_pool.h"
#include "node/shell/open_files.h"
#include "node/shell/share_file.h"

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Requests are small: a window of READs is 16 of them. */
#define GUARD_BUDGET_BYTES (1u << 20)

/* Messages taken from the socket before others get a turn in the loop. */
#define MESSAGES_PER_ROUND 256

/* After this time without a transfer, memory goes back to the system and files are closed. */
#define IDLE_MS 2000

struct data_port {
    struct loop *loop;
    struct workers *workers;
    void *socket;
    struct guard *guard;
    struct buffer_pool *pool;
    struct open_files files;
    struct content_source source;
    struct peer_server *server; /* NULL before data_port_start() and after data_port_stop() */
    struct peer_effects effects;
    bool is_running_effects;
    const struct file_stamp
        *changed_stamp;          /* of the file whose change is being told; NULL when it is not known */
    struct buffer *read_buffers; /* read, and not sent yet */
    size_t read_count;           /* jobs under way */
    uint64_t swept_at_ms, active_at_ms;
    bool is_trimmed;
};

/* One READ on its way through a worker. */
struct read_job {
    struct job job;
    struct data_port *port;
    struct open_file *file;
    struct buffer *buffer;
    uint64_t offset;
    uint32_t length;
    enum disk_result result;
    bool has_seen_stamp;
    struct file_stamp seen_stamp; /* when the result is DISK_CHANGED */
};

static void run_effects(struct data_port *self);

/* Reading. */

static enum disk_result check_stamp(struct read_job *self)
{
    if (!self->file->has_stamp)
        return DISK_OK;
    if (stamp_read(self->file->fd, &self->seen_stamp) != 0)
        return DISK_FAILED;
    self->has_seen_stamp = true;
    return file_stamp_equal(&self->seen_stamp, &self->file->stamp) ? DISK_OK : DISK_CHANGED;
}

static enum disk_result read_range(const struct read_job *self)
{
    uint32_t done = 0;
    while (done < self->length) {
        ssize_t got = pread(self->file->fd, self->buffer->bytes + done, self->length - done,
                            (off_t)(self->offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return DISK_FAILED;
        if (got == 0)
            return DISK_CHANGED; /* shorter than it was */
        done += (uint32_t)got;
    }
    return DISK_OK;
}

static void run_read(struct job *job)
{
    struct read_job *self = (struct read_job *)job;
    self->result = check_stamp(self);
    if (self->result != DISK_OK)
        return;
    self->result = read_range(self);
    enum disk_result after = check_stamp(self);
    if (self->result == DISK_OK)
        self->result = after;
}

static void finish_read(struct job *job)
{
    struct read_job *self = (struct read_job *)job;
    struct data_port *port = self->port;
    uint64_t ticket = self->buffer->ticket;
    open_files_put(&port->files, self->file);
    port->read_count--;
    if (self->result == DISK_OK && port->server) {
        self->buffer->next = port->read_buffers;
        port->read_buffers = self->buffer;
    } else {
        buffer_pool_give(port->pool, self->buffer);
    }
    if (port->server) {
        port->changed_stamp = self->has_seen_stamp ? &self->seen_stamp : NULL;
        peer_server_on_chunk(port->server, ticket, self->result, clock_now_ms(), &port->effects);
        run_effects(port);
        port->changed_stamp = NULL;
    }
    free(self);
}

static struct open_file *open_content(struct data_port *self, struct content content)
{
    struct open_file *file = open_files_find(&self->files, content);
    if (file)
        return file;
    bool has_stamp = false;
    struct file_stamp stamp = {0};
    int fd = self->source.open(self->source.owner, content, &has_stamp, &stamp);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) { /* what is kept open for later makes room for now */
        open_files_close_unused(&self->files);
        fd = self->source.open(self->source.owner, content, &has_stamp, &stamp);
    }
    if (fd < 0)
        return NULL;
    file = open_files_add(&self->files, content, fd);
    file->has_stamp = has_stamp;
    file->stamp = stamp;
    return file;
}

static void start_read(struct data_port *self, const struct peer_effect *effect)
{
    struct open_file *file = open_content(self, effect->content);
    if (!file) {
        /* Gone, or no longer ours to read: what was hashed is not there. A full table of files is our own
         * fault. */
        bool is_ours = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO;
        peer_server_on_chunk(self->server, effect->ticket, is_ours ? DISK_FAILED : DISK_CHANGED,
                             clock_now_ms(), &self->effects);
        return;
    }
    struct read_job *job = calloc(1, sizeof *job);
    assert(job);
    file->user_count++;
    *job = (struct read_job){
        .job = {.run = run_read, .done = finish_read},
        .port = self,
        .file = file,
        .buffer = buffer_pool_take(self->pool, effect->length, effect->ticket),
        .offset = effect->offset,
        .length = effect->length,
        .result = DISK_FAILED,
    };
    self->read_count++;
    workers_put_first(self->workers, &job->job);
}

static void load_hashes(struct data_port *self, const struct peer_effect *effect)
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
static void on_send_failed(struct data_port *self, uint32_t route, int error)
{
    if (error == EAGAIN)
        peer_server_on_congested(self->server, route, &self->effects);
    else
        peer_server_on_route_lost(self->server, route, &self->effects);
}

static bool send_frame(struct data_port *self, const void *bytes, size_t size)
{
    return zmq_send(self->socket, bytes, size, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0;
}

/* Sends [header] payload to a route; the payload's buffer comes back through the pool, sent or not. */
static void send_buffer(struct data_port *self, uint32_t route, const uint8_t *header, size_t header_size,
                        struct buffer *buffer, size_t size)
{
    zmq_msg_t message;
    buffer_to_message(buffer, size, &message);
    uint8_t id[ROUTE_SIZE];
    socket_route_bytes(route, id);
    bool is_sent = send_frame(self, id, sizeof id) && (!header || send_frame(self, header, header_size)) &&
                   zmq_msg_send(&message, self->socket, ZMQ_DONTWAIT) >= 0;
    if (is_sent)
        return;
    int error = errno;
    zmq_msg_close(&message);
    on_send_failed(self, route, error);
}

static struct buffer *take_read_buffer(struct data_port *self, uint64_t ticket)
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

static void send_header(struct data_port *self, const struct peer_effect *effect)
{
    const uint8_t *header = peer_effect_header(&self->effects, effect);
    if (effect->ticket == 0) {
        if (!socket_send_route(self->socket, effect->route, header, effect->header_size))
            on_send_failed(self, effect->route, errno);
        return;
    }
    /* It weighs: it goes in a buffer of the pool, which tells when it is sent. */
    struct buffer *buffer = buffer_pool_take(self->pool, (uint32_t)effect->header_size, effect->ticket);
    memcpy(buffer->bytes, header, effect->header_size);
    send_buffer(self, effect->route, NULL, 0, buffer, effect->header_size);
}

static void run_effect(struct data_port *self, const struct peer_effect *effect)
{
    struct buffer *buffer;
    switch (effect->kind) {
    case PEER_SEND:
        send_header(self, effect);
        break;
    case PEER_SEND_DATA:
        buffer = take_read_buffer(self, effect->ticket);
        assert(buffer);
        send_buffer(self, effect->route, peer_effect_header(&self->effects, effect), effect->header_size,
                    buffer, effect->length);
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
        guard_cut(self->guard, effect->connection);
        break;
    case PEER_CHANGED:
        open_files_forget(&self->files, effect->content);
        self->source.changed(self->source.owner, effect->content, self->changed_stamp);
        break;
    }
}

/* Results add further effects behind those that are being run. */
static void run_effects(struct data_port *self)
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

static void on_socket(void *owner)
{
    struct data_port *self = owner;
    struct inbound in;
    for (unsigned i = 0; i < MESSAGES_PER_ROUND; i++) {
        enum inbox_result result = inbox_receive_routed(self->socket, &in);
        if (result == INBOX_EMPTY)
            break;
        guard_delivered(self->guard, in.fd, in.byte_count);
        if (result == INBOX_DROPPED)
            continue;
        peer_server_on_message(self->server, in.route, in.fd, zmq_msg_data(&in.header),
                               zmq_msg_size(&in.header), in.frame_count, clock_now_ms(), &self->effects);
        inbound_release(&in);
        run_effects(self);
    }
}

static void on_guard(void *owner)
{
    struct data_port *self = owner;
    int fd;
    while (guard_next_lost(self->guard, &fd))
        peer_server_on_connection_lost(self->server, fd, &self->effects);
    run_effects(self);
}

static void on_returned(void *owner)
{
    struct data_port *self = owner;
    uint64_t ticket;
    buffer_pool_begin_returned(self->pool);
    while ((ticket = buffer_pool_next_returned(self->pool)) != 0)
        peer_server_on_sent(self->server, ticket, clock_now_ms(), &self->effects);
    run_effects(self);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct data_port *self = owner;
    if (now_ms - self->swept_at_ms >= GUARD_SWEEP_MS) {
        guard_sweep(self->guard);
        self->swept_at_ms = now_ms;
    }
    if (!peer_server_is_idle(self->server)) {
        self->active_at_ms = now_ms;
        self->is_trimmed = false;
        peer_server_tick(self->server, now_ms, &self->effects);
        run_effects(self);
    } else if (!self->is_trimmed && now_ms - self->active_at_ms >= IDLE_MS) {
        open_files_close_unused(&self->files);
        buffer_pool_trim(self->pool);
        malloc_trim(0);
        self->is_trimmed = true;
    }
    uint64_t next_ms = peer_server_next_deadline_ms(self->server),
             sweep_ms = self->swept_at_ms + GUARD_SWEEP_MS;
    if (next_ms <= now_ms)
        next_ms = now_ms + 1;
    return next_ms < sweep_ms ? next_ms : sweep_ms;
}

/* Life. */

struct data_port *data_port_new(struct loop *loop, struct workers *workers)
{
    struct data_port *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->workers = workers;
    peer_effects_init(&self->effects);
    self->socket = socket_open(SOCKET_PEER);
    self->guard = self->socket ? guard_new(self->socket, GUARD_BUDGET_BYTES, 0) : NULL;
    self->pool = self->guard ? buffer_pool_new() : NULL;
    if (!self->pool) {
        int error = errno;
        data_port_destroy(&self);
        errno = error;
    }
    return self;
}

bool data_port_bind(struct data_port *self, const char *endpoint, uint16_t *ret_port)
{
    return socket_bind(self->socket, endpoint, ret_port);
}

bool data_port_start(struct data_port *self, const struct peer_server_config *config,
                     const struct holdings *holdings, const struct content_source *source)
{
    self->source = *source;
    self->server = peer_server_new(config, holdings);
    bool is_attached = loop_add_socket(self->loop, self->socket, on_socket, self) &&
                       loop_add_socket(self->loop, guard_socket(self->guard), on_guard, self) &&
                       loop_add_fd(self->loop, buffer_pool_fd(self->pool), on_returned, self) &&
                       loop_add_ticker(self->loop, on_tick, self);
    if (!is_attached)
        errno = EMFILE;
    return is_attached;
}

void data_port_verified(struct data_port *self, uint64_t partial_handle, uint32_t first, uint32_t count)
{
    if (!self->server)
        return;
    peer_server_on_verified(self->server, partial_handle, first, count, &self->effects);
    run_effects(self);
}

void data_port_forget(struct data_port *self, struct content content)
{
    open_files_forget(&self->files, content);
}

void data_port_stop(struct data_port *self)
{
    if (!self->server)
        return;
    peer_server_on_stop(self->server, &self->effects);
    run_effects(self);
    loop_remove_socket(self->loop, self->socket);
    loop_remove_socket(self->loop, guard_socket(self->guard));
    loop_remove_fd(self->loop, buffer_pool_fd(self->pool));
    loop_remove_ticker(self->loop, self);
    peer_server_destroy(&self->server);
}

void data_port_destroy(struct data_port **self_p)
{
    struct data_port *self = *self_p;
    if (!self)
        return;
    assert(self->read_count == 0);
    if (self->server)
        data_port_stop(self);
    while (self->read_buffers) {
        struct buffer *buffer = self->read_buffers;
        self->read_buffers = buffer->next;
        buffer_pool_give(self->pool, buffer);
    }
    guard_destroy(&self->guard);
    socket_close(&self->socket);
    open_files_close_unused(&self->files);
    buffer_pool_destroy(&self->pool);
    peer_effects_release(&self->effects);
    free(self);
    *self_p = NULL;
}

struct peer_server_figures data_port_figures(const struct data_port *self)
{
    return self->server ? peer_server_figures(self->server) : (struct peer_server_figures){0};
}
