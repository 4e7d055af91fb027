/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/source_search.h"

#include <assert.h>
#include <stdlib.h>

struct source_search {
    struct loop *loop;
    struct broker_client *broker;
    struct fetch *fetch;
    struct file_id id;
    char id_text[ID_HEX_SIZE];
    uint64_t at_ms;       /* of the next search */
    uint64_t rid;         /* of the one under way; 0 for none */
    uint64_t deadline_ms; /* of the one under way */
    unsigned starved_count;
    bool is_urgent;                 /* somebody waits for the search */
    void (*exhausted)(void *owner); /* NULL, or whom to tell */
    void *exhausted_owner;
};

static void forget(struct source_search *self)
{
    broker_client_forget(self->broker, self->rid);
    self->rid = 0;
    self->deadline_ms = UINT64_MAX;
}

static void end_search(struct source_search *self)
{
    forget(self);
    void (*exhausted)(void *owner) = self->exhausted;
    self->exhausted = NULL;
    self->is_urgent = false;
    bool is_starved = fetch_is_starved(self->fetch);
    self->starved_count = is_starved ? self->starved_count + 1 : 0;
    if (is_starved && self->starved_count <= SOURCE_SEARCH_STARVED_COUNT)
        self->at_ms = clock_now_ms() + SOURCE_SEARCH_STARVED_MS;
    if (exhausted && is_starved)
        exhausted(self->exhausted_owner);
}

static void add_sources(struct source_search *self, const struct found_entry *entry)
{
    for (size_t i = 0; i < entry->sources.count; i++) {
        const struct source_entry *source = &entry->sources.entries[i];
        struct optional_node_id node = {true, source->node};
        fetch_add_source(self->fetch, &node, &source->host, source->port);
    }
}

static void on_reply(void *owner, const struct message *reply)
{
    struct source_search *self = owner;
    if (reply->kind != KIND_FOUND) {
        end_search(self);
        return;
    }
    for (size_t i = 0; i < reply->found.count; i++) {
        if (file_id_equal(&reply->found.entries[i].file.id, &self->id))
            add_sources(self, &reply->found.entries[i]);
    }
}

static bool send_search(struct source_search *self, uint64_t now_ms)
{
    struct message search = {.kind = KIND_SEARCH};
    search.search.mode = MODE_ID;
    search.search.text = text_of(self->id_text);
    self->rid = broker_client_ask(self->broker, &search, on_reply, self);
    self->at_ms = now_ms + (self->rid != 0 ? SOURCE_SEARCH_NEXT_MS : SOURCE_SEARCH_STARVED_MS);
    if (self->rid == 0)
        return false;
    self->deadline_ms = now_ms + SOURCE_SEARCH_WAIT_MS;
    return true;
}

bool source_search_now(struct source_search *self, void (*exhausted)(void *owner), void *owner)
{
    if (self->is_urgent || (self->rid == 0 && !send_search(self, clock_now_ms())))
        return false;
    self->is_urgent = true;
    self->exhausted = exhausted;
    self->exhausted_owner = owner;
    return true;
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct source_search *self = owner;
    if (self->rid != 0 && now_ms >= self->deadline_ms)
        end_search(self);
    if (self->rid == 0 && now_ms >= self->at_ms)
        send_search(self, now_ms);
    return self->rid != 0 ? self->deadline_ms : self->at_ms;
}

struct source_search *source_search_new(struct loop *loop, struct broker_client *broker, struct fetch *fetch,
                                        const struct file_id *id)
{
    struct source_search *self = calloc(1, sizeof *self);
    assert(self);
    self->loop = loop;
    self->broker = broker;
    self->fetch = fetch;
    self->id = *id;
    hex_format(id->bytes, sizeof id->bytes, self->id_text);
    self->at_ms = clock_now_ms() + SOURCE_SEARCH_FIRST_MS;
    self->deadline_ms = UINT64_MAX;
    loop_add_ticker(loop, tick, self);
    return self;
}

void source_search_destroy(struct source_search **self_p)
{
    struct source_search *self = *self_p;
    if (!self)
        return;
    forget(self);
    loop_remove_ticker(self->loop, self);
    free(self);
    *self_p = NULL;
}
