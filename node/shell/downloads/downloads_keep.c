/* SPDX-License-Identifier: MIT */
#include "node/download/download_line.h"
#include "node/shell/downloads/downloads_private.h"
#include "node/shell/kept_file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest line and its end: a name, the sources, and the numbers. */
#define LINE_SIZE_MAX 4096

/* What is longer is not our list. */
#define FILE_TEXT_MAX ((size_t)DOWNLOADS_MAX * LINE_SIZE_MAX)

/* Written by one job at a time: what changes meanwhile is in the next one. */
struct keeper {
    struct job job;
    struct downloads *downloads;
    uint64_t kept_generation;
    bool is_unread; /* the file is there, what it says is not known: it must not be replaced */
    bool is_writing, has_run, is_trouble_told;
    char *text; /* of the job */
    size_t size;
    int error;
};

static void tell(struct keeper *self, const char *what, const char *reason)
{
    char text[512];
    struct downloads *downloads = self->downloads;
    snprintf(text, sizeof text, "%s %s: %s", what, downloads->config.list, reason);
    if (downloads->events.trouble)
        downloads->events.trouble(downloads->events.owner, text);
}

/* Writing. */

static void format(struct keeper *self)
{
    const struct download_list *list = self->downloads->list;
    FILE *out = open_memstream(&self->text, &self->size);
    assert(out);
    for (size_t i = 0; i < download_list_count(list); i++) {
        const struct listed_download *item = download_list_at(list, i);
        if (item->state == DOWNLOADS_DONE)
            continue;
        char *line = download_line_format(item);
        fprintf(out, "%s\n", line);
        free(line);
    }
    int rc = fclose(out);
    assert(rc == 0);
    self->kept_generation = download_list_generation(list);
}

static void run_write(struct job *job)
{
    struct keeper *self = (struct keeper *)job;
    self->error = kept_file_replace(self->downloads->config.list, self->text, self->size);
    self->has_run = true;
}

/* On trouble the next change tries again; people hear of it once. */
static void written(struct keeper *self)
{
    free(self->text);
    self->text = NULL;
    if (self->has_run && self->error && !self->is_trouble_told)
        tell(self, "unfinished downloads are not kept in", strerror(self->error));
    self->is_trouble_told = self->error != 0;
}

static void write_done(struct job *job)
{
    struct keeper *self = (struct keeper *)job;
    self->is_writing = false;
    written(self);
}

void keeper_tick(struct keeper *self)
{
    if (self->is_unread || self->is_writing ||
        self->kept_generation == download_list_generation(self->downloads->list))
        return;
    format(self);
    self->has_run = false;
    self->is_writing = true;
    workers_put(self->downloads->config.workers, &self->job);
}

/* Reading. */

static bool load_line(struct download_list *list, struct text text)
{
    struct download_line line;
    uint32_t number;
    if (!download_line_parse(text, &line) || download_list_add(list, &line.order, &number) != DOWNLOADS_OK)
        return false;
    download_list_saved(list, number, line.saved_bytes);
    return true;
}

/* What was not understood is not lost by the next writing. */
static void set_aside(struct keeper *self, const char *reason)
{
    const char *path = self->downloads->config.list;
    char *aside = NULL;
    int length = asprintf(&aside, "%s.damaged", path);
    assert(length >= 0);
    (void)unlink(aside);
    bool is_kept = link(path, aside) == 0;
    tell(self, is_kept ? "damaged, and kept as it was with the ending .damaged:" : "damaged:", reason);
    free(aside);
}

void keeper_load(struct keeper *self)
{
    size_t size = 0, bad_count = 0;
    char *text = kept_file_read(self->downloads->config.list, FILE_TEXT_MAX, &size);
    self->is_unread = !text && errno != ENOENT && errno != EINVAL;
    if (self->is_unread && !self->is_trouble_told)
        tell(self, "unfinished downloads cannot be read, which is tried again and again:", strerror(errno));
    else if (!text && errno == EINVAL)
        set_aside(self, "no file, or far too large");
    self->is_trouble_told = self->is_unread;
    for (size_t at = 0; text && at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        struct text line = {text + at, end ? (size_t)(end - text) - at : size - at};
        bad_count += line.size > 0 && !load_line(self->downloads->list, line);
        at += line.size + 1;
    }
    free(text);
    if (bad_count > 0) {
        char reason[64];
        snprintf(reason, sizeof reason, "%zu of its lines left out", bad_count);
        set_aside(self, reason);
    }
    if (bad_count == 0 && !self->is_unread)
        self->kept_generation = download_list_generation(self->downloads->list);
}

bool keeper_is_unread(const struct keeper *self)
{
    return self->is_unread;
}

/* Life. */

struct keeper *keeper_new(struct downloads *downloads)
{
    struct keeper *self = calloc(1, sizeof *self);
    assert(self);
    self->job = (struct job){.run = run_write, .done = write_done};
    self->downloads = downloads;
    return self;
}

/* The last figures too. */
void keeper_destroy(struct keeper **self_p)
{
    struct keeper *self = *self_p;
    if (!self)
        return;
    assert(!self->is_writing);
    if (!self->is_unread) {
        format(self);
        run_write(&self->job);
        written(self);
    }
    free(self);
    *self_p = NULL;
}
