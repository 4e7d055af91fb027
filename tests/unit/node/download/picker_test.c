/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a part is never asked for or asked for twice, a rare chunk waits until its only holder
 * has left, all downloaders of a file fetch the same part, a READ goes over the end of a block, a chunk kept
 * for one source is asked of another or of nobody.
 */
#include "node/download/picker.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#define KIB 1024u
#define MIB (1024u * KIB)

#define NONE UINT32_MAX

static const struct asker anyone = {.source = 1, .begun_chunk = NONE, .length_max = MIB};

static struct picker *new_picker(uint64_t size, bool is_in_order, uint64_t seed)
{
    struct layout layout = layout_of(size);
    return picker_new(&layout, is_in_order, seed);
}

/* The first unit of what is picked, which is then asked for; NONE when nothing is. */
static uint32_t pick(struct picker *picker, const struct asker *asker)
{
    struct run run;
    if (!picker_pick(picker, asker, &run))
        return NONE;
    picker_asked(picker, &run);
    return run.unit;
}

Test(picker, in_order_every_unit_is_picked_once_from_the_beginning)
{
    struct picker *picker = new_picker(5 * MIB + 1, true, 12345);
    struct run run;
    uint64_t offset = 0;
    while (picker_pick(picker, &anyone, &run)) {
        cr_assert(eq(u64, run.offset, offset));
        picker_asked(picker, &run);
        offset += run.length;
    }
    cr_assert(eq(u64, offset, 5 * MIB + 1));
    cr_assert(eq(u32, picker_missing_count(picker), 0));
    picker_destroy(&picker);
}

Test(picker, a_run_ends_with_its_aligned_block_and_within_the_length_asked_for)
{
    struct picker *picker = new_picker(5 * MIB, true, 0);
    struct asker asker = anyone;
    struct run run;
    asker.length_max = 640 * KIB;
    cr_assert(picker_pick(picker, &asker, &run));
    cr_assert(eq(u32, run.length, 640 * KIB));
    picker_asked(picker, &run);
    cr_assert(picker_pick(picker, &anyone, &run));
    cr_assert(eq(u64, run.offset, 640 * KIB));
    cr_assert(eq(u32, run.length, 384 * KIB));
    picker_destroy(&picker);
}

Test(picker, a_run_has_at_least_one_unit_whatever_length_is_asked_for)
{
    struct picker *picker = new_picker(5 * MIB, true, 0);
    struct asker asker = anyone;
    asker.length_max = 1;
    struct run run;
    cr_assert(picker_pick(picker, &asker, &run));
    cr_assert(eq(u32, run.length, 64 * KIB));
    picker_destroy(&picker);
}

Test(picker, a_run_stops_at_what_is_asked_already)
{
    struct picker *picker = new_picker(5 * MIB, true, 0);
    struct run taken = picker_unit_run(picker, 3, 1), run;
    picker_asked(picker, &taken);
    cr_assert(picker_pick(picker, &anyone, &run));
    cr_assert(eq(u32, run.unit, 0));
    cr_assert(eq(u32, run.unit_count, 3));
    picker_destroy(&picker);
}

Test(picker, the_last_unit_may_be_short)
{
    struct picker *picker = new_picker(65537, true, 0);
    struct run run = picker_chunk_run(picker, 1);
    cr_assert(eq(u64, run.offset, 65536));
    cr_assert(eq(u32, run.length, 1));
    picker_destroy(&picker);
}

Test(picker, a_chunk_larger_than_a_block_is_asked_for_in_blocks)
{
    struct picker *picker = new_picker(UINT64_C(6000) * MIB + 5, true, 0); /* chunks of 4 MiB */
    cr_assert(eq(u32, picker_units_per_chunk(picker), 4));
    struct run run;
    cr_assert(picker_pick(picker, &anyone, &run));
    cr_assert(eq(u32, run.length, MIB));
    cr_assert(eq(u32, picker_chunk_of_unit(picker, 7), 1));
    run = picker_chunk_run(picker, 1500);
    cr_assert(eq(u32, run.unit_count, 1));
    cr_assert(eq(u32, run.length, 5));
    picker_destroy(&picker);
}

