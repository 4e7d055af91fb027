/* SPDX-License-Identifier: MIT */
#include "tools/cli/output.h"

#include "tools/cli/writer.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct output {
    const char *program;
    bool is_json;
    bool is_broken; /* stdout failed; it is not tried again */
    int exit_code;
    char *error; /* the first, escaped */
    json_t *figures;
    struct writer *out, *err; /* since output_serve(); the same one when the streams are the same file */
    void (*before)(void *owner);
    void *before_owner;
};

int exit_combine(int a, int b)
{
    static const int order[] = {EXIT_ERROR, EXIT_AMBIGUOUS, EXIT_INCOMPLETE, EXIT_NOT_FOUND};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (a == order[i] || b == order[i])
            return order[i];
    }
    return EXIT_DONE;
}

/* With --json a signal that ends the program comes here, for there must be a `done` then too. */
static const struct output *interruptible;
static volatile sig_atomic_t is_printing, was_interrupted;

/* Only what a signal handler may call. */
static void end_interrupted(void)
{
    static char line[] = "{\"event\":\"done\",\"exit\":3,\"error\":\"interrupted\"}\n";
    int code = exit_combine(interruptible->exit_code, EXIT_INCOMPLETE);
    *strchr(line, '0' + EXIT_INCOMPLETE) = (char)('0' + code);
    _exit(write(STDOUT_FILENO, line, sizeof line - 1) < 0 ? EXIT_ERROR : code);
}

static void on_signal(int number)
{
    (void)number;
    was_interrupted = 1;
    if (!is_printing)
        end_interrupted();
}

static void begin_line(void)
{
    is_printing = 1;
}

static void end_line(void)
{
    is_printing = 0;
    if (was_interrupted && interruptible)
        end_interrupted();
}

