/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a node that is forgotten a millisecond early or never, a stranger who takes over a
 * live node's id, a re-used fd that costs an innocent node its place, a port assigned twice.
 */
#include "tests/unit/broker/swarm.h"

Test(membership, join_tells_the_observed_address_and_the_lease)
{
    struct swarm *s = swarm_new(NULL);
    swarm_tell(s, 1, join_of(1));
    struct message ok = swarm_only(s, 1, KIND_JOIN_OK);
    struct host observed = host_of("10.0.0.1");
    cr_expect(eq(u64, ok.rid, 1001));
    cr_expect(host_equal(&ok.join_ok.host, &observed));
    cr_expect(eq(u16, ok.join_ok.port, 9001));
    cr_expect(eq(u32, ok.join_ok.lease_ms, 30000));
    cr_expect(eq(u8, ok.join_ok.broker.bytes[0], 0xb0));
    cr_expect(eq(u32, ok.join_ok.nodes, 1));
    swarm_destroy(s);
}

Test(membership, lease_ends_at_its_last_millisecond_and_not_before)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 31000));
    swarm_tick(s, 30999);
    cr_assert(eq(sz, broker_node_count(s->broker), 1));
    swarm_tick(s, 31000);
    cr_assert(eq(sz, broker_node_count(s->broker), 0));
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), UINT64_MAX));
    swarm_destroy(s);
}

Test(membership, a_message_at_the_end_of_the_lease_comes_too_late)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    s->now_ms = 31000;
    swarm_tell(s, 1, simple(KIND_PING, 4));
    cr_assert(eq(u16, swarm_error(s, 1), ERROR_NOT_JOINED));
    swarm_destroy(s);
}

Test(membership, any_message_renews_the_lease_and_the_others_still_end)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_join(s, 2);
    s->now_ms = 20000;
    swarm_bytes(s, peer_of(1), "\xc1", 1, 1); /* even a bad one */
    swarm_tick(s, 31000);
    cr_assert(eq(sz, broker_node_count(s->broker), 1));
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 50000));
    swarm_destroy(s);
}

Test(membership, bye_forgets_a_node_at_once_and_is_not_answered)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 1, simple(KIND_BYE, 0));
    cr_assert(eq(sz, swarm_sends(s), 0));
    cr_assert(eq(sz, broker_node_count(s->broker), 0));
    swarm_destroy(s);
}

Test(membership, joining_again_on_the_same_route_replaces_what_was_told)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    struct message again = join_of(1);
    again.join.port = 9555;
    again.join.files = 12;
    swarm_tell(s, 1, again);
    cr_assert(eq(u16, swarm_only(s, 1, KIND_JOIN_OK).join_ok.port, 9555));
    cr_assert(eq(sz, broker_node_count(s->broker), 1));
    swarm_tell(s, 1, (struct message){.kind = KIND_PEERS, .rid = 2});
    struct message peers = swarm_only(s, 1, KIND_PEERS_OK);
    cr_assert(eq(sz, peers.peers_ok.count, 1));
    cr_expect(eq(u16, peers.peers_ok.entries[0].source.port, 9555));
    cr_expect(eq(u64, peers.peers_ok.entries[0].files, 12));
    swarm_destroy(s);
}

Test(membership, another_id_on_a_joined_route_is_a_bye_of_the_first)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_join(s, 2);
    uint64_t query = swarm_search(s, 9, search_of("abc"), 1);
    swarm_negative(s, 2, query);
    swarm_tell(s, 1, join_of(3));
    cr_expect(eq(sz, swarm_count(s, 1, KIND_JOIN_OK), 1));
    CHECK_COUNTS(s, 9, 2, 0, 2, 0, 0);
    cr_expect(eq(sz, broker_node_count(s->broker), 2));
    swarm_destroy(s);
}

