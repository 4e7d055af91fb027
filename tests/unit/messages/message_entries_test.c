/* SPDX-License-Identifier: MIT */
/*
 * FILEs and SOURCEs in lists: a bad one must neither spoil its neighbours nor be kept, and a mistyped one
 * must not pass as merely bad.
 */
#include "messages/message.h"

#include "messages/name.h"
#include "tests/unit/messages/frame.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* The five elements of a FILE without the array head. */
static void put_file_fields(struct frame *frame, uint64_t size, uint8_t root_byte, bool has_right_id,
                            struct text name, uint64_t permille)
{
    struct hash root = {{root_byte}};
    struct file_id id = file_id_of(size + !has_right_id, &root);
    msgpack_pack_bin_with_body(&frame->packer, id.bytes, 32);
    msgpack_pack_bin_with_body(&frame->packer, root.bytes, 32);
    put_uint(frame, size);
    put_text(frame, name.bytes, name.size);
    put_uint(frame, permille);
}

static void put_good_file(struct frame *frame)
{
    put_array(frame, 5);
    put_file_fields(frame, 1, 1, true, text_of("good"), 1000);
}

static char long_name[NAME_SIZE_MAX + 1];

struct bad_file {
    uint64_t size;
    uint8_t root_byte;
    bool has_right_id;
    const char *name;
    size_t name_size;
    uint64_t permille;
};

static const struct bad_file BAD_FILES[] = {
    {1, 1, false, "a", 1, 1000},    {1, 1, true, "a", 1, 1001},
    {0, 1, true, "a", 1, 1000}, /* an empty file has a root of zeros */
    {1, 1, true, "", 0, 1000},      {1, 1, true, "../x", 4, 1000},
    {1, 1, true, "/x", 2, 1000},    {1, 1, true, "a//b", 4, 1000},
    {1, 1, true, "a\x1b", 2, 1000}, {1, 1, true, "a\xff", 2, 1000},
    {1, 1, true, "a\0b", 3, 1000},  {1, 1, true, long_name, NAME_SIZE_MAX + 1, 1000},
};

enum {
    BAD_FILE_COUNT = sizeof BAD_FILES / sizeof BAD_FILES[0]
};

static void put_bad_file(struct frame *frame, size_t index)
{
    memset(long_name, 'x', sizeof long_name);
    const struct bad_file *bad = &BAD_FILES[index];
    put_array(frame, 5);
    put_file_fields(frame, bad->size, bad->root_byte, bad->has_right_id,
                    (struct text){bad->name, bad->name_size}, bad->permille);
}

Test(message_entries, a_file_that_breaks_a_rule_is_dropped_alone_in_a_list)
{
    for (size_t i = 0; i < BAD_FILE_COUNT; i++) {
        struct frame frame;
        frame_begin(&frame, KIND_ANSWER, 2);
        put_uint(&frame, 2);
        put_array(&frame, 2);
        put_bad_file(&frame, i);
        put_good_file(&frame);
        struct outcome outcome = frame_end(&frame);
        cr_expect(outcome.is_good, "file %zu", i);
        cr_expect(eq(u32, outcome.dropped_count, 1), "file %zu", i);
        cr_expect(eq(sz, outcome.count, 1), "file %zu", i);
    }
}

Test(message_entries, a_bad_file_makes_open_ok_and_offer_bad)
{
    static const enum message_kind KINDS[] = {KIND_OPEN_OK, KIND_OFFER};
    for (size_t i = 0; i < 2 * BAD_FILE_COUNT; i++) {
        struct frame frame;
        frame_begin(&frame, KINDS[i % 2], 3);
        put_bad_file(&frame, i / 2);
        put_uint(&frame, 16);
        msgpack_pack_nil(&frame.packer);
        cr_expect(not(frame_end(&frame).is_good), "file %zu", i / 2);
    }
}

Test(message_entries, a_mistyped_file_makes_the_whole_list_bad)
{
    for (size_t element = 0; element < 5; element++) {
        struct frame frame;
        frame_begin(&frame, KIND_ANSWER, 2);
        put_uint(&frame, 2);
        put_array(&frame, 2);
        put_good_file(&frame);
        put_array(&frame, 5);
        struct hash zeros = {{0}};
        for (size_t i = 0; i < 5; i++) {
            if (i == element)
                msgpack_pack_nil(&frame.packer);
            else if (i < 2)
                msgpack_pack_bin_with_body(&frame.packer, zeros.bytes, 32);
            else if (i == 3)
                put_text(&frame, "a", 1);
            else
                put_uint(&frame, 1);
        }
        cr_expect(not(frame_end(&frame).is_good), "element %zu", element);
    }
    struct frame frame;
    frame_begin(&frame, KIND_ANSWER, 2);
    put_uint(&frame, 1);
    put_array(&frame, 1);
    put_array(&frame, 0);
    cr_expect(not(frame_end(&frame).is_good), "a FILE without elements");
}

