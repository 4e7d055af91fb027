/* SPDX-License-Identifier: MIT */
#include "tools/transfer.h"

#include "messages/name.h"
#include "messages/shell/loop.h"
#include "node/shell/chunk_store.h"
#include "node/shell/fetch.h"
#include "node/shell/file_hash.h"
#include "node/shell/swarm.h"
#include "tools/explain.h"
#include "tools/place.h"
#include "tools/progress.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT "zget/" ZSWARM_VERSION

/* How often to look whether another zget has let go of the file. */
#define LOCK_POLL_MS 200

/* A download that is over sooner has nothing to give to a swarm. */
#define SWARM_AFTER_MS 200

/* To find out whether the broker is this machine; it was resolved a moment ago. */
#define RESOLVE_MS 1000

struct transfers {
    struct output *output;
    const struct transfer_options *options;
    struct loop *loop;
    struct workers *workers;
    uint64_t instance;
    struct swarm *swarm; /* from the first download that lasts; NULL before, and without a broker */
    struct node_id node;
    char node_name[LABEL_SIZE_MAX + 1];
    bool is_interrupted;
    uint64_t wake_at_ms, swarm_at_ms;

    /* The file under way. */
    const struct target *target;
    char *folder, *name; /* NULL both for stdout */
    char *shown_folder;  /* as people know it */
    struct tally *tally; /* NULL for a file on its own */
    struct fetch *fetch;
    struct progress *progress;
    struct explain explain;
    bool is_ended;
    enum fetch_outcome outcome;
    int error_number;
    struct file_hash_result existing;
    int seed_fds[FETCH_SEEDS_MAX]; /* other versions of the file, whose chunks may fit */
    size_t seed_count;
};

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
            .agent = AGENT,
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

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct transfers *self = owner;
    if (now_ms >= self->wake_at_ms) {
        loop_stop(self->loop);
        return UINT64_MAX;
    }
    if (!self->fetch || self->is_ended)
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

static void run_loop(struct transfers *self)
{
    if (loop_run(self->loop) != 0)
        self->is_interrupted = true;
}

/* What is there already. */

static void on_hashed(void *owner, struct file_hash_result *result)
{
    struct transfers *self = owner;
    self->existing = *result;
    loop_stop(self->loop);
}

static bool is_identical(struct transfers *self, int fd)
{
    file_hash_start_open(self->workers, fd, workers_count(self->workers) + 1, on_hashed, self);
    run_loop(self);
    return self->existing.status == FILE_HASH_READY && self->existing.stamp.size == self->target->size &&
           hash_equal(&self->existing.root, &self->target->root);
}

enum existing {
    EXISTING_NONE, /* or it may be replaced */
    EXISTING_SAME,
    EXISTING_DIFFERENT, /* told */
};

