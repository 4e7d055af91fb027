/* SPDX-License-Identifier: MIT */
/*
 * A download and its clock, messages and end. What could go wrong: it completes with chunks missing or hangs
 * when all are there, a timeout fires early or never, a deadline stays in the past and the loop spins, a
 * malformed message is believed, what an earlier run left is trusted unchecked.
 */
#include "tests/unit/node/download/download_world.h"

Test(download, an_empty_file_is_complete_at_once)
{
    struct world w = world_new(0);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_add(&w, 1, 1);
    cr_assert(eq(sz, w.effects.count, 0));
    world_tick(&w, w.now_ms + 100000);
    cr_assert(eq(sz, w.effects.count, 0));
    cr_assert(eq(u64, download_next_deadline_ms(w.download), UINT64_MAX));
    world_release(&w);
}

Test(download, a_file_of_one_chunk_is_read_without_hashes_and_checked_against_its_root)
{
    struct world w = world_new(16385);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(eq(u64, w.layer_rid[source], 0));
    cr_assert(eq(sz, world_asked_count(&w, source), 1));
    struct process_order order = world_answer(&w, world_asked(&w, source));
    cr_assert(eq(u32, order.run.length, 16385));
    cr_assert(eq(uint, order.height, 1));
    cr_assert(hash_equal(order.expected, &w.root));
    world_processed(&w, &order, PROCESSED_OK, 0);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SAVED), 1));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    cr_assert(chunk_map_is_full(download_chunks(w.download)));
    struct download_progress progress = download_progress(w.download);
    cr_assert(eq(u64, progress.saved_bytes, 16385));
    cr_assert(eq(u64, progress.received_bytes, 16385));
    cr_assert(eq(u64, progress.wasted_bytes, 0));
    world_release(&w);
}

Test(download, every_chunk_is_saved_once_and_then_it_is_complete)
{
    struct world w = world_new(5 * MIB + 1);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    size_t saved_count = 0;
    while (w.asked_count > 0) {
        cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 0));
        world_serve(&w, source);
        saved_count += world_count(&w, DOWNLOAD_SAVED);
        w.now_ms++;
    }
    cr_assert(eq(sz, saved_count, w.layout.chunk_count));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    cr_assert(eq(u64, world_source(&w, source).received_bytes, 5 * MIB + 1));
    world_release(&w);
}

Test(download, in_order_mode_asks_from_the_beginning)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    for (uint64_t offset = 0; w.asked_count > 0; w.now_ms++) {
        cr_assert(eq(u64, world_asked(&w, source).offset, offset));
        offset += world_asked(&w, source).length;
        world_serve(&w, source);
    }
    world_release(&w);
}

Test(download, it_fails_at_its_timeout_without_a_verified_chunk_and_not_before)
{
    struct download_config config = world_config();
    config.timeout_ms = 30000;
    struct world w = world_prepare(5 * MIB, config);
    world_start(&w);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    w.now_ms += 7000;
    world_serve(&w, source); /* saves a chunk */
    uint64_t end_ms = w.now_ms + 30000;
    world_tick(&w, end_ms - 1);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_FAILED), 0));
    cr_assert(le(u64, download_next_deadline_ms(w.download), end_ms));
    world_tick(&w, end_ms);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_FAILED), 1));
    cr_assert(eq(int, world_effect(&w, DOWNLOAD_FAILED)->error_number, 0));
    world_tick(&w, end_ms + 1);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download, without_a_timeout_it_waits_for_ever)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    world_tick(&w, w.now_ms + 1000000000);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_FAILED), 0));
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY));
    world_release(&w);
}

Test(download, what_cannot_be_written_ends_it_with_the_error_of_the_disk)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    struct process_order first = world_answer(&w, world_asked(&w, source));
    struct process_order second = world_answer(&w, world_asked(&w, source));
    world_processed(&w, &first, PROCESSED_FAILED, 28);
    cr_assert(eq(int, world_effect(&w, DOWNLOAD_FAILED)->error_number, 28));
    world_processed(&w, &second, PROCESSED_OK, 0); /* was under way */
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download, after_the_end_nothing_is_said_or_done)
{
    struct world w = world_new(1);
    uint32_t source = world_ready(&w, NULL), other = world_ready(&w, NULL);
    world_serve(&w, source);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    struct message ping = {.kind = KIND_PING};
    world_say(&w, other, &ping, 0);
    cr_assert(eq(sz, w.effects.count, 0));
    world_lost(&w, other);
    cr_assert(eq(sz, w.effects.count, 0));
    world_connected(&w, other);
    cr_assert(eq(sz, w.effects.count, 0));
    world_release(&w);
}

Test(download, starvation_is_told_once_and_again_after_more_sources_left)
{
    struct world w = world_new(5 * MIB);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    world_tick(&w, w.now_ms + 1);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 0));
    uint32_t source = world_ready(&w, NULL);
    struct message bye = {.kind = KIND_BYE};
    world_say(&w, source, &bye, 0);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    world_expect_reason(&w, source, "said goodbye");
    world_tick(&w, w.now_ms + 1);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 0));
    world_release(&w);
}

Test(download, it_is_not_starved_while_a_payload_is_being_written)
{
    struct world w = world_new(1);
    uint32_t source = world_ready(&w, NULL);
    struct process_order order = world_answer(&w, world_asked(&w, source));
    struct message bye = {.kind = KIND_BYE};
    world_say(&w, source, &bye, 0);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 0));
    world_processed(&w, &order, PROCESSED_MISMATCH, 0);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    world_release(&w);
}

