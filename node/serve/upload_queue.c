/* SPDX-License-Identifier: MIT */
#include "node/serve/upload_queue.h"

#include "messages/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* What a turn adds: a full READ, so that every turn serves something. */
#define QUANTUM_BYTES UPLOAD_READ_BYTES_MAX

/* What the smallest reply counts for: a page. Replies of one byte cost a disk read each. */
#define COST_BYTES_MIN 4096

struct requester;

struct item {
    struct upload upload;
    struct requester *requester;
    char *prefix;
    bool is_answered; /* or cancelled: nothing may be sent any more */
    bool is_sent;     /* with the socket */
    struct item *prev, *next;
    UT_hash_handle hh; /* by ticket, once in hand */
};

struct requester {
    uint32_t route;
    int connection;
    bool is_in_ring, is_exempt;
    bool is_dropped; /* its owner may not come back */
    struct rate_limit rate;
    struct item *queued; /* oldest first */
    size_t queued_count, list_count, in_hand_count, sent_count;
    uint64_t took_at_ms; /* when the socket last took something of it, or was given the first */
    uint64_t in_hand_bytes, unanswered_bytes, deficit_bytes;
    struct requester *prev, *next; /* in the ring */
    UT_hash_handle hh;             /* by route */
};

struct upload_queue {
    struct requester *requesters;
    struct requester
        *ring; /* those who may start an upload as far as their own limits go; first has the turn */
    struct item *in_hand;
    uint64_t in_hand_bytes, last_ticket;
    size_t queued_count;
    struct rate_limit rate; /* of all */
    uint64_t each_rate;
    bool is_held; /* somebody waited for a rate when upload_queue_next() looked last */
};

uint32_t upload_buffer_bytes(uint32_t reply_bytes)
{
    assert(reply_bytes <= UPLOAD_READ_BYTES_MAX);
    if (reply_bytes <= 64u << 10)
        return 64u << 10;
    return reply_bytes <= 256u << 10 ? 256u << 10 : UPLOAD_READ_BYTES_MAX;
}

static uint64_t cost(const struct item *item)
{
    return item->upload.reply_bytes < COST_BYTES_MIN ? COST_BYTES_MIN : item->upload.reply_bytes;
}

static void free_item(struct item *item)
{
    free(item->prefix);
    free(item);
}

static struct requester *find_requester(const struct upload_queue *self, uint32_t route)
{
    struct requester *found;
    HASH_FIND(hh, self->requesters, &route, sizeof route, found);
    return found;
}

/* Puts a requester into the ring or takes it out, after anything of it changed. */
static void refresh_ring(struct upload_queue *self, struct requester *r)
{
    bool may_start = r->queued && r->in_hand_bytes + upload_buffer_bytes(r->queued->upload.reply_bytes) <=
                                      UPLOAD_REQUESTER_IN_HAND_BYTES_MAX;
    if (may_start && !r->is_in_ring)
        DL_APPEND(self->ring, r);
    else if (!may_start && r->is_in_ring)
        DL_DELETE(self->ring, r);
    r->is_in_ring = may_start;
    if (!r->queued)
        r->deficit_bytes = 0; /* an empty queue saves nothing up */
}

/* Forgets a requester that waits for nothing; one that has a rate only when it is gone, or it would begin
 * anew with a full bucket after each reply. */
static void free_requester_if_done(struct upload_queue *self, struct requester *r)
{
    if (r->queued || r->in_hand_count > 0 || (r->rate.rate > 0 && !r->is_dropped))
        return;
    assert(!r->is_in_ring);
    HASH_DEL(self->requesters, r);
    free(r);
}

static void unqueue(struct upload_queue *self, struct item *item)
{
    struct requester *r = item->requester;
    DL_DELETE(r->queued, item);
    r->queued_count--;
    self->queued_count--;
    if (item->upload.kind == UPLOAD_LIST)
        r->list_count--;
}

static void mark_answered(struct item *item)
{
    if (item->is_answered)
        return;
    item->is_answered = true;
    if (item->upload.kind == UPLOAD_READ)
        item->requester->unanswered_bytes -= item->upload.reply_bytes;
}

