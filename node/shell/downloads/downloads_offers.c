/* SPDX-License-Identifier: MIT */
#include "node/shell/downloads/downloads_offers.h"

#include "node/shell/downloads/downloads_look.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/downloads/empty_files.h"
#include "node/shell/downloads/pushed_keeper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Beyond what was asked for, a connection of a pusher may bring answers to what was cancelled meanwhile. */
#define CANCELLED_BYTES_MAX (4u * 1024 * 1024)

/* One offer that stands, and the source that it is in a download that runs. */
struct pushing {
    struct pushing *next;
    uint32_t route;
    int connection;
    struct host address;
    struct file_id file;
    struct runner *runner; /* NULL while the download does not run */
    uint32_t source;
};

struct downloads_offers {
    struct loop *loop;
    struct downloads *downloads;
    struct data_port *port;
    struct offers *offers;
    struct offers_effects effects;
    bool is_running_effects;
    struct pushing *pushings;
    uint64_t quota_bytes;
    struct pushed_keeper *landed;
    struct empty_files *empty_files; /* NULL once it was stopped */
    uint64_t list_generation;
    int connection; /* and address: of the message that is being handled */
    struct host address;
};

static void run_effects(struct downloads_offers *self);

/* Turns. */

/* The list knows who offers what. */
static void tell_offered(struct downloads_offers *self, const struct file_id *file)
{
    struct download_list *list = downloads_list(self->downloads);
    const struct listed_download *item = download_list_by_id(list, file);
    struct host addresses[OFFERS_FILE_MAX];
    size_t count = 0;
    for (const struct offer *offer = NULL; (offer = offers_next(self->offers, file, offer));)
        addresses[count++] = offer->host;
    if (item)
        download_list_offered(list, item->number, addresses, count);
}

/* What a source brings or leaves unanswered counts for its address. */
static void judge(struct downloads_offers *self, const struct pushing *pushing)
{
    struct push_turns *turns = download_list_turns(downloads_list(self->downloads));
    if (!pushing->runner || pushing->source == UINT32_MAX)
        return;
    struct download_source source = fetch_source_at(pushing->runner->fetch, pushing->source);
    if (source.is_silent) {
        push_turns_silent(turns, &pushing->address, clock_now_ms());
        offers_on_mute(self->offers, &pushing->address, &self->effects);
    } else if (source.received_bytes > 0 && source.state != SOURCE_BANNED) {
        push_turns_delivered(turns, &pushing->address);
    }
}

/* Sources. */

static const struct offer *offer_of(const struct downloads_offers *self, const struct pushing *pushing)
{
    const struct offer *offer = NULL;
    do {
        offer = offers_next(self->offers, &pushing->file, offer);
    } while (offer && offer->route != pushing->route);
    return offer;
}

static void start_source(struct downloads_offers *self, struct pushing *pushing, struct runner *runner)
{
    const struct offer *offer = offer_of(self, pushing);
    char name[HOST_TEXT_SIZE];
    if (!offer)
        return;
    host_format(&offer->host, name);
    struct download_pusher pusher = {.host = offer->host, .name = name, .have = offer->have};
    pushing->runner = runner; /* its events come from within */
    pushing->source = UINT32_MAX;
    uint32_t source;
    if (!fetch_add_pusher(runner->fetch, self->port, pushing->route, &pusher, &source)) {
        pushing->runner = NULL;
        offers_on_dropped(self->offers, pushing->route, &pushing->file, ERROR_BUSY,
                          "too many sources already", &self->effects);
        return;
    }
    pushing->source = source;
}

/* The OFFER's chunks are a source of the download from now on. */
static void join(struct downloads_offers *self, const struct offers_effect *effect)
{
    struct downloads_order order = {.file = effect->file, .is_pushed = true};
    uint32_t number;
    if (downloads_add(self->downloads, &order, &number) == DOWNLOADS_FULL) {
        offers_on_failed(self->offers, &effect->file.id, ERROR_BUSY, "too many downloads are listed here",
                         &self->effects);
        return;
    }
    tell_offered(self, &effect->file.id);
    struct pushing *pushing = calloc(1, sizeof *pushing);
    assert(pushing);
    *pushing = (struct pushing){.next = self->pushings,
                                .route = effect->route,
                                .connection = self->connection,
                                .file = effect->file.id,
                                .address = self->address};
    self->pushings = pushing;
    struct runner *runner = downloads_runner_by_id(self->downloads, &effect->file.id);
    offers_on_running(self->offers, &effect->file.id, runner);
    if (runner)
        start_source(self, pushing, runner);
}

