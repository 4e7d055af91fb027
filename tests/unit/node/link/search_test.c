/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a search that never ends, an end taken for a proof when it is none, a limit that is
 * not obeyed or obeyed in a tight loop, results merged by the wrong key, a lying broker that fills memory.
 */
#include "node/link/search.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#define START_MS   1000
#define TIMEOUT_MS 2000
#define RID        7

static struct search *search;

static void setup(void)
{
    struct search_terms terms = {.mode = MODE_WORDS, .text = text_of("b.txt"), .limit = 5, .min_size = 1};
    search = search_new(&terms, RID, TIMEOUT_MS, START_MS);
}

static void teardown(void)
{
    search_destroy(&search);
    cr_expect(eq(ptr, search, NULL));
    search_destroy(&search);
}

TestSuite(search, .init = setup, .fini = teardown);

static struct message take_send(uint64_t now_ms)
{
    struct message message;
    cr_assert(search_next_send(search, now_ms, &message));
    return message;
}

static struct file_entry file(unsigned number, const char *name, uint16_t have_permille)
{
    struct file_entry entry = {.size = number, .name = text_of(name), .have_permille = have_permille};
    entry.id.bytes[0] = (uint8_t)(number >> 8);
    entry.id.bytes[1] = (uint8_t)number;
    return entry;
}

static struct source_entry source(unsigned number)
{
    struct source_entry entry = {.port = (uint16_t)number, .name = text_of("node")};
    entry.node.bytes[0] = (uint8_t)(number >> 8);
    entry.node.bytes[1] = (uint8_t)number;
    return entry;
}

static void found(struct file_entry entry, unsigned source_number)
{
    struct source_entry one = source(source_number);
    struct found_entry found_entry = {entry, {&one, 1}};
    struct message message = {.kind = KIND_FOUND, .rid = RID, .found = {&found_entry, 1}};
    search_on_message(search, &message, START_MS);
}

static struct message done_message(void)
{
    struct message message = {.kind = KIND_SEARCH_DONE, .rid = RID};
    message.search_done = (struct message_search_done){.asked = 3, .positive = 1, .negative = 1, .silent = 1};
    return message;
}

static void done(void)
{
    struct message message = done_message();
    search_on_message(search, &message, START_MS);
}

Test(search, is_sent_once_with_its_terms_and_less_time_than_there_is)
{
    struct message message = take_send(START_MS);
    cr_expect(eq(int, message.kind, KIND_SEARCH));
    cr_expect(eq(u64, message.rid, RID));
    cr_expect(text_equal(message.search.text, text_of("b.txt")));
    cr_expect(eq(u32, message.search.limit, 5));
    cr_expect(eq(u64, message.search.min_size, 1));
    cr_expect(eq(u32, message.search.deadline_ms, 1800));
    cr_expect(not(search_next_send(search, START_MS + 1, &message)));
}

Test(search, deadline_told_is_never_0_and_at_most_the_owners_and_the_protocols)
{
    static const struct {
        uint64_t timeout_ms;
        uint32_t gather_ms, deadline_ms;
    } rows[] = {{1, 0, 1},
                {100, 0, 90},
                {10250, 0, 10000},
                {3600000, 0, SEARCH_DEADLINE_MS_MAX},
                {UINT64_MAX, 0, SEARCH_DEADLINE_MS_MAX},
                {30000, 2000, 2000},
                {1000, 2000, 900}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct search_terms terms = {.text = text_of(""), .gather_ms = rows[i].gather_ms};
        search_destroy(&search);
        search = search_new(&terms, RID, rows[i].timeout_ms, START_MS);
        struct message message = take_send(START_MS);
        cr_expect(eq(u32, message.search.deadline_ms, rows[i].deadline_ms), "row %zu", i);
    }
}

Test(search, gives_up_at_its_last_millisecond_and_not_before)
{
    take_send(START_MS);
    uint64_t end_ms = START_MS + TIMEOUT_MS + SEARCH_LATE_MS;
    cr_expect(eq(u64, search_next_deadline_ms(search), end_ms));
    search_tick(search, end_ms - 1);
    cr_expect(eq(int, search_state(search), SEARCH_RUNNING));
    search_tick(search, end_ms);
    cr_expect(eq(int, search_state(search), SEARCH_UNANSWERED));
    cr_expect(eq(u64, search_next_deadline_ms(search), UINT64_MAX));
}

Test(search, an_answer_that_is_a_little_late_counts)
{
    take_send(START_MS);
    search_tick(search, START_MS + TIMEOUT_MS);
    done();
    cr_expect(eq(int, search_state(search), SEARCH_COMPLETE));
}

