/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_BAR_H
#define TOOLS_GET_BAR_H

/* How far it is: a bar on a terminal, and `progress` events, at most 4 times a second. */

#include "tools/cli/output.h"

struct bar_figures {
    uint64_t saved_bytes, wasted_bytes;
    unsigned sources;
};

struct bar;

/* `label` is text from outside, copied. size_bytes is what there is to come in all. */
struct bar *bar_new(struct output *output, struct text label, uint64_t size_bytes, bool is_quiet);
void bar_destroy(struct bar **self_p);

/* Where there are no sources to count: what is going on is shown in their place. Static text. */
void bar_set_doing(struct bar *self, const char *doing);

/* The clock of the rate starts. */
void bar_start(struct bar *self, uint64_t saved_bytes, uint64_t now_ms);

/* Returns when to call again. */
uint64_t bar_show(struct bar *self, const struct bar_figures *figures, uint64_t now_ms);

/* Before a line is printed, and at the end. */
void bar_clear(struct bar *self);

#endif
