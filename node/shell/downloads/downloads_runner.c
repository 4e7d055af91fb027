/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a folder entry may be called. */
#define COMPONENT_SIZE_MAX 255

/* How often to look whether a file that landed was removed. */
#define LANDED_LOOK_MS 1000

/* How often the sources that were given are tried again: they may be back. A fetch knows those that it has.
 */
#define RETRY_MS 5000

/* A rate is what came in this time, and half of what it was before. */
#define SAMPLE_MS 500

#define REASON_SIZE 512

#define MIB (UINT64_C(1) << 20)

/* What a pushed file has to bring in DOWNLOADS_STARVED_MS to keep its slot when others wait: 2 MiB in 30 s
 * are 0.5 Mbit/s. */
#define PUSHED_BYTES_MIN (2 * MIB)

/* Ends. */

/* Takes back what others know of it. */
static void withdraw(struct runner *self)
{
    struct downloads *downloads = self->downloads;
    if (self->fetch && downloads->watcher.stopping && self->state == RUNNER_FETCHING)
        downloads->watcher.stopping(downloads->watcher.owner, self);
    source_search_destroy(&self->search);
    if (self->served != 0)
        partials_remove(downloads->config.partials, self->served);
    self->served = 0;
}

void runner_stop(struct runner *self)
{
    withdraw(self);
    if (self->fetch)
        fetch_stop(self->fetch);
    self->state = RUNNER_ENDING;
}

static void tell_ended(struct runner *self)
{
    struct downloads *downloads = self->downloads;
    const struct listed_download *item = download_list_find(downloads->list, self->number);
    if (item && downloads->watcher.ended)
        downloads->watcher.ended(downloads->watcher.owner, item);
    size_t count = downloads_count(downloads);
    for (size_t i = 0; i < count && downloads->events.ended; i++) {
        struct downloads_view view = downloads_at(downloads, i);
        if (view.number == self->number) {
            downloads->events.ended(downloads->events.owner, &view);
            break;
        }
    }
}

static void fail(struct runner *self, const char *reason)
{
    download_list_failed(self->downloads->list, self->number, reason);
    runner_stop(self);
    tell_ended(self);
}

static char *path_of_target(const struct runner *self)
{
    char *path = NULL;
    int size = asprintf(&path, "%s/%s", self->downloads->config.folder, self->target);
    assert(size >= 0);
    return path;
}

/* It is there, under its target: for the list, and for whoever is told. */
static void tell_done(struct runner *self)
{
    char *path = path_of_target(self);
    download_list_done(self->downloads->list, self->number, path);
    free(path);
    tell_ended(self);
}

/* Is it there already? */

static void on_hashed(void *owner, struct file_hash_result *result)
{
    struct runner *self = owner;
    self->is_hashing = false;
    if (self->state == RUNNER_ENDING)
        return; /* it was paused meanwhile */
    bool is_same = result->status == FILE_HASH_READY && result->stamp.size == self->file.size &&
                   hash_equal(&result->root, &self->file.root);
    if (!is_same) {
        self->look_number++;
        return;
    }
    char *name = name_numbered_entry(self->target, 0, self->look_number);
    if (self->look_number > 1) {
        free(self->target);
        self->target = name;
    } else {
        free(name);
    }
    runner_stop(self);
    tell_done(self);
}

/* A file of the same size. */
static void hash_existing(struct runner *self, int fd)
{
    struct workers *workers = self->downloads->config.workers;
    self->is_hashing = true;
    file_hash_start_open(workers, fd, workers_count(workers) + 1, on_hashed, self);
}

/* Landing. */

/* True when the share will have it. */
static bool tell_landed(struct runner *self)
{
    struct downloads *downloads = self->downloads;
    int fd = fetch_reader(self->fetch);
    if (fd < 0)
        return true; /* it finds it by itself */
    char *path = path_of_target(self);
    struct downloads_landing landing = {
        .path = path,
        .fd = fd,
        .root = self->file.root,
        .layer = fetch_layer(self->fetch),
        .layer_count = fetch_layout(self->fetch)->chunk_count,
    };
    bool is_in_share = downloads->events.landed(downloads->events.owner, &landing);
    close(fd);
    free(path);
    return is_in_share;
}

/* The fetch is over, but its descriptor and its layer serve on until the share has the file. */
static void land(struct runner *self, uint64_t now_ms)
{
    struct downloads *downloads = self->downloads;
    char *target = target_renamed(self->target, fetch_target(self->fetch));
    free(self->target);
    self->target = target;
    if (downloads->watcher.stopping)
        downloads->watcher.stopping(downloads->watcher.owner, self);
    source_search_destroy(&self->search);
    fetch_stop(self->fetch);
    self->state = RUNNER_LANDED;
    self->retry_ms = tell_landed(self) ? now_ms + DOWNLOADS_HELD_MS : now_ms;
    tell_done(self);
}

