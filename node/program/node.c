/* SPDX-License-Identifier: MIT */
#include "node/program/node.h"

#include "messages/shell/loop.h"
#include "messages/shell/socket.h"
#include "node/program/console.h"
#include "node/program/settings.h"
#include "node/program/shared_folders.h"
#include "node/shell/folders.h"
#include "node/shell/link/broker_client.h"
#include "node/shell/node_state.h"
#include "node/shell/serve/node_address.h"
#include "node/shell/serve/share_source.h"
#include "tools/cli/value.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* Reads that are served have threads of their own, so that hashing and scanning never hold them up. */
#define SERVING_THREADS 4

/* A disk that hangs must not keep a node from ending: this is well below the 3 s that it may take. */
#define END_SECONDS 2

/* To find out whether a broker's name is this machine; a resolver that takes longer is of no use. */
#define RESOLVE_MS 2000

/* Start. Each step is false after an error that was told. */

static bool open_state(struct node *self)
{
    char *path = NULL;
    enum node_state_result result = settings.state
                                        ? node_state_open(&self->state, settings.state, &path)
                                        : node_state_open_profile(&self->state, settings.name, &path);
    int error = errno;
    if (result == NODE_STATE_LOCKED)
        output_error(self->output, "another znode is using %s: stop it, or choose another --state or --name",
                     path ? path : "this state");
    else if (result == NODE_STATE_FAILED)
        output_error(self->output, "cannot keep state in %s: %s; choose a folder to write to with --state",
                     path, strerror(error));
    free(path);
    if (result != NODE_STATE_OPEN)
        return false;
    if (self->state.was_damaged && self->state.is_new_id)
        output_note(self->output, "%s/state was damaged: this node has a new id now; nothing else is lost",
                    self->state.folder);
    else if (self->state.was_damaged)
        output_note(self->output, "%s/state was damaged and has been written anew; the node id is the same",
                    self->state.folder);
    return true;
}

static bool broker_is_on_this_machine(void)
{
    struct address_list list;
    if (endpoint_resolve(&settings.broker, RESOLVE_MS, &list))
        return false; /* not known now; others may reach it */
    return host_is_loopback(&list.entries[0].host);
}

static void choose_bind(struct node *self)
{
    if (settings.bind) {
        self->is_bound_to_one = host_parse(text_of(settings.bind), &self->bound);
        static const struct host any;
        static const struct host any_v4 = {{[10] = 0xff, [11] = 0xff}};
        if (host_equal(&self->bound, &any) || host_equal(&self->bound, &any_v4))
            self->is_bound_to_one = false;
        if (!settings.has_no_broker && broker_is_on_this_machine() && !host_is_loopback(&self->bound))
            output_note(self->output, "the broker sees this node at 127.0.0.1 and tells others so: "
                                      "give --broker this machine's address on the network");
    } else if (!settings.has_no_broker && broker_is_on_this_machine()) {
        self->is_bound_to_one = host_parse(text_of("127.0.0.1"), &self->bound);
        output_note(self->output, "the broker is on this machine, so only this machine can reach this node; "
                                  "--broker with its address on the network changes that");
    }
}

static bool is_reachable(const struct node *self)
{
    return !self->is_bound_to_one || !host_is_loopback(&self->bound);
}

static void tell_bind_failed(const struct node *self, uint16_t first, uint16_t last, int error)
{
    const char *where = settings.bind ? settings.bind : is_reachable(self) ? "all interfaces" : "127.0.0.1";
    if (error == EADDRINUSE && first == last)
        output_error(self->output,
                     "port %u is in use: stop the program that has it, or choose another --port", first);
    else if (error == EADDRINUSE)
        output_error(self->output, "all ports of %u-%u are in use: choose another range with --port", first,
                     last);
    else
        output_error(self->output, "cannot bind the data port on %s: %s; choose another --bind", where,
                     strerror(error));
}

/* Takes the port of the last start if it is one of [first, last] and free. False with errno. */
static bool bind_in(struct node *self, uint16_t first, uint16_t last)
{
    struct port_choice choice = {self->state.port, first, last};
    self->is_bound = node_address_bind(self->port, self->is_bound_to_one ? &self->bound : NULL, &choice,
                                       &self->state.port);
    return self->is_bound;
}

