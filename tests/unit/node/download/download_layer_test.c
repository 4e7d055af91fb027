/* SPDX-License-Identifier: MIT */
/*
 * The chunk layer. What could go wrong: hashes are believed that do not belong to the file, so that wrong
 * bytes pass and right ones ban; one source that refuses or freezes holds up the whole download.
 */
#include "tests/unit/node/download/download_world.h"

Test(download_layer, one_source_is_asked_for_all_and_nothing_is_read_before)
{
    struct world w = world_new(5 * MIB);
    uint32_t first = world_ready(&w, NULL), second = world_ready(&w, NULL);
    cr_assert(ne(u64, w.layer_rid[first], 0));
    cr_assert(eq(u64, w.layer_rid[second], 0));
    cr_assert(eq(u32, w.layer_first, 0));
    cr_assert(eq(u32, w.layer_count, 80));
    cr_assert(eq(sz, w.asked_count, 0));
    cr_assert(download_layer(w.download) == NULL);
    world_give_layer(&w, first);
    cr_assert(download_layer(w.download) != NULL);
    cr_assert(hash_equal(&download_layer(w.download)[79], &w.layer[79]));
    cr_assert(gt(sz, w.asked_count, 0));
    world_release(&w);
}

Test(download_layer, one_that_never_answers_its_greeting_does_not_hold_it_up)
{
    struct world w = world_new(5 * MIB);
    world_add(&w, 1, 0);
    world_connected(&w, 0);
    cr_assert(ne(u64, w.layer_rid[0], 0)); /* asked together with the greeting */
    world_add(&w, 2, 0);
    world_connected(&w, 1);
    cr_assert(eq(u64, w.layer_rid[1], 0));
    world_greet(&w, 1, NULL);
    cr_assert(ne(u64, w.layer_rid[1], 0));
    world_give_layer(&w, 1);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, more_than_16384_hashes_are_asked_for_in_parts_of_one_source)
{
    struct world w = world_new(UINT64_C(16385) * 4 * MIB);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(eq(u32, w.layer_count, 16384));
    world_give_layer(&w, source);
    cr_assert(download_layer(w.download) == NULL);
    cr_assert(eq(u32, w.layer_first, 16384));
    cr_assert(eq(u32, w.layer_count, 1));
    world_give_layer(&w, source);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, hashes_that_do_not_belong_to_the_file_ban_and_another_is_asked)
{
    struct world w = world_new(5 * MIB);
    uint32_t liar = world_ready(&w, NULL), other = world_ready(&w, NULL);
    w.layer[33].bytes[0] ^= 1;
    world_give_layer(&w, liar);
    world_expect_end(&w, liar, SOURCE_BANNED, "sent hashes that do not belong to the file");
    cr_assert(download_layer(w.download) == NULL);
    cr_assert(eq(sz, w.asked_count, 0));
    w.layer[33].bytes[0] ^= 1;
    world_give_layer(&w, other);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, other_hashes_than_asked_for_ban)
{
    for (int i = 0; i < 3; i++) {
        struct world w = world_new(5 * MIB);
        uint32_t source = world_ready(&w, NULL);
        struct message ok = world_hashes_ok(&w, source);
        if (i == 0)
            ok.hashes_ok.hashes.size -= sizeof(struct hash);
        else if (i == 1)
            ok.hashes_ok.first = 1;
        else
            ok.hashes_ok.file.bytes[3] ^= 1;
        world_say(&w, source, &ok, 0);
        world_expect_end(&w, source, SOURCE_BANNED, "sent other hashes than it was asked for");
        world_release(&w);
    }
}

Test(download_layer, hashes_that_nobody_asked_for_are_ignored)
{
    struct world w = world_new(5 * MIB);
    uint32_t asked = world_ready(&w, NULL), other = world_ready(&w, NULL);
    struct message ok = world_hashes_ok(&w, asked);
    ok.rid++;
    world_say(&w, asked, &ok, 0);
    ok.rid--;
    world_say(&w, other, &ok, 0);
    cr_assert(download_layer(w.download) == NULL);
    cr_assert(eq(int, world_source(&w, asked).state, SOURCE_READY));
    cr_assert(eq(int, world_source(&w, other).state, SOURCE_READY));
    world_release(&w);
}

