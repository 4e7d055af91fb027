/* SPDX-License-Identifier: MIT */
#include "tests/sim/swarm_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_US 300000
#define FIRST_PORT   1000
#define PUSH_US      2000000 /* from one offer to the next */
#define READD_MS     30000   /* the core's own rule, seen from outside */

static void close_link(struct swarm *self, uint32_t download, uint32_t source)
{
    struct link *link = &self->clients[download].links[source];
    link->is_up = link->is_open = false;
    link->generation++;
    link->asked_count = 0;
    link->asked_bytes = 0;
    server_on_lost(self, download, source);
}

static void connect_later(struct swarm *self, uint32_t download, uint32_t source, uint64_t after_us)
{
    const struct source_script *script = &self->servers[source].script;
    swarm_push(self, &(struct event){.kind = script->is_unreachable ? EVENT_LOST : EVENT_CONNECTED,
                                     .at_us = self->now_us + after_us + 2 * script->latency_us,
                                     .download = download,
                                     .source = source,
                                     .generation = self->clients[download].links[source].generation});
}

static void send_to_server(struct swarm *self, uint32_t download, const struct download_effect *effect)
{
    struct client *client = &self->clients[download];
    uint32_t source = (uint32_t)client->server_of_slot[effect->source];
    struct link *link = &client->links[source];
    const char *bytes = self->effects.arena.data + effect->bytes_offset;
    struct envelope envelope;
    struct message message;
    if (envelope_open(&envelope, (const uint8_t *)bytes, effect->bytes_size, RECEIVER_SERVER, 1) !=
            ENVELOPE_OK ||
        !message_read(&envelope, &message)) {
        check_broken(self, "sent what nobody can read");
    } else if (message.kind == KIND_READ) {
        check_read(self, download, source, &message);
    } else if (message.kind == KIND_CANCEL) {
        check_answered(link, message.cancel.read_rid);
    }
    envelope_close(&envelope);
    if (!link->is_up)
        check_broken(self, "sent over a connection that is not there");
    swarm_push(self, &(struct event){.kind = EVENT_TO_SERVER,
                                     .at_us = self->now_us + self->servers[source].script.latency_us,
                                     .download = download,
                                     .source = source,
                                     .generation = link->generation,
                                     .bytes = swarm_copy(bytes, effect->bytes_size),
                                     .size = effect->bytes_size});
}

static void work_later(struct swarm *self, uint32_t download, const struct download_effect *effect,
                       const struct event *cause)
{
    struct event event = {.kind = effect->kind == DOWNLOAD_CHECK ? EVENT_CHECKED : EVENT_PROCESSED,
                          .at_us = self->now_us + random_next(&self->random) % (self->script.disk_us + 1),
                          .download = download,
                          .generation = self->clients[download].life,
                          .order = effect->order,
                          .chunk = effect->chunk};
    if (event.kind == EVENT_PROCESSED) {
        if (!cause || !cause->has_payload || cause->payload_length != effect->order.run.length)
            check_broken(self, "asked to process a payload that is not there");
        else
            event.wrong_cell = cause->wrong_cell;
        self->clients[download].processing_bytes += effect->order.run.length;
    }
    swarm_push(self, &event);
}

static void end_client(struct swarm *self, uint32_t download, const struct download_effect *end)
{
    struct client *client = &self->clients[download];
    bool is_complete = end->kind == DOWNLOAD_COMPLETE;
    client->is_over = true;
    client->will_revive = !is_complete && end->error_number != 0 && self->script.revive_ms > 0;
    if (client->will_revive)
        swarm_push(self, &(struct event){.kind = EVENT_REVIVE,
                                         .download = download,
                                         .generation = client->life,
                                         .at_us = self->now_us + self->script.revive_ms * 1000});
    struct download_progress progress = download_progress(client->download);
    self->outcome.downloads[download].is_complete = is_complete;
    self->outcome.downloads[download].is_failed = !is_complete;
    self->outcome.downloads[download].ended_ms = swarm_now_ms(self);
    self->outcome.downloads[download].received_bytes = progress.received_bytes;
    self->outcome.downloads[download].wasted_bytes = progress.wasted_bytes;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        if (client->server_of_slot[i] >= 0)
            self->outcome.downloads[download].from_source[client->server_of_slot[i]] +=
                download_source_at(client->download, i).received_bytes;
    }
    for (uint32_t i = 0; i < self->script.source_count; i++) {
        client->links[i].is_wanted = false;
        close_link(self, download, i);
    }
    for (uint32_t i = 0; is_complete && i < self->content.cell_count; i++) {
        if (client->cells[i] != CELL_RIGHT)
            check_broken(self, "complete with bytes that are not right");
    }
}

