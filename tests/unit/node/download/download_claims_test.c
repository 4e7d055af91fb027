/* SPDX-License-Identifier: MIT */
/*
 * What an earlier run left. What could go wrong: a claim counts unchecked, is asked for while it is checked,
 * is lost from the have-map before it was looked at, or is never looked at; a wrong one is not fetched; too
 * many are read at once.
 */
#include "tests/unit/node/download/download_world.h"

#define SIZE   (20 * 64 * KIB)
#define CHUNKS 20

/* With these chunks claimed and, unless told otherwise, the layer kept. */
static struct world world_with(uint32_t first, uint32_t end, bool has_layer)
{
    struct download_config config = world_config();
    config.is_in_order = true;
    struct world w = world_prepare(SIZE, config);
    for (uint32_t i = first; i < end; i++)
        download_claim_chunk(w.download, i);
    if (has_layer)
        cr_assert(download_load_layer(w.download, w.layer, CHUNKS));
    world_start(&w);
    return w;
}

static void checked(struct world *w, uint32_t chunk, bool is_right)
{
    download_effects_clear(&w->effects);
    download_on_checked(w->download, chunk, is_right, w->now_ms, &w->effects);
    world_look(w);
}

Test(download_claims, so_many_are_checked_at_once_and_the_next_when_one_is_done)
{
    struct world w = world_with(0, CHUNKS, true);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), DOWNLOAD_CHECKS_MAX));
    for (uint32_t i = 0; i < CHUNKS; i++) {
        checked(&w, i, true);
        cr_expect(eq(sz, world_count(&w, DOWNLOAD_CHECK), i + DOWNLOAD_CHECKS_MAX < CHUNKS), "chunk %u", i);
    }
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_release(&w);
}

Test(download_claims, a_check_is_of_the_whole_chunk_against_its_place_in_the_layer)
{
    struct world w = world_with(7, 8, true);
    const struct download_effect *check = world_effect(&w, DOWNLOAD_CHECK);
    cr_assert(eq(u32, check->chunk, 7));
    cr_assert(eq(u64, check->order.run.offset, 7 * 64 * KIB));
    cr_assert(eq(u32, check->order.run.length, 64 * KIB));
    cr_assert(eq(u32, check->order.span_bytes, 64 * KIB));
    cr_assert(hash_equal(check->order.expected, &w.layer[7]));
    world_release(&w);
}

Test(download_claims, the_only_chunk_of_a_file_is_checked_against_its_root)
{
    struct world w = world_prepare(100, world_config());
    download_claim_chunk(w.download, 0);
    world_start(&w);
    cr_assert(hash_equal(world_effect(&w, DOWNLOAD_CHECK)->order.expected, &w.root));
    checked(&w, 0, true);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_release(&w);
}

Test(download_claims, none_is_checked_before_there_is_a_layer_to_check_it_against)
{
    struct world w = world_with(0, CHUNKS, false);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), 0));
    uint32_t source = world_ready(&w, NULL);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), 0));
    world_give_layer(&w, source);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), DOWNLOAD_CHECKS_MAX));
    cr_assert(eq(sz, w.asked_count, 0), "claims are not asked for");
    world_release(&w);
}

Test(download_claims, a_claim_counts_and_is_told_only_when_it_was_right)
{
    struct world w = world_with(0, 2, true);
    cr_assert(eq(u32, download_chunks(w.download)->set_count, 0));
    cr_assert(eq(u64, download_progress(w.download).saved_bytes, 0));
    checked(&w, 1, true);
    cr_assert(eq(u32, world_effect(&w, DOWNLOAD_SAVED)->chunk, 1));
    cr_assert(eq(u64, download_progress(w.download).saved_bytes, 64 * KIB));
    checked(&w, 0, false);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SAVED), 0));
    cr_assert(not(chunk_map_has(download_chunks(w.download), 0)));
    cr_assert(eq(u64, download_progress(w.download).received_bytes, 0));
    world_release(&w);
}

Test(download_claims, a_claim_stands_until_it_is_checked_so_that_a_map_keeps_it)
{
    struct world w = world_with(3, 6, true);
    cr_assert(eq(u32, download_claims(w.download)->set_count, 3));
    checked(&w, 3, true);
    checked(&w, 4, false);
    cr_assert(not(chunk_map_has(download_claims(w.download), 3)));
    cr_assert(not(chunk_map_has(download_claims(w.download), 4)));
    cr_assert(chunk_map_has(download_claims(w.download), 5));
    world_release(&w);
}

