/* SPDX-License-Identifier: MIT */
/* zbroker: the options, the endpoints, and the broker on them. */
#include "broker/shell/listen.h"
#include "broker/shell/server.h"
#include "messages/shell/loop.h"
#include "messages/shell/socket.h"
#include "tools/cli/endpoint.h"
#include "tools/cli/program.h"
#include "tools/cli/value.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

/* One receives and sends while the other does; a third brings nothing, the core is one thread. */
#define IO_THREADS 2

/* Endpoints of one broker: an administrator names a few. */
#define ENDPOINTS_MAX 16

/* Connections that are not nodes: tools, listeners, our own. */
#define OTHER_FILES 256

static struct {
    struct option_texts listen;
    uint16_t assign_first, assign_last; /* 0: none */
    uint64_t lease_ms;
    uint32_t nodes_max, search_rate, search_burst, per_address;
    enum presence_use presence;
} settings = {
    .lease_ms = BROKER_LEASE_MS_DEFAULT,
    .nodes_max = BROKER_NODES_MAX_DEFAULT,
    .search_rate = BROKER_SEARCH_RATE_DEFAULT,
    .search_burst = BROKER_SEARCH_BURST_DEFAULT,
    .presence = PRESENCE_AUTO,
};

static const char *set_assign_ports(void *target, const char *value)
{
    (void)target;
    return port_range_parse(value, &settings.assign_first, &settings.assign_last)
               ? NULL
               : "two ports A-B, the first not above the second";
}

static const char *set_presence(void *target, const char *value)
{
    (void)target;
    static const char *const names[] = {
        [PRESENCE_AUTO] = "auto", [PRESENCE_ON] = "on", [PRESENCE_OFF] = "off"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(value, names[i]) == 0) {
            settings.presence = (enum presence_use)i;
            return NULL;
        }
    }
    return "auto, on or off";
}

static const char *set_lease(void *target, const char *value)
{
    uint64_t *lease_ms = target;
    bool is_good = seconds_parse(value, lease_ms) && *lease_ms >= BROKER_LEASE_MS_MIN &&
                   *lease_ms <= BROKER_LEASE_MS_MAX;
    return is_good ? NULL : "seconds from 1 to 3600";
}

static const char *set_count(void *target, const char *value)
{
    uint64_t number = 0;
    if (!number_parse(value, 1, INT32_MAX, &number))
        return "a number from 1 to 2147483647";
    *(uint32_t *)target = (uint32_t)number;
    return NULL;
}

static const char *set_nodes(void *target, const char *value)
{
    uint64_t number = 0;
    if (!number_parse(value, 1, BROKER_NODES_MAX, &number))
        return "a number from 1 to 60000";
    *(uint32_t *)target = (uint32_t)number;
    return NULL;
}

static const struct cli_option options[] = {
    {"listen", 0, "ENDPOINT", "listen there; repeat for more (default tcp://127.0.0.1:6881)", option_texts,
     &settings.listen},
    {"assign-ports", 0, "A-B", "assign data ports to nodes that ask for one", set_assign_ports, NULL},
    {"lease", 0, "SECONDS", "forget a node after this silence (default 30)", set_lease, &settings.lease_ms},
    {"max-nodes", 0, "N", "take at most N nodes (default 16384)", set_nodes, &settings.nodes_max},
    {"presence", 0, "auto|on|off", "use the nodes' filters (auto: from 256 nodes up)", set_presence, NULL},
    {"search-rate", 0, "N", "what a client may spend a second (default 20000)", set_count,
     &settings.search_rate},
    {"search-burst", 0, "N", "and at once (default 100000)", set_count, &settings.search_burst},
    {"per-address", 0, "N", "connections from one address (default 1024, loopback free)", set_count,
     &settings.per_address},
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "zbroker",
    .operands = "[PORT]",
    .summary = "Connects nodes: takes their joins and sends searches to them. PORT: on all interfaces.",
    .options = options,
    .example = "zbroker --listen tcp://192.168.1.10:6881",
    .exits = "0 stopped by SIGTERM or SIGINT, 2 error",
};

struct endpoints {
    struct listen_address entries[ENDPOINTS_MAX];
    size_t count;
};

static bool add_endpoint(struct endpoints *endpoints, const char *text, struct output *output)
{
    const char *error = endpoints->count == ENDPOINTS_MAX
                            ? "fewer endpoints: at most 16"
                            : listen_parse(text, &endpoints->entries[endpoints->count]);
    if (error) {
        output_error(output, "cannot listen on '%s': %s", text, error);
        return false;
    }
    endpoints->count++;
    return true;
}

