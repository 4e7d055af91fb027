/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_H
#define NODE_PROGRAM_CONSOLE_H

/*
 * What a person, or a script through a pipe, does with a running node. Commands run one after another, on the
 * loop's thread and without ever waiting there; what arrives meanwhile is read afterwards.
 *
 * On a terminal a line is edited (node/program/terminal.h); everything else on stdin is read line by line,
 * and its end does not end the node.
 */
struct console;
struct node;

/* Everything of the node has started. The node is borrowed. */
struct console *console_new(struct node *node);

/* Before anything of the node stops. Accepts NULL. */
void console_destroy(struct console **self_p);

/*
 * The node has something to say now: it has joined, or its broker is known to be missing. Only from here on
 * commands are read, so that nothing comes before the line `ready`. Nothing happens when it is open already,
 * or NULL.
 */
void console_open(struct console *self);

#endif
