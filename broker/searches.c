/* SPDX-License-Identifier: MIT */
#include "broker/searches.h"

#include "broker/bucket.h"
#include "broker/gathering.h"
#include "messages/match.h"
#include "messages/presence.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* What a search costs (docs/protocol.md, "Limits"). */
#define NODES_PER_TOKEN 64
#define FILES_PER_TOKEN 16

enum search_state {
    SEARCH_GATHERS,
    SEARCH_ENDS,   /* its counts are final; what was found is still being told */
    SEARCH_CLOSED, /* all was told */
};

struct search {
    uint64_t query_rid; /* ours */
    uint64_t rid;       /* the asker's */
    struct broker_peer asker;
    struct bucket *bucket;
    enum search_state state;
    uint64_t started_ms, deadline_ms, told_ms, give_up_ms;
    uint64_t *waiting; /* a bit a slot: asked, and neither answered nor gone */
    size_t waiting_words;
    uint32_t asked, positive, negative, skipped, silent, waiting_count;
    uint32_t elapsed_ms;
    uint64_t files_received;
    bool is_truncated;
    bool is_ready; /* in the list of those with something to tell now */
    struct gathering *gathering;
    struct search *prev, *next;
    struct search *ready_prev, *ready_next;
    UT_hash_handle hh;
};

struct searches {
    const struct registry *registry;
    enum presence_use use;
    struct buckets *buckets;
    struct search *by_rid;
    struct search *all, *ready;
    size_t closed_count;
    uint64_t begun_ms;
    size_t bytes; /* gathered, over all */
    uint64_t first_rid, next_rid;
    struct searches_figures figures;
};

struct searches *searches_new(const struct registry *registry, enum presence_use use, uint32_t rate,
                              uint32_t burst, uint64_t first_rid)
{
    struct searches *self = calloc(1, sizeof *self);
    assert(self);
    self->registry = registry;
    self->use = use;
    self->buckets = buckets_new(rate, burst);
    /* Never 0, which means no search, and with room to rise. */
    self->first_rid = self->next_rid = (first_rid >> 1) + 1;
    return self;
}

static void set_ready(struct searches *self, struct search *search)
{
    if (search->is_ready)
        return;
    search->is_ready = true;
    DL_APPEND2(self->ready, search, ready_prev, ready_next);
}

static void unset_ready(struct searches *self, struct search *search)
{
    if (!search->is_ready)
        return;
    search->is_ready = false;
    DL_DELETE2(self->ready, search, ready_prev, ready_next);
}

static void forget(struct searches *self, struct search *search)
{
    unset_ready(self, search);
    HASH_DEL(self->by_rid, search);
    DL_DELETE(self->all, search);
    search->bucket->running_count--;
    self->closed_count -= search->state == SEARCH_CLOSED;
    self->bytes -= gathering_bytes(search->gathering);
    gathering_destroy(&search->gathering);
    free(search->waiting);
    free(search);
}

void searches_destroy(struct searches **self_p)
{
    assert(self_p);
    struct searches *self = *self_p;
    if (!self)
        return;
    while (self->all)
        forget(self, self->all);
    buckets_destroy(&self->buckets);
    free(self);
    *self_p = NULL;
}

/* The counts are final from here on. */
static void end(struct searches *self, struct search *search, uint64_t now_ms)
{
    if (search->state != SEARCH_GATHERS)
        return;
    search->silent += search->waiting_count;
    search->waiting_count = 0;
    memset(search->waiting, 0, search->waiting_words * sizeof *search->waiting);
    search->elapsed_ms = (uint32_t)(now_ms - search->started_ms);
    search->give_up_ms = now_ms + SEARCH_GIVE_UP_MS;
    search->state = SEARCH_ENDS;
    set_ready(self, search);
}

/* When time alone makes it do something. */
static uint64_t due_ms(const struct search *search)
{
    switch (search->state) {
    case SEARCH_GATHERS:
        if (gathering_has_news(search->gathering) &&
            search->told_ms + SEARCH_FOUND_INTERVAL_MS < search->deadline_ms)
            return search->told_ms + SEARCH_FOUND_INTERVAL_MS;
        return search->deadline_ms;
    case SEARCH_ENDS:
        return search->told_ms + SEARCH_FOUND_INTERVAL_MS;
    case SEARCH_CLOSED:
        break;
    }
    return UINT64_MAX;
}

