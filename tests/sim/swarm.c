/* SPDX-License-Identifier: MIT */
#include "tests/sim/swarm_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RECONNECT_US   300000
#define FIRST_PORT     1000
#define READD_MS       30000                  /* the core's own rule, seen from outside */
#define VIRTUAL_MS_MAX (30 * 86400 * 1000ull) /* gigabytes at a few KiB a second */
#define EVENTS_MAX     20000000

bool script_is_honest(const struct source_script *script)
{
    return script->wrong_bytes_permille == 0 && script->wrong_range_permille == 0 &&
           !script->has_wrong_hashes && !script->has_wrong_layout && !script->has_wrong_bitfield;
}

bool script_is_dependable(const struct source_script *script)
{
    return script_is_honest(script) && !script->is_partial && !script->is_unreachable &&
           script->drop_every_ms == 0 && script->frozen_at_ms == NEVER_MS && script->bye_at_ms == NEVER_MS &&
           !script->open_error && !script->read_error;
}

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->serial < b->serial;
}

void swarm_push(struct swarm *self, const struct event *event)
{
    if (self->event_count == self->event_capacity) {
        self->event_capacity = self->event_capacity ? self->event_capacity * 2 : 1024;
        self->events = realloc(self->events, self->event_capacity * sizeof *self->events);
        assert(self->events);
    }
    struct event new = *event;
    new.serial = ++self->serial;
    size_t at = self->event_count++;
    for (; at > 0 && is_before(&new, &self->events[(at - 1) / 2]); at = (at - 1) / 2)
        self->events[at] = self->events[(at - 1) / 2];
    self->events[at] = new;
}

bool swarm_pop(struct swarm *self, struct event *ret_event)
{
    if (self->event_count == 0)
        return false;
    *ret_event = self->events[0];
    struct event last = self->events[--self->event_count];
    size_t at = 0;
    for (size_t child = 1; child < self->event_count; child = 2 * at + 1) {
        if (child + 1 < self->event_count && is_before(&self->events[child + 1], &self->events[child]))
            child++;
        if (!is_before(&self->events[child], &last))
            break;
        self->events[at] = self->events[child];
        at = child;
    }
    self->events[at] = last;
    return true;
}

static uint8_t *copy(const void *bytes, size_t size)
{
    uint8_t *result = malloc(size);
    assert(result);
    return memcpy(result, bytes, size);
}

void swarm_send(struct swarm *self, uint32_t download, uint32_t source, const struct message *message,
                uint32_t payload_length, uint32_t wrong_cell)
{
    const struct source_script *script = &self->servers[source].script;
    struct link *link = &self->clients[download].links[source];
    uint64_t at_us = self->now_us + script->latency_us;
    if (script->jitter_us > 0)
        at_us += random_next(&self->random) % script->jitter_us;
    if (at_us < link->last_arrival_us)
        at_us = link->last_arrival_us;
    link->last_arrival_us = at_us;
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(message, &bytes);
    swarm_push(self, &(struct event){.kind = EVENT_TO_DOWNLOAD,
                                     .at_us = at_us,
                                     .download = download,
                                     .source = source,
                                     .generation = link->generation,
                                     .bytes = copy(bytes.data, bytes.size),
                                     .size = bytes.size,
                                     .has_payload = message->kind == KIND_DATA,
                                     .payload_length = payload_length,
                                     .wrong_cell = wrong_cell});
    msgpack_sbuffer_destroy(&bytes);
}

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
                                     .bytes = copy(bytes, effect->bytes_size),
                                     .size = effect->bytes_size});
}