/* It is in the list no more. */
static void end_source(struct downloads_offers *self, struct pushing *pushing, bool is_gone)
{
    judge(self, pushing);
    if (pushing->runner)
        fetch_remove_pusher(pushing->runner->fetch, pushing->source, is_gone);
    free(pushing);
}

static void leave(struct downloads_offers *self, uint32_t route, const struct file_id *file, bool is_gone)
{
    for (struct pushing **at = &self->pushings; *at; at = &(*at)->next) {
        struct pushing *pushing = *at;
        if (pushing->route != route || !file_id_equal(&pushing->file, file))
            continue;
        *at = pushing->next;
        end_source(self, pushing, is_gone);
        break;
    }
    if (offers_next(self->offers, file, NULL))
        tell_offered(self, file);
}

/* What nothing came of is not worth keeping; the rest waits for the next OFFER. */
static void on_nobody(struct downloads_offers *self, const struct file_id *file)
{
    struct download_list *list = downloads_list(self->downloads);
    const struct listed_download *item = download_list_by_id(list, file);
    if (!item)
        return;
    tell_offered(self, file);
    if (item->is_pushed && item->state != DOWNLOADS_DONE && !downloads_has_part(self->downloads, item))
        downloads_cancel(self->downloads, item->number);
}

/* Those that ended of themselves: they are sources no more. */
static void forget_ended(struct downloads_offers *self)
{
    for (struct pushing **at = &self->pushings; *at;) {
        struct pushing *pushing = *at;
        if (offer_of(self, pushing)) {
            at = &pushing->next;
            continue;
        }
        *at = pushing->next;
        end_source(self, pushing, false);
    }
}

/* The empty file. */

