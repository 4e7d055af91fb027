/* SPDX-License-Identifier: MIT */
/* Finding files, and fetching what was found. */
#include "node/program/console_private.h"

#include "messages/name.h"
#include "node/program/console_remote.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"

#include <stdlib.h>
#include <string.h>

void console_print_found(struct console *self)
{
    struct table *table = found_table_new(true);
    for (size_t i = 0; i < search_count(self->found); i++) {
        struct found_file found = search_at(self->found, i);
        found_table_row(table, i + 1, &found.file, found.source_count);
    }
    if (search_count(self->found) > 0)
        table_print(table, self->output);
    table_destroy(&table);
}

/* How much the answer is worth; false when there was none at all. */
static bool say_counts(struct console *self)
{
    struct message_error error = search_error(self->found);
    switch (search_state(self->found)) {
    case SEARCH_COMPLETE:
        break;
    case SEARCH_REFUSED:
        console_say(self, "the broker refused: %s: %.*s", error_name(error.code), (int)error.text.size,
                    error.text.bytes);
        return false;
    case SEARCH_CUT_OFF:
        console_say(self, "the broker did not end the search in time: there may be more");
        return true;
    default:
        console_say(self, "the broker did not answer in time: 'tracker' tells more");
        return false;
    }
    struct message_search_done counts = search_counts(self->found);
    console_say(self, "asked %u, positive %u, negative %u, silent %u, skipped %u", counts.asked,
                counts.positive, counts.negative, counts.silent, counts.skipped);
    if (counts.truncated)
        console_say(self, "there are more: add a word");
    return true;
}

static void say_nothing_found(struct console *self)
{
    struct message_search_done counts = search_counts(self->found);
    /* A positive answer whose files were all unusable proves nothing either. */
    bool is_proven = search_state(self->found) == SEARCH_COMPLETE && counts.silent + counts.positive == 0;
    console_say(self, "%s",
                is_proven ? "nothing found: no other node has it"
                          : "nothing found, but not all nodes gave an answer: try again");
}

static void release_search(struct console *self)
{
    search_ask_destroy(&self->search_ask);
}

/* The results of the search that just ended are those that numbers mean from now on. */
static void take_found(struct console *self)
{
    search_destroy(&self->found);
    self->found = search_ask_take(self->search_ask);
}

static uint64_t tick_search(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = search_ask_tick(self->search_ask, now_ms);
    if (search_state(search_ask_search(self->search_ask)) == SEARCH_RUNNING)
        return next_ms;
    take_found(self);
    console_print_found(self);
    if (say_counts(self) && search_count(self->found) == 0)
        say_nothing_found(self);
    console_end(self);
    return UINT64_MAX;
}

bool console_find(struct console *self, const char *text)
{
    struct search_terms terms = {.mode = MODE_WORDS, .text = text_of(text)};
    struct broker_client *broker = console_broker(self);
    if (!broker)
        return false;
    if (terms.text.size > QUERY_TEXT_SIZE_MAX) {
        console_say(self, "that is longer than %d bytes: leave words out", QUERY_TEXT_SIZE_MAX);
        return false;
    }
    self->search_ask = search_ask_new(broker, &terms, CONSOLE_SEARCH_MS);
    console_begin(self, tick_search, release_search);
    console_wait_for(self, "searching");
    return true;
}

void console_search(struct console *self, const struct console_command *command)
{
    char *text = console_command_rest(command, 0);
    console_find(self, text);
    free(text);
}

/* Downloads. */

void console_order_found(struct console *self, size_t position)
{
    struct found_file found = search_at(self->found, position);
    struct downloads_source sources[SEARCH_SOURCES_MAX];
    for (size_t i = 0; i < found.source_count; i++) {
        const struct source_entry *source = &found.sources[i].source;
        sources[i] = (struct downloads_source){{true, source->node}, source->host, source->port};
    }
    struct downloads_order order = {
        .file = found.file, .sources = sources, .source_count = found.source_count};
    console_order(self, &order);
}