Test(membership, a_full_broker_is_busy_for_newcomers_but_not_for_members)
{
    struct broker_config config = swarm_config();
    config.nodes_max = 2;
    struct swarm *s = swarm_new(&config);
    swarm_join(s, 1);
    swarm_join(s, 2);
    swarm_tell(s, 3, join_of(3));
    struct message error = swarm_only(s, 3, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_BUSY));
    cr_expect(eq(u32, error.error.retry_ms, MEMBERSHIP_RETRY_MS));
    cr_expect(eq(u64, error.rid, 1003));
    swarm_join(s, 2);
    swarm_tell(s, 4, join_of(1)); /* the same node by a new connection, from elsewhere: no room is needed */
    cr_expect(eq(sz, swarm_count(s, 1, KIND_PING), 1));
    swarm_destroy(s);
}

Test(membership, a_join_without_a_known_address_is_denied)
{
    struct swarm *s = swarm_new(NULL);
    swarm_tell_as(s, (struct broker_peer){.route = 1, .connection = -1}, join_of(1));
    cr_assert(eq(u16, swarm_error(s, 1), ERROR_DENIED));
    swarm_destroy(s);
}

Test(membership, the_same_boot_at_the_same_address_replaces_the_old_route)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    struct broker_peer newer = peer_of(1);
    newer.route = 8;
    newer.connection = 8;
    swarm_tell_as(s, newer, join_of(1));
    cr_assert(eq(sz, swarm_count(s, 8, KIND_JOIN_OK), 1));
    cr_assert(eq(sz, broker_node_count(s->broker), 1));
    swarm_tell(s, 1, simple(KIND_PING, 1));
    cr_assert(eq(u16, swarm_error(s, 1), ERROR_NOT_JOINED));
    swarm_destroy(s);
}

Test(membership, a_live_node_keeps_its_id_and_the_newcomer_is_a_duplicate)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    struct message newcomer = join_of(1);
    newcomer.join.boot = 8;
    swarm_tell(s, 2, newcomer);
    struct message ping = swarm_only(s, 1, KIND_PING);
    cr_assert(eq(sz, swarm_sends(s), 1));
    s->now_ms = 2999;
    swarm_tell(s, 1, simple(KIND_PONG, ping.rid + 1)); /* of something else */
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tell(s, 2, simple(KIND_PONG, ping.rid)); /* not by the newcomer itself */
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tell(s, 1, simple(KIND_PONG, ping.rid));
    struct message error = swarm_only(s, 2, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_DUPLICATE));
    cr_expect(eq(u64, error.rid, 1001));
    swarm_tick(s, 10000);
    cr_expect(eq(sz, swarm_sends(s), 0));
    cr_expect(eq(sz, broker_node_count(s->broker), 1));
    swarm_destroy(s);
}

Test(membership, a_silent_old_route_loses_its_id_after_two_seconds_and_not_before)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 2, join_of(1)); /* same boot, another address */
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 1000 + CHALLENGE_MS));
    swarm_tick(s, 999 + CHALLENGE_MS);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tick(s, 1000 + CHALLENGE_MS);
    struct message ok = swarm_only(s, 2, KIND_JOIN_OK);
    struct host observed = host_of("10.0.0.2");
    cr_expect(host_equal(&ok.join_ok.host, &observed));
    cr_expect(eq(u64, ok.rid, 1001));
    cr_expect(eq(sz, broker_node_count(s->broker), 1));
    swarm_tell(s, 1, simple(KIND_PING, 1));
    cr_expect(eq(u16, swarm_error(s, 1), ERROR_NOT_JOINED));
    swarm_destroy(s);
}

Test(membership, a_pong_at_the_end_of_the_two_seconds_comes_too_late)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 2, join_of(1));
    uint64_t rid = swarm_only(s, 1, KIND_PING).rid;
    s->now_ms += CHALLENGE_MS;
    swarm_tell(s, 1, simple(KIND_PONG, rid));
    cr_assert(eq(sz, swarm_count(s, 2, KIND_JOIN_OK), 1));
    cr_assert(eq(sz, swarm_count(s, 2, KIND_ERROR), 0));
    swarm_destroy(s);
}

