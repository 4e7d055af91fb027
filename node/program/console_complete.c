/* SPDX-License-Identifier: MIT */
/* Tab. */
#include "node/program/console_private.h"

#include <assert.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* More are not shown: one types another letter then. */
#define SHOWN_MAX 200

/* More are not looked at: what a large folder holds, in a moment. */
#define CANDIDATES_MAX 100000

struct candidates {
    const char *begin; /* what they begin with */
    char **items;      /* as they are typed, quoted */
    size_t count, capacity;
};

/* Whatever it begins with. */
static void add_any(struct candidates *self, const char *word)
{
    if (self->count == CANDIDATES_MAX || !text_is_clean(text_of(word)))
        return;
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 64;
        self->items = reallocarray(self->items, self->capacity, sizeof *self->items);
        assert(self->items);
    }
    self->items[self->count++] = console_quote(word);
}

static void add(struct candidates *self, struct text name)
{
    char *word = text_copy(name);
    if (strncmp(word, self->begin, strlen(self->begin)) == 0)
        add_any(self, word);
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
    for (size_t i = 0; i < count; i++)
        add(self, shares_file_at(console->node->shares, i).name);
}

/* Paths on disk that begin so; `~` is the home, and a folder ends with a slash. */
static void add_paths(struct candidates *self, bool has_files)
{
    char *pattern = malloc(2 * strlen(self->begin) + 2), *at = pattern;
    assert(pattern);
    for (const char *p = self->begin; *p; p++) {
        if (strchr("*?[\\", *p))
            *at++ = '\\';
        *at++ = *p;
    }
    memcpy(at, "*", 2);
    glob_t found;
    bool is_found = glob(pattern, GLOB_MARK | GLOB_TILDE_CHECK, NULL, &found) == 0;
    for (size_t i = 0; is_found && i < found.gl_pathc; i++) {
        const char *path = found.gl_pathv[i];
        if (has_files || path[strlen(path) - 1] == '/')
            add_any(self, path);
    }
    if (is_found)
        globfree(&found);
    free(pattern);
}

static void add_nodes(struct candidates *self, const struct console *console)
{
    for (size_t i = 0; i < console->peer_count; i++) {
        const struct source_entry *peer = &console->peers[i].source;
        char endpoint[ENDPOINT_TEXT_SIZE];
        endpoint_format(&peer->host, peer->port, endpoint);
        add_string(self, endpoint + strlen("tcp://"));
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
        add_nodes(self, console);
        break;
    case CONSOLE_DOWNLOAD:
        add_found(self, console);
        if (index == 1)
            add_nodes(self, console);
        break;
    case CONSOLE_SEARCH:
        add_found(self, console);
        break;
    case CONSOLE_PUSH:
        if (index > 1) {
            add_nodes(self, console);
        } else {
            add_own_files(self, console);
            add_paths(self, true);
        }
        break;
    case CONSOLE_PAUSE:
    case CONSOLE_RESUME:
    case CONSOLE_CANCEL:
        add_downloads(self, console);
        break;
    case CONSOLE_SHARE:
        add_paths(self, false);
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

/* In order, each once. */
static void sort(struct candidates *self)
{
    size_t count = 0;
    if (self->count > 0)
        qsort(self->items, self->count, sizeof *self->items, compare);
    for (size_t i = 0; i < self->count; i++) {
        if (count > 0 && strcmp(self->items[i], self->items[count - 1]) == 0)
            free(self->items[i]);
        else
            self->items[count++] = self->items[i];
    }
    self->count = count;
}

static void print_candidates(struct console *self, const struct candidates *candidates)
{
    for (size_t i = 0; i < candidates->count && i < SHOWN_MAX; i++)
        console_say(self, "%s", candidates->items[i]);
    if (candidates->count > SHOWN_MAX)
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
    sort(&candidates);
    if (terminal_complete(self->terminal, typed.size - tail.offset, candidates.items, candidates.count))
        print_candidates(self, &candidates);
    for (size_t i = 0; i < candidates.count; i++)
        free(candidates.items[i]);
    free(candidates.items);
    free(tail.word);
    free(tail.command);
}
