/* SPDX-License-Identifier: MIT */
#include "node/download/bundle_private.h"

#include <assert.h>
#include <stdio.h>

/* Beside its bytes a READ costs either end some work; so many small files do not look like nothing. */
#define READ_OVERHEAD_BYTES 512

/* What a source may be asked for whatever its rate: two of the largest files. */
#define WINDOW_MIN_BYTES (2u * (BUNDLE_FILE_SIZE_MAX + READ_OVERHEAD_BYTES))

/* What a source that says "limit" is still asked for at once. */
#define SOURCE_SLOTS_MIN 8

/* Empty files come from nobody, so only the disk's pace bounds them. */
#define EMPTY_STORING_MAX 256

static uint32_t weight_of(const struct bundle_file *file)
{
    return file->size + READ_OVERHEAD_BYTES;
}

static bool has_bit(const struct bundle_file *file, uint32_t source)
{
    return file->sources >> source & 1;
}

static uint64_t alive_sources(const struct bundle *self)
{
    uint64_t mask = 0;
    for (uint32_t i = 0; i < self->source_count; i++)
        mask |= (uint64_t)bundle_source_is_alive(&self->sources[i]) << i;
    return mask;
}

static void lose(struct bundle *self, uint32_t index, struct bundle_effects *effects)
{
    self->files[index].state = BUNDLE_FILE_OVER;
    self->lost_count++;
    bundle_emit(effects, BUNDLE_LOST, UINT32_MAX)->file = index;
}

void bundle_lose_orphans(struct bundle *self, struct bundle_effects *effects)
{
    uint64_t alive = alive_sources(self);
    for (uint32_t i = 0; i < self->file_count; i++) {
        const struct bundle_file *file = &self->files[i];
        if (file->state == BUNDLE_FILE_WANTED && file->size > 0 && !(file->sources & alive))
            lose(self, i, effects);
    }
}

/* The file is for anyone who has it. */
static void want_again(struct bundle *self, uint32_t index, struct bundle_effects *effects)
{
    struct bundle_file *file = &self->files[index];
    file->state = BUNDLE_FILE_WANTED;
    for (uint32_t i = 0; i < self->source_count; i++) {
        if (has_bit(file, i) && index < self->sources[i].cursor)
            self->sources[i].cursor = index;
    }
    if (!(file->sources & alive_sources(self)))
        lose(self, index, effects);
}

static struct bundle_slot *take_slot(struct bundle *self, enum bundle_file_state state, uint32_t source,
                                     uint32_t file)
{
    assert(self->free_count > 0);
    struct bundle_slot *slot = &self->slots[self->free_slots[--self->free_count]];
    *slot = (struct bundle_slot){.state = state, .source = source, .file = file};
    self->files[file].state = (uint8_t)state;
    self->budget_used_bytes += self->files[file].size;
    return slot;
}

static void free_slot(struct bundle *self, struct bundle_slot *slot)
{
    slot->state = BUNDLE_FILE_WANTED;
    self->budget_used_bytes -= self->files[slot->file].size;
    self->free_slots[self->free_count++] = (uint32_t)(slot - self->slots);
}

/* The READ in this slot is no longer outstanding. */
static void unask(struct bundle *self, const struct bundle_slot *slot)
{
    struct bundle_source *source = &self->sources[slot->source];
    assert(slot->state == BUNDLE_FILE_ASKED && source->inflight_count > 0);
    source->inflight_count--;
    source->inflight_bytes -= weight_of(&self->files[slot->file]);
}

static void cancel(struct bundle *self, const struct bundle_slot *slot, struct bundle_effects *effects)
{
    struct message message = {.kind = KIND_CANCEL, .rid = bundle_next_rid(self, BUNDLE_RID_NO_SLOT)};
    message.cancel.read_rid = slot->rid;
    bundle_send(effects, slot->source, &message);
}