Test(search, nothing_is_asked_when_the_time_is_up)
{
    struct message message;
    cr_expect(not(search_next_send(search, START_MS + TIMEOUT_MS, &message)));
}

Test(search, without_an_end_it_is_cut_off_and_keeps_what_it_has)
{
    take_send(START_MS);
    found(file(1, "a", 1000), 1);
    search_tick(search, START_MS + TIMEOUT_MS + SEARCH_LATE_MS);
    cr_expect(eq(int, search_state(search), SEARCH_CUT_OFF));
    cr_expect(eq(sz, search_count(search), 1));
}

Test(search, done_completes_it_and_later_messages_change_nothing)
{
    take_send(START_MS);
    done();
    cr_assert(eq(int, search_state(search), SEARCH_COMPLETE));
    struct message_search_done counts = search_counts(search);
    cr_expect(eq(u32, counts.asked, 3));
    cr_expect(eq(u32, counts.silent, 1));
    cr_expect(not(counts.truncated));
    found(file(1, "a", 1000), 1);
    cr_expect(eq(sz, search_count(search), 0));
    search_tick(search, UINT64_MAX);
    cr_expect(eq(int, search_state(search), SEARCH_COMPLETE));
}

Test(search, messages_of_other_exchanges_and_before_it_was_sent_are_passed_over)
{
    struct message message = done_message();
    search_on_message(search, &message, START_MS);
    cr_expect(eq(int, search_state(search), SEARCH_RUNNING));
    take_send(START_MS);
    message.rid = RID + 1;
    search_on_message(search, &message, START_MS);
    message = (struct message){.kind = KIND_STATUS_OK, .rid = RID};
    search_on_message(search, &message, START_MS);
    search_tick(search, START_MS + TIMEOUT_MS + SEARCH_LATE_MS);
    cr_expect(eq(int, search_state(search), SEARCH_UNANSWERED), "none of them was an answer");
}

Test(search, limit_and_busy_are_asked_again_when_they_say)
{
    static const enum error_code codes[] = {ERROR_LIMIT, ERROR_BUSY};
    struct message message;
    take_send(START_MS);
    for (unsigned i = 0; i < 2; i++) {
        struct message error = message_error(RID + i, codes[i], "later", 100);
        uint64_t now_ms = START_MS + 100 * i;
        search_on_message(search, &error, now_ms);
        cr_expect(eq(int, search_state(search), SEARCH_RUNNING));
        cr_expect(eq(u64, search_next_deadline_ms(search), now_ms + 100));
        cr_expect(not(search_next_send(search, now_ms + 99, &message)));
        message = take_send(now_ms + 100);
        cr_expect(eq(u64, message.rid, RID + i + 1));
    }
    cr_expect(eq(u32, message.search.deadline_ms, 1620), "of the 1800 ms that are left");
}

Test(search, retry_of_0_ms_waits_its_minimum)
{
    struct message message, error = message_error(RID, ERROR_LIMIT, "", 0);
    take_send(START_MS);
    search_on_message(search, &error, START_MS);
    cr_expect(not(search_next_send(search, START_MS + SEARCH_RETRY_MS_MIN - 1, &message)));
    cr_expect(search_next_send(search, START_MS + SEARCH_RETRY_MS_MIN, &message));
}

