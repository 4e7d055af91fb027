/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a lease runs out between two PINGs, an unfinished node proves a negative or sends a
 * filter, a refusal is repeated in a tight loop or told for ever, a message for the owner is swallowed, an
 * ANSWER is too long.
 */
#include "tests/unit/node/link/broker_link_world.h"

#define PING_MS 9000 /* three tenths of the lease */

static struct world world_joined(void)
{
    struct world w = world_new();
    scan(&w, 3, 8, true);
    hash_all(&w);
    broker_link_on_connected(w.link, 0, w.now_ms);
    accept_join(&w, join_rid(&w), LEASE_MS);
    return w;
}

Test(broker_link, nothing_is_sent_before_there_is_a_connection)
{
    struct world w = world_new();
    cr_assert(eq(sz, tick(&w, 0), 0));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), UINT64_MAX));
    world_release(&w);
}

Test(broker_link, the_first_join_goes_out_at_once_and_tells_who_and_what)
{
    struct world w = world_new();
    scan(&w, 3, 8, true);
    hash_all(&w);
    broker_link_on_connected(w.link, 999, w.now_ms);
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms));
    cr_assert(eq(sz, tick(&w, 0), 1));
    struct message m = sent(&w, 0);
    cr_assert(eq(int, m.kind, KIND_JOIN));
    cr_assert(ge(u64, m.rid, BROKER_LINK_RID_MIN));
    cr_assert(eq(u8, m.join.node.bytes[0], 7));
    cr_assert(eq(u64, m.join.boot, 55));
    cr_assert(eq(u16, m.join.port, 9001));
    cr_assert(eq(u32, m.join.features, FEATURE_REACHABLE));
    cr_assert(eq(u64, m.join.files, 3));
    cr_assert(eq(u64, m.join.bytes, 30));
    cr_assert(m.join.presence.is_present);
    world_release(&w);
}

Test(broker_link, no_filter_is_sent_before_every_id_is_known)
{
    struct world w = world_new();
    scan(&w, 3, 8, true);
    broker_link_on_connected(w.link, 0, w.now_ms);
    tick(&w, 0);
    cr_assert(not(sent(&w, 0).join.presence.is_present));
    world_release(&w);
}

Test(broker_link, joining_is_reported_once_with_the_address_that_the_broker_sees)
{
    struct world w = world_joined();
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_JOINED));
    cr_assert(eq(u16, w.effects.items[0].port, 9001));
    cr_assert(eq(u8, w.effects.items[0].host.bytes[15], 1));
    cr_assert(broker_link_is_joined(w.link));
    world_release(&w);
}

Test(broker_link, a_ping_keeps_the_lease_before_a_third_of_it_is_over_and_not_earlier)
{
    struct world w = world_joined();
    uint64_t joined_ms = w.now_ms;
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), joined_ms + PING_MS));
    w.now_ms = joined_ms + PING_MS - 1;
    cr_assert(eq(sz, tick(&w, 0), 0));
    w.now_ms++;
    cr_assert(eq(sz, tick(&w, 0), 1));
    cr_assert(eq(int, sent(&w, 0).kind, KIND_PING));
    cr_assert(eq(sz, tick(&w, 0), 0));
    cr_assert(lt(u64, PING_MS, LEASE_MS / 3));
    world_release(&w);
}

Test(broker_link, a_broker_that_is_silent_for_a_lease_is_joined_again)
{
    struct world w = world_joined();
    uint64_t joined_ms = w.now_ms;
    for (w.now_ms += PING_MS; w.now_ms < joined_ms + LEASE_MS; w.now_ms += PING_MS)
        cr_assert(eq(sz, tick(&w, 0), 1));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), joined_ms + LEASE_MS));
    w.now_ms = joined_ms + LEASE_MS - 1;
    cr_assert(eq(sz, tick(&w, 250), 0));
    w.now_ms++;
    cr_assert(eq(sz, tick(&w, 250), 1));
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_LOST));
    w.now_ms += 249;
    cr_assert(eq(sz, tick(&w, 0), 0));
    w.now_ms++;
    join_rid(&w);
    world_release(&w);
}

Test(broker_link, a_hostile_lease_is_bounded)
{
    static const uint32_t rows[][2] = {{0, 300}, {999, 300}, {UINT32_MAX, BROKER_LEASE_MS_MAX / 10 * 3}};
    for (size_t i = 0; i < 3; i++) {
        struct world w = world_new();
        broker_link_on_connected(w.link, 0, w.now_ms);
        accept_join(&w, join_rid(&w), rows[i][0]);
        cr_expect(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + rows[i][1]), "row %zu", i);
        world_release(&w);
    }
}

