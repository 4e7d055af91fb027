/* SPDX-License-Identifier: MIT */
/*
 * Whom to ask for what. What could go wrong: more is asked for than memory allows, wrong bytes count or ban
 * the wrong source, a busy source is hammered, a stalled one holds up the end or is dropped though nobody
 * else is there, the same bytes are fetched again and again.
 */
#include "tests/unit/node/download/download_world.h"

#define LARGE (UINT64_C(6000) * MIB) /* chunks of 4 MiB, READ in 4 blocks */

/* `count` ready sources that hold all, and the layer. */
static struct world new_world(uint64_t size, uint32_t count)
{
    struct world w = world_new(size);
    for (uint32_t i = 0; i < count; i++)
        world_ready(&w, NULL);
    if (layout_has_layer(&w.layout))
        world_give_layer(&w, 0);
    return w;
}

/* Answers READs of a source until it had `count`, each `ms` after the last. */
static void serve(struct world *w, uint32_t source, size_t count, uint64_t ms)
{
    for (size_t i = 0; i < count; i++) {
        w->now_ms += ms;
        world_serve(w, source);
    }
}

/* The source answers the READ that begins there. */
static struct process_order answer_at(struct world *w, uint32_t source, uint64_t offset)
{
    for (size_t i = 0; i < w->asked_count; i++) {
        if (w->asked[i].source == source && w->asked[i].offset == offset)
            return world_answer(w, w->asked[i]);
    }
    cr_assert(0, "source %u is not asked for offset %lu", source, offset);
    return (struct process_order){0};
}

static bool is_asked_at(const struct world *w, uint32_t source, uint64_t offset)
{
    for (size_t i = 0; i < w->asked_count; i++) {
        if (w->asked[i].source == source && w->asked[i].offset == offset)
            return true;
    }
    return false;
}

Test(download_reads, an_unknown_source_is_asked_for_half_a_mebibyte_in_small_reads)
{
    struct world w = new_world(1024 * MIB, 1); /* chunks of 512 KiB */
    cr_assert(eq(u64, world_asked_bytes(&w, 0), 2 * 512 * KIB));
    cr_assert(eq(u32, world_asked(&w, 0).length, 512 * KIB));
    world_release(&w);
    w = new_world(100 * MIB, 1);
    cr_assert(eq(u64, world_asked_bytes(&w, 0), START_WINDOW_BYTES));
    cr_assert(eq(u32, world_asked(&w, 0).length, 64 * KIB));
    world_release(&w);
}

Test(download_reads, no_part_is_asked_of_two_sources)
{
    struct world w = new_world(100 * MIB, 4);
    for (size_t i = 0; i < w.asked_count; i++) {
        for (size_t k = i + 1; k < w.asked_count; k++)
            cr_assert(ne(u64, w.asked[i].offset, w.asked[k].offset));
    }
    cr_assert(eq(sz, w.asked_count, 4 * 8));
    world_release(&w);
}

Test(download_reads, a_source_is_never_asked_for_more_than_its_window)
{
    struct world w = new_world(2000 * MIB, 1);
    uint64_t most = 0;
    for (int i = 0; i < 300; i++) { /* 1 MiB a millisecond: as fast as can be */
        serve(&w, 0, 1, i % 2);
        most = world_asked_bytes(&w, 0) > most ? world_asked_bytes(&w, 0) : most;
    }
    cr_assert(gt(u64, most, 15 * MIB));
    cr_assert(le(u64, most, 16 * MIB));
    world_release(&w);
}

Test(download_reads, all_together_and_what_is_not_written_yet_stay_within_the_budget)
{
    struct download_config config = world_config();
    config.budget_bytes = 5 * MIB;
    struct world w = world_prepare(100 * MIB, config);
    world_start(&w);
    for (int i = 0; i < 12; i++)
        world_ready(&w, NULL);
    world_give_layer(&w, 0);
    uint64_t asked_bytes = 0, written_bytes = 0;
    for (uint32_t i = 0; i < 12; i++)
        asked_bytes += world_asked_bytes(&w, i);
    cr_assert(le(u64, asked_bytes, 5 * MIB));
    cr_assert(gt(u64, asked_bytes, 4 * MIB));
    struct process_order orders[100];
    size_t count = 0;
    while (w.asked_count > 0) { /* the disk is slow: nothing more is asked for */
        orders[count] = world_answer(&w, w.asked[0]);
        written_bytes += orders[count++].run.length;
    }
    cr_assert(eq(u64, written_bytes, asked_bytes));
    world_processed(&w, &orders[0], PROCESSED_OK, 0);
    cr_assert(le(sz, w.asked_count, 1));
    for (size_t i = 1; i < count; i++)
        world_processed(&w, &orders[i], PROCESSED_OK, 0);
    cr_assert(gt(sz, w.asked_count, 0));
    world_release(&w);
}

