/* SPDX-License-Identifier: MIT */
#include "tools/get/transfer_private.h"

#include "messages/name.h"
#include "tools/get/place.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A download that is over sooner has nothing to give to a swarm. */
#define SWARM_AFTER_MS 200

/* To find out whether the broker is this machine; it was resolved a moment ago. */
#define RESOLVE_MS 1000

static void on_workers(void *owner)
{
    workers_collect(owner);
}

static void join_swarm(struct transfers *self)
{
    const struct target *target = self->target;
    if (!self->swarm) {
        struct address_list addresses;
        bool is_local = !endpoint_resolve(self->options->broker, RESOLVE_MS, &addresses) &&
                        host_is_loopback(&addresses.entries[0].host);
        struct swarm_config config = {
            .broker_host = self->options->broker->host,
            .broker_port = self->options->broker->port,
            .node = self->node,
            .instance = self->instance,
            .node_name = self->node_name,
            .agent = TRANSFER_AGENT,
            .up_rate = self->options->up_rate,
            .is_serving = !self->options->is_not_serving,
            .is_local = is_local,
        };
        self->swarm = swarm_new(self->loop, self->workers, &config);
    }
    struct file_entry file = {
        .id = target->id, .root = target->root, .size = target->size, .name = text_of(target->name)};
    swarm_follow(self->swarm, self->fetch, &file);
}

static void on_starved(void *owner);

/* A download takes so many sources at once; the others get a turn when some have left. */
static void fill_vacancies(struct transfers *self)
{
    const struct target *target = self->target;
    bool was_starved = self->is_starved;
    self->is_starved = false;
    if (was_starved)
        self->vacancy_count = DOWNLOAD_SOURCES_MAX;
    /* An address that cannot be used takes no place. */
    while (self->next_source < target->source_count &&
           (self->vacancy_count > 0 || fetch_is_starved(self->fetch))) {
        const struct target_source *source = &target->sources[self->next_source++];
        fetch_add_source(self->fetch, &source->node, &source->host, source->port);
        self->vacancy_count -= self->vacancy_count > 0;
    }
    if (was_starved && fetch_is_starved(self->fetch))
        on_starved(self);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct transfers *self = owner;
    if (now_ms >= self->wake_at_ms) {
        loop_stop(self->loop);
        return UINT64_MAX;
    }
    if (!self->fetch || self->is_ended)
        return self->wake_at_ms;
    fill_vacancies(self);
    if (self->is_ended)
        return self->wake_at_ms;
    struct download_progress figures = fetch_progress(self->fetch);
    uint64_t next_ms = progress_show(self->progress, &figures, now_ms);
    if (self->options->is_explained) {
        uint64_t sample_ms = explain_sample(&self->explain, self->fetch, now_ms);
        next_ms = next_ms < sample_ms ? next_ms : sample_ms;
    }
    if (now_ms >= self->swarm_at_ms) {
        self->swarm_at_ms = UINT64_MAX;
        join_swarm(self);
    }
    next_ms = next_ms < self->swarm_at_ms ? next_ms : self->swarm_at_ms;
    return next_ms < self->wake_at_ms ? next_ms : self->wake_at_ms;
}

/* How others see a download that serves. */
static void choose_node_name(struct transfers *self)
{
    char host[256];
    if (gethostname(host, sizeof host) != 0 || !text_is_clean(text_of(host)))
        host[0] = '\0';
    snprintf(self->node_name, sizeof self->node_name, "zget-%.48s", host);
}

struct transfers *transfers_new(struct output *output, const struct transfer_options *options)
{
    struct transfers *self = calloc(1, sizeof *self);
    assert(self);
    self->output = output;
    self->options = options;
    self->instance = random_u64();
    random_bytes(self->node.bytes, sizeof self->node.bytes);
    choose_node_name(self);
    self->swarm_at_ms = UINT64_MAX;
    self->wake_at_ms = UINT64_MAX;
    self->loop = loop_new();
    self->workers = workers_new(workers_default_count() + 1); /* one may be waiting for the disk */
    if (self->loop && self->workers &&
        loop_add_fd(self->loop, workers_fd(self->workers), on_workers, self->workers) &&
        loop_add_ticker(self->loop, on_tick, self))
        return self;
    output_error(output, "cannot start threads: %s; raise the limits with ulimit -u and -n", strerror(errno));
    transfers_destroy(&self);
    return NULL;
}

