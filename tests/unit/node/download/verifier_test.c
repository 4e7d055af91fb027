/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a wrong chunk passes, an honest source is convicted for another's block, a liar among
 * several is never found, a new source answers for what the last one in its slot sent.
 */
#include "node/content/tree.h"
#include "node/download/verifier.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define MIB  (UINT64_C(1) << 20)
#define SIZE (6000 * MIB + 5) /* chunks of 4 MiB, the last of 5 bytes */

#define BIT(source) (UINT64_C(1) << (source))

static struct hash right(uint32_t block)
{
    return (struct hash){{1, (uint8_t)block, (uint8_t)(block >> 8)}};
}

static struct hash wrong(uint32_t block)
{
    return (struct hash){{2, (uint8_t)block, (uint8_t)(block >> 8)}};
}

static struct verifier *new_verifier(void)
{
    struct layout layout = layout_of(SIZE);
    return verifier_new(&layout);
}

static struct hash expected_of(uint32_t chunk)
{
    struct layout layout = layout_of(SIZE);
    struct hash hashes[4], joined;
    uint32_t count = 0;
    for (; count < 4 && chunk * 4 + count < layout_block_count(&layout); count++)
        hashes[count] = right(chunk * 4 + count);
    tree_join(hashes, count, BLOCK_LOG2 - LEAF_LOG2, 8, &joined);
    return joined;
}

static enum verdict give(struct verifier *verifier, uint32_t block, bool is_right, uint32_t source,
                         uint64_t *culprits)
{
    struct hash hash = is_right ? right(block) : wrong(block), expected = expected_of(block / 4);
    return verifier_block(verifier, block, &hash, source, &expected, culprits);
}

/* Blocks 0 to 3, each from the source of its place; all right but `wrong_block`. */
static enum verdict give_chunk(struct verifier *verifier, const uint32_t sources[4], uint32_t wrong_block,
                               uint64_t *culprits)
{
    enum verdict verdict = VERDICT_PENDING;
    *culprits = 0;
    for (uint32_t i = 0; i < 4; i++) {
        cr_expect(eq(int, verdict, VERDICT_PENDING));
        verdict = give(verifier, i, i != wrong_block, sources[i], culprits);
    }
    return verdict;
}

Test(verifier, a_chunk_is_good_when_its_last_block_came_in_any_order)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits = 0;
    cr_assert(eq(int, give(verifier, 6, true, 0, &culprits), VERDICT_PENDING));
    cr_assert(eq(int, give(verifier, 4, true, 1, &culprits), VERDICT_PENDING));
    cr_assert(eq(int, give(verifier, 7, true, 0, &culprits), VERDICT_PENDING));
    cr_assert(eq(int, give(verifier, 5, true, 2, &culprits), VERDICT_GOOD));
    cr_assert(eq(u64, culprits, 0));
    verifier_destroy(&verifier);
}

Test(verifier, the_short_last_chunk_has_one_block)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits = 0;
    cr_assert(eq(int, give(verifier, 6000, true, 0, &culprits), VERDICT_GOOD));
    cr_assert(eq(int, give(verifier, 6000, false, 5, &culprits), VERDICT_BAD));
    cr_assert(eq(u64, culprits, BIT(5)));
    verifier_destroy(&verifier);
}

Test(verifier, one_source_alone_is_convicted_at_once)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits;
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){63, 63, 63, 63}, 2, &culprits), VERDICT_BAD));
    cr_assert(eq(u64, culprits, BIT(63)));
    verifier_destroy(&verifier);
}

Test(verifier, of_several_sources_none_is_convicted_before_it_is_proven)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits;
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){0, 1, 2, 0}, 1, &culprits), VERDICT_BAD));
    cr_assert(eq(u64, culprits, 0));
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){2, 2, 2, 2}, 9, &culprits), VERDICT_GOOD));
    cr_assert(eq(u64, culprits, BIT(1)));
    /* It is settled: the same chunk again convicts nobody. */
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){2, 2, 2, 2}, 9, &culprits), VERDICT_GOOD));
    cr_assert(eq(u64, culprits, 0));
    verifier_destroy(&verifier);
}

Test(verifier, several_failed_tries_are_all_settled_by_one_good)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits;
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){0, 1, 0, 0}, 0, &culprits), VERDICT_BAD));
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){3, 1, 4, 1}, 2, &culprits), VERDICT_BAD));
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){1, 1, 1, 1}, 9, &culprits), VERDICT_GOOD));
    cr_assert(eq(u64, culprits, BIT(0) | BIT(4)));
    verifier_destroy(&verifier);
}

Test(verifier, what_a_dropped_source_sent_is_named_block_by_block)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits = 0;
    uint32_t block = 0;
    give(verifier, 0, true, 1, &culprits);
    give(verifier, 1, true, 2, &culprits);
    give(verifier, 9, true, 1, &culprits);
    cr_assert(verifier_drop_source(verifier, 1, &block));
    cr_assert(eq(u32, block, 0));
    cr_assert(verifier_drop_source(verifier, 1, &block));
    cr_assert(eq(u32, block, 9));
    cr_assert(not(verifier_drop_source(verifier, 1, &block)));
    /* The other's block is still there. */
    give(verifier, 0, true, 3, &culprits);
    give(verifier, 2, true, 3, &culprits);
    cr_assert(eq(int, give(verifier, 3, true, 3, &culprits), VERDICT_GOOD));
    verifier_destroy(&verifier);
}

Test(verifier, a_new_source_in_a_slot_is_not_convicted_for_the_last_one)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits = 0;
    give(verifier, 0, false, 1, &culprits);
    verifier_forget_source(verifier, 1);
    for (uint32_t i = 1; i < 3; i++)
        give(verifier, i, true, 1, &culprits);
    cr_assert(eq(int, give(verifier, 3, true, 1, &culprits), VERDICT_BAD)); /* it looks like one source */
    cr_assert(eq(u64, culprits, 0));
    verifier_forget_source(verifier, 1);
    cr_assert(eq(int, give_chunk(verifier, (const uint32_t[]){1, 1, 1, 1}, 9, &culprits), VERDICT_GOOD));
    cr_assert(eq(u64, culprits, 0));
    verifier_destroy(&verifier);
}

Test(verifier, many_chunks_may_be_under_way)
{
    struct verifier *verifier = new_verifier();
    uint64_t culprits = 0;
    for (uint32_t block = 0; block < 4 * 100; block += 4)
        cr_assert(eq(int, give(verifier, block, true, 0, &culprits), VERDICT_PENDING));
    for (uint32_t i = 1; i < 4; i++) {
        for (uint32_t chunk = 0; chunk < 100; chunk++)
            cr_assert(eq(int, give(verifier, 4 * chunk + i, true, 1, &culprits),
                         i == 3 ? VERDICT_GOOD : VERDICT_PENDING));
    }
    verifier_destroy(&verifier);
    verifier_destroy(&verifier); /* nothing is there any more */
}
