/* SPDX-License-Identifier: MIT */
#include "node/shell/downloads/empty_files.h"

#include "messages/shell/loop.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/folders.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* One that is being made. */
struct making {
    struct job job;
    struct empty_files *files; /* NULL: nobody waits for it */
    struct file_id id;
    char *folder, *target; /* copies */
    int error;
    char *made; /* the target that it got; NULL when it did not, or its turn did not come */
};

struct empty_files {
    struct empty_files_config config;
    struct making *making; /* NULL: none */
    char *last;
    uint64_t last_ms;
};

static void run_make(struct job *job)
{
    struct making *self = (struct making *)job;
    bool is_folder = folders_make_one(self->folder, 0777); /* it is made on demand */
    self->error = is_folder ? target_make_empty(self->folder, self->target, &self->made) : errno;
}

static void tell(struct empty_files *self, struct making *making)
{
    self->making = NULL;
    if (making->made) {
        free(self->last);
        self->last = text_copy(text_of(making->made));
        self->last_ms = clock_now_ms();
        self->config.made(self->config.owner, &making->id, self->last);
    } else if (making->error) {
        self->config.failed(self->config.owner, &making->id, making->error);
    }
}

static void make_done(struct job *job)
{
    struct making *self = (struct making *)job;
    if (self->files)
        tell(self->files, self);
    free(self->folder);
    free(self->target);
    free(self->made);
    free(self);
}

void empty_files_make(struct empty_files *self, const struct file_entry *file)
{
    if (self->making)
        return;
    self->making = calloc(1, sizeof *self->making);
    assert(self->making);
    *self->making = (struct making){.job = {.run = run_make, .done = make_done},
                                    .files = self,
                                    .id = file->id,
                                    .folder = text_copy(text_of(self->config.folder)),
                                    .target = text_copy(file->name)};
    workers_put(self->config.workers, &self->making->job);
}

const char *empty_files_last(const struct empty_files *self, uint64_t now_ms)
{
    return self->last && now_ms - self->last_ms < EMPTY_HELD_MS ? self->last : NULL;
}

struct empty_files *empty_files_new(const struct empty_files_config *config)
{
    struct empty_files *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    return self;
}

void empty_files_destroy(struct empty_files **self_p)
{
    struct empty_files *self = *self_p;
    if (!self)
        return;
    if (self->making)
        self->making->files = NULL;
    free(self->last);
    free(self);
    *self_p = NULL;
}
