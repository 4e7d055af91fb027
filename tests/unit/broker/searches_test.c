/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a count that claims more than is known (a negative that nobody proved), a search that
 * never ends or ends twice, an asker that is told nothing, one client that takes everything.
 */
#include "tests/unit/broker/swarm.h"

static struct swarm *swarm_of(uint32_t node_count)
{
    struct swarm *s = swarm_new(NULL);
    for (uint32_t i = 1; i <= node_count; i++)
        swarm_join(s, i);
    return s;
}

Test(searches, a_query_goes_to_every_other_node_with_a_rid_of_its_own)
{
    struct swarm *s = swarm_of(3);
    struct message search = search_of("acao");
    search.search.mode = MODE_GLOB;
    search.search.min_size = 5;
    search.search.max_size = 9;
    swarm_tell(s, 2, search);
    cr_assert(eq(sz, swarm_sends(s), 2));
    cr_assert(eq(sz, swarm_count(s, 2, KIND_QUERY), 0));
    struct message query = swarm_only(s, 1, KIND_QUERY);
    cr_expect(eq(u8, query.query.mode, MODE_GLOB));
    cr_expect(text_equal(query.query.text, text_of("acao")));
    cr_expect(eq(u64, query.query.min_size, 5));
    cr_expect(eq(u64, query.query.max_size, 9));
    cr_expect(eq(u32, query.query.deadline_ms, SEARCH_DEADLINE_DEFAULT_MS));
    cr_expect(eq(u32, query.query.limit, SEARCH_LIMIT_DEFAULT));
    cr_expect(not(query.query.asker_key.is_present));
    cr_expect(ne(u64, query.rid, 500));
    cr_expect(eq(u64, swarm_only(s, 3, KIND_QUERY).rid, query.rid));
    swarm_negative(s, 1, query.rid);
    swarm_negative(s, 3, query.rid);
    CHECK_COUNTS(s, 2, 2, 0, 2, 0, 0);
    swarm_destroy(s);
}

Test(searches, a_query_is_encoded_once_for_all_nodes)
{
    struct swarm *s = swarm_of(100);
    swarm_tell(s, 200, search_of("abc"));
    cr_assert(eq(sz, swarm_sends(s), 100));
    cr_assert(lt(sz, s->effects.bytes.size, 100));
    swarm_destroy(s);
}

Test(searches, without_anybody_to_ask_it_is_done_at_once)
{
    struct swarm *s = swarm_of(1);
    swarm_tell(s, 1, search_of("abc"));
    CHECK_COUNTS(s, 1, 0, 0, 0, 0, 0);
    swarm_destroy(s);
}

