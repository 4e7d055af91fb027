/* SPDX-License-Identifier: MIT */
#include "node/program/settings.h"

#include "messages/name.h"
#include "messages/shell/socket.h"
#include "node/shell/downloads/downloads_offers.h"
#include "node/shell/serve/node_address.h"
#include "tools/cli/value.h"

#include <string.h>

struct settings settings = {
    .broker = {"127.0.0.1", BROKER_PORT_DEFAULT},
    .port_first = NODE_PORT_FIRST,
    .port_last = NODE_PORT_LAST,
    .push_quota_bytes = PUSH_QUOTA_DEFAULT,
};

static const char *set_port(void *target, const char *value)
{
    (void)target;
    settings.is_port_assigned = strcmp(value, "broker") == 0;
    if (strcmp(value, "auto") == 0) {
        settings.port_first = NODE_PORT_FIRST;
        settings.port_last = NODE_PORT_LAST;
    } else if (settings.is_port_assigned || strcmp(value, "0") == 0) {
        settings.port_first = settings.port_last = 0;
    } else if (port_parse(value, &settings.port_first)) {
        settings.port_last = settings.port_first;
    } else if (!port_range_parse(value, &settings.port_first, &settings.port_last)) {
        return "a port, a range A-B, auto, broker or 0";
    }
    return NULL;
}

static const char *set_broker(void *target, const char *value)
{
    settings.is_broker_given = true;
    return option_broker(target, value);
}

/* A name is also that of a folder. */
static const char *set_name(void *target, const char *value)
{
    struct text name = text_of(value);
    if (name.size == 0 || name.size > LABEL_SIZE_MAX || !text_is_clean(name) || strchr(value, '/') ||
        value[0] == '.')
        return "1 to 64 bytes of UTF-8 without '/' and not beginning with a dot";
    return option_text(target, value);
}

static const char *set_bind(void *target, const char *value)
{
    struct host host;
    return host_parse(text_of(value), &host) ? option_text(target, value)
                                             : "a numeric address of this machine";
}

static const struct cli_option options[] = {
    {"broker", 0, "ENDPOINT", "join there (default tcp://127.0.0.1:6881)", set_broker, &settings.broker},
    {"no-broker", 0, NULL, "join nowhere: only those who know the address find this node", option_flag,
     &settings.has_no_broker},
    {"share", 0, "DIR", "share this folder; repeat for more", option_texts, &settings.shares},
    {"manifest", 0, "FILE", "share what its lines NAME PATH say, under those names", option_text,
     &settings.manifest},
    {"home", 0, "DIR", "share this folder and its Download/ (default ~/Downloads/P2P/User-<port>)",
     option_text, &settings.home},
    {"port", 0, "P|A-B|auto|broker|0", "the data port (auto: a free one in 9000-9999; broker: as it assigns)",
     set_port, NULL},
    {"bind", 0, "ADDR", "bind the data port on this address only", set_bind, &settings.bind},
    {"name", 0, "NAME", "how others see this node (default User-<port>)", set_name, &settings.name},
    {"state", 0, "DIR", "keep id, port, hashes and lock there", option_text, &settings.state},
    {"up", 0, "RATE", "send at most this fast in all (K, M, G; kbit, Mbit, Gbit)", option_size,
     &settings.up_rate},
    {"up-each", 0, "RATE", "and to each that asks at most this fast", option_size, &settings.up_rate_each},
    {"lan-free", 0, NULL, "--up and --up-each do not hold for those on this machine's networks", option_flag,
     &settings.is_lan_free},
    {"down", 0, "RATE", "fetch at most this fast in all", option_size, &settings.down_rate},
    {"temp", 0, "DIR", "where downloads are until they are complete; on the same file system", option_text,
     &settings.temp},
    {"accept-push", 0, NULL, "take files that others offer, as if they were downloads", option_flag,
     &settings.accepts_pushes},
    {"push-quota", 0, "SIZE", "what they may take up here in all (default 10G)", option_size,
     &settings.push_quota_bytes},
    {"menu", 0, NULL, "begin with a menu of numbered choices instead of commands", option_flag,
     &settings.has_menu},
    {"daemon", 0, NULL, "serve only, without a console", option_flag, &settings.is_daemon},
    {NULL, 0, NULL, NULL, NULL, NULL},
};

static const struct cli_program program = {
    .name = "znode",
    .operands = "",
    .summary = "Shares folders: answers searches and serves files.",
    .options = options,
    .example = "znode --broker tcp://192.168.1.10:6881 --share /srv/data",
    .exits = "0 stopped by SIGTERM or SIGINT, 2 error",
};

struct output *settings_read(int *argc, char ***argv)
{
    return program_start(&program, argc, argv);
}

void settings_release(void)
{
    free(settings.home);
    free(settings.manifest);
    free(settings.name);
    free(settings.state);
    free(settings.bind);
    free(settings.temp);
    option_texts_release(&settings.shares);
}
