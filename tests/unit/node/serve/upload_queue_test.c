/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: one requester takes the disk and all buffers from the others, small reads overtake a
 * large one for ever, a lost requester leaves bytes counted for good, a cancelled read is sent after all.
 */
#include "node/serve/upload_queue.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define MIB (1u << 20)

static struct upload read_of(uint32_t route, uint64_t rid, uint32_t bytes)
{
    return (struct upload){.route = route, .rid = rid, .kind = UPLOAD_READ, .reply_bytes = bytes};
}

static enum upload_put_result put(struct upload_queue *queue, uint32_t route, uint64_t rid, uint32_t bytes)
{
    struct upload upload = read_of(route, rid, bytes);
    return upload_queue_put(queue, &upload);
}

static void put_many(struct upload_queue *queue, uint32_t route, uint32_t bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert(eq(int, put(queue, route, i, bytes), UPLOAD_QUEUED), "read %zu", i);
}

Test(upload_queue, reads_of_one_requester_start_in_the_order_they_came)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, 64 << 10, 3);
    for (uint64_t rid = 0; rid < 3; rid++)
        cr_assert(eq(u64, upload_queue_next(queue, 0)->rid, rid));
    cr_assert(upload_queue_next(queue, 0) == NULL);
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_requester_with_small_reads_gets_as_many_bytes_as_one_with_large_reads)
{
    struct upload_queue *queue = upload_queue_new();
    uint64_t bytes[3] = {0};
    put_many(queue, 1, MIB, 16);
    put_many(queue, 2, 64 << 10, 256);
    for (size_t i = 0; i < 100; i++) {
        const struct upload *u = upload_queue_next(queue, 0);
        cr_assert(u != NULL);
        bytes[u->route] += u->reply_bytes;
        upload_queue_finish(queue, u->ticket, 0); /* as fast as disk gives */
    }
    cr_assert(bytes[1] > 0);
    uint64_t difference = bytes[1] > bytes[2] ? bytes[1] - bytes[2] : bytes[2] - bytes[1];
    cr_assert(le(u64, difference, 2 * MIB));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_requester_holds_four_mebibytes_and_not_one_buffer_more)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 5);
    uint64_t first = 0;
    for (size_t i = 0; i < 4; i++) {
        const struct upload *u = upload_queue_next(queue, 0);
        cr_assert(u != NULL);
        first = first ? first : u->ticket;
    }
    cr_assert(upload_queue_next(queue, 0) == NULL);
    put_many(queue, 2, MIB, 1);
    cr_assert(eq(u32, upload_queue_next(queue, 0)->route, 2)); /* others are not held up */
    upload_queue_finish(queue, first, 0);
    cr_assert(eq(u32, upload_queue_next(queue, 0)->route, 1));
    upload_queue_destroy(&queue);
}

Test(upload_queue, all_requesters_together_hold_32_mebibytes)
{
    struct upload_queue *queue = upload_queue_new();
    for (uint32_t route = 1; route <= 40; route++)
        put_many(queue, route, MIB, 1);
    uint64_t last = 0;
    for (size_t i = 0; i < 32; i++) {
        const struct upload *u = upload_queue_next(queue, 0);
        cr_assert(u != NULL, "upload %zu", i);
        last = u->ticket;
    }
    cr_assert(upload_queue_next(queue, 0) == NULL);
    cr_assert(eq(sz, upload_queue_in_hand_bytes(queue), UPLOAD_IN_HAND_BYTES_MAX));
    upload_queue_finish(queue, last, 0);
    cr_assert(upload_queue_next(queue, 0) != NULL);
    upload_queue_destroy(&queue);
}

Test(upload_queue, those_who_do_not_read_leave_room_for_one_who_does)
{
    for (uint32_t slow_count = 1; slow_count <= 31; slow_count++) {
        struct upload_queue *queue = upload_queue_new();
        for (uint32_t route = 1; route <= slow_count; route++)
            put_many(queue, route, MIB, 16);
        while (upload_queue_next(queue, 0))
            continue;
        for (size_t i = 0; i < 100; i++) {
            put_many(queue, 100, MIB, 1);
            const struct upload *u = upload_queue_next(queue, 0);
            cr_assert(u != NULL, "%u slow ones, read %zu", slow_count, i);
            cr_assert(eq(u32, u->route, 100));
            upload_queue_finish(queue, u->ticket, 0);
        }
        upload_queue_destroy(&queue);
    }
}

