/* SPDX-License-Identifier: MIT */
#include "messages/presence.h"

#include "messages/fold.h"
#include "messages/glob.h"
#include "messages/match.h"
#include "messages/sha256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW_SIZE = 3,       /* bytes */
    BLOCK_WORDS = 1 << 10, /* a bit for each second and third byte of a window */
    BITS_PER_ELEMENT = 10, /* 1 % false positives take 9.6 at the best number of probes, 7 */
    ID_ELEMENT_BYTES = 4,  /* of a file_id */
};

/* What an element needs for its probes. */
struct element {
    uint64_t h1, h2;
};

struct presence {
    uint64_t *windows[256]; /* the set of windows, by first byte; NULL where there is none */
    size_t window_count;
    struct element *elements;
    size_t element_count, element_room;
    uint8_t *bits; /* the filter, NULL when something was added since it was built */
    uint8_t log2_bits;
};

struct presence_query {
    struct element *elements; /* all of them must be in a filter; none rules nothing out */
    size_t element_count, element_room;
};

static uint64_t little_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (size_t i = 8; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static struct element element_of(const void *bytes, size_t size)
{
    struct hash digest;
    sha256(bytes, size, &digest);
    return (struct element){little_endian(digest.bytes), little_endian(digest.bytes + 8)};
}

static void append(struct element **elements, size_t *count, size_t *room, struct element element)
{
    if (*count == *room) {
        *room = *room ? 2 * *room : 16;
        *elements = realloc(*elements, *room * sizeof **elements);
        assert(*elements);
    }
    (*elements)[(*count)++] = element;
}

/* "n=" + a folded name. */
static struct element name_element(struct text folded)
{
    char *input = malloc(2 + folded.size);
    assert(input);
    memcpy(input, "n=", 2);
    if (folded.size > 0)
        memcpy(input + 2, folded.bytes, folded.size);
    struct element element = element_of(input, 2 + folded.size);
    free(input);
    return element;
}

/* "i" + the first bytes of a file_id. */
static struct element id_element(const uint8_t *id_bytes)
{
    uint8_t input[1 + ID_ELEMENT_BYTES] = {'i'};
    memcpy(input + 1, id_bytes, ID_ELEMENT_BYTES);
    return element_of(input, sizeof input);
}

struct presence *presence_new(void)
{
    struct presence *self = calloc(1, sizeof *self);
    assert(self);
    return self;
}

void presence_destroy(struct presence **self_p)
{
    assert(self_p);
    struct presence *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < 256; i++)
        free(self->windows[i]);
    free(self->elements);
    free(self->bits);
    free(self);
    *self_p = NULL;
}

/* A window of several names is one element: the size of the filter follows from their number. */
static void add_window(struct presence *self, const uint8_t window[WINDOW_SIZE])
{
    uint64_t **block = &self->windows[window[0]];
    if (!*block) {
        *block = calloc(BLOCK_WORDS, sizeof **block);
        assert(*block);
    }
    uint32_t index = (uint32_t)window[1] << 8 | window[2];
    uint64_t bit = (uint64_t)1 << index % 64;
    if (!((*block)[index / 64] & bit)) {
        (*block)[index / 64] |= bit;
        self->window_count++;
    }
}

void presence_add(struct presence *self, struct text name, const struct file_id *id)
{
    size_t size, base_offset;
    char *folded = match_fold_name(name, &size, &base_offset);
    for (size_t i = 0; i + WINDOW_SIZE <= size; i++)
        add_window(self, (const uint8_t *)folded + i);

    struct element names[2] = {name_element((struct text){folded + base_offset, size - base_offset}),
                               name_element((struct text){folded, size})};
    append(&self->elements, &self->element_count, &self->element_room, names[0]);
    if (base_offset > 0)
        append(&self->elements, &self->element_count, &self->element_room, names[1]);
    append(&self->elements, &self->element_count, &self->element_room, id_element(id->bytes));
    free(folded);
    free(self->bits);
    self->bits = NULL;
}

static void set_element(struct presence *self, struct element element)
{
    uint64_t mask = ((uint64_t)1 << self->log2_bits) - 1;
    for (uint64_t i = 0; i < PRESENCE_PROBES; i++) {
        uint64_t bit = (element.h1 + i * element.h2) & mask;
        self->bits[bit / 8] |= (uint8_t)(1 << bit % 8);
    }
}

