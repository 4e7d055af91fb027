/* SPDX-License-Identifier: MIT */
#include "messages/name.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/fetch/chunk_store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* A worker closes the partial file, or removes it: a large one takes its time. */
struct closing {
    struct job job;
    struct chunk_store *store;
    bool must_discard, is_done;
};

static void run_close(struct job *job)
{
    struct closing *self = (struct closing *)job;
    if (self->must_discard)
        chunk_store_discard(&self->store);
    chunk_store_close(&self->store);
}

/* When the workers end, they hand it back as it was. */
static void close_done(struct job *job)
{
    struct closing *self = (struct closing *)job;
    run_close(job);
    self->is_done = true;
}

static struct closing *closing_start(struct workers *workers, struct chunk_store *store, bool must_discard)
{
    struct closing *self = calloc(1, sizeof *self);
    assert(self);
    *self = (struct closing){
        .job = {.run = run_close, .done = close_done}, .store = store, .must_discard = must_discard};
    workers_put(workers, &self->job);
    return self;
}

/* What an earlier run left of a download that does not run now. */
struct discard_job {
    struct job job;
    bool has_run;
    const char *folder, *temp;
    char *name;
    struct file_id id;
    struct layout layout;
};

/* Another program may have it: then it stays. */
static void run_discard(struct job *job)
{
    struct discard_job *self = (struct discard_job *)job;
    char partial_name[PARTIAL_NAME_SIZE];
    struct chunk_store *store = NULL;
    self->has_run = true;
    chunk_store_partial_name(self->name, &self->id, partial_name);
    int temp_fd = open(self->temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (temp_fd < 0)
        return;
    if (faccessat(temp_fd, partial_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        chunk_store_open(self->folder, self->temp, self->name, &self->id, &self->layout, &store) == STORE_OK)
        chunk_store_discard(&store);
    close(temp_fd);
}

static void discard_done(struct job *job)
{
    struct discard_job *self = (struct discard_job *)job;
    if (!self->has_run)
        run_discard(job);
    free(self->name);
    free(self);
}

void downloads_discard_partial(const struct downloads *downloads, const struct file_entry *file)
{
    if (file->size > FILE_SIZE_MAX) /* it has none */
        return;
    struct discard_job *job = calloc(1, sizeof *job);
    assert(job);
    *job = (struct discard_job){.job = {.run = run_discard, .done = discard_done},
                                .folder = downloads->config.folder,
                                .temp = downloads->config.temp,
                                .name = text_copy(name_base(file->name)),
                                .id = file->id,
                                .layout = layout_of(file->size)};
    if (downloads->is_stopped) /* the workers may have ended */
        discard_done(&job->job);
    else
        workers_put(downloads->config.workers, &job->job);
}

bool runner_is_at_work(const struct runner *self)
{
    return self->is_hashing || (self->preparation && !self->preparation->is_done) ||
           (self->fetch && !fetch_is_idle(self->fetch)) || (self->closing && !self->closing->is_done);
}

void runner_tick_ending(struct runner *self, bool is_unlisted)
{
    struct chunk_store *store = NULL;
    if (self->is_over || runner_is_at_work(self))
        return;
    if (self->preparation) {
        store = self->preparation->store;
        self->preparation->store = NULL;
    } else if (self->fetch) {
        store = fetch_take_store(self->fetch);
    }
    bool is_published = self->has_outcome && self->outcome == FETCH_PUBLISHED;
    bool is_empty = !self->fetch && store && chunk_store_claims(store)->set_count == 0;
    if (store)
        self->closing =
            closing_start(self->downloads->config.workers, store, is_empty || (is_unlisted && !is_published));
    else
        self->is_over = true;
}

bool runner_is_over(const struct runner *self)
{
    return self->state == RUNNER_ENDING && self->is_over;
}

void runner_destroy(struct runner **self_p)
{
    struct runner *self = *self_p;
    if (!self)
        return;
    struct downloads *downloads = self->downloads;
    assert(self->state == RUNNER_ENDING);
    assert(!runner_is_at_work(self));
    fetch_destroy(&self->fetch);
    preparation_destroy(&self->preparation);
    /* It may have been cancelled since its partial file was closed, or just before the end. */
    if (!download_list_find(downloads->list, self->number))
        downloads_discard_partial(downloads, &self->file);
    free(self->closing);
    free((char *)(uintptr_t)self->file.name.bytes); /* a copy of ours */
    free(self->target);
    free(self);
    *self_p = NULL;
}
