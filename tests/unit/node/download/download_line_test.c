/* SPDX-License-Identifier: MIT */
/* A download that is another one after a restart, and a line from somebody's editor that is taken for one. */
#include "node/download/download_line.h"

#include "messages/name.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#define ROOT "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
#define NODE "000102030405060708090a0b0c0d0e0f"

static struct download_line parsed;

static bool parse(const char *line)
{
    return download_line_parse(text_of(line), &parsed);
}

TestSuite(download_line, .timeout = 60);

/* What is read and listed again is written as it was. */
static void stays(const char *line)
{
    uint32_t number;
    struct download_list *list = download_list_new();
    cr_assert(parse(line), "%s", line);
    cr_assert(eq(int, download_list_add(list, &parsed.order, &number), DOWNLOADS_OK));
    download_list_saved(list, number, parsed.saved_bytes);
    char *again = download_line_format(download_list_at(list, 0));
    cr_expect(eq(int, strcmp(again, line), 0), "%s instead of %s", again, line);
    free(again);
    download_list_destroy(&list);
}

Test(download_line, every_field_survives)
{
    stays("waiting " ROOT " 1000 10 - - any - film.mkv");
    stays("paused " ROOT " 1000 1000 1700000000000 yes any - a/b c/film (2).mkv");
    stays("pushed " ROOT " 0 0 0 no any - leer");
    stays("pushed-paused " ROOT " 7 3 - - any - a/film.mkv");
    stays("waiting " ROOT " 5 0 - - only 192.168.1.4,9000," NODE " x");
    stays("waiting " ROOT " 5 0 - - any 10.0.0.1,1,-;2001:db8::1,65535," NODE "  two blanks first");
    stays("waiting " ROOT " 18446744073709 0 18446744073709551615 - any - Größe — ok");
}

Test(download_line, the_id_follows_from_root_and_size)
{
    struct hash root;
    cr_assert(hex_parse(ROOT, strlen(ROOT), root.bytes, sizeof root.bytes));
    cr_assert(parse("waiting " ROOT " 77 0 - - any - x"));
    struct file_id id = file_id_of(77, &root);
    cr_expect(file_id_equal(&parsed.order.file.id, &id));
}

Test(download_line, the_longest_name_and_the_most_sources_fit)
{
    char line[8192];
    int size = snprintf(line, sizeof line, "waiting " ROOT " 5 0 - - only ");
    for (unsigned i = 0; i < DOWNLOADS_SOURCES_MAX; i++)
        size += snprintf(line + size, sizeof line - (size_t)size,
                         "%s2001:db8:1111:2222:3333:4444:5555:%u,65535," NODE, i > 0 ? ";" : "", 6000 + i);
    size += snprintf(line + size, sizeof line - (size_t)size, " ");
    memset(line + size, 'n', 1024);
    line[size + 1024] = '\0';
    stays(line);
}

Test(download_line, a_failed_download_is_written_as_one_that_waits)
{
    uint32_t number;
    struct download_list *list = download_list_new();
    cr_assert(parse("waiting " ROOT " 5 0 - - any - x"));
    download_list_add(list, &parsed.order, &number);
    download_list_failed(list, number, "the disk is full");
    char *line = download_line_format(download_list_at(list, 0));
    cr_expect(eq(str, line, "waiting " ROOT " 5 0 - - any - x"));
    free(line);
    download_list_destroy(&list);
}

Test(download_line, what_is_not_exactly_a_download_is_refused)
{
    static const char *const lines[] = {
        "",
        " ",
        "waiting",
        "waiting " ROOT,
        "waiting " ROOT " 5 0 - - any -",
        "waiting " ROOT " 5 0 - - any - ",
        "done " ROOT " 5 0 - - any - x",
        "Waiting " ROOT " 5 0 - - any - x",
        "paused-pushed " ROOT " 5 0 - - any - x",
        "waiting 01020304 5 0 - - any - x",
        "waiting x" ROOT " 5 0 - - any - x",
        "waiting " ROOT "  5 0 - - any - x",
        "waiting " ROOT " -5 0 - - any - x",
        "waiting " ROOT " 0x5 0 - - any - x",
        "waiting " ROOT " 5 6 - - any - x", /* more saved than there is */
        "waiting " ROOT " 18446744073709551616 0 - - any - x",
        "waiting " ROOT " 99999999999999999999999 0 - - any - x",
        "waiting " ROOT " 18446744073709551615 0 - - any - x", /* larger than a file can be */
        "waiting " ROOT " 5 0 late - any - x",
        "waiting " ROOT " 5 0 - maybe any - x",
        "waiting " ROOT " 5 0 - - some - x",
        "waiting " ROOT " 5 0 - - any nobody x",
        "waiting " ROOT " 5 0 - - any 10.0.0.1 x",
        "waiting " ROOT " 5 0 - - any 10.0.0.1,9 x",
        "waiting " ROOT " 5 0 - - any 10.0.0.1,0,- x",
        "waiting " ROOT " 5 0 - - any 10.0.0.1,65536,- x",
        "waiting " ROOT " 5 0 - - any host.example,9,- x",
        "waiting " ROOT " 5 0 - - any 10.0.0.1,9,0001 x",
        "waiting " ROOT " 5 0 - - any ;10.0.0.1,9,- x",
        "waiting " ROOT " 5 0 - - any - ../x",
        "waiting " ROOT " 5 0 - - any - /etc/passwd",
        "waiting " ROOT " 5 0 - - any - a//b",
        "waiting " ROOT " 5 0 - - any - a\tb",
        "waiting " ROOT " 5 0 - - any - \xff",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_expect(not(parse(lines[i])), "row %zu (%s)", i, lines[i]);
}

Test(download_line, one_source_too_many_is_refused)
{
    char line[4096];
    int size = snprintf(line, sizeof line, "waiting " ROOT " 5 0 - - any ");
    for (unsigned i = 0; i <= DOWNLOADS_SOURCES_MAX; i++)
        size += snprintf(line + size, sizeof line - (size_t)size, "%s10.0.0.1,%u,-", i > 0 ? ";" : "", i + 1);
    snprintf(line + size, sizeof line - (size_t)size, " x");
    cr_expect(not(parse(line)));
}

/* Cut anywhere, or with any byte changed: never a crash, and never a name that leaves the folder. */
Test(download_line, damage_is_refused_or_read_as_a_valid_download)
{
    static const char line[] = "paused " ROOT " 1000 10 5 yes only 10.0.0.1,9," NODE ";::1,7,- a/b.c";
    for (size_t i = 0; i < sizeof line; i++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char damaged[sizeof line];
            memcpy(damaged, line, sizeof line);
            damaged[i] = (char)byte;
            if (!download_line_parse((struct text){damaged, byte % 2 ? i : sizeof line - 1}, &parsed))
                continue;
            cr_expect(name_is_valid(parsed.order.file.name));
            cr_expect(le(u64, parsed.saved_bytes, parsed.order.file.size));
        }
    }
}
