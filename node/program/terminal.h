/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_TERMINAL_H
#define NODE_PROGRAM_TERMINAL_H

/*
 * A line that is edited on a terminal (by libedit) while a loop runs. It is drawn on stderr, below at most
 * TERMINAL_STATUS_MAX lines that tell how things are. Whoever prints something calls
 * terminal_before_output() first: the line is taken off the screen, and drawn again when the loop has gone
 * round. Nothing here ever waits for the person, but for the rest of a key that sends several bytes.
 *
 * Signals: SIGWINCH and SIGTSTP are taken care of, SIGINT and SIGHUP are its owner's. In the background it
 * keeps away from the terminal.
 */
#include "messages/shell/loop.h"
#include "messages/text.h"

#include <stddef.h>
#include <stdio.h>

/* What runs at once is less. */
#define TERMINAL_STATUS_MAX 8

/* Lines that are kept from one start to the next. */
#define TERMINAL_HISTORY_MAX 1000

struct terminal_events {
    void *owner;
    void (*line)(void *owner, struct text line);
    void (*ended)(void *owner); /* Ctrl-D on an empty line */
    /* Tab, with what is left of the cursor: terminal_complete() is the answer. */
    void (*complete)(void *owner, struct text typed);
};

/* False when stdin is a terminal that another job has at this moment: reading from it would stop us. */
bool terminal_is_ours(void);

/* True when stdin and stderr are a terminal that is ours and can be written on anywhere. */
bool terminal_is_usable(void);

struct terminal;

/*
 * `screen` draws on stderr, in order with what others print there, and never waits; it is taken, also on
 * failure. `history` is a file, borrowed for the call. NULL with errno. The prompt appears when the loop goes
 * on.
 */
struct terminal *terminal_new(struct loop *loop, FILE *screen, const char *history,
                              const struct terminal_events *events);

/* The terminal is as it was before. */
void terminal_destroy(struct terminal **self_p);

/* Borrowed until the next call. */
void terminal_set_prompt(struct terminal *self, const char *prompt);

/* No lines and no prompt until it is released; what is typed meanwhile waits. */
void terminal_hold(struct terminal *self, bool is_held);

/* Forgets what was typed so far. False when there was nothing. */
bool terminal_clear_line(struct terminal *self);

void terminal_before_output(void *terminal);

/* Lines are escaped already, copied, and cut at the width; shown also while lines are held. */
void terminal_set_status(struct terminal *self, char *const *lines, size_t count);

/*
 * From within `complete`: the last `size` bytes before the cursor may become any of the candidates. What they
 * have in common is filled in, with a blank behind the only one unless it ends with a slash; true when that
 * is nothing, and the person should see all.
 */
bool terminal_complete(struct terminal *self, size_t size, char *const *candidates, size_t count);

#endif
