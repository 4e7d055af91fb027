/* SPDX-License-Identifier: MIT */
/* The list of downloads, and what one can do with it. */
#include "node/program/console_downloads.h"

#include "tools/cli/table.h"
#include "tools/cli/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *state_name(enum downloads_state state)
{
    switch (state) {
    case DOWNLOADS_WAITING:
        return "waiting";
    case DOWNLOADS_ACTIVE:
        return "active";
    case DOWNLOADS_PAUSED:
        return "paused";
    case DOWNLOADS_DONE:
        return "done";
    case DOWNLOADS_FAILED:
        return "failed";
    }
    return "";
}

unsigned console_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 100 : part >= whole ? 100 : (unsigned)((double)part * 100 / (double)whole);
}

/* What is behind the name of one that is no longer under way, or does not move. */
static void name_cell(struct table *table, const struct downloads_view *view)
{
    char *name = NULL, *own = text_copy(view->name);
    const char *more = view->state == DOWNLOADS_DONE ? view->target : view->reason;
    if (more && asprintf(&name, "%s: %s", own, more) >= 0)
        table_cell_string(table, name);
    else
        table_cell_string(table, own);
    free(name);
    free(own);
}

static void add_row(struct table *table, const struct downloads_view *view)
{
    char number[16], done[16], size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE] = "", sources[16] = "";
    snprintf(number, sizeof number, "%u", view->number);
    snprintf(done, sizeof done, "%u %%", console_percent(view->saved_bytes, view->size));
    size_format(view->size, size);
    if (view->state == DOWNLOADS_ACTIVE) {
        rate_format(view->rate, rate);
        snprintf(sources, sizeof sources, "%u", view->ready_sources);
    }
    table_cell_string(table, number);
    table_cell_string(table, state_name(view->state));
    table_cell_string(table, view->state == DOWNLOADS_DONE ? "100 %" : done);
    table_cell_string(table, size);
    table_cell_string(table, rate);
    table_cell_string(table, sources);
    name_cell(table, view);
}

void console_print_downloads(struct console *self, bool has_ended)
{
    struct table *table = table_new(
        (const char *const[]){">NO", "STATE", ">DONE", ">SIZE", ">RATE", ">SOURCES", "~NAME", NULL});
    size_t rows = 0;
    for (size_t i = 0; i < downloads_count(self->node->downloads); i++) {
        struct downloads_view view = downloads_at(self->node->downloads, i);
        bool is_over = view.state == DOWNLOADS_DONE || view.state == DOWNLOADS_FAILED;
        if (is_over && !has_ended)
            continue;
        add_row(table, &view);
        rows++;
    }
    if (rows > 0)
        table_print(table, self->output);
    table_destroy(&table);
}

/* Downloads begin with the data port, which the broker may have to assign first. */
static bool has_downloads(struct console *self)
{
    if (!self->node->downloads)
        console_say(self, "this node has no data port yet: 'tracker' tells more");
    return self->node->downloads;
}

void console_downloads(struct console *self, const struct console_command *command)
{
    (void)command;
    if (!has_downloads(self))
        return;
    console_print_downloads(self, true);
    struct console_downloads_figures figures = console_downloads_figures(self);
    console_say(self, "%zu active, %zu waiting, %zu paused, %zu done, %zu failed",
                figures.counts[DOWNLOADS_ACTIVE], figures.counts[DOWNLOADS_WAITING],
                figures.counts[DOWNLOADS_PAUSED], figures.counts[DOWNLOADS_DONE],
                figures.counts[DOWNLOADS_FAILED]);
}

struct console_downloads_figures console_downloads_figures(const struct console *self)
{
    struct console_downloads_figures figures = {0};
    for (size_t i = 0; self->node->downloads && i < downloads_count(self->node->downloads); i++) {
        struct downloads_view view = downloads_at(self->node->downloads, i);
        figures.counts[view.state]++;
        if (view.state == DOWNLOADS_ACTIVE)
            figures.rate += view.rate;
    }
    return figures;
}

/* Orders. */