static void push_later(struct swarm *self, uint32_t download, uint32_t source)
{
    swarm_push(self, &(struct event){.kind = EVENT_PUSH,
                                     .at_us = self->now_us + random_next(&self->random) % PUSH_US,
                                     .download = download,
                                     .source = source,
                                     .generation = self->clients[download].links[source].generation});
}

/* Nothing is asked of it any more; who pushes comes again, unless it lied. */
static void disconnect(struct swarm *self, uint32_t download, uint32_t slot)
{
    struct client *client = &self->clients[download];
    uint32_t source = (uint32_t)client->server_of_slot[slot];
    client->links[source].is_wanted = false;
    close_link(self, download, source);
    if (self->script.sources[source].pushes_to &&
        download_source_at(client->download, slot).state != SOURCE_BANNED)
        push_later(self, download, source);
}

static void run_effect(struct swarm *self, uint32_t download, const struct download_effect *effect,
                       const struct event *cause)
{
    struct client *client = &self->clients[download];
    switch (effect->kind) {
    case DOWNLOAD_CONNECT: {
        uint32_t source = (uint32_t)download_source_at(client->download, effect->source).port - FIRST_PORT;
        client->server_of_slot[effect->source] = (int8_t)source;
        client->slot_of_server[source] = (uint8_t)effect->source;
        client->links[source].is_wanted = true;
        connect_later(self, download, source, 0);
        break;
    }
    case DOWNLOAD_DISCONNECT:
        disconnect(self, download, effect->source);
        break;
    case DOWNLOAD_SEND:
        send_to_server(self, download, effect);
        break;
    case DOWNLOAD_PROCESS:
    case DOWNLOAD_CHECK:
        work_later(self, download, effect, cause);
        break;
    case DOWNLOAD_SAVED:
        check_saved(self, download, effect->chunk);
        break;
    case DOWNLOAD_UNSAVED:
        break;
    case DOWNLOAD_SOURCE:
        check_source(self, download, effect->source);
        break;
    case DOWNLOAD_COMPLETE:
    case DOWNLOAD_FAILED:
        end_client(self, download, effect);
        break;
    case DOWNLOAD_STARVED:
        client->readd_at_ms = swarm_now_ms(self) + READD_MS + 1;
        break;
    }
}

static void run_effects(struct swarm *self, uint32_t download, const struct event *cause)
{
    for (size_t i = 0; i < self->effects.count; i++)
        run_effect(self, download, &self->effects.entries[i], cause);
    check_all(self, download);
    download_effects_clear(&self->effects);
    self->clients[download].deadline_ms = download_next_deadline_ms(self->clients[download].download);
    if (self->clients[download].server >= 0)
        node_server_on_chunks(self, (uint32_t)self->clients[download].server);
}

static void add_sources(struct swarm *self, uint32_t download)
{
    struct host host;
    bool is_address = host_parse(text_of("10.0.0.1"), &host);
    assert(is_address);
    self->clients[download].readd_at_ms = NEVER_MS;
    for (uint32_t i = 0; i < self->script.source_count; i++) {
        const struct source_script *source = &self->script.sources[i];
        if (source->download == download + 1 /* itself */ || source->pushes_to)
            continue;
        struct optional_node_id node = {random_permille(&self->random, 500), {{(uint8_t)(i + 1)}}};
        download_add_source(self->clients[download].download, &node, &host, (uint16_t)(FIRST_PORT + i),
                            swarm_now_ms(self), &self->effects);
        run_effects(self, download, NULL);
    }
}

static void claim(struct swarm *self, struct client *client)
{
    unsigned log2 = self->content.layout.chunk_log2 - CELL_LOG2;
    for (uint32_t i = 0; i < self->content.layout.chunk_count; i++) {
        if (!random_permille(&self->random, self->script.claim_permille))
            continue;
        bool is_wrong = random_permille(&self->random, self->script.wrong_claim_permille);
        for (uint32_t k = i << log2; k < (i + 1) << log2 && k < self->content.cell_count; k++)
            client->cells[k] = is_wrong ? CELL_WRONG : CELL_RIGHT;
        download_claim_chunk(client->download, i);
    }
}

