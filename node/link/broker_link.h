/* SPDX-License-Identifier: MIT */
#ifndef NODE_LINK_BROKER_LINK_H
#define NODE_LINK_BROKER_LINK_H

/*
 * A node's membership at its broker (docs/protocol.md, "Broker link"): joins, keeps the lease, tells what
 * changed, answers queries, and joins again whenever the broker may have forgotten it.
 *
 * Random numbers are arguments: they spread what many nodes would else do in the same millisecond. Everything
 * that is not the link's business is handed back to the caller, whose rids must be below BROKER_LINK_RID_MIN.
 */

#include "messages/message.h"
#include "node/serve/holdings.h"

/* Rids of the link's own requests have this bit. */
#define BROKER_LINK_RID_MIN (UINT64_C(1) << 63)

/* A re-join after a lost connection waits up to this long: 10 000 nodes are then 10 a ms. */
#define BROKER_REJOIN_JITTER_MS 1000

/* A JOIN without an answer; a broker takes 2 s to look into a duplicate. */
#define BROKER_JOIN_TIMEOUT_MS 10000

/* After a refusal that gives no time: a duplicate ends with a lease, a rule with its administrator. */
#define BROKER_REFUSED_RETRY_MS 5000

/* The longest wait that a broker may ask for. */
#define BROKER_RETRY_MS_MAX 60000

/* Leases outside this are read as the nearer bound: a PING every 300 ms at most, once in 18 minutes at least.
 */
#define BROKER_LEASE_MS_MIN 1000
#define BROKER_LEASE_MS_MAX 3600000

/* Protocol limit: one UPDATE a second. */
#define BROKER_UPDATE_INTERVAL_MS 1000

/*
 * Between an assigned port that could not be bound and the question for the next: other programs may hold
 * many of a range, and a broker that names the same one for ever must cost little.
 */
#define BROKER_REBIND_MS 100

/* FILEs of an ANSWER when a QUERY names no limit, and the most it may name. */
#define BROKER_ANSWER_LIMIT_DEFAULT 200
#define BROKER_ANSWER_LIMIT_MAX     1000

struct broker_link_config {
    struct node_id node;
    uint64_t boot;
    uint16_t port;                /* of the data port, bound already; 0: the broker is asked for one */
    struct text node_name, agent; /* borrowed as long as the link lives */
    uint32_t features;
    bool is_only_asking; /* never joins: nothing is shared, but the owner's own requests go out */
};

enum broker_effect_kind {
    BROKER_SEND,   /* the header frame */
    BROKER_JOINED, /* for the first time, or after BROKER_LOST or BROKER_REFUSED: `host`, `port` as the broker
                      sees them */
    BROKER_LOST,   /* was joined; connection, lease or broker ended */
    BROKER_REFUSED,  /* JOIN was refused with `code` and `text`; told once until the code changes or a JOIN
                        succeeds */
    BROKER_ASSIGNED, /* `port` is this node's for 30 s: bind it and say so with broker_link_on_bound() */
};

struct broker_effect {
    enum broker_effect_kind kind;
    size_t header_offset, header_size; /* in the bytes of the effects */
    uint16_t code;
    bool is_about_port;             /* BROKER_REFUSED: the node has none, and got none */
    char text[REASON_SIZE_MAX + 1]; /* from the broker: escape it */
    struct host host;
    uint16_t port;
};

/* A call adds at most one send and two reports. */
#define BROKER_EFFECTS_MAX 4

struct broker_effects {
    struct broker_effect items[BROKER_EFFECTS_MAX];
    size_t count;
    msgpack_sbuffer bytes;
};

void broker_effects_init(struct broker_effects *self);
void broker_effects_clear(struct broker_effects *self);
void broker_effects_release(struct broker_effects *self);

struct broker_link;

/* Holdings are borrowed and outlive the link. */
struct broker_link *broker_link_new(const struct broker_link_config *config, const struct holdings *holdings);
void broker_link_destroy(struct broker_link **self_p);

/* The connection stands; the first time the JOIN goes out at once, later after a random wait. */
void broker_link_on_connected(struct broker_link *self, uint64_t random, uint64_t now_ms);
void broker_link_on_disconnected(struct broker_link *self, struct broker_effects *effects);

/*
 * What became of the assigned port: joins with it, under a name that may be made of it and is borrowed like
 * that of the config; or asks for another one when it could not be bound and `port` is 0.
 */
void broker_link_on_bound(struct broker_link *self, uint16_t port, struct text node_name, uint64_t random,
                          uint64_t now_ms);

enum broker_link_result {
    BROKER_LINK_TAKEN,
    BROKER_LINK_NOT_MINE, /* *ret_message is for the caller: a reply to a request of its own */
};

/* One message: what envelope_open() said about it. The message borrows from the envelope. */
enum broker_link_result broker_link_on_envelope(struct broker_link *self, enum envelope_result result,
                                                struct envelope *envelope, uint64_t random, uint64_t now_ms,
                                                struct broker_effects *effects, struct message *ret_message);

/* What is due: JOIN, PING, UPDATE. Call it after anything changed, and at the deadline. */
void broker_link_tick(struct broker_link *self, uint64_t random, uint64_t now_ms,
                      struct broker_effects *effects);
uint64_t broker_link_next_deadline_ms(const struct broker_link *self);

/* BYE, if the broker knows us. */
void broker_link_on_stop(struct broker_link *self, struct broker_effects *effects);

/*
 * For an owner that cannot answer for a while: BYE, and no JOIN before it wakes, for who is joined and silent
 * makes every search wait. The owner's own requests go out.
 */
void broker_link_rest(struct broker_link *self, struct broker_effects *effects);
void broker_link_wake(struct broker_link *self, uint64_t now_ms);

bool broker_link_is_joined(const struct broker_link *self);

/* As the broker granted it; 0 before it did. */
uint32_t broker_link_lease_ms(const struct broker_link *self);

/* Bad messages and unasked-for replies, all dropped. */
uint64_t broker_link_dropped_count(const struct broker_link *self);

#endif
