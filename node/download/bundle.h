/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_BUNDLE_H
#define NODE_DOWNLOAD_BUNDLE_H

/*
 * Many small files coming in as one stream. A file of one chunk needs no OPEN and no HASHES: its root, which
 * its id commits to, is all that checks it. So each source is greeted once and then sent one READ a file,
 * many at a time, within a window of bytes and a bound on their number.
 *
 * Pure, like node/download/download.h: messages, results and the time come in, effects go out. Each file is
 * asked of one source; it moves to another when that one fails, stalls, refuses it or sends wrong bytes (then
 * it is banned). A file that no source is left for is lost, and the others go on. Knows nothing of names.
 */
#include "node/download/download.h"

/* One chunk of the smallest kind. */
#define BUNDLE_FILE_SIZE_MAX (1u << CHUNK_LOG2_MIN)

/* 48 bytes each here, and a few hundred for whoever knows their names. */
#define BUNDLE_FILES_MAX 1000000

/* A bit each in a file's mask; and a bound on sockets. */
#define BUNDLE_SOURCES_MAX DOWNLOAD_SOURCES_MAX

/* In flight or not yet stored: what a bundle costs in memory. */
#define BUNDLE_BUDGET_BYTES (32u * 1024 * 1024)

/* READs under way and files being stored. Each is two frames of libzmq's, in a queue of 2048 messages at
 * either end: half of that for one source is never dropped, and at 4 KiB a file fills 600 Mbit/s at 60 ms. */
#define BUNDLE_SLOTS_MAX        4095
#define BUNDLE_SOURCE_SLOTS_MAX 1024

/* Files that came and are not stored yet, above which no more are asked for: libzmq keeps 8 KiB for the
 * smallest of them. */
#define BUNDLE_STORING_MAX 1024

/* A READ outstanding for this long may move to a source that has nothing else to do. */
#define BUNDLE_LATE_MS 1000

enum bundle_effect_kind {
    BUNDLE_CONNECT,    /* open a connection for `source` */
    BUNDLE_DISCONNECT, /* close it */
    BUNDLE_SEND,       /* send the header frame `bytes` to `source` */
    BUNDLE_STORE,      /* check and store `file` from the payload that was just handed in (an empty file has
                          none); then bundle_on_stored() with `ticket` */
    BUNDLE_SOURCE,     /* tell: `source` has a new state */
    BUNDLE_LOST,       /* no source is left for `file` */
    BUNDLE_COMPLETE,   /* every file is stored, refused by the disk, or lost */
    BUNDLE_FAILED,     /* nothing was stored within the timeout */
};

struct bundle_effect {
    enum bundle_effect_kind kind;
    uint32_t source, file, ticket;
    size_t bytes_offset, bytes_size; /* in the list's arena */
};

struct bundle_effects {
    struct bundle_effect *entries;
    size_t count, capacity;
    msgpack_sbuffer arena;
};

void bundle_effects_init(struct bundle_effects *self);
void bundle_effects_clear(struct bundle_effects *self);
void bundle_effects_release(struct bundle_effects *self);

struct bundle_config {
    uint64_t timeout_ms; /* without a stored file while none is being stored; 0: never */
    uint64_t down_rate;  /* bytes a second to ask for; 0: no limit */
    uint64_t instance;   /* of this process, for HELLO */
    const char *agent;   /* borrowed for the bundle's life */
};

enum bundle_stored {
    BUNDLE_STORED_OK,
    BUNDLE_STORED_MISMATCH, /* other bytes than the root says */
    BUNDLE_STORED_REFUSED,  /* the disk does not take this one: it is over for the file */
};

struct bundle_progress {
    struct download_progress download;
    uint32_t file_count, stored_count, lost_count, refused_count;
};

struct bundle;

struct bundle *bundle_new(const struct bundle_config *config);
void bundle_destroy(struct bundle **self_p);

/* Before the start. Sources count from 0; UINT32_MAX for one that cannot be used or is one too many. */
uint32_t bundle_add_source(struct bundle *self, const struct optional_node_id *node, const struct host *host,
                           uint16_t port);

/* Before the start. Files count from 0, in the order in which they are fetched. `sources` has a bit for each
 * that has all of it; size is at most BUNDLE_FILE_SIZE_MAX. False when there is no room. */
bool bundle_add_file(struct bundle *self, const struct file_id *id, uint32_t size, uint64_t sources);

void bundle_start(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects);

/* As in node/download/download.h. */
void bundle_on_connected(struct bundle *self, uint32_t source, uint64_t now_ms,
                         struct bundle_effects *effects);
void bundle_on_lost(struct bundle *self, uint32_t source, uint64_t now_ms, struct bundle_effects *effects);
void bundle_on_message(struct bundle *self, uint32_t source, const uint8_t *header, size_t size,
                       size_t frame_count, size_t payload_size, uint64_t now_ms,
                       struct bundle_effects *effects);

void bundle_on_stored(struct bundle *self, uint32_t ticket, enum bundle_stored result, uint64_t now_ms,
                      struct bundle_effects *effects);

void bundle_tick(struct bundle *self, uint64_t now_ms, struct bundle_effects *effects);
uint64_t bundle_next_deadline_ms(const struct bundle *self);

struct bundle_progress bundle_progress(const struct bundle *self);
struct download_source bundle_source_at(const struct bundle *self, uint32_t source);

#endif
