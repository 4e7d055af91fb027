/* SPDX-License-Identifier: MIT */
/*
 * Folding that differs from what other implementations fold finds less, or rules nodes out that have
 * the file: wrong order of steps, marks of the wrong category dropped, special cases missed.
 */
#include "messages/fold.h"

#include "tests/unit/messages/golden.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static void expect_fold(const char *name, const char *expected)
{
    size_t size;
    char *folded = fold(text_of(name), &size);
    cr_expect(strcmp(folded, expected) == 0, "\"%s\" became \"%s\"", name, folded);
    cr_expect(eq(sz, size, strlen(expected)));
    free(folded);
}

Test(fold, equals_the_independent_unicode_tables_of_python)
{
    FILE *file = golden_file("fold.tsv");
    char *line = NULL;
    size_t room = 0, count = 0;
    while (getline(&line, &room, file) > 0) {
        count++;
        char *expected = strchr(line, '\t');
        cr_assert(expected != NULL);
        *expected++ = '\0';
        size_t name_size = golden_unhex(line);
        size_t expected_size = golden_unhex(expected);
        size_t size;
        char *folded = fold((struct text){line, name_size}, &size);
        cr_expect(eq(sz, size, expected_size), "line %zu", count);
        cr_expect(size == expected_size && memcmp(folded, expected, size) == 0, "line %zu", count);
        free(folded);
    }
    cr_expect(count > 300, "only %zu lines", count);
    free(line);
    fclose(file);
}

Test(fold, drops_accents_and_case)
{
    expect_fold("Ação", "acao");
    expect_fold("ÅNGSTRÖM.TXT", "angstrom.txt");
    expect_fold("Straße", "strasse");
    expect_fold("ABC xyz [0-9]~", "abc xyz [0-9]~");
    expect_fold("", "");
}

Test(fold, drops_nonspacing_marks_but_keeps_spacing_and_enclosing_ones)
{
    expect_fold("\xe0\xa4\x95\xe0\xa4\xbe", "\xe0\xa4\x95\xe0\xa4\xbe"); /* KA, AA sign: Mc */
    expect_fold("a\xe2\x83\x9d", "a\xe2\x83\x9d");                       /* enclosing circle: Me */
    expect_fold("a\xcc\x81", "a");                                       /* acute: Mn */
}

Test(fold, keeps_unknown_and_private_code_points)
{
    expect_fold("\xee\x80\x80", "\xee\x80\x80");           /* U+E000 */
    expect_fold("\xf3\xa0\x80\x82", "\xf3\xa0\x80\x82");   /* U+E0002, unassigned */
    expect_fold("x\xf4\x8f\xbf\xbf", "x\xf4\x8f\xbf\xbf"); /* U+10FFFF */
}

Test(fold, takes_the_longest_name_of_ligatures_that_grow_most)
{
    char name[1024];
    size_t size, used = 0;
    for (; used + 3 <= sizeof name; used += 3)
        memcpy(name + used, "\xef\xb7\xba", 3); /* U+FDFA: 18 code points */
    char *folded = fold((struct text){name, used}, &size);
    cr_expect(gt(sz, size, 18 * used / 3));
    cr_expect(eq(sz, size, strlen(folded)));
    free(folded);
}
