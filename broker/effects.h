/* SPDX-License-Identifier: MIT */
#ifndef BROKER_EFFECTS_H
#define BROKER_EFFECTS_H

/*
 * What the broker's core wants done, in order. The shell runs the list after each event and clears it.
 *
 * Bytes lie in one arena, so that a QUERY to 10 000 routes is encoded and stored once. One event adds at
 * most one SEND a joined node and then stops once the list is full; what is left comes with the next tick.
 */

#include "messages/message.h"

/* Searches stop writing FOUNDs here and go on at the next tick: bounds what one event can allocate. */
#define EFFECTS_BYTES_MAX (4 * 1024 * 1024)

/* A note is one line for a person: an endpoint, a node name (64) and some words fit. */
#define EFFECTS_NOTE_SIZE_MAX 256

enum effect_kind {
    EFFECT_SEND, /* the bytes are a header frame for `route`; never wait for a slow one */
    EFFECT_NOTE, /* the bytes are a line for the log; it may hold text of strangers: escape it */
};

struct effect {
    enum effect_kind kind;
    uint32_t route;
    size_t offset, size; /* in the arena */
    uint64_t search_rid; /* SEND: the QUERY rid of the search that it is part of; 0 for none */
};

struct effects {
    struct effect *entries;
    size_t count, capacity;
    msgpack_sbuffer bytes;
    size_t last_offset, last_size; /* what effects_write() wrote */
};

void effects_init(struct effects *self);
void effects_release(struct effects *self);
void effects_clear(struct effects *self);
bool effects_is_full(const struct effects *self);

/* The bytes of one effect, valid until the list changes. */
const uint8_t *effects_bytes(const struct effects *self, const struct effect *effect);

void effects_send(struct effects *self, uint32_t route, uint64_t search_rid, const struct message *m);
void effects_send_error(struct effects *self, uint32_t route, uint64_t rid, enum error_code code,
                        const char *text, uint32_t retry_ms);

/* One message to many routes: write it once, then send what was written to each. */
void effects_write(struct effects *self, const struct message *m);
void effects_send_written(struct effects *self, uint32_t route, uint64_t search_rid);

__attribute__((format(printf, 2, 3))) void effects_note(struct effects *self, const char *format, ...);

#endif
