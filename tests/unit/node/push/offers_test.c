/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a name leads out of the share or into a hidden folder; more is promised than there is
 * room for, or one stranger takes the room of all; a pusher is told of chunks that were here before, twice,
 * under an old rid or after STORED; the end of one is taken for the end of another, or of a session.
 */
#include "messages/name.h"
#include "tests/unit/node/push/offers_world.h"

/* Taking and refusing. */

Test(offers, a_new_file_is_accepted_and_lacks_every_chunk)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 80, 7:join");
    const struct offer *offer = offers_next(w.offers, &file.id, NULL);
    cr_assert(eq(u32, offer->route, 7));
    cr_assert(offer->have == NULL);
    cr_assert(offers_next(w.offers, &file.id, offer) == NULL);
    world_release(&w);
}

Test(offers, an_unfinished_file_lacks_what_is_not_here)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    struct chunk_map here;
    chunk_map_init(&here, 80);
    for (uint32_t i = 0; i < 30; i++)
        chunk_map_set(&here, i);
    w.facts.place = OFFER_UNFINISHED;
    w.facts.saved = &here;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 50, 7:join");
    chunk_map_release(&here);
    world_release(&w);
}

Test(offers, a_file_that_is_here_is_stored_at_once_whatever_the_limits)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    w.facts = (struct offer_facts){.place = OFFER_HERE, .here_name = text_of("old/name")};
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 0, 7:STORED rid 9 old/name, 7:over");
    cr_assert(eq(sz, offers_count(w.offers), 0));
    world_release(&w);
}

Test(offers, an_empty_file_is_created_and_then_stored)
{
    struct world w = world_new();
    struct file_entry file = file_of(0, 0);
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 0, 7:create");
    offers_effects_clear(&w.effects);
    offers_on_stored(w.offers, &file.id, text_of("b.bin"), &w.effects);
    ASSERT_STORY(&w, "7:STORED rid 9 b.bin, 7:over");
    world_release(&w);
}

Test(offers, a_name_that_hides_or_that_no_folder_takes_is_denied)
{
    char long_name[NAME_ENTRY_SIZE_MAX + 4];
    memset(long_name, 'x', sizeof long_name);
    memcpy(long_name, "a/", 2);
    long_name[NAME_ENTRY_SIZE_MAX + 3] = '\0';
    const char *const names[] = {".profile", "a/.ssh/keys", ".git/x", "a/..b", long_name};
    struct world w = world_new();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct file_entry file = file_of(5 * MIB, 1);
        file.name = text_of(names[i]);
        say_file(&w, 7, 9, &file);
        ASSERT_STORY(&w, "7:ERROR rid 9 denied, 7:over");
    }
    struct file_entry file = file_of(5 * MIB, 1);
    long_name[NAME_ENTRY_SIZE_MAX + 2] = '\0';
    file.name = text_of(long_name);
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 80, 7:join");
    world_release(&w);
}

Test(offers, a_wrong_chunk_size_or_bitfield_is_a_bad_message)
{
    static const uint8_t bits[11] = {0}, spare[1] = {0x01};
    struct file_entry file = file_of(5 * MIB, 1), small = file_of(200 * KIB, 2);
    struct message_file rows[] = {offer_of(&file), offer_of(&file), offer_of(&file), offer_of(&small)};
    rows[0].chunk_log2 = 17;
    rows[1].have = (struct optional_blob){true, {bits, 9}};
    rows[2].have = (struct optional_blob){true, {bits, 11}};
    rows[3].have = (struct optional_blob){true, {spare, 1}}; /* of 4 chunks */
    struct world w = world_new();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        say(&w, 7, 9, &rows[i]);
        ASSERT_STORY(&w, "7:ERROR rid 9 bad_message, 7:over");
    }
    world_release(&w);
}