Test(download, no_deadline_is_in_the_past_after_a_tick)
{
    struct world w = world_new(5 * MIB);
    w.now_ms += 100; /* sources are ready after the start */
    uint32_t first = world_ready(&w, NULL), second = world_ready(&w, NULL);
    world_give_layer(&w, first);
    world_tick(&w, w.now_ms + 1);
    world_error(&w, second, world_asked(&w, second).rid, ERROR_BUSY, 700);
    for (int i = 0; i < 200; i++) {
        uint64_t next_ms = download_next_deadline_ms(w.download);
        cr_assert(gt(u64, next_ms, w.now_ms), "tick %d", i);
        if (next_ms == UINT64_MAX)
            break;
        world_tick(&w, next_ms);
    }
    world_release(&w);
}

Test(download, a_malformed_message_or_a_wrong_number_of_frames_bans)
{
    static const uint8_t garbage[] = {0xc1}, no_array[] = {0x01}, trailing[] = {0x93, 1, 2, 3, 0},
                         bad_field[] = {0x94, 1, 3, 0, 7};
    static const struct {
        const uint8_t *bytes;
        size_t size, frame_count;
    } rows[] = {{garbage, sizeof garbage, 1},     {no_array, sizeof no_array, 1},
                {trailing, sizeof trailing, 1},   {bad_field, sizeof bad_field, 1},
                {bad_field, sizeof bad_field, 3}, {NULL, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = world_new(5 * MIB);
        uint32_t source = world_ready(&w, NULL);
        world_bytes(&w, source, rows[i].bytes, rows[i].size, rows[i].frame_count, 0);
        cr_expect(eq(int, world_source(&w, source).state, SOURCE_BANNED), "row %zu", i);
        world_expect_reason(&w, source, "sent a malformed message");
        world_release(&w);
    }
}

Test(download, another_version_and_what_nobody_asked_for_are_dropped)
{
    static const uint8_t version_2[] = {0x93, 2, 2, 0}, join[] = {0x93, 1, 10, 0}, found[] = {0x93, 1, 17, 0},
                         open[] = {0x93, 1, 34, 0};
    const uint8_t *rows[] = {version_2, join, found, open};
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        world_bytes(&w, source, rows[i], 4, 1, 0);
        cr_expect(eq(int, world_source(&w, source).state, SOURCE_READY), "row %zu", i);
        cr_expect(eq(sz, w.effects.count, 0), "row %zu", i);
    }
    struct message stray = {.kind = KIND_STORED, .rid = 1};
    stray.stored = (struct message_stored){w.id, text_of("x")};
    world_say(&w, source, &stray, 0);
    world_error(&w, source, 0, ERROR_INTERNAL, 0);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY));
    world_release(&w);
}

Test(download, a_ping_is_answered)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    struct message ping = {.kind = KIND_PING, .rid = 77};
    world_say(&w, source, &ping, 0);
    cr_assert(eq(sz, w.pong_count, 1));
    world_release(&w);
}

Test(download, what_an_earlier_run_left_counts_when_it_was_checked)
{
    struct world w = world_prepare(5 * MIB, world_config());
    for (uint32_t i = 0; i < 80; i++) {
        if (i != 3)
            download_claim_chunk(w.download, i);
    }
    cr_assert(download_load_layer(w.download, w.layer, 80));
    world_start(&w);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), DOWNLOAD_CHECKS_MAX));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 0));
    const struct download_effect *check = world_effect(&w, DOWNLOAD_CHECK);
    cr_assert(eq(u32, check->order.run.length, 64 * KIB));
    cr_assert(hash_equal(check->order.expected, &w.layer[check->chunk]));
    cr_assert(eq(u32, download_chunks(w.download)->set_count, 0));
    for (uint32_t i = 0; i < 80; i++) {
        if (i == 3)
            continue;
        download_effects_clear(&w.effects);
        download_on_checked(w.download, i, i != 50, w.now_ms, &w.effects); /* 50 is not what it should be */
    }
    cr_assert(eq(u32, download_chunks(w.download)->set_count, 78));
    uint32_t source = world_ready(&w, NULL);
    uint64_t offsets = 0;
    while (w.asked_count > 0) {
        offsets += world_asked(&w, source).offset;
        world_serve(&w, source);
    }
    cr_assert(eq(u64, offsets, 53 * 64 * KIB)); /* 3 and 50 */
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_release(&w);
}

Test(download, it_completes_without_a_source_when_all_that_was_left_is_right)
{
    struct world w = world_prepare(100000, world_config());
    download_claim_chunk(w.download, 0);
    download_claim_chunk(w.download, 1);
    cr_assert(download_load_layer(w.download, w.layer, 2));
    world_start(&w);
    download_on_checked(w.download, 1, true, w.now_ms, &w.effects);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 0));
    download_on_checked(w.download, 0, true, w.now_ms, &w.effects);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_release(&w);
}

Test(download, effects_of_one_event_are_bounded)
{
    struct world w = world_new(UINT64_C(1) << 30);
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        world_ready(&w, NULL);
    size_t effects_max = 0;
    world_give_layer(&w, 0);
    effects_max = w.effects.count;
    world_tick(&w, w.now_ms + 2 * DOWNLOAD_STALL_MS);
    effects_max = w.effects.count > effects_max ? w.effects.count : effects_max;
    cr_assert(le(sz, effects_max, 2 * DOWNLOAD_READS_MAX + 2 * DOWNLOAD_SOURCES_MAX));
    world_release(&w);
}
