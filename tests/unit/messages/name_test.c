/* SPDX-License-Identifier: MIT */
/* A name becomes part of a path: one that climbs out of the share, or cannot be shown, must not pass. */
#include "messages/name.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

Test(name, valid_names_are_relative_paths_of_plain_components)
{
    static const char *const GOOD[] = {
        "a",   "a/b",   "...",   ".hidden",         "a/.b", "a..b", "..a",
        "-rf", "C:\\x", "$(id)", "späte Übung.mp3", "a b",  " ",    "\xe2\x80\xae"};
    static const char *const BAD[] = {"",     "/",         "/a",   "a/",    "a//b",     ".",
                                      "..",   "./a",       "../a", "a/./b", "a/../b",   "a/..",
                                      "a\nb", "a\x1b[31m", "\xff", "a\xc3", "\xc2\x85", "x\x7f"};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++)
        cr_expect(name_is_valid(text_of(GOOD[i])), "%s", GOOD[i]);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_expect(not(name_is_valid(text_of(BAD[i]))), "bad name %zu", i);
    cr_expect(not(name_is_valid((struct text){"a\0b", 3})));
    cr_expect(not(name_is_valid((struct text){NULL, 0})));
}

Test(name, a_name_ends_at_1024_bytes)
{
    char name[NAME_SIZE_MAX + 1];
    memset(name, 'x', sizeof name);
    cr_expect(name_is_valid((struct text){name, NAME_SIZE_MAX}));
    cr_expect(not(name_is_valid((struct text){name, NAME_SIZE_MAX + 1})));
}

Test(name, base_is_the_last_component)
{
    cr_expect(text_equal(name_base(text_of("a/b/c.txt")), text_of("c.txt")));
    cr_expect(text_equal(name_base(text_of("c.txt")), text_of("c.txt")));
    cr_expect(eq(sz, name_base((struct text){NULL, 0}).size, 0));
}

static void expect_clean(const char *path, const char *expected)
{
    char *clean = name_clean(path);
    cr_assert(clean != NULL);
    cr_expect(strcmp(clean, expected) == 0, "%s instead of %s", clean, expected);
    free(clean);
}

Test(name, cleaning_replaces_each_bad_byte_and_control)
{
    expect_clean("a/Ação.txt", "a/Ação.txt");
    expect_clean("a\xff\xfe.txt", "a\xef\xbf\xbd\xef\xbf\xbd.txt");
    expect_clean("a\nb\x1b", "a\xef\xbf\xbd"
                             "b\xef\xbf\xbd");
    expect_clean("\xc2\x85", "\xef\xbf\xbd");
    expect_clean("x\xc3", "x\xef\xbf\xbd");
    expect_clean("", "");
}

Test(name, a_name_that_is_too_long_when_clean_is_refused)
{
    char path[NAME_SIZE_MAX + 2];
    memset(path, 'x', sizeof path);
    path[NAME_SIZE_MAX] = '\0';
    char *clean = name_clean(path);
    cr_expect(clean != NULL && strlen(clean) == NAME_SIZE_MAX);
    free(clean);
    path[0] = '\n'; /* three bytes when clean */
    cr_expect(name_clean(path) == NULL);
    path[0] = 'x';
    path[NAME_SIZE_MAX] = 'x';
    path[NAME_SIZE_MAX + 1] = '\0';
    cr_expect(name_clean(path) == NULL);
}

static void expect_numbered(const char *name, unsigned number, const char *expected)
{
    char *numbered = name_numbered(name, number);
    cr_expect(strcmp(numbered, expected) == 0, "%s instead of %s", numbered, expected);
    free(numbered);
}

Test(name, numbers_go_before_the_extension_of_the_base)
{
    expect_numbered("a/b.tar", 2, "a/b (2).tar");
    expect_numbered("b.tar.gz", 3, "b.tar (3).gz");
    expect_numbered("a.b/c", 2, "a.b/c (2)");
    expect_numbered(".hidden", 2, ".hidden (2)");
    expect_numbered("a/.hidden", 2, "a/.hidden (2)");
    expect_numbered("ends.", 2, "ends (2).");
}

/* `begin`, then `fill` up to `size` bytes in all, then `end`; malloc'd. */
static char *long_name(const char *begin, const char *fill, size_t size, const char *end)
{
    char name[NAME_SIZE_MAX + 1];
    size_t used = strlen(begin);
    memcpy(name, begin, used);
    for (; used + strlen(fill) + strlen(end) <= size; used += strlen(fill))
        memcpy(name + used, fill, strlen(fill));
    memcpy(name + used, end, strlen(end) + 1);
    return strdup(name);
}

/* Takes both. */
static void expect_entry(char *name, size_t above_size, char *expected)
{
    char *numbered = name_numbered_entry(name, above_size, 2);
    cr_expect(numbered && strcmp(numbered, expected) == 0, "%s instead of %s", numbered, expected);
    free(numbered);
    free(name);
    free(expected);
}

Test(name, a_numbered_entry_is_cut_before_its_extension_until_a_folder_takes_it)
{
    expect_entry(strdup("a/b.tar"), 0, strdup("a/b (2).tar"));
    expect_entry(strdup(".hidden"), 0, strdup(".hidden (2)"));
    expect_entry(long_name("a/", "x", 2 + 251, ".tar"), 0, long_name("a/", "x", 2 + 255, " (2).tar"));
    expect_entry(long_name("a/", "x", 2 + 252, ".tar"), 0, long_name("a/", "x", 2 + 255, " (2).tar"));
    expect_entry(long_name("a/", "x", 2 + 255, ""), 0, long_name("a/", "x", 2 + 255, " (2)"));
}

Test(name, a_numbered_entry_is_cut_between_characters)
{
    expect_entry(long_name("", "\u00e9", 254, ""), 0, long_name("", "\u00e9", 254, " (2)"));
    expect_entry(long_name("x", "\u20ac", 255, ""), 0, long_name("x", "\u20ac", 255, " (2)"));
}

Test(name, what_leaves_no_room_before_it_is_no_extension)
{
    expect_entry(long_name("a.", "x", 255, ""), 0, long_name("a.", "x", 255, " (2)"));
}

Test(name, a_numbered_entry_never_makes_a_name_that_is_too_long)
{
    expect_entry(strdup("abcdef.tar"), NAME_SIZE_MAX - 10, strdup("ab (2).tar"));
    expect_entry(strdup("abcdef.tar"), NAME_SIZE_MAX - 8, strdup("abcd (2)"));
    expect_entry(strdup("abcdef.tar"), NAME_SIZE_MAX - 5, strdup("a (2)"));
    cr_expect(name_numbered_entry("abcdef.tar", NAME_SIZE_MAX - 4, 2) == NULL);
    cr_expect(name_numbered_entry("abcdef.tar", NAME_SIZE_MAX, 2) == NULL);
    cr_expect(name_numbered_entry("\u20ac", NAME_SIZE_MAX - 6, 2) == NULL);
}
