/* SPDX-License-Identifier: MIT */
#ifndef NODE_PUSH_PUSHER_H
#define NODE_PUSH_PUSHER_H

/*
 * The pushing end of a push (docs/protocol.md, "Push"): greets a node, offers it one file after another, and
 * knows when each is over. What the node asks for is answered by a peer server over the same holdings as any
 * requester's: here it has one, at the other end of our DEALER.
 *
 * A lost connection is made again and the file offered again, until nothing has got ahead for too long. What
 * the node says of its progress is its own word: it can end our push, or lie to us about its disk, but it
 * cannot make us send what was not offered, nor keep us for ever.
 */
#include "node/content/chunk_map.h"
#include "node/serve/holdings.h"
#include "node/serve/peer_server.h"

/* Connecting takes a few round trips; where nobody listens a long timeout is not waited out. */
#define PUSHER_CONNECT_MS_MAX 5000

/* After a lost connection; doubled each time that it brought nothing. */
#define PUSHER_RECONNECT_MS     200
#define PUSHER_RECONNECT_MS_MAX 5000

/* The node says when to try again; within reason. */
#define PUSHER_RETRY_MS_MIN 20
#define PUSHER_RETRY_MS_MAX 60000

/* A node drops a pusher that leaves a READ unanswered for 10 s: with --up, what could not be answered well
 * before that is refused as busy. */
#define PUSHER_WAIT_MS_MAX 8000

/* Nobody is told which chunks a node had before. When it asks for nothing although it may lack something, it
 * is asked what it has (OPEN): after this time, and then this often. */
#define PUSHER_QUIET_MS 1000
#define PUSHER_PROBE_MS 5000

/* A file that a part of ours completed is published now: wait for the name it gets. */
#define PUSHER_STORED_MS 2000

/* A greeting that does not hold: the node forgets us as soon as it has answered. */
#define PUSHER_GREETINGS_MAX 5

struct pusher_config {
    struct optional_node_id node, expected_node;
    uint64_t instance;
    struct text node_name, agent; /* borrowed as long as the pusher lives */
    uint64_t timeout_ms;          /* without a new chunk asked for or saved */
};

enum pusher_state {
    PUSHER_IDLE,
    PUSHER_PREPARING, /* a file will be offered: connects already */
    PUSHER_OFFERING,  /* until the node has said what it lacks */
    PUSHER_SERVING,

    /* The ends of a push. */
    PUSHER_STORED,      /* pusher_answer(): the name it got */
    PUSHER_SAVED,       /* the node has every chunk that was offered, and not all of the file */
    PUSHER_WITHDRAWN,   /* by pusher_withdraw() */
    PUSHER_WRONG_NODE,  /* another node is at this address */
    PUSHER_DENIED,      /* pusher_answer() has the node's words, in this and the next three */
    PUSHER_NO_SPACE,    /* it has no room */
    PUSHER_DISPUTED,    /* it says that we sent wrong bytes, hashes or ranges */
    PUSHER_REFUSED,     /* some other error; pusher_error() is its code */
    PUSHER_UNREACHABLE, /* no connection at all */
    PUSHER_TIMED_OUT,
};

/* Counted in chunks of the whole file. */
struct pusher_progress {
    bool is_connected, is_accepted; /* is_accepted: the node told what it lacks */
    uint32_t offered_count;
    uint32_t missing_count; /* what it lacked at first */
    uint32_t saved_count;   /* confirmed since then, whoever sent it */
    uint32_t sent_count;    /* of which at least a part was sent */
    uint64_t offered_bytes, sent_bytes;
    uint64_t saved_bytes; /* of those saved that were offered */
};

struct pusher;

/* Server and holdings are borrowed. Nobody else may use either. */
struct pusher *pusher_new(const struct pusher_config *config, struct peer_server *server,
                          struct holdings *holdings);
void pusher_destroy(struct pusher **self_p);

/* A file will be offered soon. Not while one is. */
void pusher_begin(struct pusher *self, uint64_t now_ms);

/*
 * Offers a file (copied), after pusher_begin(): the chunks of `have` (layout_bitfield_size() bytes), or all
 * of it for NULL. Its content is {is_partial, handle}; a handle is used once. At least one chunk, unless the
 * file is empty; at most HOLDINGS_PARTIAL_CHUNKS_MAX in the file.
 */
void pusher_offer(struct pusher *self, uint64_t handle, const struct file_entry *file, const uint8_t *have,
                  uint64_t now_ms, struct peer_effects *effects);

/* Ends it: the file changed, or its owner stops. */
void pusher_withdraw(struct pusher *self, struct peer_effects *effects);

/* True when the shell must make a new connection now; what becomes of it are events. `route` numbers
 * connections and is never used again. */
bool pusher_must_connect(struct pusher *self, uint64_t now_ms);
void pusher_on_connected(struct pusher *self, uint32_t route, uint64_t now_ms, struct peer_effects *effects);

/* Also after a PEER_DISCONNECT was obeyed. */
void pusher_on_lost(struct pusher *self, uint64_t now_ms, struct peer_effects *effects);

void pusher_on_message(struct pusher *self, const uint8_t *header, size_t size, size_t frame_count,
                       uint64_t now_ms, struct peer_effects *effects);

/* Bytes [offset, offset + length) of an offered file went to the socket; it may be an earlier file. */
void pusher_on_sent(struct pusher *self, uint64_t handle, uint64_t offset, uint32_t length, uint64_t now_ms);

void pusher_tick(struct pusher *self, uint64_t now_ms, struct peer_effects *effects);
uint64_t pusher_next_deadline_ms(const struct pusher *self);

enum pusher_state pusher_state(const struct pusher *self);
bool pusher_is_over(const struct pusher *self); /* one of the ends, or idle */
struct pusher_progress pusher_progress(const struct pusher *self);

/* The node's words: the stored name, or the text of the last refusal; empty when there are none. Valid until
 * the next event. */
struct text pusher_answer(const struct pusher *self);
uint16_t pusher_error(const struct pusher *self);

#endif
