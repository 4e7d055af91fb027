/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_OPTIONS_H
#define TOOLS_CLI_OPTIONS_H

/*
 * The options of one program: a table. Values come from the command line, else from the environment
 * ($ZSWARM_BROKER, for an option named "broker"), else from ${XDG_CONFIG_HOME:-~/.config}/zswarm/config, else
 * they stay what they were.
 *
 * All programs share the config file: an option of another zswarm program is passed over, an unknown one is
 * an error. `--help` and `--version` are added to every table.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One row. `set` stores a value in `target` and returns NULL, or returns what it had expected ("a port from 1
 * to 65535"). It copies what it keeps. A flag (no argument) gets a NULL value. A repeated option is set
 * again.
 */
struct cli_option {
    const char *name;     /* long, without dashes; listed in options.c, so that all programs know it */
    char letter;          /* short form, or 0 */
    const char *argument; /* "N", "DIR"; NULL for a flag */
    const char *help;     /* one line */
    const char *(*set)(void *target, const char *value);
    void *target;
};

struct cli_program {
    const char *name;
    const char *operands;             /* "TEXT..."; "" for none */
    const char *summary;              /* one line */
    const struct cli_option *options; /* ends with a row without name */
    const bool *is_json;              /* what --json sets; NULL where there is none */
    const char *example;              /* one command line */
    const char *exits;                /* "0 found, 1 ..."; lines end with \n but for the last */
};

enum options_result {
    OPTIONS_RUN,   /* go on */
    OPTIONS_SHOWN, /* help or version was printed: exit 0 */
    OPTIONS_WRONG, /* exit 2 with *ret_error: one line for stderr, malloc'd, without the program's name */
};

/*
 * Reads all sources into the targets. argv is permuted: operands are argv[*ret_operand] up to argc. After an
 * error the rest is still read, so that the caller knows whether to report it as JSON.
 */
enum options_result options_read(const struct cli_program *program, int argc, char **argv, int *ret_operand,
                                 char **ret_error);

/* Setters, by the type of their target. */
const char *option_flag(void *target, const char *value);     /* bool: true */
const char *option_text(void *target, const char *value);     /* char *: a copy, freeing the last one */
const char *option_texts(void *target, const char *value);    /* struct option_texts: one more */
const char *option_seconds(void *target, const char *value);  /* uint64_t: ms, more than 0 */
const char *option_size(void *target, const char *value);     /* uint64_t: bytes, or bytes a second */
const char *option_span(void *target, const char *value);     /* struct option_span: `A-B` or `A-` */
const char *option_broker(void *target, const char *value);   /* struct endpoint: port 6881 unless given */
const char *option_endpoint(void *target, const char *value); /* struct endpoint: with a port */

/* Rows that several programs have, worded once. */
#define OPTION_ROW_BROKER(endpoint)                                                                          \
    {                                                                                                        \
        "broker", 0, "ADDR", "the broker: tcp://HOST:PORT ($ZSWARM_BROKER)", option_broker, (endpoint)       \
    }
#define OPTION_ROW_TIMEOUT(ms, help)                                                                         \
    {                                                                                                        \
        "timeout", 0, "S", help, option_seconds, (ms)                                                        \
    }
#define OPTION_ROW_JSON(flag)                                                                                \
    {                                                                                                        \
        "json", 0, NULL, "one JSON object a line", option_flag, (flag)                                       \
    }

/* All that a program has which asks the broker one thing. */
#define OPTION_ROWS_ASK(endpoint, ms, flag)                                                                  \
    OPTION_ROW_BROKER(endpoint),                                                                             \
        OPTION_ROW_TIMEOUT(ms, "give up after S seconds without an answer (default 30)"),                    \
        OPTION_ROW_JSON(flag)

/* Bytes or chunks, counted from 0, both included. */
struct option_span {
    bool is_given;
    uint64_t first, last; /* last is OPTION_SPAN_END for `A-` */
};

#define OPTION_SPAN_END INT64_MAX /* as in JSON and off_t */

/* The values of an option that may be repeated. */
struct option_texts {
    char **items;
    size_t count;
};

void option_texts_release(struct option_texts *self);

/* The config is its owner's own file; the limits stop a slip (a link to a log), not an attack. */
#define CONFIG_LINE_SIZE_MAX 8192 /* two of the longest paths */
#define CONFIG_LINES_MAX     10000

#endif