Test(download_reads, a_slow_source_is_asked_for_two_reads_at_a_time)
{
    struct world w = new_world(100 * MIB, 1);
    serve(&w, 0, 32, 1000); /* 64 KiB a second */
    cr_assert(eq(u64, world_asked_bytes(&w, 0), 2 * 64 * KIB));
    world_release(&w);
}

Test(download_reads, wrong_bytes_ban_their_source_and_are_fetched_elsewhere)
{
    struct world w = new_world(START_WINDOW_BYTES, 2);
    uint64_t offset = world_asked(&w, 1).offset;
    struct process_order order = world_answer(&w, world_asked(&w, 1));
    world_processed(&w, &order, PROCESSED_MISMATCH, 0);
    world_expect_end(&w, 1, SOURCE_BANNED, "sent wrong bytes");
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_SAVED), 0));
    cr_assert(is_asked_at(&w, 0, offset));
    cr_assert(eq(u64, world_asked_bytes(&w, 0), START_WINDOW_BYTES));
    cr_assert(eq(u64, download_progress(w.download).wasted_bytes, 64 * KIB));
    world_release(&w);
}

Test(download_reads, another_range_than_asked_for_bans)
{
    for (int i = 0; i < 4; i++) {
        struct world w = new_world(START_WINDOW_BYTES, 2);
        struct asked asked = world_asked(&w, 0);
        struct message data = world_data_of(&w, &asked);
        if (i == 0)
            data.data.offset += 64 * KIB;
        else if (i == 1)
            data.data.length--;
        else if (i == 2)
            data.data.file.bytes[0] ^= 1;
        world_say(&w, 0, &data, i == 3 ? asked.length - 1 : asked.length);
        world_expect_end(&w, 0, SOURCE_BANNED, "sent another range than it was asked for");
        cr_expect(eq(sz, world_count(&w, DOWNLOAD_PROCESS), 0), "row %d", i);
        cr_expect(is_asked_at(&w, 1, asked.offset), "row %d", i);
        world_release(&w);
    }
}

Test(download_reads, data_that_was_not_asked_of_its_source_is_dropped_and_counted)
{
    struct world w = new_world(5 * MIB, 2);
    struct asked asked = world_asked(&w, 0);
    struct message data = world_data_of(&w, &asked);
    world_say(&w, 1, &data, 1000); /* another's rid */
    data.rid += UINT64_C(1) << 50;
    world_say(&w, 0, &data, 1000);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_PROCESS), 0));
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_READY));
    cr_assert(eq(u64, download_progress(w.download).wasted_bytes, 2000));
    cr_assert(eq(u64, download_progress(w.download).received_bytes, 2000));
    world_answer(&w, asked);
    data = world_data_of(&w, &asked); /* twice */
    world_say(&w, 0, &data, asked.length);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_PROCESS), 0));
    world_release(&w);
}

