/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_CLI_OUTPUT_H
#define TOOLS_CLI_OUTPUT_H

/*
 * What a program prints. Results go to stdout, as lines or, with --json, as one JSON object a line;
 * everything else goes to stderr. Text from outside is escaped here, whoever printed it. The exit code is
 * gathered on the way, and the last JSON line, `done`, is printed by output_finish(), whatever happened. With
 * --json that holds for SIGINT and SIGTERM too, where nobody else catches them: exit 3.
 *
 * Stdout that cannot be written to is an error like others: one line on stderr, exit 2. SIGPIPE is ignored: a
 * tool whose reader went away (`| head`) ends without a word, and with 2 as well, for not all was written.
 */

#include "messages/host.h"
#include "messages/id.h"

#include <jansson.h>
#include <stdio.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_NOT_FOUND = 1, /* and every node answered or was ruled out */
    EXIT_ERROR = 2,
    EXIT_INCOMPLETE = 3, /* some nodes were silent, or sources vanished */
    EXIT_AMBIGUOUS = 4,
};

/* The first of 2, 4, 3, 1, 0 that is among the two. */
int exit_combine(int a, int b);

struct output;

struct output *output_new(const char *program, bool is_json);
bool output_is_json(const struct output *self);

/* True once stdout is lost: a long run need not go on for it. */
bool output_is_broken(const struct output *self);

/*
 * From here on nothing that is printed waits for who reads it (tools/cli/writer.h): for a program that
 * serves others. A tool does wait, for a result must not be lost. Without --json. False with errno.
 */
bool output_serve(struct output *self);

/* False when so much waits to be read that lines may soon be lost: a long report goes on later. */
bool output_has_room(const struct output *self);

/* After output_serve(): a stream to draw on stderr, in order with the lines; the caller closes it. NULL with
 * errno. */
FILE *output_screen(struct output *self);

/* Combines one more result into the exit code. */
void output_exit(struct output *self, int code);

/* `PROGRAM: text` on stderr, escaped; becomes "error" of `done` if it is the first; the exit code becomes 2.
 */
void output_error(struct output *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same without touching the exit code: for 1, 3 and 4, which have a reason too. */
void output_reason(struct output *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line on stderr, escaped, that changes nothing. */
void output_note(struct output *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One escaped line on stdout. Nothing with --json. Flushed by output_finish() or output_flush(). */
void output_line(struct output *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
void output_flush(struct output *self);

/* `before` is called before each line goes out, whichever stream it is for; NULL ends that. */
void output_before_lines(struct output *self, void (*before)(void *owner), void *owner);

/* A new event, its "event" set; add keys in the documented order, then hand it over. */
json_t *event_new(const char *event);

/* Prints one event and flushes; takes it over. Without --json it is only freed. */
void output_event(struct output *self, json_t *event);

/* The figures that `done` will carry after "exit" and "error"; borrowed. */
json_t *output_figures(struct output *self);

/* How long a program that serves waits at its end for who reads; it may take 3 s to end. */
#define OUTPUT_END_MS 1000

/* Prints `done` with --json, flushes, frees. Returns the exit code for main. */
int output_finish(struct output **self_p);

/* Values for events. Text that is not UTF-8 appears escaped as on a terminal. */
json_t *json_text(struct text t);
json_t *json_hex(const uint8_t *bytes, size_t count);
json_t *json_host(const struct host *host);
json_t *json_u64(uint64_t number);    /* beyond 63 bits, which jansson lacks, rounded as a real */
json_t *json_have(uint16_t permille); /* 0..1 */

#endif
