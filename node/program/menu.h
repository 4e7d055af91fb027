/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_MENU_H
#define NODE_PROGRAM_MENU_H

/*
 * The console by numbers, for who knows no command: download a file, list the download folder, leave. It
 * reads lines like the console; downloads run on meanwhile, their bars above the line that is typed.
 */
#include "messages/text.h"

#include <stdbool.h>
#include <stdint.h>

struct console;
struct menu;

/* `ends_node`: leaving it ends the node, for it was started with it. */
struct menu *menu_new(struct console *console, bool ends_node);
void menu_destroy(struct menu **self_p);

void menu_on_line(struct menu *self, struct text line);

/* Ctrl-C: one step back. False at the choice itself. */
bool menu_on_interrupt(struct menu *self);

/* What the menu had the console do is over. */
void menu_on_command_over(struct menu *self);

/* True once the person has left. */
bool menu_is_over(const struct menu *self);

/* Draws the bars. Returns when to do so again. */
uint64_t menu_tick(struct menu *self, uint64_t now_ms);

#endif
