/* SPDX-License-Identifier: MIT */
#include "node/share/manifest.h"

#include "messages/name.h"
#include "messages/table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A line has these and no more. */
#define WORDS_MAX 2

/* A name that was defined. */
struct defined {
    const char *name; /* the entry's */
    size_t line;
    UT_hash_handle hh;
};

struct word {
    char *bytes; /* room for the whole line */
    size_t size;
};

struct line {
    struct text rest; /* not read yet */
    struct word words[WORDS_MAX];
    size_t count;
};

enum word_result {
    WORD_READ,
    WORD_NONE,
    WORD_UNCLOSED,
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static char take(struct text *text)
{
    text->size--;
    return *text->bytes++;
}

/* Reads up to the closing quote. */
static bool read_quoted(struct text *rest, char quote, struct word *word)
{
    while (rest->size > 0) {
        char c = take(rest);
        if (c == quote)
            return true;
        if (c == '\\' && quote == '"') {
            if (rest->size == 0)
                return false;
            c = take(rest);
        }
        word->bytes[word->size++] = c;
    }
    return false;
}

/* `word->bytes` has room for all that is left of the line. */
static enum word_result read_word(struct text *rest, struct word *word)
{
    word->size = 0;
    while (rest->size > 0 && is_blank(*rest->bytes))
        take(rest);
    if (rest->size == 0 || *rest->bytes == '#')
        return WORD_NONE;
    while (rest->size > 0 && !is_blank(*rest->bytes)) {
        char c = take(rest);
        if (c == '"' || c == '\'') {
            if (!read_quoted(rest, c, word))
                return WORD_UNCLOSED;
            continue;
        }
        if (c == '\\') {
            if (rest->size == 0)
                return WORD_UNCLOSED;
            c = take(rest);
        }
        word->bytes[word->size++] = c;
    }
    return WORD_READ;
}

static void complain(struct manifest *self, size_t line, enum manifest_fault fault, size_t first_line)
{
    if (self->complaint_count == MANIFEST_COMPLAINTS_MAX)
        self->more_complaints_count++;
    else
        self->complaints[self->complaint_count++] = (struct manifest_complaint){line, fault, first_line};
}

static bool is_good_path(struct text path)
{
    return path.size > 0 && path.size <= MANIFEST_PATH_SIZE_MAX && !memchr(path.bytes, '\0', path.size);
}

/* False when it is defined already: then *ret_first_line tells where. */
static bool define(struct defined **table, const char *name, size_t line, size_t *ret_first_line)
{
    struct defined *known = NULL;
    HASH_FIND_STR(*table, name, known);
    if (known) {
        *ret_first_line = known->line;
        return false;
    }
    known = calloc(1, sizeof *known);
    assert(known);
    known->name = name;
    known->line = line;
    HASH_ADD_KEYPTR(hh, *table, known->name, strlen(known->name), known);
    return true;
}

static void add_entry(struct manifest *self, struct defined **table, struct text name, struct text path,
                      size_t line)
{
    struct manifest_entry entry = {text_copy(name), text_copy(path), line};
    size_t first_line = 0;
    if (!define(table, entry.name, line, &first_line)) {
        complain(self, line, MANIFEST_NAME_TWICE, first_line);
        free(entry.name);
        free(entry.path);
        return;
    }
    /* Room is doubled at each power of two. */
    if ((self->count & (self->count - 1)) == 0) {
        self->entries = realloc(self->entries, (self->count ? 2 * self->count : 1) * sizeof entry);
        assert(self->entries);
    }
    self->entries[self->count++] = entry;
}

/* Reads the words of one line. False when there is nothing more to say about it: empty, or complained of. */
static bool read_line(struct manifest *self, struct line *line, size_t number)
{
    enum word_result result = WORD_READ;
    for (line->count = 0; line->count < WORDS_MAX; line->count++) {
        result = read_word(&line->rest, &line->words[line->count]);
        if (result != WORD_READ)
            break;
    }
    if (result == WORD_UNCLOSED)
        complain(self, number, MANIFEST_UNCLOSED, 0);
    else if (line->count == 1)
        complain(self, number, MANIFEST_NO_PATH, 0);
    if (line->count < WORDS_MAX)
        return false;
    while (line->rest.size > 0 && is_blank(*line->rest.bytes))
        take(&line->rest);
    if (line->rest.size == 0 || *line->rest.bytes == '#')
        return true;
    complain(self, number, MANIFEST_TOO_MANY_WORDS, 0);
    return false;
}

static struct text text_of_word(const struct word *word)
{
    return (struct text){word->bytes, word->size};
}

/* False when there is no room for more. */
static bool take_line(struct manifest *self, struct defined **table, struct line *line, size_t number)
{
    if (!read_line(self, line, number))
        return true;
    struct text name = text_of_word(&line->words[0]), path = text_of_word(&line->words[1]);
    if (self->count == MANIFEST_ENTRIES_MAX) {
        complain(self, number, MANIFEST_FULL, 0);
        return false;
    }
    if (!name_is_valid(name))
        complain(self, number, MANIFEST_BAD_NAME, 0);
    else if (!is_good_path(path))
        complain(self, number, MANIFEST_BAD_PATH, 0);
    else
        add_entry(self, table, name, path, number);
    return true;
}

struct manifest *manifest_new(struct text content)
{
    static const char BYTE_ORDER_MARK[] = "\xef\xbb\xbf";
    struct manifest *self = calloc(1, sizeof *self);
    assert(self);
    if (content.size >= 3 && memcmp(content.bytes, BYTE_ORDER_MARK, 3) == 0)
        content = (struct text){content.bytes + 3, content.size - 3};
    struct defined *table = NULL, *defined, *next;
    struct line line;
    for (size_t i = 0; i < WORDS_MAX; i++) {
        line.words[i].bytes = malloc(content.size + 1);
        assert(line.words[i].bytes);
    }
    bool has_room = true;
    for (size_t number = 1; content.size > 0 && has_room; number++) {
        const char *end = memchr(content.bytes, '\n', content.size);
        size_t size = end ? (size_t)(end - content.bytes) : content.size;
        line.rest = (struct text){content.bytes, size};
        has_room = take_line(self, &table, &line, number);
        size += end != NULL;
        content = (struct text){content.bytes + size, content.size - size};
    }
    HASH_ITER(hh, table, defined, next)
    {
        HASH_DELETE(hh, table, defined);
        free(defined);
    }
    for (size_t i = 0; i < WORDS_MAX; i++)
        free(line.words[i].bytes);
    return self;
}

void manifest_destroy(struct manifest **self_p)
{
    assert(self_p);
    struct manifest *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++) {
        free(self->entries[i].name);
        free(self->entries[i].path);
    }
    free(self->entries);
    free(self);
    *self_p = NULL;
}

const char *manifest_fault_text(enum manifest_fault fault)
{
    switch (fault) {
    case MANIFEST_NO_PATH:
        return "a name without a path: write NAME PATH";
    case MANIFEST_TOO_MANY_WORDS:
        return "more than NAME PATH: put quotes around what has spaces";
    case MANIFEST_UNCLOSED:
        return "a quote that is not closed, or nothing after a backslash";
    case MANIFEST_BAD_NAME:
        return "not a name for a file: at most 1024 bytes of UTF-8 without control characters, no empty "
               "part, '.' or '..' between slashes";
    case MANIFEST_BAD_PATH:
        return "the path is empty, longer than 4095 bytes or holds a zero byte";
    case MANIFEST_NAME_TWICE:
        return "the name is taken";
    case MANIFEST_FULL:
        return "more than 100000 files: this line and those after it are left out";
    }
    return "";
}
