/* SPDX-License-Identifier: MIT */
#include "node/shell/downloads/pushed_keeper.h"

#include "node/shell/file_io.h"
#include "node/shell/folders.h"
#include "node/shell/kept_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is longer is not our list: each file may have come and gone some times since the last start. */
#define FILE_TEXT_MAX (4 * (size_t)PUSHED_FILES_MAX * PUSHED_LINE_SIZE)

struct pushed_keeper {
    struct job job;
    struct pushed_keeper_config config;
    struct pushed_files *files;
    char *fresh; /* lines that are not in the file yet; NULL for none */
    uint64_t reviewed_generation;
    bool is_unread; /* the file is there, what it says is not known: it is left alone */
    bool is_writing, is_trouble_told;
    uint64_t end; /* of the lines in the file */

    /* Of the job. */
    char *text;
    bool has_run;
    int error;
};

static void tell(struct pushed_keeper *self, const char *what, int error)
{
    char text[512];
    snprintf(text, sizeof text, "%s %s: %s", what, self->config.path, strerror(error));
    if (self->config.trouble && !self->is_trouble_told)
        self->config.trouble(self->config.owner, text);
    self->is_trouble_told = true;
}

/* Writing. */

static void add_lines(struct pushed_keeper *self, const char *lines)
{
    char *both = NULL;
    if (self->is_unread)
        return;
    int size = asprintf(&both, "%s%s", self->fresh ? self->fresh : "", lines);
    assert(size >= 0);
    free(self->fresh);
    self->fresh = both;
}

static void run_append(struct job *job)
{
    struct pushed_keeper *self = (struct pushed_keeper *)job;
    int fd = open(self->config.path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    self->error = fd < 0 ? errno : file_write_at(fd, self->text, strlen(self->text), self->end);
    bool may_be_new = self->end == 0;
    if (!self->error && (fdatasync(fd) != 0 || (may_be_new && !folders_sync_above(self->config.path))))
        self->error = errno;
    if (fd >= 0)
        close(fd);
    self->has_run = true;
}

static void appended(struct pushed_keeper *self)
{
    if (self->error)
        tell(self, "what pushes brought is not kept in", self->error);
    else
        self->end += strlen(self->text);
    free(self->text);
    self->text = NULL;
}

static void append_done(struct job *job)
{
    struct pushed_keeper *self = (struct pushed_keeper *)job;
    self->is_writing = false;
    if (self->has_run)
        appended(self);
}

/* True when there is something to write now. */
static bool take_fresh(struct pushed_keeper *self)
{
    if (self->is_writing || !self->fresh)
        return false;
    self->text = self->fresh;
    self->fresh = NULL;
    self->has_run = false;
    return true;
}

void pushed_keeper_tick(struct pushed_keeper *self)
{
    if (!take_fresh(self))
        return;
    self->is_writing = true;
    workers_put(self->config.workers, &self->job);
}

void pushed_keeper_add(struct pushed_keeper *self, const struct file_id *file, uint64_t cost_bytes)
{
    char line[PUSHED_LINE_SIZE];
    pushed_line_format(file, cost_bytes, line);
    if (pushed_files_add(self->files, file, cost_bytes))
        add_lines(self, line);
}

const struct pushed_files *pushed_keeper_files(const struct pushed_keeper *self)
{
    return self->files;
}

void pushed_keeper_review(struct pushed_keeper *self)
{
    uint64_t generation = holdings_generation(self->config.holdings);
    if (generation == self->reviewed_generation)
        return;
    self->reviewed_generation = generation;
    char *lines = pushed_files_review(self->files, self->config.holdings);
    if (lines)
        add_lines(self, lines);
    free(lines);
}

/* Reading. */

static void load(struct pushed_keeper *self)
{
    size_t size = 0;
    char *text = kept_file_read(self->config.path, FILE_TEXT_MAX, &size);
    int error = text || errno == ENOENT ? 0 : errno;
    if (error)
        tell(self, "what pushes brought so far does not count; it cannot be read in", error);
    self->is_unread = error != 0;
    self->end = size;
    if (!text)
        return;
    pushed_files_load(self->files, (struct text){text, size});
    char *lines = pushed_files_format(self->files);
    if (strcmp(lines, text) != 0 && (error = kept_file_replace(self->config.path, lines, strlen(lines))))
        tell(self, "what pushes brought is not kept in", error);
    else
        self->end = strlen(lines);
    self->is_unread = error != 0;
    free(lines);
    free(text);
}

/* Life. */

struct pushed_keeper *pushed_keeper_new(const struct pushed_keeper_config *config)
{
    struct pushed_keeper *self = calloc(1, sizeof *self);
    assert(self);
    self->job = (struct job){.run = run_append, .done = append_done};
    self->config = *config;
    self->files = pushed_files_new();
    self->reviewed_generation = UINT64_MAX; /* never */
    load(self);
    return self;
}

void pushed_keeper_destroy(struct pushed_keeper **self_p)
{
    struct pushed_keeper *self = *self_p;
    if (!self)
        return;
    assert(!self->is_writing);
    if (self->text) { /* its turn did not come */
        run_append(&self->job);
        appended(self);
    }
    if (take_fresh(self)) {
        run_append(&self->job);
        appended(self);
    }
    free(self->text);
    pushed_files_destroy(&self->files);
    free(self);
    *self_p = NULL;
}