void upload_queue_set_rates(struct upload_queue *self, uint64_t all, uint64_t each, uint64_t now_ms)
{
    rate_limit_set(&self->rate, all, now_ms);
    self->each_rate = each;
    for (struct requester *r = self->requesters; r; r = r->hh.next)
        rate_limit_set(&r->rate, each, now_ms);
}

struct upload_queue *upload_queue_new(void)
{
    struct upload_queue *self = calloc(1, sizeof *self);
    assert(self);
    return self;
}

void upload_queue_destroy(struct upload_queue **self_p)
{
    struct upload_queue *self = *self_p;
    if (!self)
        return;
    struct requester *r, *next_requester;
    HASH_ITER(hh, self->requesters, r, next_requester)
    {
        upload_queue_drop(self, r->route);
    }
    struct item *item, *next_item;
    HASH_ITER(hh, self->in_hand, item, next_item)
    {
        upload_queue_finish(self, item->upload.ticket, 0);
    }
    free(self);
    *self_p = NULL;
}

static enum upload_put_result admit(const struct upload_queue *self, const struct requester *r,
                                    const struct upload *request)
{
    size_t waiting = r ? r->queued_count : 0;
    if (request->kind == UPLOAD_READ && r && request->reply_bytes > UPLOAD_WINDOW_BYTES - r->unanswered_bytes)
        return UPLOAD_OVER_WINDOW;
    if (waiting >= UPLOAD_REQUESTER_COUNT_MAX)
        return UPLOAD_TOO_MANY;
    if (request->kind == UPLOAD_LIST && r && r->list_count >= UPLOAD_REQUESTER_LISTS_MAX)
        return UPLOAD_TOO_MANY;
    if (self->queued_count >= UPLOAD_COUNT_MAX && waiting >= UPLOAD_REQUESTER_RESERVE)
        return UPLOAD_BUSY;
    return UPLOAD_QUEUED;
}

enum upload_put_result upload_queue_put(struct upload_queue *self, const struct upload *request)
{
    assert(request->reply_bytes > 0);
    assert(request->reply_bytes <= UPLOAD_READ_BYTES_MAX);
    struct requester *r = find_requester(self, request->route);
    enum upload_put_result result = admit(self, r, request);
    if (result != UPLOAD_QUEUED)
        return result;
    if (!r) {
        r = calloc(1, sizeof *r);
        assert(r);
        r->route = request->route;
        rate_limit_init(&r->rate, self->each_rate, 0);
        HASH_ADD(hh, self->requesters, route, sizeof r->route, r);
    }
    r->connection = request->connection;
    r->is_exempt = request->is_exempt;
    r->is_dropped = false;
    struct item *item = calloc(1, sizeof *item);
    assert(item);
    item->upload = *request;
    item->requester = r;
    if (request->kind == UPLOAD_LIST) {
        item->prefix = text_copy(request->prefix);
        item->upload.prefix.bytes = item->prefix;
        r->list_count++;
    } else if (request->kind == UPLOAD_READ) {
        r->unanswered_bytes += request->reply_bytes;
    }
    DL_APPEND(r->queued, item);
    r->queued_count++;
    self->queued_count++;
    refresh_ring(self, r);
    return UPLOAD_QUEUED;
}

static void to_end_of_ring(struct upload_queue *self, struct requester *r)
{
    DL_DELETE(self->ring, r);
    DL_APPEND(self->ring, r);
}

static void pay(struct upload_queue *self, struct requester *r, uint64_t bytes)
{
    if (r->is_exempt)
        return;
    rate_limit_spend(&self->rate, bytes);
    rate_limit_spend(&r->rate, bytes);
}

static struct upload *take(struct upload_queue *self, struct requester *r, uint32_t buffer_bytes)
{
    struct item *item = r->queued;
    r->deficit_bytes -= cost(item);
    unqueue(self, item);
    item->upload.ticket = ++self->last_ticket;
    HASH_ADD(hh, self->in_hand, upload.ticket, sizeof item->upload.ticket, item);
    r->in_hand_count++;
    r->in_hand_bytes += buffer_bytes;
    self->in_hand_bytes += buffer_bytes;
    if (item->upload.kind != UPLOAD_LIST)
        pay(self, r, item->upload.reply_bytes);
    refresh_ring(self, r);
    return &item->upload;
}

