/* SPDX-License-Identifier: MIT */
#include "tools/node_lookup.h"

#include "messages/shell/loop.h"
#include "tools/link.h"

/* A page is at most 64 KiB. */
#define PAGE_PEERS 256

/* 60 000 nodes, more than any broker takes, each with all the tags it may have; one that pages for ever is
 * stopped here. */
#define PAGES_MAX 1200

struct lookup {
    struct output *output;
    const char *name;
    struct node_place places[NODE_LOOKUP_MAX];
    size_t count;
};

static void take(struct lookup *self, const struct peer_entry *peer)
{
    const struct source_entry *source = &peer->source;
    if (!text_equal(source->name, text_of(self->name)) || self->count == NODE_LOOKUP_MAX)
        return;
    for (size_t i = 0; i < self->count; i++) {
        if (node_id_equal(&self->places[i].node, &source->node))
            return; /* it moved from one page to the next */
    }
    self->places[self->count++] = (struct node_place){source->node, source->host, source->port};
}

/* False after an error: an unfinished list proves nothing. */
static bool read_pages(struct lookup *self, struct link *link)
{
    struct message request = {.kind = KIND_PEERS, .peers = {.limit = PAGE_PEERS}}, reply;
    do {
        request.rid++;
        link->start_ms = clock_now_ms();
        if (!link_ask(link, &request, KIND_PEERS_OK, &reply))
            return false;
        for (size_t i = 0; i < reply.peers_ok.count; i++)
            take(self, &reply.peers_ok.entries[i]);
        request.peers.cursor = reply.peers_ok.next_cursor;
        if (request.peers.cursor &&
            (reply.peers_ok.count + reply.dropped_count == 0 || request.rid == PAGES_MAX)) {
            output_error(self->output, "the broker pages without end: name the node with --to HOST:PORT");
            return false;
        }
    } while (request.peers.cursor);
    return true;
}

static void tell_several(const struct lookup *self)
{
    output_exit(self->output, EXIT_AMBIGUOUS);
    output_reason(self->output, "several nodes are called '%s': choose one with --to", self->name);
    for (size_t i = 0; i < self->count; i++) {
        const struct node_place *place = &self->places[i];
        char endpoint[ENDPOINT_TEXT_SIZE], id[ID_HEX_SIZE];
        endpoint_format(&place->host, place->port, endpoint);
        hex_format(place->node.bytes, sizeof place->node.bytes, id);
        output_note(self->output, "  %s  %s", endpoint, id);
        json_t *event = event_new("candidate");
        json_object_set_new(event, "node", json_hex(place->node.bytes, sizeof place->node.bytes));
        json_object_set_new(event, "host", json_host(&place->host));
        json_object_set_new(event, "port", json_integer(place->port));
        json_object_set_new(event, "node_name", json_text(text_of(self->name)));
        output_event(self->output, event);
    }
}

bool node_lookup(struct output *output, const struct endpoint *broker, uint64_t timeout_ms, const char *name,
                 struct node_place *ret_place)
{
    struct lookup self = {.output = output, .name = name};
    struct link link;
    bool is_listed =
        link_open(&link, output, SOCKET_BROKER_CLIENT, broker, timeout_ms) && read_pages(&self, &link);
    link_close(&link);
    if (!is_listed)
        return false;
    if (self.count == 1) {
        *ret_place = self.places[0];
        return true;
    }
    if (self.count > 1) {
        tell_several(&self);
    } else {
        output_exit(output, EXIT_NOT_FOUND);
        output_reason(output, "no node is called '%s': 'zpeers' lists the nodes", name);
    }
    return false;
}
