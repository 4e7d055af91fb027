/* SPDX-License-Identifier: MIT */
/*
 * An id computed differently from everyone else's finds nothing; a hex digit read wrongly finds something
 * else.
 */
#include "messages/id.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static bool id_is(struct file_id id, const char *hex)
{
    char text[ID_HEX_SIZE];
    hex_format(id.bytes, sizeof id.bytes, text);
    return strcmp(text, hex) == 0;
}

/* Expected values: Python's hashlib. */
Test(id, file_id_commits_to_size_and_root)
{
    struct hash zeros = {{0}};
    struct hash ones;
    memset(&ones, 0x11, sizeof ones);
    cr_expect(
        id_is(file_id_of(0, &zeros), "2cd74336d1d95b112aa37d6326e41be03448c741356ed1a506b2a093c7b6edef"));
    cr_expect(id_is(file_id_of(UINT64_C(0x0102030405060708), &ones),
                    "156b8d5deaa5b6a7c0082e588c573d045c557a178939301bc00933f07e009862"));
}

Test(id, compares_as_bytes)
{
    struct file_id low = {{1, 0xff}}, high = {{2}};
    cr_expect(lt(int, file_id_compare(&low, &high), 0));
    cr_expect(gt(int, file_id_compare(&high, &low), 0));
    cr_expect(eq(int, file_id_compare(&low, &low), 0));
    cr_expect(file_id_equal(&low, &low) && !file_id_equal(&low, &high));
    struct node_id node = {{[15] = 1}}, other_node = {{[15] = 2}};
    cr_expect(node_id_equal(&node, &node) && !node_id_equal(&node, &other_node));
    struct hash hash = {{[31] = 1}}, other_hash = {{[31] = 2}};
    cr_expect(hash_equal(&hash, &hash) && !hash_equal(&hash, &other_hash));
}

Test(id, hex_is_read_in_either_case_and_written_in_lower_case)
{
    uint8_t bytes[4];
    char text[9];
    cr_assert(hex_parse("00fFA9b1", 8, bytes, 4));
    hex_format(bytes, 4, text);
    cr_expect(strcmp(text, "00ffa9b1") == 0);
}

Test(id, hex_of_another_length_or_with_other_characters_is_refused_and_writes_nothing)
{
    static const char *const BAD[] = {"",       "00",     "0000",   "00000", "0000000",
                                      "00000g", "0x0000", "00 000", "-00000"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        uint8_t bytes[3] = {7, 7, 7};
        cr_expect(not(hex_parse(BAD[i], strlen(BAD[i]), bytes, 3)), "%s", BAD[i]);
        cr_expect(bytes[0] == 7 && bytes[1] == 7 && bytes[2] == 7, "%s", BAD[i]);
    }
}

Test(id, prefixes_may_have_an_odd_count_of_digits)
{
    struct file_id id = {{0x12, 0xab}};
    cr_expect(file_id_has_prefix(&id, "", 0));
    cr_expect(file_id_has_prefix(&id, "1", 1));
    cr_expect(file_id_has_prefix(&id, "12A", 3));
    cr_expect(file_id_has_prefix(&id, "12ab", 4));
    cr_expect(not(file_id_has_prefix(&id, "12b", 3)));
    cr_expect(not(file_id_has_prefix(&id, "12g", 3)));
    char digits[65];
    hex_format(id.bytes, 32, digits);
    cr_expect(file_id_has_prefix(&id, digits, 64));
    cr_expect(not(file_id_has_prefix(&id, digits, 65)));
}
