/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GATHERING_H
#define BROKER_GATHERING_H

/*
 * What the nodes answered to one search: an entry for each distinct FILE, with the nodes that hold it,
 * and which of that the asker was told already.
 *
 * Kept are at most `limit` file_ids, for each id the SOURCEs of at most GATHERING_NODES_MAX nodes (complete
 * ones push out others), and at most GATHERING_NAMES_MAX names a node and id (docs/protocol.md, "Search").
 */

#include "broker/effects.h"

#define GATHERING_NODES_MAX 64 /* protocol: no downloader uses more sources */
#define GATHERING_NAMES_MAX 8  /* protocol: links and copies of one file on one node */

/* Nodes choose the names; a full result (1000 ids of 64 nodes) takes about 3 MiB. Beyond, `truncated` is set.
 */
#define GATHERING_BYTES_MAX (8 * 1024 * 1024)

struct gathering;

struct gathering *gathering_new(uint32_t limit);
void gathering_destroy(struct gathering **self_p);

/* One node's answer; everything is copied. A node adds once. */
void gathering_add(struct gathering *self, const struct source_entry *source, const struct file_list *files);

/* More existed than could be kept. */
bool gathering_is_truncated(const struct gathering *self);
bool gathering_has_news(const struct gathering *self);
size_t gathering_bytes(const struct gathering *self);

/*
 * Sends what is new, as one batch of at most `messages_max` FOUNDs within the header limit.
 * gathering_has_news() tells whether some is left.
 */
void gathering_send(struct gathering *self, struct effects *effects, uint32_t route, uint64_t rid,
                    uint64_t search_rid, unsigned messages_max);

/* The last batch did not get through: all of it is news again. */
void gathering_rewind(struct gathering *self);

#endif