Test(picker, a_begun_chunk_is_finished_first)
{
    struct picker *picker = new_picker(UINT64_C(6000) * MIB, true, 0);
    struct asker asker = anyone;
    asker.begun_chunk = 7;
    cr_assert(eq(u32, pick(picker, &asker), 28));
    for (uint32_t i = 29; i < 32; i++)
        cr_assert(eq(u32, pick(picker, &asker), i));
    cr_assert(eq(u32, pick(picker, &asker), 0));
    picker_destroy(&picker);
}

Test(picker, a_begun_chunk_that_its_source_lost_is_not_asked_of_it)
{
    struct picker *picker = new_picker(UINT64_C(6000) * MIB, true, 0);
    struct chunk_map chunks;
    chunk_map_init(&chunks, 1500);
    chunk_map_set(&chunks, 9);
    struct asker asker = {1, &chunks, 7, MIB};
    cr_assert(eq(u32, pick(picker, &asker), 36));
    chunk_map_release(&chunks);
    picker_destroy(&picker);
}

Test(picker, the_rarest_chunk_comes_first)
{
    struct picker *picker = new_picker(640 * KIB, false, 1);
    picker_set_partial_sources(picker, 2);
    for (uint32_t i = 0; i < 10; i++) {
        picker_available(picker, i);
        if (i != 6)
            picker_available(picker, i);
    }
    cr_assert(eq(u32, pick(picker, &anyone), 6));
    for (uint32_t i = 0; i < 10; i++) {
        if (i != 2)
            picker_available(picker, i);
    }
    cr_assert(eq(u32, pick(picker, &anyone), 2));
    picker_destroy(&picker);
}

Test(picker, a_chunk_whose_holder_left_becomes_rare)
{
    struct picker *picker = new_picker(640 * KIB, false, 1);
    picker_set_partial_sources(picker, 1);
    for (uint32_t i = 0; i < 10; i++)
        picker_available(picker, i);
    picker_unavailable(picker, 4);
    picker_unavailable(picker, 4); /* never below none */
    cr_assert(eq(u32, pick(picker, &anyone), 4));
    picker_available(picker, 4);
    picker_destroy(&picker);
}

Test(picker, ties_are_broken_differently_by_each_seed)
{
    bool was_first[10] = {false};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct picker *picker = new_picker(640 * KIB, false, seed * 7919);
        picker_set_partial_sources(picker, 1);
        uint32_t unit = pick(picker, &anyone);
        cr_assert(lt(u32, unit, 10));
        was_first[unit] = true;
        picker_destroy(&picker);
    }
    for (size_t i = 0; i < 10; i++)
        cr_expect(was_first[i], "chunk %zu never came first", i);
}

Test(picker, in_order_asked_for_explicitly_goes_before_rarity)
{
    struct picker *picker = new_picker(640 * KIB, true, 5);
    picker_set_partial_sources(picker, 1);
    for (uint32_t i = 0; i < 9; i++)
        picker_available(picker, i); /* 9 is the rarest */
    cr_assert(eq(u32, pick(picker, &anyone), 0));
    picker_destroy(&picker);
}

Test(picker, with_complete_sources_only_all_is_picked_whatever_the_seed)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct picker *picker = new_picker(5 * MIB + 1, false, seed * 7919);
        struct run run;
        uint64_t sum = 0;
        while (picker_pick(picker, &anyone, &run)) {
            picker_asked(picker, &run);
            sum += run.length;
        }
        cr_expect(eq(u64, sum, 5 * MIB + 1), "seed %lu", seed);
        picker_destroy(&picker);
    }
}

