/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a name with blanks, quotes or accents that is not one word; a slip of the finger that
 * runs another command; a line that is too long, binary or half a quote that does harm or says nothing; a
 * number, range, port or address that is read as something else.
 */
#include "node/console_command.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The words with | between them; the problem when there is one. */
static char *read_as(const char *line)
{
    struct console_command command = console_command_read(text_of(line));
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (command.problem)
        fprintf(stream, "! %s", command.problem);
    else if (command.row)
        fprintf(stream, "%.*s", (int)strcspn(command.row->names, " "), command.row->names);
    for (size_t i = 0; i < command.count && !command.problem; i++)
        fprintf(stream, "|%s", command.words[i]);
    fclose(stream);
    console_command_release(&command);
    console_command_release(&command);
    return text;
}

Test(console_command, words_are_split_at_blanks_unless_quoted)
{
    static const struct {
        const char *line, *expected;
    } rows[] = {
        {"", ""},
        {"  \t ", ""},
        {"# a comment", ""},
        {"search annual report", "search|annual|report"},
        {"  s\t x \r", "search|x"},
        {"get \"a b\" 'c d' e\\ f", "download|a b|c d|e f"},
        {"get Ação.mkv", "download|Ação.mkv"},
        {"get -rf", "download|-rf"},
        {"get --help", "download|--help"},
        {"get a\"b c\"d", "download|ab cd"},
        {"get \"it's\" 'say \"hi\"' \\'", "download|it's|say \"hi\"|'"},
        {"get \"a\\\"b\" 'a\\b' \\\\", "download|a\"b|a\\b|\\"},
        {"get \"\"", "download|"},
        {"get #1", "download|#1"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *got = read_as(rows[i].line);
        cr_expect(strcmp(got, rows[i].expected) == 0, "row %zu: %s", i, got);
        free(got);
    }
}

Test(console_command, every_name_and_alias_is_a_command_in_any_case)
{
    static const char *const names[] = {
        "list ls files", "peers p",   "search s", "download get d",  "downloads dls",
        "pause",         "resume",    "cancel",   "status info",     "refresh update",
        "tracker",       "whoami me", "push",     "share",           "unshare",
        "limit",         "menu",      "help h ?", "quit exit q bye",
    };
    for (size_t i = 0; i < COUNT(names); i++) {
        char copy[32], *at = copy, *name;
        snprintf(copy, sizeof copy, "%s", names[i]);
        while ((name = strsep(&at, " "))) {
            const struct console_row *row = console_row_named(name);
            cr_expect(row && strcmp(row->names, names[i]) == 0, "%s", name);
        }
    }
    cr_expect(eq(sz, COUNT(names), CONSOLE_VERBS));
    cr_expect(console_row_named("QUIT") == console_row_named("quit"));
    cr_expect(console_row_named("") == NULL);
    cr_expect(console_row_named("list ls") == NULL);
}

Test(console_command, the_example_of_each_command_is_one)
{
    for (size_t i = 0; i < CONSOLE_VERBS; i++) {
        struct console_command command = console_command_read(text_of(console_rows[i].example));
        cr_expect(command.row == &console_rows[i], "%s: %s", console_rows[i].example, command.problem);
        console_command_release(&command);
    }
}

Test(console_command, help_fits_a_screen)
{
    cr_expect(le(sz, CONSOLE_VERBS, 22), "and a line about help, and the prompt");
    for (size_t i = 0; i < CONSOLE_VERBS; i++) {
        cr_expect(le(sz, strlen(console_rows[i].names), 20), "%s", console_rows[i].names);
        cr_expect(le(sz, 21 + strlen(console_rows[i].summary), 79), "%s", console_rows[i].names);
    }
}

Test(console_command, what_is_wrong_is_one_line_with_the_cure)
{
    static const struct {
        const char *line, *expected;
    } rows[] = {
        {"serach x", "! no command 'serach': did you mean 'search'?"},
        {"dowload x", "! no command 'dowload': did you mean 'download'?"},
        {"stauts", "! no command 'stauts': did you mean 'status'?"},
        {"pears", "! no command 'pears': did you mean 'peers'?"},
        {"xyzzy", "! no command 'xyzzy': 'help' lists all"},
        {"z", "! no command 'z': 'help' lists all"},
        {"aaaaaaaaaaaaaaaaaaaaaaaa", "! no command 'aaaaaaaaaaaaaaaaaaaaaaaa': 'help' lists all"},
        {"search", "! usage: search TEXT; for example: search annual report"},
        {"quit now", "! usage: quit, alone"},
        {"push a", "! usage: push FILE NODE; for example: push report.pdf 192.168.1.20 9123"},
        {"get \"a", "! a quote is not closed: close it, or put a backslash before it"},
        {"get don't", "! a quote is not closed: close it, or put a backslash before it"},
        {"get a\\", "! nothing comes after the backslash: write \\\\ for a backslash"},
        {"get a\x1b[2J", "! a line that is not UTF-8 or holds control characters was not read"},
        {"get \xff", "! a line that is not UTF-8 or holds control characters was not read"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *got = read_as(rows[i].line);
        cr_expect(strcmp(got, rows[i].expected) == 0, "row %zu: %s", i, got);
        free(got);
    }
}

Test(console_command, a_nul_in_a_line_does_not_end_it)
{
    struct console_command command = console_command_read((struct text){"quit\0x", 6});
    cr_expect(command.row == NULL);
    cr_expect(command.problem != NULL);
    console_command_release(&command);
}

Test(console_command, the_longest_line_is_read_and_one_byte_more_is_not)
{
    char *line = malloc(CONSOLE_LINE_SIZE_MAX + 1);
    memset(line, 'x', CONSOLE_LINE_SIZE_MAX + 1);
    memcpy(line, "get ", 4);
    struct console_command command = console_command_read((struct text){line, CONSOLE_LINE_SIZE_MAX});
    cr_expect(eq(sz, command.count, 1));
    console_command_release(&command);
    command = console_command_read((struct text){line, CONSOLE_LINE_SIZE_MAX + 1});
    cr_expect(eq(str, command.problem, "a line of more than 20000 bytes was not read: shorten it"));
    console_command_release(&command);
    free(line);
}

Test(console_command, the_rest_is_joined_by_one_blank)
{
    struct console_command command = console_command_read(text_of("search  a   'b  c'"));
    char *rest = console_command_rest(&command, 0), *none = console_command_rest(&command, 2);
    cr_expect(eq(str, rest, "a b  c"));
    cr_expect(eq(str, none, ""));
    free(rest);
    free(none);
    console_command_release(&command);
}

Test(console_command, the_tail_is_the_word_being_typed)
{
    static const struct {
        const char *line, *command, *word;
        size_t index, offset;
    } rows[] = {
        {"", "", "", 0, 0},
        {"se", "", "se", 0, 0},
        {"get ", "get", "", 1, 4},
        {"get my", "get", "my", 1, 4},
        {"get \"my fi", "get", "my fi", 1, 4},
        {"get my\\ fi", "get", "my fi", 1, 4},
        {"get a b", "get", "b", 2, 6},
        {"get a\\", "get", "a", 1, 4},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct console_tail tail = console_tail_of(text_of(rows[i].line));
        cr_expect(strcmp(tail.command, rows[i].command) == 0, "row %zu: %s", i, tail.command);
        cr_expect(strcmp(tail.word, rows[i].word) == 0, "row %zu: %s", i, tail.word);
        cr_expect(tail.index == rows[i].index && tail.offset == rows[i].offset, "row %zu: %zu %zu", i,
                  tail.index, tail.offset);
        free(tail.command);
        free(tail.word);
    }
}

Test(console_command, what_is_quoted_is_read_back_as_one_word)
{
    static const char *const words[] = {"plain",      "two words",   "it's",
                                        "say \"hi\"", "back\\slash", "Ação 1.mkv"};
    for (size_t i = 0; i < COUNT(words); i++) {
        char *quoted = console_quote(words[i]), *line = NULL;
        cr_assert(asprintf(&line, "get %s", quoted) > 0);
        struct console_command command = console_command_read(text_of(line));
        cr_expect(eq(sz, command.count, 1));
        cr_expect(eq(str, command.words[0], (char *)(uintptr_t)words[i]));
        console_command_release(&command);
        free(line);
        free(quoted);
    }
}

Test(console_command, numbers_and_ranges_are_those_and_nothing_else)
{
    struct console_range range = {7, 7};
    static const char *const bad[] = {"",      "0",  "x",  "-1",         "1-",  "3-2",
                                      "1-2-3", "1 ", "+1", "4294967296", "1-0", "1x"};
    for (size_t i = 0; i < COUNT(bad); i++)
        cr_expect(not(console_range_read(bad[i], &range)), "%s", bad[i]);
    cr_expect(range.first == 7 && range.last == 7, "untouched");
    cr_assert(console_range_read("4294967295", &range));
    cr_expect(range.first == UINT32_MAX && range.last == UINT32_MAX);
    cr_assert(console_range_read("2-5", &range));
    cr_expect(range.first == 2 && range.last == 5);
}

/* `host port`, `name NAME` or the problem. */
static char *target_as(const char *first, const char *second)
{
    char *words[] = {text_copy(text_of(first)), second ? text_copy(text_of(second)) : NULL};
    struct console_target target;
    char host[HOST_TEXT_SIZE], *text = console_target_read(words, second ? 2 : 1, &target);
    if (!text && target.has_host) {
        host_format(&target.host, host);
        cr_assert(asprintf(&text, "%s %u", host, target.port) > 0);
    } else if (!text) {
        cr_assert(asprintf(&text, "name %s", target.name) > 0);
    }
    free(words[0]);
    free(words[1]);
    return text;
}

Test(console_command, nodes_are_named_by_address_or_name)
{
    static const struct {
        const char *first, *second, *expected;
    } rows[] = {
        {"10.0.0.7", NULL, "10.0.0.7 0"},
        {"10.0.0.7", "9123", "10.0.0.7 9123"},
        {"10.0.0.7:9123", NULL, "10.0.0.7 9123"},
        {"localhost", "9123", "127.0.0.1 9123"},
        {"localhost:9123", NULL, "127.0.0.1 9123"},
        {"::1", NULL, "::1 0"},
        {"[::1]:9123", NULL, "::1 9123"},
        {"[::1]", NULL, "::1 0"},
        {"::1", "9123", "::1 9123"},
        {"User-9123", NULL, "name User-9123"},
        {"a:b", NULL, "name a:b"},
        {"-x", NULL, "name -x"},
        {"10.0.0.7", "99999", "'99999' is not a port: 1 to 65535; 'peers' lists the nodes"},
        {"10.0.0.7", "0", "'0' is not a port: 1 to 65535; 'peers' lists the nodes"},
        {"10.0.0.7:", NULL, "'' is not a port: 1 to 65535; 'peers' lists the nodes"},
        {"10.0.0.7:x", NULL, "'x' is not a port: 1 to 65535; 'peers' lists the nodes"},
        {"User", "9123", "'User' is not an IP address: 'peers' lists the nodes; quote a name with blanks"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *got = target_as(rows[i].first, rows[i].second);
        cr_expect(strcmp(got, rows[i].expected) == 0, "row %zu: %s", i, got);
        free(got);
    }
    struct console_target target;
    cr_expect(not(console_address_read("User-9123", &target)));
    cr_expect(not(console_address_read("10.0.0.7:0", &target)));
    cr_expect(not(console_address_read("report.pdf", &target)));
    cr_expect(console_address_read("10.0.0.7", &target));
}
