/* SPDX-License-Identifier: MIT */
#include "node/program/terminal.h"

#include "tools/cli/table.h"

#include <assert.h>
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <utf8proc.h>

/* A key that sends several bytes sends them at once; over a slow line within this. */
#define KEY_MS 50

/* What is typed or pasted ahead waits in the terminal, but for this. */
#define AHEAD_SIZE 4096

#define COLUMNS_DEFAULT 80

#define TAB     '\t'
#define END_KEY '\x04' /* Ctrl-D */

struct terminal {
    struct loop *loop;
    struct terminal_events events;
    FILE *screen;
    EditLine *edit;
    History *history;
    char *history_path;
    const char *prompt;
    int wake_fd;
    bool is_held;
    bool is_shown, is_line_shown; /* any of our lines; the one that is edited */
    bool is_editing;              /* libedit has a line under way */
    bool is_reading;              /* stdin is with the loop */
    bool is_away;                 /* in the background */
    bool is_ended;                /* Ctrl-D was typed */
    char *status[TERMINAL_STATUS_MAX];
    size_t status_count;
    size_t status_shown; /* lines of it on the screen */
    char ahead[AHEAD_SIZE];
    size_t ahead_size;
};

bool terminal_is_ours(void)
{
    pid_t foreground = tcgetpgrp(STDIN_FILENO);
    return foreground < 0 || foreground == getpgrp(); /* below 0: it controls nobody */
}

bool terminal_is_usable(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && kind && kind[0] && strcmp(kind, "dumb") != 0 &&
           terminal_is_ours();
}

static size_t columns(void)
{
    struct winsize size;
    bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return is_known ? size.ws_col : COLUMNS_DEFAULT;
}

static void wake(struct terminal *self)
{
    ssize_t written = write(self->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)written;
}

/* The screen. */

/* The row of the cursor below that of the prompt, as libedit has wrapped them. */
static size_t cursor_row(const struct terminal *self)
{
    const LineInfo *line = el_line(self->edit);
    size_t width = columns(), row = 0, column = 0;
    struct text parts[] = {text_of(self->prompt), {line->buffer, (size_t)(line->cursor - line->buffer)}};
    for (size_t i = 0; i < 2; i++) {
        for (size_t at = 0; at < parts[i].size;) {
            utf8proc_int32_t point;
            utf8proc_ssize_t size = utf8proc_iterate((const utf8proc_uint8_t *)parts[i].bytes + at,
                                                     (utf8proc_ssize_t)(parts[i].size - at), &point);
            size_t wide = size > 0 ? (size_t)utf8proc_charwidth(point) : 1;
            at += size > 0 ? (size_t)size : 1;
            if (column + wide > width) { /* a wide character does not begin in the last column */
                row++;
                column = 0;
            }
            column += wide;
            if (column == width) {
                row++;
                column = 0;
            }
        }
    }
    return row;
}

/* Leaves the cursor where the first of our lines began. */
static void hide(struct terminal *self)
{
    if (!self->is_shown)
        return;
    fputc('\r', self->screen);
    size_t up = (self->is_line_shown ? cursor_row(self) : 0) + self->status_shown;
    self->is_shown = self->is_line_shown = false;
    if (up > 0)
        fprintf(self->screen, "\033[%zuA", up);
    fputs("\033[J", self->screen);
    fflush(self->screen);
}

static void show_status(struct terminal *self)
{
    for (size_t i = 0; i < self->status_count; i++) {
        char *line = text_fit(self->status[i], columns() - 1);
        fprintf(self->screen, "%s\n", line);
        free(line);
    }
    fflush(self->screen);
    self->status_shown = self->status_count;
}

static void show(struct terminal *self)
{
    if (self->is_shown || self->is_away || (self->is_held && self->status_count == 0))
        return;
    show_status(self);
    self->is_shown = true;
    if (self->is_held)
        return;
    self->is_line_shown = true;
    if (self->is_editing)
        el_set(self->edit, EL_REFRESH);
    else
        el_set(self->edit, EL_UNBUFFERED, 1);
    self->is_editing = true;
}

