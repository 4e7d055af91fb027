/* SPDX-License-Identifier: MIT */
#include "node/program/console_remote.h"

#include "messages/name.h"
#include "node/shell/link/visit.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a person is told of, when one name means many files. */
#define OFFERED_MAX 100

struct place {
    struct host host;
    uint16_t port;
    char *name; /* escaped; empty when it is not known */
};

struct offered {
    struct file_entry file; /* its name is our own */
    size_t place;
};

struct console_remote {
    struct console_target target; /* its name is our own */
    bool is_list;
    char *file;
    struct peers_ask *peers; /* until the places are known */
    struct place *places;
    size_t place_count, position;
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
    peers_ask_destroy(&remote->peers);
    visit_destroy(&remote->visit);
    for (size_t i = 0; i < remote->place_count; i++)
        free(remote->places[i].name);
    for (size_t i = 0; i < remote->offered_count; i++)
        free((void *)(uintptr_t)remote->offered[i].file.name.bytes);
    free(remote->places);
    free((void *)(uintptr_t)remote->target.name);
    free(remote->file);
    free(remote);
}

/* `NAME 127.0.0.1:9123`, or without the name; malloc'd. */
static char *show_place(const struct place *place)
{
    char endpoint[ENDPOINT_TEXT_SIZE], *text = NULL;
    endpoint_format(&place->host, place->port, endpoint);
    int size = asprintf(&text, "%s%s%s", place->name, place->name[0] ? " " : "", endpoint + strlen("tcp://"));
    assert(size >= 0);
    return text;
}

static void add_place(struct console_remote *remote, const struct host *host, uint16_t port, struct text name)
{
    remote->places = reallocarray(remote->places, remote->place_count + 1, sizeof *remote->places);
    assert(remote->places);
    remote->places[remote->place_count++] = (struct place){*host, port, text_escape(name)};
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
        *offered = (struct offered){files[i], remote->position};
        offered->file.name.bytes = text_copy(files[i].name);
    }
}

static void say_visit_problem(struct console *self, const struct place *place)
{
    char *shown = show_place(place);
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
        const struct place *place = &remote->places[remote->offered[i].place];
        sources[i] = (struct downloads_source){.host = place->host, .port = place->port};
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
            console_say(self, "'%s' is not there: 'list' with the address shows what is", remote->file);
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
    const struct place *place = &remote->places[remote->position];
    struct visit_question question = {
        .is_list = remote->is_list, .name = text_of(remote->file), .prefix = text_of("")};
    if (!remote->is_list && is_id_text(remote->file)) {
        question.file.is_present =
            hex_parse(remote->file, strlen(remote->file), question.file.bytes, sizeof question.file.bytes);
        question.is_list = !question.file.is_present; /* digits with which an id begins */
    }
    struct visit_events events = {.owner = self, .files = on_files};
    remote->visit =
        visit_new(self->node->loop, &place->host, place->port, &question, CONSOLE_ANSWER_MS, &events);
    remote->listed_count = 0;
    if (!remote->visit)
        console_say(self, "there is no room for another connection: try again later");
    else if (remote->is_list && remote->place_count > 1) {
        char *shown = show_place(place);
        console_print(self, "%s", shown);
        free(shown);
    }
    return remote->visit;
}

static void end_visit(struct console *self)
{
    struct console_remote *remote = self->remote;
    const struct place *place = &remote->places[remote->position];
    say_visit_problem(self, place);
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
    bool can_go_on = true;
    while (remote->position < remote->place_count && can_go_on && !output_is_broken(self->output)) {
        if (!remote->visit && !start_visit(self))
            break;
        uint64_t next_ms = visit_tick(remote->visit, now_ms);
        if (visit_state(remote->visit) == VISIT_RUNNING)
            return next_ms;
        end_visit(self);
    }
    if (!remote->is_list && remote->position == remote->place_count)
        end_download(self);
    console_end(self);
    return UINT64_MAX;
}

/* Who is meant. */

static void say_nobody(struct console *self)
{
    const struct console_target *target = &self->remote->target;
    char host[HOST_TEXT_SIZE];
    host_format(&target->host, host);
    if (target->has_host)
        console_say(self, "the broker knows no node at %s: 'peers' lists the nodes; or give its port", host);
    else
        console_say(self, "no node is called '%s': 'peers' lists the nodes", target->name);
}

static uint64_t tick_peers(struct console *self, uint64_t now_ms)
{
    struct console_remote *remote = self->remote;
    uint64_t next_ms = peers_ask_tick(remote->peers, now_ms);
    if (next_ms != UINT64_MAX)
        return next_ms;
    size_t count;
    const struct listed_peer *peers = peers_ask_peers(remote->peers, &count);
    for (size_t i = 0; i < count; i++) {
        const struct source_entry *peer = &peers[i].source;
        if (remote->target.has_host ? host_equal(&peer->host, &remote->target.host)
                                    : text_equal(peer->name, text_of(remote->target.name)))
            add_place(remote, &peer->host, peer->port, peer->name);
    }
    if (peers_ask_problem(remote->peers))
        console_say(self, "%s", peers_ask_problem(remote->peers));
    else if (remote->place_count == 0)
        say_nobody(self);
    if (remote->place_count == 0) {
        console_end(self);
        return UINT64_MAX;
    }
    peers_ask_destroy(&remote->peers);
    self->work.tick = tick_visits;
    return now_ms;
}

/* Takes `file`. */
static void start(struct console *self, const struct console_target *target, bool is_list, char *file)
{
    struct broker_client *broker = target->port ? NULL : console_broker(self);
    if (!target->port && !broker) {
        free(file);
        return;
    }
    struct console_remote *remote = self->remote = calloc(1, sizeof *remote);
    assert(remote);
    remote->target = *target;
    remote->target.name = target->name ? text_copy(text_of(target->name)) : NULL;
    remote->is_list = is_list;
    remote->file = file;
    if (target->port)
        add_place(remote, &target->host, target->port, text_of(""));
    else
        remote->peers = peers_ask_new(broker, CONSOLE_ANSWER_MS);
    console_begin(self, target->port ? tick_visits : tick_peers, release);
}

void console_remote_list(struct console *self, const struct console_target *target)
{
    start(self, target, true, text_copy(text_of("")));
}

void console_remote_download(struct console *self, const struct console_target *target, const char *file)
{
    if (strlen(file) > NAME_SIZE_MAX)
        console_say(self, "no name is longer than %d bytes", NAME_SIZE_MAX);
    else
        start(self, target, false, text_copy(text_of(file)));
}
