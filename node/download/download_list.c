/* SPDX-License-Identifier: MIT */
#include "node/download/download_list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct download_list {
    struct listed_download *items[DOWNLOADS_MAX]; /* in order of number */
    size_t count;
    uint32_t last_number;
    uint64_t last_turn;
    unsigned running_count; /* slots, also of those that are off the list */
    uint64_t generation;
    struct push_turns *turns;
};

struct download_list *download_list_new(void)
{
    struct download_list *self = calloc(1, sizeof *self);
    assert(self);
    self->turns = push_turns_new();
    return self;
}

static void free_item(struct listed_download *item)
{
    free((char *)(uintptr_t)item->file.name.bytes); /* a copy of ours */
    free(item->target);
    free(item->reason);
    free(item->offered_by);
    free(item);
}

void download_list_destroy(struct download_list **self_p)
{
    struct download_list *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free_item(self->items[i]);
    push_turns_destroy(&self->turns);
    free(self);
    *self_p = NULL;
}

/* Finding. */

/* The position of a number; count when it is not listed. */
static size_t position_of(const struct download_list *self, uint32_t number)
{
    size_t begin = 0, end = self->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (self->items[middle]->number < number)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < self->count && self->items[begin]->number == number ? begin : self->count;
}

static struct listed_download *find(const struct download_list *self, uint32_t number)
{
    size_t position = position_of(self, number);
    return position < self->count ? self->items[position] : NULL;
}

static struct listed_download *by_id(const struct download_list *self, const struct file_id *id)
{
    for (size_t i = 0; i < self->count; i++) {
        if (file_id_equal(&self->items[i]->file.id, id))
            return self->items[i];
    }
    return NULL;
}

static bool is_over(const struct listed_download *item)
{
    return item->state == DOWNLOADS_DONE || item->state == DOWNLOADS_FAILED;
}

bool download_is_offered(const struct listed_download *item)
{
    return item->offered_by_count > 0;
}

static bool is_waiting(const struct listed_download *item)
{
    return item->state == DOWNLOADS_WAITING && !item->has_slot &&
           (!item->is_pushed || download_is_offered(item));
}

static bool has_push_slot(const struct listed_download *item)
{
    return item->is_pushed && item->has_slot;
}

static bool is_slot_for_push(const struct download_list *self)
{
    unsigned count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += has_push_slot(self->items[i]);
    return count < DOWNLOADS_PUSHED_ACTIVE_MAX;
}

/* Of those that offer it, the one whose turn comes first. */
static const struct host *first_of(const struct download_list *self, const struct listed_download *item,
                                   uint64_t now_ms, uint64_t *ret_rank)
{
    const struct host *first = NULL;
    uint64_t first_rank = UINT64_MAX; /* of nobody */
    for (size_t i = 0; i < item->offered_by_count; i++) {
        uint64_t rank = push_turns_rank(self->turns, &item->offered_by[i], now_ms);
        if (first && rank >= first_rank)
            continue;
        first = &item->offered_by[i];
        first_rank = rank;
    }
    *ret_rank = first_rank;
    return first;
}

/* The push whose turn it is: of the address that is first, the one that waits longest. */
static struct listed_download *next_push(const struct download_list *self, uint64_t now_ms)
{
    struct listed_download *next = NULL;
    uint64_t next_rank = 0;
    for (size_t i = 0; i < self->count; i++) {
        struct listed_download *item = self->items[i];
        uint64_t rank;
        if (!item->is_pushed || !is_waiting(item))
            continue;
        first_of(self, item, now_ms, &rank);
        if (!next || rank < next_rank || (rank == next_rank && item->turn < next->turn)) {
            next = item;
            next_rank = rank;
        }
    }
    return next;
}

/* Of those that may start, the one that waits longest; NULL when there is none. */
static struct listed_download *longest_waiting(const struct download_list *self)
{
    struct listed_download *longest = NULL;
    bool is_push_allowed = is_slot_for_push(self);
    for (size_t i = 0; i < self->count; i++) {
        struct listed_download *item = self->items[i];
        bool may_start = is_waiting(item) && (!item->is_pushed || is_push_allowed);
        if (may_start && (!longest || item->turn < longest->turn))
            longest = item;
    }
    return longest;
}

/* Pushes and others take turns as they came. */
static struct listed_download *next_to_start(const struct download_list *self, uint64_t now_ms)
{
    struct listed_download *next = longest_waiting(self);
    return next && next->is_pushed ? next_push(self, now_ms) : next;
}

/* Changing. */

static void remove_at(struct download_list *self, size_t position)
{
    free_item(self->items[position]);
    self->count--;
    memmove(&self->items[position], &self->items[position + 1],
            (self->count - position) * sizeof self->items[0]);
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = value ? text_copy(text_of(value)) : NULL;
}

static void set_state(struct download_list *self, struct listed_download *item, enum downloads_state state)
{
    item->state = state;
    item->starved_ms = UINT64_MAX;
    set_text(&item->reason, NULL);
    if (state == DOWNLOADS_WAITING)
        item->turn = ++self->last_turn;
    self->generation++;
}

