/* SPDX-License-Identifier: MIT */
#include "node/program/console.h"

#include "node/program/console_private.h"
#include "node/program/menu.h"
#include "node/program/settings.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROMPT "znode> "

/* What takes less is over before a person wonders. */
#define WAITING_SHOWN_MS 300

static void quit(struct console *self, const struct console_command *command)
{
    (void)command;
    console_say(self, "leaving; unfinished downloads go on at the next start");
    loop_stop(self->node->loop);
}

static void open_menu(struct console *self, const struct console_command *command)
{
    (void)command;
    self->menu = menu_new(self, false);
}

static console_action *const actions[CONSOLE_VERBS] = {
    [CONSOLE_LIST] = console_list,
    [CONSOLE_PEERS] = console_peers,
    [CONSOLE_SEARCH] = console_search,
    [CONSOLE_DOWNLOAD] = console_download,
    [CONSOLE_DOWNLOADS] = console_downloads,
    [CONSOLE_PAUSE] = console_pause,
    [CONSOLE_RESUME] = console_resume,
    [CONSOLE_CANCEL] = console_cancel,
    [CONSOLE_STATUS] = console_status,
    [CONSOLE_REFRESH] = console_refresh,
    [CONSOLE_TRACKER] = console_tracker,
    [CONSOLE_WHOAMI] = console_whoami,
    [CONSOLE_PUSH] = console_push,
    [CONSOLE_SHARE] = console_share,
    [CONSOLE_UNSHARE] = console_unshare,
    [CONSOLE_LIMIT] = console_limit,
    [CONSOLE_MENU] = open_menu,
    [CONSOLE_HELP] = console_help,
    [CONSOLE_QUIT] = quit,
};

/* Commands that take a while. */

static void hold_input(struct console *self, bool is_held)
{
    if (self->pipe)
        console_pipe_hold(self->pipe, is_held);
    if (self->terminal)
        terminal_hold(self->terminal, is_held);
}

void console_begin(struct console *self, uint64_t (*tick)(struct console *self, uint64_t now_ms),
                   void (*release)(struct console *self))
{
    assert(!self->work.tick);
    self->work = (struct console_work){tick, release};
    hold_input(self, true);
}

static void show_waiting(struct console *self)
{
    char *line = text_escape(text_of(self->waiting));
    terminal_set_status(self->terminal, &line, 1);
    free(line);
    self->is_waiting_shown = true;
}

void console_wait_for(struct console *self, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    assert(size >= 0);
    if (!self->waiting)
        self->waiting_ms = clock_now_ms();
    free(self->waiting);
    self->waiting = text;
    if (self->is_waiting_shown)
        show_waiting(self);
}

/* Tells it when it is time; returns when that is. */
static uint64_t tick_waiting(struct console *self, uint64_t now_ms)
{
    if (!self->waiting || !self->terminal || self->is_waiting_shown)
        return UINT64_MAX;
    if (now_ms < self->waiting_ms + WAITING_SHOWN_MS)
        return self->waiting_ms + WAITING_SHOWN_MS;
    show_waiting(self);
    return UINT64_MAX;
}

static void forget_waiting(struct console *self)
{
    if (self->is_waiting_shown)
        terminal_set_status(self->terminal, NULL, 0);
    self->is_waiting_shown = false;
    free(self->waiting);
    self->waiting = NULL;
}

static void end_work(struct console *self)
{
    struct console_work work = self->work;
    self->work = (struct console_work){0};
    if (work.tick && work.release)
        work.release(self);
    forget_waiting(self);
    output_flush(self->output);
    hold_input(self, false);
}

void console_end(struct console *self)
{
    if (!self->work.tick)
        return;
    end_work(self);
    if (self->menu)
        menu_on_command_over(self->menu);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct console *self = owner;
    uint64_t work_ms = self->work.tick ? self->work.tick(self, now_ms) : UINT64_MAX;
    uint64_t menu_ms = self->menu && !self->work.tick ? menu_tick(self->menu, now_ms) : UINT64_MAX;
    uint64_t learn_ms = console_learn_tick(self, now_ms), waiting_ms = tick_waiting(self, now_ms);
    uint64_t next_ms = work_ms < menu_ms ? work_ms : menu_ms;
    next_ms = waiting_ms < next_ms ? waiting_ms : next_ms;
    return next_ms < learn_ms ? next_ms : learn_ms;
}

struct broker_client *console_broker(struct console *self)
{
    if (!self->node->broker)
        console_say(
            self,
            "this node has no broker (--no-broker): give an address, as in 'list IP PORT' or 'get IP:PORT "
            "FILE'");
    else if (!broker_client_is_joined(self->node->broker))
        console_say(self, "the broker cannot be reached now: try again, or see 'tracker'");
    else
        return self->node->broker;
    return NULL;
}