void searches_begin(struct searches *self, uint64_t now_ms)
{
    /* Nothing falls due twice in one millisecond, and answers come by the thousand. */
    if (now_ms == self->begun_ms && self->closed_count == 0)
        return;
    self->begun_ms = now_ms;
    struct search *search, *following;
    DL_FOREACH_SAFE(self->all, search, following)
    {
        if (search->state == SEARCH_CLOSED || (search->state == SEARCH_ENDS && now_ms >= search->give_up_ms))
            forget(self, search);
        else if (search->state == SEARCH_GATHERS && now_ms >= search->deadline_ms)
            end(self, search, search->deadline_ms);
        else if (now_ms >= due_ms(search))
            set_ready(self, search);
    }
}

static void send_done(struct search *search, struct effects *effects)
{
    struct message m = {.kind = KIND_SEARCH_DONE,
                        .rid = search->rid,
                        .search_done = {
                            .asked = search->asked,
                            .positive = search->positive,
                            .negative = search->negative,
                            .skipped = search->skipped,
                            .silent = search->silent,
                            .truncated = search->is_truncated || gathering_is_truncated(search->gathering),
                            .elapsed_ms = search->elapsed_ms,
                        }};
    effects_send(effects, search->asker.route, search->query_rid, &m);
}

void searches_pump(struct searches *self, uint64_t now_ms, struct effects *effects)
{
    while (self->ready && !effects_is_full(effects)) {
        struct search *search = self->ready;
        unset_ready(self, search);
        gathering_send(search->gathering, effects, search->asker.route, search->rid, search->query_rid,
                       SEARCH_FOUNDS_MAX);
        search->told_ms = now_ms;
        if (search->state != SEARCH_ENDS || gathering_has_news(search->gathering))
            continue;
        send_done(search, effects);
        search->state = SEARCH_CLOSED;
        self->closed_count++;
    }
}

uint64_t searches_next_deadline_ms(const struct searches *self)
{
    if (self->ready || self->closed_count > 0)
        return 0;
    uint64_t next_ms = UINT64_MAX;
    const struct search *search;
    DL_FOREACH(self->all, search)
    {
        uint64_t at_ms = due_ms(search);
        if (at_ms < next_ms)
            next_ms = at_ms;
    }
    return next_ms;
}

size_t searches_count(const struct searches *self)
{
    return HASH_COUNT(self->by_rid) - self->closed_count;
}

struct searches_figures searches_figures(const struct searches *self)
{
    return self->figures;
}

void searches_send_written(const struct searches *self, struct effects *effects)
{
    const struct search *search;
    DL_FOREACH(self->all, search)
    {
        if (!registry_by_route(self->registry, search->asker.route))
            effects_send_written(effects, search->asker.route, 0);
    }
}

static bool is_waiting(const struct search *search, uint32_t slot)
{
    return slot / 64 < search->waiting_words && (search->waiting[slot / 64] >> (slot % 64) & 1);
}

