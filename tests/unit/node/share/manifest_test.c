/* SPDX-License-Identifier: MIT */
/*
 * The parser of manifests. What could go wrong: a bad line takes good ones with it, or is told under another
 * number; a name that must not go on the wire gets through; quotes read past the end of a line.
 */
#include "node/share/manifest.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct manifest *parsed;

static void parse(const char *text)
{
    manifest_destroy(&parsed);
    parsed = manifest_new(text_of(text));
}

static void end(void)
{
    manifest_destroy(&parsed);
}

TestSuite(manifest, .fini = end);

static void expect_entry(size_t position, const char *name, const char *path)
{
    cr_assert(lt(sz, position, parsed->count), "%s is missing", name);
    cr_expect(eq(str, parsed->entries[position].name, (char *)(uintptr_t)name));
    cr_expect(eq(str, parsed->entries[position].path, (char *)(uintptr_t)path));
}

static void expect_fault(size_t position, size_t line, enum manifest_fault fault)
{
    cr_assert(lt(sz, position, parsed->complaint_count));
    cr_expect(eq(sz, parsed->complaints[position].line, line));
    cr_expect(eq(int, parsed->complaints[position].fault, fault));
    cr_expect(gt(sz, strlen(manifest_fault_text(fault)), 0));
}

Test(manifest, words_quotes_backslashes_and_comments_are_read_as_a_shell_would)
{
    parse("# a list\n"
          "a.txt /srv/a.txt\n"
          "\n"
          "  \t\"two words\"\t'/srv/two words'  # why\n"
          "three\\ words relative/\\\"x\\\"\r\n"
          "mi\"x\"'ed' 'back\\slash'\n"
          "'it'\\''s' \"say \\\"hi\\\" \\\\\"\n"
          "a#b c#d\n"
          "last /no/newline");
    cr_expect(eq(sz, parsed->complaint_count, 0));
    cr_assert(eq(sz, parsed->count, 7));
    expect_entry(0, "a.txt", "/srv/a.txt");
    expect_entry(1, "two words", "/srv/two words");
    expect_entry(2, "three words", "relative/\"x\"");
    expect_entry(3, "mixed", "back\\slash");
    expect_entry(4, "it's", "say \"hi\" \\");
    expect_entry(5, "a#b", "c#d");
    expect_entry(6, "last", "/no/newline");
    cr_expect(eq(sz, parsed->entries[6].line, 9));
}

Test(manifest, bad_lines_are_told_by_number_and_good_ones_stay)
{
    parse("good /1\n"
          "alone\n"
          "three words here\n"
          "\"open /x\n"
          "'open /x\n"
          "slash /x\\\n"
          "../up /x\n"
          "a//b /x\n"
          "\xff /x\n"
          "\"\" /x\n"
          "empty ''\n"
          "good /2\n"
          "fine /3\n");
    static const enum manifest_fault FAULTS[] = {
        MANIFEST_NO_PATH,  MANIFEST_TOO_MANY_WORDS, MANIFEST_UNCLOSED,   MANIFEST_UNCLOSED,
        MANIFEST_UNCLOSED, MANIFEST_BAD_NAME,       MANIFEST_BAD_NAME,   MANIFEST_BAD_NAME,
        MANIFEST_BAD_NAME, MANIFEST_BAD_PATH,       MANIFEST_NAME_TWICE,
    };
    cr_assert(eq(sz, parsed->complaint_count, sizeof FAULTS / sizeof FAULTS[0]));
    for (size_t i = 0; i < parsed->complaint_count; i++)
        expect_fault(i, i + 2, FAULTS[i]);
    cr_expect(eq(sz, parsed->complaints[10].first_line, 1));
    cr_assert(eq(sz, parsed->count, 2));
    expect_entry(0, "good", "/1");
    expect_entry(1, "fine", "/3");
}

Test(manifest, one_file_may_have_several_names)
{
    parse("a /x\nb/c /x\n");
    cr_expect(eq(sz, parsed->count, 2));
    cr_expect(eq(sz, parsed->complaint_count, 0));
}

Test(manifest, zero_bytes_byte_order_marks_and_nothing_at_all)
{
    parse("");
    cr_expect(eq(sz, parsed->count, 0));
    manifest_destroy(&parsed);
    parsed = manifest_new((struct text){"\xef\xbb\xbf"
                                        "a /x\nb /x\0y\n",
                                        14});
    cr_expect(eq(sz, parsed->count, 1));
    expect_entry(0, "a", "/x");
    expect_fault(0, 2, MANIFEST_BAD_PATH);
}

Test(manifest, path_of_4095_bytes_fits_and_one_of_4096_does_not)
{
    char text[2 * 4096 + 32] = "a ";
    memset(text + 2, 'x', 4095);
    snprintf(text + 2 + 4095, 4, "\nb ");
    memset(text + 2 + 4095 + 3, 'x', 4096);
    parse(text);
    cr_expect(eq(sz, parsed->count, 1));
    expect_fault(0, 2, MANIFEST_BAD_PATH);
}

Test(manifest, complaints_are_bounded_and_the_rest_is_counted)
{
    char text[2 * (MANIFEST_COMPLAINTS_MAX + 3) + 1] = "";
    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "x\n", 2);
    parse(text);
    cr_expect(eq(sz, parsed->complaint_count, MANIFEST_COMPLAINTS_MAX));
    cr_expect(eq(sz, parsed->more_complaints_count, 3));
}

Test(manifest, line_after_the_last_that_there_is_room_for_is_told_once)
{
    size_t room = (size_t)(MANIFEST_ENTRIES_MAX + 2) * 16, size = 0;
    char *text = malloc(room);
    for (int i = 0; i < MANIFEST_ENTRIES_MAX + 2; i++)
        size += (size_t)snprintf(text + size, room - size, "%d /x\n", i);
    parse(text);
    free(text);
    cr_expect(eq(sz, parsed->count, MANIFEST_ENTRIES_MAX));
    cr_expect(eq(sz, parsed->complaint_count, 1));
    expect_fault(0, MANIFEST_ENTRIES_MAX + 1, MANIFEST_FULL);
}