Test(download_claims, a_wrong_one_is_asked_of_a_source_that_had_nothing_to_do)
{
    struct world w = world_with(0, CHUNKS, true);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(eq(sz, w.asked_count, 0));
    checked(&w, 2, false);
    cr_assert(eq(sz, w.asked_count, 1));
    cr_assert(eq(u64, world_asked(&w, source).offset, 2 * 64 * KIB));
    cr_assert(eq(u32, world_asked(&w, source).length, 64 * KIB));
    world_release(&w);
}

Test(download_claims, a_wrong_one_is_asked_of_a_partial_source_that_had_nothing_else)
{
    struct world w = world_with(0, CHUNKS - 1, true);
    struct chunk_map map;
    chunk_map_init(&map, CHUNKS);
    chunk_map_set(&map, 2);
    uint32_t source = world_ready(&w, &map);
    cr_assert(eq(sz, w.asked_count, 0), "the one that is missing is not there");
    checked(&w, 2, false);
    cr_assert(eq(sz, world_asked_count(&w, source), 1));
    chunk_map_release(&map);
    world_release(&w);
}

Test(download_claims, it_completes_with_the_last_check_when_all_else_has_come)
{
    struct world w = world_with(0, 1, true);
    uint32_t source = world_ready(&w, NULL);
    while (w.asked_count > 0) {
        world_serve(&w, source);
        cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 0));
    }
    cr_assert(eq(u32, download_chunks(w.download)->set_count, CHUNKS - 1));
    checked(&w, 0, true);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_release(&w);
}

Test(download_claims, it_is_not_starved_while_claims_are_checked_and_is_when_they_were_wrong)
{
    struct world w = world_with(0, 2, true);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 0));
    cr_assert(not(download_is_starved(w.download)));
    checked(&w, 0, true);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 0));
    checked(&w, 1, false);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    cr_assert(download_is_starved(w.download));
    world_release(&w);
}

Test(download_claims, a_check_that_comes_back_after_the_end_says_nothing)
{
    struct world w = world_with(0, 2, true);
    uint32_t source = world_ready(&w, NULL);
    struct process_order order = world_answer(&w, world_asked(&w, source));
    world_processed(&w, &order, PROCESSED_FAILED, 5);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_FAILED), 1));
    checked(&w, 0, true);
    checked(&w, 1, false);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download_claims, a_layer_that_is_not_the_files_is_fetched_anew)
{
    struct world w = world_prepare(SIZE, world_config());
    download_claim_chunk(w.download, 0);
    struct hash kept = w.layer[9];
    w.layer[9].bytes[31] ^= 1;
    cr_assert(not(download_load_layer(w.download, w.layer, CHUNKS)));
    w.layer[9] = kept;
    cr_assert(not(download_load_layer(w.download, w.layer, CHUNKS - 1)));
    cr_assert(download_layer(w.download) == NULL);
    world_start(&w);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(ne(u64, w.layer_rid[source], 0));
    world_give_layer(&w, source);
    cr_assert(download_layer(w.download) != NULL);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), 1));
    world_release(&w);
}

/* Changed by others behind our back. */

Test(download_claims, what_is_doubted_is_checked_and_only_what_is_wrong_is_fetched_again)
{
    struct world w = world_with(0, CHUNKS, true);
    uint32_t source = world_ready(&w, NULL);
    for (uint32_t i = 0; i < CHUNKS; i++)
        checked(&w, i, true);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    download_effects_clear(&w.effects);
    download_doubt(w.download, w.now_ms, &w.effects);
    world_look(&w);
    cr_assert(eq(u64, download_progress(w.download).saved_bytes, 0));
    cr_assert(eq(u32, download_claims(w.download)->set_count, CHUNKS));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), DOWNLOAD_CHECKS_MAX));
    for (uint32_t i = 0; i < CHUNKS; i++)
        checked(&w, i, i != 3);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 0));
    cr_assert(eq(sz, w.asked_count, 1));
    cr_assert(eq(u64, world_asked(&w, source).offset, 3 * 64 * KIB));
    world_serve(&w, source);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    cr_assert(eq(u64, download_progress(w.download).saved_bytes, SIZE));
    world_release(&w);
}