Test(broker_link, a_lost_connection_is_told_once_and_the_next_join_is_jittered)
{
    struct world w = world_joined();
    broker_effects_clear(&w.effects);
    broker_link_on_disconnected(w.link, &w.effects);
    broker_link_on_disconnected(w.link, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_LOST));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), UINT64_MAX));
    broker_link_on_connected(w.link, 12345, w.now_ms);
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + 345));
    cr_assert(eq(sz, tick(&w, 0), 0));
    w.now_ms += 345;
    accept_join(&w, join_rid(&w), LEASE_MS);
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_JOINED));
    world_release(&w);
}

Test(broker_link, a_join_without_an_answer_is_repeated_after_ten_seconds)
{
    struct world w = world_new();
    broker_link_on_connected(w.link, 0, w.now_ms);
    uint64_t first = join_rid(&w);
    w.now_ms += BROKER_JOIN_TIMEOUT_MS - 1;
    cr_assert(eq(sz, tick(&w, 0), 0));
    w.now_ms++;
    uint64_t second = join_rid(&w);
    cr_assert(ne(u64, first, second));
    accept_join(&w, first, LEASE_MS); /* late: dropped */
    cr_assert(not(broker_link_is_joined(w.link)));
    cr_assert(eq(u64, broker_link_dropped_count(w.link), 1));
    accept_join(&w, second, LEASE_MS);
    cr_assert(broker_link_is_joined(w.link));
    world_release(&w);
}

Test(broker_link, a_refusal_is_told_once_and_tried_again_when_the_broker_says)
{
    static const enum error_code codes[] = {ERROR_DUPLICATE, ERROR_DENIED, ERROR_BUSY, ERROR_BAD_MESSAGE};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct world w = world_new();
        broker_link_on_connected(w.link, 0, w.now_ms);
        struct message m = message_error(join_rid(&w), codes[i], "go away", 2000);
        deliver(&w, &m, 1500); /* jitter up to a half: 0..1000 */
        cr_assert(eq(sz, w.effects.count, 1));
        cr_assert(eq(int, w.effects.items[0].kind, BROKER_REFUSED));
        cr_assert(eq(u16, w.effects.items[0].code, codes[i]));
        cr_assert(eq(str, w.effects.items[0].text, "go away"));
        cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + 2000 + 1500 % 1001));

        w.now_ms += 2499;
        m = message_error(join_rid(&w), codes[i], "go away", 0);
        deliver(&w, &m, 0);
        cr_assert(eq(sz, w.effects.count, 0));
        cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + BROKER_REFUSED_RETRY_MS));

        w.now_ms += BROKER_REFUSED_RETRY_MS;
        m = message_error(join_rid(&w), codes[i], "go away", UINT32_MAX);
        deliver(&w, &m, 0);
        cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + BROKER_RETRY_MS_MAX));

        w.now_ms += BROKER_RETRY_MS_MAX;
        accept_join(&w, join_rid(&w), LEASE_MS);
        cr_assert(eq(int, w.effects.items[0].kind, BROKER_JOINED));
        world_release(&w);
    }
}

Test(broker_link, not_joined_makes_it_join_again_without_a_word)
{
    struct world w = world_joined();
    struct message m = message_error(BROKER_LINK_RID_MIN | 77, ERROR_NOT_JOINED, "who", 0);
    cr_assert(eq(int, deliver(&w, &m, 300), BROKER_LINK_TAKEN));
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(not(broker_link_is_joined(w.link)));
    w.now_ms += 300;
    uint64_t rid = join_rid(&w);
    deliver(&w, &m, 300); /* the answer to another PING of before: the JOIN stands */
    accept_join(&w, rid, LEASE_MS);
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(broker_link_is_joined(w.link));
    world_release(&w);
}

Test(broker_link, a_broker_that_says_bye_is_asked_again_later)
{
    struct world w = world_joined();
    struct message m = {.kind = KIND_BYE, .bye = {text_of("stopping")}};
    deliver(&w, &m, 0);
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_LOST));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + BROKER_REFUSED_RETRY_MS));
    world_release(&w);
}

Test(broker_link, changes_are_told_at_most_once_a_second)
{
    struct world w = world_joined();
    scan(&w, 4, 8, true);
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), 0)); /* due at once */
    cr_assert(eq(sz, tick(&w, 0), 1));
    struct message m = sent(&w, 0);
    cr_assert(eq(int, m.kind, KIND_UPDATE));
    cr_assert(eq(u64, m.update.generation, holdings_generation(w.holdings)));
    cr_assert(not(m.update.presence.is_present)); /* not settled */
    uint64_t told_ms = w.now_ms;
    hash_all(&w);
    cr_assert(eq(sz, tick(&w, 0), 0));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), told_ms + BROKER_UPDATE_INTERVAL_MS));
    w.now_ms += BROKER_UPDATE_INTERVAL_MS - 1;
    cr_assert(eq(sz, tick(&w, 0), 0));
    w.now_ms++;
    cr_assert(eq(sz, tick(&w, 0), 1));
    m = sent(&w, 0);
    cr_assert(eq(u64, m.update.files, 4));
    cr_assert(m.update.presence.is_present);
    w.now_ms += BROKER_UPDATE_INTERVAL_MS;
    cr_assert(eq(sz, tick(&w, 0), 0));
    world_release(&w);
}

