/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_CONSOLE_DOWNLOADS_H
#define NODE_PROGRAM_CONSOLE_DOWNLOADS_H

/* The node's downloads as the console and the menu show them. Without a data port yet there are none. */

#include "node/program/console_private.h"

struct console_downloads_figures {
    size_t counts[DOWNLOADS_FAILED + 1]; /* by state */
    uint64_t rate;
};
struct console_downloads_figures console_downloads_figures(const struct console *self);

/* As a table; without those that are over unless `has_ended`. */
void console_print_downloads(struct console *self, bool has_ended);

/* 0 to 100; of nothing all is there. */
unsigned console_percent(uint64_t part, uint64_t whole);

#endif
