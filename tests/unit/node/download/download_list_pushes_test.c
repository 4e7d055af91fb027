/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: pushes take all slots from the user; one address takes them from all others, with many
 * offers, with slow ones or by saying nothing; a push runs that nobody offers.
 */
#include "tests/unit/node/download/download_list_world.h"

TestSuite(download_list_pushes, .init = make_list, .fini = free_list, .timeout = 60);

/* Pushes. */

/* A block of its own for each. */
static struct host address_of(uint8_t number)
{
    return (struct host){{0x20, 1, [7] = number, [15] = 1}};
}

static void offer(uint32_t number, uint8_t address)
{
    struct host by = address_of(address);
    download_list_offered(list, number, &by, 1);
}

static uint32_t add_pushed(uint32_t file)
{
    struct downloads_order order = order_of(file);
    uint32_t number = 0;
    order.is_pushed = true;
    download_list_add(list, &order, &number);
    return number;
}

Test(download_list_pushes, a_pushed_one_runs_only_while_it_is_offered)
{
    uint32_t number = add_pushed(1);
    cr_expect(eq(u32, start(), 0));
    offer(number, 1);
    cr_expect(eq(u32, start(), number));
    download_list_offered(list, number, NULL, 0);
    cr_expect(eq(int, state_of(number), DOWNLOADS_WAITING));
    download_list_stopped(list, number);
    cr_expect(eq(u32, start(), 0));
    offer(number, 1);
    cr_expect(eq(u32, start(), number));
}

Test(download_list_pushes, a_pushed_one_that_cannot_start_takes_no_ones_turn)
{
    add_pushed(1);
    uint32_t ordinary = add(2);
    cr_expect(eq(u32, start(), ordinary));
}

Test(download_list_pushes, a_pushed_one_that_somebody_orders_becomes_an_ordinary_one)
{
    uint32_t number = add_pushed(1), again;
    struct downloads_order order = order_of(1);
    cr_expect(eq(int, download_list_add(list, &order, &again), DOWNLOADS_THERE_ALREADY));
    cr_expect(not(download_list_find(list, number)->is_pushed));
    cr_expect(eq(u32, start(), number));
}

Test(download_list_pushes, an_offer_does_not_resume_what_a_person_paused)
{
    uint32_t number = add(1), again;
    struct downloads_order order = order_of(1);
    order.is_pushed = true;
    download_list_pause(list, number);
    download_list_add(list, &order, &again);
    cr_expect(eq(int, state_of(number), DOWNLOADS_PAUSED));
    cr_expect(not(download_list_find(list, number)->is_pushed));
}

static uint32_t add_offered_by(uint32_t file, uint8_t address)
{
    uint32_t number = add_pushed(file);
    offer(number, address);
    return number;
}

static uint32_t add_offered(uint32_t file)
{
    return add_offered_by(file, 1);
}

Test(download_list_pushes, pushed_ones_leave_a_slot_for_the_user)
{
    uint32_t last = 0;
    for (uint32_t i = 1; i <= DOWNLOADS_ACTIVE_MAX; i++)
        last = add_offered(i);
    for (uint32_t i = 1; i <= DOWNLOADS_PUSHED_ACTIVE_MAX; i++)
        cr_expect(ne(u32, start(), 0));
    cr_expect(eq(u32, start(), 0));
    uint32_t ordinary = add(99);
    cr_expect(eq(u32, start(), ordinary));
    cr_expect(eq(int, state_of(last), DOWNLOADS_WAITING));
}

Test(download_list_pushes, a_slow_push_makes_room_for_a_push_that_waits_and_an_ordinary_one_does_not)
{
    uint32_t ordinary = add(99);
    cr_expect(eq(u32, start(), ordinary));
    for (uint32_t i = 1; i <= DOWNLOADS_PUSHED_ACTIVE_MAX; i++) {
        add_offered(i);
        start();
    }
    uint32_t slow = download_list_at(list, 2)->number;
    download_list_starved(list, ordinary, true, 1000);
    download_list_starved(list, slow, true, 2000);
    cr_expect(eq(u32, download_list_yield(list, 2000 + DOWNLOADS_STARVED_MS), 0)); /* nobody waits */
    uint32_t next = add_offered(50);
    download_list_stopped(list, ordinary);
    download_list_cancel(list, ordinary); /* slots are free, but none for pushes */
    cr_expect(eq(u32, start(), 0));
    cr_expect(eq(u32, download_list_yield(list, 2000 + DOWNLOADS_STARVED_MS - 1), 0));
    cr_expect(eq(u32, download_list_yield(list, 2000 + DOWNLOADS_STARVED_MS), slow));
    download_list_stopped(list, slow);
    cr_expect(eq(u32, start(), next));
}

/* Turns of addresses. */