void bundle_release_reads(struct bundle *self, uint32_t source, bool is_cancelled,
                          struct bundle_effects *effects)
{
    for (uint32_t i = 0; i < BUNDLE_SLOTS_MAX && self->sources[source].inflight_count > 0; i++) {
        struct bundle_slot *slot = &self->slots[i];
        if (slot->state != BUNDLE_FILE_ASKED || slot->source != source)
            continue;
        if (is_cancelled)
            cancel(self, slot, effects);
        unask(self, slot);
        free_slot(self, slot);
        want_again(self, slot->file, effects);
    }
}

static void ask(struct bundle *self, uint32_t index, uint32_t file_index, uint64_t now_ms,
                struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    const struct bundle_file *file = &self->files[file_index];
    struct bundle_slot *slot = take_slot(self, BUNDLE_FILE_ASKED, index, file_index);
    slot->rid = bundle_next_rid(self, (uint32_t)(slot - self->slots));
    slot->sent_ms = now_ms;
    if (source->inflight_count == 0) {
        meter_resumed(&source->meter, now_ms);
        source->active_at_ms = now_ms;
    }
    source->inflight_count++;
    source->inflight_bytes += weight_of(file);
    rate_limit_spend(&self->down, file->size);
    struct message read = {.kind = KIND_READ, .rid = slot->rid};
    read.read = (struct message_range){.file = file->id, .offset = 0, .length = file->size};
    bundle_send(effects, index, &read);
}

/* The next file for this source, or UINT32_MAX. */
static uint32_t next_file(struct bundle *self, uint32_t index)
{
    struct bundle_source *source = &self->sources[index];
    for (; source->cursor < self->file_count; source->cursor++) {
        const struct bundle_file *file = &self->files[source->cursor];
        if (file->state == BUNDLE_FILE_WANTED && file->size > 0 && has_bit(file, index))
            return source->cursor;
    }
    return UINT32_MAX;
}

/* `share` is how many READs each source may have so that all can be busy. */
static bool may_ask(const struct bundle *self, const struct bundle_source *source, uint32_t share,
                    uint64_t now_ms)
{
    uint32_t slots_max = source->slots_max < share ? source->slots_max : share;
    return source->state == SOURCE_READY && source->retry_at_ms <= now_ms && self->free_count > 0 &&
           source->inflight_count < slots_max && self->storing_count < BUNDLE_STORING_MAX &&
           self->budget_used_bytes + BUNDLE_FILE_SIZE_MAX <= BUNDLE_BUDGET_BYTES &&
           source->inflight_bytes < meter_window(&source->meter, WINDOW_MIN_BYTES, source->window_max);
}

static uint32_t fair_share(const struct bundle *self)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < self->source_count; i++)
        ready += self->sources[i].state == SOURCE_READY;
    return ready ? BUNDLE_SLOTS_MAX / ready : BUNDLE_SLOTS_MAX;
}

static void store(struct bundle *self, const struct bundle_slot *slot, struct bundle_effects *effects)
{
    self->storing_count++;
    struct bundle_effect *effect = bundle_emit(effects, BUNDLE_STORE, slot->source);
    effect->file = slot->file;
    effect->ticket = (uint32_t)(slot - self->slots);
}

static void store_empty_files(struct bundle *self, struct bundle_effects *effects)
{
    for (; self->empty_cursor < self->file_count; self->empty_cursor++) {
        const struct bundle_file *file = &self->files[self->empty_cursor];
        if (file->state != BUNDLE_FILE_WANTED || file->size > 0)
            continue;
        if (self->storing_count >= EMPTY_STORING_MAX || self->free_count == 0)
            return;
        store(self, take_slot(self, BUNDLE_FILE_STORING, UINT32_MAX, self->empty_cursor), effects);
    }
}

bool bundle_is_held_back(const struct bundle *self)
{
    return self->is_limited && self->free_count + self->storing_count == BUNDLE_SLOTS_MAX;
}

