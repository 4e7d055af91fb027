/* SPDX-License-Identifier: MIT */
#include "node/download/download_private.h"

#include "node/content/tree.h"

#include <assert.h>
#include <string.h>

/* A READ should take about this long, so that a slow source's part can still move. */
#define READ_AIM_MS 100

/* What a pusher was asked for should be here in this time. */
#define PUSHER_AIM_MS (DOWNLOAD_PUSHER_MS * 2 / 5)

/* The first READ to a source that nothing is known of, or that stalled. */
#define READ_PROBE_BYTES (64u * 1024)

/* What such a source may be asked for at once. */
#define WINDOW_START_BYTES (BLOCK_SIZE / 2)

/* An idle source repeats what another was asked for only if it would be this many times faster. */
#define DUPLICATE_GAIN 2

/* One READ may come twice, and beyond it this part of the file: it all goes over somebody's link. */
#define DUPLICATE_SHARE 128

/* In the endgame, how often to look whether an idle source should repeat something. */
#define ENDGAME_LOOK_MS 100

/* At so many stalls since it delivered, a source's last READ is cancelled as well. */
#define STALLS_MAX 3

/* A part of a file is asked of at most two sources at once. */
#define ASKED_MAX 2

void download_something_changed(struct download *self)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        self->sources[i].has_nothing = false;
}

/* The longest READ for a source: what it delivers in READ_AIM_MS, but at least a unit. */
static uint32_t read_length_max(const struct download *self, const struct source *source)
{
    uint64_t unit_bytes = UINT64_C(1)
                          << (self->layout.chunk_log2 < BLOCK_LOG2 ? self->layout.chunk_log2 : BLOCK_LOG2);
    uint64_t length = source->meter.rate * READ_AIM_MS / 1000;
    if (source->stall_count > 0)
        length = READ_PROBE_BYTES;
    else if (source->meter.rate == 0)
        length = source->meter.startup_bytes > 0 && !source->is_pusher ? BLOCK_SIZE : READ_PROBE_BYTES;
    if (length < unit_bytes)
        length = unit_bytes;
    return length < BLOCK_SIZE ? (uint32_t)length : BLOCK_SIZE;
}

/* One READ while it is in doubt, for what a dead source holds is missing in the budget. Else at least two, so
 * that a source is never idle between them; few for a slow one, for what it was asked must be waited for, or
 * fetched twice. A pusher has to answer in time: no more than should come in less than half of it. */
static uint64_t window_of(const struct source *source, uint32_t length_max)
{
    if (source->stall_count > 0)
        return length_max;
    bool is_untried = source->is_pusher && source->meter.rate == 0;
    uint64_t window_min = is_untried ? length_max : 2 * (uint64_t)length_max;
    if (source->meter.is_starting && !source->is_pusher && window_min < WINDOW_START_BYTES)
        window_min = WINDOW_START_BYTES;
    uint64_t window = meter_window(&source->meter, window_min, source->window_max);
    uint64_t timely = source->meter.rate * PUSHER_AIM_MS / 1000;
    if (source->is_pusher && timely > 0 && window > timely)
        window = timely > length_max ? timely : length_max;
    return window;
}

static struct read *free_read(struct download *self)
{
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        self->read_cursor = (self->read_cursor + 1) % DOWNLOAD_READS_MAX;
        if (self->reads[self->read_cursor].state == READ_FREE)
            return &self->reads[self->read_cursor];
    }
    return NULL;
}

static void ask(struct download *self, struct read *read, uint32_t index, const struct run *run,
                uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    uint32_t slot = (uint32_t)(read - self->reads);
    *read = (struct read){
        .state = READ_ASKED,
        .source = index,
        .rid = download_next_rid(self, slot),
        .sent_ms = now_ms,
        .run = *run,
        .is_given_up = source->stall_count > 0,
    };
    if (source->inflight_count == 0) {
        meter_resumed(&source->meter, now_ms);
        source->active_at_ms = now_ms;
    }
    download_expect_answer(self, source, now_ms);
    source->inflight_count++;
    source->inflight_bytes += run->length;
    self->inflight_bytes += run->length;
    rate_limit_spend(&self->down, run->length);
    source->begun_chunk = UINT32_MAX;
    if (picker_units_per_chunk(self->picker) > 1)
        source->begun_chunk = picker_chunk_of_unit(self->picker, run->unit);
    if (!read->is_given_up)
        picker_asked(self->picker, run);

    struct message message = {.kind = KIND_READ, .rid = read->rid};
    message.read = (struct message_range){self->config.id, run->offset, run->length};
    download_send(effects, index, &message);
}