/* What an earlier life had saved; a power failure may have taken some of it. */
static void claim_again(struct swarm *self, struct client *client)
{
    unsigned log2 = self->content.layout.chunk_log2 - CELL_LOG2;
    for (uint32_t i = 0; i < self->content.layout.chunk_count; i++) {
        if (!client->saved[i])
            continue;
        client->saved[i] = 0;
        if (random_permille(&self->random, self->script.unsynced_permille))
            client->cells[i << log2] = CELL_WRONG;
        download_claim_chunk(client->download, i);
    }
}

/* A new download, after an earlier one, or at first. */
static void begin(struct swarm *self, uint32_t download)
{
    struct client *client = &self->clients[download];
    struct download_config config = {.id = self->content.id,
                                     .root = self->content.root,
                                     .size = self->content.layout.size,
                                     .is_in_order = self->script.is_in_order,
                                     .budget_bytes = self->script.budget_bytes,
                                     .timeout_ms = self->script.timeout_ms,
                                     .seed = random_next(&self->random),
                                     .instance = download + 1,
                                     .node_name = "sim",
                                     .agent = "sim"};
    client->download = download_new(&config, swarm_now_ms(self));
    memset(client->server_of_slot, -1, sizeof client->server_of_slot);
    client->readd_at_ms = NEVER_MS;
    if (client->life++ == 0)
        claim(self, client);
    else
        claim_again(self, client);
    if (layout_has_layer(&self->content.layout) && random_permille(&self->random, 200))
        download_load_layer(client->download, self->content.layer, self->content.layout.chunk_count);
    for (uint32_t i = 0; i < self->script.source_count; i++) {
        if (self->script.sources[i].pushes_to == download + 1)
            push_later(self, download, i);
    }
    download_start(client->download, swarm_now_ms(self), &self->effects);
    run_effects(self, download, NULL);
    if (!client->is_over)
        add_sources(self, download);
}

void client_init(struct swarm *self, uint32_t download)
{
    struct client *client = &self->clients[download];
    client->cells = calloc((size_t)self->content.cell_count + 1, 1);
    assert(client->cells);
    client->server = -1;
    for (uint32_t i = 0; i < self->script.source_count; i++) {
        if (self->script.sources[i].download == download + 1)
            client->server = (int32_t)i;
    }
    begin(self, download);
}

/* As a process that is killed and started again. */
void client_restart(struct swarm *self, uint32_t download)
{
    struct client *client = &self->clients[download];
    for (uint32_t i = 0; i < self->script.source_count; i++) {
        client->links[i].is_wanted = false;
        close_link(self, download, i);
    }
    download_destroy(&client->download);
    client->processing_bytes = 0;
    client->is_over = client->will_revive = false;
    self->outcome.downloads[download].is_failed = false;
    self->outcome.restart_count++;
    begin(self, download);
}

/* An offer, when the node can be there: it is asked at once. */
void client_on_push(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (link->is_wanted || link->generation != event->generation || client->is_over)
        return;
    struct download_pusher pusher = {.name = "pusher", .have = &self->servers[event->source].chunks};
    bool is_address = host_parse(text_of("10.0.0.2"), &pusher.host);
    assert(is_address);
    bool is_there = !server_is_away(self, event->source) && !server_is_frozen(self, event->source);
    uint32_t slot = is_there
                        ? download_add_pusher(client->download, &pusher, swarm_now_ms(self), &self->effects)
                        : UINT32_MAX;
    if (slot == UINT32_MAX) {
        push_later(self, event->download, event->source);
        return;
    }
    link->is_wanted = link->is_up = link->is_open = true;
    client->slot_of_server[event->source] = (uint8_t)slot;
    client->server_of_slot[slot] = (int8_t)event->source;
    node_server_admit(self, event->download, event->source);
    self->outcome.push_count++;
    run_effects(self, event->download, NULL);
}

