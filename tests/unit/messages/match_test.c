/* SPDX-License-Identifier: MIT */
/*
 * A search that misses a file that is there proves a wrong negative; one that matches too much hides
 * the right file. Edges: empty texts, base against whole names, folding of patterns, unknown ids.
 */
#include "messages/match.h"

#include "messages/message.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

static bool matches_file(uint8_t mode, const char *text, const char *name, const struct file_id *id,
                         uint64_t size)
{
    struct match_subject subject = {.name = text_of(name), .id = id, .size = size};
    char *folded = match_fold_name(subject.name, &subject.folded.size, &subject.folded_base_offset);
    subject.folded.bytes = folded;
    struct matcher *matcher = matcher_new(mode, text_of(text), 0, 0);
    cr_assert(matcher != NULL, "\"%s\" was refused in mode %u", text, mode);
    bool matches = matcher_matches(matcher, &subject);
    matcher_destroy(&matcher);
    free(folded);
    return matches;
}

static bool matches(uint8_t mode, const char *text, const char *name)
{
    return matches_file(mode, text, name, NULL, 1);
}

struct row {
    uint8_t mode;
    const char *text, *name;
    bool expected;
};

static const struct row ROWS[] = {
    {MODE_WORDS, "", "anything", true},
    {MODE_WORDS, "   ", "anything", true},
    {MODE_WORDS, "acao", "filmes/Ação.mp4", true},
    {MODE_WORDS, "AÇÃO", "filmes/acao.mp4", true},
    {MODE_WORDS, "mp4 filmes", "filmes/acao.mp4", true},
    {MODE_WORDS, " mp4  filmes ", "filmes/acao.mp4", true},
    {MODE_WORDS, "mp4 musik", "filmes/acao.mp4", false},
    {MODE_WORDS, "s/a", "filmes/acao.mp4", true},
    {MODE_WORDS, "*", "filmes/acao.mp4", false},
    {MODE_WORDS, "a\xc2\xa0z", "z a", true}, /* a no-break space folds to a space */
    {MODE_WORDS, "acao.mp4x", "acao.mp4", false},
    {MODE_EXACT, "b.txt", "a/b.txt", true},
    {MODE_EXACT, "a/b.txt", "a/b.txt", true},
    {MODE_EXACT, "B.txt", "a/b.txt", false},
    {MODE_EXACT, "/b.txt", "a/b.txt", false},
    {MODE_EXACT, "b", "a/b.txt", false},
    {MODE_EXACT, "", "a", false},
    {MODE_EXACT, "e\xcc\x81", "\xc3\xa9", false}, /* the same letter in two normal forms */
    {MODE_GLOB, "*.txt", "a/b.TXT", true},
    {MODE_GLOB, "b*", "a/b.txt", true},
    {MODE_GLOB, "a*", "a/b.txt", false},
    {MODE_GLOB, "a/*", "a/b.txt", true},
    {MODE_GLOB, "*/*.txt", "a/b.txt", true},
    {MODE_GLOB, "*/*.txt", "a/b/c.txt", false},
    {MODE_GLOB, "a?b.txt", "a/b.txt", false},
    {MODE_GLOB, "A??O.*", "ação.mp4", true},
    {MODE_GLOB, "[à-c]x", "bx", true},
    {MODE_GLOB, "", "a", false},
    {MODE_GLOB, "*", "a/b/c", true},
    /* U+2105 folds to c/o: the base name is taken before folding, so that this is one component. */
    {MODE_GLOB, "xc*", "d/x\xe2\x84\x85", true},
    {MODE_GLOB, "o", "d/x\xe2\x84\x85", false},
};

Test(match, words_exact_and_glob_follow_the_table_of_modes)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const struct row *row = &ROWS[i];
        cr_expect(eq(int, matches(row->mode, row->text, row->name), row->expected),
                  "mode %u, \"%s\" in \"%s\"", row->mode, row->text, row->name);
        cr_expect(eq(int, matches(row->mode | MODE_ASK_ALL, row->text, row->name), row->expected),
                  "mode %u for all nodes, \"%s\" in \"%s\"", row->mode, row->text, row->name);
    }
}

Test(match, id_mode_takes_odd_counts_and_either_case)
{
    struct file_id id = {{0xab, 0xcd, 0xef, 0x01, 0x23}};
    cr_expect(matches_file(MODE_ID, "abcdef01", "n", &id, 1));
    cr_expect(matches_file(MODE_ID, "ABCDef012", "n", &id, 1));
    cr_expect(not(matches_file(MODE_ID, "abcdef013", "n", &id, 1)));
    cr_expect(not(matches_file(MODE_ID, "bbcdef01", "n", &id, 1)));
}

Test(match, a_file_whose_id_is_unknown_never_matches_an_id)
{
    cr_expect(not(matches_file(MODE_ID, "00000000", "n", NULL, 1)));
}

Test(match, only_id_mode_needs_the_id)
{
    for (uint8_t mode = MODE_WORDS; mode <= MODE_ID; mode++) {
        struct matcher *matcher = matcher_new(mode, text_of("01234567"), 0, 0);
        cr_expect(eq(int, matcher_needs_id(matcher), mode == MODE_ID));
        matcher_destroy(&matcher);
        cr_expect(matcher == NULL);
    }
}

Test(match, unknown_modes_and_bad_ids_are_refused)
{
    static const char *const BAD_IDS[] = {
        "", "0123456", "0123456g", "0123 567",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0"};
    for (size_t i = 0; i < sizeof BAD_IDS / sizeof BAD_IDS[0]; i++)
        cr_expect(matcher_new(MODE_ID, text_of(BAD_IDS[i]), 0, 0) == NULL, "%s", BAD_IDS[i]);
    for (unsigned mode = 0; mode < 256; mode++) {
        bool is_known = (mode & 127) <= MODE_ID;
        struct matcher *matcher = matcher_new((uint8_t)mode, text_of("01234567"), 0, 0);
        cr_expect(eq(int, matcher != NULL, is_known), "mode %u", mode);
        matcher_destroy(&matcher);
    }
}

static bool matches_size(uint64_t min_size, uint64_t max_size, uint64_t size)
{
    struct match_subject subject = {.name = text_of("a"), .folded = text_of("a"), .size = size};
    struct matcher *matcher = matcher_new(MODE_WORDS, text_of(""), min_size, max_size);
    bool matches = matcher_matches(matcher, &subject);
    matcher_destroy(&matcher);
    return matches;
}

Test(match, size_bounds_are_inclusive_and_a_maximum_of_0_is_none)
{
    cr_expect(not(matches_size(10, 20, 9)));
    cr_expect(matches_size(10, 20, 10));
    cr_expect(matches_size(10, 20, 20));
    cr_expect(not(matches_size(10, 20, 21)));
    cr_expect(matches_size(0, 0, UINT64_MAX));
    cr_expect(matches_size(0, 0, 0));
}

Test(match, next_word_skips_spaces_and_ends)
{
    struct text word;
    size_t cursor = 0;
    struct text words = text_of("  ab c ");
    cr_assert(match_next_word(words, &cursor, &word));
    cr_expect(text_equal(word, text_of("ab")));
    cr_assert(match_next_word(words, &cursor, &word));
    cr_expect(text_equal(word, text_of("c")));
    cr_expect(not(match_next_word(words, &cursor, &word)));
    cursor = 0;
    cr_expect(not(match_next_word((struct text){NULL, 0}, &cursor, &word)));
}