void download_free_read(struct download *self, struct read *read)
{
    struct source *source = &self->sources[read->source];
    if (read->state == READ_ASKED) {
        assert(source->inflight_count > 0);
        source->inflight_count--;
        source->inflight_bytes -= read->run.length;
        self->inflight_bytes -= read->run.length;
        if (read->is_repeat)
            self->repeating_bytes -= read->run.length;
    } else {
        self->processing_bytes -= read->run.length;
    }
    read->state = READ_FREE;
}

static void cancel(struct download *self, struct read *read, struct download_effects *effects)
{
    struct message message = {.kind = KIND_CANCEL, .rid = download_next_rid(self, RID_NO_SLOT)};
    message.cancel.read_rid = read->rid;
    download_send(effects, read->source, &message);
    download_free_read(self, read);
}

/* Others may be asked for its range. */
static void give_up(struct download *self, struct read *read)
{
    if (!read->is_given_up)
        picker_unasked(self->picker, &read->run);
    read->is_given_up = true;
}

void download_release_reads(struct download *self, uint32_t source)
{
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        struct read *read = &self->reads[i];
        if (read->state != READ_ASKED || read->source != source)
            continue;
        give_up(self, read);
        download_free_read(self, read);
    }
    picker_unreserve_source(self->picker, source);
    download_something_changed(self);
}

/* The source with room in its window that would deliver its next READ first. */
static uint32_t best_source(const struct download *self, uint64_t now_ms)
{
    uint32_t best = UINT32_MAX;
    uint64_t best_ms = 0;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state != SOURCE_READY || source->has_nothing || source->retry_at_ms > now_ms)
            continue;
        uint32_t length_max = read_length_max(self, source);
        if (source->inflight_bytes + length_max > window_of(source, length_max))
            continue;
        uint64_t expected_ms = meter_expected_ms(&source->meter, source->inflight_bytes + length_max);
        if (source->stall_count > 0) /* as it did last */
            expected_ms += DOWNLOAD_STALL_MS;
        if (best == UINT32_MAX || expected_ms < best_ms) {
            best = i;
            best_ms = expected_ms;
        }
    }
    return best;
}

static bool has_budget(const struct download *self)
{
    return self->inflight_bytes + self->processing_bytes + BLOCK_SIZE <= self->config.budget_bytes;
}

/* May `index` repeat this READ of another source? */
static bool may_repeat(const struct download *self, const struct read *read, uint32_t index)
{
    const struct source *source = &self->sources[index];
    if (read->state != READ_ASKED || read->source == index)
        return false;
    uint32_t chunk = picker_chunk_of_unit(self->picker, read->run.unit);
    return (!source->is_partial || chunk_map_has(&source->chunks, chunk)) &&
           picker_asked_count(self->picker, &read->run) < ASKED_MAX &&
           picker_reserved_for(self->picker, chunk) == UINT32_MAX;
}

/* When a source should have sent so many of the bytes that it was asked for; what has run already is taken
 * off. */
static uint64_t left_ms_of(const struct source *source, uint64_t bytes, uint64_t now_ms)
{
    uint64_t waited_ms = now_ms - source->active_at_ms;
    uint64_t due_ms = meter_expected_ms(&source->meter, bytes);
    return due_ms > waited_ms ? due_ms - waited_ms : waited_ms;
}

/* A READ of another source that `index` should repeat because it would have it much sooner: the last one of
 * its source, which is the furthest off. */
static const struct read *slow_read(const struct download *self, uint32_t index, uint64_t now_ms)
{
    const struct read *last[DOWNLOAD_SOURCES_MAX] = {0};
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        const struct read *read = &self->reads[i];
        if (may_repeat(self, read, index) && (!last[read->source] || read->rid > last[read->source]->rid))
            last[read->source] = read;
    }
    /* Answers come in the order of the READs. */
    uint64_t bytes[DOWNLOAD_SOURCES_MAX] = {0};
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        const struct read *read = &self->reads[i];
        if (read->state == READ_ASKED && last[read->source] && read->rid <= last[read->source]->rid)
            bytes[read->source] += read->run.length;
    }
    const struct read *worst = NULL;
    uint64_t worst_ms = 0;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        uint64_t left_ms = last[i] ? left_ms_of(&self->sources[i], bytes[i], now_ms) : 0;
        if (left_ms > worst_ms) {
            worst = last[i];
            worst_ms = left_ms;
        }
    }
    const struct source *source = &self->sources[index];
    if (!worst || worst_ms < DUPLICATE_GAIN * meter_expected_ms(&source->meter,
                                                                source->inflight_bytes + worst->run.length))
        return NULL;
    return worst;
}