/* All words are numbers of the last search: orders them. */
static bool order_numbers(struct console *self, const struct console_command *command)
{
    size_t found_count = self->found ? search_count(self->found) : 0;
    struct console_range range;
    for (size_t i = 0; i < command->count; i++) {
        if (!console_range_read(command->words[i], &range) || range.last > found_count)
            return false;
    }
    for (size_t i = 0; i < command->count; i++) {
        console_range_read(command->words[i], &range);
        for (uint32_t number = range.first; number <= range.last; number++)
            console_order_found(self, number - 1);
    }
    return true;
}

/* Asks for the name next, if it was an id that nobody has. */
static bool go_on_with_name(struct console *self)
{
    if (!self->is_asking_id)
        return false;
    struct broker_client *broker = self->node->broker;
    struct search_terms terms = {.mode = MODE_EXACT, .text = text_of(self->wanted)};
    self->is_asking_id = false;
    search_ask_destroy(&self->search_ask);
    self->search_ask = search_ask_new(broker, &terms, CONSOLE_SEARCH_MS);
    return true;
}

static uint64_t tick_name(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = search_ask_tick(self->search_ask, now_ms);
    struct search *search = search_ask_search(self->search_ask);
    if (search_state(search) == SEARCH_RUNNING)
        return next_ms;
    size_t count = search_count(search);
    if (count == 0 && search_state(search) == SEARCH_COMPLETE && go_on_with_name(self))
        return now_ms;
    take_found(self);
    if (count == 1) {
        console_order_found(self, 0);
    } else if (count > 1) {
        console_print_found(self);
        console_say(self, "these are different files: choose with 'download NUMBER'");
    } else if (say_counts(self)) {
        say_nothing_found(self);
        console_say(self,
                    "a name must be exact: 'search' finds files by words; 'get NODE FILE' asks one node");
    }
    console_end(self);
    return UINT64_MAX;
}

static void release_name(struct console *self)
{
    search_ask_destroy(&self->search_ask);
    free(self->wanted);
    self->wanted = NULL;
}

void console_download_name(struct console *self, char *name)
{
    struct broker_client *broker = console_broker(self);
    struct console_range range;
    if (name[0] == '\0' || strlen(name) > QUERY_TEXT_SIZE_MAX) {
        console_say(self,
                    "a name has 1 to %d bytes here: find a longer one with 'search' and take its number",
                    QUERY_TEXT_SIZE_MAX);
    } else if (console_range_read(name, &range) && range.last <= SEARCH_FILES_MAX && !is_id_text(name)) {
        console_say(self, "the last search has no number %s: search first", name);
    } else if (broker) {
        self->is_asking_id = is_id_text(name);
        struct search_terms terms = {.mode = self->is_asking_id ? MODE_ID : MODE_EXACT,
                                     .text = text_of(name)};
        self->wanted = name;
        self->search_ask = search_ask_new(broker, &terms, CONSOLE_SEARCH_MS);
        console_begin(self, tick_name, release_name);
        console_wait_for(self, "searching");
        return;
    }
    free(name);
}

void console_download(struct console *self, const struct console_command *command)
{
    struct console_target target = {.name = command->words[0]};
    bool is_address = console_address_read(command->words[0], &target);
    char *all = console_command_rest(command, 0), *file = console_command_rest(command, 1);
    if (all[0] && all[strlen(all) - 1] == '/') {
        console_say(self, "what ends with / is a folder: 'zget FOLDER/' in a shell fetches it");
    } else if (command->count > 1 && is_address) {
        console_remote_download(self, &target, file, NULL);
    } else if (!order_numbers(self, command)) {
        if (command->count > 1) /* a node's name, or blanks in a file's */
            console_remote_download(self, &target, file, all);
        else
            console_download_name(self, text_copy(text_of(all)));
    }
    free(all);
    free(file);
}
