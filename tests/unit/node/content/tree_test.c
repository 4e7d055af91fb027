/* SPDX-License-Identifier: MIT */
/*
 * The Merkle tree against libtorrent. What could go wrong: padding at the wrong height, a last leaf or chunk
 * that is short, a file of one chunk treated like one with a layer; each gives a root that no other program
 * agrees with.
 */
#include "node/content/tree.h"

#include "messages/sha256.h"
#include "tests/support/pattern.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* The layer of a file in memory, chunk by chunk; for a file of one chunk its root. malloc'd. */
static struct hash *layer_of(const struct layout *layout, const uint8_t *bytes)
{
    struct hash *layer = malloc(layout->chunk_count * sizeof *layer);
    for (uint32_t i = 0; i < layout->chunk_count; i++)
        tree_hash_span(bytes + ((uint64_t)i << layout->chunk_log2), layout_chunk_length(layout, i),
                       tree_chunk_height(layout), &layer[i]);
    return layer;
}

Test(tree, roots_and_chunk_layers_are_those_of_libtorrent)
{
    FILE *table = golden_roots_open();
    cr_assert(ne(ptr, table, NULL), "run with ZSWARM_SOURCE set to the source folder");
    struct golden_root golden;
    unsigned row_count = 0;
    while (golden_roots_next(table, &golden)) {
        row_count++;
        struct layout layout = layout_of(golden.size);
        cr_expect(eq(u32, 1u << layout.chunk_log2, golden.chunk_size), "size %lu", golden.size);
        cr_expect(eq(u32, layout_has_layer(&layout) ? layout.chunk_count : 0, golden.layer_count), "size %lu",
                  golden.size);
        if (golden.size == 0)
            continue;
        uint8_t *bytes = malloc(golden.size);
        pattern_fill(bytes, golden.size);
        struct hash *layer = layer_of(&layout, bytes), root, digest;
        cr_assert(tree_root_of_layer(&layout, layer, &root));
        cr_expect(hash_equal(&root, &golden.root), "size %lu", golden.size);
        if (layout_has_layer(&layout)) {
            sha256(layer, layout.chunk_count * sizeof *layer, &digest);
            cr_expect(hash_equal(&digest, &golden.layer_digest), "size %lu", golden.size);
        }
        free(layer);
        free(bytes);
    }
    fclose(table);
    cr_expect(eq(u32, row_count, 28));
}

Test(tree, each_padding_is_the_hash_of_the_one_below_twice)
{
    static const struct hash zero;
    cr_assert(hash_equal(tree_padding(0), &zero));
    for (unsigned height = 1; height <= TREE_HEIGHT_MAX; height++) {
        struct hash expected;
        sha256_pair(tree_padding(height - 1), tree_padding(height - 1), &expected);
        cr_expect(hash_equal(tree_padding(height), &expected), "height %u", height);
    }
}

Test(tree, span_is_padded_to_its_height_whatever_its_size)
{
    static uint8_t bytes[3 * LEAF_SIZE + 1];
    pattern_fill(bytes, sizeof bytes);
    struct hash leaves[4], expected, got;
    for (unsigned i = 0; i < 4; i++)
        sha256(bytes + i * LEAF_SIZE, i < 3 ? LEAF_SIZE : 1, &leaves[i]);
    tree_hash_span(bytes, 1, 0, &got);
    sha256(bytes, 1, &expected);
    cr_expect(hash_equal(&got, &expected));

    struct hash copy[4];
    memcpy(copy, leaves, sizeof copy);
    tree_join(copy, 4, 0, 2, &expected);
    tree_hash_span(bytes, sizeof bytes, 2, &got);
    cr_expect(hash_equal(&got, &expected));

    struct hash higher;
    sha256_pair(&expected, tree_padding(2), &higher);
    tree_hash_span(bytes, sizeof bytes, 3, &got);
    cr_expect(hash_equal(&got, &higher));
}

Test(tree, span_of_a_4_mib_chunk_is_the_join_of_its_blocks)
{
    uint64_t size = (UINT64_C(4) << 20) - 5;
    uint8_t *bytes = malloc(size);
    pattern_fill(bytes, size);
    struct hash whole, joined, blocks[4];
    for (unsigned i = 0; i < 4; i++)
        tree_hash_span(bytes + i * BLOCK_SIZE, i < 3 ? BLOCK_SIZE : BLOCK_SIZE - 5, 6, &blocks[i]);
    tree_hash_span(bytes, size, 8, &whole);
    tree_join(blocks, 4, 6, 8, &joined);
    cr_expect(hash_equal(&whole, &joined));
    free(bytes);
}

Test(tree, join_to_the_same_height_is_the_hash_itself)
{
    struct hash one = {{7}}, got;
    tree_join(&one, 1, 5, 5, &got);
    cr_expect(hash_equal(&got, &one));
}

Test(tree, heights_follow_from_the_size)
{
    static const struct {
        uint64_t size;
        unsigned file, chunk;
    } rows[] = {
        {0, 0, 0},     {1, 0, 0},     {LEAF_SIZE, 0, 0}, {LEAF_SIZE + 1, 1, 1},     {3 * LEAF_SIZE, 2, 2},
        {65536, 2, 2}, {65537, 3, 2}, {131073, 4, 2},    {(128u << 20) + 1, 14, 3}, {FILE_SIZE_MAX, 37, 8},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct layout layout = layout_of(rows[i].size);
        cr_expect(eq(u32, tree_file_height(&layout), rows[i].file), "row %zu", i);
        cr_expect(eq(u32, tree_chunk_height(&layout), rows[i].chunk), "row %zu", i);
    }
}

Test(tree, layer_is_not_changed_by_computing_the_root)
{
    struct layout layout = layout_of(5 * 65536);
    struct hash layer[5], before[5], root;
    for (unsigned i = 0; i < 5; i++)
        layer[i] = (struct hash){{(uint8_t)(i + 1)}};
    memcpy(before, layer, sizeof before);
    cr_assert(tree_root_of_layer(&layout, layer, &root));
    cr_expect(eq(int, memcmp(before, layer, sizeof before), 0));
}

Test(tree, spans_are_hashed_together_as_each_by_itself)
{
    static uint8_t bytes[40 * LEAF_SIZE + 5];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i / 11);
    for (unsigned height = 0; height <= 6; height++) {
        struct hash together[41], alone;
        uint64_t span = (uint64_t)LEAF_SIZE << height;
        tree_hash_spans(bytes, sizeof bytes, height, together);
        for (uint64_t at = 0; at < sizeof bytes; at += span) {
            uint64_t left = sizeof bytes - at;
            tree_hash_span(bytes + at, left < span ? left : span, height, &alone);
            cr_expect(hash_equal(&together[at / span], &alone), "height %u at %zu", height, (size_t)at);
        }
    }
}
