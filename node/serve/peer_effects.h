/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_PEER_EFFECTS_H
#define NODE_SERVE_PEER_EFFECTS_H

/* What the peer server asks its shell to do, in order. Headers are encoded already. */

#include "messages/message.h"
#include "node/serve/holdings.h"

enum peer_effect_kind {
    PEER_SEND,        /* the header frame to `route`; with a ticket, peer_server_on_sent() must follow */
    PEER_SEND_DATA,   /* the header frame, then the buffer of `ticket`; peer_server_on_sent() must follow */
    PEER_DROP_DATA,   /* the buffer of `ticket` is not needed; peer_server_on_sent() must follow */
    PEER_READ_CHUNK,  /* read `length` bytes at `offset`; peer_server_on_chunk() must follow */
    PEER_LOAD_HASHES, /* load a run of the chunk layer; peer_server_on_hashes() must follow */
    PEER_DISCONNECT,  /* end `connection` */
    PEER_CHANGED,     /* `content` is no longer what was hashed: tell its owner */
    PEER_PUSH,        /* the message that was just handed in is of a push: give it to the owner of offers */
    PEER_PUSHER_GONE, /* so is the end of `route`: nothing can be sent to it any more */
};

struct peer_effect {
    enum peer_effect_kind kind;
    uint32_t route;
    int connection;
    uint64_t ticket;                   /* 0 for none */
    size_t header_offset, header_size; /* in the bytes of the effects */
    struct content content;
    uint64_t offset;
    uint32_t length;
    uint32_t first, count;
};

/*
 * What a call asks for, in order. One call adds at most one reply, a HAVE for each session, a PING for each
 * session of a connection, the end of a pusher, and as many uploads as may be in hand.
 */
struct peer_effects {
    struct peer_effect *items;
    size_t count, capacity;
    msgpack_sbuffer bytes;
};

/* A new effect at the end; the caller fills in the rest. Valid until the next one. */
struct peer_effect *peer_effects_add(struct peer_effects *self, enum peer_effect_kind kind, uint32_t route,
                                     uint64_t ticket);

/* The same for PEER_SEND and PEER_SEND_DATA. */
struct peer_effect *peer_effects_send(struct peer_effects *self, enum peer_effect_kind kind, uint32_t route,
                                      uint64_t ticket, const struct message *message);

void peer_effects_init(struct peer_effects *self);
void peer_effects_clear(struct peer_effects *self);
void peer_effects_release(struct peer_effects *self);
const uint8_t *peer_effect_header(const struct peer_effects *self, const struct peer_effect *effect);

#endif