static void tell_landed(struct downloads_offers *self, const char *name)
{
    const struct downloads_events *events = &self->downloads->events;
    char *path = NULL;
    int size = asprintf(&path, "%s/%s", self->downloads->config.folder, name);
    assert(size >= 0);
    struct downloads_landing landing = {.path = path,
                                        .fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (landing.fd >= 0 && events->landed)
        events->landed(events->owner, &landing);
    if (landing.fd >= 0)
        close(landing.fd);
    free(path);
}

static void on_made(void *owner, const struct file_id *file, const char *target)
{
    struct downloads_offers *self = owner;
    pushed_keeper_add(self->landed, file, offers_cost(text_of(target), 0));
    tell_landed(self, target);
    offers_on_stored(self->offers, file, text_of(target), &self->effects);
    run_effects(self);
}

static void on_not_made(void *owner, const struct file_id *file, int error)
{
    struct downloads_offers *self = owner;
    bool is_full = error == ENOSPC || error == EDQUOT;
    offers_on_failed(self->offers, file, is_full ? ERROR_NO_SPACE : ERROR_INTERNAL, strerror(error),
                     &self->effects);
    run_effects(self);
}

/* Effects of the core. */

static void run_effect(struct downloads_offers *self, const struct offers_effect *effect)
{
    switch (effect->kind) {
    case OFFERS_SEND:
        data_port_send(self->port, effect->route, self->effects.arena.data + effect->bytes_offset,
                       effect->bytes_size);
        break;
    case OFFERS_JOIN:
        join(self, effect);
        break;
    case OFFERS_LEAVE:
        leave(self, effect->route, &effect->file.id, effect->is_gone);
        break;
    case OFFERS_CREATE:
        empty_files_make(self->empty_files, &effect->file);
        break;
    case OFFERS_NOBODY:
        on_nobody(self, &effect->file.id);
        break;
    case OFFERS_OVER:
        data_port_push_over(self->port, effect->route);
        break;
    }
}

/* What they cause in a download may add further ones behind. */
static void run_effects(struct downloads_offers *self)
{
    if (self->is_running_effects)
        return;
    self->is_running_effects = true;
    for (size_t i = 0; i < self->effects.count; i++) {
        struct offers_effect effect = self->effects.entries[i];
        run_effect(self, &effect);
    }
    offers_effects_clear(&self->effects);
    self->is_running_effects = false;
}

/* From the data port. */

/* What landed. When there is no room, some of it may be gone. */
static void count_landed(struct downloads_offers *self, const struct file_entry *file,
                         struct offer_facts *facts)
{
    const struct pushed_files *landed = pushed_keeper_files(self->landed);
    uint64_t wanted = facts->taken_bytes + offers_cost(file->name, file->size);
    uint64_t room = self->quota_bytes > wanted ? self->quota_bytes - wanted : 0;
    if (pushed_files_bytes(landed, &file->id) > room || pushed_files_count(landed) >= PUSHED_FILES_MAX)
        pushed_keeper_review(self->landed);
    facts->taken_bytes += pushed_files_bytes(landed, &file->id);
    facts->landed_count = pushed_files_count(landed);
}

/* What the node knows of it. Makes `saved`. */
static void gather_facts(struct downloads_offers *self, const struct file_entry *file,
                         struct offer_facts *facts, struct chunk_map *saved)
{
    const char *empty = file->size == 0 ? empty_files_last(self->empty_files, clock_now_ms()) : NULL;
    struct push_turns *turns = download_list_turns(downloads_list(self->downloads));
    *facts = (struct offer_facts){.quota_bytes = self->quota_bytes};
    downloads_look(self->downloads, file, facts, saved);
    count_landed(self, file, facts);
    facts->is_mute = push_turns_is_mute(turns, &self->address, clock_now_ms());
    if (empty && facts->place == OFFER_NEW) {
        facts->place = OFFER_HERE;
        facts->here_name = text_of(empty);
    }
}

static void on_offer(struct downloads_offers *self, const struct inbound *inbound,
                     const struct message *message)
{
    const struct message_file *offer = &message->offer;
    struct offer_facts facts;
    struct chunk_map saved;
    if (!offers_check(self->offers, inbound->route, message->rid, offer, &self->effects))
        return;
    gather_facts(self, &offer->file, &facts, &saved);
    offers_on_offer(self->offers, inbound->route, &self->address, message->rid, offer, &facts,
                    &self->effects);
    chunk_map_release(&saved);
}

static void on_answer(struct downloads_offers *self, uint64_t rid, struct inbound *inbound)
{
    for (struct pushing *at = self->pushings; at; at = at->next) {
        if (at->route == inbound->route && at->runner &&
            fetch_on_answer(at->runner->fetch, at->source, rid, inbound))
            return;
    }
}

static void on_message(void *owner, struct inbound *inbound)
{
    struct downloads_offers *self = owner;
    struct envelope envelope;
    struct message message;
    enum envelope_result result =
        envelope_open(&envelope, zmq_msg_data(&inbound->header), zmq_msg_size(&inbound->header),
                      RECEIVER_SERVER, inbound->frame_count);
    assert(result == ENVELOPE_OK); /* the peer server saw it */
    (void)result;
    self->connection = inbound->fd;
    self->address = inbound->has_peer ? inbound->peer : (struct host){{0}};
    if (envelope.kind != KIND_OFFER && envelope.kind != KIND_CLOSE)
        on_answer(self, envelope.rid, inbound);
    else if (message_read(&envelope, &message) && message.kind == KIND_OFFER)
        on_offer(self, inbound, &message);
    else if (envelope.kind == KIND_CLOSE)
        offers_on_close(self->offers, inbound->route, &message.close.file, &self->effects);
    run_effects(self);
    envelope_close(&envelope);
}

static void on_gone(void *owner, uint32_t route)
{
    struct downloads_offers *self = owner;
    offers_on_gone(self->offers, route, &self->effects);
    run_effects(self);
}

static size_t asked_bytes(void *owner, int connection)
{
    const struct downloads_offers *self = owner;
    size_t bytes = 0;
    bool is_asked = false;
    for (const struct pushing *at = self->pushings; at; at = at->next) {
        if (at->connection != connection || !at->runner || at->source == UINT32_MAX)
            continue;
        is_asked = true;
        bytes += fetch_source_at(at->runner->fetch, at->source).inflight_bytes;
    }
    return is_asked ? bytes + CANCELLED_BYTES_MAX : 0;
}

/* From the downloads. */

static void on_started(void *owner, struct runner *runner)
{
    struct downloads_offers *self = owner;
    offers_on_running(self->offers, &runner->file.id, true);
    for (struct pushing *at = self->pushings; at; at = at->next) {
        if (file_id_equal(&at->file, &runner->file.id))
            start_source(self, at, runner);
    }
    run_effects(self);
}

static void judge_all(struct downloads_offers *self, const struct runner *runner)
{
    for (const struct pushing *at = self->pushings; at; at = at->next) {
        if (at->runner == runner)
            judge(self, at);
    }
}

static void on_stopping(void *owner, struct runner *runner)
{
    struct downloads_offers *self = owner;
    judge_all(self, runner);
    offers_on_running(self->offers, &runner->file.id, false);
    for (struct pushing *at = self->pushings; at; at = at->next) {
        if (at->runner == runner)
            at->runner = NULL;
    }
}

/* A source of its own accord is no source any more: its offer is over. */
static void on_source(void *owner, struct runner *runner, uint32_t source)
{
    struct downloads_offers *self = owner;
    struct download_source about = fetch_source_at(runner->fetch, source);
    struct pushing *at = self->pushings;
    while (at && (at->runner != runner || at->source != source))
        at = at->next;
    if (!at || !about.is_pusher || about.state == SOURCE_READY)
        return;
    judge(self, at);
    at->runner = NULL;
    struct file_id file = at->file;
    offers_on_dropped(self->offers, at->route, &file, about.is_silent ? ERROR_LIMIT : ERROR_BAD_MESSAGE,
                      about.reason, &self->effects);
    run_effects(self);
}

static void on_saved(void *owner, struct runner *runner, uint32_t chunk)
{
    struct downloads_offers *self = owner;
    offers_on_saved(self->offers, &runner->file.id, chunk);
}

static void on_kept(void *owner, struct runner *runner, struct blob bits)
{
    struct downloads_offers *self = owner;
    offers_on_kept(self->offers, &runner->file.id, bits, clock_now_ms());
    judge_all(self, runner);
}

static void on_unsaved(void *owner, struct runner *runner, uint32_t chunk)
{
    struct downloads_offers *self = owner;
    offers_on_unsaved(self->offers, &runner->file.id, chunk);
}

static const struct runner *runner_by_number(const struct downloads_offers *self, uint32_t number)
{
    const struct runner *runner = self->downloads->runners;
    while (runner && runner->number != number)
        runner = runner->next;
    return runner;
}

static void on_ended(void *owner, const struct listed_download *item)
{
    struct downloads_offers *self = owner;
    const struct runner *runner = runner_by_number(self, item->number);
    struct file_id file = item->file.id;
    if (item->state == DOWNLOADS_DONE) {
        const char *name = item->target + strlen(self->downloads->config.folder) + 1;
        bool has_come = runner && runner->fetch;
        if (item->is_pushed && has_come)
            pushed_keeper_add(self->landed, &file, offers_cost(item->file.name, item->file.size));
        offers_on_stored(self->offers, &file, text_of(name), &self->effects);
    } else {
        bool is_full = runner && runner->is_disk_full;
        offers_on_failed(self->offers, &file, is_full ? ERROR_NO_SPACE : ERROR_INTERNAL,
                         is_full ? "the disk is full" : "the file cannot be written here", &self->effects);
    }
    tell_offered(self, &file);
    run_effects(self);
    forget_ended(self);
}

/* Their pushers know why; nothing of them is here, and they would push what is somebody's off the list. */
static void forget_failed(struct downloads_offers *self)
{
    const struct download_list *list = downloads_list(self->downloads);
    for (size_t i = download_list_count(list); i-- > 0;) {
        const struct listed_download *item = download_list_at(list, i);
        if (item->is_pushed && item->state == DOWNLOADS_FAILED && item->saved_bytes == 0)
            downloads_cancel(self->downloads, item->number);
    }
}

/* The user took it off the list. */
static void end_unlisted(struct downloads_offers *self)
{
    const struct download_list *list = downloads_list(self->downloads);
    if (download_list_generation(list) == self->list_generation)
        return;
    forget_failed(self);
    self->list_generation = download_list_generation(list);
    for (struct pushing *at = self->pushings; at; at = at->next) {
        if (!download_list_by_id(list, &at->file))
            offers_on_failed(self->offers, &at->file, ERROR_DENIED, "not wanted here", &self->effects);
    }
    run_effects(self);
    forget_ended(self);
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct downloads_offers *self = owner;
    end_unlisted(self);
    pushed_keeper_tick(self->landed);
    offers_tick(self->offers, now_ms, &self->effects);
    run_effects(self);
    return offers_next_deadline_ms(self->offers);
}

/* Life. */

/* What a run that ended had taken on, and nothing came of. */
static void forget_begun(struct downloads_offers *self)
{
    const struct download_list *list = downloads_list(self->downloads);
    for (size_t i = download_list_count(list); i-- > 0;) {
        const struct listed_download *item = download_list_at(list, i);
        if (item->is_pushed && !downloads_has_part(self->downloads, item))
            downloads_cancel(self->downloads, item->number);
    }
}

static void begin(struct downloads_offers *self, const char *pushed)
{
    const struct downloads *downloads = self->downloads;
    struct pushed_keeper_config landed = {.workers = downloads->config.workers,
                                          .holdings = downloads->config.holdings,
                                          .path = pushed,
                                          .owner = downloads->events.owner,
                                          .trouble = downloads->events.trouble};
    struct empty_files_config empty = {.workers = downloads->config.workers,
                                       .folder = downloads->config.folder,
                                       .owner = self,
                                       .made = on_made,
                                       .failed = on_not_made};
    struct push_events events = {
        .owner = self, .message = on_message, .gone = on_gone, .asked_bytes = asked_bytes};
    struct downloads_watcher watcher = {.owner = self,
                                        .started = on_started,
                                        .stopping = on_stopping,
                                        .source = on_source,
                                        .saved = on_saved,
                                        .kept = on_kept,
                                        .unsaved = on_unsaved,
                                        .ended = on_ended};
    self->landed = pushed_keeper_new(&landed);
    self->empty_files = empty_files_new(&empty);
    data_port_accept_pushes(self->port, &events);
    downloads_set_watcher(self->downloads, &watcher);
    forget_begun(self);
}

struct downloads_offers *downloads_offers_new(struct loop *loop, struct downloads *downloads,
                                              struct data_port *port, const char *pushed,
                                              uint64_t quota_bytes)
{
    struct downloads_offers *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->downloads = downloads;
    self->port = port;
    self->quota_bytes = quota_bytes;
    self->offers = offers_new();
    offers_effects_init(&self->effects);
    if (!loop_add_ticker(loop, tick, self)) {
        downloads_offers_destroy(&self);
        return NULL;
    }
    begin(self, pushed);
    return self;
}

void downloads_offers_stop(struct downloads_offers *self)
{
    struct downloads_watcher no_watcher = {0};
    struct push_events no_events = {0};
    downloads_set_watcher(self->downloads, &no_watcher);
    data_port_accept_pushes(self->port, &no_events);
    loop_remove_ticker(self->loop, self);
    empty_files_destroy(&self->empty_files);
    while (self->pushings) {
        struct pushing *pushing = self->pushings;
        self->pushings = pushing->next;
        free(pushing);
    }
}

void downloads_offers_destroy(struct downloads_offers **self_p)
{
    struct downloads_offers *self = *self_p;
    if (!self)
        return;
    pushed_keeper_destroy(&self->landed);
    offers_effects_release(&self->effects);
    offers_destroy(&self->offers);
    free(self);
    *self_p = NULL;
}
