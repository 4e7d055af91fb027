/* SPDX-License-Identifier: MIT */
#include "node/shell/push/push.h"

#include "messages/shell/guard.h"
#include "node/push/pusher.h"
#include "node/shell/link/source_link.h"
#include "node/shell/push/offered_file.h"
#include "node/shell/serve/uploads.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct push {
    struct push_config config;
    struct share_index *index; /* shares nothing: complete and empty */
    struct holdings *holdings; /* the file that is offered */
    struct uploads *uploads;
    struct pusher *pusher;

    /* The connection; each has a socket of its own, so that nothing of an old one goes out on a new one. */
    struct source_link *link;
    uint32_t route;
    bool is_linked, is_cut;
    uint64_t swept_at_ms;

    /* The file under way, or the last one. */
    enum push_state state;
    bool must_tell, is_offered; /* is_offered: what the file is, is known */
    struct offered_file *file;
    uint64_t handle;
    char *stored, *reason;
};

static bool is_under_way(const struct push *self)
{
    return self->state == PUSH_HASHING || self->state == PUSH_RUNNING;
}

/* What is read. */

static bool locate(void *owner, struct content content, struct open_file_place *ret_place)
{
    struct push *self = owner;
    errno = ENOENT;
    int fd = content.handle == self->handle && self->file ? offered_file_reader(self->file) : -1;
    if (fd < 0)
        return false;
    struct offered_view view = offered_file_view(self->file);
    *ret_place =
        (struct open_file_place){.fd = fd, .folder_fd = -1, .has_stamp = view.has_stamp, .stamp = view.stamp};
    return true;
}

static enum disk_result load_hashes(void *owner, struct content content, uint32_t first, uint32_t count,
                                    struct hash *ret_hashes)
{
    const struct push *self = owner;
    if (content.handle != self->handle || !self->file)
        return DISK_FAILED;
    memcpy(ret_hashes, offered_file_view(self->file).layer + first, count * sizeof *ret_hashes);
    return DISK_OK;
}

/* Ends. */

__attribute__((format(printf, 3, 4))) static void end(struct push *self, enum push_state state,
                                                      const char *format, ...)
{
    if (!is_under_way(self))
        return;
    self->state = state;
    self->must_tell = true;
    free(self->reason);
    self->reason = NULL;
    if (!format)
        return;
    va_list arguments;
    va_start(arguments, format);
    int rc = vasprintf(&self->reason, format, arguments);
    va_end(arguments);
    assert(rc >= 0);
}

static void changed(void *owner, struct content content, const struct file_stamp *stamp)
{
    struct push *self = owner;
    (void)stamp;
    if (content.handle != self->handle)
        return;
    end(self, PUSH_FAILED, "%s changed while it was pushed: push it again when it stays as it is",
        offered_file_name(self->file));
    pusher_withdraw(self->pusher, uploads_effects(self->uploads));
}

static void unreadable(void *owner, struct content content, int error)
{
    struct push *self = owner;
    if (content.handle != self->handle)
        return;
    end(self, PUSH_FAILED, "cannot read %s: %s", offered_file_name(self->file), strerror(error));
    pusher_withdraw(self->pusher, uploads_effects(self->uploads));
}

static void end_timed_out(struct push *self, const char *endpoint)
{
    struct pusher_progress progress = pusher_progress(self->pusher);
    struct text words = pusher_answer(self->pusher);
    unsigned long long timeout_s = (self->config.timeout_ms + 999) / 1000;
    if (!progress.is_connected)
        end(self, PUSH_GONE, "the node at %s is gone; what it saved is kept, and the same command goes on",
            endpoint);
    else if (!progress.is_accepted && pusher_error(self->pusher) != 0)
        end(self, PUSH_GONE, "the node at %s is busy (%.*s): try again later", endpoint, (int)words.size,
            words.bytes);
    else if (!progress.is_accepted)
        end(self, PUSH_GONE, "the node at %s did not answer the offer in time: is it a zswarm node?",
            endpoint);
    else
        end(self, PUSH_GONE,
            "the node at %s saved nothing for %llu s; what it has is kept, and the same command goes on",
            endpoint, timeout_s);
}

