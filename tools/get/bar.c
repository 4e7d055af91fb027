/* SPDX-License-Identifier: MIT */
#include "tools/get/bar.h"

#include "tools/cli/table.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define INTERVAL_MS 250
#define BAR_WIDTH   24

/* Of a long name; the bar matters more. */
#define LABEL_COLUMNS 24

/* Rates are smoothed over about this long. */
#define RATE_MS 2000

struct bar {
    struct output *output;
    char *label; /* escaped, and cut */
    const char *doing;
    uint64_t size_bytes;
    bool is_drawn, is_shown;
    uint64_t shown_ms, shown_bytes;
    double rate;
};

struct bar *bar_new(struct output *output, struct text label, uint64_t size_bytes, bool is_quiet)
{
    struct bar *self = calloc(1, sizeof *self);
    assert(self);
    self->output = output;
    char *escaped = text_escape(label);
    self->label = text_fit(escaped, LABEL_COLUMNS);
    free(escaped);
    self->size_bytes = size_bytes;
    self->is_drawn = !is_quiet && !output_is_json(output) && isatty(STDERR_FILENO);
    return self;
}

void bar_set_doing(struct bar *self, const char *doing)
{
    self->doing = doing;
}

void bar_clear(struct bar *self)
{
    if (self->is_shown)
        fputs("\r\033[K", stderr);
    self->is_shown = false;
}

void bar_destroy(struct bar **self_p)
{
    if (!*self_p)
        return;
    bar_clear(*self_p);
    free((*self_p)->label);
    free(*self_p);
    *self_p = NULL;
}

void bar_start(struct bar *self, uint64_t saved_bytes, uint64_t now_ms)
{
    self->shown_ms = now_ms;
    self->shown_bytes = saved_bytes;
}

static void draw(struct bar *self, const struct bar_figures *figures)
{
    char size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE], wasted[SIZE_TEXT_SIZE], filled[BAR_WIDTH + 1];
    char tail[64];
    size_format(self->size_bytes, size);
    rate_format((uint64_t)self->rate, rate);
    size_format(figures->wasted_bytes, wasted);
    double part = self->size_bytes ? (double)figures->saved_bytes / (double)self->size_bytes : 1;
    for (int i = 0; i < BAR_WIDTH; i++)
        filled[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
    filled[BAR_WIDTH] = '\0';
    uint64_t left_s =
        self->rate >= 1 ? (uint64_t)((double)(self->size_bytes - figures->saved_bytes) / self->rate) : 0;
    if (self->doing)
        snprintf(tail, sizeof tail, "%s", self->doing);
    else
        snprintf(tail, sizeof tail, "%u %s  %s wasted", figures->sources,
                 plural(figures->sources, "source", "sources"), wasted);
    char *line;
    int length = asprintf(&line, "%s [%s] %3d %% of %s  %s  ETA %llu:%02llu  %s", self->label, filled,
                          (int)(part * 100), size, rate, (unsigned long long)left_s / 60,
                          (unsigned long long)left_s % 60, tail);
    assert(length >= 0);
    /* What went on to a second row could not be cleared. */
    char *fitted = text_fit(line, terminal_columns(STDERR_FILENO) - 1);
    fprintf(stderr, "\r\033[K%s", fitted);
    fflush(stderr);
    free(fitted);
    free(line);
    self->is_shown = true;
}

uint64_t bar_show(struct bar *self, const struct bar_figures *figures, uint64_t now_ms)
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
    json_object_set_new(event, "sources", json_integer(figures->sources));
    output_event(self->output, event);
    if (self->is_drawn)
        draw(self, figures);
    return now_ms + INTERVAL_MS;
}