static bool choose_endpoints(int argc, char **argv, struct endpoints *ret_endpoints, struct output *output)
{
    uint16_t port = 0;
    if (argc > 1 || (argc > 0 && !port_parse(argv[0], &port))) {
        output_error(output, "expected one port from 1 to 65535, not '%s' (see zbroker --help)",
                     argv[argc > 1 ? 1 : 0]);
        return false;
    }
    if (port != 0) {
        ret_endpoints->entries[ret_endpoints->count++] =
            (struct listen_address){.is_wildcard = true, .port = port};
    }
    for (size_t i = 0; i < settings.listen.count; i++) {
        if (!add_endpoint(ret_endpoints, settings.listen.items[i], output))
            return false;
    }
    return ret_endpoints->count > 0 || add_endpoint(ret_endpoints, "tcp://127.0.0.1:6881", output);
}

static bool bind_endpoint(struct server *server, struct listen_address *address, struct output *output)
{
    char text[ENDPOINT_TEXT_SIZE];
    listen_format(address, text);
    if (server_bind(server, text, &address->port))
        return true;
    if (errno == EADDRINUSE)
        output_error(output, "%s is in use: stop the program that has it, or choose another with --listen",
                     text);
    else if (errno == EACCES)
        output_error(output, "cannot listen on %s: %s; ports below 1024 need root: choose another", text,
                     strerror(errno));
    else
        output_error(output, "cannot listen on %s: %s; choose an address of this machine with --listen", text,
                     strerror(errno));
    return false;
}

static bool print_ready(const struct listen_address *address, struct output *output)
{
    struct host hosts[LISTEN_HOSTS_MAX];
    size_t count = listen_hosts(address, hosts);
    for (size_t i = 0; i < count; i++) {
        char text[ENDPOINT_TEXT_SIZE];
        endpoint_format(&hosts[i], address->port, text);
        output_line(output, "ready %s", text);
    }
    output_flush(output);
    return !output_is_broken(output);
}

/* To systemd, if it started us. */
static void tell_service_manager(const struct listen_address *first, size_t count)
{
    char text[ENDPOINT_TEXT_SIZE];
    listen_format(first, text);
    sd_notifyf(0, "READY=1\nSTATUS=listening on %s%s", text, count > 1 ? " and other addresses" : "");
}

static void warn_of_few_files(struct output *output)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < settings.nodes_max + OTHER_FILES)
        output_note(output, "%llu open files are allowed, fewer than %u nodes need; raise it with ulimit -n",
                    (unsigned long long)limit.rlim_cur, settings.nodes_max);
}

static void on_note(void *owner, struct text line)
{
    output_note(owner, "zbroker: %.*s", (int)line.size, line.bytes);
}

static void serve(struct endpoints *endpoints, struct output *output)
{
    struct broker_config config = {
        .agent = "zbroker/" ZSWARM_VERSION,
        .lease_ms = (uint32_t)settings.lease_ms,
        .nodes_max = settings.nodes_max,
        .presence = settings.presence,
        .search_rate = settings.search_rate,
        .search_burst = settings.search_burst,
        .assign_begin = settings.assign_first,
        .assign_end = settings.assign_first ? settings.assign_last + 1u : 0,
        .first_rid = random_u64(),
        .start_ms = clock_now_ms(),
    };
    random_bytes(config.id.bytes, sizeof config.id.bytes);
    struct server_events events = {.owner = output, .note = on_note};
    struct server *server = server_new(&config, settings.per_address, &events);
    if (!server) {
        output_error(output, "no socket: %s; raise the limit of open files with ulimit -n", strerror(errno));
        return;
    }
    bool is_good = true;
    for (size_t i = 0; i < endpoints->count && is_good; i++)
        is_good = bind_endpoint(server, &endpoints->entries[i], output);
    for (size_t i = 0; i < endpoints->count && is_good; i++)
        is_good = print_ready(&endpoints->entries[i], output);
    if (is_good && !output_serve(output)) {
        output_error(output, "cannot start a thread: %s; raise the limit with ulimit -u", strerror(errno));
    } else if (is_good) {
        tell_service_manager(&endpoints->entries[0], endpoints->count);
        server_run(server);
    }
    server_destroy(&server);
}

int main(int argc, char **argv)
{
    struct output *output = program_start(&program, &argc, &argv);
    struct endpoints endpoints = {.count = 0};
    if (choose_endpoints(argc, argv, &endpoints, output)) {
        process_start(IO_THREADS);
        warn_of_few_files(output);
        serve(&endpoints, output);
        process_finish();
    }
    option_texts_release(&settings.listen);
    return output_finish(&output);
}