Test(searches, limits_and_deadlines_are_clamped_and_the_query_limit_shared)
{
    static const struct {
        uint32_t nodes, limit, deadline_ms, query_limit, query_deadline_ms;
    } rows[] = {
        {1, 0, 0, 200, 2000},        {1, 3, 1, 8, 1},       {1, 250, 10000, 250, 10000},
        {1, 900, 10001, 256, 10000}, {400, 900, 5, 163, 5}, {900, UINT32_MAX, UINT32_MAX, 72, 10000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct broker_config config = swarm_config();
        config.presence = PRESENCE_OFF;
        struct swarm *s = swarm_new(&config);
        for (uint32_t n = 1; n <= rows[i].nodes; n++)
            swarm_join(s, n);
        struct message search = search_of("abc");
        search.search.limit = rows[i].limit;
        search.search.deadline_ms = rows[i].deadline_ms;
        swarm_tell(s, 2000, search);
        struct message query = swarm_only(s, 1, KIND_QUERY);
        cr_expect(eq(u32, query.query.limit, rows[i].query_limit), "row %zu", i);
        cr_expect(eq(u32, query.query.deadline_ms, rows[i].query_deadline_ms), "row %zu", i);
        swarm_destroy(s);
    }
}

Test(searches, with_very_many_nodes_each_may_still_send_eight)
{
    struct broker_config config = swarm_config();
    config.presence = PRESENCE_OFF;
    config.nodes_max = 10000;
    struct swarm *s = swarm_new(&config);
    for (uint32_t n = 1; n <= 10000; n++)
        swarm_tell(s, n, join_of(n));
    swarm_tell(s, 20000, search_of("abc"));
    cr_assert(eq(sz, swarm_sends(s), 10000));
    struct message query = swarm_only(s, 1, KIND_QUERY);
    cr_expect(eq(u32, query.query.limit, QUERY_LIMIT_MIN));
    uint64_t rid = query.rid;
    struct file_entry file = file_of("abc", 1, 1000);
    for (uint32_t n = 1; n <= 10000; n++)
        swarm_answer(s, n, rid, 1, &file, 1);
    CHECK_COUNTS(s, 20000, 10000, 10000, 0, 0, 0);
    swarm_destroy(s);
}

Test(searches, an_unknown_mode_or_a_bad_id_is_a_bad_message)
{
    static const struct {
        uint8_t mode;
        const char *text;
        bool is_good;
    } rows[] = {
        {4, "abc", false},
        {127, "abc", false},
        {132, "abc", false},
        {MODE_ID, "1234567", false},
        {MODE_ID, "1234567x", false},
        {MODE_ID, "12345678a", true},
        {MODE_ID | MODE_ASK_ALL, "", false},
        {MODE_WORDS, "", true},
        {MODE_GLOB | MODE_ASK_ALL, "*", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct swarm *s = swarm_of(1);
        struct message search = search_of(rows[i].text);
        search.search.mode = rows[i].mode;
        swarm_tell(s, 9, search);
        cr_expect(eq(sz, swarm_count(s, 1, KIND_QUERY), rows[i].is_good), "row %zu", i);
        if (!rows[i].is_good)
            cr_expect(eq(u16, swarm_error(s, 9), ERROR_BAD_MESSAGE), "row %zu", i);
        swarm_destroy(s);
    }
}

Test(searches, hits_come_grouped_with_their_sources_before_the_counts)
{
    struct swarm *s = swarm_of(3);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    struct file_entry file = file_of("x/abc", 1, 1000);
    file.has_mtime = true;
    file.mtime_ms = 1234;
    file.has_executable = file.is_executable = true;
    swarm_answer(s, 1, rid, 1, &file, 1);
    file.mtime_ms = 999; /* of the second: not passed on */
    swarm_answer(s, 2, rid, 1, &file, 1);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_negative(s, 3, rid);

    struct message found = swarm_only(s, 9, KIND_FOUND);
    cr_assert(eq(u64, found.rid, 500));
    cr_assert(eq(sz, found.found.count, 1));
    const struct found_entry *entry = &found.found.entries[0];
    cr_expect(text_equal(entry->file.name, text_of("x/abc")));
    cr_expect(entry->file.has_mtime && entry->file.has_executable && entry->file.is_executable);
    cr_expect(eq(u64, entry->file.mtime_ms, 1234));
    cr_assert(eq(sz, entry->sources.count, 2));
    struct host host = host_of("10.0.0.1");
    cr_expect(host_equal(&entry->sources.entries[0].host, &host));
    cr_expect(eq(u16, entry->sources.entries[0].port, 9001));
    cr_expect(eq(u16, entry->sources.entries[1].port, 9002));
    cr_expect(text_equal(entry->sources.entries[0].name, text_of("node")));
    cr_expect(not(entry->sources.entries[0].has_key));
    CHECK_COUNTS(s, 9, 3, 2, 1, 0, 0);
    cr_expect(eq(u64, swarm_only(s, 9, KIND_SEARCH_DONE).rid, 500));
    swarm_tick(s, 90000);
    cr_expect(eq(sz, swarm_count(s, 9, KIND_SEARCH_DONE), 0));
    swarm_destroy(s);
}

Test(searches, every_name_and_availability_is_an_entry_of_its_own)
{
    struct swarm *s = swarm_of(2);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    struct file_entry files[] = {file_of("abc", 1, 1000), file_of("abc2", 1, 1000)};
    struct file_entry partial = file_of("abc", 1, 10);
    swarm_answer(s, 1, rid, 2, files, 2);
    swarm_answer(s, 2, rid, 1, &partial, 1);
    cr_assert(eq(sz, swarm_only(s, 9, KIND_FOUND).found.count, 3));
    cr_assert(not(swarm_only(s, 9, KIND_SEARCH_DONE).search_done.truncated));
    swarm_destroy(s);
}

Test(searches, news_is_told_every_50_ms_and_only_what_is_new)
{
    struct swarm *s = swarm_of(3);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 1000 + SEARCH_DEADLINE_DEFAULT_MS));
    struct file_entry file = file_of("abc", 1, 1000);
    s->now_ms = 1010;
    swarm_answer(s, 1, rid, 1, &file, 1);
    cr_assert(eq(sz, swarm_sends(s), 0));
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 1050));
    swarm_tick(s, 1049);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tick(s, 1050);
    cr_assert(eq(sz, swarm_only(s, 9, KIND_FOUND).found.entries[0].sources.count, 1));
    swarm_tick(s, 1100);
    cr_assert(eq(sz, swarm_sends(s), 0));
    s->now_ms = 1101;
    swarm_answer(s, 2, rid, 1, &file, 1);
    struct message found = swarm_only(s, 9, KIND_FOUND); /* more than 50 ms after the last */
    cr_assert(eq(sz, found.found.entries[0].sources.count, 1));
    cr_assert(eq(u16, found.found.entries[0].sources.entries[0].port, 9002));
    swarm_destroy(s);
}

