/* SPDX-License-Identifier: MIT */
#include "node/program/console_ask.h"

#include "messages/shell/loop.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* What fits one header; a page is at most 64 KiB anyway. */
#define PEERS_PAGE 256

/* A connection that was just lost may be back in a moment. */
#define ASK_AGAIN_MS 200

/* Searches. */

struct search_ask {
    struct broker_client *broker;
    struct search *search;
    uint64_t rid;        /* the broker client's; 0 while nothing is asked */
    uint64_t search_rid; /* the search's own for it */
    struct message pending;
    bool is_pending; /* could not be sent yet */
    uint64_t again_ms;
};

static void on_search_reply(void *owner, const struct message *reply)
{
    struct search_ask *self = owner;
    struct message message = *reply;
    message.rid = self->search_rid;
    if (reply->kind == KIND_SEARCH_DONE || reply->kind == KIND_ERROR)
        self->rid = 0;
    search_on_message(self->search, &message, clock_now_ms());
}

struct search_ask *search_ask_new(struct broker_client *broker, const struct search_terms *terms,
                                  uint64_t timeout_ms)
{
    struct search_ask *self = calloc(1, sizeof *self);
    assert(self);
    self->broker = broker;
    self->search = search_new(terms, 1, timeout_ms, clock_now_ms());
    return self;
}

void search_ask_destroy(struct search_ask **self_p)
{
    struct search_ask *self = *self_p;
    if (!self)
        return;
    broker_client_forget(self->broker, self->rid);
    search_destroy(&self->search);
    free(self);
    *self_p = NULL;
}

uint64_t search_ask_tick(struct search_ask *self, uint64_t now_ms)
{
    search_tick(self->search, now_ms);
    if (search_next_send(self->search, now_ms, &self->pending))
        self->is_pending = true;
    if (self->is_pending && now_ms >= self->again_ms) {
        broker_client_forget(self->broker, self->rid);
        self->search_rid = self->pending.rid;
        self->rid = broker_client_ask(self->broker, &self->pending, on_search_reply, self);
        self->is_pending = self->rid == 0;
        self->again_ms = now_ms + ASK_AGAIN_MS;
    }
    uint64_t next_ms = search_next_deadline_ms(self->search);
    return self->is_pending && self->again_ms < next_ms ? self->again_ms : next_ms;
}

struct search *search_ask_search(struct search_ask *self)
{
    return self->search;
}

struct search *search_ask_take(struct search_ask *self)
{
    struct search *search = self->search;
    broker_client_forget(self->broker, self->rid);
    self->rid = 0;
    self->search = NULL;
    return search;
}

/* Nodes. */

struct peers_ask {
    struct broker_client *broker;
    uint64_t rid, timeout_ms, give_up_ms;
    uint64_t cursor;
    bool is_over;
    struct listed_peer *peers;
    size_t count, capacity;
    char *problem;
};

static void end_peers(struct peers_ask *self, const char *problem)
{
    self->is_over = true;
    self->problem = problem ? text_copy(text_of(problem)) : NULL;
}

static void keep_peer(struct peers_ask *self, const struct peer_entry *entry)
{
    if (self->count == self->capacity) {
        self->capacity = self->capacity ? 2 * self->capacity : 64;
        self->peers = reallocarray(self->peers, self->capacity, sizeof *self->peers);
        assert(self->peers);
    }
    struct listed_peer *peer = &self->peers[self->count++];
    *peer = (struct listed_peer){entry->source, entry->files, entry->bytes};
    peer->source.name.bytes = text_copy(entry->source.name);
}

static void on_peers_reply(void *owner, const struct message *reply)
{
    struct peers_ask *self = owner;
    self->rid = 0;
    if (reply->kind == KIND_ERROR) {
        char problem[REASON_SIZE_MAX + 64];
        snprintf(problem, sizeof problem, "the broker refused: %s: %.*s", error_name(reply->error.code),
                 (int)reply->error.text.size, reply->error.text.bytes);
        end_peers(self, problem);
    } else if (reply->kind == KIND_PEERS_OK) {
        const struct message_peers_ok *page = &reply->peers_ok;
        for (size_t i = 0; i < page->count; i++)
            keep_peer(self, &page->entries[i]);
        bool is_empty = page->count + reply->dropped_count == 0;
        self->cursor = page->next_cursor;
        self->give_up_ms = clock_now_ms() + self->timeout_ms;
        if (self->cursor == 0)
            end_peers(self, NULL);
        else if (is_empty || self->count > PEERS_LISTED_MAX)
            end_peers(self, "the broker pages without end: what it listed may not be all");
    }
}