static void work_later(struct swarm *self, uint32_t download, const struct download_effect *effect,
                       const struct event *cause)
{
    struct event event = {.kind = effect->kind == DOWNLOAD_CHECK ? EVENT_CHECKED : EVENT_PROCESSED,
                          .at_us = self->now_us + random_next(&self->random) % (self->script.disk_us + 1),
                          .download = download,
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

static void end_client(struct swarm *self, uint32_t download, bool is_complete)
{
    struct client *client = &self->clients[download];
    client->is_over = true;
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
        client->links[client->server_of_slot[effect->source]].is_wanted = false;
        close_link(self, download, (uint32_t)client->server_of_slot[effect->source]);
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
        end_client(self, download, effect->kind == DOWNLOAD_COMPLETE);
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
}

static void add_sources(struct swarm *self, uint32_t download)
{
    struct host host;
    bool is_address = host_parse(text_of("10.0.0.1"), &host);
    assert(is_address);
    self->clients[download].readd_at_ms = NEVER_MS;
    for (uint32_t i = 0; i < self->script.source_count; i++) {
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

static void client_init(struct swarm *self, uint32_t download)
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
    client->cells = calloc((size_t)self->content.cell_count + 1, 1);
    memset(client->server_of_slot, -1, sizeof client->server_of_slot);
    client->readd_at_ms = NEVER_MS;
    claim(self, client);
    if (layout_has_layer(&self->content.layout) && random_permille(&self->random, 200))
        download_load_layer(client->download, self->content.layer, self->content.layout.chunk_count);
    download_start(client->download, swarm_now_ms(self), &self->effects);
    run_effects(self, download, NULL);
    if (!client->is_over)
        add_sources(self, download);
}

static void on_lost(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (!link->is_wanted || link->generation != event->generation)
        return;
    close_link(self, event->download, event->source);
    download_on_lost(client->download, client->slot_of_server[event->source], swarm_now_ms(self),
                     &self->effects);
    run_effects(self, event->download, NULL);
    if (link->is_wanted)
        connect_later(self, event->download, event->source, RECONNECT_US);
}

static void on_connected(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (!link->is_wanted || link->generation != event->generation)
        return;
    link->is_up = true;
    download_on_connected(client->download, client->slot_of_server[event->source], swarm_now_ms(self),
                          &self->effects);
    run_effects(self, event->download, NULL);
}

static void on_message(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
    struct link *link = &client->links[event->source];
    if (!link->is_up || link->generation != event->generation)
        return;
    struct envelope envelope;
    size_t frame_count = event->has_payload ? 2 : 1;
    envelope_open(&envelope, event->bytes, event->size, RECEIVER_CLIENT, frame_count);
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

static void on_processed(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
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

static void on_checked(struct swarm *self, const struct event *event)
{
    struct client *client = &self->clients[event->download];
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

/* Every connection of a source breaks. */
static void on_drop(struct swarm *self, uint32_t source)
{
    for (uint32_t i = 0; i < self->script.download_count; i++) {
        const struct link *link = &self->clients[i].links[source];
        if (link->is_up)
            on_lost(self, &(struct event){.download = i, .source = source, .generation = link->generation});
    }
    uint64_t period_us = self->servers[source].script.drop_every_ms * 1000;
    swarm_push(self,
               &(struct event){.kind = EVENT_DROP, .source = source, .at_us = self->now_us + period_us});
}

static void on_bye(struct swarm *self, uint32_t source)
{
    struct message bye = {.kind = KIND_BYE};
    bye.bye.reason = text_of("scripted");
    for (uint32_t i = 0; i < self->script.download_count; i++) {
        if (self->clients[i].links[source].is_up)
            swarm_send(self, i, source, &bye, 0, NO_CELL);
    }
}

static void handle(struct swarm *self, const struct event *event)
{
    switch (event->kind) {
    case EVENT_CONNECTED:
        on_connected(self, event);
        break;
    case EVENT_LOST:
        on_lost(self, event);
        break;
    case EVENT_TO_SERVER:
        server_on_message(self, event);
        break;
    case EVENT_TO_DOWNLOAD:
        on_message(self, event);
        break;
    case EVENT_SENT:
        server_on_sent(self, event->source);
        break;
    case EVENT_PROCESSED:
        on_processed(self, event);
        break;
    case EVENT_CHECKED:
        on_checked(self, event);
        break;
    case EVENT_GROWTH:
        server_on_growth(self, event->source);
        break;
    case EVENT_DROP:
        on_drop(self, event->source);
        break;
    case EVENT_BYE:
        on_bye(self, event->source);
        break;
    }
}

static uint64_t due_ms(const struct client *client)
{
    if (client->is_over)
        return NEVER_MS;
    uint64_t deadline_ms = download_next_deadline_ms(client->download);
    return deadline_ms < client->readd_at_ms ? deadline_ms : client->readd_at_ms;
}

/* Runs what is due by the clock; then nothing may be due any more. */
static void tick(struct swarm *self, uint32_t download)
{
    struct client *client = &self->clients[download];
    uint64_t now_ms = swarm_now_ms(self);
    if (client->readd_at_ms <= now_ms)
        add_sources(self, download);
    if (client->is_over || download_next_deadline_ms(client->download) > now_ms)
        return;
    download_tick(client->download, now_ms, &self->effects);
    run_effects(self, download, NULL);
    if (!client->is_over && download_next_deadline_ms(client->download) <= now_ms)
        check_broken(self, "a deadline in the past");
}

static bool is_over(const struct swarm *self)
{
    for (uint32_t i = 0; i < self->script.download_count; i++) {
        if (!self->clients[i].is_over)
            return false;
    }
    return true;
}

static void run(struct swarm *self)
{
    while (!is_over(self) && !self->outcome.broken) {
        uint64_t next_ms = NEVER_MS;
        for (uint32_t i = 0; i < self->script.download_count; i++) {
            uint64_t client_ms = due_ms(&self->clients[i]);
            next_ms = client_ms < next_ms ? client_ms : next_ms;
        }
        if (self->event_count > 0 && (next_ms == NEVER_MS || self->events[0].at_us < next_ms * 1000)) {
            struct event event;
            swarm_pop(self, &event);
            self->now_us = event.at_us;
            handle(self, &event);
            free(event.bytes);
        } else if (next_ms == NEVER_MS) {
            check_broken(self, "waits for ever");
        } else {
            if (next_ms * 1000 > self->now_us)
                self->now_us = next_ms * 1000;
            for (uint32_t i = 0; i < self->script.download_count; i++)
                tick(self, i);
        }
        if (swarm_now_ms(self) > VIRTUAL_MS_MAX || ++self->outcome.event_count > EVENTS_MAX)
            check_broken(self, "does not end");
    }
}

static void check_outcome(struct swarm *self)
{
    bool must_complete = self->script.disk_error == 0;
    bool is_any_dependable = false;
    for (uint32_t i = 0; i < self->script.source_count; i++)
        is_any_dependable |= script_is_dependable(&self->script.sources[i]);
    for (uint32_t i = 0; i < self->script.download_count && must_complete && is_any_dependable; i++) {
        if (!self->outcome.downloads[i].is_complete)
            check_broken(self, "failed although a source that holds everything was there");
    }
}

struct swarm_outcome swarm_run(const struct swarm_script *script)
{
    struct swarm *self = calloc(1, sizeof *self);
    assert(self);
    self->script = *script;
    self->random = script->seed;
    self->now_us = 1000000;
    content_init(&self->content, script->seed, script->size);
    download_effects_init(&self->effects);
    for (uint32_t i = 0; i < script->source_count; i++) {
        server_init(self, i);
        if (script->sources[i].drop_every_ms > 0)
            swarm_push(self,
                       &(struct event){.kind = EVENT_DROP,
                                       .source = i,
                                       .at_us = self->now_us + script->sources[i].drop_every_ms * 1000});
        if (script->sources[i].bye_at_ms != NEVER_MS)
            swarm_push(self, &(struct event){.kind = EVENT_BYE,
                                             .source = i,
                                             .at_us = self->now_us + script->sources[i].bye_at_ms * 1000});
    }
    for (uint32_t i = 0; i < script->download_count; i++)
        client_init(self, i);
    run(self);
    check_outcome(self);

    struct swarm_outcome outcome = self->outcome;
    struct event event;
    while (swarm_pop(self, &event))
        free(event.bytes);
    free(self->events);
    for (uint32_t i = 0; i < script->source_count; i++)
        server_release(&self->servers[i]);
    for (uint32_t i = 0; i < script->download_count; i++) {
        download_destroy(&self->clients[i].download);
        free(self->clients[i].cells);
    }
    download_effects_release(&self->effects);
    content_release(&self->content);
    free(self);
    return outcome;
}
