/* SPDX-License-Identifier: MIT */
#include "tests/sim/swarm_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void server_init(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    server->script = self->script.sources[source];
    chunk_map_init(&server->chunks, self->content.layout.chunk_count);
    for (uint32_t i = 0; i < server->chunks.count && !server->script.download; i++) {
        if (!server->script.is_partial || random_permille(&self->random, server->script.have_permille))
            chunk_map_set(&server->chunks, i);
    }
    if (server->script.is_node)
        node_server_start(self, source);
    if (server->script.growth_ms > 0)
        swarm_push(self, &(struct event){.kind = EVENT_GROWTH,
                                         .source = source,
                                         .at_us = self->now_us + server->script.growth_ms * 1000});
}

void server_release(struct server *self)
{
    node_server_stop(self);
    chunk_map_release(&self->chunks);
    free(self->replies);
}

bool server_is_frozen(const struct swarm *self, uint32_t source)
{
    return swarm_now_ms(self) >= self->servers[source].script.frozen_at_ms;
}

bool server_is_away(const struct swarm *self, uint32_t source)
{
    return self->now_us < self->servers[source].away_until_us;
}

static void send_error(struct swarm *self, const struct event *to, uint64_t rid, enum error_code code,
                       uint32_t retry_ms)
{
    struct message error = message_error(rid, code, "scripted", retry_ms);
    swarm_send(self, to->download, to->source, &error, 0, NO_CELL);
}

/* True when it was refused. */
static bool refuse_as_busy(struct swarm *self, const struct event *to, uint64_t rid)
{
    const struct source_script *script = &self->servers[to->source].script;
    if (!random_permille(&self->random, script->busy_permille))
        return false;
    send_error(self, to, rid, random_permille(&self->random, 500) ? ERROR_BUSY : ERROR_LIMIT,
               script->busy_ms);
    return true;
}

static void on_hello(struct swarm *self, const struct event *event, const struct message *message)
{
    struct message ok = {.kind = KIND_HELLO_OK, .rid = message->rid};
    ok.hello_ok = (struct message_hello_ok){.node = {{(uint8_t)(event->source + 1)}},
                                            .node_name = text_of("source"),
                                            .agent = text_of("sim"),
                                            .window_bytes = 16 << 20,
                                            .max_read = 1 << 20};
    swarm_send(self, event->download, event->source, &ok, 0, NO_CELL);
}

static void on_open(struct swarm *self, const struct event *event, const struct message *message)
{
    struct server *server = &self->servers[event->source];
    if (server->script.open_error) {
        send_error(self, event, message->rid, server->script.open_error, 0);
        return;
    }
    if (refuse_as_busy(self, event, message->rid))
        return;
    struct link *link = &self->clients[event->download].links[event->source];
    link->open_rid = message->rid;
    struct message ok = {.kind = KIND_OPEN_OK, .rid = message->rid};
    ok.open_ok.file = (struct file_entry){.id = self->content.id,
                                          .root = self->content.root,
                                          .size = self->content.layout.size,
                                          .name = text_of("file"),
                                          .have_permille = server->script.is_partial ? 1 : 1000};
    ok.open_ok.chunk_log2 =
        (uint8_t)(self->content.layout.chunk_log2 + (server->script.has_wrong_layout ? 1 : 0));
    ok.open_ok.have.is_present = server->script.is_partial || server->script.has_wrong_bitfield;
    ok.open_ok.have.blob = chunk_map_bits(&server->chunks);
    if (server->script.has_wrong_bitfield)
        ok.open_ok.have.blob.size--;
    swarm_send(self, event->download, event->source, &ok, 0, NO_CELL);
}

static void on_hashes(struct swarm *self, const struct event *event, const struct message *message)
{
    const struct message_hashes *ask = &message->hashes;
    if (refuse_as_busy(self, event, message->rid))
        return;
    struct hash *hashes = malloc(ask->count * sizeof *hashes);
    memcpy(hashes, self->content.layer + ask->first, ask->count * sizeof *hashes);
    if (self->servers[event->source].script.has_wrong_hashes)
        hashes[random_next(&self->random) % ask->count].bytes[5] ^= 1;
    struct message ok = {.kind = KIND_HASHES_OK, .rid = message->rid};
    ok.hashes_ok = (struct message_hashes_ok){
        ask->file, ask->first, {(const uint8_t *)hashes, ask->count * sizeof *hashes}};
    swarm_send(self, event->download, event->source, &ok, 0, NO_CELL);
    free(hashes);
}

/* As a node does: the oldest READ of another requester than the last one goes first. */
static void take_turns(struct server *server)
{
    for (size_t i = 0; i < server->reply_count; i++) {
        struct reply reply = server->replies[i];
        if (reply.download == server->last_download)
            continue;
        memmove(&server->replies[1], server->replies, i * sizeof *server->replies);
        server->replies[0] = reply;
        break;
    }
    server->last_download = server->replies[0].download;
}

static void send_next(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    if (server->is_sending || server->reply_count == 0 || server_is_frozen(self, source))
        return;
    server->is_sending = true;
    take_turns(server);
    uint64_t length = server->replies[0].length;
    swarm_push(self, &(struct event){.kind = EVENT_SENT,
                                     .source = source,
                                     .at_us = self->now_us + length * 1000000 / server->script.rate + 1});
}

static bool holds(const struct swarm *self, const struct server *server, const struct message_range *range)
{
    unsigned log2 = self->content.layout.chunk_log2;
    for (uint64_t chunk = range->offset >> log2; chunk <= (range->offset + range->length - 1) >> log2;
         chunk++) {
        if (!chunk_map_has(&server->chunks, (uint32_t)chunk))
            return false;
    }
    return true;
}

