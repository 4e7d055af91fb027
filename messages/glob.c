/* SPDX-License-Identifier: MIT */
#include "messages/glob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum token_type {
    TOKEN_LITERAL, /* one code point */
    TOKEN_ONE,     /* ? */
    TOKEN_RUN,     /* * */
    TOKEN_SET,     /* [...] */
};

struct token {
    enum token_type type;
    bool is_negated;
    int32_t code_point;            /* of a literal */
    size_t begin, end;             /* its bytes in the pattern */
    size_t range_begin, range_end; /* of a set, into the glob's ranges */
};

/* Code points first..last, both included. */
struct range {
    int32_t first, last;
};

struct glob {
    char *pattern;
    size_t pattern_size;
    bool has_slash;
    struct token *tokens;
    size_t token_count;
    struct range *ranges;
    size_t range_count;
};

/* The size of the code point at `offset`; a byte that begins none counts as one of its own. */
static size_t decode(struct text t, size_t offset, int32_t *ret_code_point)
{
    utf8proc_int32_t code_point;
    uint8_t byte = (uint8_t)t.bytes[offset];
    if (byte < 0x80) {
        *ret_code_point = byte;
        return 1;
    }
    utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)t.bytes + offset,
                                             (utf8proc_ssize_t)(t.size - offset), &code_point);
    *ret_code_point = size > 0 ? code_point : -1;
    return size > 0 ? (size_t)size : 1;
}

/* Parses the set whose `[` is at `begin`. Returns the offset behind its `]`, or 0 when there is none. */
static size_t parse_set(struct glob *self, size_t begin, struct token *ret_token)
{
    struct text pattern = {self->pattern, self->pattern_size};
    struct token token = {.type = TOKEN_SET, .range_begin = self->range_count};
    size_t range_count = self->range_count;
    size_t at = begin + 1;
    if (at < pattern.size && (pattern.bytes[at] == '!' || pattern.bytes[at] == '^')) {
        token.is_negated = true;
        at++;
    }
    size_t first_at = at;
    while (at < pattern.size && (pattern.bytes[at] != ']' || at == first_at)) {
        struct range range;
        at += decode(pattern, at, &range.first);
        range.last = range.first;
        if (at + 1 < pattern.size && pattern.bytes[at] == '-' && pattern.bytes[at + 1] != ']')
            at += 1 + decode(pattern, at + 1, &range.last);
        self->ranges[range_count++] = range;
    }
    if (at >= pattern.size)
        return 0;
    self->range_count = range_count;
    token.range_end = range_count;
    *ret_token = token;
    return at + 1;
}

static void parse(struct glob *self)
{
    struct text pattern = {self->pattern, self->pattern_size};
    for (size_t at = 0; at < pattern.size;) {
        struct token *token = &self->tokens[self->token_count++];
        size_t set_end = pattern.bytes[at] == '[' ? parse_set(self, at, token) : 0;
        if (set_end > 0) {
            at = set_end;
            continue;
        }
        *token = (struct token){.begin = at};
        at += decode(pattern, at, &token->code_point);
        token->end = at;
        if (token->code_point == '*')
            token->type = TOKEN_RUN;
        else if (token->code_point == '?')
            token->type = TOKEN_ONE;
        else
            token->type = TOKEN_LITERAL;
    }
}

struct glob *glob_new(struct text pattern)
{
    struct glob *self = calloc(1, sizeof *self);
    assert(self);
    self->pattern = text_copy(pattern);
    self->pattern_size = pattern.size;
    self->has_slash = pattern.size > 0 && memchr(pattern.bytes, '/', pattern.size);
    /* Each token and each range takes at least a byte. */
    self->tokens = calloc(pattern.size + 1, sizeof *self->tokens);
    self->ranges = calloc(pattern.size + 1, sizeof *self->ranges);
    assert(self->tokens);
    assert(self->ranges);
    parse(self);
    return self;
}

void glob_destroy(struct glob **self_p)
{
    assert(self_p);
    struct glob *self = *self_p;
    if (!self)
        return;
    free(self->pattern);
    free(self->tokens);
    free(self->ranges);
    free(self);
    *self_p = NULL;
}

bool glob_has_slash(const struct glob *self)
{
    return self->has_slash;
}

static bool token_accepts(const struct glob *self, const struct token *token, int32_t code_point)
{
    if (token->type == TOKEN_LITERAL)
        return token->code_point == code_point;
    if (self->has_slash && code_point == '/')
        return false;
    if (token->type == TOKEN_ONE)
        return true;
    bool is_in_set = false;
    for (size_t i = token->range_begin; i < token->range_end && !is_in_set; i++)
        is_in_set = code_point >= self->ranges[i].first && code_point <= self->ranges[i].last;
    return is_in_set != token->is_negated;
}

bool glob_matches(const struct glob *self, struct text folded)
{
    size_t token_index = 0, at = 0;
    size_t star_index = SIZE_MAX, star_at = 0; /* the latest `*` and where what follows it was tried */
    while (at < folded.size) {
        int32_t code_point;
        if (token_index < self->token_count) {
            const struct token *token = &self->tokens[token_index];
            if (token->type == TOKEN_RUN) {
                star_index = token_index++;
                star_at = at;
                continue;
            }
            size_t size = decode(folded, at, &code_point);
            if (token_accepts(self, token, code_point)) {
                token_index++;
                at += size;
                continue;
            }
        }
        if (star_index == SIZE_MAX)
            return false;
        star_at += decode(folded, star_at, &code_point);
        /* No earlier `*` can help: the slashes of both sides pair up one by one. */
        if (self->has_slash && code_point == '/')
            return false;
        token_index = star_index + 1;
        at = star_at;
    }
    while (token_index < self->token_count && self->tokens[token_index].type == TOKEN_RUN)
        token_index++;
    return token_index == self->token_count;
}

bool glob_next_literal(const struct glob *self, size_t *cursor, struct text *ret_run)
{
    size_t first = *cursor;
    while (first < self->token_count && self->tokens[first].type != TOKEN_LITERAL)
        first++;
    if (first >= self->token_count)
        return false;
    size_t end = first;
    while (end < self->token_count && self->tokens[end].type == TOKEN_LITERAL)
        end++;
    *cursor = end;
    size_t begin = self->tokens[first].begin;
    *ret_run = (struct text){self->pattern + begin, self->tokens[end - 1].end - begin};
    return true;
}
