/* SPDX-License-Identifier: MIT */
/* Finding files, and the numbers by which they are fetched. */
#include "node/program/console_private.h"

#include "messages/shell/loop.h"
#include "tools/cli/rows.h"

#include <stdlib.h>
#include <string.h>

static void print_found(struct console *self)
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

static bool start_search(struct console *self, uint8_t mode, const char *text,
                         uint64_t (*tick)(struct console *self, uint64_t now_ms))
{
    struct search_terms terms = {.mode = mode, .text = text_of(text)};
    struct broker_client *broker = console_broker(self);
    if (!broker)
        return false;
    if (terms.text.size > QUERY_TEXT_SIZE_MAX) {
        console_say(self, "that is longer than %d bytes: leave words out", QUERY_TEXT_SIZE_MAX);
        return false;
    }
    self->search_ask = search_ask_new(broker, &terms, CONSOLE_SEARCH_MS);
    console_begin(self, tick, release_search);
    return true;
}

static uint64_t tick_search(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = search_ask_tick(self->search_ask, now_ms);
    if (search_state(search_ask_search(self->search_ask)) == SEARCH_RUNNING)
        return next_ms;
    take_found(self);
    print_found(self);
    bool is_answered = say_counts(self);
    if (is_answered && search_count(self->found) == 0)
        console_say(self, search_counts(self->found).silent > 0
                              ? "nothing found, but some nodes did not answer: try again"
                              : "nothing found: no other node has it");
    console_end(self);
    return UINT64_MAX;
}

void console_search(struct console *self, const struct console_command *command)
{
    char *text = console_command_rest(command, 0);
    start_search(self, MODE_WORDS, text, tick_search);
    free(text);
}
