/* SPDX-License-Identifier: MIT */
#include "tools/get/progress.h"

#include "messages/name.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct progress {
    struct output *output;
    struct progress_file file;
    struct tally *tally;
    bool is_quiet;
    struct bar *bar; /* the tally's, or ours */
    uint64_t begun_ms;
    json_t *totals; /* of sources */
};

static uint64_t wanted_bytes(const struct progress_file *file)
{
    return file->is_range ? file->end - file->begin : file->size;
}

struct progress *progress_new(struct output *output, const struct progress_file *file, bool is_quiet,
                              struct tally *tally)
{
    struct progress *self = calloc(1, sizeof *self);
    assert(self);
    self->output = output;
    self->file = *file;
    self->tally = tally;
    self->is_quiet = is_quiet || output_is_json(output);
    self->bar = tally ? tally->bar
                      : bar_new(output, name_base(text_of(file->wire_name)), wanted_bytes(file), is_quiet);
    self->totals = json_array();
    return self;
}

void progress_destroy(struct progress **self_p)
{
    struct progress *self = *self_p;
    if (!self)
        return;
    if (!self->tally)
        bar_destroy(&self->bar);
    json_decref(self->totals);
    free(self);
    *self_p = NULL;
}

static char *path_of(const struct progress_file *file)
{
    char *path = NULL;
    if (!file->name)
        return strdup("-");
    bool is_here = strcmp(file->folder, ".") == 0;
    size_t size = strlen(file->folder);
    const char *slash = size > 0 && file->folder[size - 1] == '/' ? "" : "/";
    int rc = is_here ? asprintf(&path, "%s", file->name)
                     : asprintf(&path, "%s%s%s", file->folder, slash, file->name);
    assert(rc >= 0);
    return path;
}

static void add_figure(json_t *figures, const char *key, uint64_t value)
{
    uint64_t so_far = (uint64_t)json_integer_value(json_object_get(figures, key));
    json_object_set_new(figures, key, json_u64(so_far + value));
}

void progress_count(struct output *output, uint64_t files, uint64_t bytes, uint64_t received_bytes,
                    uint64_t wasted_bytes)
{
    json_t *figures = output_figures(output);
    add_figure(figures, "files", files);
    add_figure(figures, "bytes", bytes);
    add_figure(figures, "received", received_bytes);
    add_figure(figures, "wasted", wasted_bytes);
}

static void emit_start(struct output *output, const struct progress_file *file, const struct layout *layout)
{
    json_t *event = event_new("start");
    json_object_set_new(event, "id", json_hex(file->id.bytes, sizeof file->id.bytes));
    json_object_set_new(event, "root", json_hex(file->root.bytes, sizeof file->root.bytes));
    json_object_set_new(event, "size", json_u64(file->size));
    json_object_set_new(event, "name", json_text(text_of(file->wire_name)));
    json_object_set_new(event, "chunks", json_integer(layout->chunk_count));
    json_object_set_new(event, "chunk_size", json_integer((json_int_t)1 << layout->chunk_log2));
    if (file->is_range) {
        json_object_set_new(event, "first", json_u64(file->begin));
        json_object_set_new(event, "last", json_u64(file->end - 1));
    }
    output_event(output, event);
}

/* `totals` is borrowed; NULL when it is not known who gave what. */
static void emit_file(struct output *output, const struct progress_file *file, uint64_t received,
                      uint64_t wasted, double seconds, json_t *totals)
{
    char *path = path_of(file);
    json_t *event = event_new("file");
    json_object_set_new(event, "id", json_hex(file->id.bytes, sizeof file->id.bytes));
    json_object_set_new(event, "path", json_text(text_of(path)));
    json_object_set_new(event, "received", json_u64(received));
    json_object_set_new(event, "wasted", json_u64(wasted));
    json_object_set_new(event, "seconds", json_real(seconds));
    if (totals)
        json_object_set(event, "sources", totals);
    output_event(output, event);
    free(path);
}

void progress_tell_file(struct output *output, const struct progress_file *file, uint64_t received_bytes,
                        double seconds)
{
    progress_count(output, 1, file->size, 0, 0);
    if (!output_is_json(output)) /* of many files the events alone would cost as much as fetching them */
        return;
    struct layout layout = layout_of(file->size);
    emit_start(output, file, &layout);
    emit_file(output, file, received_bytes, 0, seconds, NULL);
}

void progress_same(struct progress *self)
{
    struct layout layout = layout_of(self->file.size);
    emit_start(self->output, &self->file, &layout);
    emit_file(self->output, &self->file, 0, 0, 0, self->totals);
    progress_count(self->output, 1, self->file.size, 0, 0);
    if (self->tally) {
        self->tally->file_count++;
        self->tally->saved_bytes += self->file.size;
        return;
    }
    if (self->is_quiet)
        return;
    char *path = path_of(&self->file);
    output_note(self->output, "%s is already here", path);
    free(path);
}

void progress_start(struct progress *self, const struct layout *layout, uint64_t saved_bytes, uint64_t now_ms)
{
    self->begun_ms = now_ms;
    if (!self->tally)
        bar_start(self->bar, saved_bytes, now_ms);
    emit_start(self->output, &self->file, layout);
}