static bool make_room(struct download_list *self)
{
    for (size_t i = 0; i < self->count && self->count == DOWNLOADS_MAX; i++) {
        if (is_over(self->items[i]))
            remove_at(self, i);
    }
    return self->count < DOWNLOADS_MAX;
}

static void add_source(struct listed_download *item, const struct downloads_source *source)
{
    for (size_t i = 0; i < item->source_count; i++) {
        struct downloads_source *known = &item->sources[i];
        if (host_equal(&known->host, &source->host) && known->port == source->port) {
            *known = *source;
            return;
        }
    }
    if (item->source_count < DOWNLOADS_SOURCES_MAX)
        item->sources[item->source_count++] = *source;
}

static void add_sources(struct listed_download *item, const struct downloads_order *order)
{
    for (size_t i = 0; i < order->source_count; i++)
        add_source(item, &order->sources[i]);
}

/* It is listed, and not done. */
static void add_again(struct download_list *self, struct listed_download *item,
                      const struct downloads_order *order)
{
    add_sources(item, order);
    item->has_only_these = item->has_only_these && order->has_only_these;
    item->is_pushed = item->is_pushed && order->is_pushed;
    bool must_resume =
        item->state == DOWNLOADS_FAILED || (item->state == DOWNLOADS_PAUSED && !order->is_pushed);
    if (must_resume)
        set_state(self, item, DOWNLOADS_WAITING);
    self->generation++;
}

enum downloads_result download_list_add(struct download_list *self, const struct downloads_order *order,
                                        uint32_t *ret_number)
{
    struct listed_download *item = by_id(self, &order->file.id);
    if (item && item->state == DOWNLOADS_DONE) {
        remove_at(self, position_of(self, item->number));
    } else if (item) {
        add_again(self, item, order);
        *ret_number = item->number;
        return DOWNLOADS_THERE_ALREADY;
    }
    if (!make_room(self))
        return DOWNLOADS_FULL;
    item = calloc(1, sizeof *item);
    assert(item);
    item->number = ++self->last_number;
    item->file = order->file;
    item->file.name.bytes = text_copy(order->file.name);
    item->has_only_these = order->has_only_these;
    item->is_pushed = order->is_pushed;
    add_sources(item, order);
    self->items[self->count++] = item;
    set_state(self, item, order->is_paused ? DOWNLOADS_PAUSED : DOWNLOADS_WAITING);
    *ret_number = item->number;
    return DOWNLOADS_OK;
}

bool download_list_pause(struct download_list *self, uint32_t number)
{
    struct listed_download *item = find(self, number);
    if (!item || (item->state != DOWNLOADS_WAITING && item->state != DOWNLOADS_ACTIVE))
        return false;
    set_state(self, item, DOWNLOADS_PAUSED);
    return true;
}

bool download_list_resume(struct download_list *self, uint32_t number)
{
    struct listed_download *item = find(self, number);
    if (!item || (item->state != DOWNLOADS_PAUSED && item->state != DOWNLOADS_FAILED))
        return false;
    set_state(self, item, DOWNLOADS_WAITING);
    return true;
}

bool download_list_cancel(struct download_list *self, uint32_t number)
{
    size_t position = position_of(self, number);
    if (position == self->count)
        return false;
    remove_at(self, position);
    self->generation++;
    return true;
}

void download_list_offered(struct download_list *self, uint32_t number, const struct host *addresses,
                           size_t count)
{
    struct listed_download *item = find(self, number);
    if (!item)
        return;
    item->offered_by = reallocarray(item->offered_by, count + 1, sizeof *item->offered_by);
    assert(item->offered_by);
    for (size_t i = 0; i < count; i++)
        item->offered_by[i] = addresses[i];
    item->offered_by_count = count;
    if (item->is_pushed && count == 0 && item->state == DOWNLOADS_ACTIVE)
        set_state(self, item, DOWNLOADS_WAITING);
}

struct push_turns *download_list_turns(struct download_list *self)
{
    return self->turns;
}

/* Slots. */

const struct listed_download *download_list_start(struct download_list *self, uint64_t now_ms)
{
    struct listed_download *item =
        self->running_count < DOWNLOADS_ACTIVE_MAX ? next_to_start(self, now_ms) : NULL;
    if (!item)
        return NULL;
    if (item->is_pushed) {
        uint64_t rank;
        item->turn_of = host_block(first_of(self, item, now_ms, &rank));
        push_turns_take(self->turns, &item->turn_of);
    }
    item->state = DOWNLOADS_ACTIVE;
    item->has_slot = true;
    item->started_ms = now_ms;
    self->running_count++;
    return item;
}

static unsigned push_slots_of(const struct download_list *self, const struct host *block)
{
    unsigned count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += has_push_slot(self->items[i]) && host_equal(&self->items[i]->turn_of, block);
    return count;
}

