/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_SWARM_PRIVATE_H
#define TESTS_SIM_SWARM_PRIVATE_H

/* What swarm.c (clock and links), clients.c (downloads), server.c (scripted sources), node_server.c (nodes)
 * and checks.c share. */

#include "tests/sim/random.h"
#include "tests/sim/swarm.h"

#include "node/download/download.h"
#include "node/serve/peer_server.h"

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
    EVENT_DISK,       /* a node has read what it wanted to send */
    EVENT_TICKET,     /* what a node sent, or did not, is out of its hands */
    EVENT_ROUTE_LOST, /* a node wanted to send to who is gone */
    EVENT_PUSH,       /* a node offers the file, for the first time or again */
    EVENT_RESTART,    /* of a node, and of its download */
    EVENT_REVIVE,     /* of a download that its disk had ended */
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
    uint64_t ticket;
};

struct reply {
    uint32_t download, generation;
    uint64_t rid, offset;
    uint32_t length, wrong_cell;
};

/* What a node's cores hold in hand. */
struct handed {
    uint64_t ticket;
    uint32_t route;
    uint64_t offset;
    uint32_t length, wrong_cell;
    uint8_t *header; /* once it is to be sent */
    size_t header_size;
};

/* The serving end of a node. */
struct node_server {
    struct share_index *index;
    struct holdings *holdings;
    struct peer_server *server;
    struct peer_effects effects;
    struct handed *handed; /* in the order in which they were asked for */
    size_t handed_count, handed_capacity;
    uint64_t sending; /* the ticket that is on the link; 0: none */
    uint64_t data_bytes, deadline_ms;
    bool is_holding;
};

struct server {
    struct source_script script;
    struct node_server *node; /* NULL: scripted */
    uint64_t away_until_us, instance;
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
    bool is_over, will_revive;
    int32_t server; /* its serving end; -1: none */
    uint32_t life;  /* what an earlier one had under way is lost */
    uint64_t deadline_ms;
    uint64_t readd_at_ms; /* starved: sources are added again then */
};

enum cell_state {
    CELL_MISSING,
    CELL_RIGHT,
    CELL_WRONG,
};

struct swarm {
    struct swarm_script script;
    struct sim_content content;
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

/* Messages from a source to a download, and what goes with it. */
void swarm_send_bytes(struct swarm *self, uint32_t download, uint32_t source, const void *bytes, size_t size,
                      uint32_t payload_length, uint32_t wrong_cell);
void swarm_send(struct swarm *self, uint32_t download, uint32_t source, const struct message *message,
                uint32_t payload_length, uint32_t wrong_cell);

uint8_t *swarm_copy(const void *bytes, size_t size);

/* Downloads. */
void client_init(struct swarm *self, uint32_t download);
void client_release(struct client *self);
void client_restart(struct swarm *self, uint32_t download);
void client_on_connected(struct swarm *self, const struct event *event);
void client_on_push(struct swarm *self, const struct event *event);
void client_on_lost(struct swarm *self, const struct event *event);
void client_on_message(struct swarm *self, const struct event *event);
void client_on_processed(struct swarm *self, const struct event *event);
void client_on_checked(struct swarm *self, const struct event *event);
void client_tick(struct swarm *self, uint32_t download);
uint64_t client_due_ms(const struct client *client);

/* Sources. */
void server_init(struct swarm *self, uint32_t source);
void server_release(struct server *self);
void server_on_message(struct swarm *self, const struct event *event);
void server_on_sent(struct swarm *self, uint32_t source);
void server_on_growth(struct swarm *self, uint32_t source);
void server_on_lost(struct swarm *self, uint32_t download, uint32_t source);
bool server_is_frozen(const struct swarm *self, uint32_t source);

bool server_is_away(const struct swarm *self, uint32_t source);

/* Nodes. */
void node_server_start(struct swarm *self, uint32_t source);
void node_server_stop(struct server *server);
void node_server_on_message(struct swarm *self, const struct event *event);
void node_server_admit(struct swarm *self, uint32_t download, uint32_t source);
void node_server_on_lost(struct swarm *self, uint32_t download, uint32_t source);
void node_server_on_event(struct swarm *self, const struct event *event);
void node_server_on_chunks(struct swarm *self, uint32_t source); /* its download may have more */
void node_server_on_growth(struct swarm *self, uint32_t source, uint32_t chunk);
void node_server_tick(struct swarm *self, uint32_t source);
uint64_t node_server_deadline_ms(const struct swarm *self, uint32_t source);

/* What must hold. */
void check_broken(struct swarm *self, const char *what);
void check_read(struct swarm *self, uint32_t download, uint32_t source, const struct message *message);
void check_answered(struct link *link, uint64_t rid);
void check_written(struct client *client, const struct run *run, uint32_t wrong_cell);
void check_saved(struct swarm *self, uint32_t download, uint32_t chunk);
void check_source(struct swarm *self, uint32_t download, uint32_t slot);
void check_all(struct swarm *self, uint32_t download);

#endif