void upload_queue_pay(struct upload_queue *self, const struct upload *upload, uint64_t bytes)
{
    struct requester *r = find_requester(self, upload->route);
    if (r)
        pay(self, r, bytes);
}

static bool may_be_paid(struct upload_queue *self, struct requester *r, uint64_t now_ms)
{
    return r->is_exempt || (rate_limit_allows(&self->rate, now_ms) && rate_limit_allows(&r->rate, now_ms));
}

struct upload *upload_queue_next(struct upload_queue *self, uint64_t now_ms)
{
    const struct requester *first_refused = NULL;
    self->is_held = false;
    while (self->ring && self->ring != first_refused) {
        struct requester *r = self->ring;
        if (!may_be_paid(self, r, now_ms)) {
            self->is_held = true;
            first_refused = first_refused ? first_refused : r;
            to_end_of_ring(self, r);
            continue;
        }
        if (r->deficit_bytes < cost(r->queued)) {
            r->deficit_bytes += QUANTUM_BYTES;
            to_end_of_ring(self, r);
            first_refused = NULL; /* one more round: this one may start something now */
            continue;
        }
        uint64_t free_bytes = UPLOAD_IN_HAND_BYTES_MAX - self->in_hand_bytes;
        uint32_t buffer_bytes = upload_buffer_bytes(r->queued->upload.reply_bytes);
        if (r->in_hand_bytes + buffer_bytes <= free_bytes)
            return take(self, r, buffer_bytes);
        if (r->in_hand_bytes == 0)
            return NULL; /* it keeps its turn: small replies must not overtake a large one for ever */
        /* It holds more than is left: what is left is for those who hold less. */
        first_refused = first_refused ? first_refused : r;
        to_end_of_ring(self, r);
    }
    return NULL;
}

bool upload_queue_is_held(const struct upload_queue *self)
{
    return self->is_held;
}

uint64_t upload_queue_ready_ms(const struct upload_queue *self)
{
    uint64_t soonest_ms = UINT64_MAX, all_ms = rate_limit_ready_ms(&self->rate);
    const struct requester *r;
    DL_FOREACH(self->ring, r)
    {
        uint64_t own_ms = rate_limit_ready_ms(&r->rate);
        uint64_t ready_ms = r->is_exempt ? 0 : own_ms > all_ms ? own_ms : all_ms;
        if (ready_ms < soonest_ms)
            soonest_ms = ready_ms;
    }
    return soonest_ms;
}

static uint64_t rate_wait_ms(const struct rate_limit *rate, uint64_t bytes, uint64_t now_ms)
{
    if (rate->rate == 0)
        return 0;
    uint64_t ready_ms = rate_limit_ready_ms(rate);
    return (ready_ms > now_ms ? ready_ms - now_ms : 0) + bytes * 1000 / rate->rate;
}

uint64_t upload_queue_wait_ms(const struct upload_queue *self, uint32_t route, uint64_t now_ms)
{
    const struct requester *r = find_requester(self, route);
    if (!r || r->is_exempt)
        return 0;
    uint64_t all_ms = rate_wait_ms(&self->rate, r->unanswered_bytes, now_ms);
    uint64_t own_ms = rate_wait_ms(&r->rate, r->unanswered_bytes, now_ms);
    return all_ms > own_ms ? all_ms : own_ms;
}

static struct item *find_item(const struct upload_queue *self, uint64_t ticket)
{
    struct item *item;
    HASH_FIND(hh, self->in_hand, &ticket, sizeof ticket, item);
    return item;
}

const struct upload *upload_queue_find(const struct upload_queue *self, uint64_t ticket)
{
    const struct item *item = find_item(self, ticket);
    return item ? &item->upload : NULL;
}