Test(offers, what_exceeds_quota_disk_or_the_largest_file_has_no_space)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    struct message_file huge = {.file = file_of(FILE_SIZE_MAX + 1, 2), .chunk_log2 = 22};
    w.facts.quota_bytes = 5 * MIB + OFFERS_BLOCK_BYTES + 99; /* a/b.bin: its folder too */
    w.facts.taken_bytes = 99;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 80, 7:join");
    w.facts.taken_bytes = 100;
    say_file(&w, 8, 9, &file);
    ASSERT_STORY(&w, "8:ERROR rid 9 no_space, 8:over");
    w.facts.taken_bytes = UINT64_MAX;
    say_file(&w, 8, 9, &file);
    ASSERT_STORY(&w, "8:ERROR rid 9 no_space, 8:over");
    w.facts.taken_bytes = 0;
    w.facts.free_bytes = 5 * MIB + OFFERS_BLOCK_BYTES - 1;
    say_file(&w, 8, 9, &file);
    ASSERT_STORY(&w, "8:ERROR rid 9 no_space, 8:over");
    say(&w, 8, 9, &huge);
    ASSERT_STORY(&w, "8:ERROR rid 9 no_space, 8:over");
    world_release(&w);
}

Test(offers, what_is_here_already_needs_no_room_on_the_disk)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    struct chunk_map here;
    chunk_map_init(&here, 80);
    for (uint32_t i = 0; i < 79; i++)
        chunk_map_set(&here, i);
    w.facts.place = OFFER_UNFINISHED;
    w.facts.saved = &here;
    w.facts.free_bytes = 64 * KIB + OFFERS_BLOCK_BYTES; /* of its folder */
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 1, 7:join");
    chunk_map_release(&here);
    world_release(&w);
}

Test(offers, what_the_user_ordered_is_not_on_the_quota)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    w.facts = (struct offer_facts){.place = OFFER_UNFINISHED, .is_ordered = true};
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 80, 7:join");
    world_release(&w);
}

Test(offers, what_its_owner_has_paused_is_busy)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    w.facts.place = OFFER_UNFINISHED;
    w.facts.is_paused = true;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:ERROR rid 9 busy, 7:over");
    world_release(&w);
}

Test(offers, a_small_file_costs_a_block)
{
    cr_assert(eq(u64, offers_cost(text_of("x"), 0), OFFERS_BLOCK_BYTES));
    cr_assert(eq(u64, offers_cost(text_of("x"), 1), OFFERS_BLOCK_BYTES));
    cr_assert(eq(u64, offers_cost(text_of("x"), OFFERS_BLOCK_BYTES), OFFERS_BLOCK_BYTES));
    cr_assert(eq(u64, offers_cost(text_of("x"), OFFERS_BLOCK_BYTES + 1), 2 * OFFERS_BLOCK_BYTES));
    cr_assert(eq(u64, offers_cost(text_of("a/b/x"), 1), 3 * OFFERS_BLOCK_BYTES));
}

Test(offers, too_many_unfinished_files_take_no_new_one)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    w.facts.unfinished_count = OFFERS_UNFINISHED_MAX;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:ERROR rid 9 no_space, 7:over");
    w.facts.place = OFFER_UNFINISHED;
    say_file(&w, 7, 9, &file);
    ASSERT_STORY(&w, "7:OFFER_OK rid 9 missing 80, 7:join");
    world_release(&w);
}

/* HAVE. */

Test(offers, what_is_saved_is_told_in_runs_to_every_pusher_of_the_file)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1), other = file_of(5 * MIB, 2);
    say_file(&w, 7, 70, &file);
    say_file(&w, 8, 80, &file);
    say_file(&w, 9, 90, &other);
    saved(&w, &file, 5);
    saved(&w, &file, 3);
    saved(&w, &file, 4);
    saved(&w, &file, 79);
    cr_assert(eq(u64, offers_next_deadline_ms(w.offers), w.now_ms + OFFERS_HAVE_MS));
    offers_effects_clear(&w.effects);
    offers_tick(w.offers, w.now_ms + OFFERS_HAVE_MS - 1, &w.effects);
    ASSERT_STORY(&w, "");
    tick(&w);
    ASSERT_STORY(&w, "7:HAVE rid 70 3+3 79+1, 8:HAVE rid 80 3+3 79+1");
    cr_assert(eq(u64, offers_next_deadline_ms(w.offers), UINT64_MAX));
    saved(&w, &file, 3); /* known */
    tick(&w);
    ASSERT_STORY(&w, "");
    world_release(&w);
}