/* Does this push wait while its address has no slot at all? */
static bool is_left_out(const struct download_list *self, const struct listed_download *push, uint64_t now_ms)
{
    uint64_t rank;
    const struct host *of = first_of(self, push, now_ms, &rank);
    struct host block = host_block(of);
    return !push_turns_is_mute(self->turns, of, now_ms) && push_slots_of(self, &block) == 0;
}

/* Its address has others. The one that was begun last goes: it has the least to look at again. */
static bool is_one_too_many(const struct download_list *self, const struct listed_download *item)
{
    if (!has_push_slot(item) || push_slots_of(self, &item->turn_of) < 2)
        return false;
    for (size_t i = 0; i < self->count; i++) {
        const struct listed_download *other = self->items[i];
        bool is_later = other->started_ms > item->started_ms ||
                        (other->started_ms == item->started_ms && other->number > item->number);
        if (is_later && has_push_slot(other) && host_equal(&other->turn_of, &item->turn_of))
            return false;
    }
    return true;
}

/* The one whose time is over first, and when that is; NULL when there is none, or no need. */
static struct listed_download *next_to_yield(const struct download_list *self, uint64_t now_ms,
                                             uint64_t *ret_yield_ms)
{
    struct listed_download *next = NULL;
    uint64_t next_ms = UINT64_MAX;
    bool is_full = self->running_count >= DOWNLOADS_ACTIVE_MAX;
    bool must_any = is_full && longest_waiting(self);
    const struct listed_download *push = is_full || !is_slot_for_push(self) ? next_push(self, now_ms) : NULL;
    bool must_share = push && is_left_out(self, push, now_ms);
    for (size_t i = 0; i < self->count && (must_any || push); i++) {
        struct listed_download *item = self->items[i];
        if (!item->has_slot)
            continue;
        if (item->state != DOWNLOADS_ACTIVE)
            return NULL; /* it is about to end */
        uint64_t ms = UINT64_MAX;
        if (item->starved_ms != UINT64_MAX && (must_any || item->is_pushed))
            ms = item->starved_ms + DOWNLOADS_STARVED_MS;
        if (must_share && is_one_too_many(self, item) && item->started_ms + DOWNLOADS_PUSHED_TURN_MS < ms)
            ms = item->started_ms + DOWNLOADS_PUSHED_TURN_MS;
        if (ms < next_ms) {
            next = item;
            next_ms = ms;
        }
    }
    *ret_yield_ms = next_ms;
    return next;
}

uint64_t download_list_next_deadline_ms(const struct download_list *self, uint64_t now_ms)
{
    uint64_t yield_ms;
    return next_to_yield(self, now_ms, &yield_ms) ? yield_ms : UINT64_MAX;
}

uint32_t download_list_yield(struct download_list *self, uint64_t now_ms)
{
    uint64_t yield_ms;
    struct listed_download *item = next_to_yield(self, now_ms, &yield_ms);
    if (!item || now_ms < yield_ms)
        return 0;
    set_state(self, item, DOWNLOADS_WAITING);
    return item->number;
}

void download_list_stopped(struct download_list *self, uint32_t number)
{
    assert(self->running_count > 0);
    self->running_count--;
    struct listed_download *item = find(self, number);
    if (item)
        item->has_slot = false;
}

/* What became of it. */

void download_list_starved(struct download_list *self, uint32_t number, bool is_starved, uint64_t now_ms)
{
    struct listed_download *item = find(self, number);
    if (!item || item->state != DOWNLOADS_ACTIVE)
        return;
    if (!is_starved)
        item->starved_ms = UINT64_MAX;
    else if (item->starved_ms == UINT64_MAX)
        item->starved_ms = now_ms;
}

void download_list_saved(struct download_list *self, uint32_t number, uint64_t saved_bytes)
{
    struct listed_download *item = find(self, number);
    if (item)
        item->saved_bytes = saved_bytes;
}

void download_list_done(struct download_list *self, uint32_t number, const char *target)
{
    struct listed_download *item = find(self, number);
    if (!item)
        return;
    set_state(self, item, DOWNLOADS_DONE);
    item->saved_bytes = item->file.size;
    set_text(&item->target, target);
}

void download_list_failed(struct download_list *self, uint32_t number, const char *reason)
{
    struct listed_download *item = find(self, number);
    if (!item)
        return;
    set_state(self, item, DOWNLOADS_FAILED);
    set_text(&item->reason, reason);
}

/* Looking. */

size_t download_list_count(const struct download_list *self)
{
    return self->count;
}

const struct listed_download *download_list_at(const struct download_list *self, size_t position)
{
    assert(position < self->count);
    return self->items[position];
}

const struct listed_download *download_list_find(const struct download_list *self, uint32_t number)
{
    return find(self, number);
}

const struct listed_download *download_list_by_id(const struct download_list *self, const struct file_id *id)
{
    return by_id(self, id);
}

unsigned download_list_running_count(const struct download_list *self)
{
    return self->running_count;
}

uint64_t download_list_generation(const struct download_list *self)
{
    return self->generation;
}
