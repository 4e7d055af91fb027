/* SPDX-License-Identifier: MIT */
/* Lists the nodes that are joined to the broker. */
#include "tools/cli/program.h"
#include "tools/cli/rows.h"
#include "tools/link.h"

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
    .is_json = &settings.is_json,
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

struct peers {
    struct output *output;
    struct table *table;
    size_t count;
};

/* A line of the table or, with --json, one on stdout at once. */
static bool take(void *owner, const struct peer_entry *peer)
{
    struct peers *self = owner;
    if (output_is_json(self->output))
        print_event(self->output, peer);
    else
        peer_table_row(self->table, &peer->source, peer->files, peer->bytes);
    self->count++;
    return !output_is_broken(self->output);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    process_start(1);
    struct link link = {.exchange = NULL};
    if (argc > 0) {
        output_error(output, "unexpected argument '%s' (see zpeers --help)", argv[0]);
    } else if (link_open(&link, output, SOCKET_BROKER_CLIENT, &settings.broker, settings.timeout_ms)) {
        struct peers peers = {.output = output, .table = peer_table_new()};
        link_list_peers(&link, take, &peers);
        if (peers.count > 0)
            table_print(peers.table, output);
        table_destroy(&peers.table);
    }
    link_close(&link);
    process_finish();
    return output_finish(&output);
}
