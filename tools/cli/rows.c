/* SPDX-License-Identifier: MIT */
#include "tools/cli/rows.h"

#include "tools/cli/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* `head` is all before the name, of the width that it takes on a terminal. */
static void print_line(struct output *output, const char *head, struct text name)
{
    char *escaped = text_escape(name);
    size_t columns = terminal_columns(STDOUT_FILENO), before = strlen(head);
    char *fitted = text_fit(escaped, columns > before ? columns - before : 0);
    output_line(output, "%s%s", head, fitted);
    free(fitted);
    free(escaped);
}

void file_lines_title(struct output *output)
{
    output_line(output, "%-*s  %8s  NAME", ID_DIGITS_SHOWN, "ID", "SIZE");
}

void file_line(struct output *output, const struct file_entry *file)
{
    char id[ID_DIGITS_SHOWN + 1], size[SIZE_TEXT_SIZE], head[64];
    hex_format(file->id.bytes, ID_DIGITS_SHOWN / 2, id);
    size_format(file->size, size);
    snprintf(head, sizeof head, "%s  %8s  ", id, size);
    print_line(output, head, file->name);
}

void own_file_title(struct output *output)
{
    output_line(output, "%-*s  %8s  %-*s  NAME", ID_DIGITS_SHOWN, "ID", "SIZE", FILE_STATE_WIDTH, "STATE");
}

void own_file_line(struct output *output, const struct file_id *id, uint64_t size_bytes, const char *state,
                   struct text name)
{
    char digits[ID_DIGITS_SHOWN + 1] = "-", size[SIZE_TEXT_SIZE], head[64];
    if (id)
        hex_format(id->bytes, ID_DIGITS_SHOWN / 2, digits);
    size_format(size_bytes, size);
    snprintf(head, sizeof head, "%-*s  %8s  %-*s  ", ID_DIGITS_SHOWN, digits, size, FILE_STATE_WIDTH, state);
    print_line(output, head, name);
}

static void number_cell(struct table *table, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    table_cell_string(table, text);
}

struct table *found_table_new(bool has_numbers)
{
    static const char *const titles[] = {">NO", "ID", ">SIZE", ">SOURCES", "~NAME", NULL};
    return table_new(has_numbers ? titles : titles + 1);
}

void found_table_row(struct table *table, size_t number, const struct file_entry *file, size_t source_count)
{
    char id[ID_DIGITS_SHOWN + 1], size[SIZE_TEXT_SIZE];
    hex_format(file->id.bytes, ID_DIGITS_SHOWN / 2, id);
    size_format(file->size, size);
    if (number > 0)
        number_cell(table, number);
    table_cell_string(table, id);
    table_cell_string(table, size);
    number_cell(table, source_count);
    table_cell(table, file->name);
}

struct table *peer_table_new(void)
{
    return table_new((const char *const[]){"IP", ">PORT", "~NAME", ">FILES", ">BYTES", NULL});
}

void peer_table_row(struct table *table, const struct source_entry *peer, uint64_t files, uint64_t bytes)
{
    char host[HOST_TEXT_SIZE], size[SIZE_TEXT_SIZE];
    host_format(&peer->host, host);
    size_format(bytes, size);
    table_cell_string(table, host);
    number_cell(table, peer->port);
    table_cell(table, peer->name);
    number_cell(table, files);
    table_cell_string(table, size);
}
