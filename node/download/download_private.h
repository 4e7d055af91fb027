/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_DOWNLOAD_PRIVATE_H
#define NODE_DOWNLOAD_DOWNLOAD_PRIVATE_H

/* What download.c (messages and time), download_sources.c, download_reads.c (whom to ask for what) and
 * download_layer.c share.
 */

#include "node/download/download.h"
#include "node/download/verifier.h"
#include "node/rate/meter.h"
#include "node/rate/rate_limit.h"

/* A rid names the READ's slot in its low bits, so that an answer is found at once. */
#define RID_SLOT_BITS 10
#define RID_NO_SLOT   ((1u << RID_SLOT_BITS) - 1)
_Static_assert(DOWNLOAD_READS_MAX <= RID_NO_SLOT, "slots fit");
_Static_assert(DOWNLOAD_SOURCES_MAX <= VERIFIER_SOURCES_MAX, "a bit for each source");

enum read_state {
    READ_FREE,
    READ_ASKED,
    READ_PROCESSING,
};

struct read {
    enum read_state state;
    uint32_t source;
    uint64_t rid;
    uint64_t sent_ms;
    struct run run;
    bool is_given_up; /* its source has stalled: others are asked for it as if it were not */
    bool is_repeat;   /* another source was asked for it before */
};

struct source {
    enum source_state state;
    bool is_pusher, is_silent;
    bool has_node;
    struct node_id node;
    struct host host;
    uint16_t port;
    char name[LABEL_SIZE_MAX + 1];
    char reason[SOURCE_REASON_SIZE];
    unsigned attempts;    /* connections that failed since the last HELLO_OK */
    uint64_t deadline_ms; /* SOURCE_CONNECTING: for the answer to HELLO and OPEN */
    uint64_t retry_at_ms; /* SOURCE_READY: nothing is asked before; SOURCE_LEFT: not added again before */
    bool is_put_off;      /* SOURCE_CONNECTING: it was busy; greeted again at retry_at_ms */
    uint64_t hello_rid, open_rid, layer_rid;
    uint64_t layer_asked_ms;
    bool is_told_gone; /* that its connection was lost */
    bool is_partial;
    struct chunk_map chunks; /* when is_partial */
    bool has_nothing;        /* what it holds is asked for already; until something changes */
    uint32_t begun_chunk;    /* a large chunk of which it was asked for a part, or UINT32_MAX */
    uint32_t window_max, read_max;
    struct meter meter;
    uint64_t inflight_bytes;
    uint32_t inflight_count;
    unsigned stall_count;  /* since it delivered */
    uint64_t active_at_ms; /* it delivered, or was asked after a pause */
    uint64_t received_bytes;
};

struct download {
    struct download_config config;
    struct layout layout;
    struct chunk_map chunks;           /* verified and saved */
    struct chunk_map claims;           /* written by an earlier run, not checked yet */
    uint32_t wanted_begin, wanted_end; /* the chunks of the range */
    uint32_t lacking_count;            /* of these, not verified and saved */
    uint32_t claim_cursor;
    uint32_t checking_count;
    struct hash *layer; /* chunk_count hashes, NULL for one chunk */
    bool has_layer;
    uint32_t layer_source; /* who is being asked for the layer, or UINT32_MAX */
    uint32_t layer_received;
    struct picker *picker;
    struct verifier *verifier; /* NULL when chunks are no larger than a block */
    struct source sources[DOWNLOAD_SOURCES_MAX];
    uint32_t partial_count;
    struct read reads[DOWNLOAD_READS_MAX];
    uint32_t read_cursor;
    uint64_t serial;
    uint64_t inflight_bytes, processing_bytes;
    uint64_t received_bytes, wasted_bytes, saved_bytes;
    uint64_t repeating_bytes; /* in flight although another source was asked for them before */
    struct rate_limit down;
    bool is_limited; /* READs wait for `down` */
    uint64_t progress_at_ms;
    uint64_t pushers_due_ms;  /* no pusher's answer is due before */
    uint64_t scheduled_at_ms; /* what is due by then has been looked at */
    bool is_started, is_over, was_starved;
};

/* Effects. */
struct download_effect *download_emit(struct download_effects *effects, enum download_effect_kind kind,
                                      uint32_t source);