/* The user removed it before the share has seen it. */
static bool was_removed(const struct runner *self)
{
    struct stat status;
    int fd = fetch_reader(self->fetch);
    bool was_removed = fd >= 0 && fstat(fd, &status) == 0 && status.st_nlink == 0;
    if (fd >= 0)
        close(fd);
    return was_removed;
}

static void tick_landed(struct runner *self, uint64_t now_ms)
{
    struct holding holding;
    bool is_found =
        holdings_by_id(self->downloads->config.holdings, &self->file.id, &holding) == HOLDINGS_FOUND;
    bool is_shared = is_found && !holding.content.is_partial;
    bool must_look = now_ms - self->sampled_ms >= LANDED_LOOK_MS;
    if (must_look)
        self->sampled_ms = now_ms;
    if (is_shared || now_ms >= self->retry_ms || (must_look && was_removed(self)))
        runner_stop(self);
}

static void on_outcome(struct runner *self, uint64_t now_ms)
{
    char reason[REASON_SIZE];
    switch (self->outcome) {
    case FETCH_PUBLISHED:
        land(self, now_ms);
        return;
    case FETCH_EXISTS:
        snprintf(reason, sizeof reason, "%d files have this name already: move some away",
                 PUBLISH_NUMBER_MAX);
        break;
    case FETCH_DISK_FAILED:
        self->is_disk_full = self->error_number == ENOSPC || self->error_number == EDQUOT;
        snprintf(reason, sizeof reason, "cannot write in %s: %s", self->downloads->config.temp,
                 strerror(self->error_number));
        break;
    default:
        snprintf(reason, sizeof reason, "nothing came");
        break;
    }
    fail(self, reason);
}

/* Fetching. */

static void on_source(void *owner, uint32_t source)
{
    struct runner *self = owner;
    if (self->downloads->watcher.source)
        self->downloads->watcher.source(self->downloads->watcher.owner, self, source);
}

static void on_saved(void *owner, uint32_t chunk)
{
    struct runner *self = owner;
    if (self->served != 0)
        partials_saved(self->downloads->config.partials, self->served, chunk);
    if (self->downloads->watcher.saved)
        self->downloads->watcher.saved(self->downloads->watcher.owner, self, chunk);
}

static void on_kept(void *owner, struct blob bits)
{
    struct runner *self = owner;
    if (self->downloads->watcher.kept)
        self->downloads->watcher.kept(self->downloads->watcher.owner, self, bits);
}

static void on_unsaved(void *owner, uint32_t chunk)
{
    struct runner *self = owner;
    if (self->downloads->watcher.unsaved)
        self->downloads->watcher.unsaved(self->downloads->watcher.owner, self, chunk);
}

static void on_starved(void *owner)
{
    struct runner *self = owner;
    if (self->search)
        source_search_now(self->search, NULL, NULL);
}

/* Seen in the next tick: this is called from within the fetch. */
static void on_done(void *owner, enum fetch_outcome outcome, int error_number)
{
    struct runner *self = owner;
    self->has_outcome = true;
    self->outcome = outcome;
    self->error_number = error_number;
}

/* Bytes that the others are still going to write. */
static uint64_t reserved_bytes(const struct runner *self)
{
    uint64_t bytes = 0;
    for (const struct runner *runner = self->downloads->runners; runner; runner = runner->next) {
        if (runner != self && runner->state == RUNNER_FETCHING)
            bytes += runner->file.size - fetch_progress(runner->fetch).saved_bytes;
    }
    return bytes;
}

void runner_add_source(struct runner *self, const struct downloads_source *source)
{
    if (self->state == RUNNER_FETCHING)
        fetch_add_source(self->fetch, &source->node, &source->host, source->port);
}

static void add_given_sources(struct runner *self, const struct listed_download *item, uint64_t now_ms)
{
    self->retry_ms = now_ms + RETRY_MS;
    for (size_t i = 0; i < item->source_count; i++)
        runner_add_source(self, &item->sources[i]);
}

static void begin_fetching(struct runner *self, const struct listed_download *item)
{
    struct downloads *downloads = self->downloads;
    self->state = RUNNER_FETCHING;
    self->sampled_ms = clock_now_ms();
    self->served = partials_add(downloads->config.partials, self->fetch, &self->file);
    if (downloads->config.broker && !item->has_only_these)
        self->search =
            source_search_new(downloads->config.loop, downloads->config.broker, self->fetch, &self->file.id);
    add_given_sources(self, item, clock_now_ms());
    if (self->search && item->source_count == 0)
        source_search_now(self->search, NULL, NULL);
    if (downloads->watcher.started)
        downloads->watcher.started(downloads->watcher.owner, self);
    downloads->shared_out_ms = 0; /* with one more */
}

