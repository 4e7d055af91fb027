/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a pusher is greeted or connected to, asked for more than it offers or by a rid that is
 * another download's too, waited for when it is silent, or dropped although it answers in time; its end
 * leaves its ranges asked, its slot taken, or the download without whoever is left.
 */
#include "tests/unit/node/download/download_world.h"

static uint32_t push(struct world *w, const struct chunk_map *have)
{
    struct download_pusher pusher = {.host = {{[15] = 1}}, .name = "pusher", .have = have};
    download_effects_clear(&w->effects);
    uint32_t source = download_add_pusher(w->download, &pusher, w->now_ms, &w->effects);
    world_look(w);
    return source;
}

static void remove_pusher(struct world *w, uint32_t source, bool is_gone)
{
    download_effects_clear(&w->effects);
    download_remove_pusher(w->download, source, is_gone, w->now_ms, &w->effects);
    world_look(w);
}

Test(download_pushers, a_pusher_is_ready_at_once_and_asked_without_a_greeting)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = push(&w, NULL);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY));
    cr_assert(world_source(&w, source).is_pusher);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CONNECT), 0));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SEND), 1)); /* HASHES */
    cr_assert(ne(u64, w.layer_rid[source], 0));
    cr_assert(download_asked(w.download, source, w.layer_rid[source]));
    world_give_layer(&w, source);
    while (w.asked_count > 0) {
        cr_assert(download_asked(w.download, source, world_asked(&w, source).rid));
        world_serve(&w, source);
    }
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    world_release(&w);
}

Test(download_pushers, it_is_asked_only_for_what_it_offers)
{
    struct world w = world_new(5 * MIB);
    struct chunk_map have;
    chunk_map_init(&have, 80);
    for (uint32_t i = 40; i < 80; i++)
        chunk_map_set(&have, i);
    uint32_t source = push(&w, &have);
    chunk_map_release(&have);
    world_give_layer(&w, source);
    while (w.asked_count > 0) {
        cr_assert(ge(u64, world_asked(&w, source).offset, 40 * 64 * KIB));
        world_serve(&w, source);
    }
    cr_assert(eq(u32, download_chunks(w.download)->set_count, 40));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 0));
    world_release(&w);
}

Test(download_pushers, a_pusher_and_a_source_share_the_file_and_repeat_little_at_its_end)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = world_ready(&w, NULL), pusher = push(&w, NULL);
    world_give_layer(&w, source);
    uint64_t bytes = 0, counts[DOWNLOAD_SOURCES_MAX] = {0};
    for (unsigned turn = 0; w.asked_count > 0; turn++) {
        uint32_t who = turn % 2 ? pusher : source;
        if (world_asked_count(&w, who) == 0)
            continue;
        bytes += world_asked(&w, who).length;
        counts[who]++;
        w.now_ms += 20;
        world_serve(&w, who);
    }
    cr_assert(le(u64, bytes, 5 * MIB + 5 * MIB / 20));
    cr_assert(gt(u64, counts[source], 0));
    cr_assert(gt(u64, counts[pusher], 0));
    world_release(&w);
}

Test(download_pushers, a_read_may_wait_ten_seconds_and_no_longer)
{
    struct world w = world_new(1);
    uint32_t source = push(&w, NULL);
    uint64_t asked_ms = w.now_ms;
    world_tick(&w, asked_ms + DOWNLOAD_PUSHER_MS - 1);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY));
    cr_assert(le(u64, download_next_deadline_ms(w.download), asked_ms + DOWNLOAD_PUSHER_MS));
    world_tick(&w, asked_ms + DOWNLOAD_PUSHER_MS);
    world_expect_end(&w, source, SOURCE_LEFT, "does not answer");
    cr_assert(world_source(&w, source).is_silent);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    world_release(&w);
}

Test(download_pushers, hashes_may_wait_ten_seconds_and_no_longer)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = push(&w, NULL);
    uint64_t asked_ms = w.now_ms;
    world_tick(&w, asked_ms + DOWNLOAD_STALL_MS); /* a stall is forgiven */
    world_tick(&w, asked_ms + DOWNLOAD_PUSHER_MS - 1);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY));
    world_tick(&w, asked_ms + DOWNLOAD_PUSHER_MS);
    world_expect_end(&w, source, SOURCE_LEFT, "does not answer");
    world_release(&w);
}