void download_send(struct download_effects *effects, uint32_t source, const struct message *message);
uint64_t download_next_rid(struct download *self, uint32_t slot);

/* After chunks were saved or found: it is complete, or more is asked for. */
void download_go_on(struct download *self, uint64_t now_ms, struct download_effects *effects);

/* Sources: from their address to the end (download_sources.c). */
void download_source_left(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                          struct download_effects *effects);
/* Said goodbye or was lost: it may be back soon. */
void download_source_gone(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                          struct download_effects *effects);
void download_source_banned(struct download *self, uint32_t source, const char *reason, uint64_t now_ms,
                            struct download_effects *effects);
void download_ban_culprits(struct download *self, uint64_t culprits, uint64_t now_ms,
                           struct download_effects *effects);

void download_on_hello_ok(struct download *self, uint32_t source, const struct message *message,
                          uint64_t now_ms, struct download_effects *effects);
void download_on_open_ok(struct download *self, uint32_t source, const struct message *message,
                         uint64_t now_ms, struct download_effects *effects);
void download_on_greeting_error(struct download *self, uint32_t source, const struct message *message,
                                uint64_t now_ms, struct download_effects *effects);
void download_check_connecting(struct download *self, uint64_t now_ms, struct download_effects *effects);
uint64_t download_retry_at_ms(const struct message_error *error, uint64_t now_ms);

/* For a new source: free, or of one that left long ago and sent nothing that is still being hashed. */
uint32_t download_free_slot(const struct download *self, uint64_t now_ms);
/* The chunks that a source says to hold; nil: all. False when that is no bitfield of this file. */
bool download_take_chunks(struct download *self, struct source *source, const struct optional_blob *have);

/* Those who come by themselves (download_pushers.c). */
void download_expect_answer(struct download *self, const struct source *source, uint64_t now_ms);
void download_check_pushers(struct download *self, uint64_t now_ms, struct download_effects *effects);

/* READs (download_reads.c). */
void download_schedule(struct download *self, uint64_t now_ms, struct download_effects *effects);
/* A source is gone: what it owes is asked of others. */
void download_release_reads(struct download *self, uint32_t source);
/* It need not answer any more. */
void download_cancel_reads(struct download *self, uint32_t source, struct download_effects *effects);
bool download_has_asked_read(const struct download *self, uint32_t source, uint64_t rid);
void download_on_data(struct download *self, uint32_t source, const struct message *message,
                      size_t payload_size, uint64_t now_ms, struct download_effects *effects);
/* The READ that was answered by an error, if it still is one of this source; its range is free again. */
bool download_read_refused(struct download *self, uint32_t source, uint64_t rid, struct run *ret_run);
/* Something from this source is being hashed or written. */
bool download_owes_result(const struct download *self, uint32_t source);
void download_check_stalls(struct download *self, uint64_t now_ms, struct download_effects *effects);
uint64_t download_stall_at_ms(const struct source *source);
uint64_t download_endgame_look_at_ms(const struct download *self);
void download_something_changed(struct download *self);

/* Its answer came, or is no longer waited for. */
void download_free_read(struct download *self, struct read *read);

/* What hashing and writing found out (download_results.c). */
void download_save_chunk(struct download *self, uint32_t chunk, uint64_t now_ms,
                         struct download_effects *effects);
const struct hash *download_expected(const struct download *self, uint32_t chunk);

/* Which chunks are wanted, and how many bytes of the range are in one of them (download_range.c). */
void download_choose_chunks(struct download *self);
uint64_t download_wanted_length(const struct download *self, uint32_t chunk);

/* What an earlier run left (download_claims.c). */
void download_check_claims(struct download *self, struct download_effects *effects);

/* The chunk layer (download_layer.c). */
bool download_needs_layer(const struct download *self);
void download_ask_layer(struct download *self, uint64_t now_ms, struct download_effects *effects);
void download_ask_layer_early(struct download *self, uint32_t source, uint64_t now_ms,
                              struct download_effects *effects); /* with HELLO and OPEN */
void download_on_hashes(struct download *self, uint32_t source, const struct message *message,
                        uint64_t now_ms, struct download_effects *effects);
void download_layer_refused(struct download *self, uint32_t source);

#endif
