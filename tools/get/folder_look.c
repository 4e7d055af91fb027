/* SPDX-License-Identifier: MIT */
#include "tools/get/folder_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Files of one job: some milliseconds, so that a signal is soon heard. */
#define LOOK_COUNT 256

struct look;

struct look_job {
    struct job job;
    struct look *look;
    size_t begin, count;
    enum landing_result results[LOOK_COUNT];
    int error_numbers[LOOK_COUNT];
};

struct look {
    struct folder *folder;
    size_t next;
    unsigned job_count;
    bool is_stopped;
};

static void run_look(struct job *job)
{
    struct look_job *self = (struct look_job *)job;
    const struct folder *folder = self->look->folder;
    struct landing landing;
    landing_init(&landing, folder->root_fd);
    for (size_t i = 0; i < self->count; i++) {
        const struct catalogue_file *file = catalogue_at(folder->gathered.catalogue, self->begin + i);
        struct landing_file about;
        if (!folder_is_small(file))
            continue;
        folder_describe(file, &about);
        self->results[i] = landing_look(&landing, &about);
        self->error_numbers[i] = errno;
    }
    landing_release(&landing);
}

static void take_result(struct folder *folder, struct catalogue_file *file, enum landing_result result,
                        int error_number)
{
    switch (result) {
    case LANDING_OK:
        folder_done(folder, file, 0, clock_now_ms());
        break;
    case LANDING_WRITTEN:
        file->state = FILE_WRITTEN;
        break;
    case LANDING_DIFFERENT:
        if (!folder->config->transfer->must_replace)
            folder_refuse(folder, file, "exists and is different: move it away, or replace it with --force");
        break;
    case LANDING_FAILED:
        folder_refuse(folder, file, strerror(error_number));
        break;
    case LANDING_MISSING:
    case LANDING_MISMATCH:
        break;
    }
}

static void put_next(struct look *self);

static void look_done(struct job *job)
{
    struct look_job *self = (struct look_job *)job;
    struct look *look = self->look;
    struct folder *folder = look->folder;
    look->job_count--;
    for (size_t i = 0; i < self->count && !look->is_stopped; i++) {
        struct catalogue_file *file = catalogue_at(folder->gathered.catalogue, self->begin + i);
        if (folder_is_small(file))
            take_result(folder, file, self->results[i], self->error_numbers[i]);
    }
    free(self);
    put_next(look);
    if (look->job_count == 0)
        loop_stop(transfers_loop(folder->transfers));
}

static void put_next(struct look *self)
{
    size_t left = catalogue_count(self->folder->gathered.catalogue) - self->next;
    if (left == 0 || self->is_stopped)
        return;
    struct look_job *job = calloc(1, sizeof *job);
    assert(job);
    job->job = (struct job){.run = run_look, .done = look_done};
    job->look = self;
    job->begin = self->next;
    job->count = left < LOOK_COUNT ? left : LOOK_COUNT;
    self->next += job->count;
    self->job_count++;
    workers_put(transfers_workers(self->folder->transfers), &job->job);
}

bool folder_look(struct folder *self)
{
    struct look look = {.folder = self};
    for (unsigned i = 0; i < 2 * workers_count(transfers_workers(self->transfers)); i++)
        put_next(&look);
    if (look.job_count > 0 && !transfers_run(self->transfers))
        look.is_stopped = true;
    bool is_done = !look.is_stopped;
    while (look.job_count > 0) /* their results are on our stack */
        transfers_run(self->transfers);
    return is_done;
}
