/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a share that changes while it is paged gives a name twice or loses one, a node that
 * pages for ever or repeats itself keeps the tool busy for ever, LIST before HELLO.
 */
#include "node/serve/listing.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#define START_MS   1000
#define TIMEOUT_MS 500

static struct listing *listing;
static char handed_out[4096]; /* the names, each with a space behind it */

static void setup(void)
{
    listing = listing_new(text_of("m/"), 7, 99, TIMEOUT_MS, START_MS);
}

static void teardown(void)
{
    listing_destroy(&listing);
    cr_expect(eq(ptr, listing, NULL));
}

TestSuite(listing, .init = setup, .fini = teardown);

static struct message next(enum message_kind kind)
{
    struct message message, second;
    cr_assert(listing_next_send(listing, &message));
    cr_assert(eq(int, message.kind, kind));
    cr_expect(not(listing_next_send(listing, &second)), "once");
    return message;
}

static void greet(void)
{
    struct message reply = {.kind = KIND_HELLO_OK, .rid = next(KIND_HELLO).rid};
    cr_expect(not(listing_on_message(listing, &reply, START_MS)));
}

/* Answers the next LIST with these names. */
static bool page(uint64_t generation, uint64_t next_cursor, uint64_t now_ms, size_t count,
                 const char *const *names)
{
    struct file_entry entries[8] = {{.size = 0}};
    for (size_t i = 0; i < count; i++)
        entries[i].name = text_of(names[i]);
    struct message reply = {.kind = KIND_LIST_OK, .rid = next(KIND_LIST).rid};
    reply.list_ok = (struct message_list_ok){
        .generation = generation, .next_cursor = next_cursor, .total = count, .files = {entries, count}};
    bool has_new = listing_on_message(listing, &reply, now_ms);
    cr_expect(eq(int, has_new, reply.list_ok.files.count > 0));
    for (size_t i = 0; i < reply.list_ok.files.count; i++) {
        size_t size = strlen(handed_out);
        snprintf(handed_out + size, sizeof handed_out - size, "%s ",
                 reply.list_ok.files.entries[i].name.bytes);
    }
    return has_new;
}

#define PAGE(generation, cursor, ...)                                                                        \
    page(generation, cursor, START_MS, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),          \
         (const char *const[]){__VA_ARGS__})

Test(listing, says_hello_then_lists_with_prefix_and_cursor_to_the_end)
{
    struct message hello = next(KIND_HELLO);
    cr_expect(eq(u64, hello.hello.instance, 99));
    cr_expect(not(hello.hello.node.is_present));
    cr_expect(not(hello.hello.expected_node.is_present));
    struct message reply = {.kind = KIND_HELLO_OK, .rid = hello.rid};
    listing_on_message(listing, &reply, START_MS);
    struct message list = next(KIND_LIST);
    cr_expect(text_equal(list.list.prefix, text_of("m/")));
    cr_expect(eq(u64, list.list.cursor, 0));
    struct file_entry entry = {.name = text_of("m/a")};
    reply = (struct message){.kind = KIND_LIST_OK, .rid = list.rid};
    reply.list_ok = (struct message_list_ok){.next_cursor = 5, .files = {&entry, 1}};
    cr_expect(listing_on_message(listing, &reply, START_MS));
    list = next(KIND_LIST);
    cr_expect(eq(u64, list.list.cursor, 5));
    reply.rid = list.rid;
    reply.list_ok = (struct message_list_ok){.next_cursor = 0};
    listing_on_message(listing, &reply, START_MS);
    cr_expect(eq(int, listing_state(listing), LISTING_COMPLETE));
    cr_expect(eq(u64, listing_next_deadline_ms(listing), UINT64_MAX));
    cr_expect(not(listing_next_send(listing, &list)));
}

Test(listing, after_a_change_it_starts_again_and_no_name_comes_twice)
{
    greet();
    PAGE(1, 2, "m/b", "m/d");
    PAGE(2, 4, "m/e", "m/f");
    PAGE(2, 2, "m/a", "m/b");
    PAGE(2, 4, "m/c", "m/d", "m/e");
    PAGE(2, 0, "m/f");
    cr_expect(eq(int, listing_state(listing), LISTING_COMPLETE));
    cr_expect(eq(str, handed_out, "m/b m/d m/e m/f "));
}

Test(listing, names_out_of_order_repeated_or_outside_the_prefix_are_left_out)
{
    greet();
    PAGE(1, 2, "m/b", "m/a", "m/b", "x", "m/c");
    PAGE(1, 0, "m/c", "a/z", "m/d");
    cr_expect(eq(str, handed_out, "m/b m/c m/d "));
}

