/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a node without a port counts as joined, asks for ports in a tight loop, forgets the
 * one that it got, or stays silent about a broker that gives none.
 */
#include "tests/unit/node/link/broker_link_world.h"

/* A node without a port that has just asked for one; the rid of its JOIN. */
static struct world world_asking(uint64_t *ret_rid)
{
    struct world w = world_at_port(0);
    broker_link_on_connected(w.link, 0, w.now_ms);
    *ret_rid = join_rid(&w);
    cr_assert(eq(u16, sent(&w, 0).join.port, 0));
    return w;
}

static void assign(struct world *w, uint64_t rid, uint16_t port)
{
    struct message m = {.kind = KIND_JOIN_OK, .rid = rid, .join_ok = {.port = port, .lease_ms = LEASE_MS}};
    cr_assert(eq(int, deliver(w, &m, 0), BROKER_LINK_TAKEN));
}

Test(broker_link_port, an_assigned_port_is_bound_and_joined_with_at_once_under_the_name_made_of_it)
{
    uint64_t rid;
    struct world w = world_asking(&rid);
    assign(&w, rid, 7001);
    cr_assert(eq(sz, w.effects.count, 1));
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_ASSIGNED));
    cr_assert(eq(u16, w.effects.items[0].port, 7001));
    cr_assert(not(broker_link_is_joined(w.link)));
    cr_assert(eq(sz, tick(&w, 0), 0));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), UINT64_MAX));

    broker_link_on_bound(w.link, 7001, text_of("User-7001"), 55, w.now_ms);
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms));
    rid = join_rid(&w);
    struct message m = sent(&w, 0);
    cr_assert(eq(u16, m.join.port, 7001));
    cr_assert(eq(sz, m.join.node_name.size, strlen("User-7001")));
    accept_join(&w, rid, LEASE_MS);
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_JOINED));
    world_release(&w);
}

Test(broker_link_port, a_port_that_could_not_be_bound_is_followed_by_the_question_for_another_a_little_later)
{
    uint64_t rid;
    struct world w = world_asking(&rid);
    for (unsigned i = 0; i < 50; i++) {
        assign(&w, rid, 7001);
        broker_link_on_bound(w.link, 0, text_of(""), 30, w.now_ms);
        w.now_ms += BROKER_REBIND_MS + 30 - 1;
        cr_assert(eq(sz, tick(&w, 0), 0));
        w.now_ms++;
        rid = join_rid(&w);
        cr_assert(eq(u16, sent(&w, 0).join.port, 0));
    }
    world_release(&w);
}

Test(broker_link_port, a_broker_that_assigns_no_ports_or_has_none_left_is_told_once_and_asked_again)
{
    static const struct {
        enum error_code code;
        uint32_t retry_ms, wait_ms;
    } rows[] = {{ERROR_DENIED, 0, BROKER_REFUSED_RETRY_MS}, {ERROR_BUSY, 700, 700}};
    for (size_t i = 0; i < 2; i++) {
        uint64_t rid;
        struct world w = world_asking(&rid);
        for (size_t turn = 0; turn < 3; turn++) {
            struct message m = message_error(rid, rows[i].code, "no", rows[i].retry_ms);
            deliver(&w, &m, 0);
            cr_assert(eq(sz, w.effects.count, turn == 0 ? 1 : 0), "row %zu", i);
            cr_assert(turn > 0 || w.effects.items[0].is_about_port);
            cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + rows[i].wait_ms));
            w.now_ms += rows[i].wait_ms;
            rid = join_rid(&w);
        }
        assign(&w, rid, 7001);
        cr_assert(eq(int, w.effects.items[0].kind, BROKER_ASSIGNED));
        world_release(&w);
    }
}

Test(broker_link_port, a_broker_that_accepts_a_join_without_a_port_is_a_refusal)
{
    uint64_t rid;
    struct world w = world_asking(&rid);
    assign(&w, rid, 0);
    cr_assert(eq(int, w.effects.items[0].kind, BROKER_REFUSED));
    cr_assert(eq(u64, broker_link_next_deadline_ms(w.link), w.now_ms + BROKER_REFUSED_RETRY_MS));
    world_release(&w);
}

Test(broker_link_port, a_question_for_a_port_without_an_answer_is_repeated_and_a_late_answer_dropped)
{
    uint64_t first;
    struct world w = world_asking(&first);
    w.now_ms += BROKER_JOIN_TIMEOUT_MS;
    uint64_t second = join_rid(&w);
    assign(&w, first, 7001);
    cr_assert(eq(sz, w.effects.count, 0));
    assign(&w, second, 7002);
    cr_assert(eq(u16, w.effects.items[0].port, 7002));
    assign(&w, second, 7003); /* said twice */
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(broker_link_port, a_port_that_was_bound_while_the_connection_broke_is_joined_with_on_the_next_one)
{
    uint64_t rid;
    struct world w = world_asking(&rid);
    assign(&w, rid, 7001);
    broker_link_on_disconnected(w.link, &w.effects);
    broker_link_on_bound(w.link, 7001, text_of("n"), 0, w.now_ms);
    cr_assert(eq(sz, tick(&w, 0), 0));
    broker_link_on_connected(w.link, 0, w.now_ms);
    join_rid(&w);
    cr_assert(eq(u16, sent(&w, 0).join.port, 7001));
    world_release(&w);
}

Test(broker_link_port, an_assigned_port_is_kept_when_the_broker_comes_back)
{
    uint64_t rid;
    struct world w = world_asking(&rid);
    assign(&w, rid, 7001);
    broker_link_on_bound(w.link, 7001, text_of("n"), 0, w.now_ms);
    accept_join(&w, join_rid(&w), LEASE_MS);
    broker_effects_clear(&w.effects);
    broker_link_on_disconnected(w.link, &w.effects);
    broker_link_on_connected(w.link, 0, w.now_ms);
    join_rid(&w);
    cr_assert(eq(u16, sent(&w, 0).join.port, 7001));
    world_release(&w);
}
