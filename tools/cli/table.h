/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_TABLE_H
#define TOOLS_CLI_TABLE_H

/*
 * Aligned columns. Cells are kept until the table is printed, so it is for results of bounded length. Widths
 * are those of a terminal: wide characters count two, combining marks none. On a terminal a row that is too
 * long loses the end of its name, never a number or an id; into a pipe everything goes as it is.
 */

#include "tools/cli/output.h"

#define TABLE_COLUMNS_MAX 8 /* what fits 80 characters */

struct table;

/* Titles, NULL-terminated; `>` in front makes a column aligned to the right, `~` one that may be cut. */
struct table *table_new(const char *const *titles);
void table_destroy(struct table **self_p);

/* The next cell, row by row; copied and escaped. */
void table_cell(struct table *self, struct text cell);
void table_cell_string(struct table *self, const char *cell);

/* Titles and rows to stdout. The last column is not padded. */
void table_print(const struct table *self, struct output *output);

/* The columns that escaped, valid UTF-8 takes on a terminal. */
size_t text_width(struct text t);

/* A copy that takes at most so many columns (but for COLUMNS_MIN), its end an ellipsis if it was cut;
 * malloc'd. */
#define COLUMNS_MIN 8 /* of what is cut: less says nothing */
char *text_fit(const char *text, size_t columns);

/* The width of the terminal; SIZE_MAX when it is none. */
size_t terminal_columns(int fd);

#endif
