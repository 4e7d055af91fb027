/* SPDX-License-Identifier: MIT */
#include "node/shell/swarm.h"

#include "node/shell/broker_client.h"
#include "node/shell/data_port.h"
#include "node/shell/node_address.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct swarm {
    struct loop *loop;
    struct workers *workers;
    struct swarm_config config;
    struct share_index *index; /* shares nothing: complete and empty */
    struct holdings *holdings;
    struct data_port *port; /* NULL when not serving */
    struct broker_client *broker;

    /* The download that is followed. */
    struct fetch *fetch;
    struct file_entry file;
    char id_text[ID_HEX_SIZE];
    uint64_t handle;
    bool is_held; /* among the holdings */
    uint64_t search_at_ms;
    uint64_t search_rid; /* of the search under way; 0 for none */
    uint64_t search_deadline_ms;
    void (*exhausted)(void *owner); /* NULL unless someone waits for the search */
    void *exhausted_owner;
};

/* Serving what the download has. */

static int open_partial(void *owner, struct content content, bool *ret_has_stamp,
                        struct file_stamp *ret_stamp)
{
    struct swarm *self = owner;
    (void)ret_stamp;
    *ret_has_stamp = false; /* it changes all the time, but never a verified chunk */
    return self->fetch && content.handle == self->handle ? fetch_reader(self->fetch) : -1;
}

static enum disk_result load_hashes(void *owner, struct content content, uint32_t first, uint32_t count,
                                    struct hash *ret_hashes)
{
    const struct swarm *self = owner;
    const struct hash *layer =
        self->fetch && content.handle == self->handle ? fetch_layer(self->fetch) : NULL;
    if (!layer)
        return DISK_FAILED;
    memcpy(ret_hashes, layer + first, count * sizeof *ret_hashes);
    return DISK_OK;
}

static void changed(void *owner, struct content content, const struct file_stamp *stamp)
{
    (void)owner; /* only said of files with a stamp */
    (void)content;
    (void)stamp;
}

static bool start_serving(struct swarm *self, uint16_t *ret_port)
{
    struct host loopback;
    bool is_parsed = host_parse(text_of("127.0.0.1"), &loopback);
    assert(is_parsed);
    const struct port_choice any = {0, 0, 0};
    struct peer_server_config config = {
        .node = self->config.node,
        .instance = self->config.instance,
        .node_name = text_of(self->config.node_name),
        .agent = text_of(self->config.agent),
        .features = self->config.is_local ? 0 : FEATURE_REACHABLE,
        .up_rate = self->config.up_rate,
    };
    struct content_source source = {
        .owner = self, .open = open_partial, .load_hashes = load_hashes, .changed = changed};
    self->port = data_port_new(self->loop, self->workers);
    return self->port &&
           node_address_bind(self->port, self->config.is_local ? &loopback : NULL, &any, ret_port) &&
           data_port_start(self->port, &config, self->holdings, &source);
}

static bool is_holdable(const struct swarm *self)
{
    const struct chunk_map *chunks = fetch_chunks(self->fetch);
    return self->port && !self->is_held && fetch_layer(self->fetch) && chunks->set_count > 0 &&
           !chunk_map_is_full(chunks);
}

static void hold(struct swarm *self)
{
    self->is_held = holdings_add_partial(self->holdings, self->handle, &self->file,
                                         chunk_map_bits(fetch_chunks(self->fetch)).bytes);
}

void swarm_saved(struct swarm *self, uint32_t chunk)
{
    if (!self->fetch)
        return;
    if (is_holdable(self)) {
        hold(self);
    } else if (self->is_held) {
        holdings_partial_verified(self->holdings, self->handle, chunk, 1);
        data_port_verified(self->port, self->handle, chunk, 1);
    }
}

/* Looking for sources. */

static void forget_search(struct swarm *self)
{
    if (self->broker)
        broker_client_forget(self->broker, self->search_rid);
    self->search_rid = 0;
    self->search_deadline_ms = UINT64_MAX;
}

static void end_search(struct swarm *self)
{
    forget_search(self);
    void (*exhausted)(void *owner) = self->exhausted;
    self->exhausted = NULL;
    bool is_starved = self->fetch && fetch_is_starved(self->fetch);
    if (is_starved)
        self->search_at_ms = clock_now_ms() + SWARM_SEARCH_STARVED_MS;
    if (exhausted && is_starved)
        exhausted(self->exhausted_owner);
}

