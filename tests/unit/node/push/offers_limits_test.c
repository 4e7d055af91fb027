/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: one stranger takes the room of all, from one session, one address or one network; who
 * proved mute keeps what he offered; what delivers, or is of others, goes with it.
 */
#include "node/push/pushed_files.h"

#include "tests/unit/node/push/offers_world.h"

Test(offers_limits, more_files_than_can_be_counted_are_not_taken)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    w.facts.landed_count = PUSHED_FILES_MAX;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:ERROR rid 9 no_space, 7:over");
    w.facts.place = OFFER_UNFINISHED;
    w.facts.is_ordered = true;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 80, 7:join");
    world_release(&w);
}

Test(offers_limits, session_file_address_and_all_have_their_limits)
{
    struct world w = world_new();
    for (uint8_t i = 0; i < OFFERS_SESSION_MAX; i++) {
        struct file_entry file = file_of(100 + i, 1);
        say_file(&w, 1, i, &file);
        cr_assert(eq(int, w.effects.entries[1].kind, OFFERS_JOIN), "offer %u", i);
    }
    struct file_entry next = file_of(1000, 1);
    say_file(&w, 1, 9, &next);
    ASSERT_STORY(&w, "1:ERROR rid 9 busy");
    for (uint32_t route = 2; route < 2 + OFFERS_FILE_MAX; route++)
        say_file(&w, route, 9, &next);
    cr_assert(eq(sz, offers_count(w.offers), OFFERS_SESSION_MAX + OFFERS_FILE_MAX));
    say_file(&w, 50, 9, &next);
    ASSERT_STORY(&w, "50:ERROR rid 9 busy, 50:over");
    world_release(&w);
}

Test(offers_limits, one_address_cannot_keep_others_out)
{
    struct world w = world_new();
    for (uint32_t i = 0; i < OFFERS_MAX + 1; i++) {
        bool is_first = i <= OFFERS_ADDRESS_MAX;
        uint8_t other = (uint8_t)(2 + (i - OFFERS_ADDRESS_MAX - 1) / OFFERS_ADDRESS_MAX);
        struct file_entry file = file_of(100 + i, 1);
        struct message_file offer = offer_of(&file);
        offers_effects_clear(&w.effects);
        offers_on_offer(w.offers, 1000 + i / OFFERS_SESSION_MAX + (is_first ? 0 : 1),
                        host_of(is_first ? 1 : other), i, &offer, &w.facts, &w.effects);
        bool is_refused = i == OFFERS_ADDRESS_MAX;
        cr_assert(eq(sz, w.effects.entries[w.effects.count - 1].kind == OFFERS_JOIN, !is_refused), "offer %u",
                  i);
    }
    cr_assert(eq(sz, offers_count(w.offers), OFFERS_MAX));
    struct file_entry file = file_of(9, 9);
    say_file(&w, 3, 3, &file);
    ASSERT_STORY(&w, "3:ERROR rid 3 busy, 3:over");
    world_release(&w);
}

Test(offers_limits, one_network_is_one_address)
{
    struct world w = world_new();
    for (uint32_t i = 0; i <= OFFERS_ADDRESS_MAX; i++) {
        struct host host = {{0x20, 1, [7] = 5, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};
        struct file_entry file = file_of(100 + i, 1);
        struct message_file offer = offer_of(&file);
        offers_effects_clear(&w.effects);
        offers_on_offer(w.offers, i, &host, 9, &offer, &w.facts, &w.effects);
        cr_assert(eq(int, w.effects.entries[w.effects.count - 1].kind,
                     i < OFFERS_ADDRESS_MAX ? OFFERS_JOIN : OFFERS_OVER));
    }
    world_release(&w);
}

Test(offers_limits, a_mute_address_keeps_what_runs_and_a_few_and_others_keep_all)
{
    struct world w = world_new();
    struct file_entry running = file_of(50, 1), files[OFFERS_MUTE_MAX + 1];
    say_file(&w, 7, 1, &running);
    offers_on_running(w.offers, &running.id, true);
    for (uint32_t i = 0; i < OFFERS_MUTE_MAX; i++) {
        files[i] = file_of(100 + i, 1);
        say_file(&w, 7, 10 + i, &files[i]);
    }
    files[OFFERS_MUTE_MAX] = file_of(200, 1);
    say_file(&w, 8, 20, &files[OFFERS_MUTE_MAX]); /* another address */
    say_file(&w, 7, 21, &files[OFFERS_MUTE_MAX]);
    offers_effects_clear(&w.effects);
    offers_on_mute(w.offers, host_of(7), &w.effects);
    ASSERT_STORY(&w, "7:ERROR rid 21 busy, 7:leave");
    cr_assert(eq(sz, offers_count(w.offers), OFFERS_MUTE_MAX + 2));
    world_release(&w);
}

Test(offers_limits, of_a_mute_address_few_are_taken_and_the_first_of_a_file_leaves_nobody)
{
    struct world w = world_new();
    struct file_entry files[OFFERS_MUTE_MAX + 1];
    for (uint32_t i = 0; i <= OFFERS_MUTE_MAX; i++)
        files[i] = file_of(100 + i, 1);
    for (uint32_t i = 0; i <= OFFERS_MUTE_MAX; i++)
        say_file(&w, 7, i, &files[i]);
    offers_effects_clear(&w.effects);
    offers_on_mute(w.offers, host_of(7), &w.effects);
    ASSERT_STORY(&w, "7:ERROR rid 4 busy, 7:leave, 7:nobody");
    w.facts.is_mute = true;
    say_file(&w, 7, 9, &files[OFFERS_MUTE_MAX]);
    ASSERT_STORY(&w, "7:ERROR rid 9 busy");
    w.facts.is_mute = false;
    say_file(&w, 7, 9, &files[OFFERS_MUTE_MAX]);
    cr_assert(eq(int, w.effects.entries[1].kind, OFFERS_JOIN));
    world_release(&w);
}
