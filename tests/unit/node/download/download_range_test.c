/* SPDX-License-Identifier: MIT */
/*
 * A part of a file. What could go wrong: chunks outside it are fetched, the chunks at its two ends are not,
 * it completes early or never, its figures count bytes that were not asked for, what an earlier run left
 * outside it is read, fetched or forgotten.
 */
#include "tests/unit/node/download/download_world.h"

#define CHUNK  (64 * KIB)
#define CHUNKS 20
#define SIZE   (CHUNKS * CHUNK - 100)

static struct world world_of(uint64_t begin, uint64_t end)
{
    struct download_config config = world_config();
    config.range_begin = begin;
    config.range_end = end;
    config.is_in_order = true;
    return world_prepare(SIZE, config);
}

/* Serves until nothing is asked; returns the chunks that were, as a mask. */
static uint32_t serve_all(struct world *w, uint32_t source)
{
    uint32_t chunks = 0;
    while (w->asked_count > 0) {
        struct asked asked = world_asked(w, source);
        for (uint64_t at = asked.offset; at < asked.offset + asked.length; at += CHUNK)
            chunks |= 1u << (at / CHUNK);
        world_serve(w, source);
    }
    return chunks;
}

Test(download_range, exactly_the_chunks_that_hold_it_are_asked_for)
{
    static const struct {
        uint64_t begin, end;
        uint32_t first, last;
    } rows[] = {
        {0, 1, 0, 0},
        {CHUNK - 1, CHUNK, 0, 0},
        {CHUNK - 1, CHUNK + 1, 0, 1},
        {CHUNK, 2 * CHUNK, 1, 1},
        {3 * CHUNK + 7, 6 * CHUNK, 3, 5},
        {SIZE - 1, SIZE, 19, 19},
        {SIZE - 1, 0, 19, 19},
        {5 * CHUNK, 0, 5, 19},
        {0, SIZE, 0, 19},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w = world_of(rows[i].begin, rows[i].end);
        world_start(&w);
        uint32_t source = world_ready(&w, NULL);
        world_give_layer(&w, source);
        uint32_t chunks = serve_all(&w, source);
        uint64_t end = rows[i].end ? rows[i].end : SIZE;
        cr_expect(eq(u32, chunks, (2u << rows[i].last) - (1u << rows[i].first)), "row %zu", i);
        cr_expect(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1), "row %zu", i);
        cr_expect(eq(u64, download_progress(w.download).saved_bytes, end - rows[i].begin), "row %zu", i);
        world_release(&w);
    }
}

Test(download_range, of_large_chunks_every_block_of_those_that_hold_it_comes)
{
    uint64_t size = (UINT64_C(4) << 30) + 5; /* chunks of 4 MiB */
    struct download_config config = world_config();
    config.range_begin = UINT64_C(4) << 30;
    struct world w = world_prepare(size, config);
    world_start(&w);
    uint32_t source = world_ready(&w, NULL);
    world_give_layer(&w, source);
    cr_assert(eq(u64, world_asked(&w, source).offset, UINT64_C(4) << 30));
    cr_assert(eq(u32, world_asked(&w, source).length, 5));
    world_serve(&w, source);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    cr_assert(eq(u64, download_progress(w.download).saved_bytes, 5));
    world_release(&w);
}

Test(download_range, claims_outside_it_are_neither_read_nor_asked_for_and_stand)
{
    struct world w = world_of(4 * CHUNK, 6 * CHUNK);
    for (uint32_t i = 0; i < 5; i++)
        download_claim_chunk(w.download, i);
    cr_assert(download_load_layer(w.download, w.layer, CHUNKS));
    world_start(&w);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_CHECK), 1));
    cr_assert(eq(u32, world_effect(&w, DOWNLOAD_CHECK)->chunk, 4));
    download_effects_clear(&w.effects);
    download_on_checked(w.download, 4, true, w.now_ms, &w.effects);
    world_look(&w);
    uint32_t source = world_ready(&w, NULL);
    cr_assert(eq(u32, serve_all(&w, source), 1u << 5));
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_COMPLETE), 1));
    cr_assert(eq(u32, download_claims(w.download)->set_count, 4));
    world_release(&w);
}

Test(download_range, claims_outside_it_do_not_keep_it_from_starving)
{
    struct world w = world_of(4 * CHUNK, 6 * CHUNK);
    download_claim_chunk(w.download, 0);
    cr_assert(download_load_layer(w.download, w.layer, CHUNKS));
    world_start(&w);
    cr_assert(eq(sz, world_count(&w, DOWNLOAD_STARVED), 1));
    world_release(&w);
}
