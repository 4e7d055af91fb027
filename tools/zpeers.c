/* SPDX-License-Identifier: MIT */
/* Lists the nodes that are joined to the broker. */
#include "messages/shell/loop.h"
#include "tools/cli/options.h"
#include "tools/cli/rows.h"
#include "tools/link.h"

#include <stdlib.h>

/* Ten times what one broker is built for; a broker that pages for ever is stopped here. */
#define PEERS_MAX 100000

/* What fits one header: a page is at most 64 KiB anyway. */
#define PEERS_PAGE 256

static struct {
    struct endpoint broker;
    bool is_json;
    uint64_t timeout_ms;
} settings = {.broker = {"127.0.0.1", BROKER_PORT_DEFAULT}, .timeout_ms = 30000};

static const struct cli_option options[] = {
    OPTION_ROWS_ASK(&settings.broker, &settings.timeout_ms, &settings.is_json),
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zpeers",
    .operands = "",
    .summary = "Lists the connected nodes: address, name, files and bytes shared.",
    .options = options,
    .example = "zpeers --broker tcp://10.0.0.1:6881",
    .exits = "0 listed, 2 error",
};

static void print_event(struct output *output, const struct peer_entry *peer)
{
    json_t *event = event_new("peer"), *tags = json_array();
    json_object_set_new(event, "node", json_hex(peer->source.node.bytes, sizeof peer->source.node.bytes));
    json_object_set_new(event, "host", json_host(&peer->source.host));
    json_object_set_new(event, "port", json_integer(peer->source.port));
    json_object_set_new(event, "node_name", json_text(peer->source.name));
    json_object_set_new(event, "files", json_u64(peer->files));
    json_object_set_new(event, "bytes", json_u64(peer->bytes));
    json_object_set_new(event, "idle_ms", json_integer(peer->idle_ms));
    for (size_t i = 0; i < peer->tags.count; i++)
        json_array_append_new(tags, json_text(peer->tags.entries[i]));
    json_object_set_new(event, "tags", tags);
    output_event(output, event);
}

/*
 * All pages into the table or, with --json, to stdout. Each page is progress. Returns the number of peers
 * read; 0 after an error too.
 */
static size_t read_pages(struct output *output, struct link *link, struct table *table)
{
    struct message request = {.kind = KIND_PEERS}, reply;
    size_t count = 0;
    do {
        request.rid++;
        request.peers.limit = PEERS_PAGE;
        link->start_ms = clock_now_ms();
        if (!link_ask(link, &request, KIND_PEERS_OK, &reply))
            return count;
        for (size_t i = 0; i < reply.peers_ok.count; i++) {
            const struct peer_entry *peer = &reply.peers_ok.entries[i];
            if (output_is_json(output))
                print_event(output, peer);
            else
                peer_table_row(table, &peer->source, peer->files, peer->bytes);
        }
        count += reply.peers_ok.count;
        request.peers.cursor = reply.peers_ok.next_cursor;
        if (request.peers.cursor && (reply.peers_ok.count + reply.dropped_count == 0 || count > PEERS_MAX)) {
            output_error(output, "the broker pages without end: what it listed may not be all");
            return count;
        }
    } while (request.peers.cursor && !output_is_broken(output));
    return count;
}

int main(int argc, char **argv)
{
    int operand;
    char *error = NULL;
    enum options_result result = options_read(&program, argc, argv, &operand, &error);
    if (result == OPTIONS_SHOWN)
        return EXIT_DONE;
    struct output *output = output_new(program.name, settings.is_json);
    process_start(1);
    struct link link = {.exchange = NULL};
    if (result == OPTIONS_WRONG) {
        output_error(output, "%s", error);
    } else if (operand < argc) {
        output_error(output, "unexpected argument '%s' (see zpeers --help)", argv[operand]);
    } else if (link_open(&link, output, SOCKET_BROKER_CLIENT, &settings.broker, settings.timeout_ms)) {
        struct table *table = peer_table_new();
        if (read_pages(output, &link, table) > 0)
            table_print(table, output);
        table_destroy(&table);
    }
    link_close(&link);
    free(error);
    process_finish();
    return output_finish(&output);
}
