/* SPDX-License-Identifier: MIT */
#include "node/shell/link/visit.h"

#include "messages/name.h"
#include "messages/shell/guard.h"
#include "node/serve/listing.h"
#include "node/shell/link/source_link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A node that says "try again in 0 ms" is not asked in a tight loop. */
#define RETRY_MS_MIN 50

struct visit {
    struct source_link *link;
    struct visit_events events;
    struct listing *listing; /* of a list; else the question itself: */
    struct optional_bytes32 file;
    char *name;
    uint64_t instance, rid;
    uint64_t give_up_ms, retry_ms;
    enum visit_state state;
    bool is_connected;
    char error[REASON_SIZE_MAX + 32];
};

static void send_message(struct visit *self, const struct message *message)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(message, &bytes);
    source_link_send(self->link, bytes.data, bytes.size);
    msgpack_sbuffer_destroy(&bytes);
}

static void keep_error(struct visit *self, const struct message_error *error)
{
    snprintf(self->error, sizeof self->error, "%s: %.*s", error_name(error->code), (int)error->text.size,
             error->text.bytes);
}

static void end_refused(struct visit *self, const struct message_error *error)
{
    keep_error(self, error);
    self->state = VISIT_REFUSED;
}

/* Nothing came in time. */
static enum visit_state given_up(const struct visit *self)
{
    if (self->error[0])
        return VISIT_REFUSED; /* it was busy to the end */
    return self->is_connected ? VISIT_UNANSWERED : VISIT_UNREACHABLE;
}

/* A list. */

static void follow_listing(struct visit *self)
{
    struct message message;
    if (self->is_connected && listing_next_send(self->listing, &message))
        send_message(self, &message);
    struct message_error error = listing_error(self->listing);
    switch (listing_state(self->listing)) {
    case LISTING_RUNNING:
        break;
    case LISTING_COMPLETE:
        self->state = VISIT_DONE;
        break;
    case LISTING_REFUSED:
        end_refused(self, &error);
        break;
    case LISTING_UNANSWERED:
        self->state = given_up(self);
        break;
    case LISTING_UNSTEADY:
    case LISTING_ENDLESS:
        self->state = VISIT_UNSTEADY;
        break;
    }
}

static void on_list_message(struct visit *self, struct message *message)
{
    if (listing_on_message(self->listing, message, clock_now_ms()))
        self->events.files(self->events.owner, message->list_ok.files.entries, message->list_ok.files.count);
    follow_listing(self);
}

/* One file. */

static void greet(struct visit *self)
{
    struct message hello = {.kind = KIND_HELLO, .rid = ++self->rid};
    hello.hello = (struct message_hello){
        .instance = self->instance, .node_name = text_of(""), .agent = text_of("zswarm/" ZSWARM_VERSION)};
    send_message(self, &hello);
}

static void open_file(struct visit *self)
{
    struct message open = {.kind = KIND_OPEN, .rid = ++self->rid};
    self->retry_ms = UINT64_MAX;
    open.open.file = self->file;
    if (!self->file.is_present)
        open.open.name = (struct optional_text){true, text_of(self->name)};
    send_message(self, &open);
}

static void on_file_error(struct visit *self, const struct message_error *error)
{
    if (error->code == ERROR_NOT_FOUND) {
        self->state = VISIT_DONE;
    } else if (error->code == ERROR_BUSY) {
        keep_error(self, error);
        self->retry_ms = clock_now_ms() + (error->retry_ms < RETRY_MS_MIN ? RETRY_MS_MIN : error->retry_ms);
    } else {
        end_refused(self, error);
    }
}

static bool is_asked_for(const struct visit *self, const struct file_entry *file)
{
    if (self->file.is_present)
        return memcmp(file->id.bytes, self->file.bytes, sizeof file->id.bytes) == 0;
    struct text name = text_of(self->name);
    return text_equal(file->name, name) || text_equal(name_base(file->name), name);
}

