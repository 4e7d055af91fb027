/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: the bits run the other way than the protocol says, a bitfield of another size or with
 * spare bits set is taken, the count drifts from the bits.
 */
#include "node/content/chunk_map.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(chunk_map, chunk_0_is_the_most_significant_bit)
{
    struct chunk_map map;
    chunk_map_init(&map, 10);
    cr_assert(chunk_map_set(&map, 0));
    cr_assert(chunk_map_set(&map, 9));
    struct blob bits = chunk_map_bits(&map);
    cr_assert(eq(sz, bits.size, 2));
    cr_assert(eq(u8, bits.bytes[0], 0x80));
    cr_assert(eq(u8, bits.bytes[1], 0x40));
    cr_assert(chunk_map_has(&map, 9));
    cr_assert(not(chunk_map_has(&map, 8)));
    chunk_map_release(&map);
}

Test(chunk_map, setting_and_clearing_twice_counts_once)
{
    struct chunk_map map;
    chunk_map_init(&map, 3);
    cr_assert(chunk_map_set(&map, 1));
    cr_assert(not(chunk_map_set(&map, 1)));
    cr_assert(eq(u32, map.set_count, 1));
    cr_assert(chunk_map_clear(&map, 1));
    cr_assert(not(chunk_map_clear(&map, 1)));
    cr_assert(eq(u32, map.set_count, 0));
    chunk_map_release(&map);
}

Test(chunk_map, a_bitfield_of_another_size_or_with_spare_bits_changes_nothing)
{
    static const uint8_t bytes[] = {0xff, 0xc0, 0};
    static const struct {
        uint32_t count;
        size_t size;
        uint8_t last;
        bool is_right;
    } rows[] = {{10, 2, 0xc0, true}, {10, 1, 0, false},   {10, 3, 0, false},  {10, 2, 0xe0, false},
                {10, 2, 1, false},   {16, 2, 0xff, true}, {9, 2, 0x80, true}, {9, 2, 0x40, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t copy[3] = {bytes[0], bytes[1], bytes[2]};
        copy[rows[i].size - 1] = rows[i].size == 2 ? rows[i].last : copy[rows[i].size - 1];
        struct chunk_map map;
        chunk_map_init(&map, rows[i].count);
        cr_expect(eq(int, chunk_map_load(&map, (struct blob){copy, rows[i].size}), rows[i].is_right),
                  "row %zu", i);
        if (!rows[i].is_right)
            cr_expect(eq(u32, map.set_count, 0), "row %zu", i);
        chunk_map_release(&map);
    }
}

Test(chunk_map, a_loaded_bitfield_is_counted)
{
    static const uint8_t bytes[] = {0xf0, 0x80};
    struct chunk_map map;
    chunk_map_init(&map, 9);
    cr_assert(chunk_map_load(&map, (struct blob){bytes, 2}));
    cr_assert(eq(u32, map.set_count, 5));
    cr_assert(not(chunk_map_is_full(&map)));
    cr_assert(eq(u16, chunk_map_permille(&map), 555));
    chunk_map_release(&map);
}

Test(chunk_map, only_a_full_map_has_1000_permille)
{
    struct chunk_map map;
    chunk_map_init(&map, 2000);
    for (uint32_t i = 0; i < 1999; i++)
        chunk_map_set(&map, i);
    cr_assert(eq(u16, chunk_map_permille(&map), 999));
    chunk_map_set(&map, 1999);
    cr_assert(eq(u16, chunk_map_permille(&map), 1000));
    chunk_map_release(&map);
}

Test(chunk_map, the_map_of_an_empty_file_is_full)
{
    struct chunk_map map;
    chunk_map_init(&map, 0);
    cr_assert(chunk_map_is_full(&map));
    cr_assert(eq(sz, chunk_map_bits(&map).size, 0));
    cr_assert(chunk_map_load(&map, (struct blob){NULL, 0}));
    cr_assert(eq(u16, chunk_map_permille(&map), 1000));
    chunk_map_release(&map);
}