Test(searches, the_deadline_is_exact_and_the_rest_is_silent)
{
    struct swarm *s = swarm_of(3);
    struct message search = search_of("abc");
    search.search.deadline_ms = 700;
    uint64_t rid = swarm_search(s, 9, search, 1);
    swarm_negative(s, 1, rid);
    swarm_tick(s, 1699);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tick(s, 1700);
    CHECK_COUNTS(s, 9, 3, 0, 1, 2, 0);
    cr_expect(eq(u32, swarm_only(s, 9, KIND_SEARCH_DONE).search_done.elapsed_ms, 700));
    swarm_destroy(s);
}

Test(searches, an_answer_that_comes_twice_or_late_or_from_another_is_dropped)
{
    struct swarm *s = swarm_of(3);
    uint64_t rid = swarm_search(s, 3, search_of("abc"), 1);
    struct file_entry file = file_of("abc", 1, 1000);
    swarm_negative(s, 1, rid);
    swarm_answer(s, 1, rid, 1, &file, 1);
    swarm_answer(s, 3, rid, 1, &file, 1); /* the asker itself was not asked */
    swarm_join(s, 4);
    swarm_answer(s, 4, rid, 1, &file, 1); /* nor a node that joined later */
    cr_assert(eq(sz, swarm_sends(s), 0));
    s->now_ms = 3000;
    swarm_answer(s, 2, rid, 1, &file, 1); /* the deadline is over */
    cr_assert(eq(sz, swarm_count(s, 3, KIND_FOUND), 0));
    CHECK_COUNTS(s, 3, 2, 0, 1, 1, 0);
    swarm_negative(s, 2, rid);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tell(s, 9, simple(KIND_STATUS, 1));
    cr_expect(eq(u64, swarm_only(s, 9, KIND_STATUS_OK).status_ok.bad_messages, 0));
    swarm_negative(s, 2, rid + 1000); /* but this QUERY never was */
    swarm_tell(s, 9, simple(KIND_STATUS, 1));
    cr_expect(eq(u64, swarm_only(s, 9, KIND_STATUS_OK).status_ok.bad_messages, 1));
    swarm_destroy(s);
}

