/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: `done` missing or printed twice, a raw control character on the terminal or in JSON, a
 * full disk reported as success, an exit code that hides an error.
 */
#include "tools/cli/output.h"
#include "tools/cli/table.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* stdout and stderr of the test process, which Criterion does not use, as files. */
static char printed[65536], complained[65536];

static void capture(void)
{
    cr_assert(freopen("/dev/null", "w", stdout) != NULL);
    int out = memfd_create("out", 0), err = memfd_create("err", 0);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
}

static char *read_back(int fd, char *text)
{
    ssize_t size = pread(fd, text, sizeof printed - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

static char *out(void)
{
    return read_back(STDOUT_FILENO, printed);
}

static char *err(void)
{
    return read_back(STDERR_FILENO, complained);
}

static void expect_printable(const char *text)
{
    for (const char *p = text; *p; p++) {
        bool is_printable = (*p >= ' ' && *p < 0x7f) || *p == '\n';
        cr_expect(is_printable, "byte %02x", (unsigned char)*p);
    }
}

Test(output, exit_code_is_the_first_of_2_4_3_1_0)
{
    static const int rank[] = {EXIT_ERROR, EXIT_AMBIGUOUS, EXIT_INCOMPLETE, EXIT_NOT_FOUND, EXIT_DONE};
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++)
            cr_expect(eq(int, exit_combine(rank[a], rank[b]), rank[a < b ? a : b]), "%d %d", rank[a],
                      rank[b]);
    }
}

Test(output, done_comes_once_with_exit_error_and_figures, .init = capture)
{
    struct output *output = output_new("ztest", true);
    json_object_set_new(output_figures(output), "asked", json_integer(3));
    output_exit(output, EXIT_INCOMPLETE);
    output_error(output, "first %d", 1);
    output_error(output, "second");
    output_line(output, "not with JSON");
    cr_expect(eq(int, output_finish(&output), EXIT_ERROR));
    cr_expect(eq(str, out(), "{\"event\":\"done\",\"exit\":2,\"error\":\"first 1\",\"asked\":3}\n"));
    cr_expect(eq(str, err(), "ztest: first 1\nztest: second\n"));
    cr_expect(eq(ptr, output, NULL));
}

Test(output, reason_does_not_touch_the_exit_code, .init = capture)
{
    struct output *output = output_new("ztest", true);
    output_exit(output, EXIT_INCOMPLETE);
    output_reason(output, "why");
    cr_expect(eq(int, output_finish(&output), EXIT_INCOMPLETE));
    cr_expect(eq(str, out(), "{\"event\":\"done\",\"exit\":3,\"error\":\"why\"}\n"));
}

Test(output, without_json_there_are_lines_and_no_events, .init = capture)
{
    struct output *output = output_new("ztest", false);
    output_event(output, event_new("file"));
    output_line(output, "a %s", "b");
    cr_expect(eq(int, output_finish(&output), EXIT_DONE));
    cr_expect(eq(str, out(), "a b\n"));
}

Test(output, text_from_outside_is_escaped_everywhere, .init = capture)
{
    struct output *output = output_new("ztest", false);
    output_line(output, "%s", "a\x1b[31m\n\xff\xe2\x80\xae z");
    output_note(output, "%s", "\x1b]0;x\a");
    output_error(output, "%s", "x\ny");
    output_finish(&output);
    expect_printable(out());
    cr_expect(eq(int, strchr(out(), '\n')[1], '\0'), "one line: %s", printed);
    cr_expect(eq(ptr, (void *)strchr(err(), '\x1b'), NULL));
    cr_expect(strstr(err(), "\nztest: x") && !strstr(err(), "x\ny"));
}

Test(output, json_is_ascii_even_for_del_and_bytes_that_are_not_utf8, .init = capture)
{
    struct output *output = output_new("ztest", true);
    json_t *event = event_new("file");
    json_object_set_new(event, "name", json_text(text_of("a\x7f\xe2\x80\xae\xc3\xa7\n")));
    json_object_set_new(event, "bad", json_text(text_of("\xff")));
    output_event(output, event);
    output_finish(&output);
    expect_printable(out());
    cr_expect(strstr(printed, "\"name\":\"a\\u007f\\u202E\\u00E7\\n\"") != NULL, "%s", printed);
}

Test(output, values_have_their_documented_shape)
{
    struct host host;
    uint8_t bytes[2] = {0xAB, 0x01};
    json_t *values[] = {json_hex(bytes, 2), json_have(1000), json_have(999), json_u64(UINT64_MAX), NULL};
    cr_assert(host_parse(text_of("::ffff:1.2.3.4"), &host));
    values[4] = json_host(&host);
    static char *const shown[] = {"\"ab01\"", "1", "0.999", "1.8446744073709552e19", "\"1.2.3.4\""};
    for (size_t i = 0; i < 5; i++) {
        char *text = json_dumps(values[i], JSON_ENCODE_ANY);
        cr_expect(eq(str, text, shown[i]), "value %zu", i);
        free(text);
        json_decref(values[i]);
    }
}

Test(output, stdout_that_is_full_is_one_error_and_exit_2, .init = capture)
{
    int full = open("/dev/full", O_WRONLY);
    cr_assert(full >= 0);
    dup2(full, STDOUT_FILENO);
    struct output *output = output_new("ztest", true);
    output_event(output, event_new("file"));
    output_event(output, event_new("file"));
    cr_expect(output_is_broken(output));
    cr_expect(eq(int, output_finish(&output), EXIT_ERROR));
    cr_expect(eq(str, err(), "ztest: cannot write to standard output: No space left on device\n"));
}

Test(output, a_reader_that_goes_away_is_exit_2_without_a_word_or_a_signal, .init = capture)
{
    int ends[2];
    cr_assert(zero(int, pipe(ends)));
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    struct output *output = output_new("ztest", false);
    output_line(output, "x");
    cr_expect(eq(int, output_finish(&output), EXIT_ERROR));
    cr_expect(eq(str, err(), ""));
}
