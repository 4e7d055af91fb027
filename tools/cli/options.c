/* SPDX-License-Identifier: MIT */
#include "tools/cli/options.h"
#include "tools/cli/config.h"
#include "tools/cli/endpoint.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* The rows of one program; the largest has about twenty. */
#define OPTIONS_MAX 40

/* The long options of all programs: what the config file may name. */
static const char *const known_names[] = {
    "accept-push", "all",        "assign-ports", "bind",     "broker",       "chunks",      "daemon",
    "dir",         "discard",    "down",         "exact",    "exclude",      "explain",     "force",
    "from",        "glob",       "home",         "id",       "include",      "json",        "lan-free",
    "lease",       "limit",      "listen",       "manifest", "max-nodes",    "max-size",    "menu",
    "min-size",    "name",       "no-broker",    "no-serve", "output",       "per-address", "port",
    "presence",    "push-quota", "quiet",        "range",    "search-burst", "search-rate", "seed-from",
    "sequential",  "share",      "state",        "temp",     "timeout",      "to",          "to-name",
    "up",          "up-each",
};

enum {
    VAL_HELP = 'h',
    VAL_VERSION = 'V',
    VAL_OPTION = 256
};

/* One reading of all sources. */
struct reader {
    const struct cli_program *program;
    size_t count;
    bool is_set[OPTIONS_MAX]; /* by a stronger source than the one being read */
    char *error;              /* the first one */
};

static bool is_known(const char *name)
{
    for (size_t i = 0; i < sizeof known_names / sizeof known_names[0]; i++) {
        if (strcmp(name, known_names[i]) == 0)
            return true;
    }
    return false;
}

__attribute__((format(printf, 2, 3))) static void fail(struct reader *self, const char *format, ...)
{
    if (self->error)
        return;
    va_list arguments;
    va_start(arguments, format);
    int rc = vasprintf(&self->error, format, arguments);
    va_end(arguments);
    assert(rc >= 0);
}

static const struct cli_option *find(const struct reader *self, const char *name, size_t *ret_index)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->program->options[i].name, name) == 0) {
            *ret_index = i;
            return &self->program->options[i];
        }
    }
    return NULL;
}

static void read_option(struct reader *self, bool *now_set, size_t index)
{
    const struct cli_option *option = &self->program->options[index];
    const char *expected = option->set(option->target, optarg);
    now_set[index] = true;
    if (expected)
        fail(self, "--%s needs %s, not '%s'", option->name, expected, optarg ? optarg : "");
}

/* getopt_long() says only that something is wrong; optopt and argv say what. */
static void read_bad_option(struct reader *self, int code, char **argv)
{
    const char *name = self->program->name;
    const char *hint =
        *self->program->operands ? "; what begins with - and is no option comes behind --" : "";
    if (code == ':' && optopt >= VAL_OPTION)
        fail(self, "--%s needs a value (see %s --help)", self->program->options[optopt - VAL_OPTION].name,
             name);
    else if (code == ':')
        fail(self, "-%c needs a value (see %s --help)", optopt, name);
    else if (optopt >= VAL_OPTION)
        fail(self, "--%s takes no value", self->program->options[optopt - VAL_OPTION].name);
    else if (optopt && strncmp(argv[optind - 1], "--", 2) != 0)
        fail(self, "unknown option '-%c' (see %s --help%s)", optopt, name, hint);
    else
        fail(self, "unknown option '%s' (see %s --help%s)", argv[optind - 1], name, hint);
}

