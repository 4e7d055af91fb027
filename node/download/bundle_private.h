/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_BUNDLE_PRIVATE_H
#define NODE_DOWNLOAD_BUNDLE_PRIVATE_H

/* What bundle.c (messages and time), bundle_reads.c (which file is asked of whom) and bundle_sources.c (from
 * address to end) share. */

#include "node/download/bundle.h"
#include "node/rate/meter.h"
#include "node/rate/rate_limit.h"

/* A rid names the READ's slot in its low bits, so that an answer is found at once. */
#define BUNDLE_RID_SLOT_BITS 12
#define BUNDLE_RID_NO_SLOT   ((1u << BUNDLE_RID_SLOT_BITS) - 1)
_Static_assert(BUNDLE_SLOTS_MAX <= BUNDLE_RID_NO_SLOT, "slots fit");

enum bundle_file_state {
    BUNDLE_FILE_WANTED,
    BUNDLE_FILE_ASKED,
    BUNDLE_FILE_STORING,
    BUNDLE_FILE_OVER,
};

struct bundle_file {
    struct file_id id;
    uint64_t sources; /* that have it and did not refuse it */
    uint32_t size;
    uint8_t state; /* enum bundle_file_state */
};

struct bundle_slot {
    enum bundle_file_state state; /* ASKED or STORING; WANTED when the slot is free */
    uint32_t source;              /* UINT32_MAX for an empty file */
    uint32_t file;
    uint64_t rid;
    uint64_t sent_ms;
};

struct bundle_source {
    enum source_state state;
    bool has_node;
    struct node_id node;
    struct host host;
    uint16_t port;
    char name[LABEL_SIZE_MAX + 1];
    char reason[SOURCE_REASON_SIZE];
    unsigned attempts;    /* connections that failed since the last HELLO_OK */
    uint64_t deadline_ms; /* SOURCE_CONNECTING: for the answer to HELLO */
    uint64_t retry_at_ms; /* nothing is asked before */
    bool is_put_off;      /* SOURCE_CONNECTING: it was busy; greeted again at retry_at_ms */
    uint64_t hello_rid;
    uint32_t cursor; /* no file before this one is wanted and has the source's bit */
    uint32_t slots_max;
    uint32_t window_max;
    struct meter meter;
    uint64_t inflight_bytes; /* weighed: see weight_of() */
    uint32_t inflight_count;
    unsigned stall_count;  /* since it delivered */
    uint64_t active_at_ms; /* it delivered, or was asked after a pause */
    uint64_t received_bytes;
};

struct bundle {
    struct bundle_config config;
    struct bundle_file *files;
    uint32_t file_count, file_capacity;
    uint32_t empty_cursor; /* no empty file before this one is wanted */
    struct bundle_source sources[BUNDLE_SOURCES_MAX];
    uint32_t source_count;
    struct bundle_slot slots[BUNDLE_SLOTS_MAX];
    uint32_t free_slots[BUNDLE_SLOTS_MAX];
    uint32_t free_count;
    uint32_t storing_count;
    uint64_t serial;
    uint64_t budget_used_bytes; /* in flight or being stored */
    uint64_t saved_bytes, received_bytes, wasted_bytes;
    uint32_t stored_count, lost_count, refused_count;
    struct rate_limit down;
    bool is_limited; /* READs wait for it */
    uint64_t progress_at_ms;
    uint64_t scheduled_at_ms;
    bool is_started, is_over;
};

/* Effects, rids. */
struct bundle_effect *bundle_emit(struct bundle_effects *effects, enum bundle_effect_kind kind,
                                  uint32_t source);
void bundle_send(struct bundle_effects *effects, uint32_t source, const struct message *message);
uint64_t bundle_next_rid(struct bundle *self, uint32_t slot);

/* Files and READs (bundle_reads.c). */
void bundle_schedule(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects);
void bundle_on_data(struct bundle *self, uint32_t source, const struct message *message, size_t payload_size,
                    uint64_t now_ms, struct bundle_effects *effects);
/* Nothing is asked for until `down_rate` allows it. */
bool bundle_is_held_back(const struct bundle *self);
/* True when it answers a READ. */
bool bundle_on_read_error(struct bundle *self, uint32_t source, const struct message *message,
                          uint64_t now_ms, struct bundle_effects *effects);
void bundle_release_reads(struct bundle *self, uint32_t source, bool is_cancelled,
                          struct bundle_effects *effects);
/* Files that only sources which are over had. */
void bundle_lose_orphans(struct bundle *self, struct bundle_effects *effects);
void bundle_check_stalls(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects);
void bundle_move_late_reads(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects);
uint64_t bundle_stall_at_ms(const struct bundle_source *source);

/* Sources (bundle_sources.c). */
bool bundle_source_is_alive(const struct bundle_source *source);
void bundle_source_ended(struct bundle *self, uint32_t source, enum source_state state, const char *reason,
                         struct bundle_effects *effects);
void bundle_on_hello_ok(struct bundle *self, uint32_t source, const struct message *message, uint64_t now_ms,
                        struct bundle_effects *effects);
void bundle_on_hello_error(struct bundle *self, uint32_t source, const struct message *message,
                           uint64_t now_ms, struct bundle_effects *effects);
void bundle_check_connecting(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects);
uint64_t bundle_retry_at_ms(const struct message_error *error, uint64_t now_ms);

#endif
