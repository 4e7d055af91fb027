/* SPDX-License-Identifier: MIT */
/* zput: pushes files to a node. Options, and what is printed; see node/shell/push/push.h for one push. */
#include "messages/shell/loop.h"
#include "messages/shell/socket.h"
#include "node/content/layout.h"
#include "node/shell/push/push.h"
#include "tools/cli/program.h"
#include "tools/cli/value.h"
#include "tools/get/bar.h"
#include "tools/link.h"
#include "tools/node_lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AGENT "zput/" ZSWARM_VERSION

static struct {
    struct endpoint to, broker;
    bool has_to, has_chunks, is_quiet, is_json;
    char *to_name;
    struct chunk_range chunks;
    uint64_t up_rate, timeout_ms;
} settings = {.broker = {"127.0.0.1", BROKER_PORT_DEFAULT}, .timeout_ms = 30000};

static const char *set_to(void *target, const char *value)
{
    const char *expected = option_endpoint(target, value);
    settings.has_to = expected == NULL;
    return expected;
}

static const char *set_chunks(void *target, const char *value)
{
    struct chunk_range *chunks = target;
    uint64_t first, last;
    char *begin = strdup(value);
    char *dash = begin ? strchr(begin, '-') : NULL;
    if (dash)
        *dash = '\0';
    bool is_range = dash && number_parse(begin, 0, UINT32_MAX - 1, &first) &&
                    number_parse(dash + 1, first, UINT32_MAX - 1, &last);
    free(begin);
    if (!is_range)
        return "two chunk numbers A-B, counted from 0";
    settings.has_chunks = true;
    *chunks = (struct chunk_range){(uint32_t)first, (uint32_t)(last - first + 1)};
    return NULL;
}

static const struct cli_option options[] = {
    {"to", 0, "HOST:PORT", "the node, by its address; no broker is asked", set_to, &settings.to},
    {"to-name", 0, "NAME", "the node, by its name at the broker", option_text, &settings.to_name},
    OPTION_ROW_BROKER(&settings.broker),
    {"chunks", 0, "A-B", "offer only these chunks, from 0, both included", set_chunks, &settings.chunks},
    {"up", 0, "RATE", "send at most this fast (K, M, G; kbit, Mbit, Gbit)", option_size, &settings.up_rate},
    OPTION_ROW_TIMEOUT(&settings.timeout_ms, "give up after S seconds without progress (default 30)"),
    {"quiet", 'q', NULL, "say nothing but errors", option_flag, &settings.is_quiet},
    OPTION_ROW_JSON(&settings.is_json),
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zput",
    .operands = "FILE...",
    .summary = "Pushes files to a node that takes pushes (znode --accept-push). Only what it\n"
               "lacks is sent; interrupted, the same command goes on. FILE may be an unfinished\n"
               "download: then its verified chunks are offered.",
    .options = options,
    .is_json = &settings.is_json,
    .example = "zput --to 10.0.0.7:9123 holiday.mp4",
    .exits = "0 stored (a part: saved), 1 no such node (proven), 2 error, or\n"
             "            refused, 3 the node vanished or stays silent, 4 several of that name",
};

struct pushing {
    struct output *output;
    struct loop *loop;
    struct workers *workers;
    struct push *push;
    struct bar *bar; /* of the file under way, as it was then: */
    enum push_state shown;
    bool is_shown_accepted, is_ended;
    uint64_t sent_bytes, file_count;
};

/* What is told while it runs. */

/* What the node has of what is offered, as far as it is known. */
static uint64_t there_bytes(const struct push_report *report)
{
    if (!report->is_accepted)
        return 0;
    uint64_t lacked = (uint64_t)report->missing_count << layout_of(report->size_bytes).chunk_log2;
    uint64_t there = lacked < report->offered_bytes ? report->offered_bytes - lacked : 0;
    return there + report->saved_bytes < report->offered_bytes ? there + report->saved_bytes
                                                               : report->offered_bytes;
}

static void begin_bar(struct pushing *self, const struct push_report *report, uint64_t now_ms)
{
    bool is_hashing = report->state == PUSH_HASHING;
    bar_destroy(&self->bar);
    self->shown = report->state;
    self->is_shown_accepted = report->is_accepted;
    if (!report->name || (is_hashing && output_is_json(self->output)))
        return; /* events tell of what is sent */
    self->bar = bar_new(self->output, text_of(report->name),
                        is_hashing ? report->size_bytes : report->offered_bytes, settings.is_quiet);
    bar_start(self->bar, is_hashing ? report->hashed_bytes : there_bytes(report), now_ms);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct pushing *self = owner;
    struct push_report report = push_report(self->push);
    if (self->is_ended || (report.state != PUSH_HASHING && report.state != PUSH_RUNNING))
        return UINT64_MAX;
    if (report.state != self->shown || report.is_accepted != self->is_shown_accepted || !self->bar)
        begin_bar(self, &report, now_ms);
    if (!self->bar)
        return now_ms + 100;
    bool is_hashing = report.state == PUSH_HASHING;
    struct bar_figures figures = {.saved_bytes = is_hashing ? report.hashed_bytes : there_bytes(&report)};
    bar_set_doing(self->bar, is_hashing ? "hashing" : report.is_accepted ? "sending" : "offering");
    return bar_show(self->bar, &figures, now_ms);
}

static void on_ended(void *owner)
{
    struct pushing *self = owner;
    self->is_ended = true;
    loop_stop(self->loop);
}

