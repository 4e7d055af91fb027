/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_DOWNLOAD_H
#define NODE_DOWNLOAD_DOWNLOAD_H

/*
 * One file coming in from all its sources at once: the only place that decides whom to ask for what, whom to
 * believe and when to give up.
 *
 * Pure: messages, results and the time come in, effects go out. Each range is asked of one source, the one
 * expected to deliver it first, within a window for each source and one budget of bytes in flight or not yet
 * written. A chunk counts only when it is verified against the chunk layer, which is itself verified against
 * the root, and saved. A source that sends wrong bytes is banned; one that leaves or stalls loses its ranges
 * to the others.
 */

#include "messages/message.h"
#include "node/content/chunk_map.h"
#include "node/content/layout.h"
#include "node/download/picker.h"

/* A bit each in a 64-bit mask; more than enough to fill any link, and a bound on sockets. */
#define DOWNLOAD_SOURCES_MAX 64

/* In flight or not yet written, over all sources: what one download costs in memory. */
#define DOWNLOAD_BUDGET_BYTES (32u * 1024 * 1024)

/* Room for a READ of several sources, some of which may be dead. */
#define DOWNLOAD_BUDGET_MIN (4u * 1024 * 1024)

/* READs under way; budget / 64 KiB, the smallest chunk, and room for duplicates. */
#define DOWNLOAD_READS_MAX 1023

/* Without an answer to HELLO in this time a source is given up. */
#define DOWNLOAD_HELLO_MS 10000

/* A source with READs outstanding that delivers nothing for this long (or four times what it should need) has
 * stalled. Each stall since its last delivery doubles that, up to eight times: it may just be slow. */
#define DOWNLOAD_STALL_MS 5000

/* How long a stalled source is left alone unless it delivers. */
#define DOWNLOAD_SNUB_MS 10000

/* A pusher that leaves a READ or HASHES unanswered for this long is dropped: the protocol's number, and its
 * window. */
#define DOWNLOAD_PUSHER_MS           10000
#define DOWNLOAD_PUSHER_WINDOW_BYTES (16u * 1024 * 1024)

/* Connections refused or lost in a row before a source is given up. */
#define DOWNLOAD_ATTEMPTS_MAX 3

#define SOURCE_REASON_SIZE 160

enum source_state {
    SOURCE_FREE,       /* the slot is unused */
    SOURCE_CONNECTING, /* no HELLO_OK and OPEN_OK yet */
    SOURCE_READY,
    SOURCE_LEFT,
    SOURCE_BANNED,
};

enum download_effect_kind {
    DOWNLOAD_CONNECT,    /* open a connection for `source` */
    DOWNLOAD_DISCONNECT, /* close it */
    DOWNLOAD_SEND,       /* send the header frame `bytes` to `source` */
    DOWNLOAD_PROCESS,  /* hash and write the payload that was just handed in; then download_on_processed() */
    DOWNLOAD_CHECK,    /* read chunk `chunk` of the partial file and check it by `order`; then
                          download_on_checked() */
    DOWNLOAD_SAVED,    /* chunk `chunk` is verified and written: keep that in the have-map */
    DOWNLOAD_UNSAVED,  /* what an earlier run left of chunk `chunk` was wrong: it is fetched */
    DOWNLOAD_SOURCE,   /* tell: `source` has a new state; CONNECTING: it left, and is tried again */
    DOWNLOAD_COMPLETE, /* every wanted chunk is verified and written */
    DOWNLOAD_STARVED,  /* no source is left; more may be added */
    DOWNLOAD_FAILED,   /* cannot go on: see error_number (disk), or 0: no verified chunk within the timeout */
};

/* How a payload is to be checked. With `expected`, hash_count subtrees of `height` are compared and the run
 * is written only if all are right. Without, one hash of the whole run at `height` is reported. */
struct process_order {
    uint32_t ticket;
    struct run run;
    unsigned height;
    uint32_t span_bytes;         /* bytes of one subtree */
    const struct hash *expected; /* valid as long as the download; NULL for a block of a larger chunk */
};

struct download_effect {
    enum download_effect_kind kind;
    uint32_t source;
    uint32_t chunk;
    int error_number;
    size_t bytes_offset, bytes_size; /* in the list's arena */
    struct process_order order;
};

/* Bounded by what one event can cause: a READ for each ticket, a CANCEL for each, a few for each source. */
#define DOWNLOAD_EFFECTS_MAX 8192

struct download_effects {
    struct download_effect *entries;
    size_t count, capacity;
    msgpack_sbuffer arena;
};

void download_effects_init(struct download_effects *self);
void download_effects_clear(struct download_effects *self);
void download_effects_release(struct download_effects *self);

struct download_config {
    struct file_id id;
    struct hash root;
    uint64_t size;                /* at most FILE_SIZE_MAX */
    uint64_t range_begin;         /* only the chunks of these bytes are fetched: [begin, end) */
    uint64_t range_end;           /* at most size; 0: to the end */
    bool is_in_order;             /* for writing to a pipe, or watching while it arrives */
    uint64_t budget_bytes;        /* 0: the default; at least DOWNLOAD_BUDGET_MIN */
    uint64_t down_rate;           /* bytes a second to ask for; 0: no limit */
    uint64_t timeout_ms;          /* without a verified chunk; 0: never */
    uint64_t seed;                /* randomness for the picker */
    struct optional_node_id node; /* who we are, for HELLO */
    uint64_t instance;
    const char *node_name, *agent; /* borrowed for the download's life */
};

enum processed_status {
    PROCESSED_OK,
    PROCESSED_MISMATCH, /* not written */
    PROCESSED_FAILED,   /* could not be written: error_number */
};

struct processed {
    enum processed_status status;
    struct hash hash; /* without `expected`: of the run */
    int error_number;
};

