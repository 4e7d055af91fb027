/* SPDX-License-Identifier: MIT */
#include "tools/progress.h"

#include "messages/name.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INTERVAL_MS 250
#define BAR_WIDTH   24

/* Rates are smoothed over about this long. */
#define RATE_MS 2000

struct progress {
    struct output *output;
    struct progress_file file;
    bool is_quiet, has_bar, is_bar_shown;
    uint64_t begun_ms, shown_ms, shown_bytes, begun_bytes;
    double rate;
    json_t *totals; /* of sources */
};

struct progress *progress_new(struct output *output, const struct progress_file *file, bool is_quiet)
{
    struct progress *self = calloc(1, sizeof *self);
    assert(self);
    self->output = output;
    self->file = *file;
    self->is_quiet = is_quiet || output_is_json(output);
    self->has_bar = !self->is_quiet && isatty(STDERR_FILENO);
    self->totals = json_array();
    return self;
}

static void clear_bar(struct progress *self)
{
    if (self->is_bar_shown)
        fputs("\r\033[K", stderr);
    self->is_bar_shown = false;
}

void progress_destroy(struct progress **self_p)
{
    if (!*self_p)
        return;
    clear_bar(*self_p);
    json_decref((*self_p)->totals);
    free(*self_p);
    *self_p = NULL;
}

static char *path_of(const struct progress *self)
{
    char *path = NULL;
    if (!self->file.name)
        return strdup("-");
    bool is_here = strcmp(self->file.folder, ".") == 0;
    size_t size = strlen(self->file.folder);
    const char *slash = size > 0 && self->file.folder[size - 1] == '/' ? "" : "/";
    int rc = is_here ? asprintf(&path, "%s", self->file.name)
                     : asprintf(&path, "%s%s%s", self->file.folder, slash, self->file.name);
    assert(rc >= 0);
    return path;
}

static void emit_start(struct progress *self, const struct layout *layout)
{
    json_t *event = event_new("start");
    json_object_set_new(event, "id", json_hex(self->file.id.bytes, sizeof self->file.id.bytes));
    json_object_set_new(event, "root", json_hex(self->file.root.bytes, sizeof self->file.root.bytes));
    json_object_set_new(event, "size", json_u64(self->file.size));
    json_object_set_new(event, "name", json_text(text_of(self->file.wire_name)));
    json_object_set_new(event, "chunks", json_integer(layout->chunk_count));
    json_object_set_new(event, "chunk_size", json_integer((json_int_t)1 << layout->chunk_log2));
    output_event(self->output, event);
}

static void emit_file(struct progress *self, uint64_t received, uint64_t wasted, double seconds)
{
    char *path = path_of(self);
    json_t *event = event_new("file");
    json_object_set_new(event, "id", json_hex(self->file.id.bytes, sizeof self->file.id.bytes));
    json_object_set_new(event, "path", json_text(text_of(path)));
    json_object_set_new(event, "received", json_u64(received));
    json_object_set_new(event, "wasted", json_u64(wasted));
    json_object_set_new(event, "seconds", json_real(seconds));
    json_object_set(event, "sources", self->totals);
    output_event(self->output, event);
    free(path);
}

void progress_same(struct progress *self)
{
    struct layout layout = layout_of(self->file.size);
    emit_start(self, &layout);
    emit_file(self, 0, 0, 0);
    if (self->is_quiet)
        return;
    char *path = path_of(self);
    output_note(self->output, "%s is already here", path);
    free(path);
}

void progress_start(struct progress *self, const struct layout *layout, uint64_t saved_bytes, uint64_t now_ms)
{
    self->begun_ms = self->shown_ms = now_ms;
    self->begun_bytes = self->shown_bytes = saved_bytes;
    emit_start(self, layout);
}

static const char *state_name(enum source_state state)
{
    return state == SOURCE_READY ? "joined" : state == SOURCE_BANNED ? "banned" : "left";
}