Test(membership, a_waiting_newcomer_is_not_joined_and_asking_again_does_not_start_its_time_anew)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 2, join_of(1));
    swarm_tell(s, 2, simple(KIND_PING, 1));
    cr_assert(eq(u16, swarm_error(s, 2), ERROR_NOT_JOINED));
    s->now_ms = 2000;
    struct message again = join_of(1);
    again.rid = 4321;
    swarm_tell(s, 2, again);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tick(s, 3000);
    cr_assert(eq(u64, swarm_only(s, 2, KIND_JOIN_OK).rid, 4321));
    swarm_destroy(s);
}

Test(membership, a_second_newcomer_for_an_id_is_told_to_wait)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 2, join_of(1));
    swarm_tell(s, 3, join_of(1));
    struct message error = swarm_only(s, 3, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_BUSY));
    cr_expect(eq(u32, error.error.retry_ms, CHALLENGE_MS));
    swarm_destroy(s);
}

Test(membership, a_newcomer_is_taken_at_once_when_the_old_route_says_bye)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 2, join_of(1));
    swarm_tell(s, 1, simple(KIND_BYE, 0));
    cr_assert(eq(sz, swarm_count(s, 2, KIND_JOIN_OK), 1));
    swarm_destroy(s);
}

Test(membership, a_newcomer_that_leaves_while_it_waits_changes_nothing)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_tell(s, 2, join_of(1));
    swarm_tell(s, 2, simple(KIND_BYE, 0));
    swarm_tick(s, 10000);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tell(s, 1, simple(KIND_PING, 1));
    cr_assert(eq(sz, swarm_count(s, 1, KIND_PONG), 1));
    swarm_destroy(s);
}

Test(membership, newcomers_that_wait_are_limited)
{
    struct broker_config config = swarm_config();
    config.nodes_max = CHALLENGES_MAX + 1;
    struct swarm *s = swarm_new(&config);
    for (uint32_t i = 0; i <= CHALLENGES_MAX; i++)
        swarm_join(s, 1 + i);
    for (uint32_t i = 0; i < CHALLENGES_MAX; i++)
        swarm_tell(s, 10001 + i, join_of(1 + i));
    cr_assert(eq(sz, swarm_count(s, CHALLENGES_MAX, KIND_PING), 1));
    swarm_tell(s, 30000, join_of(CHALLENGES_MAX + 1));
    cr_assert(eq(u16, swarm_error(s, 30000), ERROR_BUSY));
    swarm_destroy(s);
}

static void lose_connection(struct swarm *s, int connection)
{
    swarm_forget(s);
    broker_on_connection_lost(s->broker, connection, s->now_ms, &s->effects);
}

Test(membership, an_fd_that_was_used_again_costs_no_live_node_its_place)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    struct broker_peer second = peer_of(2);
    second.connection = 1; /* the number of the first connection, which ended unseen */
    swarm_tell_as(s, second, join_of(2));

    lose_connection(s, 1);
    cr_assert(eq(sz, swarm_count(s, 1, KIND_PING), 1));
    cr_assert(eq(sz, swarm_count(s, 2, KIND_PING), 1));
    swarm_forget(s);
    broker_on_unreachable(s->broker, 1, s->now_ms, &s->effects);

    cr_assert(eq(sz, broker_node_count(s->broker), 1));
    swarm_tell_as(s, second, simple(KIND_PING, 5));
    cr_assert(eq(sz, swarm_count(s, 2, KIND_PONG), 1));
    swarm_destroy(s);
}

Test(membership, the_routes_of_a_lost_connection_are_probed_once_more)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    lose_connection(s, 1);
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), 1000 + PROBE_AGAIN_MS));
    swarm_tick(s, 999 + PROBE_AGAIN_MS);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_tick(s, 1000 + PROBE_AGAIN_MS);
    cr_assert(eq(sz, swarm_count(s, 1, KIND_PING), 1));
    swarm_tick(s, 1000 + 2 * PROBE_AGAIN_MS);
    cr_assert(eq(sz, swarm_sends(s), 0));
    swarm_destroy(s);
}