/* What can be told of a source. Strings are valid until the next call. */
struct download_source {
    enum source_state state;
    bool is_pusher; /* it came by itself; it has no port */
    bool is_silent; /* a pusher that left because it did not answer */
    bool has_node;
    struct node_id node;
    struct host host;
    uint16_t port;
    const char *name;        /* as the source calls itself; unescaped network text */
    const char *reason;      /* why it left or was banned; unescaped */
    uint64_t received_bytes; /* payload */
    uint64_t rate;           /* bytes a second */
    uint64_t inflight_bytes;
};

struct download_progress {
    uint64_t saved_bytes;    /* verified and written, earlier runs included; of a range, of it alone */
    uint64_t received_bytes; /* payload of this run */
    uint64_t wasted_bytes;   /* of those: duplicates and what did not verify */
    uint32_t ready_sources;
};

struct download;

struct download *download_new(const struct download_config *config, uint64_t now_ms);
void download_destroy(struct download **self_p);

const struct layout *download_layout(const struct download *self);
const struct chunk_map *download_chunks(const struct download *self);
struct download_progress download_progress(const struct download *self);
struct download_source download_source_at(const struct download *self,
                                          uint32_t source); /* source < DOWNLOAD_SOURCES_MAX */

/* The chunk layer once it is verified, else NULL; chunk_count hashes. NULL too for a file of one chunk. */
const struct hash *download_layer(const struct download *self);

/* Before the first source: the layer that an earlier run kept. False, and fetched anew, when it does not hash
 * to the root. */
bool download_load_layer(struct download *self, const struct hash *layer, uint32_t count);

/*
 * Before the start: a chunk that an earlier run says to have written. It is not asked for, but hashed again
 * (in the background, DOWNLOAD_CHECKS_MAX at a time) before it counts; if it is not right it is fetched.
 * Outside the range it stays a claim.
 */
void download_claim_chunk(struct download *self, uint32_t chunk);
#define DOWNLOAD_CHECKS_MAX 4

/* The claims that still stand: a have-map must keep them, or they are lost at the next interruption. */
const struct chunk_map *download_claims(const struct download *self);
void download_on_checked(struct download *self, uint32_t chunk, bool is_right, uint64_t now_ms,
                         struct download_effects *effects);

/* After DOWNLOAD_COMPLETE: what was written may have been changed by others. All of it becomes claims, and it
 * completes again. */
void download_doubt(struct download *self, uint64_t now_ms, struct download_effects *effects);

/* No source is left, and nothing is under way: only download_add_source() helps. */
bool download_is_starved(const struct download *self);

/* How busy it is, for whoever explains its speed. */
struct download_load {
    uint64_t backlog_bytes; /* received, not yet hashed and written */
    bool is_window_full;    /* every ready source delivers its largest window each round trip */
    bool is_limited;        /* READs wait for `down_rate` */
};
struct download_load download_load(const struct download *self);

/* Changes budget_bytes and down_rate of the config: what others leave to it. */
void download_set_share(struct download *self, uint64_t budget_bytes, uint64_t down_rate, uint64_t now_ms);

/* Begins; completes at once when nothing is missing. */
void download_start(struct download *self, uint64_t now_ms, struct download_effects *effects);

/*
 * Adds a source, by address; `node` absent when it is not known. Nothing happens when it is already used,
 * banned, tried less than 30 s ago (1 s for one that delivered and then said BYE or was lost), unusable as an
 * address, ourselves, or the table is full.
 */
void download_add_source(struct download *self, const struct optional_node_id *node, const struct host *host,
                         uint16_t port, uint64_t now_ms, struct download_effects *effects);

/* Somebody who offered the file over a connection of his own. */
struct download_pusher {
    struct host host;
    const char *name;             /* at most LABEL_SIZE_MAX bytes; copied */
    const struct chunk_map *have; /* NULL: all chunks; copied */
};

/*
 * A source that came by itself: ready at once, asked as any other, and gone for good when it leaves or does
 * not answer for DOWNLOAD_PUSHER_MS. It is never connected to; DOWNLOAD_DISCONNECT says that nothing is asked
 * of it any more. UINT32_MAX when the table is full or the download is over.
 */
uint32_t download_add_pusher(struct download *self, const struct download_pusher *pusher, uint64_t now_ms,
                             struct download_effects *effects);

/* Its offer was withdrawn, and what it was asked is cancelled; or it `is_gone` with its connection. */
void download_remove_pusher(struct download *self, uint32_t source, bool is_gone, uint64_t now_ms,
                            struct download_effects *effects);

/* Is this the rid of a question to `source` that waits for its answer? Rids begin at a random number, so that
 * those of two downloads that ask over one connection do not meet. */
bool download_asked(const struct download *self, uint32_t source, uint64_t rid);

void download_on_connected(struct download *self, uint32_t source, uint64_t now_ms,
                           struct download_effects *effects);

/* The connection ended, or an attempt failed. It is being tried again unless DOWNLOAD_DISCONNECT says
 * otherwise. */
void download_on_lost(struct download *self, uint32_t source, uint64_t now_ms,
                      struct download_effects *effects);

/* A message from a source. A DOWNLOAD_PROCESS among the effects takes the payload; otherwise it is dropped.
 */
void download_on_message(struct download *self, uint32_t source, const uint8_t *header, size_t size,
                         size_t frame_count, size_t payload_size, uint64_t now_ms,
                         struct download_effects *effects);

void download_on_processed(struct download *self, uint32_t ticket, const struct processed *result,
                           uint64_t now_ms, struct download_effects *effects);

void download_tick(struct download *self, uint64_t now_ms, struct download_effects *effects);
uint64_t download_next_deadline_ms(const struct download *self);

#endif