Test(listing, share_that_never_rests_is_not_chased_for_ever)
{
    greet();
    PAGE(0, 1, "m/a");
    uint64_t generation = 0;
    for (unsigned i = 0; i < LISTING_RESTARTS_MAX; i++) {
        PAGE(++generation, 1, "m/b");
        PAGE(generation, 1, "m/a");
        cr_assert(eq(int, listing_state(listing), LISTING_RUNNING), "restart %u", i);
    }
    PAGE(++generation, 1, "m/b");
    cr_expect(eq(int, listing_state(listing), LISTING_UNSTEADY));
}

Test(listing, timeout_counts_from_the_last_new_file)
{
    greet();
    const char *const names[] = {"m/a"};
    page(1, 1, START_MS + 100, 1, names);
    cr_expect(eq(u64, listing_next_deadline_ms(listing), START_MS + 100 + TIMEOUT_MS));
    page(1, 1, START_MS + 400, 1, names);
    cr_expect(eq(u64, listing_next_deadline_ms(listing), START_MS + 100 + TIMEOUT_MS), "nothing new");
    listing_tick(listing, START_MS + 100 + TIMEOUT_MS - 1);
    cr_expect(eq(int, listing_state(listing), LISTING_RUNNING));
    listing_tick(listing, START_MS + 100 + TIMEOUT_MS);
    cr_expect(eq(int, listing_state(listing), LISTING_UNANSWERED));
}

Test(listing, endless_paging_ends_at_the_limit_of_files)
{
    static struct file_entry entries[FILES_MAX];
    static char names[FILES_MAX][16];
    uint64_t count = 0;
    greet();
    while (listing_state(listing) == LISTING_RUNNING && count <= LISTING_FILES_MAX) {
        for (size_t i = 0; i < FILES_MAX; i++) {
            snprintf(names[i], sizeof names[i], "m/%010u", (unsigned)count++);
            entries[i].name = (struct text){names[i], 12};
        }
        struct message message;
        cr_assert(listing_next_send(listing, &message));
        struct message reply = {.kind = KIND_LIST_OK, .rid = message.rid};
        reply.list_ok = (struct message_list_ok){.next_cursor = 1, .files = {entries, FILES_MAX}};
        listing_on_message(listing, &reply, START_MS);
    }
    cr_expect(eq(int, listing_state(listing), LISTING_ENDLESS));
    cr_expect(ge(u64, count, LISTING_FILES_MAX));
    cr_expect(lt(u64, count, LISTING_FILES_MAX + FILES_MAX));
}

Test(listing, pages_with_hardly_anything_on_them_end_soon)
{
    char name[16];
    unsigned count = 0;
    greet();
    while (listing_state(listing) == LISTING_RUNNING && count < 10000) {
        snprintf(name, sizeof name, "m/%05u", count++);
        struct file_entry entry = {.name = text_of(name)};
        struct message message, reply = {.kind = KIND_LIST_OK};
        cr_assert(listing_next_send(listing, &message));
        reply.rid = message.rid;
        reply.list_ok = (struct message_list_ok){.next_cursor = count, .files = {&entry, 1}};
        listing_on_message(listing, &reply, START_MS);
    }
    cr_expect(eq(int, listing_state(listing), LISTING_ENDLESS));
    cr_expect(eq(u32, count, LISTING_FREE_PAGES + 1));
}

Test(listing, error_ends_it_and_its_text_is_kept)
{
    char text[] = "no";
    struct message error = message_error(next(KIND_HELLO).rid, ERROR_DENIED, text, 0);
    listing_on_message(listing, &error, START_MS);
    memset(text, 'x', 2);
    cr_expect(eq(int, listing_state(listing), LISTING_REFUSED));
    cr_expect(eq(u16, listing_error(listing).code, ERROR_DENIED));
    cr_expect(text_equal(listing_error(listing).text, text_of("no")));
}

Test(listing, messages_of_other_exchanges_and_a_list_before_hello_are_passed_over)
{
    struct message hello = next(KIND_HELLO), sent;
    struct message reply = {.kind = KIND_LIST_OK, .rid = hello.rid};
    cr_expect(not(listing_on_message(listing, &reply, START_MS)));
    reply = (struct message){.kind = KIND_HELLO_OK, .rid = hello.rid + 1};
    listing_on_message(listing, &reply, START_MS);
    cr_expect(not(listing_next_send(listing, &sent)));
    cr_expect(eq(int, listing_state(listing), LISTING_RUNNING));
}
