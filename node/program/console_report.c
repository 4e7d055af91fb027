/* SPDX-License-Identifier: MIT */
/* What is known here without asking anybody. */
#include "node/program/console_downloads.h"
#include "node/program/console_private.h"
#include "node/program/console_remote.h"

#include "node/program/settings.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Files printed before others get a turn in the loop. */
#define FILES_PER_ROUND 256

/* A reader that is behind gets time to catch up: the list waits, the node does not. */
#define READER_MS 50

/* Files. */

static void print_file(struct console *self, const struct shares_file_view *file)
{
    char state[FILE_STATE_WIDTH + 8] = "shared";
    if (file->state == SHARE_UNREADABLE)
        snprintf(state, sizeof state, "unreadable");
    else if (file->state == SHARE_UNHASHED)
        snprintf(state, sizeof state, "hash %3u %%",
                 file->hashed_bytes == 0 ? 0 : console_percent(file->hashed_bytes, file->size));
    own_file_line(self->output, file->state == SHARE_READY ? &file->id : NULL, file->size, state, file->name);
}

/* `3 files, 1.2 GiB; 2 more, 900 MiB, are still being hashed`. */
static void describe_files(const struct console *self, char *ret_text, size_t size)
{
    struct shares_figures figures = shares_figures(self->node->shares);
    uint64_t files, bytes;
    char all[SIZE_TEXT_SIZE], left[SIZE_TEXT_SIZE], more[80] = "";
    holdings_totals(self->node->holdings, &files, &bytes);
    size_format(bytes, all);
    size_format(figures.waiting_bytes, left);
    if (figures.scan_count == 0)
        snprintf(more, sizeof more, "; the first scan is not over yet");
    else if (figures.waiting_files > 0)
        snprintf(more, sizeof more, "; %zu more, %s, are still being hashed", figures.waiting_files, left);
    snprintf(ret_text, size, "%llu %s, %s%s", (unsigned long long)files, files == 1 ? "file" : "files", all,
             more);
}

/* Of a folder only what is below it. */
static bool is_listed(const struct console *self, size_t position)
{
    if (!self->list_folder)
        return true;
    char *path = shares_file_path(self->node->shares, position);
    size_t size = strlen(self->list_folder);
    bool is_below = path && strncmp(path, self->list_folder, size) == 0 && path[size] == '/';
    free(path);
    return is_below;
}

static void end_list(struct console *self)
{
    char text[160];
    if (self->list_folder) {
        console_say(self, "%zu %s in %s", self->list_count, self->list_count == 1 ? "file" : "files",
                    self->list_folder);
        console_end(self);
        return;
    }
    describe_files(self, text, sizeof text);
    if (self->node->downloads)
        console_print_downloads(self, false);
    console_say(self, "%s", text);
    console_end(self);
}

static uint64_t tick_list(struct console *self, uint64_t now_ms)
{
    size_t count = shares_file_count(self->node->shares);
    if (!output_has_room(self->output))
        return now_ms + READER_MS;
    for (size_t i = 0; i < FILES_PER_ROUND && self->list_position < count; i++) {
        size_t position = self->list_position++;
        if (!is_listed(self, position))
            continue;
        struct shares_file_view file = shares_file_at(self->node->shares, position);
        if (self->list_count++ == 0)
            own_file_title(self->output);
        print_file(self, &file);
    }
    if (self->list_position < count && !output_is_broken(self->output))
        return now_ms;
    end_list(self);
    return UINT64_MAX;
}

void console_list_own(struct console *self, const char *folder)
{
    self->list_position = self->list_count = 0;
    self->list_folder = folder;
    console_begin(self, tick_list, NULL);
}

void console_list(struct console *self, const struct console_command *command)
{
    struct console_target target;
    if (command->count == 0) {
        console_list_own(self, NULL);
        return;
    }
    char *problem = console_target_read(command->words, command->count, &target);
    if (problem)
        console_say(self, "%s", problem);
    else
        console_remote_list(self, &target);
    free(problem);
}

/* This node. */