static void catch_signals(const struct output *self)
{
    struct sigaction action = {.sa_handler = on_signal};
    interruptible = self;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

struct output *output_new(const char *program, bool is_json)
{
    struct output *self = calloc(1, sizeof *self);
    assert(self);
    signal(SIGPIPE, SIG_IGN);
    if (is_json)
        catch_signals(self);
    self->program = program;
    self->is_json = is_json;
    self->figures = json_object();
    assert(self->figures);
    return self;
}

static bool is_same_file(int a, int b)
{
    struct stat of_a, of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

bool output_serve(struct output *self)
{
    assert(!self->is_json);
    output_flush(self);
    self->err = writer_new(STDERR_FILENO, self->program);
    if (self->err && is_same_file(STDOUT_FILENO, STDERR_FILENO))
        self->out = self->err;
    else if (self->err)
        self->out = writer_new(STDOUT_FILENO, self->program);
    int error = errno;
    if (!self->out)
        writer_destroy(&self->err);
    errno = error;
    return self->out;
}

bool output_has_room(const struct output *self)
{
    return (!self->out || writer_has_room(self->out)) && (!self->err || writer_has_room(self->err));
}

static ssize_t draw(void *cookie, const char *bytes, size_t size)
{
    struct output *self = cookie;
    writer_put(self->err, bytes, size);
    return (ssize_t)size;
}

FILE *output_screen(struct output *self)
{
    assert(self->err);
    return fopencookie(self, "w", (cookie_io_functions_t){.write = draw});
}

bool output_is_json(const struct output *self)
{
    return self->is_json;
}

bool output_is_broken(const struct output *self)
{
    return self->is_broken;
}

void output_exit(struct output *self, int code)
{
    self->exit_code = exit_combine(self->exit_code, code);
}

__attribute__((format(printf, 1, 0))) static char *format_escaped(const char *format, va_list arguments)
{
    char *raw;
    int size = vasprintf(&raw, format, arguments);
    assert(size >= 0);
    char *escaped = text_escape((struct text){raw, (size_t)size});
    free(raw);
    return escaped;
}

void output_before_lines(struct output *self, void (*before)(void *owner), void *owner)
{
    self->before = before;
    self->before_owner = owner;
}

static void tell_before(const struct output *self)
{
    if (self->before)
        self->before(self->before_owner);
}

static void complain(const struct output *self, const char *prefix, const char *text)
{
    tell_before(self);
    if (!self->err) {
        fprintf(stderr, "%s%s\n", prefix, text);
        return;
    }
    char *line = NULL;
    int size = asprintf(&line, "%s%s\n", prefix, text);
    assert(size >= 0);
    writer_put(self->err, line, (size_t)size);
    free(line);
}

/* Takes `text`. */
static void keep_reason(struct output *self, char *text)
{
    char *prefix = NULL;
    int size = asprintf(&prefix, "%s: ", self->program);
    assert(size >= 0);
    complain(self, prefix, text);
    free(prefix);
    if (self->error)
        free(text);
    else
        self->error = text;
}

void output_error(struct output *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    keep_reason(self, format_escaped(format, arguments));
    va_end(arguments);
    output_exit(self, EXIT_ERROR);
}

void output_reason(struct output *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    keep_reason(self, format_escaped(format, arguments));
    va_end(arguments);
}

static void check_stdout(struct output *self, bool is_written)
{
    if (is_written || self->is_broken)
        return;
    self->is_broken = true;
    if (errno == EPIPE && !self->out) /* who reads has what he wanted, as `head` does: no news */
        output_exit(self, EXIT_ERROR);
    else
        output_error(self, "cannot write to standard output: %s", strerror(errno));
}

/* What was printed earlier may have failed since. */
static void check_writer(struct output *self)
{
    int error = self->out ? writer_error(self->out) : 0;
    errno = error;
    check_stdout(self, error == 0);
}

void output_note(struct output *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_escaped(format, arguments);
    va_end(arguments);
    check_writer(self);
    complain(self, "", text);
    free(text);
}

static bool print(const struct output *self, char *text)
{
    if (!self->out)
        return fputs(text, stdout) != EOF && putchar('\n') != EOF;
    size_t size = strlen(text);
    text[size] = '\n'; /* what ended it is not needed */
    writer_put(self->out, text, size + 1);
    return true;
}

void output_line(struct output *self, const char *format, ...)
{
    check_writer(self);
    if (self->is_json || self->is_broken)
        return;
    va_list arguments;
    va_start(arguments, format);
    char *text = format_escaped(format, arguments);
    va_end(arguments);
    tell_before(self);
    bool is_written = print(self, text);
    free(text);
    check_stdout(self, is_written);
}

void output_flush(struct output *self)
{
    check_writer(self);
    if (!self->is_broken)
        check_stdout(self, fflush(stdout) == 0);
}

json_t *event_new(const char *event)
{
    json_t *object = json_object();
    int rc = object ? json_object_set_new(object, "event", json_string(event)) : -1;
    assert(rc == 0);
    return object;
}

/* DEL is the one control character that jansson takes for printable ASCII. */
static bool print_json(const char *line)
{
    for (;;) {
        size_t size = strcspn(line, "\x7f");
        if (fwrite(line, 1, size, stdout) != size)
            return false;
        line += size;
        if (*line == '\0')
            return true;
        if (fputs("\\u007f", stdout) == EOF)
            return false;
        line++;
    }
}

void output_event(struct output *self, json_t *event)
{
    assert(event);
    if (self->is_json && !self->is_broken) {
        char *line = json_dumps(event, JSON_ENSURE_ASCII | JSON_COMPACT | JSON_REAL_PRECISION(10));
        assert(line);
        begin_line();
        bool is_written = print_json(line);
        free(line);
        check_stdout(self, is_written && putchar('\n') != EOF && fflush(stdout) == 0);
        end_line();
    }
    json_decref(event);
}

json_t *output_figures(struct output *self)
{
    return self->figures;
}

/* Stdout first: that it failed is told on stderr. */
static void end_writers(struct output *self)
{
    if (!self->out)
        return;
    writer_flush(self->out, OUTPUT_END_MS / 2);
    check_writer(self);
    writer_flush(self->err, OUTPUT_END_MS / 2);
    if (self->out != self->err)
        writer_destroy(&self->out);
    writer_destroy(&self->err);
}

int output_finish(struct output **self_p)
{
    struct output *self = *self_p;
    output_flush(self);
    end_writers(self);
    if (interruptible == self) { /* from here on there is nothing to interrupt */
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        interruptible = NULL;
    }
    json_t *done = event_new("done");
    json_object_set_new(done, "exit", json_integer(self->exit_code));
    if (self->error)
        json_object_set_new(done, "error", json_text(text_of(self->error)));
    json_object_update(done, self->figures);
    output_event(self, done);
    int exit_code = self->exit_code;
    json_decref(self->figures);
    free(self->error);
    free(self);
    *self_p = NULL;
    return exit_code;
}

json_t *json_text(struct text t)
{
    json_t *value = json_stringn(t.bytes, t.size);
    if (!value) {
        char *escaped = text_escape(t);
        value = json_string(escaped);
        free(escaped);
    }
    assert(value);
    return value;
}

json_t *json_hex(const uint8_t *bytes, size_t count)
{
    char text[ID_HEX_SIZE];
    assert(count <= (sizeof text - 1) / 2);
    hex_format(bytes, count, text);
    return json_string(text);
}

json_t *json_host(const struct host *host)
{
    char text[HOST_TEXT_SIZE];
    host_format(host, text);
    return json_string(text);
}

json_t *json_u64(uint64_t number)
{
    return number <= INT64_MAX ? json_integer((json_int_t)number) : json_real((double)number);
}

json_t *json_have(uint16_t permille)
{
    return permille == 1000 ? json_integer(1) : json_real(permille / 1000.0);
}