static enum existing check_existing(struct transfers *self)
{
    if (!self->name)
        return EXISTING_NONE;
    int folder_fd = open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;
    bool exists = folder_fd >= 0 && fstatat(folder_fd, self->name, &status, 0) == 0;
    int fd = -1;
    if (exists && S_ISREG(status.st_mode) && (uint64_t)status.st_size == self->target->size)
        fd = openat(folder_fd, self->name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (folder_fd >= 0)
        close(folder_fd);
    if (!exists)
        return EXISTING_NONE;
    if (fd >= 0 && is_identical(self, fd))
        return EXISTING_SAME;
    if (self->is_interrupted || (self->options->must_replace && S_ISREG(status.st_mode)))
        return EXISTING_NONE;
    output_error(self->output, "%s/%s exists and is different: move it away, or replace it with --force",
                 self->shown_folder, self->name);
    return EXISTING_DIFFERENT;
}

static void add_seed(struct transfers *self, int fd)
{
    struct stat status;
    if (fd >= 0 && self->seed_count < FETCH_SEEDS_MAX && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        self->seed_fds[self->seed_count++] = fd;
    else if (fd >= 0)
        close(fd);
}

static void close_seeds(struct transfers *self)
{
    while (self->seed_count > 0)
        close(self->seed_fds[--self->seed_count]);
}

/* The file named by --seed-from, and the one that is about to be replaced. */
static bool open_seeds(struct transfers *self)
{
    const char *path = self->options->seed_from;
    if (path) {
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0) {
            output_error(self->output, "cannot read %s: %s; name a file to read with --seed-from", path,
                         strerror(errno));
            return false;
        }
        add_seed(self, fd);
    }
    if (self->name && self->options->must_replace) {
        int folder_fd = open(self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder_fd >= 0) {
            add_seed(self, openat(folder_fd, self->name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
            close(folder_fd);
        }
    }
    return true;
}

static void on_other_partial(void *owner, int folder_fd, const char *partial_name)
{
    struct transfers *self = owner;
    if (!self->options->must_discard)
        add_seed(self, openat(folder_fd, partial_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!self->options->must_discard)
        output_note(self->output, "%s/%s is a part of another file of this name: --discard removes it",
                    self->shown_folder, partial_name);
    else if (unlinkat(folder_fd, partial_name, 0) == 0)
        output_note(self->output, "removed %s/%s", self->shown_folder, partial_name);
    else
        output_note(self->output, "cannot remove %s/%s: %s", self->shown_folder, partial_name,
                    strerror(errno));
}

/* Events of the fetch. */

static void on_source(void *owner, uint32_t source)
{
    struct transfers *self = owner;
    struct download_source about = fetch_source_at(self->fetch, source);
    progress_source(self->progress, &about);
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

/* Sleeps in the loop, so that a signal ends it. */
static void wait_in_loop(struct transfers *self, uint64_t ms)
{
    self->wake_at_ms = clock_now_ms() + ms;
    run_loop(self);
    self->wake_at_ms = UINT64_MAX;
}

static void tell_start_failed(struct transfers *self, enum fetch_start start, int error, uint64_t needed,
                              uint64_t room)
{
    const char *where = self->name ? self->shown_folder : "the temporary folder";
    if (start == FETCH_NO_SPACE)
        output_error(self->output,
                     "no space in %s: %llu bytes are missing; free some or choose another folder with -d",
                     where, (unsigned long long)(needed - room));
    else
        output_error(self->output, "cannot write in %s: %s; choose another folder with -d", where,
                     strerror(error));
}

/* Starts the fetch, waiting for another zget that has the file. False after an error that was told, or a
 * signal. */
static bool start_fetch(struct transfers *self)
{
    struct fetch_config config = {
        .download = {.id = self->target->id,
                     .root = self->target->root,
                     .size = self->target->size,
                     .is_in_order = self->options->is_in_order || !self->name,
                     .timeout_ms = self->options->timeout_ms,
                     .down_rate = self->options->down_rate,
                     .seed = random_u64(),
                     .node = {true, self->node},
                     .instance = self->instance,
                     .node_name = self->node_name,
                     .agent = AGENT},
        .folder = self->folder,
        .name = self->name,
        .attributes = self->target->attributes,
        .must_replace = self->options->must_replace,
        .pipe_fd = self->name ? -1 : STDOUT_FILENO,
        .seed_fds = self->seed_fds,
        .seed_count = self->seed_count,
    };
    struct fetch_events events = {
        .owner = self, .source = on_source, .saved = on_saved, .starved = on_starved, .done = on_done};
    bool was_told = false;
    uint64_t needed = 0, room = 0;
    while (!self->is_interrupted) {
        enum fetch_start start =
            fetch_new(self->loop, self->workers, &config, &events, &self->fetch, &needed, &room);
        int error = errno;
        if (start == FETCH_STARTED)
            return true;
        if (start != FETCH_LOCKED) {
            tell_start_failed(self, start, error, needed, room);
            return false;
        }
        if (!was_told)
            output_note(self->output, "another zget is fetching %s: waiting for it", self->name);
        was_told = true;
        wait_in_loop(self, LOCK_POLL_MS);
        enum existing existing = self->is_interrupted ? EXISTING_NONE : check_existing(self);
        if (existing != EXISTING_NONE) /* the other one has finished */
            return existing == EXISTING_SAME;
    }
    return false;
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

static void tell_outcome(struct transfers *self)
{
    const char *name = self->name ? self->name : self->target->name;
    if (self->is_interrupted && !self->is_ended) {
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: interrupted; the same command goes on", name);
        return;
    }
    switch (self->outcome) {
    case FETCH_PUBLISHED:
        break;
    case FETCH_EXISTS:
        output_error(self->output,
                     "%s/%s was made by another program meanwhile: move it away and run zget again",
                     self->shown_folder, name);
        break;
    case FETCH_STARVED:
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: no source is left; what came is kept, and the same command goes on",
                      name);
        break;
    case FETCH_TIMED_OUT:
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: %s for %llu s; what came is kept, and the same command goes on",
                      name, fetch_is_starved(self->fetch) ? "no source was left" : "nothing came",
                      (unsigned long long)(self->options->timeout_ms + 999) / 1000);
        break;
    case FETCH_DISK_FAILED:
        output_error(self->output, "%s: cannot write: %s; what came is kept", name,
                     strerror(self->error_number));
        break;
    }
}

static void run_fetch(struct transfers *self)
{
    const struct target *target = self->target;
    if (!start_fetch(self)) {
        if (self->is_interrupted)
            tell_outcome(self);
        return;
    }
    if (!self->fetch) { /* another zget did it */
        progress_same(self->progress);
        return;
    }
    struct download_progress figures = fetch_progress(self->fetch);
    progress_start(self->progress, fetch_layout(self->fetch), figures.saved_bytes, clock_now_ms());
    explain_begin(&self->explain, clock_now_ms());
    for (size_t i = 0; i < target->source_count; i++) {
        const struct target_source *source = &target->sources[i];
        fetch_add_source(self->fetch, &source->node, &source->host, source->port);
    }
    if (target->source_count == 0)
        fetch_give_up(self->fetch);
    if (self->options->broker)
        self->swarm_at_ms = clock_now_ms() + SWARM_AFTER_MS;
    if (!self->is_ended)
        run_loop(self);
    figures = fetch_progress(self->fetch);
    bool is_done = self->is_ended && self->outcome == FETCH_PUBLISHED;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        struct download_source source = fetch_source_at(self->fetch, i);
        progress_total(self->progress, &source);
    }
    progress_end(self->progress, &figures, is_done, clock_now_ms());
    if (self->options->is_explained)
        explain_print(&self->explain, self->fetch, self->output);
    tell_outcome(self);
    end_fetch(self);
}

/* Folder and name are chosen. */
static void fetch_one(struct transfers *self, const struct target *target, struct tally *tally)
{
    struct progress_file file = {target->id,   target->root,       target->size,
                                 target->name, self->shown_folder, self->name};
    self->target = target;
    self->tally = tally;
    self->is_ended = false;
    self->outcome = FETCH_PUBLISHED;
    self->progress = progress_new(self->output, &file, self->options->is_quiet, tally);
    if (self->name)
        chunk_store_find_others(self->folder, self->name, &target->id, self, on_other_partial);
    enum existing existing = check_existing(self);
    if (existing == EXISTING_SAME)
        progress_same(self->progress);
    else if (existing == EXISTING_NONE && !self->is_interrupted && open_seeds(self))
        run_fetch(self);
    close_seeds(self);
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
        return true;
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

void transfers_fetch_below(struct transfers *self, const struct target *target, int folder_fd,
                           const char *shown_folder, struct tally *tally)
{
    if (!is_fetchable(self, target))
        return;
    /* Everything below opens folders by path, and only this one cannot be swapped for another. */
    int rc = asprintf(&self->folder, "/proc/self/fd/%d", folder_fd);
    assert(rc >= 0);
    self->shown_folder = strdup(shown_folder);
    self->name = text_copy(name_base(text_of(target->name)));
    assert(self->shown_folder);
    fetch_one(self, target, tally);
    forget_target(self);
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
    run_loop(self);
    return !self->is_interrupted;
}

void transfers_rest(struct transfers *self)
{
    wait_in_loop(self, 1);
}