/* A stranger keeps a slot from others only while he brings something. */
static bool is_slow(struct runner *self, uint64_t saved_bytes)
{
    if (saved_bytes - self->marked_bytes < PUSHED_BYTES_MIN)
        return true;
    self->marked_bytes = saved_bytes;
    return false;
}

static void sample_rate(struct runner *self, uint64_t received_bytes, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - self->sampled_ms;
    if (passed_ms < SAMPLE_MS)
        return;
    uint64_t rate = (received_bytes - self->sampled_bytes) * 1000 / passed_ms;
    self->rate = self->rate == 0 ? rate : (self->rate + rate) / 2;
    self->sampled_ms = now_ms;
    self->sampled_bytes = received_bytes;
}

static void tick_fetching(struct runner *self, const struct listed_download *item, uint64_t now_ms)
{
    struct download_progress progress = fetch_progress(self->fetch);
    download_list_saved(self->downloads->list, self->number, progress.saved_bytes);
    bool is_starved = progress.ready_sources == 0 || (item->is_pushed && is_slow(self, progress.saved_bytes));
    download_list_starved(self->downloads->list, self->number, is_starved, now_ms);
    sample_rate(self, progress.received_bytes, now_ms);
    if (now_ms >= self->retry_ms)
        add_given_sources(self, item, now_ms);
}

static struct fetch_config fetch_config_of(const struct runner *self)
{
    const struct downloads_config *config = &self->downloads->config;
    const struct file_entry *file = &self->file;
    return (struct fetch_config){
        .download = {.id = file->id,
                     .root = file->root,
                     .size = file->size,
                     .budget_bytes = DOWNLOAD_BUDGET_MIN, /* until it gets its part */
                     .down_rate = config->down_rate,
                     .seed = random_u64(),
                     .node = {true, config->node},
                     .instance = config->instance,
                     .node_name = config->node_name,
                     .agent = config->agent},
        .folder = config->folder,
        .temp = config->temp,
        .attributes = {.has_mtime = file->has_mtime,
                       .mtime_ms = file->mtime_ms,
                       .is_executable = file->has_executable && file->is_executable},
        .must_number = true,
        .pipe_fd = -1,
    };
}

static void prepare(struct runner *self, bool must_look)
{
    struct preparation *preparation = calloc(1, sizeof *preparation);
    assert(preparation);
    *preparation = (struct preparation){.must_look = must_look,
                                        .look_number = self->look_number,
                                        .are_folders_good = self->downloads->are_folders_good,
                                        .target = text_copy(text_of(self->target)),
                                        .below = target_below(self->target),
                                        .name = text_copy(text_of(target_base(self->target))),
                                        .fetch = fetch_config_of(self)};
    preparation->fetch.below = preparation->below;
    preparation->fetch.name = preparation->name;
    self->preparation = preparation;
    preparation_start(preparation, self->downloads->config.workers);
}

static void fail_for_folders(struct runner *self, int error)
{
    const char *folder = self->downloads->config.folder, *temp = self->downloads->config.temp;
    char reason[REASON_SIZE];
    if (error == EXDEV)
        snprintf(reason, sizeof reason, "%s is not on the file system of %s: choose another --temp", temp,
                 folder);
    else
        snprintf(reason, sizeof reason, "cannot write in %s and %s: %s", temp, folder, strerror(error));
    fail(self, reason);
}

/* What the others are going to write is not free. */
static bool has_space(const struct runner *self, const struct preparation *preparation)
{
    uint64_t reserved = reserved_bytes(self), room = preparation->free_bytes;
    return reserved <= room && preparation->needed_bytes <= room - reserved;
}

static void fail_for_space(struct runner *self, const struct preparation *preparation)
{
    uint64_t reserved = reserved_bytes(self), room = preparation->free_bytes;
    room = room > reserved ? room - reserved : 0;
    char reason[REASON_SIZE];
    self->is_disk_full = true;
    snprintf(reason, sizeof reason, "no space in %s: %llu MiB are missing; free some, then resume it",
             self->downloads->config.temp,
             (unsigned long long)((preparation->needed_bytes - room + MIB - 1) / MIB));
    fail(self, reason);
}