void progress_source(struct progress *self, const struct download_source *source)
{
    bool is_over = source->state != SOURCE_READY;
    json_t *event = event_new("source");
    json_object_set_new(event, "node",
                        source->has_node ? json_hex(source->node.bytes, sizeof source->node.bytes)
                                         : json_null());
    json_object_set_new(event, "host", json_host(&source->host));
    json_object_set_new(event, "port", json_integer(source->port));
    json_object_set_new(event, "node_name", json_text(text_of(source->name)));
    json_object_set_new(event, "state", json_string(state_name(source->state)));
    json_object_set_new(event, "reason", is_over ? json_text(text_of(source->reason)) : json_null());
    output_event(self->output, event);
    if (self->is_quiet && source->state != SOURCE_BANNED)
        return;
    if (!is_over || output_is_json(self->output))
        return;
    char endpoint[ENDPOINT_TEXT_SIZE];
    endpoint_format(&source->host, source->port, endpoint);
    clear_bar(self);
    output_note(self->output, "source %s (%s) %s: %s", source->name[0] ? source->name : "unknown", endpoint,
                state_name(source->state), source->reason);
}

static void show_bar(struct progress *self, const struct download_progress *figures)
{
    char done[SIZE_TEXT_SIZE], size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE], wasted[SIZE_TEXT_SIZE],
        bar[BAR_WIDTH + 1];
    size_format(figures->saved_bytes, done);
    size_format(self->file.size, size);
    rate_format((uint64_t)self->rate, rate);
    size_format(figures->wasted_bytes, wasted);
    double part = self->file.size ? (double)figures->saved_bytes / (double)self->file.size : 1;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    uint64_t left_s =
        self->rate >= 1 ? (uint64_t)((double)(self->file.size - figures->saved_bytes) / self->rate) : 0;
    char *name = text_escape(name_base(text_of(self->file.wire_name)));
    fprintf(stderr, "\r\033[K%.24s [%s] %3d %% of %s  %s  ETA %llu:%02llu  %u sources  %s wasted", name, bar,
            (int)(part * 100), size, rate, (unsigned long long)left_s / 60, (unsigned long long)left_s % 60,
            figures->ready_sources, wasted);
    fflush(stderr);
    free(name);
    self->is_bar_shown = true;
}

uint64_t progress_show(struct progress *self, const struct download_progress *figures, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - self->shown_ms;
    if (elapsed_ms < INTERVAL_MS)
        return self->shown_ms + INTERVAL_MS;
    double now_rate = (double)(figures->saved_bytes - self->shown_bytes) * 1000 / (double)elapsed_ms;
    double weight = elapsed_ms < RATE_MS && self->rate > 0 ? (double)elapsed_ms / RATE_MS : 1;
    self->rate += (now_rate - self->rate) * weight;
    self->shown_ms = now_ms;
    self->shown_bytes = figures->saved_bytes;
    json_t *event = event_new("progress");
    json_object_set_new(event, "bytes", json_u64(figures->saved_bytes));
    json_object_set_new(event, "rate", json_u64((uint64_t)self->rate));
    json_object_set_new(event, "sources", json_integer(figures->ready_sources));
    output_event(self->output, event);
    if (self->has_bar)
        show_bar(self, figures);
    return now_ms + INTERVAL_MS;
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

void progress_end(struct progress *self, const struct download_progress *figures, bool is_complete,
                  uint64_t now_ms)
{
    clear_bar(self);
    double seconds = (double)(now_ms - self->begun_ms) / 1000;
    if (!is_complete)
        return;
    emit_file(self, figures->received_bytes, figures->wasted_bytes, seconds);
    if (self->is_quiet)
        return;
    char size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
    size_format(self->file.size, size);
    rate_format(seconds > 0 ? (uint64_t)((double)figures->received_bytes / seconds) : figures->received_bytes,
                rate);
    char *path = path_of(self);
    output_note(self->output, "%s: %s in %.2f s, %s, from %zu %s", path, size, seconds, rate,
                json_array_size(self->totals), json_array_size(self->totals) == 1 ? "source" : "sources");
    free(path);
    if (json_array_size(self->totals) > 1)
        print_totals(self);
}