void bundle_schedule(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects)
{
    if (self->is_over || !self->is_started)
        return;
    self->scheduled_at_ms = now_ms;
    store_empty_files(self, effects);
    uint32_t share = fair_share(self);
    if (bundle_is_held_back(self))
        self->progress_at_ms = now_ms;
    self->is_limited = !rate_limit_allows(&self->down, now_ms);
    for (uint32_t i = 0; i < self->source_count; i++) {
        uint32_t file;
        while (!self->is_limited && may_ask(self, &self->sources[i], share, now_ms) &&
               (file = next_file(self, i)) != UINT32_MAX) {
            ask(self, i, file, now_ms, effects);
            self->is_limited = !rate_limit_allows(&self->down, now_ms);
        }
    }
    if (self->stored_count + self->lost_count + self->refused_count == self->file_count) {
        self->is_over = true;
        bundle_emit(effects, BUNDLE_COMPLETE, UINT32_MAX);
    }
}

static struct bundle_slot *slot_of_rid(struct bundle *self, uint32_t source, uint64_t rid)
{
    uint32_t index = (uint32_t)(rid & ((1u << BUNDLE_RID_SLOT_BITS) - 1));
    if (index >= BUNDLE_SLOTS_MAX)
        return NULL;
    struct bundle_slot *slot = &self->slots[index];
    bool is_this = slot->state == BUNDLE_FILE_ASKED && slot->rid == rid && slot->source == source;
    return is_this ? slot : NULL;
}

void bundle_on_data(struct bundle *self, uint32_t index, const struct message *message, size_t payload_size,
                    uint64_t now_ms, struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    const struct message_range *data = &message->data;
    source->received_bytes += payload_size;
    self->received_bytes += payload_size;
    struct bundle_slot *slot = slot_of_rid(self, index, message->rid);
    if (!slot) { /* moved to another source meanwhile */
        self->wasted_bytes += payload_size;
        return;
    }
    struct bundle_file *file = &self->files[slot->file];
    if (!file_id_equal(&data->file, &file->id) || data->offset != 0 || data->length != file->size ||
        payload_size != file->size) {
        self->wasted_bytes += payload_size;
        bundle_source_ended(self, index, SOURCE_BANNED, "sent another range than it was asked for", effects);
        return;
    }
    meter_delivered(&source->meter, weight_of(file), slot->sent_ms, now_ms);
    source->active_at_ms = now_ms;
    source->stall_count = 0;
    unask(self, slot);
    slot->state = BUNDLE_FILE_STORING;
    file->state = BUNDLE_FILE_STORING;
    store(self, slot, effects);
}

bool bundle_on_read_error(struct bundle *self, uint32_t index, const struct message *message, uint64_t now_ms,
                          struct bundle_effects *effects)
{
    struct bundle_source *source = &self->sources[index];
    struct bundle_slot *slot = slot_of_rid(self, index, message->rid);
    if (!slot)
        return false;
    uint32_t file = slot->file;
    unask(self, slot);
    free_slot(self, slot);
    if (message->error.code == ERROR_LIMIT || message->error.code == ERROR_BUSY) {
        /* Of what was asked in one go all may be refused; that is one lesson, not many. */
        if (message->error.code == ERROR_LIMIT && source->retry_at_ms <= now_ms &&
            source->slots_max > SOURCE_SLOTS_MIN)
            source->slots_max /= 2;
        source->retry_at_ms = bundle_retry_at_ms(&message->error, now_ms);
    } else { /* gone or changed there; others may still have it */
        self->files[file].sources &= ~(UINT64_C(1) << index);
    }
    want_again(self, file, effects);
    return true;
}

