/* SPDX-License-Identifier: MIT */
#ifndef MESSAGES_PRESENCE_H
#define MESSAGES_PRESENCE_H

/*
 * The presence filter: a Bloom filter over a share by which a broker rules nodes out of a search.
 * It may only ever err towards asking (docs/protocol.md, "Presence filter").
 */

#include "messages/message.h"

#define PRESENCE_LOG2_MIN 10
#define PRESENCE_LOG2_MAX 20
#define PRESENCE_PROBES   7

/* Collects the elements of a share; heap object. */
struct presence;

struct presence *presence_new(void);
void presence_destroy(struct presence **self_p);

/* Adds the windows, the id and both exact names of one file. `name` is the whole name, unfolded. */
void presence_add(struct presence *self, struct text name, const struct file_id *id);

/*
 * Builds the bits, sized for about 1 % false positives within the protocol's bounds. The view points
 * into self and is valid until the next call on it.
 */
struct presence_view presence_view(struct presence *self);

/* The elements that one search asks of every filter, hashed once; heap object, immutable. */
struct presence_query;

/* A mode with MODE_ASK_ALL, or an unknown one, rules nothing out. `text` is clean UTF-8. */
struct presence_query *presence_query_new(uint8_t mode, struct text text);
void presence_query_destroy(struct presence_query **self_p);

/*
 * False only when no file of the node can match: the node may be left unasked. True for a nil filter and
 * for any text that rules nothing out.
 */
bool presence_query_may_match(const struct presence_query *self, const struct presence_view *view);

/* The same for a single filter. */
bool presence_may_match(const struct presence_view *view, uint8_t mode, struct text text);

#endif