static bool has_element(const struct presence_view *view, struct element element)
{
    uint64_t mask = ((uint64_t)1 << view->log2_bits) - 1;
    for (uint64_t i = 0; i < PRESENCE_PROBES; i++) {
        uint64_t bit = (element.h1 + i * element.h2) & mask;
        if (!(view->bits[bit / 8] >> bit % 8 & 1))
            return false;
    }
    return true;
}

/* Sets the elements of all windows that begin with `first`. */
static void set_windows(struct presence *self, uint8_t first)
{
    const uint64_t *block = self->windows[first];
    for (uint32_t word = 0; block && word < BLOCK_WORDS; word++) {
        for (uint64_t rest = block[word]; rest; rest &= rest - 1) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(rest);
            uint8_t window[WINDOW_SIZE] = {first, (uint8_t)(index >> 8), (uint8_t)index};
            set_element(self, element_of(window, sizeof window));
        }
    }
}

static void build(struct presence *self)
{
    size_t wanted_bits = (self->element_count + self->window_count) * BITS_PER_ELEMENT;
    self->log2_bits = PRESENCE_LOG2_MIN;
    while (self->log2_bits < PRESENCE_LOG2_MAX && ((size_t)1 << self->log2_bits) < wanted_bits)
        self->log2_bits++;
    self->bits = calloc(1, (size_t)1 << (self->log2_bits - 3));
    assert(self->bits);

    for (size_t i = 0; i < self->element_count; i++)
        set_element(self, self->elements[i]);
    for (unsigned first = 0; first < 256; first++)
        set_windows(self, (uint8_t)first);
}

struct presence_view presence_view(struct presence *self)
{
    if (!self->bits)
        build(self);
    return (struct presence_view){true, self->log2_bits, self->bits};
}

static void query_append(struct presence_query *self, struct element element)
{
    append(&self->elements, &self->element_count, &self->element_room, element);
}

static void query_append_windows(struct presence_query *self, struct text run)
{
    for (size_t i = 0; i + WINDOW_SIZE <= run.size; i++)
        query_append(self, element_of(run.bytes + i, WINDOW_SIZE));
}

static void query_append_words(struct presence_query *self, struct text folded)
{
    struct text word;
    for (size_t cursor = 0; match_next_word(folded, &cursor, &word);)
        query_append_windows(self, word);
}

static void query_append_glob(struct presence_query *self, struct text folded)
{
    struct glob *glob = glob_new(folded);
    struct text run;
    for (size_t cursor = 0; glob_next_literal(glob, &cursor, &run);)
        query_append_windows(self, run);
    glob_destroy(&glob);
}

struct presence_query *presence_query_new(uint8_t mode, struct text text)
{
    struct presence_query *self = calloc(1, sizeof *self);
    assert(self);
    if (!match_text_is_valid(mode, text) || mode & MODE_ASK_ALL)
        return self;
    if (mode == MODE_ID) {
        uint8_t id_bytes[ID_ELEMENT_BYTES];
        bool is_parsed = hex_parse(text.bytes, 2 * sizeof id_bytes, id_bytes, sizeof id_bytes);
        assert(is_parsed); /* match_text_is_valid has seen 8 digits or more */
        query_append(self, id_element(id_bytes));
        return self;
    }
    struct text folded;
    char *copy = fold(text, &folded.size);
    folded.bytes = copy;
    if (mode == MODE_EXACT)
        query_append(self, name_element(folded));
    else if (mode == MODE_WORDS)
        query_append_words(self, folded);
    else
        query_append_glob(self, folded);
    free(copy);
    return self;
}

void presence_query_destroy(struct presence_query **self_p)
{
    assert(self_p);
    if (!*self_p)
        return;
    free((*self_p)->elements);
    free(*self_p);
    *self_p = NULL;
}

bool presence_query_may_match(const struct presence_query *self, const struct presence_view *view)
{
    if (!view->is_present)
        return true;
    for (size_t i = 0; i < self->element_count; i++) {
        if (!has_element(view, self->elements[i]))
            return false;
    }
    return true;
}

bool presence_may_match(const struct presence_view *view, uint8_t mode, struct text text)
{
    struct presence_query *query = presence_query_new(mode, text);
    bool may_match = presence_query_may_match(query, view);
    presence_query_destroy(&query);
    return may_match;
}
