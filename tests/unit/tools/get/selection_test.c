/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a name outside the folder that was asked for is taken; a hidden file appears that
 * nobody typed; a name that no folder can hold stops all others; an exclusion loses against an inclusion.
 */
#include "tools/get/selection.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

TestSuite(selection, .timeout = 60);

static enum selection_result look(const struct selection *selection, const char *name)
{
    return selection_look(selection, text_of(name));
}

struct row {
    const char *text, *name;
    enum selection_result expected;
};

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct selection *selection = selection_new(text_of(rows[i].text));
        cr_expect(eq(int, look(selection, rows[i].name), rows[i].expected), "row %zu (%s, %s)", i,
                  rows[i].text, rows[i].name);
        selection_destroy(&selection);
        cr_expect(selection == NULL);
    }
}

#define EXPECT_ROWS(rows) expect_rows(rows, sizeof rows / sizeof rows[0])

Test(selection, a_folder_is_all_that_begins_with_it_byte_for_byte)
{
    static const struct row rows[] = {
        {"a/", "a/b", SELECTION_WANTED},     {"a/", "a/b/c", SELECTION_WANTED},
        {"a/", "ab/c", SELECTION_UNWANTED},  {"a/", "x/a/b", SELECTION_UNWANTED},
        {"a/", "A/b", SELECTION_UNWANTED},   {"a/", "a", SELECTION_UNWANTED},
        {"a/b/", "a/b/c", SELECTION_WANTED}, {"a/b/", "a/c", SELECTION_UNWANTED},
    };
    EXPECT_ROWS(rows);
}

Test(selection, a_glob_matches_the_whole_name_or_its_last_part)
{
    static const struct row rows[] = {
        {"*.txt", "x.txt", SELECTION_WANTED},         {"*.txt", "a/b/x.TXT", SELECTION_WANTED},
        {"*.txt", "x.txt2", SELECTION_UNWANTED},      {"a/*.txt", "a/x.txt", SELECTION_WANTED},
        {"a/*.txt", "a/b/x.txt", SELECTION_UNWANTED}, {"a?o", "a\xc3\xa7\x6f", SELECTION_WANTED},
    };
    EXPECT_ROWS(rows);
}

Test(selection, what_would_be_hidden_must_have_been_typed)
{
    static const struct row rows[] = {
        {"a/", "a/.ssh/keys", SELECTION_HIDDEN}, {"a/", "a/b/.x", SELECTION_HIDDEN},
        {".a/", ".a/b", SELECTION_WANTED},       {".a/", ".a/.b", SELECTION_HIDDEN},
        {"*x", ".x", SELECTION_HIDDEN},          {".*", ".x", SELECTION_WANTED},
        {"*x", ".a/x", SELECTION_HIDDEN},        {".a/*", ".a/x", SELECTION_WANTED},
        {".a/*", ".a/.x", SELECTION_HIDDEN},
    };
    EXPECT_ROWS(rows);
}

Test(selection, a_component_that_fits_no_folder_is_told)
{
    char name[300] = "a/";
    struct selection *selection = selection_new(text_of("a/"));
    memset(name + 2, 'x', 255);
    cr_expect(eq(int, look(selection, name), SELECTION_WANTED));
    name[2 + 255] = 'x';
    cr_expect(eq(int, look(selection, name), SELECTION_LONG));
    memcpy(name + 2 + 256, "/y", 3);
    cr_expect(eq(int, look(selection, name), SELECTION_LONG));
    selection_destroy(&selection);
}

Test(selection, patterns_see_the_name_and_what_comes_after_the_folder_and_excluding_wins)
{
    struct selection *selection = selection_new(text_of("a/"));
    selection_include(selection, text_of("*.c"));
    selection_include(selection, text_of("doc/*"));
    selection_exclude(selection, text_of("test*"));
    selection_exclude(selection, text_of("a/doc/old"));
    static const struct row rows[] = {
        {NULL, "a/x.c", SELECTION_WANTED},      {NULL, "a/deep/x.C", SELECTION_WANTED},
        {NULL, "a/x.h", SELECTION_UNWANTED},    {NULL, "a/doc/x.h", SELECTION_WANTED},
        {NULL, "a/test.c", SELECTION_UNWANTED}, {NULL, "a/doc/old", SELECTION_UNWANTED},
        {NULL, "b/x.c", SELECTION_UNWANTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect(eq(int, look(selection, rows[i].name), rows[i].expected), "row %zu (%s)", i, rows[i].name);
    selection_destroy(&selection);
}

Test(selection, what_is_unwanted_is_no_trouble_however_odd)
{
    struct selection *selection = selection_new(text_of("a/"));
    selection_exclude(selection, text_of(".*"));
    cr_expect(eq(int, look(selection, "a/.hidden"), SELECTION_UNWANTED));
    selection_destroy(&selection);
}