void client_on_lost(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (!link->is_wanted || link->generation != event->generation)
        return;
    close_link(self, event->download, event->source);
    uint32_t slot = client->slot_of_server[event->source];
    if (self->script.sources[event->source].pushes_to) {
        link->is_wanted = false;
        download_remove_pusher(client->download, slot, true, swarm_now_ms(self), &self->effects);
    } else {
        download_on_lost(client->download, slot, swarm_now_ms(self), &self->effects);
    }
    run_effects(self, event->download, NULL);
    if (link->is_wanted)
        connect_later(self, event->download, event->source, RECONNECT_US);
}

void client_on_connected(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (!link->is_wanted || link->generation != event->generation)
        return;
    if (server_is_away(self, event->source)) {
        client_on_lost(self, event);
        return;
    }
    link->is_up = true;
    download_on_connected(client->download, client->slot_of_server[event->source], swarm_now_ms(self),
                          &self->effects);
    run_effects(self, event->download, NULL);
}

void client_on_message(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (!link->is_up || link->generation != event->generation)
        return;
    struct envelope envelope;
    size_t frame_count = event->has_payload ? 2 : 1;
    envelope_open(&envelope, event->bytes, event->size, RECEIVER_CLIENT, frame_count);
    link->is_open |= envelope.kind == KIND_OPEN_OK;
    if (envelope.kind == KIND_DATA || envelope.kind == KIND_ERROR)
        check_answered(link, envelope.rid);
    envelope_close(&envelope);
    download_on_message(client->download, client->slot_of_server[event->source], event->bytes, event->size,
                        frame_count, event->payload_length, swarm_now_ms(self), &self->effects);
    run_effects(self, event->download, event);
}

static bool is_span_right(const struct swarm *self, const struct process_order *order, uint32_t wrong_cell)
{
    for (uint64_t done = 0, i = 0; done < order->run.length; done += order->span_bytes, i++) {
        uint64_t left = order->run.length - done;
        struct hash hash =
            content_hash(&self->content, order->run.offset + done,
                         left < order->span_bytes ? left : order->span_bytes, order->height, wrong_cell);
        if (!hash_equal(&hash, &order->expected[i]))
            return false;
    }
    return true;
}

void client_on_processed(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    if (event->generation != client->life)
        return;
    const struct process_order *order = &event->order;
    struct processed result = {.status = PROCESSED_OK};
    if (!order->expected)
        result.hash = content_hash(&self->content, order->run.offset, order->run.length, order->height,
                                   event->wrong_cell);
    else if (!is_span_right(self, order, event->wrong_cell))
        result.status = PROCESSED_MISMATCH;
    if (++client->write_count == 20 && self->script.disk_error) {
        result.status = PROCESSED_FAILED;
        result.error_number = self->script.disk_error;
    }
    if (result.status == PROCESSED_OK)
        check_written(client, &order->run, event->wrong_cell);
    client->processing_bytes -= order->run.length;
    download_on_processed(client->download, order->ticket, &result, swarm_now_ms(self), &self->effects);
    run_effects(self, event->download, NULL);
}

void client_on_checked(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    if (event->generation != client->life)
        return;
    uint32_t wrong_cell = NO_CELL;
    unsigned log2 = self->content.layout.chunk_log2 - CELL_LOG2;
    uint32_t first = event->chunk << log2;
    for (uint32_t i = first; i < first + (1u << log2) && i < self->content.cell_count; i++) {
        if (client->cells[i] != CELL_RIGHT)
            wrong_cell = i;
    }
    download_on_checked(client->download, event->chunk, is_span_right(self, &event->order, wrong_cell),
                        swarm_now_ms(self), &self->effects);
    run_effects(self, event->download, NULL);
}

uint64_t client_due_ms(const struct client *client)
{
    if (client->is_over)
        return NEVER_MS;
    return client->deadline_ms < client->readd_at_ms ? client->deadline_ms : client->readd_at_ms;
}

/* Runs what is due by the clock; then nothing may be due any more. */
void client_tick(struct swarm *self, uint32_t download)
{
    struct client *client = &self->clients[download];
    uint64_t now_ms = swarm_now_ms(self);
    if (client->readd_at_ms <= now_ms)
        add_sources(self, download);
    if (client->is_over || client->deadline_ms > now_ms)
        return;
    download_tick(client->download, now_ms, &self->effects);
    run_effects(self, download, NULL);
    if (!client->is_over && client->deadline_ms <= now_ms)
        check_broken(self, "a deadline in the past");
}

void client_release(struct client *self)
{
    download_destroy(&self->download);
    free(self->cells);
}
