/* SPDX-License-Identifier: MIT */
#include "node/serve/listing.h"
#include "node/shell/link/source_link.h"
#include "tools/get/gather_private.h"

#include "messages/shell/guard.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One node's list being read. */
struct lister {
    struct listers *owner;
    uint16_t node;
    struct source_link *link; /* NULL when the slot is free */
    struct listing *listing;
    uint64_t connect_by_ms; /* UINT64_MAX once connected */
    const char *problem;    /* NULL while all is well */
    bool is_over;
};

struct listers {
    struct gather *gather;
    struct loop *loop;
    uint64_t instance;
    size_t next_node;
    bool is_full;
    struct lister slots[GATHER_LISTS_MAX];
};

static void give_up(struct lister *self, const char *problem)
{
    if (self->is_over)
        return;
    self->problem = problem;
    self->is_over = true;
}

static void send_message(struct lister *self, const struct message *message)
{
    msgpack_sbuffer buffer;
    msgpack_sbuffer_init(&buffer);
    message_write(message, &buffer);
    source_link_send(self->link, buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
}

static void send_next(struct lister *self)
{
    struct message message;
    if (listing_next_send(self->listing, &message))
        send_message(self, &message);
}

static void on_connected(void *owner, uint32_t slot)
{
    struct lister *self = &((struct listers *)owner)->slots[slot];
    self->connect_by_ms = UINT64_MAX;
    send_next(self);
}

static void on_lost(void *owner, uint32_t slot)
{
    struct lister *self = &((struct listers *)owner)->slots[slot];
    if (self->connect_by_ms == UINT64_MAX)
        give_up(self, "the connection was lost");
    else
        give_up(self, "cannot be reached");
}

/* Whose list it is: an address may have been given to another node meanwhile. */
static void on_hello_ok(struct lister *self, const struct node_id *id)
{
    struct optional_node_id *expected = &self->owner->gather->result->nodes[self->node].node;
    if (expected->is_present && !node_id_equal(&expected->id, id))
        give_up(self, "another node answers at this address");
    *expected = (struct optional_node_id){true, *id};
}

static void take_files(struct lister *self, const struct file_list *files)
{
    for (size_t i = 0; i < files->count && !self->owner->is_full; i++) {
        const struct file_entry *file = &files->entries[i];
        self->owner->is_full = !gather_add_file(self->owner->gather, file, file->name, self->node);
    }
}

static void on_state(struct lister *self)
{
    switch (listing_state(self->listing)) {
    case LISTING_RUNNING:
        break;
    case LISTING_COMPLETE:
        self->is_over = true;
        break;
    case LISTING_REFUSED:
        give_up(self, error_name(listing_error(self->listing).code));
        break;
    case LISTING_UNANSWERED:
        give_up(self, "it does not answer");
        break;
    case LISTING_ENDLESS:
        give_up(self, "its list has no end");
        break;
    case LISTING_UNSTEADY:
        give_up(self, "it changes too fast to be read");
        break;
    }
}

static void on_message(void *owner, uint32_t slot, struct inbound *inbound)
{
    struct lister *self = &((struct listers *)owner)->slots[slot];
    struct envelope envelope;
    struct message message;
    enum envelope_result result =
        envelope_open(&envelope, zmq_msg_data(&inbound->header), zmq_msg_size(&inbound->header),
                      RECEIVER_CLIENT, inbound->frame_count);
    bool is_read = result == ENVELOPE_OK && message_read(&envelope, &message);
    if (is_read && message.kind == KIND_PING) {
        send_message(self, &(struct message){.kind = KIND_PONG, .rid = message.rid});
    } else if (is_read && !self->is_over) {
        if (message.kind == KIND_HELLO_OK)
            on_hello_ok(self, &message.hello_ok.node);
        if (listing_on_message(self->listing, &message, clock_now_ms()))
            take_files(self, &message.list_ok.files);
        send_next(self);
        on_state(self);
    } else if (result == ENVELOPE_OK || result == ENVELOPE_BAD) {
        give_up(self, "it sent a malformed message");
    }
    envelope_close(&envelope);
}

static void start(struct listers *self, uint32_t slot, uint64_t now_ms)
{
    struct lister *lister = &self->slots[slot];
    struct gather *gather = self->gather;
    uint16_t node = (uint16_t)self->next_node++;
    const struct target_source *about = &gather->result->nodes[node];
    struct source_link_events events = {self, on_connected, on_lost, on_message};
    uint64_t connect_ms =
        gather->timeout_ms < GATHER_CONNECT_MS_MAX ? gather->timeout_ms : GATHER_CONNECT_MS_MAX;
    *lister = (struct lister){.owner = self, .node = node, .connect_by_ms = now_ms + connect_ms};
    lister->listing = listing_new(selection_prefix(gather->selection), random_u64() >> 32, self->instance,
                                  gather->timeout_ms, now_ms);
    bool is_usable = about->port != 0 && !host_is_unusable(&about->host);
    if (is_usable)
        lister->link = source_link_new(self->loop, &about->host, about->port, slot, &events);
    if (!lister->link)
        give_up(lister, is_usable ? "no socket is left" : "its address cannot be used");
}

static void end(struct lister *self)
{
    struct gather *gather = self->owner->gather;
    source_link_destroy(&self->link);
    listing_destroy(&self->listing);
    if (!self->problem)
        return;
    const struct target_source *about = &gather->result->nodes[self->node];
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(&about->host, about->port, endpoint);
    gather->result->silent_count++;
    output_note(gather->output, "no list from the node at %s: %s", endpoint, self->problem);
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct listers *self = owner;
    uint64_t next_ms = UINT64_MAX;
    bool is_busy = false;
    for (uint32_t i = 0; i < GATHER_LISTS_MAX; i++) {
        struct lister *lister = &self->slots[i];
        if (lister->listing && !lister->is_over) {
            source_link_sweep(lister->link);
            listing_tick(lister->listing, now_ms);
            on_state(lister);
            if (lister->connect_by_ms <= now_ms)
                give_up(lister, "cannot be reached");
        }
        if (lister->listing && lister->is_over)
            end(lister);
        if (!lister->listing && self->next_node < self->gather->result->node_count)
            start(self, i, now_ms);
        is_busy = is_busy || lister->listing;
    }
    if (!is_busy || self->is_full)
        loop_stop(self->loop);
    else
        next_ms = now_ms + GUARD_SWEEP_MS; /* often enough for the deadlines too */
    return next_ms;
}

bool gather_lists(struct gather *self)
{
    struct listers *listers = calloc(1, sizeof *listers);
    assert(listers);
    listers->gather = self;
    listers->loop = transfers_loop(self->transfers);
    listers->instance = random_u64();
    loop_add_ticker(listers->loop, tick, listers);
    bool is_done = transfers_run(self->transfers);
    loop_remove_ticker(listers->loop, listers);
    for (uint32_t i = 0; i < GATHER_LISTS_MAX; i++) {
        source_link_destroy(&listers->slots[i].link);
        listing_destroy(&listers->slots[i].listing);
    }
    if (listers->is_full)
        gather_report_full(self);
    is_done = is_done && !listers->is_full;
    free(listers);
    return is_done;
}