Test(offers, what_is_saved_is_told_once_it_is_kept_or_published)
{
    struct world w = world_new();
    struct file_entry file = file_of(200 * KIB, 1);
    struct chunk_map kept;
    chunk_map_init(&kept, 4);
    chunk_map_set(&kept, 0);
    chunk_map_set(&kept, 3); /* a claim of an earlier run */
    say_file(&w, 7, 9, &file);
    offers_on_saved(w.offers, &file.id, 0);
    offers_on_saved(w.offers, &file.id, 1);
    cr_assert(eq(u64, offers_next_deadline_ms(w.offers), UINT64_MAX));
    keep(&w, &file, &kept);
    tick(&w);
    ASSERT_STORY(&w, "7:HAVE rid 9 0+1");
    offers_effects_clear(&w.effects);
    offers_on_stored(w.offers, &file.id, text_of("x"), &w.effects);
    ASSERT_STORY(&w, "7:HAVE rid 9 1+1, 7:STORED rid 9 x, 7:over");
    chunk_map_release(&kept);
    world_release(&w);
}

Test(offers, what_was_here_before_is_not_told_unless_it_was_wrong)
{
    struct world w = world_new();
    struct file_entry file = file_of(5 * MIB, 1);
    struct chunk_map here;
    chunk_map_init(&here, 80);
    for (uint32_t i = 0; i < 10; i++)
        chunk_map_set(&here, i);
    w.facts.place = OFFER_UNFINISHED;
    w.facts.saved = &here;
    say_file(&w, 7, 9, &file);
    offers_on_unsaved(w.offers, &file.id, 4);
    for (uint32_t i = 0; i < 12; i++)
        saved(&w, &file, i);
    tick(&w);
    ASSERT_STORY(&w, "7:HAVE rid 9 4+1 10+2");
    chunk_map_release(&here);
    world_release(&w);
}

Test(offers, what_turns_out_wrong_before_it_was_told_is_not_told)
{
    struct world w = world_new();
    struct file_entry file = file_of(200 * KIB, 1);
    say_file(&w, 7, 9, &file);
    saved(&w, &file, 1);
    offers_on_unsaved(w.offers, &file.id, 1);
    saved(&w, &file, 2);
    tick(&w);
    ASSERT_STORY(&w, "7:HAVE rid 9 2+1");
    world_release(&w);
}

Test(offers, many_runs_are_told_in_several_messages)
{
    struct world w = world_new();
    w.facts.quota_bytes = w.facts.free_bytes = UINT64_MAX;
    struct file_entry file = file_of(UINT64_C(16) << 30, 1); /* 4096 chunks */
    say_file(&w, 7, 9, &file);
    for (uint32_t i = 0; i < 4096; i += 2)
        saved(&w, &file, i);
    tick(&w);
    cr_assert(eq(sz, w.effects.count, 2));
    world_release(&w);
}

/* Ends. */

Test(offers, the_last_have_comes_before_stored)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1);
    say_file(&w, 7, 9, &file);
    say_file(&w, 8, 10, &file);
    saved(&w, &file, 0);
    tick(&w);
    saved(&w, &file, 1);
    offers_effects_clear(&w.effects);
    offers_on_stored(w.offers, &file.id, text_of("a/b (2).bin"), &w.effects);
    ASSERT_STORY(&w, "7:HAVE rid 9 1+1, 8:HAVE rid 10 1+1, 7:STORED rid 9 a/b (2).bin, 7:over, "
                     "8:STORED rid 10 a/b (2).bin, 8:over");
    tick(&w);
    ASSERT_STORY(&w, "");
    cr_assert(eq(sz, offers_count(w.offers), 0));
    world_release(&w);
}