void transfers_destroy(struct transfers **self_p)
{
    struct transfers *self = *self_p;
    if (!self)
        return;
    if (self->swarm)
        swarm_stop(self->swarm);
    workers_destroy(&self->workers);
    swarm_destroy(&self->swarm);
    loop_destroy(&self->loop);
    free(self);
    *self_p = NULL;
}

bool transfers_is_interrupted(const struct transfers *self)
{
    return self->is_interrupted;
}

/* Events of the fetch. */

static void on_source(void *owner, uint32_t source)
{
    struct transfers *self = owner;
    struct download_source about = fetch_source_at(self->fetch, source);
    progress_source(self->progress, &about);
    self->vacancy_count += about.state == SOURCE_LEFT || about.state == SOURCE_BANNED;
}

static void on_saved(void *owner, uint32_t chunk)
{
    struct transfers *self = owner;
    if (self->swarm)
        swarm_saved(self->swarm, chunk);
}

/* Sources that have delivered may be back before the timeout: the swarm goes on looking for them. */
static void on_nothing_found(void *owner)
{
    struct transfers *self = owner;
    struct download_progress figures = fetch_progress(self->fetch);
    if (!self->options->broker || figures.received_bytes == figures.wasted_bytes)
        fetch_give_up(self->fetch);
}

static void on_starved(void *owner)
{
    struct transfers *self = owner;
    self->is_starved = self->next_source < self->target->source_count;
    if (self->is_starved)
        return; /* the next tick adds more */
    if (!self->swarm || !swarm_search_now(self->swarm, on_nothing_found, self))
        on_nothing_found(self);
}

static void on_done(void *owner, enum fetch_outcome outcome, int error_number)
{
    struct transfers *self = owner;
    self->is_ended = true;
    self->outcome = outcome;
    self->error_number = error_number;
    loop_stop(self->loop);
}

/* Lets everything that runs on the workers come back, so that the fetch can be freed. */
static void end_fetch(struct transfers *self)
{
    self->swarm_at_ms = UINT64_MAX;
    if (self->swarm)
        swarm_unfollow(self->swarm);
    fetch_stop(self->fetch);
    while (!fetch_is_idle(self->fetch)) {
        self->wake_at_ms = clock_now_ms() + 1;
        loop_run(self->loop);
    }
    self->wake_at_ms = UINT64_MAX;
    fetch_destroy(&self->fetch);
}

static void run_fetch(struct transfers *self)
{
    const struct target *target = self->target;
    struct fetch_events events = {
        .owner = self, .source = on_source, .saved = on_saved, .starved = on_starved, .done = on_done};
    if (!transfer_start(self, &events)) {
        if (self->is_interrupted)
            transfer_tell_outcome(self);
        return;
    }
    if (!self->fetch) { /* another zget did it */
        progress_same(self->progress);
        return;
    }
    struct download_progress figures = fetch_progress(self->fetch);
    progress_start(self->progress, fetch_layout(self->fetch), figures.saved_bytes, clock_now_ms());
    explain_begin(&self->explain, clock_now_ms());
    self->vacancy_count = DOWNLOAD_SOURCES_MAX;
    fill_vacancies(self);
    if (target->source_count == 0)
        fetch_give_up(self->fetch);
    if (self->options->broker)
        self->swarm_at_ms = clock_now_ms() + SWARM_AFTER_MS;
    if (!self->is_ended)
        transfers_run(self);
    figures = fetch_progress(self->fetch);
    bool is_done = self->is_ended && self->outcome == FETCH_PUBLISHED;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        struct download_source source = fetch_source_at(self->fetch, i);
        progress_total(self->progress, &source);
    }
    progress_end(self->progress, &figures, is_done, clock_now_ms());
    if (self->options->is_explained)
        explain_print(&self->explain, self->fetch, self->output);
    transfer_tell_outcome(self);
    end_fetch(self);
}

