/* SPDX-License-Identifier: MIT */
#ifndef NODE_PUSH_PUSHER_PRIVATE_H
#define NODE_PUSH_PUSHER_PRIVATE_H

/* What the two halves of the pusher share: pusher.c (what is offered, and when) and pusher_answers.c (what
 * the node says to it). */
#include "node/push/pusher.h"

#include <assert.h>

struct pusher {
    struct pusher_config config;
    struct peer_server *server;
    struct holdings *holdings;
    enum pusher_state state;

    /* The connection. */
    bool is_connecting, is_connected, was_connected;
    bool is_greeted, was_greeted;
    unsigned greetings; /* on this connection */
    uint32_t route;
    uint64_t connect_at_ms, reconnect_ms;

    /* Exchanges under way; 0 for none. */
    uint64_t last_rid, hello_rid, offer_rid, open_rid;
    uint64_t greet_at_ms, offer_at_ms; /* when the node wants to hear it again; UINT64_MAX for no */
    uint64_t begun_ms, progress_ms, accepted_ms, active_ms, probed_ms;
    uint16_t error;
    char *answer;
    size_t answer_size;

    /* What is offered. */
    uint64_t handle;
    struct file_entry file; /* its name is `name` */
    char *name;
    struct layout layout;
    struct chunk_map offered;
    struct chunk_map saved;   /* by what the node said since the offer was first accepted */
    struct chunk_map since;   /* what it confirmed since the last OFFER_OK */
    struct chunk_map sent;    /* of which something was sent */
    uint32_t since_elsewhere; /* of those since, not among the offered */
    uint32_t saved_offered, confirmed_count;
    uint32_t missing_first, missing_now;
    bool is_accepted;
    uint64_t offered_bytes, saved_bytes, sent_bytes;
};

void pusher_send_hello(struct pusher *self, struct peer_effects *effects);
void pusher_send_offer(struct pusher *self, struct peer_effects *effects);
void pusher_end(struct pusher *self, enum pusher_state state, struct peer_effects *effects);

/* The timeout begins anew. */
void pusher_got_ahead(struct pusher *self, uint64_t now_ms);

/* A message that is not a request. */
void pusher_on_answer(struct pusher *self, const struct message *message, uint64_t now_ms,
                      struct peer_effects *effects);

#endif