Test(upload_queue, a_large_read_keeps_its_turn_when_only_small_buffers_are_free)
{
    struct upload_queue *queue = upload_queue_new();
    for (uint32_t route = 1; route <= 512; route++)
        put_many(queue, route, 64 << 10, 1);
    uint64_t tickets[512];
    for (size_t i = 0; i < 512; i++)
        tickets[i] = upload_queue_next(queue, 0)->ticket;
    cr_assert(upload_queue_next(queue, 0) == NULL);
    put_many(queue, 1001, MIB, 1);
    upload_queue_finish(queue, tickets[0], 0);
    cr_assert(upload_queue_next(queue, 0) == NULL);
    put_many(queue, 1002, 64 << 10, 4);
    cr_assert(upload_queue_next(queue, 0) == NULL);
    for (size_t i = 1; i < 16; i++)
        upload_queue_finish(queue, tickets[i], 0);
    cr_assert(eq(u32, upload_queue_next(queue, 0)->route, 1001));
    upload_queue_destroy(&queue);
}

Test(upload_queue, the_window_is_full_at_its_last_byte_and_not_before)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 15);
    cr_assert(eq(int, put(queue, 1, 90, MIB - 1), UPLOAD_QUEUED));
    cr_assert(eq(int, put(queue, 1, 91, 2), UPLOAD_OVER_WINDOW));
    cr_assert(eq(int, put(queue, 1, 92, 1), UPLOAD_QUEUED));
    cr_assert(eq(int, put(queue, 2, 1, MIB), UPLOAD_QUEUED));
    upload_queue_destroy(&queue);
}

Test(upload_queue, an_answered_read_no_longer_counts_against_the_window_though_its_buffer_does)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 16);
    uint64_t ticket = upload_queue_next(queue, 0)->ticket;
    cr_assert(eq(int, put(queue, 1, 90, MIB), UPLOAD_OVER_WINDOW));
    upload_queue_answer(queue, ticket, 0);
    cr_assert(eq(int, put(queue, 1, 91, MIB), UPLOAD_QUEUED));
    cr_assert(eq(sz, upload_queue_in_hand_bytes(queue), MIB));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_requester_waits_for_at_most_4096_replies)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, 1, UPLOAD_REQUESTER_COUNT_MAX);
    cr_assert(eq(int, put(queue, 1, 0, 1), UPLOAD_TOO_MANY));
    cr_assert(eq(int, put(queue, 2, 0, 1), UPLOAD_QUEUED));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_requester_waits_for_at_most_16_lists)
{
    struct upload_queue *queue = upload_queue_new();
    struct upload list = {.route = 1, .kind = UPLOAD_LIST, .reply_bytes = MIB, .prefix = text_of("a/")};
    for (size_t i = 0; i < UPLOAD_REQUESTER_LISTS_MAX; i++)
        cr_assert(eq(int, upload_queue_put(queue, &list), UPLOAD_QUEUED));
    cr_assert(eq(int, upload_queue_put(queue, &list), UPLOAD_TOO_MANY));
    cr_assert(text_equal(upload_queue_next(queue, 0)->prefix, text_of("a/")));
    cr_assert(eq(int, upload_queue_put(queue, &list), UPLOAD_QUEUED));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_full_queue_still_takes_the_reserve_of_each_requester)
{
    struct upload_queue *queue = upload_queue_new();
    for (uint32_t route = 1; route <= UPLOAD_COUNT_MAX / UPLOAD_REQUESTER_COUNT_MAX; route++)
        put_many(queue, route, 1, UPLOAD_REQUESTER_COUNT_MAX);
    put_many(queue, 1000, 1, UPLOAD_REQUESTER_RESERVE);
    cr_assert(eq(int, put(queue, 1000, 0, 1), UPLOAD_BUSY));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_cancelled_read_never_starts_and_gives_its_window_back)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 16);
    for (uint64_t rid = 0; rid < 16; rid++)
        upload_queue_cancel(queue, 1, rid);
    cr_assert(upload_queue_next(queue, 0) == NULL);
    cr_assert(upload_queue_is_empty(queue));
    cr_assert(not(upload_queue_has(queue, 1)));
    put_many(queue, 1, MIB, 16);
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_read_cancelled_in_hand_is_not_wanted_but_keeps_its_buffer)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 2);
    uint64_t ticket = upload_queue_next(queue, 0)->ticket;
    cr_assert(upload_queue_is_wanted(queue, ticket));
    upload_queue_cancel(queue, 1, 0);
    cr_assert(not(upload_queue_is_wanted(queue, ticket)));
    cr_assert(eq(sz, upload_queue_in_hand_bytes(queue), MIB));
    upload_queue_finish(queue, ticket, 0);
    cr_assert(eq(sz, upload_queue_in_hand_bytes(queue), 0));
    cr_assert(eq(u64, upload_queue_next(queue, 0)->rid, 1));
    upload_queue_destroy(&queue);
}