Test(download_reads, a_busy_source_is_left_alone_until_its_time_and_not_longer)
{
    static const struct {
        enum error_code code;
        uint32_t retry_ms, pause_ms;
    } rows[] = {{ERROR_BUSY, 4321, 4321}, {ERROR_LIMIT, 1, 20}, {ERROR_BUSY, 0, 1000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = new_world(64 * KIB, 1);
        world_error(&w, 0, world_asked(&w, 0).rid, rows[i].code, rows[i].retry_ms);
        cr_expect(eq(sz, w.asked_count, 0), "row %zu", i);
        cr_expect(eq(u64, download_next_deadline_ms(w.download), w.now_ms + rows[i].pause_ms), "row %zu", i);
        world_tick(&w, w.now_ms + rows[i].pause_ms - 1);
        cr_expect(eq(sz, w.asked_count, 0), "row %zu", i);
        world_tick(&w, w.now_ms + 1);
        cr_expect(eq(sz, w.asked_count, 1), "row %zu", i);
        world_release(&w);
    }
}

Test(download_reads, what_a_busy_source_refused_is_asked_of_another_at_once)
{
    struct world w = new_world(START_WINDOW_BYTES, 2);
    struct asked asked = world_asked(&w, 0);
    world_error(&w, 0, asked.rid, ERROR_BUSY, 5000);
    cr_assert(is_asked_at(&w, 1, asked.offset));
    cr_assert(gt(u64, world_asked_bytes(&w, 0), 0)); /* the others it was asked for may still come */
    world_release(&w);
}

Test(download_reads, an_error_to_a_read_ends_its_source_with_the_reason)
{
    static const struct {
        enum error_code code;
        const char *reason;
    } rows[] = {{ERROR_CHANGED, "the file changed there"},
                {ERROR_NOT_FOUND, "no longer has the file"},
                {ERROR_BAD_RANGE, "refused a range of the file"},
                {ERROR_INTERNAL, "error internal"},
                {ERROR_DENIED, "error denied"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = new_world(START_WINDOW_BYTES, 2);
        world_error(&w, 0, world_asked(&w, 0).rid, rows[i].code, 0);
        world_expect_end(&w, 0, SOURCE_LEFT, rows[i].reason);
        cr_expect(eq(u64, world_asked_bytes(&w, 1), START_WINDOW_BYTES), "row %zu", i);
        world_release(&w);
    }
}

Test(download_reads, an_error_to_what_was_not_asked_changes_nothing)
{
    struct world w = new_world(MIB, 2);
    world_error(&w, 1, world_asked(&w, 0).rid, ERROR_CHANGED, 0); /* another's */
    world_error(&w, 0, UINT64_MAX, ERROR_CHANGED, 0);
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_READY));
    cr_assert(eq(int, world_source(&w, 1).state, SOURCE_READY));
    world_release(&w);
}

Test(download_reads, a_partial_source_is_asked_only_for_what_it_holds_and_what_it_tells_later)
{
    struct chunk_map chunks;
    chunk_map_init(&chunks, 16);
    chunk_map_set(&chunks, 5);
    struct world w = world_new(MIB);
    uint32_t source = world_ready(&w, &chunks);
    world_give_layer(&w, source);
    cr_assert(eq(sz, w.asked_count, 1));
    cr_assert(is_asked_at(&w, source, 5 * 64 * KIB));
    struct chunk_range ranges[] = {{7, 1}, {9, 1}};
    struct message have = {.kind = KIND_HAVE, .rid = w.open_rid[source]};
    have.have = (struct message_have){w.id, ranges, 2};
    have.have.file.bytes[0] ^= 1;
    world_say(&w, source, &have, 0); /* of another file */
    cr_assert(eq(sz, w.asked_count, 1));
    have.have.file.bytes[0] ^= 1;
    world_say(&w, source, &have, 0);
    cr_assert(eq(sz, w.asked_count, 3));
    cr_assert(is_asked_at(&w, source, 9 * 64 * KIB));
    chunk_map_release(&chunks);
    world_release(&w);
}

Test(download_reads, a_have_outside_the_file_or_longer_than_it_bans)
{
    static const struct chunk_range rows[][2] = {
        {{16, 1}, {0, 0}}, {{15, 2}, {0, 0}}, {{1, UINT32_MAX}, {0, 0}}, {{0, 16}, {3, 1}}};
    struct chunk_map chunks;
    chunk_map_init(&chunks, 16);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct world w = world_new(MIB);
        uint32_t source = world_ready(&w, &chunks);
        struct chunk_range ranges[2] = {rows[i][0], rows[i][1]};
        struct message have = {.kind = KIND_HAVE, .rid = w.open_rid[source]};
        have.have = (struct message_have){w.id, ranges, i == 3 ? 2 : 1};
        world_say(&w, source, &have, 0);
        world_expect_end(&w, source, SOURCE_BANNED, "holds chunks that the file does not have");
        world_release(&w);
    }
    chunk_map_release(&chunks);
}