Test(searches, what_an_answer_proves_follows_from_its_total_and_its_files)
{
    struct file_entry good = file_of("abc", 1, 1000), bad = file_of("abc", 2, 1000);
    bad.size++; /* breaks the id equation */
    static const struct {
        uint32_t total;
        unsigned good, bad;
        uint32_t positive, negative, silent;
        bool truncated;
    } rows[] = {
        {0, 0, 0, 0, 1, 0, false},                            /* the explicit negative */
        {1, 1, 0, 1, 0, 0, false}, {0, 1, 0, 1, 0, 0, false}, /* a total below the number of FILEs */
        {5, 1, 0, 1, 0, 0, true},  {1, 0, 0, 0, 0, 1, false}, /* unfinished */
        {1, 0, 1, 0, 0, 1, false}, {0, 0, 1, 0, 0, 1, false}, /* only bad FILEs prove nothing */
        {2, 1, 1, 1, 0, 0, false}, {3, 1, 1, 1, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct swarm *s = swarm_of(1);
        uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
        struct file_entry files[2];
        size_t count = 0;
        if (rows[i].good)
            files[count++] = good;
        if (rows[i].bad)
            files[count++] = bad;
        swarm_answer(s, 1, rid, rows[i].total, files, count);
        struct message_search_done done = swarm_only(s, 9, KIND_SEARCH_DONE).search_done;
        cr_expect(eq(u32, done.positive, rows[i].positive), "row %zu", i);
        cr_expect(eq(u32, done.negative, rows[i].negative), "row %zu", i);
        cr_expect(eq(u32, done.silent, rows[i].silent), "row %zu", i);
        cr_expect(eq(u8, done.truncated, rows[i].truncated), "row %zu", i);
        cr_expect(eq(sz, swarm_count(s, 9, KIND_FOUND), rows[i].positive), "row %zu", i);
        swarm_destroy(s);
    }
}

Test(searches, who_left_is_a_negative_and_who_was_lost_is_silent)
{
    struct swarm *s = swarm_of(4);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    swarm_tell(s, 1, simple(KIND_BYE, 0));
    swarm_forget(s);
    broker_on_unreachable(s->broker, 2, s->now_ms, &s->effects);
    struct broker_peer newer = peer_of(3); /* node 3 comes back by another route */
    newer.route = 33;
    swarm_tell_as(s, newer, join_of(3));
    struct file_entry file = file_of("abc", 1, 1000);
    swarm_answer(s, 33, rid, 1, &file, 1);
    swarm_negative(s, 4, rid);
    cr_assert(eq(sz, swarm_count(s, 9, KIND_FOUND), 0));
    CHECK_COUNTS(s, 9, 4, 0, 2, 2, 0);
    swarm_destroy(s);
}

Test(searches, a_node_that_took_a_place_of_one_that_left_is_not_taken_for_it)
{
    struct swarm *s = swarm_of(2);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    swarm_tell(s, 1, simple(KIND_BYE, 0));
    swarm_join(s, 5);
    struct file_entry file = file_of("abc", 1, 1000);
    swarm_answer(s, 5, rid, 1, &file, 1);
    swarm_negative(s, 2, rid);
    CHECK_COUNTS(s, 9, 2, 0, 2, 0, 0);
    swarm_destroy(s);
}

Test(searches, a_lease_that_ends_during_a_search_is_silent)
{
    struct swarm *s = swarm_of(1);
    s->now_ms = 30000;
    swarm_search(s, 9, search_of("abc"), 1);
    swarm_tick(s, 31000);
    CHECK_COUNTS(s, 9, 1, 0, 0, 1, 0);
    swarm_destroy(s);
}

Test(searches, an_error_instead_of_an_answer_is_silent_at_once)
{
    struct swarm *s = swarm_of(1);
    uint64_t rid = swarm_search(s, 9, search_of("abc"), 1);
    swarm_tell(s, 1, message_error(rid, ERROR_INTERNAL, "oops", 0));
    CHECK_COUNTS(s, 9, 1, 0, 0, 1, 0);
    swarm_destroy(s);
}

Test(searches, an_asker_that_says_bye_or_is_lost_ends_its_searches)
{
    struct swarm *s = swarm_of(1);
    swarm_search(s, 8, search_of("abc"), 1);
    swarm_search(s, 9, search_of("abc"), 1);
    cr_assert(eq(sz, broker_search_count(s->broker), 2));
    swarm_tell(s, 8, simple(KIND_BYE, 0));
    swarm_forget(s);
    broker_on_unreachable(s->broker, 9, s->now_ms, &s->effects);
    cr_assert(eq(sz, broker_search_count(s->broker), 0));
    swarm_tick(s, 10000);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_destroy(s);
}

Test(searches, no_file_beyond_limit_ids_and_truncated_says_so)
{
    struct swarm *s = swarm_of(1);
    struct message search = search_of("abc");
    search.search.limit = 2;
    uint64_t rid = swarm_search(s, 9, search, 1);
    struct file_entry files[] = {file_of("a", 1, 1000), file_of("b", 2, 1000), file_of("c", 3, 1000),
                                 file_of("d", 1, 1000)};
    swarm_answer(s, 1, rid, 4, files, 4);
    cr_expect(eq(sz, swarm_only(s, 9, KIND_FOUND).found.count, 3));
    cr_expect(swarm_only(s, 9, KIND_SEARCH_DONE).search_done.truncated);
    swarm_destroy(s);
}

static struct broker_peer loopback(uint32_t route)
{
    struct broker_peer peer = peer_of(route);
    peer.host = host_of("127.0.0.1");
    return peer;
}

static void join_loopback(struct swarm *s, uint32_t route, uint32_t features)
{
    struct message join = join_of(route);
    join.join.features = features;
    swarm_tell_as(s, loopback(route), join);
}

Test(searches, a_loopback_source_is_told_to_others_only_if_it_is_reachable)
{
    struct swarm *s = swarm_new(NULL);
    struct file_entry file = file_of("abc", 1, 1000);
    cr_expect(not(broker_wants_local_host(s->broker)));
    join_loopback(s, 1, FEATURE_REACHABLE);
    cr_expect(broker_wants_local_host(s->broker));
    join_loopback(s, 2, 0);
    join_loopback(s, 3, 0);

    struct broker_peer asker = peer_of(9);
    asker.has_local_host = true;
    asker.local_host = host_of("10.0.0.200");
    swarm_tell_as(s, asker, search_of("abc"));
    uint64_t rid = swarm_only(s, 1, KIND_QUERY).rid;
    swarm_tell_as(s, loopback(1), answer_of(rid, 1, &file, 1));
    swarm_tell_as(s, loopback(2), answer_of(rid, 7, &file, 1));
    swarm_tell_as(s, loopback(3), answer_of(rid, 0, NULL, 0)); /* its negative counts as usual */
    struct message found = swarm_only(s, 9, KIND_FOUND);
    cr_assert(eq(sz, found.found.entries[0].sources.count, 1));
    cr_expect(host_equal(&found.found.entries[0].sources.entries[0].host, &asker.local_host));
    CHECK_COUNTS(s, 9, 3, 1, 1, 1, 0);
    cr_expect(not(swarm_only(s, 9, KIND_SEARCH_DONE).search_done.truncated));

    asker.has_local_host = false; /* our address is not known: nothing to give */
    swarm_tell_as(s, asker, search_of("abc"));
    rid = swarm_only(s, 1, KIND_QUERY).rid;
    swarm_tell_as(s, loopback(1), answer_of(rid, 1, &file, 1));
    swarm_tell_as(s, loopback(2), simple(KIND_BYE, 0));
    swarm_tell_as(s, loopback(3), simple(KIND_BYE, 0));
    CHECK_COUNTS(s, 9, 3, 0, 2, 1, 0);
    swarm_destroy(s);
}

Test(searches, a_loopback_asker_gets_loopback_sources)
{
    struct swarm *s = swarm_new(NULL);
    struct file_entry file = file_of("abc", 1, 1000);
    join_loopback(s, 1, 0);
    swarm_tell_as(s, loopback(9), search_of("abc"));
    uint64_t rid = swarm_only(s, 1, KIND_QUERY).rid;
    swarm_tell_as(s, loopback(1), answer_of(rid, 1, &file, 1));
    cr_assert(host_is_loopback(&swarm_only(s, 9, KIND_FOUND).found.entries[0].sources.entries[0].host));
    swarm_destroy(s);
}