Test(broker_link, a_refused_update_is_sent_again)
{
    struct world w = world_joined();
    scan(&w, 4, 8, true);
    hash_all(&w);
    tick(&w, 0);
    struct message m = message_error(sent(&w, 0).rid, ERROR_LIMIT, "slow", 3000);
    deliver(&w, &m, 0);
    w.now_ms += 2999;
    cr_assert(eq(sz, tick(&w, 0), 0));
    w.now_ms++;
    cr_assert(eq(sz, tick(&w, 0), 1));
    cr_assert(eq(int, sent(&w, 0).kind, KIND_UPDATE));
    world_release(&w);
}

Test(broker_link, a_ping_is_answered_with_its_rid)
{
    struct world w = world_joined();
    struct message m = {.kind = KIND_PING, .rid = 4242};
    deliver(&w, &m, 0);
    struct message pong = sent(&w, 0);
    cr_assert(eq(int, pong.kind, KIND_PONG));
    cr_assert(eq(u64, pong.rid, 4242));
    world_release(&w);
}

static struct message query(const char *text, uint8_t mode, uint32_t limit)
{
    return (struct message){
        .kind = KIND_QUERY, .rid = 31, .query = {.mode = mode, .text = text_of(text), .limit = limit}};
}

Test(broker_link, a_query_is_answered_with_what_matches_and_how_many_there_are)
{
    struct world w = world_joined();
    struct message m = query("x", MODE_WORDS, 2);
    deliver(&w, &m, 0);
    struct message answer = sent(&w, 0);
    cr_assert(eq(int, answer.kind, KIND_ANSWER));
    cr_assert(eq(u64, answer.rid, 31));
    cr_assert(eq(u32, answer.answer.total, 3));
    cr_assert(eq(sz, answer.answer.files.count, 2));
    m = query("nothing", MODE_WORDS, 0);
    deliver(&w, &m, 0);
    cr_assert(eq(u32, sent(&w, 0).answer.total, 0));
    world_release(&w);
}

Test(broker_link, a_node_that_is_still_hashing_never_proves_a_negative)
{
    struct world w = world_joined();
    scan(&w, 3, 8, false);
    struct message m = query("nothing", MODE_WORDS, 0);
    deliver(&w, &m, 0);
    struct message answer = sent(&w, 0);
    cr_assert(eq(u32, answer.answer.total, 1));
    cr_assert(eq(sz, answer.answer.files.count, 0));
    world_release(&w);
}

Test(broker_link, partial_files_answer_queries_too)
{
    struct world w = world_joined();
    struct hash root = {{9}};
    struct file_entry file = {
        .id = file_id_of(1 << 20, &root), .root = root, .size = 1 << 20, .name = text_of("Ação.iso")};
    static const uint8_t have[2] = {0xff, 0};
    cr_assert(holdings_add_partial(w.holdings, 1, &file, have));
    struct message m = query("acao", MODE_WORDS, 0);
    deliver(&w, &m, 0);
    struct message answer = sent(&w, 0);
    cr_assert(eq(sz, answer.answer.files.count, 1));
    cr_assert(eq(u16, answer.answer.files.entries[0].have_permille, 500));
    cr_assert(eq(sz, tick(&w, 0), 1));
    cr_assert(eq(u64, sent(&w, 0).update.files, 4));
    world_release(&w);
}

Test(broker_link, an_answer_fits_in_a_header_and_still_counts_all)
{
    struct world w = world_joined();
    scan(&w, 200, 1000, true);
    hash_all(&w);
    struct message m = query("", MODE_WORDS, 5000);
    deliver(&w, &m, 0);
    cr_assert(le(sz, w.effects.items[0].header_size, HEADER_SIZE_MAX_BROKER));
    struct message answer = sent(&w, 0);
    cr_assert(eq(u32, answer.answer.total, 200));
    cr_assert(gt(sz, answer.answer.files.count, 50));
    world_release(&w);
}

Test(broker_link, the_limit_of_a_query_defaults_to_200_and_is_clamped_to_1000)
{
    struct world w = world_joined();
    scan(&w, 300, 8, true);
    hash_all(&w);
    struct message m = query("", MODE_WORDS, 0);
    deliver(&w, &m, 0);
    cr_assert(eq(sz, sent(&w, 0).answer.files.count, 200));
    m = query("", MODE_WORDS, UINT32_MAX);
    deliver(&w, &m, 0);
    cr_assert(eq(sz, sent(&w, 0).answer.files.count, 300));
    world_release(&w);
}

