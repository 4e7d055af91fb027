/* SPDX-License-Identifier: MIT */
/* Lists the files of one node. */
#include "messages/shell/loop.h"
#include "node/serve/listing.h"
#include "tools/cli/program.h"
#include "tools/cli/rows.h"
#include "tools/cli/value.h"
#include "tools/link.h"

static struct {
    bool is_json;
    uint64_t timeout_ms;
} settings = {.timeout_ms = 30000};

static const struct cli_option options[] = {
    OPTION_ROW_TIMEOUT(&settings.timeout_ms, "give up after S seconds without a new file (default 30)"),
    OPTION_ROW_JSON(&settings.is_json),
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zls",
    .operands = "HOST:PORT [PREFIX]",
    .summary = "Lists the files of one node whose names begin with PREFIX.",
    .options = options,
    .is_json = &settings.is_json,
    .example = "zls 10.0.0.7:9123 music/",
    .exits = "0 listed, 1 no such file, 2 error,\n            3 not all of them: the share kept changing",
};

static void print_file(struct output *output, const struct file_entry *file)
{
    file_line(output, file);
    if (!output_is_json(output))
        return;
    json_t *event = event_new("file");
    json_object_set_new(event, "id", json_hex(file->id.bytes, sizeof file->id.bytes));
    json_object_set_new(event, "root", json_hex(file->root.bytes, sizeof file->root.bytes));
    json_object_set_new(event, "size", json_u64(file->size));
    json_object_set_new(event, "name", json_text(file->name));
    json_object_set_new(event, "have", json_have(file->have_permille));
    output_event(output, event);
}

/* Prints page by page; a share may be larger than memory. Returns what ended the waiting. */
static enum exchange_result run(struct output *output, struct link *link, struct listing *listing,
                                uint64_t *ret_count)
{
    enum exchange_result result = EXCHANGE_MESSAGE;
    *ret_count = 0;
    while (listing_state(listing) == LISTING_RUNNING && !output_is_broken(output)) {
        struct message message;
        if (listing_next_send(listing, &message))
            exchange_send(link->exchange, &message);
        result = exchange_wait(link->exchange, listing_next_deadline_ms(listing), &message);
        if (result == EXCHANGE_MESSAGE && listing_on_message(listing, &message, clock_now_ms())) {
            if (*ret_count == 0)
                file_lines_title(output);
            for (size_t i = 0; i < message.list_ok.files.count; i++)
                print_file(output, &message.list_ok.files.entries[i]);
            *ret_count += message.list_ok.files.count;
            output_flush(output);
        } else if (result != EXCHANGE_MESSAGE && result != EXCHANGE_DEADLINE) {
            return result;
        }
        listing_tick(listing, clock_now_ms());
    }
    return result;
}

static void list(struct output *output, const struct endpoint *node, struct text prefix)
{
    struct link link;
    if (!link_open(&link, output, SOCKET_PEER_CLIENT, node, settings.timeout_ms)) {
        link_close(&link);
        return;
    }
    uint64_t count;
    struct listing *listing = listing_new(prefix, 1, random_u64(), link_left_ms(&link), clock_now_ms());
    enum exchange_result result = run(output, &link, listing, &count);
    if (listing_state(listing) == LISTING_REFUSED) {
        struct message_error error = listing_error(listing);
        link_report_refusal(&link, &error);
    } else if (listing_state(listing) == LISTING_UNSTEADY) {
        output_exit(output, EXIT_INCOMPLETE);
        output_reason(output, "the share kept changing while it was listed: this may not be all");
    } else if (listing_state(listing) == LISTING_ENDLESS) {
        output_exit(output, EXIT_INCOMPLETE);
        output_reason(output, "the list of the node has no end: this may not be all");
    } else if (listing_state(listing) != LISTING_COMPLETE && !output_is_broken(output)) {
        link_report(&link, result);
    } else if (count == 0 && prefix.size > 0) {
        output_exit(output, EXIT_NOT_FOUND);
        output_reason(output, "no file there begins with '%.*s'", (int)prefix.size, prefix.bytes);
    } else if (count == 0) {
        output_note(output, "the node shares no file");
    }
    listing_destroy(&listing);
    link_close(&link);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    process_start(1);
    struct endpoint node;
    if (argc < 1 || argc > 2) {
        output_error(output, "expected HOST:PORT and at most one PREFIX (see zls --help)");
    } else if (!endpoint_parse(argv[0], 0, &node)) {
        output_error(output,
                     "'%s' is not a node's address: expected HOST:PORT; 'zpeers' lists the nodes with theirs",
                     argv[0]);
    } else {
        struct text prefix = text_of(argc == 2 ? argv[1] : "");
        const char *problem = text_problem(prefix.bytes, LIST_PREFIX_SIZE_MAX);
        if (problem)
            output_error(output, "'%s' %s", prefix.bytes, problem);
        else
            list(output, &node, prefix);
    }
    process_finish();
    return output_finish(&output);
}
