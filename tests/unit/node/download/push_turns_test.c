/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: who has many addresses, or comes again and again, is always first; who was mute once
 * is last for ever, or not at all; strangers make the table grow.
 */
#include "node/download/push_turns.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static struct push_turns *turns;

static void make_turns(void)
{
    turns = push_turns_new();
}

static void free_turns(void)
{
    push_turns_destroy(&turns);
}

TestSuite(push_turns, .init = make_turns, .fini = free_turns, .timeout = 60);

static struct host host_of(uint16_t number)
{
    return (struct host){{0x20, 1, [6] = (uint8_t)(number >> 8), [7] = (uint8_t)number}};
}

static bool is_before(uint16_t a, uint16_t b, uint64_t now_ms)
{
    struct host first = host_of(a), second = host_of(b);
    return push_turns_rank(turns, &first, now_ms) < push_turns_rank(turns, &second, now_ms);
}

static void take(uint16_t number)
{
    struct host host = host_of(number);
    push_turns_take(turns, &host);
}

static void fall_silent(uint16_t number, uint64_t now_ms)
{
    struct host host = host_of(number);
    push_turns_silent(turns, &host, now_ms);
}

static bool is_mute(uint16_t number, uint64_t now_ms)
{
    struct host host = host_of(number);
    return push_turns_is_mute(turns, &host, now_ms);
}

Test(push_turns, who_had_none_is_first_then_who_had_his_the_longest_ago)
{
    cr_expect(not(is_before(1, 2, 0)));
    take(1);
    cr_expect(is_before(2, 1, 0));
    take(2);
    cr_expect(is_before(1, 2, 0));
    cr_expect(not(is_before(2, 1, 0)));
    cr_expect(not(is_before(1, 1, 0)));
    take(1);
    cr_expect(is_before(2, 1, 0));
}

Test(push_turns, who_is_mute_comes_after_all_for_his_time_and_no_longer)
{
    take(2);
    fall_silent(1, 500);
    cr_expect(is_mute(1, 500 + PUSH_MUTE_MS - 1));
    cr_expect(is_before(2, 1, 500 + PUSH_MUTE_MS - 1));
    cr_expect(not(is_mute(1, 500 + PUSH_MUTE_MS)));
    cr_expect(is_before(1, 2, 500 + PUSH_MUTE_MS));
}

Test(push_turns, who_delivers_is_not_mute_any_more)
{
    struct host host = host_of(1), unknown = host_of(2);
    fall_silent(1, 500);
    push_turns_delivered(turns, &host);
    push_turns_delivered(turns, &unknown);
    cr_expect(not(is_mute(1, 501)));
    cr_expect(not(is_mute(2, 501)));
}

Test(push_turns, among_the_mute_turns_hold_too)
{
    fall_silent(1, 500);
    fall_silent(2, 500);
    take(1);
    cr_expect(is_before(2, 1, 600));
}

Test(push_turns, a_network_has_one_turn_and_the_one_whose_turn_was_longest_ago_is_forgotten)
{
    struct host neighbour = host_of(1);
    neighbour.bytes[15] = 77;
    take(1);
    fall_silent(1, 0);
    cr_expect(push_turns_is_mute(turns, &neighbour, 1));
    for (uint16_t i = 2; i <= PUSH_TURNS_MAX; i++)
        take(i);
    cr_expect(is_mute(1, 1));
    take(PUSH_TURNS_MAX + 1);
    cr_expect(not(is_mute(1, 1)));
    cr_expect(is_before(1, 2, 1), "as one that had none");
}
