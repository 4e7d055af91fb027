/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_SWARM_PRIVATE_H
#define TESTS_SIM_SWARM_PRIVATE_H

/* What swarm.c (clock, links and downloads), server.c (scripted sources) and checks.c share. */

#include "tests/sim/random.h"
#include "tests/sim/swarm.h"

#include "node/download/download.h"

#define CHUNKS_TRACKED_MAX 2049
#define READS_TRACKED_MAX  DOWNLOAD_READS_MAX

enum event_kind {
    EVENT_CONNECTED,
    EVENT_LOST,
    EVENT_TO_SERVER,
    EVENT_TO_DOWNLOAD,
    EVENT_SENT, /* a source's link has sent one DATA */
    EVENT_PROCESSED,
    EVENT_CHECKED,
    EVENT_GROWTH,
    EVENT_DROP,
    EVENT_BYE,
};

/* A payload is its length and which cell of it is wrong. */
struct event {
    uint64_t at_us, serial;
    enum event_kind kind;
    uint32_t download, source, generation;
    uint8_t *bytes; /* the header frame; freed with the event */
    size_t size;
    bool has_payload;
    uint32_t payload_length, wrong_cell;
    struct process_order order;
    uint32_t chunk;
};

struct reply {
    uint32_t download, generation;
    uint64_t rid, offset;
    uint32_t length, wrong_cell;
};

struct server {
    struct source_script script;
    struct chunk_map chunks;
    struct reply *replies; /* READs not answered yet, the oldest first */
    size_t reply_count, reply_capacity;
    bool is_sending;
    uint32_t last_download; /* served last */
};

/* One connection between a download and a source. */
struct link {
    bool is_wanted, is_up, is_open; /* wanted by the download; there; OPEN was answered */
    uint32_t generation;            /* what was sent over an earlier connection is lost */
    uint64_t last_arrival_us;       /* messages keep their order */
    uint64_t open_rid;
    uint64_t asked_bytes; /* as the download knows it */
    struct {
        uint64_t rid;
        uint32_t length;
    } asked[READS_TRACKED_MAX];
    size_t asked_count;
};

struct client {
    struct download *download;
    struct link links[SWARM_SOURCES_MAX];
    int8_t server_of_slot[DOWNLOAD_SOURCES_MAX]; /* -1: none */
    uint8_t slot_of_server[SWARM_SOURCES_MAX];
    uint8_t *cells; /* per cell: enum cell_state */
    uint8_t saved[CHUNKS_TRACKED_MAX];
    uint64_t processing_bytes;
    unsigned write_count;
    bool is_over;
    uint64_t readd_at_ms; /* starved: sources are added again then */
};

enum cell_state {
    CELL_MISSING,
    CELL_RIGHT,
    CELL_WRONG,
};

struct swarm {
    struct swarm_script script;
    struct content content;
    uint64_t random, now_us, serial;
    struct event *events; /* a binary heap by time, then serial */
    size_t event_count, event_capacity;
    struct server servers[SWARM_SOURCES_MAX];
    struct client clients[SWARM_DOWNLOADS_MAX];
    struct download_effects effects;
    struct swarm_outcome outcome;
};

static inline uint64_t swarm_now_ms(const struct swarm *self)
{
    return self->now_us / 1000;
}

/* Events. */
void swarm_push(struct swarm *self, const struct event *event);
bool swarm_pop(struct swarm *self, struct event *ret_event);

/* Messages from a source to a download; `event` says what else goes with it. */
void swarm_send(struct swarm *self, uint32_t download, uint32_t source, const struct message *message,
                uint32_t payload_length, uint32_t wrong_cell);

/* Sources. */
void server_init(struct swarm *self, uint32_t source);
void server_release(struct server *self);
void server_on_message(struct swarm *self, const struct event *event);
void server_on_sent(struct swarm *self, uint32_t source);
void server_on_growth(struct swarm *self, uint32_t source);
void server_on_lost(struct swarm *self, uint32_t download, uint32_t source);
bool server_is_frozen(const struct swarm *self, uint32_t source);

/* What must hold. */
void check_broken(struct swarm *self, const char *what);
void check_read(struct swarm *self, uint32_t download, uint32_t source, const struct message *message);
void check_answered(struct link *link, uint64_t rid);
void check_written(struct client *client, const struct run *run, uint32_t wrong_cell);
void check_saved(struct swarm *self, uint32_t download, uint32_t chunk);
void check_source(struct swarm *self, uint32_t download, uint32_t slot);
void check_all(struct swarm *self, uint32_t download);

#endif
