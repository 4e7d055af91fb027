/* SPDX-License-Identifier: MIT */
#include "node/program/menu.h"

#include "node/program/console_downloads.h"
#include "node/program/console_private.h"
#include "tools/cli/table.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAR_MS    500
#define BAR_WIDTH 20

/* What is left of 80 columns. */
#define BAR_NAME_WIDTH 20

enum step {
    STEP_CHOOSE, /* 1, 2 or 3 */
    STEP_NAME,   /* of the file to look for */
    STEP_FIND,   /* the broker is asked */
    STEP_NUMBER, /* of what was found */
    STEP_LIST,   /* files are printed */
};

struct menu {
    struct console *console;
    bool ends_node;
    bool is_over;
    enum step step;
    uint64_t next_ms; /* when the bars are drawn again */
};

static void set_step(struct menu *self, enum step step)
{
    static const char *const prompts[] = {"choice (1-3): ", "name: ", "", "number: ", ""};
    self->step = step;
    if (step == STEP_CHOOSE) {
        console_say(self->console, "%s", "");
        console_say(self->console, "1  download a file");
        console_say(self->console, "2  list the files of the download folder");
        console_say(self->console, self->ends_node ? "3  leave: end this node" : "3  leave the menu");
    }
    if (self->console->terminal)
        terminal_set_prompt(self->console->terminal, prompts[step]);
}

struct menu *menu_new(struct console *console, bool ends_node)
{
    struct menu *self = calloc(1, sizeof *self);
    assert(self);
    self->console = console;
    self->ends_node = ends_node;
    set_step(self, STEP_CHOOSE);
    return self;
}

void menu_destroy(struct menu **self_p)
{
    struct menu *self = *self_p;
    if (!self)
        return;
    if (self->console->terminal)
        terminal_set_status(self->console->terminal, NULL, 0);
    free(self);
    *self_p = NULL;
}

bool menu_is_over(const struct menu *self)
{
    return self->is_over;
}

/* Lines. */

static void choose(struct menu *self, const char *line)
{
    if (strcmp(line, "1") == 0) {
        console_say(self->console, "which file? words of its name; empty to go back");
        set_step(self, STEP_NAME);
    } else if (strcmp(line, "2") == 0 && self->console->node->download_folder) {
        self->step = STEP_LIST;
        console_list_own(self->console, self->console->node->download_folder);
    } else if (strcmp(line, "3") == 0) {
        self->is_over = true;
        if (self->ends_node)
            loop_stop(self->console->node->loop);
    } else if (line[0] != '\0') {
        console_say(self->console, "'%s' is none of the choices: type 1, 2 or 3", line);
    }
}

static void find(struct menu *self, const char *line)
{
    if (line[0] == '\0') {
        set_step(self, STEP_CHOOSE);
        return;
    }
    self->step = STEP_FIND;
    if (!console_find(self->console, line))
        set_step(self, STEP_CHOOSE);
}

/* `3`, `1-4`, and several of them. */
static void order(struct menu *self, struct text line)
{
    char *copy = text_copy(line), *at = copy, *word;
    size_t found = search_count(self->console->found);
    struct console_range range;
    bool is_good = true;
    while (is_good && (word = strsep(&at, " ,\t"))) {
        is_good = word[0] == '\0' || (console_range_read(word, &range) && range.last <= found);
        if (!is_good)
            console_say(self->console, "'%s' is not a number from 1 to %zu; empty to go back", word, found);
    }
    free(copy);
    if (!is_good)
        return;
    copy = at = text_copy(line);
    while ((word = strsep(&at, " ,\t"))) {
        if (!console_range_read(word, &range))
            continue;
        for (uint32_t number = range.first; number <= range.last; number++)
            console_order_found(self->console, number - 1);
    }
    free(copy);
    set_step(self, STEP_CHOOSE);
}

void menu_on_line(struct menu *self, struct text line)
{
    while (line.size > 0 && strchr(" \t\r", line.bytes[line.size - 1]))
        line.size--;
    while (line.size > 0 && strchr(" \t", line.bytes[0])) {
        line.bytes++;
        line.size--;
    }
    if (!text_is_clean(line) || line.size > QUERY_TEXT_SIZE_MAX) {
        console_say(self->console, "that is too long, not UTF-8 or holds control characters");
        return;
    }
    char *text = text_copy(line);
    if (self->step == STEP_CHOOSE)
        choose(self, text);
    else if (self->step == STEP_NAME)
        find(self, text);
    else if (self->step == STEP_NUMBER)
        order(self, line);
    free(text);
}

bool menu_on_interrupt(struct menu *self)
{
    if (self->step == STEP_CHOOSE)
        return false;
    set_step(self, STEP_CHOOSE);
    return true;
}

void menu_on_command_over(struct menu *self)
{
    bool has_found =
        self->step == STEP_FIND && self->console->found && search_count(self->console->found) > 0;
    if (has_found)
        console_say(self->console, "which number? for example 2, or 1-3, or 1 4; empty to go back");
    set_step(self, has_found ? STEP_NUMBER : STEP_CHOOSE);
}

/* Bars. */

/* One line, escaped; malloc'd. */
static char *bar(const struct downloads_view *view)
{
    char size[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE], filled[BAR_WIDTH + 1], *line = NULL;
    unsigned percent = console_percent(view->saved_bytes, view->size);
    char *name = text_escape(view->name), *short_name = text_fit(name, BAR_NAME_WIDTH);
    size_format(view->size, size);
    rate_format(view->rate, rate);
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        filled[i] = i < percent * BAR_WIDTH / 100 ? '#' : '.';
    filled[BAR_WIDTH] = '\0';
    int written = asprintf(&line, "%s [%s] %u %% of %s  %s  %u %s", short_name, filled, percent, size, rate,
                           view->ready_sources, view->ready_sources == 1 ? "source" : "sources");
    assert(written >= 0);
    free(short_name);
    free(name);
    return line;
}

uint64_t menu_tick(struct menu *self, uint64_t now_ms)
{
    struct console *console = self->console;
    if (!console->terminal || !console->node->downloads)
        return UINT64_MAX;
    if (now_ms < self->next_ms)
        return self->next_ms;
    char *lines[TERMINAL_STATUS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < downloads_count(console->node->downloads) && count < TERMINAL_STATUS_MAX; i++) {
        struct downloads_view view = downloads_at(console->node->downloads, i);
        if (view.state == DOWNLOADS_ACTIVE)
            lines[count++] = bar(&view);
    }
    terminal_set_status(console->terminal, lines, count);
    for (size_t i = 0; i < count; i++)
        free(lines[i]);
    self->next_ms = now_ms + BAR_MS;
    return self->next_ms;
}
