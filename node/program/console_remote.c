/* SPDX-License-Identifier: MIT */
#include "node/program/console_remote.h"

#include "messages/name.h"
#include "node/program/meant_nodes.h"
#include "node/shell/link/visit.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What a person is told of, when one name means many files. */
#define OFFERED_MAX 100

struct offered {
    struct file_entry file; /* its name is our own */
    const struct meant_node *node;
};

struct console_remote {
    bool is_list;
    char *file;
    char *else_name; /* what is meant when no node is; or NULL */
    struct meant_nodes *nodes;
    size_t position;
    struct visit *visit;
    uint64_t listed_count;
    bool is_answered; /* by at least one node */
    struct offered offered[OFFERED_MAX];
    size_t offered_count;
};

static void release(struct console *self)
{
    struct console_remote *remote = self->remote;
    self->remote = NULL;
    visit_destroy(&remote->visit);
    meant_nodes_destroy(&remote->nodes);
    for (size_t i = 0; i < remote->offered_count; i++)
        free((void *)(uintptr_t)remote->offered[i].file.name.bytes);
    free(remote->file);
    free(remote->else_name);
    free(remote);
}

static const struct meant_node *node_now(const struct console_remote *remote)
{
    return meant_nodes_at(remote->nodes, remote->position);
}

/* Answers. */

static void on_files(void *owner, const struct file_entry *files, size_t count)
{
    struct console *self = owner;
    struct console_remote *remote = self->remote;
    for (size_t i = 0; i < count && remote->is_list; i++) {
        if (remote->listed_count++ == 0)
            file_lines_title(self->output);
        file_line(self->output, &files[i]);
    }
    for (size_t i = 0; i < count && !remote->is_list && remote->offered_count < OFFERED_MAX; i++) {
        if (is_id_text(remote->file) &&
            !file_id_has_prefix(&files[i].id, remote->file, strlen(remote->file)) &&
            !text_equal(files[i].name, text_of(remote->file)))
            continue;
        struct offered *offered = &remote->offered[remote->offered_count++];
        *offered = (struct offered){files[i], node_now(remote)};
        offered->file.name.bytes = text_copy(files[i].name);
    }
}

static void say_visit_problem(struct console *self)
{
    char *shown = meant_node_show(node_now(self->remote));
    switch (visit_state(self->remote->visit)) {
    case VISIT_UNREACHABLE:
        console_say(self, "no node at %s: 'peers' lists the nodes", shown);
        break;
    case VISIT_UNANSWERED:
        console_say(self, "%s did not answer: is it a zswarm node?", shown);
        break;
    case VISIT_REFUSED:
        console_say(self, "%s refused: %s", shown, visit_error(self->remote->visit));
        break;
    case VISIT_UNSTEADY:
        console_say(self, "the files of %s kept changing: this may not be all", shown);
        break;
    default:
        break;
    }
    free(shown);
}

/* True when all offers are the same file, or there is none. */
static bool is_one_file(const struct console_remote *remote)
{
    for (size_t i = 1; i < remote->offered_count; i++) {
        if (!file_id_equal(&remote->offered[i].file.id, &remote->offered[0].file.id))
            return false;
    }
    return true;
}

static void order(struct console *self)
{
    struct console_remote *remote = self->remote;
    struct downloads_source sources[OFFERED_MAX];
    for (size_t i = 0; i < remote->offered_count; i++) {
        const struct meant_node *node = remote->offered[i].node;
        sources[i] = (struct downloads_source){.host = node->host, .port = node->port};
    }
    struct downloads_order order = {.file = remote->offered[0].file,
                                    .sources = sources,
                                    .source_count = remote->offered_count,
                                    .has_only_these = true};
    console_order(self, &order);
}

static void end_download(struct console *self)
{
    struct console_remote *remote = self->remote;
    if (remote->offered_count == 0) {
        if (remote->is_answered)
            console_say(self, "'%s' is not there: 'list NODE' shows what is", remote->file);
    } else if (is_one_file(remote)) {
        order(self);
    } else {
        file_lines_title(self->output);
        for (size_t i = 0; i < remote->offered_count; i++)
            file_line(self->output, &remote->offered[i].file);
        console_say(self, "these are different files: choose one by its id");
    }
}