/* Endgame: everything has been asked for; idle sources repeat what slow ones still owe. */
static void ask_duplicates(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX && has_budget(self); i++) {
        struct source *source = &self->sources[i];
        if (source->state != SOURCE_READY || source->inflight_count > 0 || source->retry_at_ms > now_ms)
            continue;
        const struct read *slow = slow_read(self, i, now_ms);
        uint64_t twice_bytes = self->repeating_bytes + self->wasted_bytes;
        if (slow && twice_bytes > 0 && twice_bytes + slow->run.length > self->layout.size / DUPLICATE_SHARE)
            return;
        struct read *read = slow ? free_read(self) : NULL;
        if (read) {
            struct run run = slow->run;
            ask(self, read, i, &run, now_ms, effects);
            read->is_repeat = true;
            self->repeating_bytes += run.length;
        }
    }
}

bool download_is_starved(const struct download *self)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        if (self->sources[i].state == SOURCE_CONNECTING || self->sources[i].state == SOURCE_READY)
            return false;
    }
    return self->processing_bytes == 0 && self->checking_count == 0;
}

void download_schedule(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    if (self->is_over || !self->is_started)
        return;
    self->scheduled_at_ms = now_ms;
    if (!download_needs_layer(self))
        download_check_claims(self, effects);
    if (download_is_starved(self)) {
        if (!self->was_starved)
            download_emit(effects, DOWNLOAD_STARVED, UINT32_MAX);
        self->was_starved = true;
        return;
    }
    if (download_needs_layer(self)) {
        download_ask_layer(self, now_ms, effects);
        return;
    }
    self->is_limited = false;
    while (picker_missing_count(self->picker) > 0 && has_budget(self)) {
        self->is_limited = !rate_limit_allows(&self->down, now_ms);
        if (self->is_limited)
            break;
        uint32_t index = best_source(self, now_ms);
        struct read *read = index == UINT32_MAX ? NULL : free_read(self);
        if (!read)
            break;
        struct source *source = &self->sources[index];
        struct asker asker = {index, source->is_partial ? &source->chunks : NULL, source->begun_chunk,
                              read_length_max(self, source)};
        struct run run;
        if (picker_pick(self->picker, &asker, &run))
            ask(self, read, index, &run, now_ms, effects);
        else
            source->has_nothing = true;
    }
    if (picker_missing_count(self->picker) == 0 && self->inflight_bytes > 0)
        ask_duplicates(self, now_ms, effects);
}

static struct read *read_of_rid(struct download *self, uint32_t source, uint64_t rid)
{
    uint32_t slot = (uint32_t)(rid & ((1u << RID_SLOT_BITS) - 1));
    return download_has_asked_read(self, source, rid) ? &self->reads[slot] : NULL;
}

bool download_has_asked_read(const struct download *self, uint32_t source, uint64_t rid)
{
    uint32_t slot = (uint32_t)(rid & ((1u << RID_SLOT_BITS) - 1));
    const struct read *read = slot < DOWNLOAD_READS_MAX ? &self->reads[slot] : NULL;
    return read && read->state == READ_ASKED && read->rid == rid && read->source == source;
}

void download_cancel_reads(struct download *self, uint32_t source, struct download_effects *effects)
{
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        struct read *read = &self->reads[i];
        if (read->state != READ_ASKED || read->source != source)
            continue;
        give_up(self, read);
        cancel(self, read, effects);
    }
}

bool download_read_refused(struct download *self, uint32_t source, uint64_t rid, struct run *ret_run)
{
    struct read *read = read_of_rid(self, source, rid);
    if (!read)
        return false;
    *ret_run = read->run;
    give_up(self, read);
    download_free_read(self, read);
    picker_unreserve_source(self->picker, source); /* others may not be held up by it */
    download_something_changed(self);
    return true;
}

bool download_owes_result(const struct download *self, uint32_t source)
{
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        if (self->reads[i].state == READ_PROCESSING && self->reads[i].source == source)
            return true;
    }
    return false;
}

/* Others were asked for the same: they need not send it any more. */
static void cancel_duplicates(struct download *self, const struct run *run, struct download_effects *effects)
{
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        struct read *read = &self->reads[i];
        if (read->state == READ_ASKED && !picker_is_wanted(self->picker, &read->run) &&
            read->run.unit < run->unit + run->unit_count && run->unit < read->run.unit + read->run.unit_count)
            cancel(self, read, effects);
    }
}

const struct hash *download_expected(const struct download *self, uint32_t chunk)
{
    return layout_has_layer(&self->layout) ? &self->layer[chunk] : &self->config.root;
}

