/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_PRIVATE_H
#define NODE_PROGRAM_CONSOLE_PRIVATE_H

/* What the parts of the console share. */

#include "node/console_command.h"
#include "node/link/search.h"
#include "node/program/console_ask.h"
#include "node/program/console_pipe.h"
#include "node/program/node.h"
#include "node/program/terminal.h"
#include "node/shell/downloads/downloads.h"

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
    struct console_pipe *pipe; /* one of the two, or none with --daemon on a terminal */
    struct terminal *terminal;
    struct menu *menu; /* NULL: commands are read */
    struct console_work work;
    char *waiting;       /* for what the command does; NULL when that was not told */
    uint64_t waiting_ms; /* since when */
    bool is_waiting_shown;
    struct search *found; /* the last search, whose results have numbers; NULL before */
    struct search_ask *search_ask;
    struct peers_ask *peers_ask;
    struct status_ask *status_ask;
    char *wanted;      /* the name or id of a download while it is looked for */
    bool is_asking_id; /* `wanted` is tried as an id first */
    struct console_remote *remote;
    struct console_push *push;
    struct listed_peer *peers; /* those that were listed last, for completion */
    size_t peer_count;
    struct peers_ask *peers_learnt; /* asked for completion alone, beside any command */
    const char *list_folder;        /* of list: only files in it; NULL for all */
    size_t list_position, list_count;
    bool is_open;
    bool was_interrupted; /* and nothing was typed since */
};

/* A command goes on in the background of the loop; no other line is read until it ends. */
void console_begin(struct console *self, uint64_t (*tick)(struct console *self, uint64_t now_ms),
                   void (*release)(struct console *self));
void console_end(struct console *self);

/* What the command that runs waits for, for the person to see if it takes long. */
void console_wait_for(struct console *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The broker client, when it can be asked; NULL after a line that says why not. */
struct broker_client *console_broker(struct console *self);

/* One line for the person, escaped. */
#define console_say(self, ...)                                                                               \
    (output_flush((self)->output), output_note((self)->output, __VA_ARGS__)) /* in the order of telling */
#define console_print(self, ...) output_line((self)->output, __VA_ARGS__)

void console_forget_peers(struct console *self);

/* Asks who is there, silently, for the next completion. The tick takes the answer, as of *_ask_tick(). */
void console_learn_peers(struct console *self);
uint64_t console_learn_tick(struct console *self, uint64_t now_ms);

/* Adds a download and tells its number, or why not. */
void console_order(struct console *self, const struct downloads_order *order);

/* Result `position` of the last search. */
void console_order_found(struct console *self, size_t position);
void console_print_found(struct console *self);

/* Downloads the file of this name or id from whoever has it; takes `name`. */
void console_download_name(struct console *self, char *name);

/* Begins to look for words as `search` does; false after a line that says why not. */
bool console_find(struct console *self, const char *text);

/* Begins to print the files that this node shares; `folder` is borrowed. */
void console_list_own(struct console *self, const char *folder);

/* `5 s`, `12 min`, `3 h 20 min`, `4 d 2 h`. */
#define DURATION_TEXT_SIZE 32
void console_describe_ms(uint64_t ms, char ret_text[DURATION_TEXT_SIZE]);

/* Tab: what may stand at the end of what was typed. */
void console_complete(struct console *self, struct text typed);

/* Commands; each has its operands checked for their number. */
typedef void console_action(struct console *self, const struct console_command *command);
console_action console_list, console_downloads, console_status, console_whoami, console_help, console_limit;
console_action console_search, console_download, console_pause, console_resume, console_cancel;
console_action console_peers, console_tracker, console_refresh;
console_action console_push, console_share, console_unshare;

#endif
