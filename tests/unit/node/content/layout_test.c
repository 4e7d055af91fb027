/* SPDX-License-Identifier: MIT */
/*
 * The cut of a file at its edges: a chunk size one step too early or too late makes us a bad source for
 * everybody; a count that is off by one reads outside a bitfield.
 */
#include "node/content/layout.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define MIB (UINT64_C(1) << 20)

Test(layout, chunk_size_grows_when_2048_chunks_are_not_enough_and_stops_at_4_mib)
{
    static const struct {
        uint64_t size;
        unsigned chunk_log2;
        uint32_t chunk_count;
    } rows[] = {
        {0, 16, 0},
        {1, 16, 1},
        {65536, 16, 1},
        {65537, 16, 2},
        {128 * MIB, 16, 2048},
        {128 * MIB + 1, 17, 1025},
        {256 * MIB, 17, 2048},
        {256 * MIB + 1, 18, 1025},
        {4096 * MIB, 21, 2048},
        {4096 * MIB + 1, 22, 1025},
        {8192 * MIB, 22, 2048},
        {8192 * MIB + 1, 22, 2049},
        {FILE_SIZE_MAX, 22, UINT32_C(1) << 29},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct layout layout = layout_of(rows[i].size);
        cr_expect(eq(u32, layout.chunk_log2, rows[i].chunk_log2), "row %zu", i);
        cr_expect(eq(u32, layout.chunk_count, rows[i].chunk_count), "row %zu", i);
        cr_expect(eq(int, layout_has_layer(&layout), rows[i].chunk_count > 1), "row %zu", i);
    }
}

Test(layout, only_the_last_chunk_and_block_are_short)
{
    struct layout layout = layout_of(2 * MIB + 3);
    cr_expect(eq(u32, layout.chunk_count, 33));
    cr_expect(eq(u32, layout_chunk_length(&layout, 31), 65536));
    cr_expect(eq(u32, layout_chunk_length(&layout, 32), 3));
    cr_expect(eq(u32, layout_block_count(&layout), 3));
    cr_expect(eq(u32, layout_block_length(&layout, 1), BLOCK_SIZE));
    cr_expect(eq(u32, layout_block_length(&layout, 2), 3));

    struct layout even = layout_of(2 * MIB);
    cr_expect(eq(u32, layout_block_count(&even), 2));
    cr_expect(eq(u32, layout_block_length(&even, 1), BLOCK_SIZE));
    cr_expect(eq(u32, layout_chunk_length(&even, 31), 65536));
}

Test(layout, largest_file_has_every_count_below_2_to_the_32)
{
    struct layout layout = layout_of(FILE_SIZE_MAX);
    cr_expect(eq(u32, layout_block_count(&layout), UINT32_C(1) << 31));
    cr_expect(eq(u32, layout_block_length(&layout, (UINT32_C(1) << 31) - 1), BLOCK_SIZE));
    cr_expect(eq(u32, layout_bitfield_size(&layout), UINT32_C(1) << 26));
}

Test(layout, bitfield_is_rounded_up_to_bytes)
{
    static const struct {
        uint64_t chunks;
        uint32_t bytes;
    } rows[] = {{0, 0}, {1, 1}, {8, 1}, {9, 2}, {16, 2}, {17, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct layout layout = layout_of(rows[i].chunks * 65536);
        cr_expect(eq(u32, layout_bitfield_size(&layout), rows[i].bytes), "row %zu", i);
    }
}