/* `5 s`, `12 min`, `3 h 20 min`, `4 d 2 h`. */
void console_describe_ms(uint64_t ms, char ret_text[DURATION_TEXT_SIZE])
{
    unsigned long long s = ms / 1000, min = s / 60, h = min / 60;
    if (s < 60)
        snprintf(ret_text, DURATION_TEXT_SIZE, "%llu s", s);
    else if (min < 60)
        snprintf(ret_text, DURATION_TEXT_SIZE, "%llu min", min);
    else if (h < 24)
        snprintf(ret_text, DURATION_TEXT_SIZE, "%llu h %llu min", h, min % 60);
    else
        snprintf(ret_text, DURATION_TEXT_SIZE, "%llu d %llu h", h / 24, h % 24);
}

static void print_address(struct console *self)
{
    const struct node *node = self->node;
    char endpoint[ENDPOINT_TEXT_SIZE];
    const struct host *host = node->joined_ms         ? &node->seen_host
                              : node->is_bound_to_one ? &node->bound
                                                      : NULL;
    if (!node->is_bound)
        console_print(self, "address    none yet: the broker assigns the port");
    else if (host) {
        endpoint_format(host, node->state.port, endpoint);
        console_print(self, "address    %s%s", endpoint,
                      host_is_loopback(host) ? " (this machine only)" : "");
    } else {
        console_print(self, "address    port %u of this machine", node->state.port);
    }
}

void console_whoami(struct console *self, const struct console_command *command)
{
    (void)command;
    const struct node *node = self->node;
    char id[2 * sizeof node->state.id.bytes + 1];
    hex_format(node->state.id.bytes, sizeof node->state.id.bytes, id);
    console_print(self, "name       %s", node->state.name ? node->state.name : "none yet");
    print_address(self);
    console_print(self, "id         %s", id);
}

static void print_broker(struct console *self)
{
    const struct node *node = self->node;
    char endpoint[ENDPOINT_FORMAT_SIZE], since[DURATION_TEXT_SIZE];
    endpoint_show(&settings.broker, endpoint);
    console_describe_ms(clock_now_ms() - node->joined_ms, since);
    if (!node->broker)
        console_print(self, "broker     none (--no-broker)");
    else if (broker_client_is_joined(node->broker))
        console_print(self, "broker     %s, joined %s ago", endpoint, since);
    else
        console_print(self, "broker     %s, not joined: trying again", endpoint);
}

static void print_transfers(struct console *self)
{
    struct peer_server_figures sending = data_port_figures(self->node->port);
    struct console_downloads_figures figures = console_downloads_figures(self);
    char sent[SIZE_TEXT_SIZE], rate[SIZE_TEXT_SIZE];
    size_format(sending.data_bytes_sent, sent);
    rate_format(figures.rate, rate);
    console_print(self, "sent       %s, %zu %s connected", sent, sending.sessions,
                  sending.sessions == 1 ? "node" : "nodes");
    console_print(self, "downloads  %zu active at %s, %zu waiting, %zu paused, %zu done, %zu failed",
                  figures.counts[DOWNLOADS_ACTIVE], rate, figures.counts[DOWNLOADS_WAITING],
                  figures.counts[DOWNLOADS_PAUSED], figures.counts[DOWNLOADS_DONE],
                  figures.counts[DOWNLOADS_FAILED]);
}

void console_status(struct console *self, const struct console_command *command)
{
    const struct node *node = self->node;
    char files[160], up[SIZE_TEXT_SIZE], down[SIZE_TEXT_SIZE];
    console_whoami(self, command);
    print_broker(self);
    describe_files(self, files, sizeof files);
    console_print(self, "files      %s", files);
    print_transfers(self);
    for (size_t i = 0; i < shares_folder_count(node->shares); i++) {
        struct shares_folder_view folder = shares_folder_at(node->shares, i);
        console_print(self, "%-10s %s%s", i == 0 ? "folders" : "", folder.path,
                      !folder.is_there ? " (gone)"
                      : folder.is_flat ? " (without those in it)"
                                       : "");
    }
    if (node->download_folder)
        console_print(self, "lands in   %s", node->download_folder);
    rate_format(settings.up_rate, up);
    rate_format(settings.down_rate, down);
    console_print(self, "limits     up %s, down %s", settings.up_rate ? up : "none",
                  settings.down_rate ? down : "none");
    console_print(self, "state in   %s", node->state.folder);
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
