/* SPDX-License-Identifier: MIT */
#include "node/program/console.h"

#include "node/program/console_private.h"
#include "node/program/settings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void quit(struct console *self, const struct console_command *command)
{
    (void)command;
    console_say(self, "leaving; unfinished downloads go on at the next start");
    loop_stop(self->node->loop);
}

static console_action *const actions[CONSOLE_VERBS] = {
    [CONSOLE_LIST] = console_list,
    [CONSOLE_PEERS] = console_peers,
    [CONSOLE_SEARCH] = console_search,
    [CONSOLE_STATUS] = console_status,
    [CONSOLE_REFRESH] = console_refresh,
    [CONSOLE_TRACKER] = console_tracker,
    [CONSOLE_WHOAMI] = console_whoami,
    [CONSOLE_HELP] = console_help,
    [CONSOLE_QUIT] = quit,
};

static void hold_input(struct console *self, bool is_held)
{
    if (self->pipe)
        console_pipe_hold(self->pipe, is_held);
}

void console_begin(struct console *self, uint64_t (*tick)(struct console *self, uint64_t now_ms),
                   void (*release)(struct console *self))
{
    assert(!self->work.tick);
    self->work = (struct console_work){tick, release};
    self->start_ms = clock_now_ms();
    hold_input(self, true);
}

void console_end(struct console *self)
{
    if (!self->work.tick)
        return;
    struct console_work work = self->work;
    self->work = (struct console_work){0};
    if (work.release)
        work.release(self);
    output_flush(self->output);
    hold_input(self, false);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct console *self = owner;
    uint64_t next_ms = UINT64_MAX;
    if (self->work.tick)
        next_ms = self->work.tick(self, now_ms);
    return self->work.tick ? next_ms : UINT64_MAX;
}

void console_say_text(struct console *self, char *text)
{
    console_say(self, "%s", text);
    free(text);
}

struct broker_client *console_broker(struct console *self)
{
    if (!self->node->broker)
        console_say(self,
                    "this node has no broker (--no-broker): only 'list IP PORT' and 'get IP:PORT FILE' work");
    else if (!broker_client_is_joined(self->node->broker))
        console_say(self, "the broker cannot be reached now: try again, or see 'tracker'");
    else
        return self->node->broker;
    return NULL;
}

static void on_line(void *owner, struct text line)
{
    struct console *self = owner;
    struct console_command command = console_command_read(line);
    if (command.problem)
        console_say(self, "%s", command.problem);
    else if (command.row && !actions[command.row->verb])
        console_say(self, "this node cannot do that");
    else if (command.row)
        actions[command.row->verb](self, &command);
    console_command_release(&command);
    output_flush(self->output);
}

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
    console_end(self);
    console_pipe_destroy(&self->pipe);
    search_destroy(&self->found);
    loop_remove_ticker(self->node->loop, self);
    free(self);
    *self_p = NULL;
}

void console_open(struct console *self)
{
    if (!self || self->is_open)
        return;
    self->is_open = true;
    if (!isatty(STDIN_FILENO))
        self->pipe = console_pipe_new(self->node->loop, STDIN_FILENO, on_line, self);
}
