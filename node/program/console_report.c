/* SPDX-License-Identifier: MIT */
/* What is known here without asking anybody. */
#include "node/program/console_private.h"

#include "node/program/settings.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files printed before others get a turn in the loop. */
#define FILES_PER_ROUND 256

/* Files. */

static void print_file(struct console *self, const struct shares_file_view *file)
{
    char progress[32] = "shared";
    if (file->state == SHARE_UNREADABLE)
        snprintf(progress, sizeof progress, "unreadable");
    else if (file->state == SHARE_UNHASHED && file->hashed_bytes == 0)
        snprintf(progress, sizeof progress, "waiting");
    else if (file->state == SHARE_UNHASHED)
        snprintf(progress, sizeof progress, "hash %3u %%",
                 (unsigned)(file->size ? (double)file->hashed_bytes * 100 / (double)file->size : 0));
    own_file_line(self->output, file->state == SHARE_READY ? &file->id : NULL, file->size, progress,
                  file->name);
}

static void say_files(struct console *self)
{
    struct shares_figures figures = shares_figures(self->node->shares);
    uint64_t files, bytes;
    char size[SIZE_TEXT_SIZE];
    holdings_totals(self->node->holdings, &files, &bytes);
    size_format(bytes, size);
    console_say(self, "%llu %s, %s%s", (unsigned long long)files, files == 1 ? "file" : "files", size,
                figures.scan_count == 0 ? "; the first scan is not over yet" : "");
}

static uint64_t tick_list(struct console *self, uint64_t now_ms)
{
    size_t count = shares_file_count(self->node->shares);
    for (size_t i = 0; i < FILES_PER_ROUND && self->list_position < count; i++) {
        struct shares_file_view file = shares_file_at(self->node->shares, self->list_position++);
        print_file(self, &file);
    }
    if (self->list_position < count && !output_is_broken(self->output))
        return now_ms;
    say_files(self);
    console_end(self);
    return UINT64_MAX;
}

void console_list(struct console *self, const struct console_command *command)
{
    (void)command;
    self->list_position = 0;
    if (shares_file_count(self->node->shares) > 0)
        own_file_title(self->output);
    console_begin(self, tick_list, NULL);
}

/* This node. */

void console_whoami(struct console *self, const struct console_command *command)
{
    (void)command;
    const struct node *node = self->node;
    char id[2 * sizeof node->state.id.bytes + 1];
    hex_format(node->state.id.bytes, sizeof node->state.id.bytes, id);
    console_print(self, "name        %s",
                  node->state.name ? node->state.name : "(not known before the port is)");
    console_print(self, "port        %u", node->state.port);
    console_print(self, "id          %s", id);
}

void console_status(struct console *self, const struct console_command *command)
{
    console_whoami(self, command);
    say_files(self);
}

/* Help. */

static void help_with(struct console *self, const struct console_row *row)
{
    size_t size = strcspn(row->names, " ");
    console_print(self, "%.*s%s%s", (int)size, row->names, row->operands[0] ? " " : "", row->operands);
    if (row->names[size])
        console_print(self, "  also: %s", row->names + size + 1);
    for (const char *at = row->detail; *at;) {
        size_t line = strcspn(at, "\n");
        console_print(self, "  %.*s", (int)line, at);
        at += line + (at[line] == '\n');
    }
    console_print(self, "  example: %s", row->example);
}

void console_help(struct console *self, const struct console_command *command)
{
    if (command->count == 0) {
        for (size_t i = 0; i < CONSOLE_VERBS; i++)
            console_print(self, "%-20s %s", console_rows[i].names, console_rows[i].summary);
        console_say(self, "'help COMMAND' shows its arguments and an example");
        return;
    }
    const struct console_row *row = console_row_named(command->words[0]);
    if (row)
        help_with(self, row);
    else
        console_say(self, "no command '%s': 'help' lists all", command->words[0]);
}
