/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/fetch_private.h"

#include "messages/shell/guard.h"
#include "messages/shell/socket.h"
#include "node/shell/serve/data_port.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever writes to a partial file again and again means it. */
#define DOUBTS_MAX 3

static void run_effects(struct fetch *self, struct inbound *inbound);

static void on_connected(void *owner, uint32_t source)
{
    struct fetch *self = owner;
    download_on_connected(self->download, source, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

static void on_lost(void *owner, uint32_t source)
{
    struct fetch *self = owner;
    download_on_lost(self->download, source, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

static void on_message(void *owner, uint32_t source, struct inbound *inbound)
{
    struct fetch *self = owner;
    download_on_message(self->download, source, zmq_msg_data(&inbound->header),
                        zmq_msg_size(&inbound->header), inbound->frame_count, zmq_msg_size(&inbound->payload),
                        clock_now_ms(), &self->effects);
    run_effects(self, inbound);
}

static void connect_source(struct fetch *self, uint32_t source)
{
    struct source_link_events events = {self, on_connected, on_lost, on_message};
    struct download_source about = download_source_at(self->download, source);
    self->links[source] = source_link_new(self->loop, &about.host, about.port, source, &events);
    if (!self->links[source]) /* no socket to be had: as if it could not be reached */
        download_on_lost(self->download, source, clock_now_ms(), &self->effects);
}

/* The link may be the one whose event is being handled, so it is only stopped here and freed at the next
 * tick. */
static void disconnect_source(struct fetch *self, uint32_t source)
{
    struct source_link *link = self->links[source];
    self->ports[source] = NULL;
    if (!link)
        return;
    source_link_stop(link);
    self->links[source] = NULL;
    assert(self->stopped_count < STOPPED_LINKS_MAX);
    self->stopped_links[self->stopped_count++] = link;
}

static void free_stopped_links(struct fetch *self)
{
    while (self->stopped_count > 0)
        source_link_destroy(&self->stopped_links[--self->stopped_count]);
}

static void close_pipe(struct fetch *self)
{
    if (self->pipe_fd >= 0)
        close(self->pipe_fd);
    self->pipe_fd = -1;
}

void fetch_finish(struct fetch *self, enum fetch_outcome outcome, int error_number)
{
    if (self->is_finished)
        return;
    self->is_finished = true;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        disconnect_source(self, i);
    if (!self->is_piping)
        close_pipe(self); /* its reader is not to wait for us */
    if (!self->is_stopped)
        self->events.done(self->events.owner, outcome, error_number);
}

static void send_bytes(struct fetch *self, uint32_t source, const void *bytes, size_t size)
{
    if (self->links[source])
        source_link_send(self->links[source], bytes, size);
    else if (self->ports[source])
        data_port_send(self->ports[source], self->routes[source], bytes, size);
}

static void run_effect(struct fetch *self, const struct download_effect *effect, struct inbound *inbound)
{
    switch (effect->kind) {
    case DOWNLOAD_CONNECT:
        connect_source(self, effect->source);
        break;
    case DOWNLOAD_DISCONNECT:
        disconnect_source(self, effect->source);
        break;
    case DOWNLOAD_SEND:
        send_bytes(self, effect->source, self->effects.arena.data + effect->bytes_offset, effect->bytes_size);
        break;
    case DOWNLOAD_PROCESS:
        assert(inbound);
        fetch_process(self, &effect->order, &inbound->payload);
        break;
    case DOWNLOAD_CHECK:
        fetch_check(self, effect->chunk, &effect->order);
        break;
    case DOWNLOAD_SAVED:
        self->is_map_stale = true;
        self->unsynced_bytes += layout_chunk_length(download_layout(self->download), effect->chunk);
        fetch_advance_pipe(self);
        self->events.saved(self->events.owner, effect->chunk);
        break;
    case DOWNLOAD_UNSAVED:
        if (self->events.unsaved)
            self->events.unsaved(self->events.owner, effect->chunk);
        break;
    case DOWNLOAD_SOURCE:
        self->events.source(self->events.owner, effect->source);
        break;
    case DOWNLOAD_COMPLETE:
        self->is_complete = true;
        fetch_advance_pipe(self);
        break;
    case DOWNLOAD_STARVED:
        self->is_starved = true;
        break;
    case DOWNLOAD_FAILED:
        fetch_finish(self, effect->error_number ? FETCH_DISK_FAILED : FETCH_TIMED_OUT, effect->error_number);
        break;
    }
}

/*
 * Effects may cause further ones at the end of the list; entries move when it grows, so each is copied. A
 * payload goes to the one effect that takes it.
 */
static void run_effects(struct fetch *self, struct inbound *inbound)
{
    for (size_t i = 0; i < self->effects.count && !self->is_stopped; i++) {
        struct download_effect effect = self->effects.entries[i];
        run_effect(self, &effect, inbound);
    }
    download_effects_clear(&self->effects);
    if (self->is_stopped || self->is_finished)
        return;
    fetch_keep_map(self);
    fetch_keep_durable(self, clock_now_ms());
    if (self->is_complete)
        fetch_try_publish(self);
    if (self->is_starved) {
        self->is_starved = false;
        self->events.starved(self->events.owner);
    }
}

void fetch_processed(struct fetch *self, uint32_t ticket, const struct processed *result)
{
    download_on_processed(self->download, ticket, result, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

void fetch_checked(struct fetch *self, uint32_t chunk, bool is_right)
{
    download_on_checked(self->download, chunk, is_right, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

void fetch_doubt(struct fetch *self)
{
    if (++self->doubt_count > DOUBTS_MAX) {
        fetch_finish(self, FETCH_DISK_FAILED, ETXTBSY);
        return;
    }
    self->is_complete = self->is_publishing = false;
    self->is_map_stale = true;
    download_doubt(self->download, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

/* While nothing is written to it, a pipe does not tell that its reader went. */
static bool is_pipe_lost(const struct fetch *self)
{
    struct pollfd pipe = {.fd = self->pipe_fd};
    return self->pipe_fd >= 0 && !self->is_piping && poll(&pipe, 1, 0) > 0 &&
           (pipe.revents & (POLLERR | POLLHUP)) != 0;
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct fetch *self = owner;
    free_stopped_links(self);
    if (!self->is_finished && !self->is_stopped && is_pipe_lost(self))
        fetch_finish(self, FETCH_DISK_FAILED, EPIPE);
    if (self->is_finished || self->is_stopped)
        return UINT64_MAX;
    bool has_links = false;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        if (!self->links[i])
            continue;
        has_links = true;
        source_link_sweep(self->links[i]);
    }
    if (download_next_deadline_ms(self->download) <= now_ms) {
        download_tick(self->download, now_ms, &self->effects);
        run_effects(self, NULL);
    }
    uint64_t next_ms = self->is_finished ? UINT64_MAX : download_next_deadline_ms(self->download);
    uint64_t sweep_ms = has_links || self->pipe_fd >= 0 ? now_ms + GUARD_SWEEP_MS : UINT64_MAX;
    if (next_ms <= now_ms) /* a deadline that could not be met now is not worth a spin */
        next_ms = now_ms + 1;
    return next_ms < sweep_ms ? next_ms : sweep_ms;
}

static uint64_t range_end(const struct download_config *config)
{
    return config->range_end ? config->range_end : config->size;
}

static bool is_range(const struct download_config *config)
{
    return config->range_begin > 0 || range_end(config) < config->size;
}

static enum fetch_start look_at_space(struct chunk_store *store, const struct fetch_config *config,
                                      uint64_t *ret_needed, uint64_t *ret_free)
{
    const struct download_config *download = &config->download;
    if (config->below)
        chunk_store_set_below(store, config->below);
    if (is_range(download))
        chunk_store_set_range(store, download->range_begin, range_end(download));
    if (!chunk_store_space(store, ret_needed, ret_free))
        return FETCH_REFUSED;
    return *ret_needed > *ret_free ? FETCH_NO_SPACE : FETCH_STARTED;
}

enum fetch_start fetch_open_store(const struct fetch_config *config, struct chunk_store **ret_store,
                                  uint64_t *ret_needed, uint64_t *ret_free)
{
    const struct download_config *download = &config->download;
    struct layout layout = layout_of(download->size);
    struct chunk_store *store = NULL;
    enum store_result result =
        config->pipe_fd >= 0
            ? chunk_store_open_unnamed(&download->id, &layout, &store)
            : chunk_store_open(config->folder, config->temp, config->name, &download->id, &layout, &store);
    if (result != STORE_OK)
        return result == STORE_LOCKED ? FETCH_LOCKED : FETCH_REFUSED;
    enum fetch_start start = look_at_space(store, config, ret_needed, ret_free);
    if (start == FETCH_STARTED) {
        *ret_store = store;
        return start;
    }
    int error = errno;
    if (start == FETCH_NO_SPACE && chunk_store_claims(store)->set_count == 0)
        chunk_store_discard(&store); /* nothing is in it */
    chunk_store_close(&store);
    errno = error;
    return start;
}

/* A descriptor of our own of a pipe or terminal, on which a write never waits; who shares the given one keeps
 * it as it is. Anything else is written as it comes; what is open for reading only stands for a stream that
 * was closed, and stays as it is. */
static int pipe_open(int fd)
{
    char path[64];
    struct stat status;
    int own_fd = -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    bool is_writable = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (is_writable && fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)))
        own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return own_fd >= 0 ? own_fd : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static uint64_t largest_seed(const struct fetch *self)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < self->seed_count; i++) {
        struct stat status;
        if (fstat(self->seed_fds[i], &status) == 0 && (uint64_t)status.st_size > largest)
            largest = (uint64_t)status.st_size;
    }
    return largest;
}

/* What may be here already: by the have-map, and whatever a seed is long enough for. */
static void load_store(struct fetch *self)
{
    const struct chunk_map *claims = chunk_store_claims(self->store);
    const struct layout *layout = download_layout(self->download);
    uint64_t seeded_bytes = largest_seed(self);
    for (uint32_t i = 0; i < claims->count; i++) {
        uint64_t end = ((uint64_t)i << layout->chunk_log2) + layout_chunk_length(layout, i);
        if (chunk_map_has(claims, i) || end <= seeded_bytes)
            download_claim_chunk(self->download, i);
    }
    const struct hash *layer = chunk_store_layer(self->store);
    self->is_layer_kept = layer && download_load_layer(self->download, layer, claims->count);
}

struct fetch *fetch_begin(struct loop *loop, struct workers *workers, const struct fetch_config *config,
                          const struct fetch_events *events, struct chunk_store **store)
{
    struct fetch *self = calloc(1, sizeof *self);
    assert(self);
    self->store = *store;
    *store = NULL;
    self->loop = loop;
    self->workers = workers;
    self->events = *events;
    self->conflict = config->must_replace  ? CONFLICT_REPLACES
                     : config->must_number ? CONFLICT_NUMBERS
                                           : CONFLICT_FAILS;
    chunk_store_set_attributes(self->store, &config->attributes);
    self->pipe_fd = config->pipe_fd >= 0 ? pipe_open(config->pipe_fd) : -1;
    self->pipe_offset = config->download.range_begin;
    self->pipe_end = range_end(&config->download);
    assert(config->seed_count <= FETCH_SEEDS_MAX);
    self->seed_count = config->seed_count;
    for (size_t i = 0; i < config->seed_count; i++)
        self->seed_fds[i] = config->seed_fds[i];
    uint64_t now_ms = clock_now_ms();
    self->synced_at_ms = now_ms;
    self->download = download_new(&config->download, now_ms);
    download_effects_init(&self->effects);
    load_store(self);
    loop_add_ticker(loop, tick, self);
    download_start(self->download, now_ms, &self->effects);
    /* Starting without a source is no news, and the owner does not hold the fetch yet. */
    for (size_t i = 0; i < self->effects.count; i++) {
        if (self->effects.entries[i].kind != DOWNLOAD_STARVED)
            run_effect(self, &self->effects.entries[i], NULL);
    }
    download_effects_clear(&self->effects);
    if (self->is_complete)
        fetch_try_publish(self);
    return self;
}

enum fetch_start fetch_new(struct loop *loop, struct workers *workers, const struct fetch_config *config,
                           const struct fetch_events *events, struct fetch **ret_fetch, uint64_t *ret_needed,
                           uint64_t *ret_free)
{
    struct chunk_store *store = NULL;
    enum fetch_start start = fetch_open_store(config, &store, ret_needed, ret_free);
    if (start == FETCH_STARTED)
        *ret_fetch = fetch_begin(loop, workers, config, events, &store);
    return start;
}

void fetch_stop(struct fetch *self)
{
    if (self->is_stopped)
        return;
    self->is_stopped = true;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        disconnect_source(self, i);
    loop_remove_ticker(self->loop, self);
}

void fetch_destroy(struct fetch **self_p)
{
    struct fetch *self = *self_p;
    if (!self)
        return;
    assert(fetch_is_idle(self));
    fetch_stop(self);
    free_stopped_links(self);
    download_effects_release(&self->effects);
    download_destroy(&self->download);
    chunk_store_close(&self->store);
    close_pipe(self);
    free(self);
    *self_p = NULL;
}

struct chunk_store *fetch_take_store(struct fetch *self)
{
    assert(self->is_stopped);
    assert(fetch_is_idle(self));
    struct chunk_store *store = self->store;
    self->store = NULL;
    return store;
}

bool fetch_is_idle(const struct fetch *self)
{
    return self->job_count == 0;
}

void fetch_add_source(struct fetch *self, const struct optional_node_id *node, const struct host *host,
                      uint16_t port)
{
    if (self->is_finished || self->is_stopped)
        return;
    download_add_source(self->download, node, host, port, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

bool fetch_add_pusher(struct fetch *self, struct data_port *port, uint32_t route,
                      const struct download_pusher *pusher, uint32_t *ret_source)
{
    if (self->is_finished || self->is_stopped)
        return false;
    uint32_t source = download_add_pusher(self->download, pusher, clock_now_ms(), &self->effects);
    if (source == UINT32_MAX)
        return false;
    self->ports[source] = port;
    self->routes[source] = route;
    *ret_source = source;
    run_effects(self, NULL);
    return true;
}

void fetch_remove_pusher(struct fetch *self, uint32_t source, bool is_gone)
{
    if (self->is_finished || self->is_stopped)
        return;
    download_remove_pusher(self->download, source, is_gone, clock_now_ms(), &self->effects);
    run_effects(self, NULL);
}

bool fetch_on_answer(struct fetch *self, uint32_t source, uint64_t rid, struct inbound *inbound)
{
    if (self->is_finished || self->is_stopped || !download_asked(self->download, source, rid))
        return false;
    on_message(self, source, inbound);
    return true;
}

void fetch_give_up(struct fetch *self)
{
    fetch_finish(self, FETCH_STARVED, 0);
}

struct download_progress fetch_progress(const struct fetch *self)
{
    return download_progress(self->download);
}

struct download_source fetch_source_at(const struct fetch *self, uint32_t source)
{
    return download_source_at(self->download, source);
}

const struct layout *fetch_layout(const struct fetch *self)
{
    return download_layout(self->download);
}

const struct chunk_map *fetch_chunks(const struct fetch *self)
{
    return download_chunks(self->download);
}

const struct chunk_map *fetch_claims(const struct fetch *self)
{
    return download_claims(self->download);
}

const struct hash *fetch_layer(const struct fetch *self)
{
    return download_layer(self->download);
}

int fetch_reader(const struct fetch *self)
{
    return fcntl(chunk_store_fd(self->store), F_DUPFD_CLOEXEC, 0);
}

const char *fetch_target(const struct fetch *self)
{
    return chunk_store_target(self->store);
}

void fetch_set_share(struct fetch *self, uint64_t budget_bytes, uint64_t down_rate)
{
    download_set_share(self->download, budget_bytes, down_rate, clock_now_ms());
}

struct fetch_load fetch_load(const struct fetch *self)
{
    return (struct fetch_load){download_load(self->download), self->hash_ns, self->write_ns};
}

bool fetch_is_starved(const struct fetch *self)
{
    return download_is_starved(self->download);
}