static void on_workers(void *owner)
{
    workers_collect(owner);
}

/* What is told of one file. */

static void tell_event(struct pushing *self, const struct push_report *report)
{
    json_t *event = event_new("push");
    json_object_set_new(event, "id", json_hex(report->id.bytes, sizeof report->id.bytes));
    json_object_set_new(event, "name", json_text(text_of(report->name)));
    json_object_set_new(event, "chunks", json_integer(report->chunk_count));
    json_object_set_new(event, "missing", json_integer(report->missing_count));
    json_object_set_new(event, "sent", json_u64(report->sent_bytes));
    json_object_set_new(event, "stored", report->stored ? json_text(text_of(report->stored)) : json_null());
    json_object_set_new(event, "sent_chunks", json_integer(report->sent_count));
    json_object_set_new(event, "saved_chunks", json_integer(report->saved_count));
    output_event(self->output, event);
}

static void tell_parts(struct pushing *self, const struct push_report *report)
{
    char size[SIZE_TEXT_SIZE];
    size_format(report->sent_bytes, size);
    const char *how = report->state == PUSH_STORED  ? "stored as "
                      : report->state == PUSH_SAVED ? "saved in part"
                                                    : "not finished";
    char others[40] = ""; /* others push too, or the node fetches what it lacks from whoever has it */
    if (report->state == PUSH_STORED && report->missing_count > report->sent_count)
        snprintf(others, sizeof others, ", %u came from others", report->missing_count - report->sent_count);
    output_line(self->output, "%s: %s%s; %u %s: %u sent (%s), %u saved, %u already there%s", report->name,
                how, report->stored ? report->stored : "", report->chunk_count,
                plural(report->chunk_count, "part", "parts"), report->sent_count, size, report->saved_count,
                report->chunk_count - report->missing_count, others);
}

/* True when the next file is worth a try. */
static bool tell(struct pushing *self, const char *path)
{
    struct push_report report = push_report(self->push);
    bar_destroy(&self->bar);
    self->sent_bytes += report.sent_bytes;
    if (report.is_accepted) {
        tell_event(self, &report);
        if (!settings.is_quiet)
            tell_parts(self, &report);
    }
    switch (report.state) {
    case PUSH_STORED:
    case PUSH_SAVED:
        self->file_count++;
        return true;
    case PUSH_FAILED:
        output_error(self->output, "%s", report.reason);
        return true;
    case PUSH_GONE:
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: %s", path, report.reason);
        return false;
    default:
        output_exit(self->output, EXIT_INCOMPLETE);
        output_reason(self->output, "%s: interrupted; the same command goes on", path);
        return false;
    }
}

static void push_all(struct pushing *self, char **paths, int count)
{
    bool goes_on = true;
    for (int i = 0; i < count && goes_on; i++) {
        self->is_ended = false;
        self->shown = PUSH_IDLE;
        push_file(self->push, paths[i], settings.has_chunks ? &settings.chunks : NULL);
        int signal = loop_run(self->loop);
        goes_on = tell(self, paths[i]) && signal == 0;
    }
    json_t *figures = output_figures(self->output);
    json_object_set_new(figures, "files", json_u64(self->file_count));
    json_object_set_new(figures, "sent", json_u64(self->sent_bytes));
}

/* Where to. */
static bool find_node(struct output *output, struct node_place *ret_place, bool *ret_is_expected)
{
    *ret_is_expected = !settings.has_to;
    if (!settings.has_to)
        return node_lookup(output, &settings.broker, settings.timeout_ms, settings.to_name, ret_place);
    struct address address;
    if (!link_find(output, SOCKET_PEER_CLIENT, &settings.to, settings.timeout_ms, &address))
        return false;
    ret_place->host = address.host;
    ret_place->port = address.port;
    return true;
}

static void run(struct output *output, char **paths, int count)
{
    struct node_place place = {.port = 0};
    bool is_expected;
    if (!find_node(output, &place, &is_expected))
        return;
    struct pushing self = {.output = output, .loop = loop_new()};
    self.workers = self.loop ? workers_new(workers_default_count()) : NULL;
    struct push_config config = {
        .loop = self.loop,
        .workers = self.workers,
        .host = place.host,
        .port = place.port,
        .expected_node = {is_expected, place.node},
        .instance = random_u64(),
        .node_name = "",
        .agent = AGENT,
        .up_rate = settings.up_rate,
        .timeout_ms = settings.timeout_ms,
        .owner = &self,
        .ended = on_ended,
    };
    if (self.workers && loop_add_fd(self.loop, workers_fd(self.workers), on_workers, self.workers))
        self.push = push_new(&config);
    if (!self.push) {
        output_error(output, "cannot start threads: %s; raise the limits with ulimit -u and -n",
                     strerror(errno));
    } else {
        loop_add_ticker(self.loop, on_tick, &self);
        push_all(&self, paths, count);
    }
    bar_destroy(&self.bar);
    push_close(&self.push);
    workers_destroy(&self.workers);
    loop_destroy(&self.loop);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    process_start(1);
    if (settings.has_to == (settings.to_name != NULL))
        output_error(output, "name one node: --to HOST:PORT, or --to-name NAME (see zput --help)");
    else if (argc == 0)
        output_error(output, "nothing to push (see zput --help)");
    else
        run(output, argv, argc);
    process_finish();
    free(settings.to_name);
    return output_finish(&output);
}