/* Returns VAL_HELP or VAL_VERSION when asked for, else 0. */
static int read_command_line(struct reader *self, int argc, char **argv)
{
    struct option long_options[OPTIONS_MAX + 3] = {
        {"help", no_argument, NULL, VAL_HELP},
        {"version", no_argument, NULL, VAL_VERSION},
    };
    char short_options[2 * OPTIONS_MAX + 4] = ":hV";
    size_t short_size = strlen(short_options);
    for (size_t i = 0; i < self->count; i++) {
        const struct cli_option *option = &self->program->options[i];
        long_options[2 + i] = (struct option){
            option->name, option->argument ? required_argument : no_argument, NULL, VAL_OPTION + (int)i};
        if (option->letter)
            short_options[short_size++] = option->letter;
        if (option->letter && option->argument)
            short_options[short_size++] = ':';
    }
    bool now_set[OPTIONS_MAX] = {false};
    int shown = 0, code;
    optind = 0; /* glibc: start anew */
    opterr = 0;
    while ((code = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (code >= VAL_OPTION) {
            read_option(self, now_set, (size_t)(code - VAL_OPTION));
        } else if (code == VAL_HELP || code == VAL_VERSION) {
            if (!shown && !self->error) /* `-zh` is a mistake, not a wish for help */
                shown = code;
        } else if (code == '?' || code == ':') {
            read_bad_option(self, code, argv);
        } else {
            for (size_t i = 0; i < self->count; i++) {
                if (self->program->options[i].letter == code)
                    read_option(self, now_set, i);
            }
        }
    }
    memcpy(self->is_set, now_set, sizeof now_set);
    return shown;
}

static void read_environment(struct reader *self)
{
    size_t index;
    const char *value = getenv("ZSWARM_BROKER");
    const struct cli_option *option = find(self, "broker", &index);
    if (!option || self->is_set[index] || !value || !*value)
        return;
    const char *expected = option->set(option->target, value);
    self->is_set[index] = true;
    if (expected)
        fail(self, "$ZSWARM_BROKER needs %s, not '%s'", expected, value);
}

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        text[--size] = '\0';
    return text;
}

static void read_config_value(struct reader *self, bool *now_set, const char *name, const char *value,
                              const char *where)
{
    size_t index;
    const struct cli_option *option = find(self, name, &index);
    if (!option) {
        if (!is_known(name))
            fail(self, "%s: no zswarm program has an option '%s': correct or remove the line", where, name);
        return;
    }
    if (self->is_set[index])
        return;
    if (!option->argument) {
        bool is_yes = strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0;
        if (is_yes)
            option->set(option->target, NULL);
        else if (strcasecmp(value, "no") != 0 && strcasecmp(value, "false") != 0)
            fail(self, "%s: '%s' needs yes or no, not '%s'", where, name, value);
        return;
    }
    const char *expected = option->set(option->target, value);
    now_set[index] = true;
    if (expected)
        fail(self, "%s: '%s' needs %s, not '%s'", where, name, expected, value);
}

static void read_config_lines(struct reader *self, FILE *file, const char *path)
{
    bool now_set[OPTIONS_MAX] = {false};
    char line[CONFIG_LINE_SIZE_MAX + 2]; /* newline and NUL */
    unsigned number = 0;
    while (!self->error && fgets(line, sizeof line, file)) {
        char *where = NULL;
        int rc = asprintf(&where, "%s:%u", path, ++number);
        assert(rc >= 0);
        char *text = trim(line), *equals = strchr(text, '=');
        if ((!strchr(line, '\n') && strlen(line) > CONFIG_LINE_SIZE_MAX) || number > CONFIG_LINES_MAX) {
            fail(self, "%s: too long for a config file: shorten it", where);
        } else if (*text == '\0' || *text == '#') {
            /* nothing to set */
        } else if (!equals) {
            fail(self, "%s: expected 'name = value': correct or remove the line", where);
        } else {
            *equals = '\0';
            read_config_value(self, now_set, trim(text), trim(equals + 1), where);
        }
        free(where);
    }
    if (!self->error && ferror(file))
        fail(self, "cannot read %s: %s", path, strerror(errno));
}