void console_order(struct console *self, const struct downloads_order *order)
{
    struct holding holding;
    char *name = text_copy(order->file.name), size[SIZE_TEXT_SIZE];
    uint32_t number;
    size_format(order->file.size, size);
    if (!has_downloads(self)) {
        free(name);
        return;
    }
    if (holdings_by_id(self->node->holdings, &order->file.id, &holding) == HOLDINGS_FOUND && !holding.have) {
        console_say(self, "this node has '%s' already: it shares it as '%.*s'", name,
                    (int)holding.file.name.size, holding.file.name.bytes);
        free(name);
        return;
    }
    switch (downloads_add(self->node->downloads, order, &number)) {
    case DOWNLOADS_OK:
        console_say(self, "download %u: '%s', %s, from %zu %s", number, name, size, order->source_count,
                    order->source_count == 1 ? "source" : "sources");
        break;
    case DOWNLOADS_THERE_ALREADY:
        console_say(self, "'%s' is download %u already: 'downloads' shows how it is", name, number);
        break;
    case DOWNLOADS_FULL:
        console_say(self, "'%s' was not added: %d downloads are unfinished; 'cancel' some", name,
                    DOWNLOADS_MAX);
        break;
    }
    free(name);
}

/* pause, resume, cancel. */

struct change {
    bool (*apply)(struct downloads *downloads, uint32_t number);
    const char *done;
    bool (*is_meant)(enum downloads_state state); /* by `all` */
    const char *refused;
};

static bool is_under_way(enum downloads_state state)
{
    return state == DOWNLOADS_ACTIVE || state == DOWNLOADS_WAITING;
}

static bool is_stopped(enum downloads_state state)
{
    return state == DOWNLOADS_PAUSED || state == DOWNLOADS_FAILED;
}

static bool is_any(enum downloads_state state)
{
    (void)state;
    return true;
}

static const struct change pausing = {downloads_pause, "paused", is_under_way, "is not under way"};
static const struct change resuming = {downloads_resume, "goes on", is_stopped,
                                       "is neither paused nor failed"};
static const struct change cancelling = {downloads_cancel, "cancelled", is_any, "cannot be cancelled"};

static bool is_in(const struct console_command *command, uint32_t number)
{
    struct console_range range;
    for (size_t i = 0; i < command->count; i++) {
        if (console_range_read(command->words[i], &range) && number >= range.first && number <= range.last)
            return true;
    }
    return false;
}

/* False after a line about a word that is no number of a download. */
static bool check_numbers(struct console *self, const struct console_command *command)
{
    for (size_t i = 0; i < command->count; i++) {
        struct console_range range;
        if (!console_range_read(command->words[i], &range)) {
            console_say(self, "'%s' is not a number, a range like 2-4, or all: 'downloads' has the numbers",
                        command->words[i]);
            return false;
        }
        bool is_there = false;
        for (size_t k = 0; k < downloads_count(self->node->downloads) && !is_there; k++) {
            uint32_t number = downloads_at(self->node->downloads, k).number;
            is_there = number >= range.first && number <= range.last;
        }
        if (!is_there) {
            console_say(self, "there is no download %s: 'downloads' has the numbers", command->words[i]);
            return false;
        }
    }
    return true;
}

static bool is_complete(const struct console *self, uint32_t number)
{
    for (size_t i = 0; i < downloads_count(self->node->downloads); i++) {
        struct downloads_view view = downloads_at(self->node->downloads, i);
        if (view.number == number)
            return view.state == DOWNLOADS_DONE;
    }
    return false;
}

static void change(struct console *self, const struct console_command *command, const struct change *change)
{
    bool is_all = command->count == 1 && strcmp(command->words[0], "all") == 0;
    if (!has_downloads(self) || (!is_all && !check_numbers(self, command)))
        return;
    /* The numbers first: a change may end the list as it is. */
    size_t count = downloads_count(self->node->downloads), meant = 0;
    uint32_t *numbers = calloc(count + 1, sizeof *numbers);
    for (size_t i = 0; i < count && numbers; i++) {
        struct downloads_view view = downloads_at(self->node->downloads, i);
        if (is_all ? change->is_meant(view.state) : is_in(command, view.number))
            numbers[meant++] = view.number;
    }
    for (size_t i = 0; i < meant; i++) {
        bool is_forgotten = change == &cancelling && is_complete(self, numbers[i]);
        bool is_done = change->apply(self->node->downloads, numbers[i]);
        console_say(self, "download %u %s", numbers[i],
                    !is_done       ? change->refused
                    : is_forgotten ? "forgotten; its file stays"
                                   : change->done);
    }
    if (meant == 0)
        console_say(self, "there is none: 'downloads' shows all");
    free(numbers);
}

void console_pause(struct console *self, const struct console_command *command)
{
    change(self, command, &pausing);
}

void console_resume(struct console *self, const struct console_command *command)
{
    change(self, command, &resuming);
}

void console_cancel(struct console *self, const struct console_command *command)
{
    change(self, command, &cancelling);
}