static void order_processing(struct download *self, struct read *read, struct download_effects *effects)
{
    struct download_effect *effect = download_emit(effects, DOWNLOAD_PROCESS, read->source);
    bool is_part = picker_units_per_chunk(self->picker) > 1;
    uint32_t chunk = picker_chunk_of_unit(self->picker, read->run.unit);
    effect->order = (struct process_order){
        .ticket = (uint32_t)(read - self->reads),
        .run = read->run,
        .height = is_part ? BLOCK_LOG2 - LEAF_LOG2 : tree_chunk_height(&self->layout),
        .span_bytes = is_part ? BLOCK_SIZE : 1u << self->layout.chunk_log2,
    };
    if (!is_part)
        effect->order.expected = download_expected(self, chunk);
}

void download_on_data(struct download *self, uint32_t index, const struct message *message,
                      size_t payload_size, uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    const struct message_range *data = &message->data;
    source->received_bytes += payload_size;
    self->received_bytes += payload_size;
    struct read *read = read_of_rid(self, index, message->rid);
    if (!read) { /* cancelled, too late */
        self->wasted_bytes += payload_size;
        return;
    }
    if (!file_id_equal(&data->file, &self->config.id) || data->offset != read->run.offset ||
        data->length != read->run.length || payload_size != read->run.length) {
        self->wasted_bytes += payload_size;
        download_source_banned(self, index, "sent another range than it was asked for", now_ms, effects);
        return;
    }
    meter_delivered(&source->meter, payload_size, read->sent_ms, now_ms);
    source->active_at_ms = now_ms;
    if (source->stall_count > 0)
        source->retry_at_ms = now_ms; /* only slow */
    source->stall_count = 0;
    download_free_read(self, read);
    read->state = READ_PROCESSING;
    self->processing_bytes += read->run.length;
    picker_arrived(self->picker, &read->run);
    cancel_duplicates(self, &read->run, effects);
    order_processing(self, read, effects);
}

uint64_t download_stall_at_ms(const struct source *source)
{
    uint64_t expected_ms = 4 * meter_expected_ms(&source->meter, source->inflight_bytes);
    uint64_t patience_ms = (uint64_t)DOWNLOAD_STALL_MS << (source->stall_count < 3 ? source->stall_count : 3);
    return source->active_at_ms + (expected_ms > patience_ms ? expected_ms : patience_ms);
}

uint64_t download_endgame_look_at_ms(const struct download *self)
{
    if (picker_missing_count(self->picker) > 0 || self->inflight_bytes == 0)
        return UINT64_MAX;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        if (self->sources[i].state == SOURCE_READY && self->sources[i].inflight_count == 0)
            return self->scheduled_at_ms + ENDGAME_LOOK_MS;
    }
    return UINT64_MAX;
}

static bool is_stalled(const struct download *self, uint32_t index, uint64_t now_ms)
{
    const struct source *source = &self->sources[index];
    if (source->state != SOURCE_READY)
        return false;
    bool owes = source->inflight_count > 0 || self->layer_source == index;
    return owes && download_stall_at_ms(source) <= now_ms;
}

/* Is there anyone who has not stalled? */
static bool has_other(const struct download *self, uint64_t now_ms)
{
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        const struct source *source = &self->sources[i];
        if (source->state == SOURCE_READY && source->retry_at_ms <= now_ms && !is_stalled(self, i, now_ms))
            return true;
    }
    return false;
}

/* Everything that it owes is open to others. The oldest READ stays, for the source may just be slow. */
static void stall(struct download *self, uint32_t index, uint64_t now_ms, struct download_effects *effects)
{
    struct source *source = &self->sources[index];
    source->stall_count++;
    source->active_at_ms = now_ms;
    source->retry_at_ms = now_ms + DOWNLOAD_SNUB_MS;
    struct read *oldest = NULL;
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX && source->stall_count < STALLS_MAX; i++) {
        struct read *read = &self->reads[i];
        if (read->state == READ_ASKED && read->source == index && (!oldest || read->rid < oldest->rid))
            oldest = read;
    }
    for (uint32_t i = 0; i < DOWNLOAD_READS_MAX; i++) {
        struct read *read = &self->reads[i];
        if (read->state != READ_ASKED || read->source != index)
            continue;
        give_up(self, read);
        if (read != oldest)
            cancel(self, read, effects);
    }
    picker_unreserve_source(self->picker, index);
    download_something_changed(self);
}

void download_check_stalls(struct download *self, uint64_t now_ms, struct download_effects *effects)
{
    bool is_other_there = has_other(self, now_ms);
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++) {
        struct source *source = &self->sources[i];
        if (!is_stalled(self, i, now_ms))
            continue;
        if (!is_other_there) { /* asking it again would only cost more */
            source->active_at_ms = now_ms;
            continue;
        }
        if (self->layer_source == i)
            download_layer_refused(self, i);
        stall(self, i, now_ms, effects);
    }
}