/* The pusher core is done with the file. */
static void conclude(struct push *self)
{
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(&self->config.host, self->config.port, endpoint);
    struct text words = pusher_answer(self->pusher);
    int size = (int)words.size;
    switch (pusher_state(self->pusher)) {
    case PUSHER_STORED:
        free(self->stored);
        self->stored = text_copy(words);
        end(self, PUSH_STORED, NULL);
        break;
    case PUSHER_SAVED:
        end(self, PUSH_SAVED, NULL);
        break;
    case PUSHER_WRONG_NODE:
        end(self, PUSH_GONE, "another node is at %s now: 'zpeers' lists the nodes", endpoint);
        break;
    case PUSHER_DENIED:
        end(self, PUSH_FAILED,
            "the node at %s refused: denied: %.*s (a node takes pushes with --accept-push)", endpoint, size,
            words.bytes);
        break;
    case PUSHER_NO_SPACE:
        end(self, PUSH_FAILED,
            "the node at %s has no room: %.*s (free some there; what is its quota, --push-quota raises)",
            endpoint, size, words.bytes);
        break;
    case PUSHER_DISPUTED:
        end(self, PUSH_FAILED,
            "the node at %s refused what it was sent: %.*s (if that was our file, check its disk)", endpoint,
            size, words.bytes);
        break;
    case PUSHER_REFUSED:
        end(self, PUSH_FAILED, "the node at %s refused: %s: %.*s (its own log may say more)", endpoint,
            error_name(pusher_error(self->pusher)), size, words.bytes);
        break;
    case PUSHER_UNREACHABLE:
        end(self, PUSH_GONE, "no node at %s: 'zpeers' lists the nodes", endpoint);
        break;
    case PUSHER_TIMED_OUT:
        end_timed_out(self, endpoint);
        break;
    default:
        break;
    }
}

/* The connection. */

static void on_connected(void *owner, uint32_t route)
{
    struct push *self = owner;
    if (self->is_linked || self->is_cut) {
        self->is_cut = true; /* libzmq was faster than our next tick: begin anew */
        return;
    }
    self->is_linked = true;
    /* Only asking for events makes the socket notice the connection. */
    int events;
    size_t events_size = sizeof events;
    zmq_getsockopt(source_link_socket(self->link), ZMQ_EVENTS, &events, &events_size);
    uploads_set_socket(self->uploads, source_link_socket(self->link), false);
    pusher_on_connected(self->pusher, route, clock_now_ms(), uploads_effects(self->uploads));
    uploads_run(self->uploads);
}

static void on_lost(void *owner, uint32_t route)
{
    struct push *self = owner;
    (void)route;
    self->is_cut = self->is_linked; /* else an attempt failed, and libzmq tries again */
}

static void on_message(void *owner, uint32_t route, struct inbound *in)
{
    struct push *self = owner;
    (void)route;
    if (self->is_cut)
        return;
    pusher_on_message(self->pusher, zmq_msg_data(&in->header), zmq_msg_size(&in->header), in->frame_count,
                      clock_now_ms(), uploads_effects(self->uploads));
    uploads_run(self->uploads);
}

static void cut(void *owner, int connection)
{
    struct push *self = owner;
    if (self->is_linked && connection == (int)self->route)
        self->is_cut = true;
}

static void sent(void *owner, struct content content, uint64_t offset, uint32_t length)
{
    struct push *self = owner;
    pusher_on_sent(self->pusher, content.handle, offset, length, clock_now_ms());
}

static void unlink_node(struct push *self, uint64_t now_ms)
{
    uploads_set_socket(self->uploads, NULL, false);
    source_link_destroy(&self->link);
    self->is_linked = self->is_cut = false;
    pusher_on_lost(self->pusher, now_ms, uploads_effects(self->uploads));
}

static void link_node(struct push *self, uint64_t now_ms)
{
    struct source_link_events events = {
        .owner = self, .connected = on_connected, .lost = on_lost, .message = on_message};
    if (self->link)
        source_link_destroy(&self->link);
    self->link =
        source_link_new(self->config.loop, &self->config.host, self->config.port, ++self->route, &events);
    if (!self->link)
        pusher_on_lost(self->pusher, now_ms, uploads_effects(self->uploads)); /* no socket: later, perhaps */
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct push *self = owner;
    if (self->link && now_ms - self->swept_at_ms >= GUARD_SWEEP_MS) {
        source_link_sweep(self->link);
        self->swept_at_ms = now_ms;
    }
    if (self->is_cut)
        unlink_node(self, now_ms);
    if (pusher_must_connect(self->pusher, now_ms))
        link_node(self, now_ms);
    pusher_tick(self->pusher, now_ms, uploads_effects(self->uploads));
    uploads_run(self->uploads);
    if (is_under_way(self) && pusher_is_over(self->pusher))
        conclude(self);
    if (self->must_tell) {
        self->must_tell = false;
        uploads_forget(self->uploads, (struct content){.is_partial = true, .handle = self->handle});
        self->config.ended(self->config.owner);
        return now_ms + 1; /* the push may be gone */
    }
    uint64_t next_ms = pusher_next_deadline_ms(self->pusher);
    uint64_t sweep_ms = self->link ? self->swept_at_ms + GUARD_SWEEP_MS : UINT64_MAX;
    if (sweep_ms < next_ms)
        next_ms = sweep_ms;
    return next_ms > now_ms ? next_ms : now_ms + 1;
}

