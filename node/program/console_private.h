/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_PRIVATE_H
#define NODE_PROGRAM_CONSOLE_PRIVATE_H

/* What the parts of the console share. */

#include "node/console_command.h"
#include "node/program/console_ask.h"
#include "node/program/console_pipe.h"
#include "node/program/node.h"
#include "node/search.h"

/* A person waits: a broker or a node that says nothing for this long is given up. */
#define CONSOLE_ANSWER_MS 5000

/* As zsearch; the broker gathers for a little less. */
#define CONSOLE_SEARCH_MS 2500

/* A command that takes a while. */
struct console;

struct console_work {
    /* Called each round, returns the next deadline; ends the command with console_end(). NULL: none runs. */
    uint64_t (*tick)(struct console *self, uint64_t now_ms);
    void (*release)(struct console *self); /* frees what it made, done or not */
};

struct console {
    struct node *node;
    struct output *output;
    struct console_pipe *pipe;
    struct console_work work;
    uint64_t start_ms;    /* of the command */
    struct search *found; /* the last search, whose results have numbers; NULL before */
    struct search_ask *search_ask;
    struct peers_ask *peers_ask;
    struct status_ask *status_ask;
    size_t list_position; /* of list */
    bool is_open;
};

/* A command goes on in the background of the loop; no other line is read until it ends. */
void console_begin(struct console *self, uint64_t (*tick)(struct console *self, uint64_t now_ms),
                   void (*release)(struct console *self));
void console_end(struct console *self);

/* The broker client, when it can be asked; NULL after a line that says why not. */
struct broker_client *console_broker(struct console *self);

/* One line for the person, escaped. */
#define console_say(self, ...)   output_note((self)->output, __VA_ARGS__)
#define console_print(self, ...) output_line((self)->output, __VA_ARGS__)

/* Takes a malloc'd line. */
void console_say_text(struct console *self, char *text);

/* Commands; each has its operands checked for their number. */
typedef void console_action(struct console *self, const struct console_command *command);
console_action console_list, console_downloads, console_status, console_whoami, console_help, console_limit;
console_action console_search, console_download, console_pause, console_resume, console_cancel;
console_action console_peers, console_tracker, console_refresh;

#endif
