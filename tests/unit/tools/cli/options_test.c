/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a weaker source beats a stronger one, a typing mistake in the config passes silently
 * or one for another program stops this one, an error names nothing, a broken file hangs or overruns.
 */
#include "tools/cli/endpoint.h"
#include "tools/cli/options.h"
#include "tools/cli/value.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    struct endpoint broker;
    struct option_texts shares;
    char *name;
    bool is_json;
    uint64_t timeout_ms, up;
    uint32_t limit;
    uint16_t port;
} settings;

static const char *set_limit(void *target, const char *value)
{
    uint64_t number;
    if (!number_parse(value, 0, UINT32_MAX, &number))
        return "a number from 0 to 4294967295";
    *(uint32_t *)target = (uint32_t)number;
    return NULL;
}

static const char *set_port(void *target, const char *value)
{
    return port_parse(value, target) ? NULL : "a port from 1 to 65535";
}

static const struct cli_option options[] = {
    OPTION_ROW_BROKER(&settings.broker),
    OPTION_ROW_TIMEOUT(&settings.timeout_ms, "seconds"),
    OPTION_ROW_JSON(&settings.is_json),
    {"share", 's', "DIR", "a folder", option_texts, &settings.shares},
    {"name", 0, "NAME", "a name", option_text, &settings.name},
    {"limit", 0, "N", "a limit", set_limit, &settings.limit},
    {"port", 'p', "P", "a port", set_port, &settings.port},
    {"up", 0, "RATE", "a rate", option_size, &settings.up},
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "ztest",
    .operands = "TEXT...",
    .summary = "Tests.",
    .options = options,
    .example = "ztest x",
    .exits = "0 done",
};

static char folder[] = "/tmp/zswarm-options-XXXXXX";
static char config_path[128];
static char *error;
static int operand;

static void setup(void)
{
    char directory[96];
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(directory, sizeof directory, "%s/zswarm", folder);
    cr_assert(zero(int, mkdir(directory, 0700)));
    snprintf(config_path, sizeof config_path, "%s/config", directory);
    setenv("XDG_CONFIG_HOME", folder, 1);
    unsetenv("ZSWARM_BROKER");
}

static void teardown(void)
{
    char directory[96];
    snprintf(directory, sizeof directory, "%s/zswarm", folder);
    unlink(config_path);
    rmdir(config_path);
    rmdir(directory);
    rmdir(folder);
    option_texts_release(&settings.shares);
    free(settings.name);
    free(error);
}

TestSuite(options, .init = setup, .fini = teardown);

