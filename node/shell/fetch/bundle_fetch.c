/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/bundle_fetch_private.h"

#include "messages/shell/guard.h"

#include <assert.h>
#include <stdlib.h>

static void run_effects(struct bundle_fetch *self, struct inbound *inbound);

void file_numbers_add(struct file_numbers *self, uint32_t number)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? self->capacity * 2 : 1024;
        self->items = reallocarray(self->items, self->capacity, sizeof *self->items);
        assert(self->items);
    }
    self->items[self->count++] = number;
}

static void on_connected(void *owner, uint32_t source)
{
    struct bundle_fetch *self = owner;
    bundle_on_connected(self->bundle, source, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

static void on_lost(void *owner, uint32_t source)
{
    struct bundle_fetch *self = owner;
    bundle_on_lost(self->bundle, source, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

static void on_message(void *owner, uint32_t source, struct inbound *inbound)
{
    struct bundle_fetch *self = owner;
    bundle_on_message(self->bundle, source, zmq_msg_data(&inbound->header), zmq_msg_size(&inbound->header),
                      inbound->frame_count, zmq_msg_size(&inbound->payload), clock_now_ms(), &self->effects);
    run_effects(self, inbound);
}

static void connect_source(struct bundle_fetch *self, uint32_t source)
{
    struct source_link_events events = {self, on_connected, on_lost, on_message};
    struct download_source about = bundle_source_at(self->bundle, source);
    self->links[source] = source_link_new(self->loop, &about.host, about.port, source, &events);
    if (!self->links[source]) /* no socket to be had: as if it could not be reached */
        bundle_on_lost(self->bundle, source, clock_now_ms(), &self->effects);
}

/* The link may be the one whose event is being handled: it is freed at the next tick. */
static void disconnect_source(struct bundle_fetch *self, uint32_t source)
{
    struct source_link *link = self->links[source];
    if (!link)
        return;
    source_link_stop(link);
    self->links[source] = NULL;
    assert(self->stopped_count < BUNDLE_STOPPED_LINKS_MAX);
    self->stopped_links[self->stopped_count++] = link;
}

static void free_stopped_links(struct bundle_fetch *self)
{
    while (self->stopped_count > 0)
        source_link_destroy(&self->stopped_links[--self->stopped_count]);
}

static void disconnect_all(struct bundle_fetch *self)
{
    for (uint32_t i = 0; i < BUNDLE_SOURCES_MAX; i++)
        disconnect_source(self, i);
}

void bundle_fetch_finish(struct bundle_fetch *self, enum bundle_fetch_outcome outcome, int error_number)
{
    if (self->is_finished || self->is_stopped)
        return;
    self->is_finished = true;
    disconnect_all(self);
    self->events.done(self->events.owner, outcome, error_number);
}

static void run_effect(struct bundle_fetch *self, const struct bundle_effect *effect, struct inbound *inbound)
{
    switch (effect->kind) {
    case BUNDLE_CONNECT:
        connect_source(self, effect->source);
        break;
    case BUNDLE_DISCONNECT:
        disconnect_source(self, effect->source);
        break;
    case BUNDLE_SEND:
        if (self->links[effect->source])
            source_link_send(self->links[effect->source], self->effects.arena.data + effect->bytes_offset,
                             effect->bytes_size);
        break;
    case BUNDLE_STORE:
        bundle_store(self, effect->ticket, self->files.items[effect->file],
                     effect->source == UINT32_MAX ? NULL : &inbound->payload);
        break;
    case BUNDLE_SOURCE:
        self->events.source(self->events.owner, effect->source);
        break;
    case BUNDLE_LOST:
        self->events.file(self->events.owner, self->files.items[effect->file], BUNDLE_FETCH_LOST, 0);
        break;
    case BUNDLE_COMPLETE:
        self->is_complete = true;
        disconnect_all(self);
        break;
    case BUNDLE_FAILED:
        bundle_fetch_finish(self, BUNDLE_FETCH_TIMED_OUT, 0);
        break;
    }
}

/* Effects may cause further ones at the end of the list; entries move when it grows, so each is copied. */
static void run_effects(struct bundle_fetch *self, struct inbound *inbound)
{
    for (size_t i = 0; i < self->effects.count && !self->is_stopped; i++) {
        struct bundle_effect effect = self->effects.entries[i];
        run_effect(self, &effect, inbound);
    }
    bundle_effects_clear(&self->effects);
}

void bundle_fetch_stored(struct bundle_fetch *self, uint32_t ticket, enum bundle_stored result)
{
    bundle_on_stored(self->bundle, ticket, result, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct bundle_fetch *self = owner;
    free_stopped_links(self);
    if (self->is_finished || self->is_stopped)
        return UINT64_MAX;
    uint64_t next_ms = UINT64_MAX;
    for (uint32_t i = 0; i < BUNDLE_SOURCES_MAX; i++) {
        if (!self->links[i])
            continue;
        source_link_sweep(self->links[i]);
        next_ms = now_ms + GUARD_SWEEP_MS;
    }
    if (bundle_next_deadline_ms(self->bundle) <= now_ms) {
        bundle_tick(self->bundle, now_ms, &self->effects);
        run_effects(self, NULL);
    }
    bundle_store_flush(self);
    next_ms = earlier(next_ms, bundle_sync(self, now_ms));
    if (self->is_finished)
        return UINT64_MAX;
    next_ms = earlier(next_ms, bundle_next_deadline_ms(self->bundle));
    return next_ms > now_ms ? next_ms : now_ms + 1;
}

struct bundle_fetch *bundle_fetch_new(struct loop *loop, struct workers *workers,
                                      const struct bundle_fetch_config *config,
                                      const struct bundle_fetch_events *events)
{
    struct bundle_fetch *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->workers = workers;
    self->events = *events;
    self->root_fd = config->root_fd;
    self->must_replace = config->must_replace;
    self->bundle = bundle_new(&config->bundle);
    bundle_effects_init(&self->effects);
    return self;
}

uint32_t bundle_fetch_add_source(struct bundle_fetch *self, const struct optional_node_id *node,
                                 const struct host *host, uint16_t port)
{
    return bundle_add_source(self->bundle, node, host, port);
}

bool bundle_fetch_add_file(struct bundle_fetch *self, uint32_t file, uint64_t sources)
{
    struct landing_file about;
    self->events.describe(self->events.owner, file, &about);
    if (!bundle_add_file(self->bundle, &about.id, about.size, sources))
        return false;
    file_numbers_add(&self->files, file);
    return true;
}

void bundle_fetch_add_written(struct bundle_fetch *self, uint32_t file)
{
    file_numbers_add(&self->written, file);
}

void bundle_fetch_start(struct bundle_fetch *self)
{
    uint64_t now_ms = clock_now_ms();
    self->written_at_ms = now_ms;
    loop_add_ticker(self->loop, tick, self);
    bundle_start(self->bundle, now_ms, &self->effects);
    run_effects(self, NULL);
}

void bundle_fetch_stop(struct bundle_fetch *self)
{
    if (self->is_stopped)
        return;
    self->is_stopped = true;
    disconnect_all(self);
    loop_remove_ticker(self->loop, self);
    bundle_store_drop(self);
}

bool bundle_fetch_is_idle(const struct bundle_fetch *self)
{
    return self->job_count == 0;
}

void bundle_fetch_destroy(struct bundle_fetch **self_p)
{
    struct bundle_fetch *self = *self_p;
    if (!self)
        return;
    bundle_fetch_stop(self);
    assert(bundle_fetch_is_idle(self));
    free_stopped_links(self);
    bundle_effects_release(&self->effects);
    bundle_destroy(&self->bundle);
    free(self->files.items);
    free(self->written.items);
    free(self->named.items);
    free(self);
    *self_p = NULL;
}

struct bundle_progress bundle_fetch_progress(const struct bundle_fetch *self)
{
    return bundle_progress(self->bundle);
}

struct download_source bundle_fetch_source_at(const struct bundle_fetch *self, uint32_t source)
{
    return bundle_source_at(self->bundle, source);
}
