/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: one client that takes everything, a retry time that is too short, a node or an asker
 * that does not read and delays the others or loses a result unseen.
 */
#include "tests/unit/broker/swarm.h"

static struct swarm *swarm_of(uint32_t node_count)
{
    struct swarm *s = swarm_new(NULL);
    for (uint32_t i = 1; i <= node_count; i++)
        swarm_join(s, i);
    return s;
}

Test(searches_limits, of_one_client_and_in_all_only_so_many_run_at_once)
{
    struct swarm *s = swarm_of(1);
    for (uint32_t i = 0; i < SEARCHES_MAX; i++)
        swarm_search(s, 5000 + i / SEARCHES_PER_CLIENT_MAX, search_of("abc"), 1);
    swarm_tell(s, 1, simple(KIND_PING, 0));
    swarm_tell(s, 9, search_of("abc"));
    struct message error = swarm_only(s, 9, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_BUSY));
    cr_expect(eq(u32, error.error.retry_ms, SEARCH_RETRY_MS));
    swarm_tell(s, 5000, simple(KIND_BYE, 0));
    for (uint32_t i = 0; i < SEARCHES_PER_CLIENT_MAX - 1; i++)
        swarm_search(s, 9, search_of("abc"), 1);
    swarm_search(s, 5000, search_of("abc"), 1); /* all room is taken again */
    swarm_tell(s, 5001, simple(KIND_BYE, 0));
    swarm_search(s, 9, search_of("abc"), 1);
    swarm_tell(s, 9, search_of("abc"));
    error = swarm_only(s, 9, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_LIMIT));
    cr_expect(eq(u32, error.error.retry_ms, SEARCH_RETRY_MS));
    swarm_destroy(s);
}

Test(searches_limits, a_search_costs_what_it_wakes_and_the_retry_time_is_exact)
{
    struct broker_config config = swarm_config();
    config.search_rate = 1000;
    config.search_burst = 10;
    struct swarm *s = swarm_new(&config);
    for (uint32_t n = 1; n <= 3; n++)
        swarm_join(s, n);
    swarm_search(s, 9, search_of("abc"), 1); /* 1 + 3 */
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    struct file_entry files[] = {file_of("abc", 1, 1000), file_of("abd", 1, 1000)};
    swarm_answer(s, 1, rid, 2, files, 2); /* FILEs count by sixteens */
    swarm_tell(s, 9, search_of("abc"));
    struct message error = swarm_only(s, 9, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_LIMIT));
    cr_expect(eq(u64, error.rid, 500));
    /* 2 are left; the refused one cost its reading of filters, 1, and needs 4. */
    cr_expect(eq(u32, error.error.retry_ms, 3));
    s->now_ms += 2;
    swarm_tell(s, 9, search_of("abc"));
    cr_expect(eq(u16, swarm_error(s, 9), ERROR_LIMIT));
    s->now_ms += swarm_only(s, 9, KIND_ERROR).error.retry_ms;
    swarm_search(s, 9, search_of("abc"), 1);
    swarm_search(s, 10, search_of("abc"), 1); /* another address, another bucket */
    swarm_destroy(s);
}

Test(searches_limits, files_are_paid_for_when_they_come)
{
    struct broker_config config = swarm_config();
    config.search_rate = 1000;
    config.search_burst = 4;
    struct swarm *s = swarm_new(&config);
    swarm_join(s, 1);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1); /* 2 of 4 */
    struct file_entry files[32];
    for (uint32_t i = 0; i < 32; i++)
        files[i] = file_of("abc", i, 1000);
    swarm_answer(s, 1, rid, 32, files, 32); /* the other 2 */
    swarm_tell(s, 9, search_of("abc"));
    cr_assert(eq(u32, swarm_only(s, 9, KIND_ERROR).error.retry_ms, 1));
    swarm_destroy(s);
}

Test(searches_limits, one_that_costs_more_than_the_burst_passes_when_the_bucket_is_full)
{
    struct broker_config config = swarm_config();
    config.search_rate = 1000;
    config.search_burst = 2;
    struct swarm *s = swarm_new(&config);
    for (uint32_t n = 1; n <= 5; n++)
        swarm_join(s, n);
    swarm_search(s, 9, search_of("abc"), 1); /* 6, and 4 in debt */
    swarm_tell(s, 9, search_of("abc"));
    cr_assert(eq(u32, swarm_only(s, 9, KIND_ERROR).error.retry_ms, 5)); /* for reading filters */
    s->now_ms += 5;
    swarm_tell(s, 9, search_of("abc"));
    cr_assert(eq(u32, swarm_only(s, 9, KIND_ERROR).error.retry_ms, 2)); /* that was paid: full in 2 */
    s->now_ms += 2;
    swarm_search(s, 9, search_of("abc"), 1);
    swarm_destroy(s);
}