static void stop_waiting(struct searches *self, struct search *search, uint32_t slot, uint32_t *count,
                         uint64_t now_ms)
{
    search->waiting[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    search->waiting_count--;
    (*count)++;
    if (search->waiting_count == 0)
        end(self, search, now_ms);
}

static bool uses_filters(const struct searches *self, const struct message_search *search)
{
    if ((search->mode & MODE_ASK_ALL) || self->use == PRESENCE_OFF)
        return false;
    return self->use == PRESENCE_ON || registry_count(self->registry) >= PRESENCE_NODES_MIN;
}

/* Marks whom to ask; counts them and those that their filters rule out. */
static void choose_nodes(const struct searches *self, struct search *search,
                         const struct message_search *asked)
{
    struct presence_query *query = NULL;
    if (uses_filters(self, asked))
        query = presence_query_new(asked->mode, asked->text);
    for (size_t i = 0; i < registry_count(self->registry); i++) {
        const struct node *node = registry_at(self->registry, i);
        if (node->route == search->asker.route)
            continue;
        if (query && !presence_query_may_match(query, &node->presence)) {
            search->skipped++;
            continue;
        }
        search->waiting[node->slot / 64] |= UINT64_C(1) << (node->slot % 64);
        search->asked++;
    }
    search->waiting_count = search->asked;
    presence_query_destroy(&query);
}

static uint32_t query_limit(uint32_t limit, uint32_t asked)
{
    uint32_t share = QUERY_FILES_TARGET / asked;
    uint32_t most = limit < QUERY_LIMIT_MAX ? limit : QUERY_LIMIT_MAX;
    if (most > share)
        most = share;
    return most > QUERY_LIMIT_MIN ? most : QUERY_LIMIT_MIN;
}

static void send_queries(struct searches *self, const struct search *search,
                         const struct message_search *asked, uint32_t limit, struct effects *effects)
{
    struct message m = {.kind = KIND_QUERY,
                        .rid = search->query_rid,
                        .query = {
                            .mode = asked->mode & (uint8_t)~MODE_ASK_ALL,
                            .text = asked->text,
                            .min_size = asked->min_size,
                            .max_size = asked->max_size,
                            .limit = query_limit(limit, search->asked),
                            .deadline_ms = (uint32_t)(search->deadline_ms - search->started_ms),
                        }};
    effects_write(effects, &m);
    for (size_t i = 0; i < registry_count(self->registry); i++) {
        const struct node *node = registry_at(self->registry, i);
        if (is_waiting(search, node->slot))
            effects_send_written(effects, node->route, search->query_rid);
    }
    self->figures.queries += search->asked;
}

static bool is_valid(const struct message_search *search)
{
    struct matcher *matcher = matcher_new(search->mode, search->text, search->min_size, search->max_size);
    bool valid = matcher != NULL;
    matcher_destroy(&matcher);
    return valid;
}

/* NULL when its bucket does not allow what it would wake; the retry time is set then. */
static struct search *prepare(struct searches *self, const struct broker_peer *asker, struct bucket *bucket,
                              const struct message_search *asked, uint64_t now_ms, uint32_t *ret_retry_ms)
{
    uint64_t base = 1 + registry_count(self->registry) / NODES_PER_TOKEN;
    uint32_t wait_ms = buckets_wait_ms(self->buckets, bucket, base, now_ms);
    if (wait_ms > 0) {
        *ret_retry_ms = wait_ms;
        return NULL;
    }
    struct search *search = calloc(1, sizeof *search);
    assert(search);
    search->asker = *asker;
    search->waiting_words = registry_slots_end(self->registry) / 64 + 1;
    search->waiting = calloc(search->waiting_words, sizeof *search->waiting);
    assert(search->waiting);
    choose_nodes(self, search, asked);
    wait_ms = buckets_wait_ms(self->buckets, bucket, base + search->asked, now_ms);
    if (wait_ms > 0) {
        /* The filters were read for it, so that much is spent. */
        buckets_charge(self->buckets, bucket, base, now_ms);
        *ret_retry_ms = buckets_wait_ms(self->buckets, bucket, base + search->asked, now_ms);
        free(search->waiting);
        free(search);
        return NULL;
    }
    buckets_charge(self->buckets, bucket, base + search->asked, now_ms);
    return search;
}

static uint32_t clamp(uint32_t value, uint32_t when_zero, uint32_t most)
{
    if (value == 0)
        return when_zero;
    return value < most ? value : most;
}

void searches_on_search(struct searches *self, const struct broker_peer *asker, uint64_t rid,
                        const struct message_search *asked, uint64_t now_ms, struct effects *effects)
{
    if (!is_valid(asked)) {
        effects_send_error(effects, asker->route, rid, ERROR_BAD_MESSAGE, "unknown mode or bad id", 0);
        return;
    }
    if (HASH_COUNT(self->by_rid) >= SEARCHES_MAX) {
        effects_send_error(effects, asker->route, rid, ERROR_BUSY, "too many searches", SEARCH_RETRY_MS);
        return;
    }
    struct bucket *bucket = buckets_of(self->buckets, asker, now_ms);
    if (bucket->running_count >= SEARCHES_PER_CLIENT_MAX) {
        effects_send_error(effects, asker->route, rid, ERROR_LIMIT, "too many searches at once",
                           SEARCH_RETRY_MS);
        return;
    }
    uint32_t retry_ms = 0;
    struct search *search = prepare(self, asker, bucket, asked, now_ms, &retry_ms);
    if (!search) {
        effects_send_error(effects, asker->route, rid, ERROR_LIMIT, "too many searches", retry_ms);
        return;
    }
    uint32_t limit = clamp(asked->limit, SEARCH_LIMIT_DEFAULT, SEARCH_LIMIT_MAX);
    search->rid = rid;
    search->query_rid = self->next_rid++;
    search->bucket = bucket;
    bucket->running_count++;
    search->started_ms = search->told_ms = now_ms;
    search->deadline_ms =
        now_ms + clamp(asked->deadline_ms, SEARCH_DEADLINE_DEFAULT_MS, SEARCH_DEADLINE_MAX_MS);
    search->gathering = gathering_new(limit);
    HASH_ADD(hh, self->by_rid, query_rid, sizeof search->query_rid, search);
    DL_APPEND(self->all, search);
    self->figures.searches++;
    if (search->asked > 0)
        send_queries(self, search, asked, limit, effects);
    else
        end(self, search, now_ms);
}

static struct search *find(const struct searches *self, uint64_t query_rid)
{
    struct search *search;
    HASH_FIND(hh, self->by_rid, &query_rid, sizeof query_rid, search);
    return search;
}

/* Which count an answer belongs to; gathers its FILEs. */
static uint32_t *take_answer(struct searches *self, struct search *search, const struct node *node,
                             const struct message_answer *answer, uint32_t dropped_count)
{
    uint64_t sent_count = (uint64_t)answer->files.count + dropped_count;
    uint64_t total = answer->total > sent_count ? answer->total : sent_count;
    if (total == 0)
        return &search->negative;
    struct source_entry source = {.node = node->id, .port = node->port, .name = node_name(node)};
    if (answer->files.count == 0 || !node_host_for(node, &search->asker, &source.host))
        return &search->silent;
    if (total > sent_count)
        search->is_truncated = true;
    if (self->bytes >= SEARCHES_BYTES_MAX) {
        search->is_truncated = true;
        return &search->positive;
    }
    self->bytes -= gathering_bytes(search->gathering);
    gathering_add(search->gathering, &source, &answer->files);
    self->bytes += gathering_bytes(search->gathering);
    return &search->positive;
}

bool searches_on_answer(struct searches *self, const struct node *node, uint64_t query_rid,
                        const struct message_answer *answer, uint32_t dropped_count, uint64_t now_ms)
{
    struct search *search = find(self, query_rid);
    if (!search)
        return query_rid - self->first_rid < self->next_rid - self->first_rid;
    if (!is_waiting(search, node->slot))
        return true;
    self->figures.answers++;
    uint64_t charged = search->files_received / FILES_PER_TOKEN;
    search->files_received += answer->files.count + dropped_count;
    buckets_charge(self->buckets, search->bucket, search->files_received / FILES_PER_TOKEN - charged, now_ms);
    uint32_t *count = take_answer(self, search, node, answer, dropped_count);
    stop_waiting(self, search, node->slot, count, now_ms);
    if (now_ms >= due_ms(search))
        set_ready(self, search);
    return true;
}

void searches_on_refused(struct searches *self, const struct node *node, uint64_t query_rid, uint64_t now_ms)
{
    struct search *search = find(self, query_rid);
    if (search && is_waiting(search, node->slot))
        stop_waiting(self, search, node->slot, &search->silent, now_ms);
}

void searches_on_node_left(struct searches *self, const struct node *node, enum departure departure,
                           uint64_t now_ms)
{
    struct search *search;
    DL_FOREACH(self->all, search)
    {
        uint32_t *count = departure == DEPARTURE_BYE ? &search->negative : &search->silent;
        if (is_waiting(search, node->slot))
            stop_waiting(self, search, node->slot, count, now_ms);
    }
}

void searches_on_asker_gone(struct searches *self, uint32_t route)
{
    struct search *search, *following;
    DL_FOREACH_SAFE(self->all, search, following)
    {
        if (search->asker.route == route)
            forget(self, search);
    }
}

bool searches_on_congested(struct searches *self, uint32_t route, uint64_t search_rid, uint64_t now_ms)
{
    struct search *search = find(self, search_rid);
    if (!search || search->asker.route != route)
        return false;
    gathering_rewind(search->gathering);
    if (search->state == SEARCH_CLOSED) {
        self->closed_count--;
        search->state = SEARCH_ENDS;
    }
    unset_ready(self, search);
    search->told_ms = now_ms; /* one interval later */
    return true;
}

size_t searches_askers_on_connection(const struct searches *self, int connection, uint32_t *ret_routes,
                                     size_t max)
{
    size_t count = 0;
    const struct search *search;
    DL_FOREACH(self->all, search)
    {
        if (search->asker.connection == connection && count < max)
            ret_routes[count++] = search->asker.route;
    }
    return count;
}