Test(offers, a_second_offer_on_the_same_route_takes_the_place_of_the_first)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1);
    static const uint8_t last[] = {0x40};
    struct message_file half = offer_of(&file);
    half.have = (struct optional_blob){true, {last, 1}};
    say_file(&w, 7, 9, &file);
    saved(&w, &file, 0);
    struct chunk_map here;
    chunk_map_init(&here, 2);
    chunk_map_set(&here, 0);
    w.facts.place = OFFER_UNFINISHED;
    w.facts.saved = &here;
    say(&w, 7, 10, &half);
    ASSERT_STORY(&w, "7:HAVE rid 9 0+1, 7:leave, 7:OFFER_OK rid 10 missing 1, 7:join");
    const struct offer *offer = offers_next(w.offers, &file.id, NULL);
    cr_assert(not(chunk_map_has(offer->have, 0)));
    cr_assert(chunk_map_has(offer->have, 1));
    saved(&w, &file, 1);
    tick(&w);
    ASSERT_STORY(&w, "7:HAVE rid 10 1+1");
    cr_assert(eq(sz, offers_count(w.offers), 1));
    chunk_map_release(&here);
    world_release(&w);
}

Test(offers, a_second_offer_that_is_refused_leaves_the_first)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1);
    struct message_file bad = offer_of(&file);
    bad.chunk_log2 = 20;
    say_file(&w, 7, 9, &file);
    say(&w, 7, 10, &bad);
    ASSERT_STORY(&w, "7:ERROR rid 10 bad_message");
    cr_assert(eq(u64, offers_next(w.offers, &file.id, NULL)->rid, 9));
    world_release(&w);
}

Test(offers, close_withdraws_one_of_several_and_is_not_answered)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1), other = file_of(100 * KIB, 2);
    say_file(&w, 7, 9, &file);
    say_file(&w, 7, 10, &other);
    say_file(&w, 8, 11, &file);
    offers_effects_clear(&w.effects);
    offers_on_close(w.offers, 7, &file.id, &w.effects);
    ASSERT_STORY(&w, "7:leave");
    const struct offer *left = offers_next(w.offers, &file.id, NULL);
    cr_assert(eq(u32, left->route, 8));
    cr_assert(eq(ptr, (void *)(uintptr_t)offers_next(w.offers, &file.id, left), NULL));
    cr_assert(ne(ptr, (void *)(uintptr_t)offers_next(w.offers, &other.id, NULL), NULL));
    offers_effects_clear(&w.effects);
    offers_on_close(w.offers, 7, &file.id, &w.effects); /* again */
    ASSERT_STORY(&w, "");
    offers_on_close(w.offers, 8, &file.id, &w.effects);
    ASSERT_STORY(&w, "8:leave, 8:nobody, 8:over");
    world_release(&w);
}

Test(offers, who_is_gone_leaves_all_his_offers_and_is_told_nothing)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1), other = file_of(100 * KIB, 2);
    say_file(&w, 7, 9, &file);
    say_file(&w, 7, 10, &other);
    say_file(&w, 8, 11, &file);
    offers_effects_clear(&w.effects);
    offers_on_gone(w.offers, 7, &w.effects);
    ASSERT_STORY(&w, "7:leave gone, 7:leave gone, 7:nobody");
    cr_assert(eq(sz, offers_count(w.offers), 1));
    world_release(&w);
}

Test(offers, who_is_dropped_gets_the_error_with_the_rid_of_his_offer)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1);
    say_file(&w, 7, 9, &file);
    say_file(&w, 8, 10, &file);
    saved(&w, &file, 1);
    offers_effects_clear(&w.effects);
    offers_on_dropped(w.offers, 7, &file.id, ERROR_BAD_MESSAGE, "sent wrong bytes", &w.effects);
    ASSERT_STORY(&w, "7:HAVE rid 9 1+1, 7:ERROR rid 9 bad_message, 7:leave, 7:over");
    offers_effects_clear(&w.effects);
    offers_on_dropped(w.offers, 7, &file.id, ERROR_LIMIT, "is dropped already", &w.effects);
    ASSERT_STORY(&w, "");
    world_release(&w);
}

Test(offers, a_download_that_fails_ends_its_offers_with_the_reason)
{
    struct world w = world_new();
    struct file_entry file = file_of(100 * KIB, 1);
    say_file(&w, 7, 9, &file);
    say_file(&w, 8, 10, &file);
    offers_effects_clear(&w.effects);
    offers_on_failed(w.offers, &file.id, ERROR_NO_SPACE, "the disk is full", &w.effects);
    ASSERT_STORY(&w, "7:ERROR rid 9 no_space, 7:over, 8:ERROR rid 10 no_space, 8:over");
    world_release(&w);
}