void bundle_on_stored(struct bundle *self, uint32_t ticket, enum bundle_stored result, uint64_t now_ms,
                      struct bundle_effects *effects)
{
    assert(ticket < BUNDLE_SLOTS_MAX && self->slots[ticket].state == BUNDLE_FILE_STORING);
    struct bundle_slot slot = self->slots[ticket];
    struct bundle_file *file = &self->files[slot.file];
    free_slot(self, &self->slots[ticket]);
    self->storing_count--;
    self->progress_at_ms = now_ms;
    if (self->is_over)
        return;
    if (result == BUNDLE_STORED_MISMATCH) {
        assert(slot.source != UINT32_MAX);
        self->wasted_bytes += file->size;
        file->sources &= ~(UINT64_C(1) << slot.source);
        if (bundle_source_is_alive(&self->sources[slot.source]))
            bundle_source_ended(self, slot.source, SOURCE_BANNED, "sent wrong bytes", effects);
        want_again(self, slot.file, effects);
    } else {
        file->state = BUNDLE_FILE_OVER;
        self->stored_count += result == BUNDLE_STORED_OK;
        self->refused_count += result == BUNDLE_STORED_REFUSED;
        self->saved_bytes += result == BUNDLE_STORED_OK ? file->size : 0;
    }
    bundle_schedule(self, now_ms, effects);
}

uint64_t bundle_stall_at_ms(const struct bundle_source *source)
{
    uint64_t expected_ms = 4 * meter_expected_ms(&source->meter, source->inflight_bytes);
    uint64_t patience_ms = (uint64_t)DOWNLOAD_STALL_MS << (source->stall_count < 3 ? source->stall_count : 3);
    return source->active_at_ms + (expected_ms > patience_ms ? expected_ms : patience_ms);
}

static bool is_stalled(const struct bundle_source *source, uint64_t now_ms)
{
    return source->state == SOURCE_READY && source->inflight_count > 0 &&
           bundle_stall_at_ms(source) <= now_ms;
}

void bundle_check_stalls(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects)
{
    bool has_other = false;
    for (uint32_t i = 0; i < self->source_count; i++) {
        const struct bundle_source *source = &self->sources[i];
        has_other = has_other || (source->state == SOURCE_READY && source->retry_at_ms <= now_ms &&
                                  !is_stalled(source, now_ms));
    }
    for (uint32_t i = 0; i < self->source_count; i++) {
        struct bundle_source *source = &self->sources[i];
        if (!is_stalled(source, now_ms))
            continue;
        if (!has_other) { /* asking it again would only cost more */
            source->active_at_ms = now_ms;
            continue;
        }
        bundle_release_reads(self, i, true, effects);
        source->retry_at_ms = now_ms + DOWNLOAD_SNUB_MS;
        source->stall_count++;
    }
}

/* The READ that another source has owed for longest, and long enough, of a file that `index` has too. */
static struct bundle_slot *late_read(struct bundle *self, uint32_t index, uint64_t now_ms)
{
    struct bundle_slot *latest = NULL;
    for (uint32_t i = 0; i < BUNDLE_SLOTS_MAX; i++) {
        struct bundle_slot *slot = &self->slots[i];
        if (slot->state == BUNDLE_FILE_ASKED && slot->source != index &&
            slot->sent_ms + BUNDLE_LATE_MS <= now_ms && has_bit(&self->files[slot->file], index) &&
            (!latest || slot->sent_ms < latest->sent_ms))
            latest = slot;
    }
    return latest;
}

void bundle_move_late_reads(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects)
{
    for (uint32_t i = 0; i < self->source_count; i++) {
        const struct bundle_source *source = &self->sources[i];
        struct bundle_slot *slot;
        if (source->inflight_count > 0) /* it has not yet shown that it is any better */
            continue;
        while (may_ask(self, source, SOURCE_SLOTS_MIN, now_ms) && (slot = late_read(self, i, now_ms))) {
            uint32_t file = slot->file;
            cancel(self, slot, effects);
            unask(self, slot);
            free_slot(self, slot);
            ask(self, i, file, now_ms, effects);
        }
    }
}
