/* SPDX-License-Identifier: MIT */
#include "node/program/first_start.h"

#include "messages/shell/loop.h"
#include "node/program/settings.h"
#include "node/shell/folders.h"
#include "tools/cli/config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool first_start_is_due(void)
{
    if (settings.is_broker_given || settings.has_no_broker || settings.is_daemon)
        return false;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return false;
    pid_t foreground = tcgetpgrp(STDIN_FILENO); /* in the background a question would only stop us */
    return foreground < 0 || foreground == getpgrp();
}

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

/* Waits for something to read. False when a signal came, which can come only here. */
static bool wait_for_input(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    sigset_t all_blocked, open;
    sigprocmask(SIG_SETMASK, NULL, &all_blocked);
    open = all_blocked;
    sigdelset(&open, SIGINT);
    sigdelset(&open, SIGTERM);
    while (!is_interrupted && ppoll(&input, 1, NULL, &open) < 0 && errno == EINTR)
        ; /* another signal: a resized window, a continued job */
    return !is_interrupted;
}

/*
 * One line without its end; of one that is too long, FIRST_START_LINE_SIZE_MAX bytes. Byte by byte, for what
 * follows is the console's. False at the end of the input, or when the person interrupted.
 */
static bool read_line(char ret_line[FIRST_START_LINE_SIZE_MAX + 1])
{
    size_t size = 0;
    char c;
    while (wait_for_input()) {
        if (read(STDIN_FILENO, &c, 1) != 1)
            return false;
        if (c == '\n') {
            ret_line[size] = '\0';
            return true;
        }
        if (size < FIRST_START_LINE_SIZE_MAX)
            ret_line[size++] = c;
    }
    return false;
}

static bool ask(const char *question, char ret_line[FIRST_START_LINE_SIZE_MAX + 1])
{
    fprintf(stderr, "%s ", question);
    if (read_line(ret_line))
        return true;
    fputc('\n', stderr); /* what is said next begins a line */
    return false;
}

static bool ask_for_broker(struct output *output)
{
    char shown[ENDPOINT_FORMAT_SIZE], question[ENDPOINT_FORMAT_SIZE + 32],
        line[FIRST_START_LINE_SIZE_MAX + 1];
    endpoint_show(&settings.broker, shown);
    snprintf(question, sizeof question, "Address of the broker [%s]:", shown);
    output_note(output,
                "No broker is known yet. It connects the nodes; whoever started it knows its address.");
    while (ask(question, line)) {
        char *text = line + strspn(line, " \t");
        for (size_t size = strlen(text); size > 0 && strchr(" \t\r", text[size - 1]);)
            text[--size] = '\0';
        if (!*text)
            return true;
        const char *expected = option_broker(&settings.broker, text);
        if (!expected)
            return true;
        output_note(output, "'%s' is not %s.", text, expected);
    }
    return false;
}

static bool ask_to_remember(struct output *output, const char *path)
{
    char shown[ENDPOINT_FORMAT_SIZE], line[FIRST_START_LINE_SIZE_MAX + 1];
    endpoint_show(&settings.broker, shown);
    output_note(output, "It can be kept in %s for the next start and the other programs.", path);
    while (ask("Keep it? [Y/n]", line)) {
        if (strcasecmp(line, "n") == 0 || strcasecmp(line, "no") == 0)
            return true;
        if (*line && strcasecmp(line, "y") != 0 && strcasecmp(line, "yes") != 0)
            continue;
        /* private, as the XDG standard asks */
        if (!folders_make_above(path, 0700) || !config_add(path, "broker", shown))
            output_note(output, "cannot write %s: %s; going on with %s this time", path, strerror(errno),
                        shown);
        return true;
    }
    return false;
}

bool first_start_ask(struct output *output)
{
    struct sigaction on_signal = {.sa_handler = on_interrupt}, before_int, before_term;
    sigset_t blocked = stop_signals(), before;
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sigaction(SIGINT, &on_signal, &before_int);
    sigaction(SIGTERM, &on_signal, &before_term);
    char *path = config_path();
    bool is_answered = ask_for_broker(output) && (!path || ask_to_remember(output, path));
    free(path);
    sigaction(SIGINT, &before_int, NULL);
    sigaction(SIGTERM, &before_term, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (!is_answered)
        output_error(output, "no broker was chosen: name one with --broker, or start with --no-broker");
    return is_answered;
}