static void write_config(const char *text)
{
    FILE *file = fopen(config_path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

/* A command line of up to 7 arguments. */
#define READ(...) read_arguments((char *[]){(char[]){"ztest"}, __VA_ARGS__, NULL})

static enum options_result read_arguments(char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    free(error);
    error = NULL;
    return options_read(&program, argc, argv, &operand, &error);
}

static void expect_error(const char *expected)
{
    cr_assert(error != NULL);
    cr_expect(strstr(error, expected) != NULL, "'%s' in '%s'", expected, error);
    cr_expect(strchr(error, '\n') == NULL, "one line: '%s'", error);
}

Test(options, every_kind_of_value_reaches_its_target)
{
    cr_assert(eq(int, READ("x", "--timeout=0.5", "-p", "7", "--up", "8kbit", "--json"), OPTIONS_RUN));
    cr_expect(eq(u64, settings.timeout_ms, 500));
    cr_expect(eq(u16, settings.port, 7));
    cr_expect(eq(u64, settings.up, 1000));
    cr_expect(settings.is_json);
    cr_expect(eq(int, operand, 7), "operands are moved behind the options");
    cr_assert(eq(int, READ("-sa", "--share", "b", "--name", "x", "--limit", "3"), OPTIONS_RUN));
    cr_expect(eq(sz, settings.shares.count, 2));
    cr_expect(eq(str, settings.shares.items[1], "b"));
    cr_expect(eq(str, settings.name, "x"));
    cr_expect(eq(u32, settings.limit, 3));
}

Test(options, command_line_beats_environment_beats_config)
{
    write_config("broker = c\n");
    cr_assert(eq(int, READ("x"), OPTIONS_RUN));
    cr_expect(eq(str, settings.broker.host, "c"));
    setenv("ZSWARM_BROKER", "e", 1);
    cr_assert(eq(int, READ("x"), OPTIONS_RUN));
    cr_expect(eq(str, settings.broker.host, "e"));
    cr_assert(eq(int, READ("--broker", "l:5"), OPTIONS_RUN));
    cr_expect(eq(str, settings.broker.host, "l"));
    cr_expect(eq(u16, settings.broker.port, 5));
}

Test(options, empty_environment_is_no_environment)
{
    write_config("broker = c\n");
    setenv("ZSWARM_BROKER", "", 1);
    cr_assert(eq(int, READ("x"), OPTIONS_RUN));
    cr_expect(eq(str, settings.broker.host, "c"));
}

Test(options, bad_environment_is_named)
{
    setenv("ZSWARM_BROKER", "ipc://x", 1);
    cr_expect(eq(int, READ("x"), OPTIONS_WRONG));
    expect_error("$ZSWARM_BROKER");
}

Test(options, config_has_comments_blank_lines_flags_lists_and_options_of_other_programs)
{
    write_config("# a comment\n\n  \t\n  limit=5\r\njson = yes\nshare = /a b \nshare = /c\nassign-ports = "
                 "1-2\nname = x # y");
    cr_assert(eq(int, READ("x"), OPTIONS_RUN), "%s", error);
    cr_expect(eq(u32, settings.limit, 5));
    cr_expect(settings.is_json);
    cr_assert(eq(sz, settings.shares.count, 2));
    cr_expect(eq(str, settings.shares.items[0], "/a b"));
    cr_expect(eq(str, settings.name, "x # y"));
}

Test(options, command_line_replaces_a_list_of_the_config)
{
    write_config("share = /a\nshare = /b\njson = no\n");
    cr_assert(eq(int, READ("--share", "/c"), OPTIONS_RUN));
    cr_assert(eq(sz, settings.shares.count, 1));
    cr_expect(eq(str, settings.shares.items[0], "/c"));
    cr_expect(not(settings.is_json));
}

Test(options, config_errors_name_file_line_and_cure)
{
    static const struct {
        const char *config, *error;
    } rows[] = {
        {"\nfoo = 1\n", "zswarm/config:2: no zswarm program has an option 'foo': correct or remove the line"},
        {"limit\n", "zswarm/config:1: expected 'name = value'"},
        {"limit = x\n", "zswarm/config:1: 'limit' needs a number"},
        {"limit = \n", "zswarm/config:1: 'limit' needs a number"},
        {"json = maybe\n", "zswarm/config:1: 'json' needs yes or no, not 'maybe'"},
        {"= 1\n", "zswarm/config:1: no zswarm program has an option ''"},
        {"help = yes\n", "no zswarm program has an option 'help'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_config(rows[i].config);
        cr_expect(eq(int, READ("x"), OPTIONS_WRONG), "row %zu", i);
        expect_error(rows[i].error);
    }
}

Test(options, config_line_has_a_limit)
{
    FILE *file = fopen(config_path, "w");
    for (int i = 0; i < CONFIG_LINE_SIZE_MAX; i++)
        fputc('#', file);
    fputc('\n', file);
    fclose(file);
    cr_expect(eq(int, READ("x"), OPTIONS_RUN), "%s", error);
    file = fopen(config_path, "w");
    for (int i = 0; i < CONFIG_LINE_SIZE_MAX + 1; i++)
        fputc('#', file);
    fclose(file);
    cr_expect(eq(int, READ("x"), OPTIONS_WRONG));
    expect_error("config:1: too long");
}

Test(options, config_has_a_limit_of_lines)
{
    FILE *file = fopen(config_path, "w");
    for (int i = 0; i < CONFIG_LINES_MAX; i++)
        fputc('\n', file);
    fflush(file);
    cr_expect(eq(int, READ("x"), OPTIONS_RUN), "%s", error);
    fputc('\n', file);
    fclose(file);
    cr_expect(eq(int, READ("x"), OPTIONS_WRONG));
    expect_error("too long");
}

Test(options, config_that_is_no_file_is_an_error_and_never_a_wait)
{
    cr_assert(zero(int, mkfifo(config_path, 0600)));
    cr_expect(eq(int, READ("x"), OPTIONS_WRONG));
    expect_error("is not a regular file");
    unlink(config_path);
    cr_assert(zero(int, mkdir(config_path, 0700)));
    cr_expect(eq(int, READ("x"), OPTIONS_WRONG));
    expect_error("is not a regular file");
}

Test(options, missing_config_and_missing_home_are_fine)
{
    cr_expect(eq(int, READ("x"), OPTIONS_RUN));
    setenv("XDG_CONFIG_HOME", "relative", 1);
    unsetenv("HOME");
    cr_expect(eq(int, READ("x"), OPTIONS_RUN));
}

Test(options, config_is_found_below_home)
{
    char directory[128];
    write_config("foo = 1\n");
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", folder, 1);
    cr_expect(eq(int, READ("x"), OPTIONS_RUN));
    snprintf(directory, sizeof directory, "%s/.config", folder);
    cr_assert(zero(int, symlink(folder, directory)));
    cr_expect(eq(int, READ("x"), OPTIONS_WRONG));
    unlink(directory);
}

Test(options, usage_errors_name_the_option)
{
    cr_expect(eq(int, READ("--foo"), OPTIONS_WRONG));
    expect_error("unknown option '--foo' (see ztest --help");
    cr_expect(eq(int, READ("-x"), OPTIONS_WRONG));
    expect_error("unknown option '-x'");
    cr_expect(eq(int, READ("--limit"), OPTIONS_WRONG));
    expect_error("--limit needs a value");
    cr_expect(eq(int, READ("-p"), OPTIONS_WRONG));
    expect_error("-p needs a value");
    cr_expect(eq(int, READ("--json=1"), OPTIONS_WRONG));
    expect_error("--json takes no value");
    cr_expect(eq(int, READ("--port", "0"), OPTIONS_WRONG));
    expect_error("--port needs a port from 1 to 65535, not '0'");
    cr_expect(eq(int, READ("--limit", "4294967296"), OPTIONS_WRONG));
    expect_error("--limit needs a number from 0 to 4294967295");
    cr_expect(eq(int, READ("--timeout", "0"), OPTIONS_WRONG));
    expect_error("--timeout needs seconds above 0");
    cr_expect(eq(int, READ("--up", "fast"), OPTIONS_WRONG));
    expect_error("--up needs an amount");
    cr_expect(eq(int, READ("--name", ""), OPTIONS_WRONG));
    expect_error("--name needs a value");
    cr_expect(eq(int, READ("--share="), OPTIONS_WRONG));
    expect_error("--share needs a value");
    cr_expect(eq(int, READ("--broker", "a b"), OPTIONS_WRONG));
    expect_error("--broker needs an address");
}

Test(options, first_error_is_told_and_the_rest_is_still_read)
{
    cr_expect(eq(int, READ("--foo", "--bar", "--json"), OPTIONS_WRONG));
    expect_error("--foo");
    cr_expect(settings.is_json);
}

Test(options, what_follows_two_dashes_is_an_operand)
{
    cr_assert(eq(int, READ("--", "--foo"), OPTIONS_RUN));
    cr_expect(eq(int, operand, 2));
}

Test(options, help_and_version_win_over_a_broken_config_and_over_later_mistakes_but_not_over_earlier_ones)
{
    write_config("foo\n");
    cr_expect(eq(int, READ("--help"), OPTIONS_SHOWN));
    cr_expect(eq(int, READ("--version", "--foo"), OPTIONS_SHOWN));
    cr_expect(eq(int, READ("--foo", "--version"), OPTIONS_WRONG));
    cr_expect(eq(int, READ("-zh"), OPTIONS_WRONG));
}