Test(upload_queue, cancel_leaves_the_same_rid_of_another_requester_alone)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 1);
    put_many(queue, 2, MIB, 1);
    upload_queue_cancel(queue, 1, 0);
    cr_assert(eq(u32, upload_queue_next(queue, 0)->route, 2));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_dropped_requester_leaves_nothing_behind_once_its_buffers_are_free)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 8);
    uint64_t ticket = upload_queue_next(queue, 0)->ticket;
    upload_queue_drop(queue, 1);
    cr_assert(not(upload_queue_is_wanted(queue, ticket)));
    cr_assert(upload_queue_has(queue, 1)); /* its buffer is still its own */
    cr_assert(upload_queue_next(queue, 0) == NULL);
    cr_assert(eq(sz, upload_queue_in_hand_bytes(queue), MIB));

    put_many(queue, 1, MIB, 16); /* it came back with a full window */
    upload_queue_finish(queue, ticket, 0);
    upload_queue_finish(queue, ticket, 0); /* an unknown ticket by now */
    for (size_t i = 0; i < 4; i++)
        cr_assert(upload_queue_next(queue, 0) != NULL);
    upload_queue_destroy(&queue);
}

Test(upload_queue, buffers_come_in_three_sizes)
{
    static const uint32_t rows[][2] = {{1, 65536},       {65536, 65536},    {65537, 262144},
                                       {262144, 262144}, {262145, 1048576}, {1048576, 1048576}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect(eq(u32, upload_buffer_bytes(rows[i][0]), rows[i][1]), "row %zu", i);
}

Test(upload_queue, who_comes_back_still_holds_what_it_held)
{
    struct upload_queue *queue = upload_queue_new();
    put_many(queue, 1, MIB, 8);
    for (size_t i = 0; i < 4; i++)
        cr_assert(upload_queue_next(queue, 0) != NULL);
    upload_queue_drop(queue, 1);
    put_many(queue, 1, MIB, 8);
    cr_assert(upload_queue_next(queue, 0) == NULL);
    upload_queue_destroy(&queue);
}

Test(upload_queue, who_takes_nothing_for_2_s_stalls_only_if_another_starves)
{
    struct upload_queue *queue = upload_queue_new();
    uint32_t route = 0;
    int connection = 0;
    for (uint32_t i = 0; i < 32; i++) {
        put_many(queue, i + 1, MIB, 1);
        uint64_t ticket = upload_queue_next(queue, 0)->ticket;
        upload_queue_answer(queue, ticket, 1000 + (i + 5) % 32);
    }
    put_many(queue, 1, MIB, 1);
    cr_assert(upload_queue_next(queue, 0) == NULL);
    cr_assert(not(upload_queue_stalled(queue, 100000, &route, &connection)));
    put_many(queue, 50, MIB, 1);
    cr_assert(upload_queue_next(queue, 0) == NULL);
    cr_assert(not(upload_queue_stalled(queue, 1000 + UPLOAD_STALL_MS - 1, &route, &connection)));
    cr_assert(upload_queue_stalled(queue, 1000 + UPLOAD_STALL_MS, &route, &connection));
    cr_assert(eq(u32, route, 28));
    upload_queue_destroy(&queue);
}

Test(upload_queue, a_slow_disk_is_not_the_requesters_stall)
{
    struct upload_queue *queue = upload_queue_new();
    uint32_t route = 0;
    int connection = 0;
    for (uint32_t i = 0; i < 33; i++) {
        put_many(queue, i + 1, MIB, 1);
        upload_queue_next(queue, 0);
    }
    cr_assert(not(upload_queue_stalled(queue, 100000, &route, &connection)));
    upload_queue_destroy(&queue);
}

/* Bytes that start within a second, one at a time, of a requester that always wants more. */
static uint64_t bytes_in_a_second(struct upload_queue *queue, uint32_t route, bool is_exempt)
{
    uint64_t bytes = 0;
    for (uint64_t now_ms = 1000; now_ms < 2000; now_ms += 10) {
        struct upload upload = read_of(route, now_ms, 64 << 10);
        upload.is_exempt = is_exempt;
        if (bytes == 0 || !upload_queue_has(queue, route))
            upload_queue_put(queue, &upload);
        const struct upload *u = upload_queue_next(queue, now_ms);
        if (!u)
            continue;
        cr_assert(eq(u32, u->route, route));
        bytes += u->reply_bytes;
        upload_queue_finish(queue, u->ticket, now_ms);
    }
    return bytes;
}

Test(upload_queue, who_asks_for_one_after_the_other_stays_within_his_rate)
{
    struct upload_queue *queue = upload_queue_new();
    upload_queue_set_rates(queue, 0, MIB, 0);
    uint64_t bytes = bytes_in_a_second(queue, 1, false);
    cr_assert(ge(u64, bytes, MIB));
    cr_assert(le(u64, bytes, MIB + MIB / 4)); /* the burst, and the end of the last READ */
    upload_queue_destroy(&queue);
}

Test(upload_queue, one_that_is_over_his_rate_does_not_hold_up_another)
{
    struct upload_queue *queue = upload_queue_new();
    upload_queue_set_rates(queue, 0, 100000, 0);
    put(queue, 1, 1, MIB);
    put(queue, 1, 2, MIB);
    put(queue, 2, 1, MIB);
    cr_assert(eq(u32, upload_queue_next(queue, 0)->route, 1));
    cr_assert(eq(u32, upload_queue_next(queue, 0)->route, 2));
    cr_assert(upload_queue_next(queue, 0) == NULL);
    uint64_t ready_ms = upload_queue_ready_ms(queue);
    cr_assert(upload_queue_next(queue, ready_ms - 1) == NULL);
    cr_assert(eq(u32, upload_queue_next(queue, ready_ms)->route, 1));
    cr_assert(eq(u64, upload_queue_ready_ms(queue), UINT64_MAX)); /* nothing waits */
    upload_queue_destroy(&queue);
}

Test(upload_queue, who_is_exempt_pays_nothing_and_takes_nothing_from_the_others)
{
    struct upload_queue *queue = upload_queue_new();
    upload_queue_set_rates(queue, MIB, 64 << 10, 0);
    cr_assert(eq(u64, bytes_in_a_second(queue, 1, true), 100 * (64 << 10)));
    put(queue, 2, 1, 64 << 10);
    cr_assert(eq(u32, upload_queue_next(queue, 1000)->route, 2));
    upload_queue_destroy(&queue);
}

Test(upload_queue, who_waits_for_his_rate_makes_nobody_a_stalled_reader)
{
    struct upload_queue *queue = upload_queue_new();
    upload_queue_set_rates(queue, 0, 1000, 0);
    put(queue, 1, 1, MIB);
    const struct upload *u = upload_queue_next(queue, 0);
    upload_queue_answer(queue, u->ticket, 0); /* and takes it slowly */
    put(queue, 2, 1, MIB);
    put(queue, 2, 2, MIB);
    u = upload_queue_next(queue, 0);
    upload_queue_answer(queue, u->ticket, 0);
    upload_queue_finish(queue, u->ticket, 1);
    uint32_t route;
    int connection;
    cr_assert(not(upload_queue_stalled(queue, UPLOAD_STALL_MS, &route, &connection)));
    upload_queue_destroy(&queue);
}