static void on_found(struct swarm *self, const struct message *message)
{
    for (size_t i = 0; i < message->found.count; i++) {
        const struct found_entry *entry = &message->found.entries[i];
        if (!file_id_equal(&entry->file.id, &self->file.id))
            continue;
        for (size_t k = 0; k < entry->sources.count && self->fetch; k++) {
            const struct source_entry *source = &entry->sources.entries[k];
            struct optional_node_id node = {true, source->node};
            fetch_add_source(self->fetch, &node, &source->host, source->port);
        }
    }
}

static void on_reply(void *owner, const struct message *message)
{
    struct swarm *self = owner;
    if (message->kind == KIND_FOUND)
        on_found(self, message);
    else
        end_search(self);
}

static bool send_search(struct swarm *self, uint64_t now_ms)
{
    struct message search = {.kind = KIND_SEARCH};
    search.search.mode = MODE_ID;
    search.search.text = text_of(self->id_text);
    uint64_t rid = self->broker ? broker_client_ask(self->broker, &search, on_reply, self) : 0;
    if (rid == 0)
        return false;
    self->search_rid = rid;
    self->search_deadline_ms = now_ms + SWARM_SEARCH_WAIT_MS;
    self->search_at_ms = now_ms + SWARM_SEARCH_NEXT_MS;
    return true;
}

bool swarm_search_now(struct swarm *self, void (*exhausted)(void *owner), void *owner)
{
    if (self->exhausted || (self->search_rid == 0 && !send_search(self, clock_now_ms())))
        return false;
    self->exhausted = exhausted;
    self->exhausted_owner = owner;
    return true;
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct swarm *self = owner;
    if (!self->fetch)
        return UINT64_MAX;
    if (self->search_rid != 0 && now_ms >= self->search_deadline_ms)
        end_search(self);
    if (self->fetch && now_ms >= self->search_at_ms && self->search_rid == 0) {
        self->search_at_ms = now_ms + SWARM_SEARCH_NEXT_MS;
        send_search(self, now_ms);
    }
    return self->search_at_ms < self->search_deadline_ms ? self->search_at_ms : self->search_deadline_ms;
}

void swarm_follow(struct swarm *self, struct fetch *fetch, const struct file_entry *file)
{
    self->fetch = fetch;
    self->file = *file;
    self->file.have_permille = 0;
    hex_format(file->id.bytes, sizeof file->id.bytes, self->id_text);
    self->handle++;
    forget_search(self);
    self->search_at_ms = clock_now_ms() + SWARM_SEARCH_FIRST_MS;
    self->exhausted = NULL;
}

void swarm_unfollow(struct swarm *self)
{
    forget_search(self);
    if (self->is_held) {
        holdings_remove_partial(self->holdings, self->handle);
        data_port_forget(self->port, (struct content){.is_partial = true, .handle = self->handle});
    }
    self->is_held = false;
    self->fetch = NULL;
}

/* The broker says what it thinks of us to a node; a download goes on without it. */
static void on_trouble(void *owner, const char *text)
{
    (void)owner;
    (void)text;
}

static void on_joined(void *owner, const struct host *host, uint16_t port)
{
    (void)owner;
    (void)host;
    (void)port;
}

struct swarm *swarm_new(struct loop *loop, struct workers *workers, const struct swarm_config *config)
{
    struct swarm *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->workers = workers;
    self->config = *config;
    self->index = share_index_new();
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(self->index, &nothing);
    self->holdings = holdings_new(self->index);

    uint16_t port = 0;
    bool is_serving = config->is_serving && start_serving(self, &port);
    struct broker_client_config client = {
        .broker_host = config->broker_host,
        .broker_port = config->broker_port,
        .link = {.node = config->node,
                 .boot = random_u64(),
                 .port = port,
                 .node_name = text_of(config->node_name),
                 .agent = text_of(config->agent),
                 .features = config->is_local ? 0 : FEATURE_REACHABLE,
                 .is_only_asking = !is_serving},
    };
    struct broker_client_events events = {.owner = self, .joined = on_joined, .trouble = on_trouble};
    self->broker = broker_client_new(loop, workers, &client, self->holdings, &events);
    loop_add_ticker(loop, tick, self);
    return self;
}

void swarm_stop(struct swarm *self)
{
    swarm_unfollow(self);
    loop_remove_ticker(self->loop, self);
    if (self->broker)
        broker_client_stop(self->broker);
    if (self->port)
        data_port_stop(self->port);
}

void swarm_destroy(struct swarm **self_p)
{
    struct swarm *self = *self_p;
    if (!self)
        return;
    broker_client_destroy(&self->broker);
    data_port_destroy(&self->port);
    holdings_destroy(&self->holdings);
    share_index_destroy(&self->index);
    free(self);
    *self_p = NULL;
}
