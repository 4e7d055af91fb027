/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: columns shifted by wide or combining characters, a name that breaks out of its line, a
 * number that is cut where only a name may be.
 */
#include "tools/cli/table.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

Test(table, a_text_is_cut_between_characters_and_never_below_the_least)
{
    static const struct {
        const char *text;
        size_t columns;
        const char *expected;
    } rows[] = {
        {"0123456789", 10, "0123456789"},  {"0123456789", 9, "01234567…"},
        {"漢字漢字漢字", 10, "漢字漢字…"}, {"漢字漢字漢字", 11, "漢字漢字漢…"},
        {"c̩c̩c̩c̩c̩c̩c̩c̩c̩", 8, "c̩c̩c̩c̩c̩c̩c̩…"},      {"0123456789", 0, "0123456…"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *fitted = text_fit(rows[i].text, rows[i].columns);
        cr_expect(strcmp(fitted, rows[i].expected) == 0, "row %zu: %s", i, fitted);
        free(fitted);
    }
}

Test(table, on_a_terminal_only_the_name_loses_what_does_not_fit)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    int fd = open(ptsname(terminal), O_RDWR | O_NOCTTY);
    struct winsize size = {.ws_row = 24, .ws_col = 32};
    cr_assert(ioctl(fd, TIOCSWINSZ, &size) == 0);
    dup2(fd, STDOUT_FILENO);
    cr_assert(eq(sz, terminal_columns(STDOUT_FILENO), 32));
    struct output *output = output_new("ztest", false);
    struct table *table = table_new((const char *const[]){"ID", ">SIZE", "~NAME", NULL});
    static const char *const cells[] = {"0123456789ab", "1.0 KiB", "a rather long name.txt"};
    for (size_t i = 0; i < 3; i++)
        table_cell_string(table, cells[i]);
    table_print(table, output);
    table_destroy(&table);
    output_finish(&output);
    char text[256] = "";
    for (size_t got = 0; !strstr(text, "…\r\n");) {
        ssize_t more = read(terminal, text + got, sizeof text - 1 - got);
        cr_assert(more > 0);
        got += (size_t)more;
    }
    static char expected[] = "ID               SIZE  NAME\r\n"
                             "0123456789ab  1.0 KiB  a rather…\r\n";
    cr_expect(eq(str, text, expected));
}
