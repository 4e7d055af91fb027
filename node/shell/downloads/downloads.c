/* SPDX-License-Identifier: MIT */
#include "node/rate/rate_split.h"
#include "node/shell/downloads/downloads_private.h"

#include <assert.h>
#include <stdlib.h>

/* How often progress is noted, and budget and rate are shared out anew. */
#define SHARE_OUT_MS 500

/* Of the whole rate, what one that does not use its part could begin to use until it is shared out again. */
#define RATE_ROOM_SHARE 16

/* Budget and rate. */

static uint64_t want_of(const struct runner *runner, uint64_t total)
{
    bool takes_all = fetch_load(runner->fetch).download.is_limited;
    return takes_all ? RATE_SPLIT_ALL : 2 * runner->rate + total / RATE_ROOM_SHARE;
}

static void share_out(struct downloads *self)
{
    uint64_t total = self->config.down_rate, wants[DOWNLOADS_ACTIVE_MAX], shares[DOWNLOADS_ACTIVE_MAX] = {0};
    struct runner *fetching[DOWNLOADS_ACTIVE_MAX];
    size_t count = 0;
    for (struct runner *runner = self->runners; runner; runner = runner->next) {
        if (runner->state != RUNNER_FETCHING)
            continue;
        assert(count < DOWNLOADS_ACTIVE_MAX);
        wants[count] = want_of(runner, total);
        fetching[count++] = runner;
    }
    if (count == 0)
        return;
    if (total > 0)
        rate_split(total, wants, count, shares);
    for (size_t i = 0; i < count; i++)
        fetch_set_share(fetching[i]->fetch, DOWNLOADS_BUDGET_BYTES / count, shares[i]);
}

/* Slots. */

static void leave_slot(struct downloads *self, struct runner *runner)
{
    if (!runner->has_slot)
        return;
    runner->has_slot = false;
    download_list_stopped(self->list, runner->number);
    self->shared_out_ms = 0;
}

static void tick_runners(struct downloads *self, uint64_t now_ms)
{
    for (struct runner **at = &self->runners; *at;) {
        struct runner *runner = *at;
        runner_tick(runner, download_list_find(self->list, runner->number), now_ms);
        if (runner->state == RUNNER_LANDED)
            leave_slot(self, runner);
        if (!runner_is_over(runner)) {
            at = &runner->next;
            continue;
        }
        leave_slot(self, runner);
        *at = runner->next;
        runner_destroy(&runner);
    }
}

/* New ones are in front, so the last that landed is the oldest. */
static void limit_landed(struct downloads *self)
{
    size_t count = 0;
    struct runner *oldest = NULL;
    for (struct runner *runner = self->runners; runner; runner = runner->next) {
        if (runner->state == RUNNER_LANDED) {
            oldest = runner;
            count++;
        }
    }
    if (count > DOWNLOADS_HELD_MAX)
        runner_stop(oldest);
}

static void start_runners(struct downloads *self, uint64_t now_ms)
{
    const struct listed_download *item;
    while ((item = download_list_start(self->list, now_ms))) {
        struct runner *runner = runner_new(self, item);
        runner->next = self->runners;
        self->runners = runner;
        runner_tick(runner, item, now_ms);
    }
}

static uint64_t next_deadline_ms(const struct downloads *self, uint64_t now_ms)
{
    uint64_t next_ms = download_list_next_deadline_ms(self->list, now_ms);
    bool is_busy = download_list_running_count(self->list) > 0 || keeper_is_unread(self->keeper);
    if (is_busy && self->shared_out_ms + SHARE_OUT_MS < next_ms)
        next_ms = self->shared_out_ms + SHARE_OUT_MS;
    for (const struct runner *runner = self->runners; runner; runner = runner->next) {
        uint64_t run_ms = runner_next_deadline_ms(runner);
        next_ms = run_ms < next_ms ? run_ms : next_ms;
    }
    return next_ms > now_ms ? next_ms : now_ms + 1;
}

static uint64_t tick(void *owner, uint64_t now_ms)
{
    struct downloads *self = owner;
    if (keeper_is_unread(self->keeper))
        keeper_load(self->keeper);
    tick_runners(self, now_ms);
    limit_landed(self);
    while (download_list_yield(self->list, now_ms) != 0)
        tick_runners(self, now_ms);
    start_runners(self, now_ms);
    if (now_ms - self->shared_out_ms >= SHARE_OUT_MS) {
        self->shared_out_ms = now_ms;
        share_out(self);
    }
    keeper_tick(self->keeper);
    return next_deadline_ms(self, now_ms);
}

