/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: columns shifted by wide or combining characters, a name that breaks out of its line.
 */
#include "tools/cli/table.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

Test(table, width_is_that_of_a_terminal)
{
    cr_expect(eq(sz, text_width(text_of("")), 0));
    cr_expect(eq(sz, text_width(text_of("abc")), 3));
    cr_expect(eq(sz, text_width(text_of("\xe6\xbc\xa2\xe5\xad\x97")), 4), "wide");
    cr_expect(eq(sz, text_width(text_of("c\xcc\xa7")), 1), "combining");
}

Test(table, columns_are_aligned_and_cells_stay_in_their_line)
{
    cr_assert(freopen("/dev/null", "w", stdout) != NULL);
    int fd = memfd_create("out", 0);
    dup2(fd, STDOUT_FILENO);
    struct output *output = output_new("ztest", false);
    struct table *table = table_new((const char *const[]){"NAME", ">SIZE", "LAST", NULL});
    static const char *const cells[] = {
        "\xe6\xbc\xa2\xe5\xad\x97x", "1 B", "x", "c\xcc\xa7", "1023 KiB", "a\nb"};
    for (size_t i = 0; i < 6; i++)
        table_cell_string(table, cells[i]);
    table_print(table, output);
    table_destroy(&table);
    table_destroy(&table);
    output_finish(&output);
    char text[1024] = "";
    cr_assert(pread(fd, text, sizeof text - 1, 0) > 0);
    static char expected[] = "NAME       SIZE  LAST\n"
                             "\xe6\xbc\xa2\xe5\xad\x97x       1 B  x\n"
                             "c\xcc\xa7      1023 KiB  a\\x0ab\n";
    cr_expect(eq(str, text, expected));
}
