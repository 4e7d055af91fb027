/* SPDX-License-Identifier: MIT */
#ifndef BROKER_BUCKET_H
#define BROKER_BUCKET_H

/*
 * Token buckets: what each client may still spend on searches (docs/protocol.md, "Limits").
 *
 * A client is an observed address; on loopback, where all share one, it is a route. A bucket may go
 * into debt, because part of a search's cost is known only once answers came in.
 */

#include "broker/peer.h"
#include "messages/table.h"

/*
 * Strangers' addresses make buckets: 16384 of about 150 bytes cost 2.5 MiB. The longest unused goes first;
 * what it gains its client is one burst. More than SEARCHES_MAX, so one without a running search always
 * exists.
 */
#define BUCKETS_MAX 16384

struct bucket_key {
    struct host host;
    uint32_t route; /* 0 when the host alone is the client */
};

struct bucket {
    struct bucket_key key;
    int64_t millitokens; /* below zero: debt */
    uint64_t updated_ms;
    uint32_t running_count; /* searches; kept by whoever starts and ends them */
    struct bucket *prev, *next;
    UT_hash_handle hh;
};

struct buckets;

/* Tokens a second and at most; both at least 1. */
struct buckets *buckets_new(uint32_t rate, uint32_t burst);
void buckets_destroy(struct buckets **self_p);

/* The client's bucket, full when it is new. Valid while running_count > 0, else until the next call. */
struct bucket *buckets_of(struct buckets *self, const struct broker_peer *peer, uint64_t now_ms);

/* 0 when `cost` may be spent now, else when it may be. More than the burst asks for a full bucket. */
uint32_t buckets_wait_ms(const struct buckets *self, struct bucket *bucket, uint64_t cost, uint64_t now_ms);

/* Takes `cost`, into debt if need be. */
void buckets_charge(const struct buckets *self, struct bucket *bucket, uint64_t cost, uint64_t now_ms);

size_t buckets_count(const struct buckets *self);

#endif