Test(membership, a_lost_connection_without_routes_is_nothing)
{
    struct swarm *s = swarm_new(NULL);
    lose_connection(s, 1);
    lose_connection(s, -1);
    lose_connection(s, REGISTRY_CONNECTIONS_MAX + 1);
    cr_assert(eq(sz, swarm_sends(s), 0));
    cr_assert(eq(u64, broker_next_deadline_ms(s->broker), UINT64_MAX));
    swarm_destroy(s);
}

Test(membership, the_asker_on_a_lost_connection_is_probed_too)
{
    struct swarm *s = swarm_new(NULL);
    swarm_join(s, 1);
    swarm_search(s, 9, search_of("abc"), 1);
    lose_connection(s, 9);
    cr_assert(eq(sz, swarm_count(s, 9, KIND_PING), 1));
    swarm_destroy(s);
}

static struct message join_port_0(uint32_t n)
{
    struct message m = join_of(n);
    m.join.port = 0;
    return m;
}

static struct swarm *swarm_with_ports(uint32_t begin, uint32_t end)
{
    struct broker_config config = swarm_config();
    config.assign_begin = begin;
    config.assign_end = end;
    return swarm_new(&config);
}

Test(membership, port_0_is_denied_without_a_range)
{
    struct swarm *s = swarm_new(NULL);
    swarm_tell(s, 1, join_port_0(1));
    cr_assert(eq(u16, swarm_error(s, 1), ERROR_DENIED));
    swarm_destroy(s);
}

Test(membership, an_assigned_node_is_neither_listed_nor_asked_until_it_joins_with_a_port)
{
    struct swarm *s = swarm_with_ports(7000, 7002);
    swarm_tell(s, 1, join_port_0(1));
    uint16_t port = swarm_only(s, 1, KIND_JOIN_OK).join_ok.port;
    cr_assert(eq(u16, port, 7000));
    cr_assert(eq(sz, broker_node_count(s->broker), 0));
    swarm_tell(s, 9, search_of("abc"));
    CHECK_COUNTS(s, 9, 0, 0, 0, 0, 0);
    struct message join = join_of(1);
    join.join.port = port;
    swarm_tell(s, 1, join);
    cr_assert(eq(sz, broker_node_count(s->broker), 1));
    swarm_destroy(s);
}

Test(membership, who_could_not_bind_its_port_gets_another_and_then_none)
{
    struct swarm *s = swarm_with_ports(7000, 7002);
    swarm_tell(s, 1, join_port_0(1));
    swarm_tell(s, 1, join_port_0(1));
    cr_assert(eq(u16, swarm_only(s, 1, KIND_JOIN_OK).join_ok.port, 7001));
    s->now_ms += 10000;
    swarm_tell(s, 1, join_port_0(1));
    struct message error = swarm_only(s, 1, KIND_ERROR);
    cr_expect(eq(u16, error.error.code, ERROR_BUSY));
    cr_expect(eq(u32, error.error.retry_ms, PORTS_RESERVED_MS - 10000));
    swarm_tell(s, 2, join_port_0(2)); /* at another address all are free */
    cr_expect(eq(sz, swarm_count(s, 2, KIND_JOIN_OK), 1));
    swarm_destroy(s);
}

Test(membership, a_joined_node_that_asks_for_another_port_is_a_source_no_longer)
{
    struct swarm *s = swarm_with_ports(7000, 7002);
    swarm_join(s, 1);
    swarm_tell(s, 1, join_port_0(1));
    cr_assert(eq(sz, swarm_count(s, 1, KIND_JOIN_OK), 1));
    cr_assert(eq(sz, broker_node_count(s->broker), 0));
    swarm_destroy(s);
}