Test(download_reads, a_chunk_that_a_partial_source_lost_is_not_asked_of_it_again)
{
    struct chunk_map chunks;
    chunk_map_init(&chunks, 1500);
    chunk_map_set(&chunks, 7);
    struct world w = world_new(LARGE);
    uint32_t source = world_ready(&w, &chunks);
    world_give_layer(&w, source);
    cr_assert(eq(sz, w.asked_count, 2));
    world_error(&w, source, world_asked(&w, source).rid, ERROR_BAD_RANGE, 0);
    cr_assert(eq(int, world_source(&w, source).state, SOURCE_READY));
    cr_assert(eq(sz, w.asked_count, 1)); /* the one under way, no more */
    world_error(&w, source, world_asked(&w, source).rid, ERROR_BAD_RANGE, 0);
    cr_assert(eq(sz, w.asked_count, 0));
    chunk_map_release(&chunks);
    world_release(&w);
}

Test(download_reads, a_stalled_source_loses_its_ranges_at_its_time_and_not_before)
{
    struct world w = new_world(4 * MIB, 2);
    uint64_t stall_ms = w.now_ms + DOWNLOAD_STALL_MS;
    for (uint64_t ms = 1000; ms < 5000; ms += 1000) { /* the other lives */
        w.now_ms = stall_ms - DOWNLOAD_STALL_MS + ms;
        world_serve(&w, 1);
    }
    cr_assert(eq(u64, world_asked_bytes(&w, 0), START_WINDOW_BYTES));
    world_tick(&w, stall_ms - 1);
    cr_assert(eq(u64, world_asked_bytes(&w, 0), START_WINDOW_BYTES));
    cr_assert(le(u64, download_next_deadline_ms(w.download), stall_ms));
    world_tick(&w, stall_ms);
    cr_assert(eq(sz, world_asked_count(&w, 0), 1)); /* the oldest, which may just be slow */
    cr_assert(eq(sz, w.cancel_count, 7));
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_READY));
    world_release(&w);
}

Test(download_reads, what_a_slow_source_delivers_after_its_stall_still_counts)
{
    struct world w = new_world(4 * MIB, 2);
    w.now_ms += 4000;
    world_serve(&w, 1);
    world_tick(&w, w.now_ms + 1000);
    cr_assert(eq(sz, world_asked_count(&w, 0), 1));
    uint64_t wasted_bytes = download_progress(w.download).wasted_bytes;
    w.now_ms += 500;
    world_serve(&w, 0);
    cr_assert(gt(sz, world_count(&w, DOWNLOAD_SAVED), 0));
    cr_assert(eq(u64, download_progress(w.download).wasted_bytes, wasted_bytes));
    cr_assert(gt(sz, world_asked_count(&w, 0), 0)); /* and it is asked again at once */
    world_release(&w);
}

Test(download_reads, a_source_that_stalls_alone_is_not_cancelled)
{
    struct world w = new_world(4 * MIB, 1);
    world_tick(&w, w.now_ms + DOWNLOAD_STALL_MS);
    cr_assert(eq(sz, w.cancel_count, 0));
    cr_assert(eq(u64, world_asked_bytes(&w, 0), START_WINDOW_BYTES));
    cr_assert(eq(u64, download_next_deadline_ms(w.download), w.now_ms + DOWNLOAD_STALL_MS));
    world_release(&w);
}

Test(download_reads, sources_that_stall_together_are_all_kept)
{
    struct world w = new_world(8 * MIB, 3);
    world_tick(&w, w.now_ms + DOWNLOAD_STALL_MS);
    cr_assert(eq(sz, w.cancel_count, 0));
    world_release(&w);
}

Test(download_reads, a_frozen_source_is_probed_with_one_small_read_after_its_pause_and_not_before)
{
    struct world w = new_world(100 * MIB, 2);
    uint64_t stall_ms = w.now_ms + DOWNLOAD_STALL_MS, probe_ms = stall_ms + DOWNLOAD_SNUB_MS;
    while (w.now_ms + 400 < stall_ms)
        serve(&w, 1, 1, 400);
    world_tick(&w, stall_ms);
    cr_assert(eq(sz, world_asked_count(&w, 0), 1));
    while (w.now_ms + 400 < probe_ms)
        serve(&w, 1, 1, 400);
    world_tick(&w, probe_ms - 1);
    cr_assert(eq(sz, world_asked_count(&w, 0), 0)); /* another delivered what it still owed */
    world_tick(&w, probe_ms);
    cr_assert(eq(sz, world_asked_count(&w, 0), 1));
    struct asked probe = world_asked(&w, 0);
    cr_assert(eq(u32, probe.length, 64 * KIB));
    serve(&w, 1, 20, 1);
    cr_assert(is_asked_at(&w, 1, probe.offset) ||
              !is_asked_at(&w, 0, probe.offset)); /* nobody waits for it */
    world_release(&w);
}

