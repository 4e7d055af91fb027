/* SPDX-License-Identifier: MIT */
#include "messages/match.h"

#include "messages/fold.h"
#include "messages/glob.h"
#include "messages/message.h"
#include "messages/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    ID_DIGITS_MIN = 8,
    ID_DIGITS_MAX = 64
};

struct matcher {
    uint8_t mode; /* without MODE_ASK_ALL */
    uint64_t min_size, max_size;
    char *text; /* folded in word mode, as given in exact and id mode */
    size_t text_size;
    struct glob *glob; /* in glob mode */
};

static bool is_hex(struct text text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!memchr("0123456789abcdefABCDEF", text.bytes[i], 22))
            return false;
    }
    return true;
}

bool match_text_is_valid(uint8_t mode, struct text text)
{
    mode &= (uint8_t)~MODE_ASK_ALL;
    if (mode == MODE_ID)
        return text.size >= ID_DIGITS_MIN && text.size <= ID_DIGITS_MAX && is_hex(text);
    return mode == MODE_WORDS || mode == MODE_EXACT || mode == MODE_GLOB;
}

struct matcher *matcher_new(uint8_t mode, struct text text, uint64_t min_size, uint64_t max_size)
{
    if (!match_text_is_valid(mode, text))
        return NULL;
    struct matcher *self = calloc(1, sizeof *self);
    assert(self);
    self->mode = mode & (uint8_t)~MODE_ASK_ALL;
    self->min_size = min_size;
    self->max_size = max_size;
    if (self->mode == MODE_EXACT || self->mode == MODE_ID) {
        self->text = text_copy(text);
        self->text_size = text.size;
    } else {
        self->text = fold(text, &self->text_size);
    }
    if (self->mode == MODE_GLOB)
        self->glob = glob_new((struct text){self->text, self->text_size});
    return self;
}

void matcher_destroy(struct matcher **self_p)
{
    assert(self_p);
    struct matcher *self = *self_p;
    if (!self)
        return;
    glob_destroy(&self->glob);
    free(self->text);
    free(self);
    *self_p = NULL;
}

bool match_next_word(struct text folded, size_t *cursor, struct text *ret_word)
{
    size_t begin = *cursor;
    while (begin < folded.size && folded.bytes[begin] == ' ')
        begin++;
    if (begin == folded.size)
        return false;
    const char *space = memchr(folded.bytes + begin, ' ', folded.size - begin);
    size_t end = space ? (size_t)(space - folded.bytes) : folded.size;
    *cursor = end;
    *ret_word = (struct text){folded.bytes + begin, end - begin};
    return true;
}

static bool matches_words(const struct matcher *self, struct text folded)
{
    struct text words = {self->text, self->text_size};
    struct text word;
    for (size_t cursor = 0; match_next_word(words, &cursor, &word);) {
        if (!memmem(folded.bytes, folded.size, word.bytes, word.size))
            return false;
    }
    return true;
}

static bool matches_exact(const struct matcher *self, struct text name)
{
    struct text text = {self->text, self->text_size};
    return text_equal(text, name) || text_equal(text, name_base(name));
}

static bool matches_glob(const struct matcher *self, const struct match_subject *subject)
{
    struct text folded = subject->folded;
    if (!glob_has_slash(self->glob)) {
        assert(subject->folded_base_offset <= folded.size);
        folded.bytes += subject->folded_base_offset;
        folded.size -= subject->folded_base_offset;
    }
    return glob_matches(self->glob, folded);
}

bool matcher_matches(const struct matcher *self, const struct match_subject *subject)
{
    if (subject->size < self->min_size || (self->max_size > 0 && subject->size > self->max_size))
        return false;
    switch (self->mode) {
    case MODE_WORDS:
        return matches_words(self, subject->folded);
    case MODE_EXACT:
        return matches_exact(self, subject->name);
    case MODE_GLOB:
        return matches_glob(self, subject);
    default:
        return subject->id && file_id_has_prefix(subject->id, self->text, self->text_size);
    }
}

bool matcher_needs_id(const struct matcher *self)
{
    return self->mode == MODE_ID;
}

char *match_fold_name(struct text name, size_t *ret_size, size_t *ret_base_offset)
{
    /* A slash is never reordered or folded, so that the two parts fold as the whole does. */
    struct text base = name_base(name);
    struct text folder = {name.bytes, name.size - base.size};
    size_t folder_size, base_size;
    char *folded = fold(folder, &folder_size);
    char *folded_base = fold(base, &base_size);
    folded = realloc(folded, folder_size + base_size + 1);
    assert(folded);
    memcpy(folded + folder_size, folded_base, base_size + 1);
    free(folded_base);
    *ret_size = folder_size + base_size;
    *ret_base_offset = folder_size;
    return folded;
}
