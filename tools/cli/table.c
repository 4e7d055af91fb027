/* SPDX-License-Identifier: MIT */
#include "tools/cli/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

struct table {
    size_t column_count;
    bool is_right[TABLE_COLUMNS_MAX], may_be_cut[TABLE_COLUMNS_MAX];
    char **cells; /* row by row, the titles first */
    size_t cell_count, cell_capacity;
};

size_t text_width(struct text t)
{
    size_t width = 0, offset = 0;
    while (offset < t.size) {
        utf8proc_int32_t point;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)t.bytes + offset,
                                                 (utf8proc_ssize_t)(t.size - offset), &point);
        if (size <= 0)
            return width + (t.size - offset);
        width += (size_t)utf8proc_charwidth(point);
        offset += (size_t)size;
    }
    return width;
}

struct table *table_new(const char *const *titles)
{
    struct table *self = calloc(1, sizeof *self);
    assert(self);
    for (; titles[self->column_count]; self->column_count++) {
        assert(self->column_count < TABLE_COLUMNS_MAX);
        self->is_right[self->column_count] = titles[self->column_count][0] == '>';
        self->may_be_cut[self->column_count] = titles[self->column_count][0] == '~';
    }
    for (size_t i = 0; i < self->column_count; i++)
        table_cell_string(self, titles[i] + (self->is_right[i] || self->may_be_cut[i] ? 1 : 0));
    return self;
}

void table_destroy(struct table **self_p)
{
    struct table *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->cell_count; i++)
        free(self->cells[i]);
    free(self->cells);
    free(self);
    *self_p = NULL;
}

void table_cell(struct table *self, struct text cell)
{
    if (self->cell_count == self->cell_capacity) {
        self->cell_capacity = self->cell_capacity ? 2 * self->cell_capacity : 64;
        self->cells = reallocarray(self->cells, self->cell_capacity, sizeof *self->cells);
        assert(self->cells);
    }
    self->cells[self->cell_count++] = text_escape(cell);
}

void table_cell_string(struct table *self, const char *cell)
{
    table_cell(self, text_of(cell));
}

size_t terminal_columns(int fd)
{
    struct winsize size;
    if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return SIZE_MAX;
    return size.ws_col;
}

/* The bytes of the code point at `offset`, and of the marks that combine with it. */
static size_t cluster_size(struct text t, size_t offset, size_t *ret_width)
{
    size_t end = offset, width = 0;
    while (end < t.size) {
        utf8proc_int32_t point;
        utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)t.bytes + end,
                                                 (utf8proc_ssize_t)(t.size - end), &point);
        size_t point_width = size <= 0 ? 1 : (size_t)utf8proc_charwidth(point);
        if (end > offset && point_width > 0)
            break;
        width += point_width;
        end += size <= 0 ? 1 : (size_t)size;
    }
    *ret_width = width;
    return end - offset;
}

char *text_fit(const char *text, size_t columns)
{
    struct text t = text_of(text);
    if (columns < COLUMNS_MIN)
        columns = COLUMNS_MIN;
    if (text_width(t) <= columns)
        return text_copy(t);
    size_t size = 0, width = 0, next_width, next;
    while ((next = cluster_size(t, size, &next_width)) > 0 && width + next_width < columns) {
        size += next;
        width += next_width;
    }
    char *fitted = NULL;
    int written = asprintf(&fitted, "%.*s\u2026", (int)size, text);
    assert(written >= 0);
    return fitted;
}

/* Takes what the row has too much from the columns that may be cut, the last one first. */
static void fit_widths(const struct table *self, size_t columns, size_t *widths)
{
    size_t sum = 2 * (self->column_count - 1);
    for (size_t i = 0; i < self->column_count; i++)
        sum += widths[i];
    for (size_t i = self->column_count; i-- > 0 && sum > columns;) {
        if (!self->may_be_cut[i] || widths[i] <= COLUMNS_MIN)
            continue;
        size_t too_much = sum - columns, spare = widths[i] - COLUMNS_MIN;
        size_t less = too_much < spare ? too_much : spare;
        widths[i] -= less;
        sum -= less;
    }
}

static void print_row(const struct table *self, char *const *cells, const size_t *widths,
                      struct output *output)
{
    char *line = NULL;
    size_t line_size = 0;
    FILE *stream = open_memstream(&line, &line_size);
    assert(stream);
    for (size_t column = 0; column < self->column_count; column++) {
        char *cell = self->may_be_cut[column] ? text_fit(cells[column], widths[column])
                                              : text_copy(text_of(cells[column]));
        int padding = (int)(widths[column] - text_width(text_of(cell)));
        bool is_last = column + 1 == self->column_count;
        if (self->is_right[column])
            fprintf(stream, "%*s%s", padding, "", cell);
        else
            fprintf(stream, "%s%*s", cell, is_last ? 0 : padding, "");
        if (!is_last)
            fputs("  ", stream);
        free(cell);
    }
    fclose(stream);
    output_line(output, "%s", line);
    free(line);
}

void table_print(const struct table *self, struct output *output)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    assert(self->cell_count % self->column_count == 0);
    for (size_t i = 0; i < self->cell_count; i++) {
        size_t width = text_width(text_of(self->cells[i])), *widest = &widths[i % self->column_count];
        *widest = width > *widest ? width : *widest;
    }
    fit_widths(self, terminal_columns(STDOUT_FILENO), widths);
    for (size_t row = 0; row < self->cell_count; row += self->column_count)
        print_row(self, self->cells + row, widths, output);
}
