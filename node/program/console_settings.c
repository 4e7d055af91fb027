/* SPDX-License-Identifier: MIT */
/* What can be changed while the node runs: folders and rates. */
#include "node/program/console_private.h"

#include "node/program/settings.h"
#include "node/program/shared_folders.h"
#include "tools/cli/table.h"
#include "tools/cli/value.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Folders. */

/* `~/x` is below the home folder, as in a shell; malloc'd. */
static char *expand(const char *path)
{
    char *expanded = NULL;
    const char *home = getenv("HOME");
    bool is_home = path[0] == '~' && (path[1] == '/' || path[1] == '\0');
    if (!is_home || !home || asprintf(&expanded, "%s%s", home, path + 1) < 0)
        return text_copy(text_of(path));
    return expanded;
}

static void print_folders(struct console *self)
{
    struct table *table = table_new((const char *const[]){"STATE", "~FOLDER", NULL});
    size_t count = shares_folder_count(self->node->shares);
    for (size_t i = 0; i < count; i++) {
        struct shares_folder_view folder = shares_folder_at(self->node->shares, i);
        table_cell_string(table, !folder.is_there ? "gone" : folder.is_watched ? "watched" : "scanned");
        table_cell_string(table, folder.path);
    }
    if (count > 0)
        table_print(table, self->output);
    else
        console_say(self, "no folder is shared");
    table_destroy(&table);
}

static void say_share_refused(struct console *self, const char *path, int error)
{
    if (error == EEXIST)
        console_say(self, "'%s' is shared already", path);
    else if (error == ENOSPC)
        console_say(self, "cannot share '%s': at most %d folders; 'unshare' one", path, SHARES_FOLDERS_MAX);
    else
        console_say(self, "cannot share '%s': %s; give a folder that you may read", path, strerror(error));
}

void console_share(struct console *self, const struct console_command *command)
{
    if (command->count == 0) {
        print_folders(self);
        return;
    }
    char *path = expand(command->words[0]);
    switch (shared_folders_add(self->node, path)) {
    case SHARED_FOLDERS_OK:
        console_say(self, "sharing '%s' from now on", path);
        break;
    case SHARED_FOLDERS_NOT_KEPT:
        console_say(self, "sharing '%s' until this node ends: cannot write to %s: %s", path,
                    self->node->state.folder, strerror(errno));
        break;
    case SHARED_FOLDERS_REFUSED:
        say_share_refused(self, path, errno);
        break;
    }
    free(path);
}

void console_unshare(struct console *self, const struct console_command *command)
{
    char *path = expand(command->words[0]);
    switch (shared_folders_remove(self->node, path)) {
    case SHARED_FOLDERS_OK:
        console_say(self, "'%s' is shared no more; its files stay where they are", path);
        break;
    case SHARED_FOLDERS_NOT_KEPT:
        console_say(self, "'%s' is shared no more until the next start%s%s", path, errno ? ": " : "",
                    errno ? strerror(errno) : ", which shares it as its options say");
        break;
    case SHARED_FOLDERS_REFUSED:
        console_say(self, "'%s' is not shared: 'share' lists the folders", path);
        break;
    }
    free(path);
}

/* Rates. */

static void print_limit(struct console *self, const char *what, uint64_t rate)
{
    char text[SIZE_TEXT_SIZE];
    rate_format(rate, text);
    console_print(self, "%-5s  %s", what, rate == 0 ? "no limit" : text);
}

void console_limit(struct console *self, const struct console_command *command)
{
    struct node *node = self->node;
    uint64_t rate;
    if (command->count == 2) {
        bool is_up = strcmp(command->words[0], "up") == 0;
        if (!is_up && strcmp(command->words[0], "down") != 0) {
            console_say(self, "'%s' is neither up nor down: 'limit down 5M'", command->words[0]);
            return;
        }
        if (!size_parse(command->words[1], &rate)) {
            console_say(self,
                        "'%s' is not a rate: a number with K, M, G, kbit, Mbit or Gbit, or 0 for no limit",
                        command->words[1]);
            return;
        }
        if (is_up) {
            settings.up_rate = rate;
            data_port_set_up_rate(node->port, rate);
        } else {
            settings.down_rate = rate;
            if (node->downloads)
                downloads_set_rate(node->downloads, rate);
        }
    } else if (command->count == 1) {
        console_say(self, "usage: limit [up | down RATE]; for example: limit down 5M");
        return;
    }
    print_limit(self, "up", settings.up_rate);
    print_limit(self, "down", settings.down_rate);
}