static void congest(struct swarm *s, uint32_t route, size_t number)
{
    for (size_t i = 0; i < s->effects.count; i++) {
        struct effect effect = s->effects.entries[i];
        if (effect.kind != EFFECT_SEND || effect.route != route || number-- > 0)
            continue;
        swarm_forget(s);
        broker_on_congested(s->broker, effect, s->now_ms, &s->effects);
        return;
    }
    cr_assert(false, "nothing was sent to route %u", route);
}

Test(searches_limits, a_node_that_does_not_read_is_silent_at_once_and_delays_nobody)
{
    struct swarm *s = swarm_of(2);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    congest(s, 2, 0);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_negative(s, 1, rid);
    CHECK_COUNTS(s, 9, 2, 0, 1, 1, 0);
    swarm_tell(s, 2, simple(KIND_PING, 1)); /* it stays joined */
    cr_assert(eq(sz, swarm_count(s, 2, KIND_PONG), 1));
    swarm_destroy(s);
}

Test(searches_limits, results_that_did_not_get_through_are_sent_again_whole)
{
    struct swarm *s = swarm_of(1);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    struct file_entry file = file_of("abc", 1, 1000);
    s->now_ms = 1001;
    swarm_answer(s, 1, rid, 1, &file, 1);
    cr_assert(eq(sz, swarm_count(s, 9, KIND_FOUND), 1));
    congest(s, 9, 0);
    cr_assert(eq(sz, swarm_sends(s), 0));
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 1051));
    swarm_tick(s, 1050);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tick(s, 1051);
    cr_assert(eq(sz, swarm_count(s, 9, KIND_FOUND), 1));
    CHECK_COUNTS(s, 9, 1, 1, 0, 0, 0);
    congest(s, 9, 1); /* only SEARCH_DONE was lost: the FOUND comes again as well, which is allowed */
    swarm_tick(s, 1101);
    cr_assert(eq(sz, swarm_count(s, 9, KIND_FOUND), 1));
    CHECK_COUNTS(s, 9, 1, 1, 0, 0, 0);
    swarm_tick(s, 1200);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_destroy(s);
}

Test(searches_limits, an_asker_that_never_reads_is_given_up)
{
    struct swarm *s = swarm_of(1);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    swarm_negative(s, 1, rid);
    for (uint64_t at_ms = 1000; at_ms < 1000 + SEARCH_GIVE_UP_MS; at_ms += 50) {
        if (at_ms > 1000) {
            swarm_tick(s, at_ms);
            cr_assert(eq(sz, swarm_count(s, 9, KIND_SEARCH_DONE), 1), "at %lu", (unsigned long)at_ms);
        }
        congest(s, 9, 0);
    }
    swarm_tick(s, 1000 + SEARCH_GIVE_UP_MS);
    cr_assert(eq(sz, swarm_sends(s), 0));
    cr_assert(eq(sz, broker_search_count(s->broker), 0));
    swarm_destroy(s);
}

Test(searches_limits, a_large_result_comes_in_several_messages_and_in_several_rounds)
{
    struct swarm *s = swarm_of(64);
    struct message search = search_of("abc");
    search.search.limit = SEARCH_LIMIT_MAX;
    uint64_t rid = swarm_search(s, 99, search, 1);
    struct file_entry *files = calloc(256, sizeof *files);
    for (uint32_t i = 0; i < 256; i++)
        files[i] = file_of("abc", i, 1000);
    for (uint32_t n = 1; n <= 64; n++)
        swarm_answer(s, n, rid, 256, files, 256);
    size_t sources = 0, rounds = 0, dones = 0;
    while (dones == 0) {
        cr_assert(le(sz, swarm_count(s, 99, KIND_FOUND), SEARCH_FOUNDS_MAX));
        struct message found;
        for (size_t i = 0; swarm_sent(s, 99, KIND_FOUND, i, &found); i++) {
            for (size_t k = 0; k < found.found.count; k++)
                sources += found.found.entries[k].sources.count;
        }
        dones = swarm_count(s, 99, KIND_SEARCH_DONE);
        rounds++;
        if (dones == 0)
            swarm_tick(s, broker_next_deadline_ms(s->broker));
    }
    cr_expect(eq(sz, sources, 64 * 256));
    cr_expect(gt(sz, rounds, 1));
    CHECK_COUNTS(s, 99, 64, 64, 0, 0, 0);
    free(files);
    swarm_destroy(s);
}