/* Input. */

static void leave_menu(struct console *self)
{
    menu_destroy(&self->menu);
    if (self->terminal)
        terminal_set_prompt(self->terminal, PROMPT);
}

static void run(struct console *self, struct text line)
{
    struct console_command command = console_command_read(line);
    if (command.problem)
        console_say(self, "%s", command.problem);
    else if (command.row)
        actions[command.row->verb](self, &command);
    console_command_release(&command);
}

static void on_line(void *owner, struct text line)
{
    struct console *self = owner;
    self->was_interrupted = false;
    if (self->menu)
        menu_on_line(self->menu, line);
    else
        run(self, line);
    if (self->menu && menu_is_over(self->menu))
        leave_menu(self);
    output_flush(self->output);
}

static void on_ended(void *owner)
{
    struct console *self = owner;
    console_say(self, "quit");
    quit(self, NULL);
}

static void on_complete(void *owner, struct text typed)
{
    struct console *self = owner;
    if (!self->menu)
        console_complete(self, typed);
}

/* Ctrl-C: the command, else what was typed, else one step of the menu; twice in a row it is the node. */
static void on_interrupt(void *owner, int number)
{
    struct console *self = owner;
    (void)number;
    bool is_second = self->was_interrupted;
    self->was_interrupted = true;
    if (self->work.tick) {
        end_work(self);
        console_say(self, "interrupted");
        if (self->menu)
            menu_on_interrupt(self->menu);
    } else if (terminal_clear_line(self->terminal) || (self->menu && menu_on_interrupt(self->menu))) {
        return;
    } else if (is_second) {
        quit(self, NULL);
    } else {
        console_say(self, "Ctrl-C once more, or 'quit', ends this node");
    }
}

static void on_hangup(void *owner, int number)
{
    struct console *self = owner;
    (void)number;
    loop_stop(self->node->loop);
}

/* Life. */

struct console *console_new(struct node *node)
{
    struct console *self = calloc(1, sizeof *self);
    assert(self);
    self->node = node;
    self->output = node->output;
    if (!loop_add_ticker(node->loop, on_tick, self)) {
        free(self);
        return NULL;
    }
    return self;
}

void console_destroy(struct console **self_p)
{
    struct console *self = *self_p;
    if (!self)
        return;
    end_work(self);
    menu_destroy(&self->menu);
    output_before_lines(self->output, NULL, NULL);
    if (self->terminal) {
        loop_catch_signal(self->node->loop, SIGINT, NULL, NULL);
        loop_catch_signal(self->node->loop, SIGHUP, NULL, NULL);
    }
    terminal_destroy(&self->terminal);
    console_pipe_destroy(&self->pipe);
    search_destroy(&self->found);
    peers_ask_destroy(&self->peers_learnt);
    console_forget_peers(self);
    loop_remove_ticker(self->node->loop, self);
    free(self);
    *self_p = NULL;
}

static bool open_terminal(struct console *self)
{
    FILE *screen = output_screen(self->output);
    if (!screen)
        return false;
    char *history = node_state_path(&self->node->state, "history");
    struct terminal_events events = {
        .owner = self, .line = on_line, .ended = on_ended, .complete = on_complete};
    self->terminal = terminal_new(self->node->loop, screen, history, &events);
    free(history);
    if (!self->terminal)
        return false;
    terminal_set_prompt(self->terminal, PROMPT);
    output_before_lines(self->output, terminal_before_output, self->terminal);
    loop_catch_signal(self->node->loop, SIGINT, on_interrupt, self);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* else: nohup */
        loop_catch_signal(self->node->loop, SIGHUP, on_hangup, self);
    return true;
}

static bool open_pipe(struct console *self)
{
    self->pipe = console_pipe_new(self->node->loop, STDIN_FILENO, on_line, self);
    return self->pipe;
}

void console_open(struct console *self)
{
    bool is_terminal = isatty(STDIN_FILENO);
    if (!self || self->is_open || (is_terminal && settings.is_daemon))
        return;
    self->is_open = true;
    bool has_editing = is_terminal && terminal_is_usable();
    if (is_terminal && !has_editing && !terminal_is_ours()) {
        console_say(self, "in the background: serving without a console");
    } else if (!(has_editing ? open_terminal(self) : open_pipe(self))) {
        console_say(self, "no console: %s; serving without it", strerror(errno));
    } else {
        if (has_editing)
            console_learn_peers(self);
        if (has_editing && !settings.has_menu)
            console_say(self, "'help' lists the commands, 'quit' ends this node");
        if (settings.has_menu)
            self->menu = menu_new(self, true);
    }
}