/* Some other program has the port, or may have it only as root: another port may do. */
static bool is_port_taken(int error)
{
    return error == EADDRINUSE || error == EACCES;
}

/* The port that the broker gave to an earlier start, if it is free. Else the broker is asked later. */
static bool bind_port_assigned_before(struct node *self)
{
    uint16_t before = self->state.port;
    if (settings.has_no_broker) {
        output_error(self->output, "--port broker needs a broker: leave --no-broker out, or name a port");
        return false;
    }
    if (!self->state.is_port_assigned || before == 0 || bind_in(self, before, before))
        return true;
    if (is_port_taken(errno)) {
        output_note(self->output, "port %u of the last start is in use: asking the broker for another",
                    before);
        return true;
    }
    tell_bind_failed(self, before, before, errno);
    return false;
}

static bool bind_port(struct node *self)
{
    choose_bind(self);
    self->port = data_port_new(self->loop, self->serving);
    if (!self->port) {
        output_error(self->output, "no socket: %s; raise the limit of open files with ulimit -n",
                     strerror(errno));
        return false;
    }
    if (settings.is_port_assigned)
        return bind_port_assigned_before(self);
    uint16_t before = self->state.port;
    if (!bind_in(self, settings.port_first, settings.port_last)) {
        tell_bind_failed(self, settings.port_first, settings.port_last, errno);
        return false;
    }
    bool was_wanted = before != 0 && before >= settings.port_first && before <= settings.port_last;
    if (was_wanted && before != self->state.port)
        output_note(self->output, "port %u of the last start is in use: taking %u", before, self->state.port);
    self->state.is_port_assigned = false;
    return true;
}

/* The name stays that of the first start, whatever the port is now. */
static void choose_name(struct node *self)
{
    char name[32];
    if (settings.name) {
        node_state_set(&self->state.name, settings.name);
    } else if (!self->state.name || strlen(self->state.name) > LABEL_SIZE_MAX ||
               !text_is_clean(text_of(self->state.name))) {
        snprintf(name, sizeof name, "User-%u", self->state.port);
        node_state_set(&self->state.name, name);
    }
}

static void choose_home(struct node *self)
{
    if (settings.home) {
        char *real = realpath(settings.home, NULL);
        node_state_set(&self->state.home, real ? real : settings.home);
        free(real);
    } else if (!self->state.home) {
        char *home = NULL;
        const char *user_home = getenv("HOME");
        if (asprintf(&home, "%s/Downloads/P2P/User-%u", user_home ? user_home : "", self->state.port) < 0)
            return;
        node_state_set(&self->state.home, home);
        free(home);
    }
}

static bool add_share(struct node *self, const char *path, bool is_flat)
{
    if (shares_add_folder(self->shares, path, is_flat))
        return true;
    if (errno == ENOSPC)
        output_error(self->output, "cannot share '%s': at most %d folders", path, SHARES_FOLDERS_MAX);
    else
        output_error(self->output, "cannot share '%s': %s; give a folder that you may read with --share",
                     path, strerror(errno));
    return false;
}

static bool add_home(struct node *self)
{
    choose_home(self);
    char *download = NULL;
    if (!self->state.home || asprintf(&download, "%s/Download", self->state.home) < 0)
        return false;
    bool is_made = folders_make(download, 0777);
    if (!is_made)
        output_error(self->output, "cannot make '%s': %s; choose another --home, or a --share", download,
                     strerror(errno));
    /* Beside a manifest, the home that nobody asked for only takes what is downloaded. */
    bool is_shared = settings.home || !settings.manifest;
    bool is_added =
        is_made &&
        (!is_shared || (add_share(self, self->state.home, true) && add_share(self, download, false)));
    free(download);
    return is_added;
}

static bool add_manifest(struct node *self)
{
    int error = settings.manifest ? shares_add_manifest(self->shares, settings.manifest) : 0;
    if (error)
        output_error(self->output, "cannot read the manifest '%s': %s; give a text file with --manifest",
                     settings.manifest, error == EINVAL ? "it is no regular file" : strerror(error));
    return !error;
}