bool upload_queue_is_wanted(const struct upload_queue *self, uint64_t ticket)
{
    const struct item *item = find_item(self, ticket);
    return item && !item->is_answered;
}

void upload_queue_answer(struct upload_queue *self, uint64_t ticket, uint64_t now_ms)
{
    struct item *item = find_item(self, ticket);
    if (!item || item->is_sent)
        return;
    mark_answered(item);
    item->is_sent = true;
    if (item->requester->sent_count++ == 0)
        item->requester->took_at_ms = now_ms;
}

void upload_queue_finish(struct upload_queue *self, uint64_t ticket, uint64_t now_ms)
{
    struct item *item = find_item(self, ticket);
    if (!item)
        return;
    struct requester *r = item->requester;
    uint32_t buffer_bytes = upload_buffer_bytes(item->upload.reply_bytes);
    mark_answered(item);
    if (item->is_sent) {
        r->sent_count--;
        r->took_at_ms = now_ms;
    }
    HASH_DEL(self->in_hand, item);
    r->in_hand_count--;
    r->in_hand_bytes -= buffer_bytes;
    self->in_hand_bytes -= buffer_bytes;
    free_item(item);
    refresh_ring(self, r);
    free_requester_if_done(self, r);
}

void upload_queue_cancel(struct upload_queue *self, uint32_t route, uint64_t rid)
{
    struct requester *r = find_requester(self, route);
    if (!r)
        return;
    struct item *item, *next;
    DL_FOREACH_SAFE(r->queued, item, next)
    {
        if (item->upload.rid != rid)
            continue;
        mark_answered(item);
        unqueue(self, item);
        free_item(item);
    }
    /* In hand are at most 4 MiB / 64 KiB of this requester; all together at most 512. */
    HASH_ITER(hh, self->in_hand, item, next)
    {
        if (item->requester == r && item->upload.rid == rid)
            mark_answered(item);
    }
    refresh_ring(self, r);
    free_requester_if_done(self, r);
}

void upload_queue_drop(struct upload_queue *self, uint32_t route)
{
    struct requester *r = find_requester(self, route);
    if (!r)
        return;
    r->is_dropped = true;
    struct item *item, *next;
    DL_FOREACH_SAFE(r->queued, item, next)
    {
        mark_answered(item);
        unqueue(self, item);
        free_item(item);
    }
    HASH_ITER(hh, self->in_hand, item, next)
    {
        if (item->requester == r)
            mark_answered(item);
    }
    refresh_ring(self, r);
    free_requester_if_done(self, r);
}

static bool someone_starves(const struct upload_queue *self, uint64_t now_ms)
{
    const struct requester *r;
    DL_FOREACH(self->ring, r)
    {
        bool is_held_by_rate = !r->is_exempt && (rate_limit_ready_ms(&r->rate) > now_ms ||
                                                 rate_limit_ready_ms(&self->rate) > now_ms);
        if (r->in_hand_bytes == 0 && !is_held_by_rate)
            return true;
    }
    return false;
}

bool upload_queue_stalled(const struct upload_queue *self, uint64_t now_ms, uint32_t *ret_route,
                          int *ret_connection)
{
    if (!someone_starves(self, now_ms))
        return false;
    const struct requester *worst = NULL;
    for (const struct requester *r = self->requesters; r; r = r->hh.next) {
        if (r->sent_count > 0 && (!worst || r->took_at_ms < worst->took_at_ms))
            worst = r;
    }
    if (!worst || now_ms - worst->took_at_ms < UPLOAD_STALL_MS)
        return false;
    *ret_route = worst->route;
    *ret_connection = worst->connection;
    return true;
}

bool upload_queue_has(const struct upload_queue *self, uint32_t route)
{
    const struct requester *r = find_requester(self, route);
    return r && (r->queued || r->in_hand_count > 0);
}

bool upload_queue_is_empty(const struct upload_queue *self)
{
    return self->queued_count == 0 && !self->in_hand;
}

size_t upload_queue_in_hand_bytes(const struct upload_queue *self)
{
    return self->in_hand_bytes;
}
