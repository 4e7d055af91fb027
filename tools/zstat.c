/* SPDX-License-Identifier: MIT */
/* Prints the broker's figures. */
#include "tools/cli/program.h"
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
    .name = "zstat",
    .operands = "",
    .summary = "Prints the broker's figures since it started.",
    .options = options,
    .is_json = &settings.is_json,
    .example = "zstat --json",
    .exits = "0 printed, 2 error",
};

static void print_status(struct output *output, const struct message_status_ok *status)
{
    const struct {
        const char *name;
        uint64_t value;
    } figures[] = {
        {"uptime_ms", status->uptime_ms}, {"nodes", status->nodes},
        {"searches", status->searches},   {"queries", status->queries},
        {"answers", status->answers},     {"bad_messages", status->bad_messages},
    };
    char id[ID_HEX_SIZE];
    hex_format(status->broker.bytes, sizeof status->broker.bytes, id);
    json_t *event = event_new("status");
    json_object_set_new(event, "broker_id", json_string(id));
    json_object_set_new(event, "agent", json_text(status->agent));
    output_line(output, "%-12s  %s", "broker_id", id);
    output_line(output, "%-12s  %.*s", "agent", (int)status->agent.size, status->agent.bytes);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++) {
        json_object_set_new(event, figures[i].name, json_u64(figures[i].value));
        output_line(output, "%-12s  %llu", figures[i].name, (unsigned long long)figures[i].value);
    }
    output_event(output, event);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    process_start(1);
    struct link link = {.exchange = NULL};
    struct message request = {.kind = KIND_STATUS, .rid = 1}, reply;
    if (argc > 0)
        output_error(output, "unexpected argument '%s' (see zstat --help)", argv[0]);
    else if (link_open(&link, output, SOCKET_BROKER_CLIENT, &settings.broker, settings.timeout_ms) &&
             link_ask(&link, &request, KIND_STATUS_OK, &reply))
        print_status(output, &reply.status_ok);
    link_close(&link);
    process_finish();
    return output_finish(&output);
}