Test(message_entries, further_elements_of_a_file_of_a_wrong_type_count_as_absent)
{
    struct frame frame;
    frame_begin(&frame, KIND_ANSWER, 2);
    put_uint(&frame, 1);
    put_array(&frame, 1);
    put_array(&frame, 9);
    put_file_fields(&frame, 1, 1, true, text_of("a"), 1000);
    put_text(&frame, "yesterday", 9);
    put_uint(&frame, 1);
    put_uint(&frame, 2);
    msgpack_pack_nil(&frame.packer);
    struct outcome outcome = frame_end(&frame);
    cr_expect(outcome.is_good);
    cr_expect(eq(u32, outcome.dropped_count, 0));
    cr_expect(not(outcome.file.has_mtime || outcome.file.has_executable));
}

Test(message_entries, a_message_has_at_most_1024_files)
{
    for (size_t over = 0; over <= 1; over++) {
        struct frame frame;
        frame_begin(&frame, KIND_LIST_OK, 4);
        for (size_t i = 0; i < 3; i++)
            put_uint(&frame, 0);
        put_array(&frame, FILES_MAX + over);
        for (size_t i = 0; i < FILES_MAX + over; i++)
            put_good_file(&frame);
        cr_expect(eq(int, frame_end(&frame).is_good, over == 0));
    }
}

static void put_source(struct frame *frame, const char *host, uint64_t port)
{
    put_array(frame, 5);
    pack_bin(&frame->packer, 16);
    put_text(frame, host, strlen(host));
    put_uint(frame, port);
    put_text(frame, "n", 1);
    msgpack_pack_nil(&frame->packer);
}

static const char *const BAD_HOSTS[] = {
    "", "localhost", "example.org", "1.2.3", "fe80::1%eth0", "tcp://1.2.3.4", "1.2.3.4;x"};

Test(message_entries, a_source_without_an_address_is_dropped_alone)
{
    for (size_t i = 0; i <= sizeof BAD_HOSTS / sizeof BAD_HOSTS[0]; i++) {
        bool is_port_0 = i == sizeof BAD_HOSTS / sizeof BAD_HOSTS[0];
        struct frame frame;
        frame_begin(&frame, KIND_FOUND, 1);
        put_array(&frame, 1);
        put_array(&frame, 2);
        put_good_file(&frame);
        put_array(&frame, 2);
        put_source(&frame, is_port_0 ? "192.0.2.1" : BAD_HOSTS[i], is_port_0 ? 0 : 9000);
        put_source(&frame, "192.0.2.1", 9000);
        struct outcome outcome = frame_end(&frame);
        cr_expect(outcome.is_good, "host %zu", i);
        cr_expect(eq(u32, outcome.dropped_count, 1), "host %zu", i);
        cr_expect(eq(sz, outcome.count, 1), "host %zu", i);
    }
}

Test(message_entries, a_found_entry_with_a_bad_file_is_dropped_with_its_sources)
{
    struct frame frame;
    frame_begin(&frame, KIND_FOUND, 1);
    put_array(&frame, 2);
    put_array(&frame, 2);
    put_bad_file(&frame, 0);
    put_array(&frame, 1);
    put_source(&frame, "192.0.2.1", 9000);
    put_array(&frame, 2);
    put_good_file(&frame);
    put_array(&frame, 2);
    put_source(&frame, "192.0.2.1", 9000);
    put_source(&frame, "192.0.2.2", 9000);
    struct outcome outcome = frame_end(&frame);
    cr_expect(outcome.is_good);
    cr_expect(eq(u32, outcome.dropped_count, 1));
    cr_expect(eq(sz, outcome.count, 2));
}

Test(message_entries, a_peer_without_an_address_is_dropped_alone)
{
    struct frame frame;
    frame_begin(&frame, KIND_PEERS_OK, 2);
    put_uint(&frame, 0);
    put_array(&frame, 2);
    for (size_t i = 0; i < 2; i++) {
        put_array(&frame, 5);
        put_source(&frame, i == 0 ? "nowhere" : "::1", 9000);
        for (size_t j = 0; j < 3; j++)
            put_uint(&frame, 1);
        put_array(&frame, 0);
    }
    struct outcome outcome = frame_end(&frame);
    cr_expect(outcome.is_good);
    cr_expect(eq(u32, outcome.dropped_count, 1));
    cr_expect(eq(sz, outcome.count, 1));
}

Test(message_entries, an_array_of_more_sources_than_fit_is_bad)
{
    struct frame frame;
    frame_begin(&frame, KIND_PEERS_OK, 2);
    put_uint(&frame, 0);
    put_array(&frame, 60000);
    for (size_t i = 0; i < 60000; i++)
        put_array(&frame, 0);
    cr_expect(not(frame_end(&frame).is_good));
}
