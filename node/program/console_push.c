/* SPDX-License-Identifier: MIT */
/* push: one file to one node, while the person waits; Ctrl-C ends it, and the same again goes on. */
#include "node/program/console_downloads.h"
#include "node/program/console_private.h"

#include "node/program/meant_nodes.h"
#include "node/program/settings.h"
#include "node/shell/push/push.h"
#include "tools/cli/table.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SHOW_MS 500

/* Of several nodes that one name means. */
#define SEVERAL_SHOWN 8

/* As zput. */
#define PUSH_TIMEOUT_MS 30000

struct console_push {
    struct meant_nodes *nodes;
    char *path;
    struct push *push;
    bool is_over;
    uint64_t next_ms;
};

static void release(struct console *self)
{
    struct console_push *push = self->push;
    self->push = NULL;
    push_close(&push->push);
    meant_nodes_destroy(&push->nodes);
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
    const struct meant_node *to = meant_nodes_at(push->nodes, 0);
    struct push_config config = {
        .loop = self->node->loop,
        .workers = self->node->hashing,
        .host = to->host,
        .port = to->port,
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
    const char *path = self->push->path;
    char *to = meant_node_show(meant_nodes_at(self->push->nodes, 0));
    if (report.state == PUSH_HASHING)
        console_wait_for(self, "hashing %s: %u %%", path,
                         console_percent(report.hashed_bytes, report.size_bytes));
    else if (report.is_accepted)
        console_wait_for(self, "pushing %s to %s: %u %%", path, to,
                         console_percent(report.saved_count, report.missing_count));
    else
        console_wait_for(self, "asking %s to take %s", to, path);
    free(to);
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

/* Those that share the name or the address, in one line. */
static void say_several(struct console *self)
{
    struct meant_nodes *nodes = self->push->nodes;
    size_t count = meant_nodes_count(nodes);
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    assert(out);
    for (size_t i = 0; i < count && i < SEVERAL_SHOWN; i++) {
        char *shown = meant_node_show(meant_nodes_at(nodes, i));
        fprintf(out, "%s%s", i > 0 ? ", " : "", shown);
        free(shown);
    }
    int rc = fclose(out);
    assert(rc == 0);
    console_say(self, "%zu nodes are meant: give the address of one: %s%s", count, line,
                count > SEVERAL_SHOWN ? ", ..." : "");
    free(line);
}

static uint64_t tick_nodes(struct console *self, uint64_t now_ms)
{
    struct meant_nodes *nodes = self->push->nodes;
    uint64_t next_ms = meant_nodes_tick(nodes, now_ms);
    if (next_ms != UINT64_MAX)
        return next_ms;
    if (meant_nodes_problem(nodes))
        console_say(self, "%s", meant_nodes_problem(nodes));
    if (meant_nodes_count(nodes) > 1)
        say_several(self);
    if (meant_nodes_count(nodes) == 1 && start_push(self)) {
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
        push->nodes = meant_nodes_new(broker, &target, &self->node->state.id);
        push->path = text_copy(text_of(path));
        console_begin(self, tick_nodes, release);
        console_wait_for(self, "asking the broker who is there");
    }
    free(problem);
    free(path);
}