static void read_config_file(struct reader *self, const char *path)
{
    /* O_NONBLOCK: opening a FIFO must not hang. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            fail(self, "cannot read %s: %s", path, strerror(errno));
        return;
    }
    struct stat status;
    FILE *file = NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        file = fdopen(fd, "r");
    if (!file) {
        fail(self, "%s is not a regular file: replace or remove it", path);
        close(fd);
        return;
    }
    read_config_lines(self, file, path);
    fclose(file);
}

static void read_config(struct reader *self)
{
    char *path = config_path();
    if (path)
        read_config_file(self, path);
    free(path);
}

static void show_row(char letter, const char *name, const char *argument, const char *help, int width)
{
    char text[80];
    snprintf(text, sizeof text, "%c%c%c --%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
             letter ? ',' : ' ', name, argument ? " " : "", argument ? argument : "");
    printf("  %-*s  %s\n", width, text, help);
}

static void show_help(const struct reader *self)
{
    const struct cli_program *program = self->program;
    size_t width = strlen("-V, --version");
    for (size_t i = 0; i < self->count; i++) {
        const struct cli_option *option = &program->options[i];
        size_t size = strlen("-x, --") + strlen(option->name);
        size += option->argument ? strlen(option->argument) + 1 : 0;
        width = size > width ? size : width;
    }
    printf("Usage: %s [OPTION]...%s%s\n%s\n\n", program->name, *program->operands ? " " : "",
           program->operands, program->summary);
    for (size_t i = 0; i < self->count; i++) {
        const struct cli_option *option = &program->options[i];
        show_row(option->letter, option->name, option->argument, option->help, (int)width);
    }
    show_row(VAL_HELP, "help", NULL, "this text", (int)width);
    show_row(VAL_VERSION, "version", NULL, "the version", (int)width);
    printf("\nExample: %s\nExit codes: %s\n", program->example, program->exits);
}

enum options_result options_read(const struct cli_program *program, int argc, char **argv, int *ret_operand,
                                 char **ret_error)
{
    struct reader self = {.program = program};
    for (; program->options[self.count].name; self.count++) {
        assert(self.count < OPTIONS_MAX);
        assert(is_known(program->options[self.count].name)); /* add it to known_names */
    }
    int shown = read_command_line(&self, argc, argv);
    if (shown) {
        free(self.error);
        self.error = NULL;
        if (shown == VAL_HELP)
            show_help(&self);
        else
            printf("%s %s\n", program->name, ZSWARM_VERSION);
        if (fflush(stdout) == 0)
            return OPTIONS_SHOWN;
        fail(&self, "cannot write to standard output: %s", strerror(errno));
    } else {
        read_environment(&self);
        read_config(&self);
    }
    if (self.error) {
        *ret_error = self.error;
        return OPTIONS_WRONG;
    }
    *ret_operand = optind;
    return OPTIONS_RUN;
}

const char *option_flag(void *target, const char *value)
{
    assert(!value);
    *(bool *)target = true;
    return NULL;
}

const char *option_text(void *target, const char *value)
{
    char **text = target;
    if (!*value)
        return "a value";
    free(*text);
    *text = strdup(value);
    assert(*text);
    return NULL;
}

const char *option_texts(void *target, const char *value)
{
    struct option_texts *texts = target;
    if (!*value)
        return "a value";
    texts->items = reallocarray(texts->items, texts->count + 1, sizeof *texts->items);
    assert(texts->items);
    texts->items[texts->count] = strdup(value);
    assert(texts->items[texts->count]);
    texts->count++;
    return NULL;
}

void option_texts_release(struct option_texts *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    free(self->items);
    *self = (struct option_texts){NULL, 0};
}

const char *option_seconds(void *target, const char *value)
{
    return seconds_parse(value, target) ? NULL : "seconds above 0, like 30 or 0.5";
}

const char *option_size(void *target, const char *value)
{
    return size_parse(value, target) ? NULL : "an amount like 1000, 64K, 1.5M, 2G or 100Mbit";
}

const char *option_span(void *target, const char *value)
{
    struct option_span *span = target;
    span->is_given = span_parse(value, OPTION_SPAN_END, &span->first, &span->last);
    return span->is_given ? NULL : "A-B or A-, counted from 0, A at most B";
}

const char *option_broker(void *target, const char *value)
{
    return endpoint_parse(value, BROKER_PORT_DEFAULT, target) ? NULL
                                                              : "an address like tcp://HOST:PORT or HOST";
}

const char *option_endpoint(void *target, const char *value)
{
    return endpoint_parse(value, 0, target) ? NULL : "an address like HOST:PORT";
}