static bool open_shares(struct node *self)
{
    if (!add_manifest(self))
        return false;
    for (size_t i = 0; i < settings.shares.count; i++) {
        if (!add_share(self, settings.shares.items[i], false))
            return false;
    }
    bool has_home = settings.shares.count == 0 || settings.home;
    return (!has_home || add_home(self)) && node_choose_folders(self);
}

static bool start_threads(struct node *self)
{
    self->loop = loop_new();
    self->serving = workers_new(SERVING_THREADS);
    self->hashing = workers_new(workers_default_count());
    self->fetching = workers_new(workers_default_count() + 1); /* one may be waiting for the disk */
    if (self->loop && self->serving && self->hashing && self->fetching)
        return true;
    output_error(self->output, "cannot start threads: %s; raise the limits with ulimit -u and -n",
                 strerror(errno));
    return false;
}

/* Running. */

static void print_ready(struct node *self, const struct host *host, uint16_t port)
{
    if (self->is_ready)
        return;
    self->is_ready = true;
    char endpoint[ENDPOINT_TEXT_SIZE], id[2 * sizeof self->state.id.bytes + 1];
    endpoint_format(host, port, endpoint);
    hex_format(self->state.id.bytes, sizeof self->state.id.bytes, id);
    output_line(self->output, "ready %s %s", endpoint, id);
    output_flush(self->output);
    console_open(self->console);
    sd_notifyf(0, "READY=1\nSTATUS=serving at %s", endpoint); /* to systemd, if it started us */
}

static void on_joined(void *owner, const struct host *host, uint16_t port)
{
    struct node *self = owner;
    char endpoint[ENDPOINT_FORMAT_SIZE];
    endpoint_show(&settings.broker, endpoint);
    output_note(self->output, "joined the broker %s", endpoint);
    self->joined_ms = clock_now_ms();
    self->seen_host = *host;
    print_ready(self, host, port);
    sd_notifyf(0, "STATUS=joined %s, serving at port %u", endpoint, port);
}

static void on_trouble(void *owner, const char *text)
{
    struct node *self = owner;
    output_note(self->output, "%s", text);
    console_open(self->console);
    char endpoint[ENDPOINT_FORMAT_SIZE];
    endpoint_show(&settings.broker, endpoint);
    sd_notifyf(0, "STATUS=without the broker %s, trying again", endpoint);
}

static void on_workers(void *owner)
{
    workers_collect(owner);
}

static uint64_t on_tick(void *owner, uint64_t now_ms)
{
    struct node *self = owner;
    uint64_t next_ms = shares_tick(self->shares, now_ms);
    char *line;
    while ((line = shares_take_message(self->shares))) {
        output_note(self->output, "%s", line);
        free(line);
    }
    return next_ms;
}

static uint32_t features(const struct node *self)
{
    return (is_reachable(self) ? FEATURE_REACHABLE : 0) |
           (settings.accepts_pushes ? FEATURE_ACCEPTS_PUSHES : 0);
}

static bool start_serving(struct node *self)
{
    struct peer_server_config config = {
        .node = self->state.id,
        .instance = self->instance,
        .node_name = text_of(self->state.name),
        .agent = text_of(NODE_AGENT),
        .features = features(self),
        .up_rate = settings.up_rate,
        .up_rate_each = settings.up_rate_each,
    };
    if (settings.is_lan_free)
        data_port_exempt_near(self->port);
    struct content_source shared = share_source(self->shares);
    self->partials = partials_new(self->holdings, self->port, &shared);
    struct content_source source = partials_source(self->partials);
    int watch_fd = shares_watch(self->shares);
    /* The order of tickers is that of their effects: what shares found out is told in the same round. */
    if ((watch_fd < 0 || loop_add_fd(self->loop, watch_fd, shares_on_watch, self->shares)) &&
        loop_add_fd(self->loop, workers_fd(self->serving), on_workers, self->serving) &&
        loop_add_fd(self->loop, workers_fd(self->hashing), on_workers, self->hashing) &&
        loop_add_fd(self->loop, workers_fd(self->fetching), on_workers, self->fetching) &&
        loop_add_ticker(self->loop, on_tick, self) &&
        data_port_start(self->port, &config, self->holdings, &source))
        return true;
    output_error(self->output, "cannot serve: %s", strerror(errno));
    return false;
}