/* Visits. */

static bool start_visit(struct console *self)
{
    struct console_remote *remote = self->remote;
    const struct meant_node *node = node_now(remote);
    struct visit_question question = {
        .is_list = remote->is_list, .name = text_of(remote->file), .prefix = text_of("")};
    if (!remote->is_list && is_id_text(remote->file)) {
        question.file.is_present =
            hex_parse(remote->file, strlen(remote->file), question.file.bytes, sizeof question.file.bytes);
        question.is_list = !question.file.is_present; /* digits with which an id begins */
    }
    struct visit_events events = {.owner = self, .files = on_files};
    remote->visit =
        visit_new(self->node->loop, &node->host, node->port, &question, CONSOLE_ANSWER_MS, &events);
    remote->listed_count = 0;
    if (!remote->visit) {
        console_say(self, "there is no room for another connection: try again later");
        return false;
    }
    char *shown = meant_node_show(node);
    console_wait_for(self, "asking %s", shown);
    if (remote->is_list && meant_nodes_count(remote->nodes) > 1)
        console_print(self, "%s", shown);
    free(shown);
    return true;
}

static void end_visit(struct console *self)
{
    struct console_remote *remote = self->remote;
    say_visit_problem(self);
    if (remote->is_list && visit_state(remote->visit) == VISIT_DONE)
        console_say(self, "%llu %s", (unsigned long long)remote->listed_count,
                    remote->listed_count == 1 ? "file" : "files");
    remote->is_answered |= visit_state(remote->visit) == VISIT_DONE;
    visit_destroy(&remote->visit);
    remote->position++;
}

static uint64_t tick_visits(struct console *self, uint64_t now_ms)
{
    struct console_remote *remote = self->remote;
    size_t count = meant_nodes_count(remote->nodes);
    while (remote->position < count && !output_is_broken(self->output)) {
        if (!remote->visit && !start_visit(self))
            break;
        uint64_t next_ms = visit_tick(remote->visit, now_ms);
        if (visit_state(remote->visit) == VISIT_RUNNING)
            return next_ms;
        end_visit(self);
    }
    if (!remote->is_list && remote->position == count)
        end_download(self);
    console_end(self);
    return UINT64_MAX;
}

/* Who is meant. */

static uint64_t tick_nodes(struct console *self, uint64_t now_ms)
{
    struct console_remote *remote = self->remote;
    uint64_t next_ms = meant_nodes_tick(remote->nodes, now_ms);
    if (next_ms != UINT64_MAX)
        return next_ms;
    if (remote->else_name && meant_nodes_is_nobody(remote->nodes)) {
        char *name = remote->else_name;
        remote->else_name = NULL;
        console_end(self);
        console_download_name(self, name);
        return now_ms;
    }
    if (meant_nodes_problem(remote->nodes))
        console_say(self, "%s", meant_nodes_problem(remote->nodes));
    if (meant_nodes_count(remote->nodes) == 0) {
        console_end(self);
        return UINT64_MAX;
    }
    self->work.tick = tick_visits;
    return now_ms;
}

/* Takes `file` and `else_name`. */
static void start(struct console *self, const struct console_target *target, bool is_list, char *file,
                  char *else_name)
{
    struct broker_client *broker = target->port ? NULL : console_broker(self);
    if (!target->port && !broker) {
        free(file);
        free(else_name);
        return;
    }
    struct console_remote *remote = self->remote = calloc(1, sizeof *remote);
    assert(remote);
    remote->is_list = is_list;
    remote->file = file;
    remote->else_name = else_name;
    remote->nodes = meant_nodes_new(broker, target, NULL);
    console_begin(self, tick_nodes, release);
    console_wait_for(self, "asking the broker who is there");
}

void console_remote_list(struct console *self, const struct console_target *target)
{
    start(self, target, true, text_copy(text_of("")), NULL);
}

void console_remote_download(struct console *self, const struct console_target *target, const char *file,
                             const char *else_name)
{
    if (strlen(file) > NAME_SIZE_MAX)
        console_say(self, "no name is longer than %d bytes", NAME_SIZE_MAX);
    else
        start(self, target, false, text_copy(text_of(file)),
              else_name ? text_copy(text_of(else_name)) : NULL);
}