/* The part of the file that is wanted. False after an error that was told. */
static bool choose_range(struct transfers *self, const struct target *target)
{
    const struct option_span *range = &self->options->range;
    self->range_begin = 0;
    self->range_end = target->size;
    if (!range->is_given)
        return true;
    if (range->first >= target->size) {
        output_error(self->output, "%s ends after %llu bytes, and --range begins behind that: count from 0",
                     target->name, (unsigned long long)target->size);
        return false;
    }
    self->range_begin = range->first;
    if (range->last < target->size)
        self->range_end = range->last + 1;
    return true;
}

/* Folder and name are chosen. */
static void fetch_one(struct transfers *self, const struct target *target, struct tally *tally)
{
    struct progress_file file = {
        .id = target->id,
        .root = target->root,
        .size = target->size,
        .wire_name = target->name,
        .folder = self->shown_folder,
        .name = self->name,
        .is_range = self->options->range.is_given,
        .begin = self->range_begin,
        .end = self->range_end,
    };
    self->target = target;
    self->tally = tally;
    self->is_ended = self->is_starved = false;
    self->next_source = 0;
    self->outcome = FETCH_PUBLISHED;
    self->progress = progress_new(self->output, &file, self->options->is_quiet, tally);
    const struct site site = transfer_site(self);
    seeds_take_partials(&self->seeds, &site);
    enum existing existing = existing_check(&site);
    if (existing == EXISTING_SAME)
        progress_same(self->progress);
    else if (self->is_interrupted)
        transfer_tell_outcome(self);
    else if (existing == EXISTING_NONE && seeds_open(&self->seeds, &site))
        run_fetch(self);
    seeds_close(&self->seeds);
    progress_destroy(&self->progress);
}

static void forget_target(struct transfers *self)
{
    free(self->folder);
    free(self->shown_folder);
    free(self->name);
    self->folder = self->shown_folder = self->name = NULL;
}

static bool is_fetchable(struct transfers *self, const struct target *target)
{
    if (target->size <= FILE_SIZE_MAX)
        return choose_range(self, target);
    output_error(self->output, "%s is larger than any file that zget can fetch", target->name);
    return false;
}

void transfers_fetch(struct transfers *self, const char *text, const struct target *target)
{
    if (!is_fetchable(self, target))
        return;
    const char *output = self->options->output;
    if (output && strcmp(output, "-") == 0) {
        fetch_one(self, target, NULL);
    } else if (place_choose(self->output, self->options->folder, output, target->name, text, &self->folder,
                            &self->name)) {
        self->shown_folder = strdup(self->folder);
        fetch_one(self, target, NULL);
    }
    forget_target(self);
}

bool transfers_fetch_below(struct transfers *self, const struct target *target, int folder_fd,
                           const char *shown_folder, struct tally *tally)
{
    if (!is_fetchable(self, target))
        return true;
    /* Everything below opens folders by path, and only this one cannot be swapped for another. */
    int rc = asprintf(&self->folder, "/proc/self/fd/%d", folder_fd);
    assert(rc >= 0);
    self->shown_folder = strdup(shown_folder);
    self->name = text_copy(name_base(text_of(target->name)));
    assert(self->shown_folder);
    fetch_one(self, target, tally);
    forget_target(self);
    return !self->is_ended || self->outcome == FETCH_PUBLISHED || self->outcome == FETCH_EXISTS;
}

struct loop *transfers_loop(struct transfers *self)
{
    return self->loop;
}

struct workers *transfers_workers(struct transfers *self)
{
    return self->workers;
}

bool transfers_run(struct transfers *self)
{
    if (loop_run(self->loop) != 0)
        self->is_interrupted = true;
    return !self->is_interrupted;
}

void transfers_rest(struct transfers *self)
{
    transfer_wait(self, 1);
}