Test(picker, only_what_a_partial_source_holds_is_asked_of_it)
{
    struct picker *picker = new_picker(640 * KIB, true, 0);
    struct chunk_map chunks;
    chunk_map_init(&chunks, 10);
    chunk_map_set(&chunks, 3);
    chunk_map_set(&chunks, 4);
    chunk_map_set(&chunks, 8);
    struct asker asker = {1, &chunks, NONE, MIB};
    struct run run;
    cr_assert(picker_pick(picker, &asker, &run));
    cr_assert(eq(u32, run.unit, 3));
    cr_assert(eq(u32, run.unit_count, 2));
    picker_asked(picker, &run);
    cr_assert(eq(u32, pick(picker, &asker), 8));
    cr_assert(eq(u32, pick(picker, &asker), NONE));
    chunk_map_release(&chunks);
    picker_destroy(&picker);
}

Test(picker, what_is_unasked_or_turned_out_missing_is_picked_again)
{
    struct picker *picker = new_picker(640 * KIB, true, 0);
    struct run run;
    cr_assert(picker_pick(picker, &anyone, &run));
    cr_assert(eq(u32, run.unit_count, 10));
    picker_asked(picker, &run);
    picker_asked(picker, &run); /* of a second source */
    cr_assert(eq(uint, picker_asked_count(picker, &run), 2));
    picker_unasked(picker, &run);
    cr_assert(eq(u32, pick(picker, &anyone), NONE));
    picker_unasked(picker, &run);
    cr_assert(eq(u32, picker_missing_count(picker), 10));
    picker_arrived(picker, &run);
    cr_assert(not(picker_is_wanted(picker, &run)));
    cr_assert(eq(u32, pick(picker, &anyone), NONE));
    struct run bad = picker_unit_run(picker, 5, 1);
    picker_missing(picker, &bad);
    cr_assert(picker_is_wanted(picker, &run));
    cr_assert(eq(u32, pick(picker, &anyone), 5));
    picker_destroy(&picker);
}

Test(picker, asking_for_and_giving_up_what_is_here_changes_nothing)
{
    struct picker *picker = new_picker(640 * KIB, true, 0);
    struct run run = picker_unit_run(picker, 0, 2);
    picker_arrived(picker, &run);
    picker_asked(picker, &run);
    picker_unasked(picker, &run);
    cr_assert(not(picker_is_wanted(picker, &run)));
    cr_assert(eq(u32, picker_missing_count(picker), 8));
    picker_destroy(&picker);
}

Test(picker, chunks_of_an_earlier_run_are_not_asked_for)
{
    struct picker *picker = new_picker(UINT64_C(6000) * MIB, true, 0);
    picker_have(picker, 0);
    cr_assert(eq(u32, pick(picker, &anyone), 4));
    picker_destroy(&picker);
}

Test(picker, a_reserved_chunk_is_for_one_source_only)
{
    struct picker *picker = new_picker(640 * KIB, true, 0);
    picker_reserve(picker, 0, 2);
    picker_reserve(picker, 1, 2);
    cr_assert(eq(u32, picker_reserved_for(picker, 0), 2));
    cr_assert(eq(u32, picker_reserved_for(picker, 2), NONE));
    struct asker other = anyone, holder = anyone;
    holder.source = 2;
    struct run run;
    cr_assert(picker_pick(picker, &other, &run));
    cr_assert(eq(u32, run.unit, 2));
    cr_assert(picker_pick(picker, &holder, &run));
    cr_assert(eq(u32, run.unit, 0));
    picker_unreserve(picker, 0);
    cr_assert(picker_pick(picker, &other, &run));
    cr_assert(eq(u32, run.unit, 0));
    cr_assert(eq(u32, run.unit_count, 1));
    picker_unreserve_source(picker, 2);
    cr_assert(picker_pick(picker, &other, &run));
    cr_assert(eq(u32, run.unit_count, 10));
    picker_destroy(&picker);
}

Test(picker, an_empty_file_has_nothing_to_pick)
{
    struct picker *picker = new_picker(0, false, 3);
    cr_assert(eq(u32, pick(picker, &anyone), NONE));
    picker_destroy(&picker);
    picker_destroy(&picker); /* nothing is there any more */
}
