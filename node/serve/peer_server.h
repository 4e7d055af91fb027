/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_PEER_SERVER_H
#define NODE_SERVE_PEER_SERVER_H

/*
 * The serving end of the peer link (docs/protocol.md, "Peer link"): decides what each requester gets and
 * when.
 *
 * Replies that weigh (DATA, HASHES_OK, LIST_OK) wait in an upload queue, so that who does not read them only
 * holds back himself. Each such effect bears a ticket that the caller gives back: with the result of the
 * disk, and with peer_server_on_sent() once the message and its buffer are free again, sent or not. The other
 * replies are small, and bounded by the socket's queue; a requester that lets that one overflow is dropped.
 */

#include "node/serve/holdings.h"
#include "node/serve/peer_effects.h"

/* Requesters that said HELLO. Strangers set it; 1024 cost 1 MiB here (cursors aside) and 27 MiB in libzmq. */
#define PEER_SESSIONS_MAX 1024

/* When the table is full, a session this long idle and with nothing outstanding makes room; it has to say
 * HELLO again. */
#define PEER_IDLE_MS 120000

/* Partial files of which one requester wants HAVE events: what a downloader fetches at once. */
#define PEER_FOLLOWS_MAX 64

/* When to ask again: for a file whose id is being found out, for a table that was full. */
#define PEER_HASHING_RETRY_MS 1000
#define PEER_BUSY_RETRY_MS    5000
#define PEER_QUEUE_RETRY_MS   200

struct peer_server_config {
    struct node_id node;
    uint64_t instance;
    struct text node_name, agent; /* borrowed as long as the server lives */
    uint32_t features;            /* with FEATURE_ACCEPTS_PUSHES, OFFERs are for their owner to decide */
    uint64_t up_rate;             /* bytes a second, over all requesters; 0: no limit */
    uint64_t up_rate_each;        /* the same, of each requester */
};

/* What disk says about an upload. */
enum disk_result {
    DISK_OK,
    DISK_CHANGED, /* not what was hashed, or gone */
    DISK_FAILED,
    DISK_HASHING, /* hashes that are lost and being found out again */
};

struct peer_server_figures {
    size_t sessions;
    uint64_t bad_messages, dropped_messages, errors_sent, data_bytes_sent;
};

struct peer_server;

/* Holdings are borrowed and outlive the server. */
struct peer_server *peer_server_new(const struct peer_server_config *config, const struct holdings *holdings);
void peer_server_destroy(struct peer_server **self_p);

/*
 * One message. `connection` is a number by which lost connections are told later (an fd: it may be reused).
 * Payload frames are only counted.
 */
void peer_server_on_message(struct peer_server *self, uint32_t route, int connection, const uint8_t *header,
                            size_t size, size_t frame_count, uint64_t now_ms, struct peer_effects *effects);

/* Lets a route in without HELLO: the node at the other end of a push. */
void peer_server_admit(struct peer_server *self, uint32_t route, int connection, uint64_t now_ms);

/* How long the rate would make one more READ of this requester wait. */
uint64_t peer_server_wait_ms(const struct peer_server *self, uint32_t route, uint64_t now_ms);

void peer_server_on_chunk(struct peer_server *self, uint64_t ticket, enum disk_result result, uint64_t now_ms,
                          struct peer_effects *effects);

/* `hashes` holds the count that was asked for when the result is DISK_OK. */
void peer_server_on_hashes(struct peer_server *self, uint64_t ticket, enum disk_result result,
                           const struct hash *hashes, uint64_t now_ms, struct peer_effects *effects);

void peer_server_on_sent(struct peer_server *self, uint64_t ticket, uint64_t now_ms,
                         struct peer_effects *effects);

/* A send told that the route is gone. */
void peer_server_on_route_lost(struct peer_server *self, uint32_t route, struct peer_effects *effects);

/* A send told that the route's queue is full: it is disconnected, for it would miss the reply. */
void peer_server_on_congested(struct peer_server *self, uint32_t route, struct peer_effects *effects);

/* Starts what the rate allows by now, and disconnects one that holds up others (UPLOAD_STALL_MS). */
void peer_server_tick(struct peer_server *self, uint64_t now_ms, struct peer_effects *effects);

/* When to call it, at the latest: soon while not idle. */
uint64_t peer_server_next_deadline_ms(const struct peer_server *self);
#define PEER_SERVER_TICK_MS 100

/* Some connection with this number ended: a PING to each of its routes finds out whose. */
void peer_server_on_connection_lost(struct peer_server *self, int connection, struct peer_effects *effects);

/* After holdings_partial_verified(): tells those who follow the file. */
void peer_server_on_verified(struct peer_server *self, uint64_t partial_handle, uint32_t first,
                             uint32_t count, struct peer_effects *effects);

/* No OFFER of this route stands any more. */
void peer_server_push_over(struct peer_server *self, uint32_t route);

/* BYE to every session, before the socket closes. */
void peer_server_on_stop(struct peer_server *self, struct peer_effects *effects);

/* True when nothing is queued, on disk or with the socket. */
bool peer_server_is_idle(const struct peer_server *self);
/* The rates do not hold for this requester. */
void peer_server_exempt(struct peer_server *self, uint32_t route);

/* Bytes a second from now on, over all requesters; 0: no limit. */
void peer_server_set_up_rate(struct peer_server *self, uint64_t up_rate, uint64_t now_ms);

struct peer_server_figures peer_server_figures(const struct peer_server *self);

#endif