/* For its users. */

static struct runner *runner_by_number(const struct downloads *self, uint32_t number)
{
    for (struct runner *runner = self->runners; runner; runner = runner->next) {
        if (runner->number == number)
            return runner;
    }
    return NULL;
}

enum downloads_result downloads_add(struct downloads *self, const struct downloads_order *order,
                                    uint32_t *ret_number)
{
    enum downloads_result result = download_list_add(self->list, order, ret_number);
    struct runner *runner = result == DOWNLOADS_THERE_ALREADY ? runner_by_number(self, *ret_number) : NULL;
    for (size_t i = 0; i < order->source_count && runner; i++)
        runner_add_source(runner, &order->sources[i]);
    return result;
}

bool downloads_pause(struct downloads *self, uint32_t number)
{
    return download_list_pause(self->list, number);
}

bool downloads_resume(struct downloads *self, uint32_t number)
{
    return download_list_resume(self->list, number);
}

bool downloads_cancel(struct downloads *self, uint32_t number)
{
    const struct listed_download *item = download_list_find(self->list, number);
    if (item && !item->has_slot && item->state != DOWNLOADS_DONE)
        downloads_discard_partial(self, &item->file);
    return download_list_cancel(self->list, number);
}

void downloads_set_rate(struct downloads *self, uint64_t down_rate)
{
    self->config.down_rate = down_rate;
    self->shared_out_ms = 0;
}

size_t downloads_count(const struct downloads *self)
{
    return download_list_count(self->list);
}

struct downloads_view downloads_at(const struct downloads *self, size_t position)
{
    const struct listed_download *item = download_list_at(self->list, position);
    struct downloads_view view = {
        .number = item->number,
        .state = item->state,
        .id = item->file.id,
        .name = item->file.name,
        .target = item->target,
        .reason = item->reason,
        .size = item->file.size,
        .saved_bytes = item->saved_bytes,
        .is_pushed = item->is_pushed,
    };
    const struct runner *runner = item->has_slot ? runner_by_number(self, item->number) : NULL;
    if (runner && runner->state == RUNNER_LOCKED)
        view.reason = "another program is fetching it into the same folder";
    if (runner && runner->state == RUNNER_FETCHING) {
        struct download_progress progress = fetch_progress(runner->fetch);
        view.saved_bytes = progress.saved_bytes;
        view.ready_sources = progress.ready_sources;
        view.rate = runner->rate;
    }
    return view;
}

/* For whoever feeds them himself. */

void downloads_set_watcher(struct downloads *self, const struct downloads_watcher *watcher)
{
    self->watcher = *watcher;
}

struct runner *downloads_runner_by_id(const struct downloads *self, const struct file_id *id)
{
    for (struct runner *runner = self->runners; runner; runner = runner->next) {
        if (runner->state == RUNNER_FETCHING && file_id_equal(&runner->file.id, id))
            return runner;
    }
    return NULL;
}

struct download_list *downloads_list(struct downloads *self)
{
    return self->list;
}

/* Life. */

struct downloads *downloads_new(const struct downloads_config *config, const struct downloads_events *events)
{
    struct downloads *self = calloc(1, sizeof *self);
    assert(self);
    self->config = *config;
    self->events = *events;
    self->list = download_list_new();
    self->keeper = keeper_new(self);
    keeper_load(self->keeper);
    bool is_added = loop_add_ticker(config->loop, tick, self);
    assert(is_added);
    return self;
}

void downloads_stop(struct downloads *self)
{
    if (self->is_stopped)
        return;
    self->is_stopped = true;
    loop_remove_ticker(self->config.loop, self);
    for (struct runner *runner = self->runners; runner; runner = runner->next) {
        if (runner->state == RUNNER_FETCHING)
            download_list_saved(self->list, runner->number, fetch_progress(runner->fetch).saved_bytes);
        runner_stop(runner);
    }
}

void downloads_destroy(struct downloads **self_p)
{
    struct downloads *self = *self_p;
    if (!self)
        return;
    downloads_stop(self);
    while (self->runners) {
        struct runner *runner = self->runners;
        self->runners = runner->next;
        runner_destroy(&runner);
    }
    keeper_destroy(&self->keeper);
    download_list_destroy(&self->list);
    free(self);
    *self_p = NULL;
}
