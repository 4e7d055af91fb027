/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/bundle_fetch_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Payloads of one job; what comes while one is under way is the next. */
#define STORE_COUNT_MAX 64

/* A batch is synced when it has so many files, or its first has waited so long. */
#define SYNC_COUNT   4096
#define SYNC_WAIT_MS 2000

static void put(struct bundle_fetch *self, struct job *job)
{
    self->job_count++;
    workers_put(self->workers, job);
}

/* Payloads that came in, to be checked and written. */
struct store_item {
    uint32_t ticket, number;
    struct landing_file file;
    zmq_msg_t payload;
    enum landing_result result;
    int error_number;
};

struct store_job {
    struct job job;
    struct store_job *next;
    struct bundle_fetch *fetch;
    struct store_line *line;
    struct store_item items[STORE_COUNT_MAX];
    size_t count;
};

static void run_store(struct job *job)
{
    struct store_job *self = (struct store_job *)job;
    struct landing landing;
    landing_init(&landing, self->fetch->root_fd);
    for (size_t i = 0; i < self->count; i++) {
        struct store_item *item = &self->items[i];
        item->result = landing_write(&landing, &item->file, zmq_msg_data(&item->payload));
        item->error_number = errno;
        zmq_msg_close(&item->payload);
        zmq_msg_init(&item->payload);
    }
    landing_release(&landing);
}

/* What stands in the way of every further file. */
static bool is_end_of_disk(int error_number)
{
    return error_number == ENOSPC || error_number == EDQUOT || error_number == EIO || error_number == EROFS ||
           error_number == ECANCELED;
}

static void on_stored(struct bundle_fetch *fetch, const struct store_item *item, uint64_t now_ms)
{
    if (item->result == LANDING_OK) {
        if (fetch->written.count == 0)
            fetch->written_at_ms = now_ms;
        file_numbers_add(&fetch->written, item->number);
        bundle_fetch_stored(fetch, item->ticket, BUNDLE_STORED_OK);
    } else if (item->result == LANDING_MISMATCH) {
        bundle_fetch_stored(fetch, item->ticket, BUNDLE_STORED_MISMATCH);
    } else if (is_end_of_disk(item->error_number)) {
        bundle_fetch_finish(fetch, BUNDLE_FETCH_DISK_FAILED, item->error_number);
    } else {
        fetch->events.file(fetch->events.owner, item->number, BUNDLE_FETCH_UNWRITTEN, item->error_number);
        bundle_fetch_stored(fetch, item->ticket, BUNDLE_STORED_REFUSED);
    }
}

static void store_done(struct job *job)
{
    struct store_job *self = (struct store_job *)job;
    struct bundle_fetch *fetch = self->fetch;
    fetch->job_count--;
    self->line->is_storing = false;
    if (!fetch->is_stopped)
        bundle_store_flush(fetch);
    uint64_t now_ms = clock_now_ms();
    for (size_t i = 0; i < self->count; i++) {
        zmq_msg_close(&self->items[i].payload);
        if (!fetch->is_stopped && !fetch->is_finished)
            on_stored(fetch, &self->items[i], now_ms);
    }
    free(self);
}

static struct store_line *line_of(struct bundle_fetch *self, const char *path)
{
    const char *slash = strrchr(path, '/');
    uint32_t sum = 0;
    for (const char *at = path; slash && at < slash; at++)
        sum = sum * 31 + (uint8_t)*at;
    return &self->store_lines[sum % STORE_LINES_MAX];
}

/* The job that a payload joins. */
static struct store_job *job_to_fill(struct bundle_fetch *self, struct store_line *line)
{
    if (line->last && line->last->count < STORE_COUNT_MAX)
        return line->last;
    struct store_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_store, .done = store_done};
    job->fetch = self;
    job->line = line;
    *(line->last ? &line->last->next : &line->first) = job;
    line->last = job;
    return job;
}

void bundle_store(struct bundle_fetch *self, uint32_t ticket, uint32_t number, zmq_msg_t *payload)
{
    struct landing_file file;
    self->events.describe(self->events.owner, number, &file);
    struct store_job *job = job_to_fill(self, line_of(self, file.path));
    struct store_item *item = &job->items[job->count++];
    item->ticket = ticket;
    item->number = number;
    item->file = file;
    item->result = LANDING_FAILED; /* until it ran */
    item->error_number = ECANCELED;
    zmq_msg_init(&item->payload);
    if (payload)
        zmq_msg_move(&item->payload, payload);
}