Test(download_reads, each_stall_doubles_the_patience_and_the_third_cancels_the_last_read)
{
    struct chunk_map chunks;
    chunk_map_init(&chunks, 1600);
    chunk_map_set(&chunks, 0);
    struct world w = world_new(100 * MIB);
    uint32_t only = world_ready(&w, &chunks); /* nobody else holds chunk 0 */
    chunk_map_clear(&chunks, 0);
    chunk_map_set(&chunks, 9);
    uint32_t other = world_ready(&w, &chunks); /* it is there, but has nothing to give */
    world_give_layer(&w, only);
    serve(&w, other, 1, 0);
    uint64_t stall_ms = w.now_ms;
    for (unsigned i = 0; i < 3; i++) {
        stall_ms += (uint64_t)DOWNLOAD_STALL_MS << i;
        cr_expect(le(u64, download_next_deadline_ms(w.download), stall_ms), "stall %u", i);
        world_tick(&w, stall_ms - 1);
        cr_expect(eq(sz, world_asked_count(&w, only), 1), "stall %u", i);
        world_tick(&w, stall_ms);
        cr_expect(eq(sz, world_asked_count(&w, only), i < 2), "stall %u", i);
    }
    chunk_map_release(&chunks);
    world_release(&w);
}

Test(download_reads, in_the_endgame_an_idle_source_repeats_what_a_slow_one_owes_and_the_loser_is_cancelled)
{
    struct world w = new_world(4 * MIB, 2);
    while (world_asked_count(&w, 1) > 0)
        serve(&w, 1, 1, 2);
    uint64_t owed_bytes = world_asked_bytes(&w, 0);
    cr_assert(gt(u64, owed_bytes, 0));
    cr_assert(gt(sz, download_next_deadline_ms(w.download), w.now_ms));
    for (int i = 0; i < 50 && world_asked_count(&w, 1) == 0; i++)
        world_tick(&w, download_next_deadline_ms(w.download));
    struct asked repeated = world_asked(&w, 1);
    cr_assert(is_asked_at(&w, 0, repeated.offset));
    w.cancel_count = 0;
    serve(&w, 1, 1, 2);
    cr_assert(eq(sz, w.cancel_count, 1));
    cr_assert(not(is_asked_at(&w, 0, repeated.offset)));
    struct message late = world_data_of(&w, &repeated);
    uint64_t wasted_bytes = download_progress(w.download).wasted_bytes;
    world_say(&w, 0, &late, repeated.length);
    cr_assert(eq(u64, download_progress(w.download).wasted_bytes, wasted_bytes + repeated.length));
    world_release(&w);
}

Test(download_reads, a_part_is_asked_of_two_sources_at_most)
{
    struct world w = new_world(64 * KIB, 4);
    for (int i = 0; i < 40; i++)
        world_tick(&w, w.now_ms + 100);
    cr_assert(eq(sz, w.asked_count, 2));
    world_release(&w);
}

Test(download_reads, one_read_is_repeated_however_many_sources_are_idle_where_more_would_be_much_of_the_file)
{
    struct world w = new_world(128 * KIB, 6); /* two are asked for a part each; four are idle */
    for (int i = 0; i < 40; i++)
        world_tick(&w, w.now_ms + 100);
    cr_assert(eq(sz, w.asked_count, 3));
    world_release(&w);
}

/* Chunk 0 of a large file: its blocks in turn from sources 0 and 1, of which `liar` sends wrong ones. */
static void fill_chunk_0(struct world *w, uint32_t liar)
{
    struct process_order orders[4];
    for (uint32_t block = 0; block < 4; block++) {
        uint32_t source = is_asked_at(w, 0, (uint64_t)block * MIB) ? 0 : 1;
        orders[block] = answer_at(w, source, (uint64_t)block * MIB);
        if (source == liar)
            world_processed_wrong(w, &orders[block]);
        else
            world_processed(w, &orders[block], PROCESSED_OK, 0);
    }
}

