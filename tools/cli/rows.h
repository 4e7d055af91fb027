/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_ROWS_H
#define TOOLS_CLI_ROWS_H

/* Rows that more than one program prints, so that all look alike. */

#include "messages/message.h"
#include "tools/cli/table.h"

/* Digits of an id that are shown: enough to tell files apart, and to fetch one. */
#define ID_DIGITS_SHOWN 12

/* Files of a node, `ID SIZE NAME`: line by line, for there may be more of them than memory. */
void file_lines_title(struct output *output);
void file_line(struct output *output, const struct file_entry *file);

/* The same for this node's own files, `ID SIZE STATE NAME`; `id` is NULL while it is not known. */
#define FILE_STATE_WIDTH 10
void own_file_title(struct output *output);
void own_file_line(struct output *output, const struct file_id *id, uint64_t size_bytes, const char *state,
                   struct text name);

/* `ID SIZE SOURCES NAME`, with numbers in front when they are of use. */
struct table *found_table_new(bool has_numbers);
void found_table_row(struct table *table, size_t number, const struct file_entry *file, size_t source_count);

/* `IP PORT NAME FILES BYTES`. */
struct table *peer_table_new(void);
void peer_table_row(struct table *table, const struct source_entry *peer, uint64_t files, uint64_t bytes);

#endif
