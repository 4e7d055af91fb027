/* SPDX-License-Identifier: MIT */
#include "broker/bucket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

struct buckets {
    uint32_t rate, burst;
    struct bucket *table;
    struct bucket *used; /* longest unused first */
};

struct buckets *buckets_new(uint32_t rate, uint32_t burst)
{
    assert(rate > 0);
    assert(burst > 0);
    struct buckets *self = calloc(1, sizeof *self);
    assert(self);
    self->rate = rate;
    self->burst = burst;
    return self;
}

static void forget(struct buckets *self, struct bucket *bucket)
{
    HASH_DEL(self->table, bucket);
    DL_DELETE(self->used, bucket);
    free(bucket);
}

void buckets_destroy(struct buckets **self_p)
{
    assert(self_p);
    struct buckets *self = *self_p;
    if (!self)
        return;
    while (self->used)
        forget(self, self->used);
    free(self);
    *self_p = NULL;
}

static void make_room(struct buckets *self)
{
    struct bucket *bucket;
    DL_FOREACH(self->used, bucket)
    {
        if (bucket->running_count == 0) {
            forget(self, bucket);
            return;
        }
    }
}

struct bucket *buckets_of(struct buckets *self, const struct broker_peer *peer, uint64_t now_ms)
{
    struct bucket_key key;
    memset(&key, 0, sizeof key);
    key.host = peer->host;
    key.route = host_is_loopback(&peer->host) ? peer->route : 0;

    struct bucket *bucket;
    HASH_FIND(hh, self->table, &key, sizeof key, bucket);
    if (bucket) {
        DL_DELETE(self->used, bucket);
    } else {
        if (HASH_COUNT(self->table) >= BUCKETS_MAX)
            make_room(self);
        bucket = calloc(1, sizeof *bucket);
        assert(bucket);
        bucket->key = key;
        bucket->millitokens = (int64_t)self->burst * 1000;
        bucket->updated_ms = now_ms;
        HASH_ADD(hh, self->table, key, sizeof key, bucket);
    }
    DL_APPEND(self->used, bucket);
    return bucket;
}

static void refill(const struct buckets *self, struct bucket *bucket, uint64_t now_ms)
{
    int64_t full = (int64_t)self->burst * 1000;
    uint64_t elapsed_ms = now_ms - bucket->updated_ms;
    bucket->updated_ms = now_ms;
    /* Divided, not multiplied: a long pause must not overflow. */
    if (elapsed_ms > (uint64_t)(full - bucket->millitokens) / self->rate)
        bucket->millitokens = full;
    else
        bucket->millitokens += (int64_t)(elapsed_ms * self->rate);
}

uint32_t buckets_wait_ms(const struct buckets *self, struct bucket *bucket, uint64_t cost, uint64_t now_ms)
{
    refill(self, bucket, now_ms);
    int64_t needed = (int64_t)(cost < self->burst ? cost : self->burst) * 1000;
    if (bucket->millitokens >= needed)
        return 0;
    uint64_t wait_ms = ((uint64_t)(needed - bucket->millitokens) + self->rate - 1) / self->rate;
    return wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
}

void buckets_charge(const struct buckets *self, struct bucket *bucket, uint64_t cost, uint64_t now_ms)
{
    refill(self, bucket, now_ms);
    bucket->millitokens -= (int64_t)cost * 1000;
}

size_t buckets_count(const struct buckets *self)
{
    return HASH_COUNT(self->table);
}
