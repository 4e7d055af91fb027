/* SPDX-License-Identifier: MIT */
/*
 * Globs come from strangers and run over every name of a share: wrong backtracking is a wrong answer or
 * a search that never ends, a badly closed set reads behind the pattern.
 */
#include "messages/glob.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

static bool matches(const char *pattern, const char *text)
{
    struct glob *glob = glob_new(text_of(pattern));
    bool result = glob_matches(glob, text_of(text));
    glob_destroy(&glob);
    return result;
}

struct row {
    const char *pattern, *text;
    bool expected;
};

static const struct row ROWS[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"**", "abc", true},
    {"?", "", false},
    {"?", "\xc3\x9f", true}, /* one code point of two bytes */
    {"??", "\xc3\x9f", false},
    {"a*b*c", "a-b-b-c", true},
    {"a*b*c", "a-c-b", false},
    {"*a*a*b", "aaaaaaaa", false},
    {"[abc]", "b", true},
    {"[abc]", "d", false},
    {"[!abc]", "d", true},
    {"[^abc]", "a", false},
    {"[a-c]", "b", true},
    {"[c-a]", "b", false},
    {"[a-]", "-", true},
    {"[-a]", "-", true},
    {"[]]", "]", true},
    {"[]a]", "a", true},
    {"[!]]", "]", false},
    {"[!]]", "a", true},
    {"[]", "[]", true},
    {"[!]", "[!]", true},
    {"[", "[", true},
    {"a[b", "a[b", true},
    {"[a-", "[a-", true},
    {"[[]", "[", true},
    {"[*?]", "*", true},
    {"[*?]", "x", false},
    {"[\xd0\xb0-\xd1\x8f]", "\xd0\xb6", true}, /* a Cyrillic range */
    {"\\*", "\\x", true},                      /* nothing escapes */
    {"a/*", "a/b", true},
    {"a/*", "a/b/c", false},
    {"*/c", "a/b/c", false},
    {"*/*/c", "a/b/c", true},
    {"a?b/", "a/b/", false},
    {"a[!x]b/c", "a/b/c", false},
    {"a[/]b", "a/b", false},
    {"a*b", "a/b", true}, /* without a slash everything may match one */
    {"a?b", "a/b", true},
    {"a/", "a", false},
};

Test(glob, rows_match_as_the_table_says)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        cr_expect(eq(int, matches(ROWS[i].pattern, ROWS[i].text), ROWS[i].expected), "\"%s\" on \"%s\"",
                  ROWS[i].pattern, ROWS[i].text);
}

/* The slow definition: each `*` tries everything. */
static bool matches_slowly(const char *p, const char *t, bool has_slash)
{
    if (*p == '\0')
        return *t == '\0';
    if (*p == '*') {
        if (matches_slowly(p + 1, t, has_slash))
            return true;
        return *t != '\0' && !(has_slash && *t == '/') && matches_slowly(p, t + 1, has_slash);
    }
    if (*t == '\0' || (*p == '?' && has_slash && *t == '/'))
        return false;
    return (*p == '?' || *p == *t) && matches_slowly(p + 1, t + 1, has_slash);
}

Test(glob, agrees_with_the_slow_definition_on_every_short_pattern)
{
    static const char PATTERN_LETTERS[] = "a*?/";
    static const char TEXT_LETTERS[] = "ab/";
    for (unsigned p = 0; p < 4 * 4 * 4 * 4 * 4; p++) {
        char pattern[6] = "";
        for (unsigned i = 0, rest = p; i < 5; i++, rest /= 4)
            pattern[i] = PATTERN_LETTERS[rest % 4];
        for (unsigned t = 0; t < 3 * 3 * 3 * 3 * 3; t++) {
            char text[6] = "";
            for (unsigned i = 0, rest = t; i < 5; i++, rest /= 3)
                text[i] = TEXT_LETTERS[rest % 3];
            bool expected = matches_slowly(pattern, text, strchr(pattern, '/') != NULL);
            cr_assert(eq(int, matches(pattern, text), expected), "\"%s\" on \"%s\"", pattern, text);
        }
    }
}

Test(glob, a_hostile_pattern_ends)
{
    char pattern[257], text[8192];
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    memcpy(pattern + 254, "ab", 3);
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    cr_expect(not(matches(pattern, text)));
    memset(pattern, '[', 256);
    pattern[256] = '\0';
    cr_expect(not(matches(pattern, text)));
}

Test(glob, literal_runs_lie_between_metacharacters)
{
    struct glob *glob = glob_new(text_of("abc*d[ef]gh?[ij"));
    static const char *const EXPECTED[] = {"abc", "d", "gh", "[ij"};
    struct text run;
    size_t cursor = 0;
    for (size_t i = 0; i < 4; i++) {
        cr_assert(glob_next_literal(glob, &cursor, &run));
        cr_expect(text_equal(run, text_of(EXPECTED[i])), "run %zu", i);
    }
    cr_expect(not(glob_next_literal(glob, &cursor, &run)));
    glob_destroy(&glob);
    cr_expect(glob == NULL);
    glob_destroy(&glob);
}
