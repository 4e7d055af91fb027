/* SPDX-License-Identifier: MIT */
/* Tab. */
#include "node/program/console_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* More are not shown: one types another letter then. */
#define CANDIDATES_MAX 200

struct candidates {
    const char *begin; /* what they begin with */
    char **items;      /* as they are typed, quoted */
    size_t count;
};

static void add(struct candidates *self, struct text name)
{
    char *word = text_copy(name);
    bool is_like = strncmp(word, self->begin, strlen(self->begin)) == 0 && text_is_clean(name);
    if (is_like && self->count < CANDIDATES_MAX) {
        self->items = reallocarray(self->items, self->count + 1, sizeof *self->items);
        assert(self->items);
        char *quoted = console_quote(word);
        bool is_new = true;
        for (size_t i = 0; i < self->count && is_new; i++)
            is_new = strcmp(self->items[i], quoted) != 0;
        if (is_new)
            self->items[self->count++] = quoted;
        else
            free(quoted);
    }
    free(word);
}

static void add_string(struct candidates *self, const char *name)
{
    add(self, text_of(name));
}

static void add_commands(struct candidates *self)
{
    for (size_t i = 0; i < CONSOLE_VERBS; i++) {
        const char *names = console_rows[i].names;
        add(self, (struct text){names, strcspn(names, " ")});
    }
}

static void add_found(struct candidates *self, const struct console *console)
{
    for (size_t i = 0; console->found && i < search_count(console->found); i++)
        add(self, search_at(console->found, i).file.name);
}

static void add_own_files(struct candidates *self, const struct console *console)
{
    size_t count = shares_file_count(console->node->shares);
    for (size_t i = 0; i < count && self->count < CANDIDATES_MAX; i++)
        add(self, shares_file_at(console->node->shares, i).name);
}

static void add_addresses(struct candidates *self, const struct console *console, bool has_names)
{
    for (size_t i = 0; i < console->peer_count; i++) {
        const struct source_entry *peer = &console->peers[i].source;
        char endpoint[ENDPOINT_TEXT_SIZE];
        endpoint_format(&peer->host, peer->port, endpoint);
        add_string(self, endpoint + strlen("tcp://"));
        if (has_names)
            add(self, peer->name);
    }
}

static void add_folders(struct candidates *self, const struct console *console)
{
    for (size_t i = 0; i < shares_folder_count(console->node->shares); i++)
        add_string(self, shares_folder_at(console->node->shares, i).path);
}

static void add_downloads(struct candidates *self, const struct console *console)
{
    add_string(self, "all");
    for (size_t i = 0; console->node->downloads && i < downloads_count(console->node->downloads); i++) {
        char number[16];
        snprintf(number, sizeof number, "%u", downloads_at(console->node->downloads, i).number);
        add_string(self, number);
    }
}

static void add_operands(struct candidates *self, const struct console *console, enum console_verb verb,
                         size_t index)
{
    switch (verb) {
    case CONSOLE_LIST:
        add_addresses(self, console, true);
        break;
    case CONSOLE_DOWNLOAD:
        add_found(self, console);
        if (index == 1)
            add_addresses(self, console, false);
        break;
    case CONSOLE_SEARCH:
        add_found(self, console);
        break;
    case CONSOLE_PUSH:
        if (index == 1)
            add_own_files(self, console);
        else
            add_addresses(self, console, true);
        break;
    case CONSOLE_PAUSE:
    case CONSOLE_RESUME:
    case CONSOLE_CANCEL:
        add_downloads(self, console);
        break;
    case CONSOLE_UNSHARE:
        add_folders(self, console);
        break;
    case CONSOLE_LIMIT:
        add_string(self, "up");
        add_string(self, "down");
        break;
    case CONSOLE_HELP:
        add_commands(self);
        break;
    default:
        break;
    }
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void print_candidates(struct console *self, const struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->count; i++)
        console_say(self, "%s", candidates->items[i]);
    if (candidates->count == CANDIDATES_MAX)
        console_say(self, "...");
}

void console_complete(struct console *self, struct text typed)
{
    struct console_tail tail = console_tail_of(typed);
    struct candidates candidates = {.begin = tail.word};
    const struct console_row *row = console_row_named(tail.command);
    if (tail.index == 0)
        add_commands(&candidates);
    else if (row)
        console_learn_peers(self); /* for the next Tab */
    if (tail.index > 0 && row)
        add_operands(&candidates, self, row->verb, tail.index);
    if (candidates.count > 0)
        qsort(candidates.items, candidates.count, sizeof *candidates.items, compare);
    if (terminal_complete(self->terminal, typed.size - tail.offset, candidates.items, candidates.count))
        print_candidates(self, &candidates);
    for (size_t i = 0; i < candidates.count; i++)
        free(candidates.items[i]);
    free(candidates.items);
    free(tail.word);
    free(tail.command);
}