void bundle_store_flush(struct bundle_fetch *self)
{
    for (size_t i = 0; i < STORE_LINES_MAX; i++) {
        struct store_line *line = &self->store_lines[i];
        struct store_job *job = line->first;
        if (!job || line->is_storing)
            continue;
        line->first = job->next;
        if (!line->first)
            line->last = NULL;
        line->is_storing = true;
        put(self, &job->job);
    }
}

static void drop_line(struct store_line *line)
{
    struct store_job *next;
    for (struct store_job *job = line->first; job; job = next) {
        next = job->next;
        for (size_t i = 0; i < job->count; i++)
            zmq_msg_close(&job->items[i].payload);
        free(job);
    }
    line->first = line->last = NULL;
}

void bundle_store_drop(struct bundle_fetch *self)
{
    for (size_t i = 0; i < STORE_LINES_MAX; i++)
        drop_line(&self->store_lines[i]);
}

/* One batch: what was written is synced and named; what was named before is synced with it. */
struct sync_item {
    uint32_t number;
    struct landing_file file;
    enum landing_result result;
    int error_number;
};

struct sync_job {
    struct job job;
    struct bundle_fetch *fetch;
    int error_number; /* of the sync */
    size_t count;
    struct sync_item items[];
};

static void run_sync(struct job *job)
{
    struct sync_job *self = (struct sync_job *)job;
    self->error_number = syncfs(self->fetch->root_fd) == 0 ? 0 : errno;
    if (self->error_number)
        return; /* nothing gets a name that may stand for less than its bytes */
    struct landing landing;
    landing_init(&landing, self->fetch->root_fd);
    for (size_t i = 0; i < self->count; i++) {
        self->items[i].result = landing_publish(&landing, &self->items[i].file, self->fetch->must_replace);
        self->items[i].error_number = errno;
    }
    landing_release(&landing);
}

static void tell_named(struct bundle_fetch *fetch)
{
    for (size_t i = 0; i < fetch->named.count; i++)
        fetch->events.file(fetch->events.owner, fetch->named.items[i], BUNDLE_FETCH_PUBLISHED, 0);
    fetch->named.count = 0;
}

static void sync_done(struct job *job)
{
    struct sync_job *self = (struct sync_job *)job;
    struct bundle_fetch *fetch = self->fetch;
    fetch->job_count--;
    fetch->is_syncing = false;
    bool is_wanted = !fetch->is_stopped && !fetch->is_finished;
    if (is_wanted && self->error_number) {
        bundle_fetch_finish(fetch, BUNDLE_FETCH_DISK_FAILED, self->error_number);
    } else if (is_wanted) {
        tell_named(fetch);
        for (size_t i = 0; i < self->count; i++) {
            const struct sync_item *item = &self->items[i];
            if (item->result == LANDING_OK)
                file_numbers_add(&fetch->named, item->number);
            else
                fetch->events.file(fetch->events.owner, item->number,
                                   item->result == LANDING_DIFFERENT ? BUNDLE_FETCH_EXISTS
                                                                     : BUNDLE_FETCH_UNWRITTEN,
                                   item->error_number);
        }
    }
    free(self);
}

static void start_sync(struct bundle_fetch *self)
{
    size_t count = self->written.count;
    struct sync_job *job = calloc(1, sizeof *job + count * sizeof job->items[0]);
    assert(job);
    job->job = (struct job){.run = run_sync, .done = sync_done};
    job->fetch = self;
    job->error_number = ECANCELED; /* until it ran */
    job->count = count;
    for (size_t i = 0; i < count; i++) {
        job->items[i].number = self->written.items[i];
        self->events.describe(self->events.owner, job->items[i].number, &job->items[i].file);
    }
    self->written.count = 0;
    self->is_syncing = true;
    put(self, &job->job);
}

uint64_t bundle_sync(struct bundle_fetch *self, uint64_t now_ms)
{
    if (self->is_syncing || self->is_finished)
        return UINT64_MAX;
    bool is_last = self->is_complete && (self->written.count > 0 || self->named.count > 0);
    bool is_due = self->written.count > 0 && now_ms >= self->written_at_ms + SYNC_WAIT_MS;
    if (is_last || is_due || self->written.count >= SYNC_COUNT)
        start_sync(self);
    else if (self->is_complete)
        bundle_fetch_finish(self, BUNDLE_FETCH_ENDED, 0);
    else if (self->written.count > 0)
        return self->written_at_ms + SYNC_WAIT_MS;
    return UINT64_MAX;
}