static void begin(struct runner *self, const struct listed_download *item, struct preparation *preparation)
{
    const struct downloads_config *config = &self->downloads->config;
    if (!has_space(self, preparation)) {
        fail_for_space(self, preparation);
        return;
    }
    struct fetch_events events = {.owner = self,
                                  .source = on_source,
                                  .saved = on_saved,
                                  .kept = on_kept,
                                  .unsaved = on_unsaved,
                                  .starved = on_starved,
                                  .done = on_done};
    self->fetch =
        fetch_begin(config->loop, config->workers, &preparation->fetch, &events, &preparation->store);
    begin_fetching(self, item);
}

static void on_prepared(struct runner *self, const struct listed_download *item,
                        struct preparation *preparation, uint64_t now_ms)
{
    char reason[REASON_SIZE];
    if (preparation->same_fd >= 0) {
        self->look_number = preparation->look_number;
        hash_existing(self, preparation->same_fd);
        preparation->same_fd = -1;
        return;
    }
    self->downloads->are_folders_good = preparation->are_folders_good;
    if (!preparation->are_folders_good) {
        fail_for_folders(self, preparation->error);
        return;
    }
    switch (preparation->start) {
    case FETCH_STARTED:
        begin(self, item, preparation);
        break;
    case FETCH_LOCKED:
        self->state = RUNNER_LOCKED;
        self->look_number = 1; /* the other one may have ended with the file */
        self->retry_ms = now_ms + DOWNLOADS_LOCKED_MS;
        break;
    case FETCH_NO_SPACE:
        fail_for_space(self, preparation);
        break;
    case FETCH_REFUSED:
        snprintf(reason, sizeof reason, "cannot write in %s: %s", self->downloads->config.temp,
                 strerror(preparation->error));
        fail(self, reason);
        break;
    }
}

/* The whole of it. */

static void tick_looking(struct runner *self, const struct listed_download *item, uint64_t now_ms)
{
    struct preparation *preparation = self->preparation;
    if (self->is_hashing || (preparation && !preparation->is_done))
        return;
    if (!preparation) {
        /* A share that knows all its files would have known this one: no stranger makes us hash another
         * again. */
        prepare(self, !item->is_pushed || !holdings_is_settled(self->downloads->config.holdings));
        return;
    }
    on_prepared(self, item, preparation, now_ms);
    if (self->state == RUNNER_ENDING)
        return; /* with what it has opened */
    self->preparation = NULL;
    preparation_destroy(&preparation);
}

/* Why it can never land; NULL when it can. */
static const char *refusal(const struct file_entry *file)
{
    struct text base = name_base(file->name);
    if (file->size > FILE_SIZE_MAX)
        return "larger than any file that can be fetched";
    if (base.size > COMPONENT_SIZE_MAX)
        return "its name is too long for a folder: fetch it with zget -o";
    if (base.bytes[0] == '.')
        return "it would be a hidden file, which is not shared: fetch it with zget -o";
    return NULL;
}

/* Life. */

void runner_tick(struct runner *self, const struct listed_download *item, uint64_t now_ms)
{
    const char *reason;
    if (self->state == RUNNER_ENDING) {
        runner_tick_ending(self, !item);
        return;
    }
    if (self->state == RUNNER_LANDED) {
        tick_landed(self, now_ms);
        return;
    }
    if (self->has_outcome) {
        on_outcome(self, now_ms);
        return;
    }
    if (!item || item->state != DOWNLOADS_ACTIVE) {
        runner_stop(self);
        runner_tick_ending(self, !item);
        return;
    }
    if (self->state == RUNNER_FETCHING) {
        tick_fetching(self, item, now_ms);
    } else if ((reason = refusal(&self->file))) {
        fail(self, reason);
    } else if (self->state == RUNNER_LOOKING || now_ms >= self->retry_ms) {
        tick_looking(self, item, now_ms);
    }
}

uint64_t runner_next_deadline_ms(const struct runner *self)
{
    switch (self->state) {
    case RUNNER_LOCKED:
        return self->preparation || self->is_hashing ? UINT64_MAX : self->retry_ms;
    case RUNNER_ENDING:
        return runner_is_at_work(self) ? UINT64_MAX : clock_now_ms();
    case RUNNER_LANDED:
        return clock_now_ms() + LANDED_LOOK_MS;
    default:
        return UINT64_MAX;
    }
}

struct runner *runner_new(struct downloads *downloads, const struct listed_download *item)
{
    struct runner *self = calloc(1, sizeof *self);
    assert(self);
    self->downloads = downloads;
    self->number = item->number;
    self->state = RUNNER_LOOKING;
    self->has_slot = true;
    self->look_number = 1;
    self->file = item->file;
    self->file.name = (struct text){text_copy(item->file.name), item->file.name.size};
    self->target = text_copy(item->is_pushed ? self->file.name : name_base(self->file.name));
    return self;
}
