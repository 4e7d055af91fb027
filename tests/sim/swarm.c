/* SPDX-License-Identifier: MIT */
#include "tests/sim/swarm_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
           !script->open_error && !script->read_error && !script->download && !script->pushes_to &&
           script->restart_every_ms == 0 && script->unreadable_permille == 0 && script->changed_permille == 0;
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

uint8_t *swarm_copy(const void *bytes, size_t size)
{
    uint8_t *result = malloc(size);
    assert(result);
    return memcpy(result, bytes, size);
}

void swarm_send_bytes(struct swarm *self, uint32_t download, uint32_t source, const void *bytes, size_t size,
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
    swarm_push(self, &(struct event){.kind = EVENT_TO_DOWNLOAD,
                                     .at_us = at_us,
                                     .download = download,
                                     .source = source,
                                     .generation = link->generation,
                                     .bytes = swarm_copy(bytes, size),
                                     .size = size,
                                     .has_payload = payload_length > 0,
                                     .payload_length = payload_length,
                                     .wrong_cell = wrong_cell});
}

void swarm_send(struct swarm *self, uint32_t download, uint32_t source, const struct message *message,
                uint32_t payload_length, uint32_t wrong_cell)
{
    msgpack_sbuffer bytes;
    msgpack_sbuffer_init(&bytes);
    message_write(message, &bytes);
    swarm_send_bytes(self, download, source, bytes.data, bytes.size, payload_length, wrong_cell);
    msgpack_sbuffer_destroy(&bytes);
}

static void drop_links(struct swarm *self, uint32_t source)
{
    for (uint32_t i = 0; i < self->script.download_count; i++) {
        const struct link *link = &self->clients[i].links[source];
        if (link->is_up)
            client_on_lost(self,
                           &(struct event){.download = i, .source = source, .generation = link->generation});
    }
}

/* Every connection of a source breaks. */
static void on_drop(struct swarm *self, uint32_t source)
{
    drop_links(self, source);
    uint64_t period_us = self->servers[source].script.drop_every_ms * 1000;
    swarm_push(self,
               &(struct event){.kind = EVENT_DROP, .source = source, .at_us = self->now_us + period_us});
}

/* A node is killed, and with it its download; after a while it is there again. */
static void on_restart(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    node_server_stop(server);
    server->away_until_us = self->now_us + server->script.away_ms * 1000;
    drop_links(self, source);
    if (server->script.download) {
        uint32_t download = server->script.download - 1;
        chunk_map_release(&server->chunks);
        chunk_map_init(&server->chunks, self->content.layout.chunk_count);
        if (!self->clients[download].is_over)
            client_restart(self, download);
    }
    node_server_start(self, source);
    swarm_push(self, &(struct event){.kind = EVENT_RESTART,
                                     .source = source,
                                     .at_us = self->now_us + server->script.restart_every_ms * 1000});
}

static void on_revive(struct swarm *self, const struct event *event)
{
    const struct client *client = &self->clients[event->download];
    if (client->will_revive && client->life == event->generation)
        client_restart(self, event->download);
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
        client_on_connected(self, event);
        break;
    case EVENT_LOST:
        client_on_lost(self, event);
        break;
    case EVENT_TO_SERVER:
        server_on_message(self, event);
        break;
    case EVENT_TO_DOWNLOAD:
        client_on_message(self, event);
        break;
    case EVENT_SENT:
        server_on_sent(self, event->source);
        break;
    case EVENT_PROCESSED:
        client_on_processed(self, event);
        break;
    case EVENT_CHECKED:
        client_on_checked(self, event);
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
    case EVENT_DISK:
    case EVENT_TICKET:
    case EVENT_ROUTE_LOST:
        node_server_on_event(self, event);
        break;
    case EVENT_PUSH:
        client_on_push(self, event);
        break;
    case EVENT_RESTART:
        on_restart(self, event->source);
        break;
    case EVENT_REVIVE:
        on_revive(self, event);
        break;
    }
}

static void tick_node(struct swarm *self, uint32_t source)
{
    uint64_t now_ms = swarm_now_ms(self);
    if (node_server_deadline_ms(self, source) > now_ms)
        return;
    node_server_tick(self, source);
    if (node_server_deadline_ms(self, source) <= now_ms)
        check_broken(self, "a node's deadline in the past");
}

/* Of all downloads and nodes. */
static uint64_t next_deadline_ms(const struct swarm *self)
{
    uint64_t next_ms = NEVER_MS;
    for (uint32_t i = 0; i < self->script.download_count; i++) {
        uint64_t client_ms = client_due_ms(&self->clients[i]);
        next_ms = client_ms < next_ms ? client_ms : next_ms;
    }
    for (uint32_t i = 0; i < self->script.source_count; i++) {
        uint64_t node_ms = node_server_deadline_ms(self, i);
        next_ms = node_ms < next_ms ? node_ms : next_ms;
    }
    return next_ms;
}

static bool is_over(const struct swarm *self)
{
    for (uint32_t i = 0; i < self->script.download_count; i++) {
        if (!self->clients[i].is_over || self->clients[i].will_revive)
            return false;
    }
    return true;
}

static void run(struct swarm *self)
{
    while (!is_over(self) && !self->outcome.broken) {
        uint64_t next_ms = next_deadline_ms(self);
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
                client_tick(self, i);
            for (uint32_t i = 0; i < self->script.source_count; i++)
                tick_node(self, i);
        }
        if (swarm_now_ms(self) > VIRTUAL_MS_MAX || ++self->outcome.event_count > EVENTS_MAX)
            check_broken(self, "does not end");
    }
}

static void check_outcome(struct swarm *self)
{
    bool must_complete = self->script.disk_error == 0 || self->script.revive_ms > 0;
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
        if (script->sources[i].restart_every_ms > 0)
            swarm_push(self,
                       &(struct event){.kind = EVENT_RESTART,
                                       .source = i,
                                       .at_us = self->now_us + script->sources[i].restart_every_ms * 1000});
    }
    for (uint32_t i = 0; i < script->download_count; i++)
        client_init(self, i);
    run(self);
    check_outcome(self);
    self->outcome.ended_ms = swarm_now_ms(self);

    struct swarm_outcome outcome = self->outcome;
    struct event event;
    while (swarm_pop(self, &event))
        free(event.bytes);
    free(self->events);
    for (uint32_t i = 0; i < script->source_count; i++)
        server_release(&self->servers[i]);
    for (uint32_t i = 0; i < script->download_count; i++) {
        client_release(&self->clients[i]);
    }
    download_effects_release(&self->effects);
    content_release(&self->content);
    free(self);
    return outcome;
}