Test(download_pushers, one_read_in_many_that_is_not_answered_is_enough)
{
    struct world w = world_new(5 * MIB);
    uint32_t source = push(&w, NULL);
    world_give_layer(&w, source);
    uint64_t skipped = world_asked(&w, source).rid, asked_ms = w.now_ms;
    for (unsigned i = 0; i < 3; i++) {
        w.now_ms += 1000;
        for (size_t k = 0; k < w.asked_count; k++) {
            if (w.asked[k].rid != skipped) {
                struct asked other = w.asked[k];
                struct process_order order = world_answer(&w, other);
                world_processed(&w, &order, PROCESSED_OK, 0);
                break;
            }
        }
    }
    world_tick(&w, asked_ms + DOWNLOAD_PUSHER_MS);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_LEFT));
    world_release(&w);
}

/* Answers READ after READ at this rate, in order, and has to be in time with all of them. */
static void serve_slowly(uint64_t size, uint64_t rate, unsigned read_count)
{
    struct world w = world_new(size);
    uint32_t source = push(&w, NULL);
    world_give_layer(&w, source);
    for (unsigned i = 0; i < read_count; i++) {
        world_tick(&w, w.now_ms + world_asked(&w, source).length * UINT64_C(1000) / rate + 200);
        cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY), "%llu bytes: READ %u",
                  (unsigned long long)size, i);
        world_serve(&w, source);
    }
    world_release(&w);
}

Test(download_pushers, a_slow_one_is_asked_for_no_more_than_it_can_send_in_time)
{
    serve_slowly(UINT64_C(100) * MIB, 20 * KIB, 50);   /* chunks of 64 KiB */
    serve_slowly(UINT64_C(1024) * MIB, 100 * KIB, 20); /* of 512 KiB: 5 s each */
    serve_slowly(UINT64_C(1024) * MIB, 400 * KIB, 50);
}

Test(download_pushers, who_withdraws_is_told_to_answer_no_more_and_who_is_gone_is_told_nothing)
{
    for (int is_gone = 0; is_gone <= 1; is_gone++) {
        struct world w = world_new(5 * MIB);
        uint32_t source = push(&w, NULL);
        world_give_layer(&w, source);
        size_t asked_count = w.asked_count;
        cr_assert(gt(sz, asked_count, 0));
        remove_pusher(&w, source, is_gone);
        cr_assert(eq(int, world_source(&w, source).state, SOURCE_LEFT));
        cr_assert(eq(sz, w.cancel_count, is_gone ? 0 : asked_count));
        uint32_t next = push(&w, NULL); /* what it was asked is asked of the next */
        cr_assert(eq(u32, next, source));
        while (w.asked_count > 0)
            world_serve(&w, next);
        cr_assert(chunk_map_is_full(download_chunks(w.download)));
        world_release(&w);
    }
}

Test(download_pushers, wrong_bytes_ban_it_and_its_slot_is_free_for_the_next)
{
    struct world w = world_new(1);
    for (unsigned i = 0; i < 2 * DOWNLOAD_SOURCES_MAX; i++) {
        uint32_t source = push(&w, NULL);
        cr_assert(ne(u32, source, UINT32_MAX), "pusher %u", i);
        struct process_order order = world_answer(&w, world_asked(&w, source));
        world_processed(&w, &order, PROCESSED_MISMATCH, 0);
        world_expect_end(&w, source, SOURCE_BANNED, "sent wrong bytes");
        cr_assert(not(world_source(&w, source).is_silent));
    }
    world_release(&w);
}

Test(download_pushers, a_full_table_takes_no_more)
{
    struct world w = world_new(5 * MIB);
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        cr_assert(eq(u32, push(&w, NULL), i));
    cr_assert(eq(u32, push(&w, NULL), UINT32_MAX));
    world_release(&w);
}

Test(download_pushers, rids_of_two_downloads_differ)
{
    struct download_config one = world_config(), two = world_config();
    one.seed = UINT64_C(0x1234567890abcdef), two.seed = UINT64_C(0xfedcba0987654321);
    struct world a = world_prepare(5 * MIB, one), b = world_prepare(5 * MIB, two);
    world_start(&a), world_start(&b);
    uint32_t source = push(&a, NULL);
    cr_assert(eq(u32, push(&b, NULL), source));
    cr_assert(download_asked(a.download, source, a.layer_rid[source]));
    cr_assert(not(download_asked(b.download, source, a.layer_rid[source])));
    world_release(&a), world_release(&b);
}

Test(download_pushers, a_claim_that_was_wrong_is_told)
{
    struct world w = world_prepare(1, world_config());
    download_claim_chunk(w.download, 0);
    world_start(&w);
    download_effects_clear(&w.effects);
    download_on_checked(w.download, 0, false, w.now_ms, &w.effects);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_UNSAVED), 1));
    world_release(&w);
}
