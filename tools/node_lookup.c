/* SPDX-License-Identifier: MIT */
#include "tools/node_lookup.h"

#include "tools/link.h"

struct lookup {
    struct output *output;
    const char *name;
    struct node_place places[NODE_LOOKUP_MAX];
    size_t count;
};

static bool take(void *owner, const struct peer_entry *peer)
{
    struct lookup *self = owner;
    const struct source_entry *source = &peer->source;
    if (!text_equal(source->name, text_of(self->name)) || self->count == NODE_LOOKUP_MAX)
        return true;
    for (size_t i = 0; i < self->count; i++) {
        if (node_id_equal(&self->places[i].node, &source->node))
            return true; /* it moved from one page to the next */
    }
    self->places[self->count++] = (struct node_place){source->node, source->host, source->port};
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
    bool is_listed = link_open(&link, output, SOCKET_BROKER_CLIENT, broker, timeout_ms) &&
                     link_list_peers(&link, take, &self);
    link_close(&link);
    if (!is_listed) /* an unfinished list proves nothing */
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