Test(search, limit_beyond_the_timeout_and_other_errors_end_it)
{
    static const struct {
        enum error_code code;
        uint32_t retry_ms;
    } rows[] = {{ERROR_LIMIT, TIMEOUT_MS},
                {ERROR_BUSY, UINT32_MAX},
                {ERROR_BAD_MESSAGE, 1},
                {ERROR_UNSUPPORTED, 0},
                {ERROR_INTERNAL, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        teardown();
        setup();
        take_send(START_MS);
        char text[] = "why";
        struct message error = message_error(RID, rows[i].code, text, rows[i].retry_ms);
        search_on_message(search, &error, START_MS);
        memset(text, 'x', 3);
        cr_expect(eq(int, search_state(search), SEARCH_REFUSED), "row %zu", i);
        cr_expect(eq(u16, search_error(search).code, rows[i].code), "row %zu", i);
        cr_expect(text_equal(search_error(search).text, text_of("why")), "row %zu: a copy", i);
    }
}

Test(search, late_reply_to_a_refused_try_is_passed_over)
{
    struct message error = message_error(RID, ERROR_LIMIT, "", 10);
    take_send(START_MS);
    search_on_message(search, &error, START_MS);
    take_send(START_MS + 10);
    done();
    cr_expect(eq(int, search_state(search), SEARCH_RUNNING));
}

Test(search, files_are_merged_by_id_with_every_name_and_the_best_of_each_node)
{
    take_send(START_MS);
    found(file(1, "long name", 300), 1);
    found(file(1, "short", 1000), 2);
    found(file(1, "other", 700), 1);
    found(file(1, "other", 500), 1);
    found(file(2, "x", 1000), 1);
    done();
    cr_assert(eq(sz, search_count(search), 2));
    struct found_file first = search_at(search, 0);
    if (first.file.size != 1)
        first = search_at(search, 1);
    cr_expect(eq(sz, first.name_count, 3));
    cr_expect(text_equal(first.file.name, text_of("other")), "as short as `short`, before it in byte order");
    cr_assert(eq(sz, first.source_count, 2));
    cr_expect(eq(sz, first.complete_count, 1));
    cr_expect(eq(u16, first.sources[0].have_permille, 1000));
    cr_expect(eq(u16, first.sources[1].have_permille, 700));
    cr_expect(text_equal(first.sources[1].file_name, text_of("other")));
    cr_expect(eq(u16, first.file.have_permille, 1000));
}

Test(search, order_is_exact_name_then_complete_sources_then_shorter_name_then_id)
{
    take_send(START_MS);
    found(file(5, "bb b.txt x", 1000), 1);
    found(file(4, "bb b.txt x", 1000), 1);
    found(file(3, "b.txt y", 1000), 1);
    found(file(2, "b.txt long long", 1000), 1);
    found(file(2, "b.txt long long", 1000), 2);
    found(file(1, "folder/b.txt", 10), 1);
    done();
    cr_assert(eq(sz, search_count(search), 5));
    for (size_t i = 0; i < 5; i++)
        cr_expect(eq(u64, search_at(search, i).file.size, i + 1), "position %zu", i);
    cr_expect(search_at(search, 0).is_exact);
    cr_expect(not(search_at(search, 1).is_exact));
}

Test(search, file_without_a_source_is_no_result)
{
    struct found_entry entry = {file(1, "a", 1000), {NULL, 0}};
    struct message message = {.kind = KIND_FOUND, .rid = RID, .found = {&entry, 1}};
    take_send(START_MS);
    search_on_message(search, &message, START_MS);
    cr_expect(eq(sz, search_count(search), 0));
}

Test(search, files_beyond_the_limit_are_left_out_and_told)
{
    take_send(START_MS);
    for (unsigned i = 0; i < SEARCH_FILES_MAX; i++)
        found(file(i, "a", 1000), 1);
    found(file(0, "a", 1000), 2);
    cr_expect(eq(sz, search_count(search), SEARCH_FILES_MAX));
    found(file(SEARCH_FILES_MAX, "a", 1000), 1);
    cr_expect(eq(sz, search_count(search), SEARCH_FILES_MAX));
    done();
    cr_expect(search_counts(search).truncated);
}

Test(search, sources_and_names_of_one_file_are_bounded)
{
    char name[16];
    take_send(START_MS);
    for (unsigned i = 0; i < SEARCH_SOURCES_MAX + 1; i++)
        found(file(1, "a", 1000), i);
    for (unsigned i = 0; i < SEARCH_NAMES_MAX + 1; i++) {
        snprintf(name, sizeof name, "n%u", i);
        found(file(2, name, 1000), 1);
    }
    done();
    for (size_t i = 0; i < 2; i++) {
        struct found_file result = search_at(search, i);
        cr_expect(eq(sz, result.source_count, result.file.size == 1 ? SEARCH_SOURCES_MAX : 1));
        cr_expect(eq(sz, result.name_count, result.file.size == 1 ? 1 : SEARCH_NAMES_MAX));
    }
    cr_expect(search_counts(search).truncated);
}

Test(search, text_is_bounded)
{
    static char name[1025];
    size_t kept = 0;
    memset(name, 'x', 1024);
    take_send(START_MS);
    for (unsigned id = 0; id < 64; id++) {
        for (unsigned i = 0; i < SEARCH_NAMES_MAX; i++) {
            snprintf(name, 8, "%07u", i);
            name[7] = 'x';
            found(file(id, name, 1000), 1);
        }
    }
    done();
    for (size_t i = 0; i < search_count(search); i++)
        kept += search_at(search, i).name_count;
    cr_expect(le(sz, kept * 1024, SEARCH_TEXT_BYTES_MAX));
    cr_expect(gt(sz, kept * 1024, SEARCH_TEXT_BYTES_MAX - 4096));
    cr_expect(search_counts(search).truncated);
}