/* Name and home are made of the port, and others reach us there. */
static bool start_at_port(struct node *self)
{
    choose_name(self);
    if (!open_shares(self))
        return false;
    shared_folders_open(self);
    if (!node_state_save(&self->state))
        output_note(self->output, "cannot write %s/state: %s; the next start may have another port",
                    self->state.folder, strerror(errno));
    return start_serving(self);
}

static void on_assigned(void *owner, uint16_t port)
{
    struct node *self = owner;
    if (bind_in(self, port, port)) {
        self->state.is_port_assigned = true;
        if (start_at_port(self) && node_start_downloads(self))
            broker_client_on_bound(self->broker, port, text_of(self->state.name));
        else
            loop_stop(self->loop);
    } else if (is_port_taken(errno)) {
        if (!self->is_trouble_with_port_told)
            output_note(self->output, "port %u, assigned by the broker, is in use here: asking for another",
                        port);
        self->is_trouble_with_port_told = true;
        broker_client_on_bound(self->broker, 0, text_of(""));
    } else {
        tell_bind_failed(self, port, port, errno);
        loop_stop(self->loop);
    }
}

static bool start_joining(struct node *self)
{
    if (settings.has_no_broker) {
        struct host host = self->is_bound_to_one ? self->bound : node_address_of_machine();
        print_ready(self, &host, self->state.port);
        return true;
    }
    struct broker_client_config config = {
        .broker_host = settings.broker.host,
        .broker_port = settings.broker.port,
        .link = {.node = self->state.id,
                 .boot = random_u64(),
                 .port = self->is_bound ? self->state.port : 0,
                 .node_name = text_of(self->state.name ? self->state.name : ""),
                 .agent = text_of(NODE_AGENT),
                 .features = features(self)},
    };
    struct broker_client_events events = {
        .owner = self, .joined = on_joined, .trouble = on_trouble, .assigned = on_assigned};
    self->broker = broker_client_new(self->loop, self->hashing, &config, self->holdings, &events);
    if (self->broker)
        return true;
    output_error(self->output, "no socket to the broker: %s; raise the limit of open files with ulimit -n",
                 strerror(errno));
    return false;
}

bool node_start(struct node *self)
{
    self->instance = random_u64();
    if (!open_state(self) || !start_threads(self) || !bind_port(self))
        return false;
    char *cache = node_state_path(&self->state, "hashes.sqlite");
    self->shares = shares_new(self->hashing, cache);
    free(cache);
    self->holdings = holdings_new(shares_index(self->shares));
    if ((self->is_bound && !start_at_port(self)) || !start_joining(self))
        return false;
    if (self->is_bound && !node_start_downloads(self))
        return false;
    self->console = console_new(self);
    if (self->is_ready)
        console_open(self->console);
    return true;
}

/* End. */

static void end_at_once(int number)
{
    (void)number;
    _exit(EXIT_DONE); /* a disk hangs; what was told to be done had been written before that was told */
}

void node_stop(struct node *self)
{
    console_destroy(&self->console);
    signal(SIGALRM, end_at_once);
    alarm(END_SECONDS);
    sd_notify(0, "STOPPING=1");
    if (self->offers)
        downloads_offers_stop(self->offers);
    if (self->downloads)
        downloads_stop(self->downloads);
    if (self->broker)
        broker_client_stop(self->broker);
    if (self->port)
        data_port_stop(self->port);
    workers_destroy(&self->serving);
    workers_destroy(&self->hashing);
    workers_destroy(&self->fetching);
    node_release_downloads(self);
    broker_client_destroy(&self->broker);
    data_port_destroy(&self->port);
    partials_destroy(&self->partials);
    holdings_destroy(&self->holdings);
    shares_destroy(&self->shares);
    loop_destroy(&self->loop);
    node_state_release(&self->state);
}