/* Begins a new line next time. The terminal stays as it is for editing, so that nothing typed is echoed. */
static void end_line(struct terminal *self)
{
    self->is_editing = self->is_shown = self->is_line_shown = false;
    el_set(self->edit, EL_UNBUFFERED, 0);
    el_set(self->edit, EL_PREP_TERM, 1);
}

void terminal_before_output(void *terminal)
{
    struct terminal *self = terminal;
    if (!self->is_shown)
        return;
    hide(self);
    wake(self);
}

/* Keys. */

static bool read_ahead(struct terminal *self)
{
    ssize_t got = read(STDIN_FILENO, self->ahead + self->ahead_size, AHEAD_SIZE - self->ahead_size);
    if (got > 0)
        self->ahead_size += (size_t)got;
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

static void drop_ahead(struct terminal *self, size_t size)
{
    self->ahead_size -= size;
    memmove(self->ahead, self->ahead + size, self->ahead_size);
}

/* For libedit: the next character, 0 when no more comes. What is not UTF-8 is dropped. */
static int next_character(EditLine *edit, wchar_t *ret_character)
{
    struct terminal *self;
    el_get(edit, EL_CLIENTDATA, &self);
    for (;;) {
        utf8proc_int32_t point = -1;
        utf8proc_ssize_t size = self->ahead_size > 0
                                    ? utf8proc_iterate((const utf8proc_uint8_t *)self->ahead,
                                                       (utf8proc_ssize_t)self->ahead_size, &point)
                                    : 0;
        bool is_cut = size < 0 && self->ahead_size < 4; /* the rest may be on its way */
        struct pollfd poll_fd = {.fd = STDIN_FILENO, .events = POLLIN};
        if (size == 0 || is_cut) {
            bool has_more = poll(&poll_fd, 1, KEY_MS) > 0 && read_ahead(self);
            if (has_more)
                continue;
            if (size == 0)
                return 0;
        }
        drop_ahead(self, size > 0 ? (size_t)size : 1);
        if (size > 0) {
            *ret_character = (wchar_t)point;
            return 1;
        }
    }
}

static void on_tab(struct terminal *self)
{
    const LineInfo *line = el_line(self->edit);
    /* A copy: the line changes under the answer. */
    char *typed = text_copy((struct text){line->buffer, (size_t)(line->cursor - line->buffer)});
    hide(self);
    self->events.complete(self->events.owner, text_of(typed));
    free(typed);
}

static void on_end_key(struct terminal *self)
{
    const LineInfo *line = el_line(self->edit);
    bool is_empty = line->lastchar == line->buffer, is_at_end = line->cursor == line->lastchar;
    hide(self);
    if (is_empty) {
        self->events.ended(self->events.owner);
    } else if (!is_at_end) {
        el_cursor(self->edit, 1);
        el_deletestr(self->edit, 1);
    }
}

/* libedit opens whatever is there; a FIFO would hold us up. */
static bool is_plain(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? S_ISREG(status.st_mode) : errno == ENOENT;
}

static void keep_line(struct terminal *self, const char *line)
{
    HistEvent event;
    if (line[0] == '\0')
        return;
    history(self->history, &event, H_ENTER, line);
    if (is_plain(self->history_path)) /* without it, the next start knows less */
        history(self->history, &event, H_SAVE, self->history_path);
}

static void hand_out(struct terminal *self, const char *buffer, size_t size)
{
    char *line = text_copy((struct text){buffer, size});
    end_line(self);
    keep_line(self, line);
    self->events.line(self->events.owner, (struct text){line, size});
    free(line);
}

/* Its other side was closed. */
static bool is_gone(void)
{
    struct termios settings;
    return tcgetattr(STDIN_FILENO, &settings) != 0;
}

/* There is a key: libedit has it, unless it is one of ours. */
static void take_key(struct terminal *self)
{
    int count = 0;
    show(self);
    char first = self->ahead[0];
    if (first == TAB || first == END_KEY) {
        drop_ahead(self, 1);
        if (first == TAB)
            on_tab(self);
        else
            on_end_key(self);
        return;
    }
    size_t waiting_size = self->ahead_size;
    const char *buffer = el_gets(self->edit, &count);
    if (buffer && count > 0 && (buffer[count - 1] == '\n' || buffer[count - 1] == '\r')) {
        hand_out(self, buffer, (size_t)count - 1);
    } else if (self->ahead_size == waiting_size && is_gone()) {
        self->is_away = true; /* libedit takes no key any more */
    }
}

static void on_readable(void *owner);

static void set_reading(struct terminal *self, bool is_reading)
{
    if (is_reading && !self->is_reading)
        self->is_reading = loop_add_fd(self->loop, STDIN_FILENO, on_readable, self);
    if (!is_reading && self->is_reading) {
        loop_remove_fd(self->loop, STDIN_FILENO);
        self->is_reading = false;
    }
}

static void take_keys(struct terminal *self)
{
    while (self->ahead_size > 0 && !self->is_held && !self->is_away)
        take_key(self);
    set_reading(self, !self->is_held && !self->is_away);
    show(self);
}

static void on_readable(void *owner)
{
    struct terminal *self = owner;
    if (read_ahead(self)) {
        take_keys(self);
    } else { /* the terminal is gone; the node is not */
        self->is_away = true;
        set_reading(self, false);
    }
}

static void on_wake(void *owner)
{
    struct terminal *self = owner;
    uint64_t count;
    ssize_t got = read(self->wake_fd, &count, sizeof count);
    (void)got;
    take_keys(self);
}

/* Signals. */

static void come_back(struct terminal *self)
{
    self->is_away = !terminal_is_ours();
    if (!self->is_away) {
        el_set(self->edit, EL_PREP_TERM, 0); /* libedit believes that it never left */
        el_set(self->edit, EL_PREP_TERM, 1);
        el_resize(self->edit);
    }
    wake(self);
}

static void on_signal(void *owner, int number)
{
    struct terminal *self = owner;
    if (number == SIGWINCH) {
        hide(self);
        el_resize(self->edit);
        wake(self);
    } else if (number == SIGTSTP) {
        hide(self);
        el_set(self->edit, EL_PREP_TERM, 0);
        kill(getpid(), SIGSTOP);
        come_back(self);
    } else if (self->is_away) {
        come_back(self);
    }
}

static const int signals[] = {SIGWINCH, SIGTSTP, SIGCONT};

/* Life. */

static char *give_prompt(EditLine *edit)
{
    struct terminal *self;
    el_get(edit, EL_CLIENTDATA, &self);
    return (char *)(uintptr_t)self->prompt;
}

static void choose_locale(void)
{
    const char *now = setlocale(LC_CTYPE, "");
    if (!now || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8, whatever the environment says */
}

static void start_editing(struct terminal *self, const char *history_path)
{
    HistEvent event;
    el_set(self->edit, EL_CLIENTDATA, self);
    el_set(self->edit, EL_PROMPT, give_prompt);
    el_set(self->edit, EL_EDITOR, "emacs");
    el_set(self->edit, EL_SIGNAL, 0);
    el_wset(self->edit, EL_GETCFN, next_character);
    /* These would wait for a second key. */
    el_set(self->edit, EL_BIND, "-r", "^V", NULL);
    el_set(self->edit, EL_BIND, "-r", "^Q", NULL);
    /* A terminal that was stopped with Ctrl-S would stop the node, too. */
    el_set(self->edit, EL_SETTY, "-d", "-ixon", NULL);
    self->history_path = text_copy(text_of(history_path));
    self->history = history_init();
    assert(self->history);
    history(self->history, &event, H_SETSIZE, TERMINAL_HISTORY_MAX);
    history(self->history, &event, H_SETUNIQUE, 1);
    if (is_plain(history_path))
        history(self->history, &event, H_LOAD, history_path);
    el_set(self->edit, EL_HIST, history, self->history);
}

struct terminal *terminal_new(struct loop *loop, FILE *screen, const char *history,
                              const struct terminal_events *events)
{
    struct terminal *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->events = *events;
    self->prompt = "";
    choose_locale();
    self->screen = screen;
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd >= 0 && loop_add_fd(loop, self->wake_fd, on_wake, self))
        self->edit = el_init_fd("znode", stdin, screen, screen, STDIN_FILENO, STDERR_FILENO, STDERR_FILENO);
    if (!self->edit) {
        int error = errno;
        terminal_destroy(&self);
        errno = error;
        return NULL;
    }
    start_editing(self, history);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        loop_catch_signal(loop, signals[i], on_signal, self);
    wake(self);
    return self;
}

static void stop_editing(struct terminal *self)
{
    hide(self);
    set_reading(self, false);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        loop_catch_signal(self->loop, signals[i], NULL, NULL);
    if (terminal_is_ours())
        el_set(self->edit, EL_PREP_TERM, 0);
    el_end(self->edit);
    history_end(self->history);
}

void terminal_destroy(struct terminal **self_p)
{
    struct terminal *self = *self_p;
    if (!self)
        return;
    if (self->edit)
        stop_editing(self);
    if (self->wake_fd >= 0) {
        loop_remove_fd(self->loop, self->wake_fd);
        close(self->wake_fd);
    }
    fclose(self->screen);
    for (size_t i = 0; i < self->status_count; i++)
        free(self->status[i]);
    free(self->history_path);
    free(self);
    *self_p = NULL;
}

void terminal_set_prompt(struct terminal *self, const char *prompt)
{
    hide(self);
    self->prompt = prompt;
    wake(self);
}

void terminal_hold(struct terminal *self, bool is_held)
{
    hide(self);
    self->is_held = is_held;
    wake(self);
}

bool terminal_clear_line(struct terminal *self)
{
    const LineInfo *line = el_line(self->edit);
    bool was_empty = !self->is_editing || line->lastchar == line->buffer;
    hide(self);
    self->ahead_size = 0;
    if (self->is_editing)
        end_line(self);
    wake(self);
    return !was_empty;
}

void terminal_set_status(struct terminal *self, char *const *lines, size_t count)
{
    bool is_same = count == self->status_count;
    for (size_t i = 0; i < count && is_same; i++)
        is_same = strcmp(lines[i], self->status[i]) == 0;
    if (is_same)
        return;
    hide(self);
    wake(self);
    for (size_t i = 0; i < self->status_count; i++)
        free(self->status[i]);
    self->status_count = count < TERMINAL_STATUS_MAX ? count : TERMINAL_STATUS_MAX;
    for (size_t i = 0; i < self->status_count; i++)
        self->status[i] = text_copy(text_of(lines[i]));
}

/* Bytes that all candidates begin with: whole characters only, quoted or not. */
static size_t common_size(char *const *candidates, size_t count)
{
    size_t size = strlen(candidates[0]);
    for (size_t i = 1; i < count; i++) {
        size_t same = 0;
        while (same < size && candidates[i][same] == candidates[0][same])
            same++;
        size = same;
    }
    while (size > 0 && ((unsigned char)candidates[0][size] & 0xc0) == 0x80)
        size--;
    size_t backslashes = 0;
    while (backslashes < size && candidates[0][size - 1 - backslashes] == '\\')
        backslashes++;
    return size - backslashes % 2; /* one that quotes what follows goes with it */
}

static size_t characters_in(const char *bytes, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

bool terminal_complete(struct terminal *self, size_t size, char *const *candidates, size_t count)
{
    if (count == 0)
        return false;
    const LineInfo *line = el_line(self->edit);
    const char *typed = line->cursor - size;
    size_t common = common_size(candidates, count);
    bool is_longer = count == 1 || common > size || strncmp(typed, candidates[0], common) != 0;
    if (!is_longer || common == 0)
        return count > 1;
    char *text = NULL;
    bool is_whole = count == 1 && candidates[0][common - 1] != '/'; /* in a folder one goes on */
    int written = asprintf(&text, "%.*s%s", (int)common, candidates[0], is_whole ? " " : "");
    assert(written >= 0);
    el_deletestr(self->edit, (int)characters_in(typed, size));
    el_insertstr(self->edit, text);
    free(text);
    return false;
}
