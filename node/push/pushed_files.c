/* SPDX-License-Identifier: MIT */
#include "node/push/pushed_files.h"

#include "messages/table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pushed_file {
    struct file_id id;
    uint64_t cost_bytes;
    UT_hash_handle hh;
};

struct pushed_files {
    struct pushed_file *files; /* in the order in which they came */
    uint64_t bytes;
};

struct pushed_files *pushed_files_new(void)
{
    struct pushed_files *self = calloc(1, sizeof *self);
    assert(self);
    return self;
}

static struct pushed_file *find(const struct pushed_files *self, const struct file_id *id)
{
    struct pushed_file *file;
    HASH_FIND(hh, self->files, id, sizeof *id, file);
    return file;
}

static void forget(struct pushed_files *self, struct pushed_file *file)
{
    self->bytes -= file->cost_bytes;
    HASH_DEL(self->files, file);
    free(file);
}

void pushed_files_destroy(struct pushed_files **self_p)
{
    struct pushed_files *self = *self_p;
    if (!self)
        return;
    while (self->files)
        forget(self, self->files);
    free(self);
    *self_p = NULL;
}

size_t pushed_files_count(const struct pushed_files *self)
{
    return HASH_COUNT(self->files);
}

bool pushed_files_add(struct pushed_files *self, const struct file_id *id, uint64_t cost_bytes)
{
    struct pushed_file *file = find(self, id);
    if (file)
        forget(self, file);
    if (cost_bytes == 0)
        return true;
    if (pushed_files_count(self) >= PUSHED_FILES_MAX || cost_bytes > UINT64_MAX - self->bytes)
        return false;
    file = calloc(1, sizeof *file);
    assert(file);
    *file = (struct pushed_file){.id = *id, .cost_bytes = cost_bytes};
    HASH_ADD(hh, self->files, id, sizeof file->id, file);
    self->bytes += cost_bytes;
    return true;
}

uint64_t pushed_files_bytes(const struct pushed_files *self, const struct file_id *but)
{
    const struct pushed_file *file = find(self, but);
    return self->bytes - (file ? file->cost_bytes : 0);
}

/* As text. */

void pushed_line_format(const struct file_id *file, uint64_t cost_bytes, char ret_line[PUSHED_LINE_SIZE])
{
    char id[ID_HEX_SIZE];
    hex_format(file->bytes, sizeof file->bytes, id);
    snprintf(ret_line, PUSHED_LINE_SIZE, "%llu %s\n", (unsigned long long)cost_bytes, id);
}

char *pushed_files_format(const struct pushed_files *self)
{
    char *text = malloc((size_t)HASH_COUNT(self->files) * PUSHED_LINE_SIZE + 1), *at = text;
    assert(text);
    *at = '\0';
    for (const struct pushed_file *file = self->files; file; file = file->hh.next, at += strlen(at))
        pushed_line_format(&file->id, file->cost_bytes, at);
    return text;
}

char *pushed_files_review(struct pushed_files *self, const struct holdings *holdings)
{
    char *text = NULL, *at = NULL;
    struct pushed_file *file, *next;
    size_t size_max = (size_t)HASH_COUNT(self->files) * PUSHED_LINE_SIZE;
    HASH_ITER(hh, self->files, file, next)
    {
        struct holding holding;
        if (holdings_by_id(holdings, &file->id, &holding) != HOLDINGS_NONE)
            continue;
        if (!text)
            text = at = malloc(size_max);
        assert(text);
        pushed_line_format(&file->id, 0, at);
        at += strlen(at);
        forget(self, file);
    }
    return text;
}

static void load_line(struct pushed_files *self, struct text line)
{
    uint64_t cost_bytes = 0;
    struct file_id id;
    size_t i = 0;
    for (; i < line.size && line.bytes[i] >= '0' && line.bytes[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(line.bytes[i] - '0');
        if (cost_bytes > (UINT64_MAX - digit) / 10)
            return;
        cost_bytes = cost_bytes * 10 + digit;
    }
    if (i > 0 && i < line.size && line.bytes[i] == ' ' &&
        hex_parse(line.bytes + i + 1, line.size - i - 1, id.bytes, sizeof id.bytes))
        pushed_files_add(self, &id, cost_bytes);
}

void pushed_files_load(struct pushed_files *self, struct text text)
{
    for (size_t at = 0; at < text.size;) {
        const char *end = memchr(text.bytes + at, '\n', text.size - at);
        size_t size = end ? (size_t)(end - text.bytes) - at : text.size - at;
        load_line(self, (struct text){text.bytes + at, size});
        at += size + 1;
    }
}