static const char *state_name(enum source_state state)
{
    return state == SOURCE_READY ? "joined" : state == SOURCE_BANNED ? "banned" : "left";
}

void progress_tell_source(struct output *output, struct bar *bar, const struct download_source *source,
                          bool is_quiet)
{
    bool is_over = source->state == SOURCE_LEFT || source->state == SOURCE_BANNED;
    json_t *event = event_new("source");
    json_object_set_new(event, "node",
                        source->has_node ? json_hex(source->node.bytes, sizeof source->node.bytes)
                                         : json_null());
    json_object_set_new(event, "host", json_host(&source->host));
    json_object_set_new(event, "port", json_integer(source->port));
    json_object_set_new(event, "node_name", json_text(text_of(source->name)));
    json_object_set_new(event, "state", json_string(state_name(source->state)));
    json_object_set_new(event, "reason", is_over ? json_text(text_of(source->reason)) : json_null());
    output_event(output, event);
    if (is_quiet && source->state != SOURCE_BANNED)
        return;
    if (!is_over || output_is_json(output))
        return;
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(&source->host, source->port, endpoint);
    bar_clear(bar);
    output_note(output, "source %s (%s) %s: %s", source->name[0] ? source->name : "unknown", endpoint,
                state_name(source->state), source->reason);
}

void progress_source(struct progress *self, const struct download_source *source)
{
    progress_tell_source(self->output, self->bar, source, self->is_quiet);
}

uint64_t progress_show(struct progress *self, const struct download_progress *figures, uint64_t now_ms)
{
    struct bar_figures shown = {figures->saved_bytes, figures->wasted_bytes, figures->ready_sources};
    if (self->tally) {
        shown.saved_bytes += self->tally->saved_bytes;
        shown.wasted_bytes += self->tally->wasted_bytes;
    }
    return bar_show(self->bar, &shown, now_ms);
}

void progress_total(struct progress *self, const struct download_source *source)
{
    if (source->received_bytes == 0)
        return;
    json_t *total = json_object();
    json_object_set_new(total, "node", json_hex(source->node.bytes, sizeof source->node.bytes));
    json_object_set_new(total, "node_name", json_text(text_of(source->name)));
    json_object_set_new(total, "host", json_host(&source->host));
    json_object_set_new(total, "port", json_integer(source->port));
    json_object_set_new(total, "received", json_u64(source->received_bytes));
    json_array_append_new(self->totals, total);
}

static void print_totals(struct progress *self)
{
    size_t index;
    json_t *total;
    json_array_foreach(self->totals, index, total)
    {
        char size[SIZE_TEXT_SIZE];
        size_format((uint64_t)json_integer_value(json_object_get(total, "received")), size);
        output_note(self->output, "  %8s from %s %s:%lld", size,
                    json_string_value(json_object_get(total, "node_name")),
                    json_string_value(json_object_get(total, "host")),
                    (long long)json_integer_value(json_object_get(total, "port")));
    }
}

/* What the last line calls the file: stdout has no name that tells anything. */
static char *shown_path(const struct progress_file *file)
{
    return file->name ? path_of(file) : text_escape(name_base(text_of(file->wire_name)));
}

static void print_end(struct progress *self, const struct download_progress *figures, double seconds)
{
    char size[SIZE_TEXT_SIZE], received[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE],
        fetched[SIZE_TEXT_SIZE + 16] = "";
    size_format(wanted_bytes(&self->file), size);
    size_format(figures->received_bytes, received);
    if (strcmp(size, received) != 0) /* an earlier run had a part of it, or whole chunks hold a range */
        snprintf(fetched, sizeof fetched, ", %s fetched", received);
    rate_format(seconds > 0 ? (uint64_t)((double)figures->received_bytes / seconds) : figures->received_bytes,
                rate);
    char *path = shown_path(&self->file);
    if (json_array_size(self->totals) == 0) /* it is empty, or all of it was in an older version */
        output_note(self->output, "%s: %s in %.2f s, nothing had to be fetched", path, size, seconds);
    else
        output_note(self->output, "%s: %s%s in %.2f s, %s, from %zu %s", path, size, fetched, seconds, rate,
                    json_array_size(self->totals),
                    plural(json_array_size(self->totals), "source", "sources"));
    free(path);
    if (json_array_size(self->totals) > 1)
        print_totals(self);
}

void progress_end(struct progress *self, const struct download_progress *figures, bool is_complete,
                  uint64_t now_ms)
{
    bar_clear(self->bar);
    double seconds = (double)(now_ms - self->begun_ms) / 1000;
    progress_count(self->output, is_complete, is_complete ? wanted_bytes(&self->file) : 0,
                   figures->received_bytes, figures->wasted_bytes);
    if (self->tally) {
        self->tally->file_count += is_complete;
        self->tally->saved_bytes += figures->saved_bytes;
        self->tally->received_bytes += figures->received_bytes;
        self->tally->wasted_bytes += figures->wasted_bytes;
        unsigned count = (unsigned)json_array_size(self->totals);
        if (count > self->tally->source_count)
            self->tally->source_count = count;
    }
    if (!is_complete)
        return;
    emit_file(self->output, &self->file, figures->received_bytes, figures->wasted_bytes, seconds,
              self->totals);
    if (!self->is_quiet && !self->tally)
        print_end(self, figures, seconds);
}