Test(download_layer, a_busy_source_that_is_the_only_one_is_asked_again_at_its_time_and_not_before)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    uint64_t rid = w.layer_rid[source];
    world_error(&w, source, rid, ERROR_BUSY, 2345);
    cr_assert(eq(u64, download_next_deadline_ms(w.download), w.now_ms + 2345));
    world_tick(&w, w.now_ms + 2344);
    cr_assert(eq(u64, w.layer_rid[source], rid));
    world_tick(&w, w.now_ms + 1);
    cr_assert(ne(u64, w.layer_rid[source], rid));
    world_give_layer(&w, source);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, while_one_is_busy_another_is_asked)
{
    struct world w = world_new(5 * MIB);
    uint32_t busy = world_ready(&w, NULL), other = world_ready(&w, NULL);
    world_error(&w, busy, w.layer_rid[busy], ERROR_LIMIT, 1);
    cr_assert(ne(u64, w.layer_rid[other], 0));
    world_release(&w);
}

Test(download_layer, one_that_refuses_it_is_left_and_another_is_asked)
{
    static const struct {
        enum error_code code;
        const char *reason;
    } rows[] = {{ERROR_NOT_FOUND, "no longer has the file"},
                {ERROR_CHANGED, "the file changed there"},
                {ERROR_BAD_RANGE, "refused a range of the file"},
                {ERROR_INTERNAL, "error internal"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = world_new(5 * MIB);
        uint32_t refuser = world_ready(&w, NULL), other = world_ready(&w, NULL);
        world_error(&w, refuser, w.layer_rid[refuser], rows[i].code, 0);
        world_expect_end(&w, refuser, SOURCE_LEFT, rows[i].reason);
        cr_expect(ne(u64, w.layer_rid[other], 0), "row %zu", i);
        world_release(&w);
    }
}

Test(download_layer, one_that_freezes_is_given_up_at_the_stall_time_when_there_is_another)
{
    struct world w = world_new(5 * MIB);
    uint32_t frozen = world_ready(&w, NULL), other = world_ready(&w, NULL);
    uint64_t stall_ms = w.now_ms + DOWNLOAD_STALL_MS;
    cr_assert(eq(u64, download_next_deadline_ms(w.download), stall_ms));
    world_tick(&w, stall_ms - 1);
    cr_assert(eq(u64, w.layer_rid[other], 0));
    world_tick(&w, stall_ms);
    cr_assert(ne(u64, w.layer_rid[other], 0));
    struct message late = world_hashes_ok(&w, frozen);
    world_say(&w, frozen, &late, 0);
    cr_assert(download_layer(w.download) == NULL);
    world_give_layer(&w, other);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, one_that_freezes_alone_keeps_its_chance)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL);
    uint64_t rid = w.layer_rid[source];
    world_tick(&w, w.now_ms + DOWNLOAD_STALL_MS);
    cr_assert(eq(u64, w.layer_rid[source], rid));
    world_give_layer(&w, source);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, when_its_source_is_lost_another_is_asked_from_the_beginning)
{
    struct world w = world_new(UINT64_C(16385) * 4 * MIB);
    uint32_t lost = world_ready(&w, NULL), other = world_ready(&w, NULL);
    world_give_layer(&w, lost);
    world_lost(&w, lost);
    cr_assert(ne(u64, w.layer_rid[other], 0));
    cr_assert(eq(u32, w.layer_first, 0));
    world_release(&w);
}

Test(download_layer, a_kept_layer_is_used_if_it_is_right)
{
    struct world w = world_prepare(5 * MIB, world_config());
    cr_assert(not(download_load_layer(w.download, w.layer, 79)));
    w.layer[0].bytes[0] ^= 1;
    cr_assert(not(download_load_layer(w.download, w.layer, 80)));
    cr_assert(download_layer(w.download) == NULL);
    w.layer[0].bytes[0] ^= 1;
    cr_assert(download_load_layer(w.download, w.layer, 80));
    world_start(&w);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(eq(u64, w.layer_rid[source], 0));
    cr_assert(gt(sz, w.asked_count, 0));
    world_release(&w);
}

Test(download_layer, a_wrong_kept_layer_is_fetched_anew)
{
    struct world w = world_prepare(5 * MIB, world_config());
    w.layer[0].bytes[0] ^= 1;
    cr_assert(not(download_load_layer(w.download, w.layer, 80)));
    w.layer[0].bytes[0] ^= 1;
    world_start(&w);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    cr_assert(download_layer(w.download) != NULL);
    world_release(&w);
}

Test(download_layer, a_file_of_one_chunk_has_none)
{
    struct world w = world_prepare(64 * KIB, world_config());
    cr_assert(not(download_load_layer(w.download, w.layer, 1)));
    world_start(&w);
    world_ready(&w, NULL);
    cr_assert(download_layer(w.download) == NULL);
    cr_assert(eq(sz, w.asked_count, 1));
    world_release(&w);
}