static void on_file_message(struct visit *self, const struct message *message)
{
    if (message->rid != self->rid)
        return;
    if (message->kind == KIND_HELLO_OK) {
        open_file(self);
    } else if (message->kind == KIND_OPEN_OK) {
        if (is_asked_for(self, &message->open_ok.file))
            self->events.files(self->events.owner, &message->open_ok.file, 1);
        self->state = VISIT_DONE;
    } else if (message->kind == KIND_ERROR) {
        on_file_error(self, &message->error);
    }
}

/* The connection. */

static void on_connected(void *owner, uint32_t source)
{
    struct visit *self = owner;
    (void)source;
    if (self->is_connected || self->state != VISIT_RUNNING)
        return;
    self->is_connected = true;
    if (self->listing)
        follow_listing(self);
    else
        greet(self);
}

static void on_lost(void *owner, uint32_t source)
{
    struct visit *self = owner;
    (void)source;
    if (self->state == VISIT_RUNNING)
        self->state = self->is_connected ? VISIT_UNANSWERED : VISIT_UNREACHABLE;
}

static void on_message(void *owner, uint32_t source, struct inbound *inbound)
{
    struct visit *self = owner;
    (void)source;
    struct envelope envelope;
    struct message message;
    enum envelope_result opened =
        envelope_open(&envelope, zmq_msg_data(&inbound->header), zmq_msg_size(&inbound->header),
                      RECEIVER_CLIENT, inbound->frame_count);
    bool is_read = opened == ENVELOPE_OK && self->state == VISIT_RUNNING && message_read(&envelope, &message);
    if (is_read && message.kind == KIND_PING) {
        struct message pong = {.kind = KIND_PONG, .rid = message.rid};
        send_message(self, &pong);
    } else if (is_read && self->listing) {
        on_list_message(self, &message);
    } else if (is_read) {
        on_file_message(self, &message);
    }
    envelope_close(&envelope);
}

struct visit *visit_new(struct loop *loop, const struct host *host, uint16_t port,
                        const struct visit_question *question, uint64_t timeout_ms,
                        const struct visit_events *events)
{
    struct visit *self = calloc(1, sizeof *self);
    assert(self);
    uint64_t now_ms = clock_now_ms();
    self->events = *events;
    self->instance = random_u64();
    self->give_up_ms = now_ms + timeout_ms;
    self->retry_ms = UINT64_MAX;
    if (question->is_list)
        self->listing = listing_new(question->prefix, 1, self->instance, timeout_ms, now_ms);
    else
        self->name = text_copy(question->name);
    self->file = question->file;
    struct source_link_events link = {
        .owner = self, .connected = on_connected, .lost = on_lost, .message = on_message};
    self->link = source_link_new(loop, host, port, 0, &link);
    if (!self->link)
        visit_destroy(&self);
    return self;
}

void visit_destroy(struct visit **self_p)
{
    struct visit *self = *self_p;
    if (!self)
        return;
    source_link_destroy(&self->link);
    listing_destroy(&self->listing);
    free(self->name);
    free(self);
    *self_p = NULL;
}

uint64_t visit_tick(struct visit *self, uint64_t now_ms)
{
    if (self->state == VISIT_RUNNING && self->listing) {
        listing_tick(self->listing, now_ms);
        follow_listing(self);
    } else if (self->state == VISIT_RUNNING && now_ms >= self->give_up_ms) {
        self->state = given_up(self);
    } else if (self->state == VISIT_RUNNING && now_ms >= self->retry_ms) {
        open_file(self);
    }
    if (self->state != VISIT_RUNNING)
        return UINT64_MAX;
    source_link_sweep(self->link);
    uint64_t next_ms = self->listing ? listing_next_deadline_ms(self->listing) : self->give_up_ms;
    if (self->retry_ms < next_ms)
        next_ms = self->retry_ms;
    return now_ms + GUARD_SWEEP_MS < next_ms ? now_ms + GUARD_SWEEP_MS : next_ms;
}

enum visit_state visit_state(const struct visit *self)
{
    return self->state;
}

const char *visit_error(const struct visit *self)
{
    return self->error;
}