static void on_read(struct swarm *self, const struct event *event, const struct message *message)
{
    struct server *server = &self->servers[event->source];
    const struct source_script *script = &server->script;
    const struct message_range *range = &message->read;
    if (script->read_error) {
        send_error(self, event, message->rid, script->read_error, 0);
        return;
    }
    if (refuse_as_busy(self, event, message->rid))
        return;
    if (script->is_partial && random_permille(&self->random, script->chunk_loss_permille))
        chunk_map_clear(&server->chunks, (uint32_t)(range->offset >> self->content.layout.chunk_log2));
    if (!holds(self, server, range)) {
        send_error(self, event, message->rid, ERROR_BAD_RANGE, 0);
        return;
    }
    if (server->reply_count == server->reply_capacity) {
        server->reply_capacity = server->reply_capacity ? server->reply_capacity * 2 : 64;
        server->replies = realloc(server->replies, server->reply_capacity * sizeof *server->replies);
        assert(server->replies);
    }
    struct reply reply = {event->download, event->generation, message->rid,
                          range->offset,   range->length,     NO_CELL};
    uint32_t cell_count = (range->length + CELL_SIZE - 1) >> CELL_LOG2;
    if (random_permille(&self->random, script->wrong_bytes_permille))
        reply.wrong_cell =
            (uint32_t)(range->offset >> CELL_LOG2) + (uint32_t)(random_next(&self->random) % cell_count);
    server->replies[server->reply_count++] = reply;
    send_next(self, event->source);
}

static void remove_reply(struct server *server, size_t index)
{
    memmove(&server->replies[index], &server->replies[index + 1],
            (server->reply_count - index - 1) * sizeof *server->replies);
    server->reply_count--;
}

/* What is being sent cannot be taken back. */
static size_t first_unsent(const struct server *server)
{
    return server->is_sending ? 1 : 0;
}

static void on_cancel(struct server *server, const struct event *event, uint64_t rid)
{
    for (size_t i = first_unsent(server); i < server->reply_count; i++) {
        if (server->replies[i].rid == rid && server->replies[i].download == event->download) {
            remove_reply(server, i);
            return;
        }
    }
}

void server_on_message(struct swarm *self, const struct event *event)
{
    const struct link *link = &self->clients[event->download].links[event->source];
    if (event->generation != link->generation || !link->is_up || server_is_frozen(self, event->source))
        return;
    if (self->servers[event->source].node) {
        node_server_on_message(self, event);
        return;
    }
    struct envelope envelope;
    struct message message;
    enum envelope_result result = envelope_open(&envelope, event->bytes, event->size, RECEIVER_SERVER, 1);
    if (result != ENVELOPE_OK || !message_read(&envelope, &message))
        check_broken(self, "a message that a source cannot read");
    else if (message.kind == KIND_HELLO)
        on_hello(self, event, &message);
    else if (message.kind == KIND_OPEN)
        on_open(self, event, &message);
    else if (message.kind == KIND_HASHES)
        on_hashes(self, event, &message);
    else if (message.kind == KIND_READ)
        on_read(self, event, &message);
    else if (message.kind == KIND_CANCEL)
        on_cancel(&self->servers[event->source], event, message.cancel.read_rid);
    envelope_close(&envelope);
}

void server_on_sent(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    if (server_is_frozen(self, source))
        return;
    server->is_sending = false;
    struct reply reply = server->replies[0];
    remove_reply(server, 0);
    if (reply.generation == self->clients[reply.download].links[source].generation) {
        struct message data = {.kind = KIND_DATA, .rid = reply.rid};
        data.data = (struct message_range){self->content.id, reply.offset, reply.length};
        if (random_permille(&self->random, server->script.wrong_range_permille))
            data.data.offset ^= CELL_SIZE;
        swarm_send(self, reply.download, source, &data, reply.length, reply.wrong_cell);
    }
    send_next(self, source);
}

void server_on_growth(struct swarm *self, uint32_t source)
{
    struct server *server = &self->servers[source];
    uint32_t count = server->chunks.count;
    if (count == 0 || chunk_map_is_full(&server->chunks))
        return;
    uint32_t chunk = (uint32_t)(random_next(&self->random) % count);
    while (!chunk_map_set(&server->chunks, chunk))
        chunk = (chunk + 1) % count;
    if (server->node)
        node_server_on_growth(self, source, chunk);
    bool is_told = !server->node && !server_is_frozen(self, source);
    for (uint32_t i = 0; i < self->script.download_count && is_told; i++) {
        const struct link *link = &self->clients[i].links[source];
        if (!link->is_up || !link->is_open)
            continue;
        struct chunk_range range = {chunk, 1};
        struct message have = {.kind = KIND_HAVE, .rid = link->open_rid};
        have.have = (struct message_have){self->content.id, &range, 1};
        swarm_send(self, i, source, &have, 0, NO_CELL);
    }
    swarm_push(self, &(struct event){.kind = EVENT_GROWTH,
                                     .source = source,
                                     .at_us = self->now_us + server->script.growth_ms * 1000});
}

void server_on_lost(struct swarm *self, uint32_t download, uint32_t source)
{
    struct server *server = &self->servers[source];
    if (server->node && !server_is_frozen(self, source))
        node_server_on_lost(self, download, source);
    for (size_t i = server->reply_count; i-- > first_unsent(server);) {
        if (server->replies[i].download == download)
            remove_reply(server, i);
    }
}