/* As when nothing came of it and its offer was dropped. */
static void drop(uint32_t number)
{
    download_list_stopped(list, number);
    download_list_cancel(list, number);
}

/* Lets a push wait: its number; 0 when none had to. */
static uint32_t yield(void)
{
    uint32_t number = download_list_yield(list, now_ms);
    if (number != 0)
        download_list_stopped(list, number);
    return number;
}

Test(download_list_pushes, pushes_of_one_address_start_in_their_order_and_addresses_take_turns)
{
    uint32_t many[4], one, other;
    for (uint32_t i = 0; i < 4; i++)
        many[i] = add_offered_by(i, 1);
    one = add_offered_by(10, 2);
    other = add_offered_by(11, 2);
    cr_expect(eq(u32, start(), many[0]));
    cr_expect(eq(u32, start(), one));
    cr_expect(eq(u32, start(), many[1]));
    drop(many[0]);
    cr_expect(eq(u32, start(), other));
    drop(one);
    cr_expect(eq(u32, start(), many[2]));
}

Test(download_list_pushes, a_hundred_mute_offers_hold_up_an_honest_one_for_one_round)
{
    struct host address = address_of(1);
    for (uint32_t i = 0; i < 128; i++)
        add_offered_by(i, 1);
    uint32_t first = start();
    start();
    start();
    now_ms += 3000;
    uint32_t honest = add_offered_by(128, 2);
    cr_expect(eq(u32, start(), 0));
    now_ms += 7000; /* the mute ones are dropped now */
    push_turns_silent(download_list_turns(list), &address, now_ms);
    drop(first);
    cr_expect(eq(u32, start(), honest));
}

Test(download_list_pushes, an_address_that_was_mute_comes_after_all_others_until_it_delivers)
{
    struct host address = address_of(1);
    add_offered_by(1, 1);
    uint32_t busy[3] = {add_offered_by(2, 2), add_offered_by(3, 2), add_offered_by(4, 2)};
    push_turns_silent(download_list_turns(list), &address, now_ms);
    for (uint32_t i = 0; i < 3; i++)
        cr_expect(eq(u32, start(), busy[i]));
    now_ms += DOWNLOADS_PUSHED_TURN_MS;
    cr_expect(eq(u32, yield(), 0), "nobody makes room for it");
    push_turns_delivered(download_list_turns(list), &address);
    cr_expect(eq(u32, yield(), busy[2]));
}

Test(download_list_pushes, an_address_with_several_slots_gives_one_to_another_after_its_time_and_not_before)
{
    uint32_t running[3];
    for (uint32_t i = 0; i < 3; i++) {
        running[i] = add_offered_by(i, 1);
        cr_assert(eq(u32, start(), running[i]));
    }
    now_ms += 100;
    uint32_t next = add_offered_by(10, 2), third = add_offered_by(11, 3);
    uint64_t due_ms = 1000 + DOWNLOADS_PUSHED_TURN_MS;
    cr_expect(eq(u64, download_list_next_deadline_ms(list, now_ms), due_ms));
    now_ms = due_ms - 1;
    cr_expect(eq(u32, yield(), 0));
    now_ms = due_ms;
    cr_expect(eq(u32, yield(), running[2]), "the one that was begun last");
    cr_expect(eq(u32, start(), next));
    cr_expect(eq(u32, yield(), running[1]));
    cr_expect(eq(u32, start(), third));
    cr_expect(eq(u64, download_list_next_deadline_ms(list, now_ms), UINT64_MAX), "each has one");
}

Test(download_list_pushes, one_network_is_one_address)
{
    uint32_t running[3];
    for (uint8_t i = 0; i < 3; i++) {
        struct host address = {{0x20, 1, [7] = 1, [15] = i}};
        running[i] = add_pushed(i);
        download_list_offered(list, running[i], &address, 1);
        cr_assert(eq(u32, start(), running[i]));
    }
    add_offered_by(10, 2);
    now_ms += DOWNLOADS_PUSHED_TURN_MS;
    cr_expect(eq(u32, yield(), running[2]));
}

Test(download_list_pushes, a_file_has_the_turn_of_the_first_of_those_who_offer_it)
{
    struct host both[] = {address_of(1), address_of(2)};
    uint32_t first = add_offered_by(1, 1), plain = add_offered_by(2, 1), shared = add_pushed(3);
    download_list_offered(list, shared, both, 2);
    cr_expect(eq(u32, start(), first));
    cr_expect(eq(u32, start(), shared));
    cr_expect(eq(u32, start(), plain));
}

Test(download_list_pushes, what_the_user_wants_takes_no_turn_from_pushes_nor_they_from_it)
{
    uint32_t first = add_offered_by(1, 1), ordinary = add(2), push = add_offered_by(3, 2);
    cr_expect(eq(u32, start(), first));
    cr_expect(eq(u32, start(), ordinary));
    cr_expect(eq(u32, start(), push));
}
