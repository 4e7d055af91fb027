/* SPDX-License-Identifier: MIT */
#include "tools/cli/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct table {
    size_t column_count;
    bool is_right[TABLE_COLUMNS_MAX];
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
    }
    for (size_t i = 0; i < self->column_count; i++)
        table_cell_string(self, titles[i] + (self->is_right[i] ? 1 : 0));
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

void table_print(const struct table *self, struct output *output)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    assert(self->cell_count % self->column_count == 0);
    for (size_t i = 0; i < self->cell_count; i++) {
        size_t width = text_width(text_of(self->cells[i])), *widest = &widths[i % self->column_count];
        *widest = width > *widest ? width : *widest;
    }
    for (size_t row = 0; row < self->cell_count; row += self->column_count) {
        char *line = NULL;
        size_t line_size = 0;
        FILE *stream = open_memstream(&line, &line_size);
        assert(stream);
        for (size_t column = 0; column < self->column_count; column++) {
            const char *cell = self->cells[row + column];
            int padding = (int)(widths[column] - text_width(text_of(cell)));
            bool is_last = column + 1 == self->column_count;
            if (self->is_right[column])
                fprintf(stream, "%*s%s", padding, "", cell);
            else
                fprintf(stream, "%s%*s", cell, is_last ? 0 : padding, "");
            if (!is_last)
                fputs("  ", stream);
        }
        fclose(stream);
        output_line(output, "%s", line);
        free(line);
    }
}