/* Files. */

static void on_hashed(void *owner, const char *problem)
{
    struct push *self = owner;
    if (problem) {
        end(self, PUSH_FAILED, "%s", problem);
        pusher_withdraw(self->pusher, uploads_effects(self->uploads));
    } else if (self->state == PUSH_HASHING) {
        self->state = PUSH_RUNNING;
        self->is_offered = true;
        struct offered_view view = offered_file_view(self->file);
        pusher_offer(self->pusher, ++self->handle, &view.file, view.have, clock_now_ms(),
                     uploads_effects(self->uploads));
    }
    uploads_run(self->uploads);
}

void push_file(struct push *self, const char *path, const struct chunk_range *chunks)
{
    assert(!is_under_way(self));
    offered_file_close(&self->file);
    free(self->stored);
    self->stored = NULL;
    self->state = PUSH_HASHING;
    self->must_tell = self->is_offered = false;
    self->file = offered_file_new(self->config.workers, path, chunks, on_hashed, self);
    pusher_begin(self->pusher, clock_now_ms());
}

struct push_report push_report(const struct push *self)
{
    struct push_report report = {.state = self->state, .stored = self->stored};
    if (self->file) {
        report.name = offered_file_name(self->file);
        offered_file_hashed(self->file, &report.hashed_bytes, &report.size_bytes);
    }
    report.reason = is_under_way(self) ? NULL : self->reason;
    struct pusher_progress progress = pusher_progress(self->pusher);
    if (self->is_offered) {
        struct offered_view view = offered_file_view(self->file);
        report.id = view.file.id;
        report.chunk_count = layout_of(view.file.size).chunk_count;
        report.is_accepted = progress.is_accepted;
        report.offered_bytes = progress.offered_bytes;
        report.offered_count = progress.offered_count;
        report.missing_count = progress.missing_count;
        report.saved_count = progress.saved_count;
        report.saved_bytes = progress.saved_bytes;
        report.sent_count = progress.sent_count;
        report.sent_bytes = progress.sent_bytes;
    }
    return report;
}

/* Life. */

static bool start(struct push *self)
{
    struct uploads_events events = {.owner = self, .cut = cut, .sent = sent, .unreadable = unreadable};
    self->uploads = uploads_new(self->config.loop, self->config.workers, &events);
    if (!self->uploads)
        return false;
    struct peer_server_config server = {.node_name = text_of(self->config.node_name),
                                        .agent = text_of(self->config.agent),
                                        .up_rate = self->config.up_rate};
    struct content_source source = {
        .owner = self, .locate = locate, .load_hashes = load_hashes, .changed = changed};
    bool is_started = uploads_start(self->uploads, &server, self->holdings, &source) &&
                      loop_add_ticker(self->config.loop, on_tick, self);
    struct pusher_config config = {
        .node = self->config.node,
        .expected_node = self->config.expected_node,
        .instance = self->config.instance,
        .node_name = text_of(self->config.node_name),
        .agent = text_of(self->config.agent),
        .timeout_ms = self->config.timeout_ms,
    };
    self->pusher = pusher_new(&config, uploads_server(self->uploads), self->holdings);
    errno = EMFILE; /* the loop is full */
    return is_started;
}

struct push *push_new(const struct push_config *config)
{
    struct push *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->index = share_index_new();
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(self->index, &nothing);
    self->holdings = holdings_new(self->index);
    if (!start(self)) {
        int error = errno;
        push_close(&self);
        errno = error;
    }
    return self;
}

void push_close(struct push **self_p)
{
    struct push *self = *self_p;
    if (!self)
        return;
    *self_p = NULL;
    loop_remove_ticker(self->config.loop, self);
    if (self->pusher) {
        pusher_withdraw(self->pusher, uploads_effects(self->uploads));
        uploads_run(self->uploads);
    }
    if (self->uploads)
        uploads_stop(self->uploads); /* says BYE */
    source_link_destroy(&self->link);
    pusher_destroy(&self->pusher);
    uploads_destroy(&self->uploads);
    offered_file_close(&self->file);
    holdings_destroy(&self->holdings);
    share_index_destroy(&self->index);
    free(self->stored);
    free(self->reason);
    free(self);
}
