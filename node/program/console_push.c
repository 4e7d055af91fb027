/* SPDX-License-Identifier: MIT */
/* push: one file to one node, while the person waits; Ctrl-C ends it, and the same again goes on. */
#include "node/program/console_downloads.h"
#include "node/program/console_private.h"

#include "node/program/settings.h"
#include "node/shell/push/push.h"
#include "tools/cli/table.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHOW_MS 500

/* As zput. */
#define PUSH_TIMEOUT_MS 30000

struct console_push {
    struct console_target target; /* its name is our own */
    char *path;
    struct peers_ask *peers; /* until the port is known */
    struct push *push;
    bool is_over;
    uint64_t next_ms;
};

static void release(struct console *self)
{
    struct console_push *push = self->push;
    self->push = NULL;
    peers_ask_destroy(&push->peers);
    push_close(&push->push);
    if (self->terminal)
        terminal_set_status(self->terminal, NULL, 0);
    free((void *)(uintptr_t)push->target.name);
    free(push->path);
    free(push);
}

/* A path, or the name of a shared file; malloc'd, NULL when it is neither. */
static char *path_of(const struct console *self, const char *file)
{
    const struct share_index *index = shares_index(self->node->shares);
    const struct shared_file *shared;
    if (access(file, F_OK) == 0)
        return text_copy(text_of(file));
    if (share_index_by_name(index, text_of(file), &shared) != SHARE_FOUND)
        return NULL;
    return shares_file_path(self->node->shares, share_index_lower_bound(index, shared->name));
}

static void on_ended(void *owner)
{
    struct console_push *push = owner;
    push->is_over = true;
}

static bool start_push(struct console *self)
{
    struct console_push *push = self->push;
    struct push_config config = {
        .loop = self->node->loop,
        .workers = self->node->hashing,
        .host = push->target.host,
        .port = push->target.port,
        .node = {true, self->node->state.id},
        .instance = self->node->instance,
        .node_name = self->node->state.name ? self->node->state.name : "",
        .agent = NODE_AGENT,
        .up_rate = settings.up_rate,
        .timeout_ms = PUSH_TIMEOUT_MS,
        .owner = push,
        .ended = on_ended,
    };
    push->push = push_new(&config);
    if (!push->push) {
        console_say(self, "there is no room for another connection: try again later");
        return false;
    }
    push_file(push->push, push->path, NULL);
    return true;
}

static void say_end(struct console *self)
{
    struct push_report report = push_report(self->push->push);
    char sent[SIZE_TEXT_SIZE];
    size_format(report.sent_bytes, sent);
    switch (report.state) {
    case PUSH_STORED:
        console_say(self, "pushed '%s': stored as '%s'; %u %s: %u sent (%s), %u already there", report.name,
                    report.stored ? report.stored : "", report.chunk_count,
                    plural(report.chunk_count, "part", "parts"), report.sent_count, sent,
                    report.chunk_count - report.missing_count);
        break;
    case PUSH_SAVED:
        console_say(self, "pushed what is here of '%s': %u %s sent (%s)", report.name, report.sent_count,
                    plural(report.sent_count, "part was", "parts were"), sent);
        break;
    default:
        console_say(self, "%s", report.reason ? report.reason : "the push ended");
        break;
    }
}

static void show(struct console *self)
{
    struct push_report report = push_report(self->push->push);
    bool is_hashing = report.state == PUSH_HASHING;
    char *line = NULL;
    unsigned percent = is_hashing           ? console_percent(report.hashed_bytes, report.size_bytes)
                       : report.is_accepted ? console_percent(report.saved_count, report.missing_count)
                                            : 0;
    if (!self->terminal ||
        asprintf(&line, "%s %s: %u %%", is_hashing ? "hashing" : "pushing", self->push->path, percent) < 0)
        return;
    char *escaped = text_escape(text_of(line));
    terminal_set_status(self->terminal, &escaped, 1);
    free(escaped);
    free(line);
}

static uint64_t tick_push(struct console *self, uint64_t now_ms)
{
    struct console_push *push = self->push;
    if (!push->is_over) {
        if (now_ms >= push->next_ms) {
            show(self);
            push->next_ms = now_ms + SHOW_MS;
        }
        return push->next_ms;
    }
    say_end(self);
    console_end(self);
    return UINT64_MAX;
}

/* Finds the one node that is meant; false after a line that says why not. */
static bool choose_peer(struct console *self)
{
    struct console_push *push = self->push;
    const struct console_target meant = push->target;
    size_t count, matches = 0;
    const struct listed_peer *peers = peers_ask_peers(push->peers, &count);
    for (size_t i = 0; i < count; i++) {
        const struct source_entry *peer = &peers[i].source;
        if (meant.has_host ? !host_equal(&peer->host, &meant.host)
                           : !text_equal(peer->name, text_of(meant.name)))
            continue;
        push->target.host = peer->host;
        push->target.port = peer->port;
        matches++;
    }
    if (peers_ask_problem(push->peers) && matches == 0)
        console_say(self, "%s", peers_ask_problem(push->peers));
    else if (matches == 0)
        console_say(self, "the broker knows no such node: 'peers' lists the nodes");
    else if (matches > 1)
        console_say(self, "%zu nodes are meant: give IP and PORT; 'peers' lists them", matches);
    return matches == 1;
}

static uint64_t tick_peers(struct console *self, uint64_t now_ms)
{
    uint64_t next_ms = peers_ask_tick(self->push->peers, now_ms);
    if (next_ms != UINT64_MAX)
        return next_ms;
    if (choose_peer(self) && start_push(self)) {
        self->work.tick = tick_push;
        return now_ms;
    }
    console_end(self);
    return UINT64_MAX;
}

void console_push(struct console *self, const struct console_command *command)
{
    struct console_target target;
    char *problem = console_target_read(command->words + 1, command->count - 1, &target);
    char *path = path_of(self, command->words[0]);
    struct broker_client *broker = NULL;
    if (problem)
        console_say(self, "%s", problem);
    else if (!path)
        console_say(self, "'%s' is neither a file nor the name of a shared one: 'list' shows those",
                    command->words[0]);
    else if (target.port || (broker = console_broker(self))) {
        struct console_push *push = self->push = calloc(1, sizeof *push);
        assert(push);
        push->target = target;
        push->target.name = target.name ? text_copy(text_of(target.name)) : NULL;
        push->path = text_copy(text_of(path));
        console_begin(self, broker ? tick_peers : tick_push, release);
        if (broker)
            push->peers = peers_ask_new(broker, CONSOLE_ANSWER_MS);
        else if (!start_push(self))
            console_end(self);
    }
    free(problem);
    free(path);
}