Test(broker_link, a_query_that_cannot_be_understood_is_refused)
{
    struct world w = world_joined();
    const struct message rows[] = {query("x", 9, 0), query("zz", MODE_ID, 0)};
    for (size_t i = 0; i < 2; i++) {
        deliver(&w, &rows[i], 0);
        struct message reply = sent(&w, 0);
        cr_assert(eq(int, reply.kind, KIND_ERROR), "row %zu", i);
        cr_assert(eq(u16, reply.error.code, ERROR_BAD_MESSAGE));
        cr_assert(eq(u64, reply.rid, 31));
    }
    world_release(&w);
}

Test(broker_link, bad_requests_are_answered_and_bad_replies_dropped)
{
    struct world w = world_joined();
    static const struct {
        uint8_t bytes[4];
        uint16_t code; /* 0: no answer */
    } rows[] = {
        {{0x93, 1, 15, 42}, ERROR_BAD_MESSAGE}, /* QUERY without fields */
        {{0x93, 1, 11, 42}, 0},                 /* JOIN_OK without fields */
        {{0x93, 1, 0, 42}, 0},                  /* ERROR without fields */
        {{0x93, 2, 1, 42}, ERROR_UNSUPPORTED},  /* another version */
        {{0x93, 1, 14, 42}, ERROR_UNSUPPORTED}, /* SEARCH: a broker's business */
        {{0x93, 1, 31, 42}, 0},                 /* a reply of the other link */
        {{0xc1, 0, 0, 0}, ERROR_BAD_MESSAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert(eq(int, deliver_bytes(&w, rows[i].bytes, 4, 0), BROKER_LINK_TAKEN));
        cr_assert(eq(sz, w.effects.count, rows[i].code ? 1 : 0), "row %zu", i);
        if (rows[i].code)
            cr_assert(eq(u16, sent(&w, 0).error.code, rows[i].code), "row %zu", i);
    }
    world_release(&w);
}

Test(broker_link, what_is_not_the_links_goes_to_its_owner)
{
    struct world w = world_joined();
    const struct message rows[] = {{.kind = KIND_SEARCH_DONE, .rid = 5},
                                   {.kind = KIND_FOUND, .rid = 5},
                                   {.kind = KIND_PEERS_OK, .rid = 5},
                                   {.kind = KIND_STATUS_OK, .rid = 5, .status_ok = {.agent = text_of("")}},
                                   message_error(5, ERROR_LIMIT, "slow down", 10)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert(eq(int, deliver(&w, &rows[i], 0), BROKER_LINK_NOT_MINE), "row %zu", i);
        cr_assert(eq(sz, w.effects.count, 0));
    }
    world_release(&w);
}

Test(broker_link, stopping_says_bye_and_then_nothing)
{
    struct world w = world_joined();
    broker_effects_clear(&w.effects);
    broker_link_on_stop(w.link, &w.effects);
    cr_assert(eq(int, sent(&w, 0).kind, KIND_BYE));
    w.now_ms += LEASE_MS;
    cr_assert(eq(sz, tick(&w, 0), 0));
    world_release(&w);
}

Test(broker_link, at_rest_it_is_no_node_until_it_wakes_whatever_the_connection_does)
{
    struct world w = world_joined();
    broker_effects_clear(&w.effects);
    broker_link_rest(w.link, &w.effects);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, sent(&w, 0).kind, KIND_BYE));
    cr_assert(not(broker_link_is_joined(w.link)));
    w.now_ms += LEASE_MS;
    cr_assert(eq(sz, tick(&w, 0), 0));
    broker_link_on_disconnected(w.link, &w.effects);
    broker_link_on_connected(w.link, 0, w.now_ms);
    cr_assert(eq(sz, tick(&w, 0), 0));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), UINT64_MAX));
    broker_link_wake(w.link, w.now_ms);
    accept_join(&w, join_rid(&w), LEASE_MS);
    cr_assert(broker_link_is_joined(w.link));
    world_release(&w);
}

Test(broker_link, waking_without_a_connection_waits_for_one)
{
    struct world w = world_joined();
    broker_link_rest(w.link, &w.effects);
    broker_link_on_disconnected(w.link, &w.effects);
    broker_link_wake(w.link, w.now_ms);
    cr_assert(eq(sz, tick(&w, 0), 0));
    broker_link_on_connected(w.link, 0, w.now_ms);
    cr_assert(eq(sz, tick(&w, 0), 1));
    cr_assert(eq(int, sent(&w, 0).kind, KIND_JOIN));
    broker_link_wake(w.link, w.now_ms);
    cr_assert(eq(sz, tick(&w, 0), 0), "awake already: one JOIN is enough");
    world_release(&w);
}
