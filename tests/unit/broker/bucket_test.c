/* SPDX-License-Identifier: MIT */
/* What could go wrong: a client that pays nothing, one that waits for ever, a stranger who fills the table.
 */
#include "broker/bucket.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct broker_peer at(uint32_t address, uint32_t route)
{
    struct broker_peer peer = {.route = route};
    peer.host.bytes[0] = 0xfd;
    memcpy(peer.host.bytes + 12, &address, sizeof address);
    return peer;
}

Test(bucket, a_burst_is_spent_and_comes_back_with_the_rate)
{
    struct buckets *buckets = buckets_new(10, 100);
    struct broker_peer peer = at(1, 1);
    struct bucket *bucket = buckets_of(buckets, &peer, 0);
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 100, 0), 0));
    buckets_charge(buckets, bucket, 100, 0);
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 1, 0), 100));
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 1, 99), 1));
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 1, 100), 0));
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 50, 100), 4900));
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 100, UINT64_MAX), 0));
    buckets_destroy(&buckets);
    buckets_destroy(&buckets);
}

Test(bucket, more_than_the_burst_passes_when_the_bucket_is_full_and_leaves_a_debt)
{
    struct buckets *buckets = buckets_new(10, 100);
    struct broker_peer peer = at(1, 1);
    struct bucket *bucket = buckets_of(buckets, &peer, 0);
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 500, 0), 0));
    buckets_charge(buckets, bucket, 500, 0);
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 1, 0), 40100));
    cr_assert(eq(u32, buckets_wait_ms(buckets, bucket, 500, 40100), 9900));
    buckets_destroy(&buckets);
}

Test(bucket, a_client_is_an_address_but_on_loopback_a_route)
{
    struct buckets *buckets = buckets_new(10, 100);
    struct broker_peer a = at(1, 1), b = at(1, 2);
    cr_assert(eq(ptr, buckets_of(buckets, &a, 0), buckets_of(buckets, &b, 0)));
    cr_assert(host_parse(text_of("127.0.0.1"), &a.host));
    b.host = a.host;
    cr_assert(ne(ptr, buckets_of(buckets, &a, 0), buckets_of(buckets, &b, 0)));
    buckets_destroy(&buckets);
}

Test(bucket, a_full_table_forgets_the_longest_unused_but_not_one_whose_search_runs)
{
    struct buckets *buckets = buckets_new(10, 100);
    struct broker_peer first = at(0, 1), second = at(1, 1);
    struct bucket *running = buckets_of(buckets, &first, 0);
    running->running_count = 1;
    buckets_charge(buckets, running, 60, 0);
    buckets_charge(buckets, buckets_of(buckets, &second, 0), 60, 0);
    for (uint32_t i = 2; i <= BUCKETS_MAX; i++) {
        struct broker_peer peer = at(i, 1);
        buckets_of(buckets, &peer, 0);
    }
    cr_assert(eq(sz, buckets_count(buckets), BUCKETS_MAX));
    cr_expect(gt(u32, buckets_wait_ms(buckets, buckets_of(buckets, &first, 0), 100, 0), 0));
    cr_expect(eq(u32, buckets_wait_ms(buckets, buckets_of(buckets, &second, 0), 100, 0), 0));
    cr_expect(eq(sz, buckets_count(buckets), BUCKETS_MAX));
    buckets_destroy(&buckets);
}