struct peers_ask *peers_ask_new(struct broker_client *broker, uint64_t timeout_ms)
{
    struct peers_ask *self = calloc(1, sizeof *self);
    assert(self);
    self->broker = broker;
    self->timeout_ms = timeout_ms;
    self->give_up_ms = clock_now_ms() + timeout_ms;
    return self;
}

void peers_ask_destroy(struct peers_ask **self_p)
{
    struct peers_ask *self = *self_p;
    if (!self)
        return;
    broker_client_forget(self->broker, self->rid);
    for (size_t i = 0; i < self->count; i++)
        free((void *)(uintptr_t)self->peers[i].source.name.bytes);
    free(self->peers);
    free(self->problem);
    free(self);
    *self_p = NULL;
}

uint64_t peers_ask_tick(struct peers_ask *self, uint64_t now_ms)
{
    if (!self->is_over && now_ms >= self->give_up_ms)
        end_peers(self, "the broker did not answer in time: 'tracker' tells more");
    if (self->is_over)
        return UINT64_MAX;
    if (self->rid == 0) {
        struct message request = {.kind = KIND_PEERS, .peers = {.cursor = self->cursor, .limit = PEERS_PAGE}};
        self->rid = broker_client_ask(self->broker, &request, on_peers_reply, self);
    }
    return self->rid == 0 && now_ms + ASK_AGAIN_MS < self->give_up_ms ? now_ms + ASK_AGAIN_MS
                                                                      : self->give_up_ms;
}

const char *peers_ask_problem(const struct peers_ask *self)
{
    return self->problem;
}

const struct listed_peer *peers_ask_peers(const struct peers_ask *self, size_t *ret_count)
{
    *ret_count = self->count;
    return self->peers;
}

struct listed_peer *peers_ask_take(struct peers_ask *self, size_t *ret_count)
{
    struct listed_peer *peers = self->peers;
    *ret_count = self->count;
    self->peers = NULL;
    self->count = 0;
    return peers;
}

/* The broker itself. */

struct status_ask {
    struct broker_client *broker;
    uint64_t rid, give_up_ms, asked_us, round_trip_us;
    bool is_over, is_answered;
    struct message_status_ok reply;
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_status_reply(void *owner, const struct message *reply)
{
    struct status_ask *self = owner;
    self->rid = 0;
    self->is_over = true;
    self->is_answered = reply->kind == KIND_STATUS_OK;
    self->round_trip_us = now_us() - self->asked_us;
    if (self->is_answered)
        self->reply = reply->status_ok;
    self->reply.agent = text_of("");
}

struct status_ask *status_ask_new(struct broker_client *broker, uint64_t timeout_ms)
{
    struct status_ask *self = calloc(1, sizeof *self);
    assert(self);
    self->broker = broker;
    self->give_up_ms = clock_now_ms() + timeout_ms;
    self->asked_us = now_us();
    struct message request = {.kind = KIND_STATUS};
    self->rid = broker_client_ask(broker, &request, on_status_reply, self);
    self->is_over = self->rid == 0;
    return self;
}

void status_ask_destroy(struct status_ask **self_p)
{
    if (!*self_p)
        return;
    broker_client_forget((*self_p)->broker, (*self_p)->rid);
    free(*self_p);
    *self_p = NULL;
}

uint64_t status_ask_tick(struct status_ask *self, uint64_t now_ms)
{
    if (now_ms >= self->give_up_ms)
        self->is_over = true;
    return self->is_over ? UINT64_MAX : self->give_up_ms;
}

bool status_ask_reply(const struct status_ask *self, struct message_status_ok *ret_reply,
                      uint64_t *ret_round_trip_us)
{
    if (!self->is_answered)
        return false;
    *ret_reply = self->reply;
    *ret_round_trip_us = self->round_trip_us;
    return true;
}