Test(download_reads, of_two_sources_of_a_bad_chunk_only_the_proven_liar_is_banned)
{
    for (uint32_t liar = 0; liar < 2; liar++) {
        struct world w = new_world(LARGE, 2);
        fill_chunk_0(&w, liar);
        cr_assert(eq(int, world_source(&w, 0).state, SOURCE_READY));
        cr_assert(eq(int, world_source(&w, 1).state, SOURCE_READY));
        cr_assert(eq(u32, download_chunks(w.download)->set_count, 0));
        cr_assert(eq(u64, download_progress(w.download).wasted_bytes, 4 * MIB));
        for (int i = 0; i < 60 && download_chunks(w.download)->set_count < 3; i++) {
            for (uint32_t source = 0; source < 2; source++) {
                if (world_asked_count(&w, source) == 0)
                    continue;
                struct process_order order = world_answer(&w, world_asked(&w, source));
                if (source == liar)
                    world_processed_wrong(&w, &order);
                else
                    world_processed(&w, &order, PROCESSED_OK, 0);
            }
        }
        cr_expect(eq(int, world_source(&w, liar).state, SOURCE_BANNED), "liar %u", liar);
        world_expect_reason(&w, liar, "sent wrong bytes");
        cr_expect(eq(int, world_source(&w, 1 - liar).state, SOURCE_READY), "liar %u", liar);
        cr_expect(ge(u32, download_chunks(w.download)->set_count, 3), "liar %u", liar);
        world_release(&w);
    }
}

Test(download_reads, a_doubtful_chunk_is_fetched_from_one_source_unless_that_one_does_not_serve)
{
    struct world w = new_world(LARGE, 2);
    fill_chunk_0(&w, 1);
    while (!is_asked_at(&w, 0, 0) && !is_asked_at(&w, 1, 0)) {
        serve(&w, 0, 1, 1);
        serve(&w, 1, 1, 1);
    }
    uint32_t keeper = is_asked_at(&w, 0, 0) ? 0 : 1;
    serve(&w, 1 - keeper, 8, 1);
    for (uint32_t block = 0; block < 4; block++)
        cr_assert(not(is_asked_at(&w, 1 - keeper, (uint64_t)block * MIB)));
    world_lost(&w, keeper);
    bool is_asked = false;
    for (int i = 0; i < 8; i++) {
        serve(&w, 1 - keeper, 1, 1);
        is_asked |= is_asked_at(&w, 1 - keeper, 0);
    }
    cr_assert(is_asked);
    world_release(&w);
}

Test(download_reads, one_source_alone_of_a_bad_chunk_is_banned_at_once)
{
    struct world w = new_world(LARGE, 1);
    struct process_order order;
    for (uint32_t block = 0; block < 4; block++) {
        order = answer_at(&w, 0, (uint64_t)block * MIB);
        world_processed(&w, &order, PROCESSED_OK, 0);
        if (block == 2)
            break;
    }
    order = answer_at(&w, 0, 3 * MIB);
    world_processed_wrong(&w, &order);
    world_expect_end(&w, 0, SOURCE_BANNED, "sent wrong bytes");
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    world_release(&w);
}

Test(download_reads, blocks_of_a_banned_source_are_fetched_again)
{
    struct world w = new_world(LARGE, 2);
    struct asked first = world_asked(&w, 0);
    struct process_order order = world_answer(&w, first);
    world_processed(&w, &order, PROCESSED_OK, 0);
    struct asked second = world_asked(&w, 0);
    struct process_order hashing = world_answer(&w, second);
    world_bytes(&w, 0, "\xc1", 1, 1, 0);
    cr_assert(eq(int, world_source(&w, 0).state, SOURCE_BANNED));
    world_processed(&w, &hashing, PROCESSED_OK, 0); /* it is not believed either */
    cr_assert(eq(u64, download_progress(w.download).wasted_bytes, first.length + second.length));
    bool was_first = is_asked_at(&w, 1, first.offset), was_second = is_asked_at(&w, 1, second.offset);
    for (int i = 0; i < 20; i++) {
        serve(&w, 1, 1, 1);
        was_first |= is_asked_at(&w, 1, first.offset);
        was_second |= is_asked_at(&w, 1, second.offset);
    }
    cr_assert(was_first);
    cr_assert(was_second);
    world_release(&w);
}
