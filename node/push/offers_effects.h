/* SPDX-License-Identifier: MIT */
#ifndef NODE_PUSH_OFFERS_EFFECTS_H
#define NODE_PUSH_OFFERS_EFFECTS_H

/* What offers.h asks its owner to do, in order. Headers are encoded already. */
#include "messages/message.h"

enum offers_effect_kind {
    OFFERS_SEND,   /* the header frame `bytes` to `route` */
    OFFERS_JOIN,   /* `route` is a source of `file`, of which it offers offer->have: see offers_next() */
    OFFERS_LEAVE,  /* it is no longer; `is_gone`: nothing can be sent to it */
    OFFERS_CREATE, /* make the empty `file` with this `name`; then offers_on_stored() or offers_on_failed() */
    OFFERS_NOBODY, /* no offer of `file` stands any more, and it is not complete */
    OFFERS_OVER,   /* no offer of `route` stands any more */
};

/* Bounded by what one event can cause: two for each offer, and a HAVE for each 1024 runs. */
struct offers_effect {
    enum offers_effect_kind kind;
    uint32_t route;
    bool is_gone;
    struct file_entry file; /* JOIN, CREATE: all of it, `name` until the next call; else the id only */
    size_t bytes_offset, bytes_size; /* in the list's arena */
};

struct offers_effects {
    struct offers_effect *entries;
    size_t count, capacity;
    msgpack_sbuffer arena;
};

/* A new one at the end; the caller fills in the rest. Valid until the next one. */
struct offers_effect *offers_effects_add(struct offers_effects *self, enum offers_effect_kind kind,
                                         uint32_t route);

/* The same for OFFERS_SEND. */
void offers_effects_send(struct offers_effects *self, uint32_t route, const struct message *message);

void offers_effects_init(struct offers_effects *self);
void offers_effects_clear(struct offers_effects *self);
void offers_effects_release(struct offers_effects *self);

#endif
