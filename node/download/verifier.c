/* SPDX-License-Identifier: MIT */
#include "node/download/verifier.h"

#include "node/content/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOBODY UINT8_MAX
#define GONE   (UINT8_MAX - 1) /* here, from a source that left */

/* One try at a chunk: who sent each block and what it hashed to. */
struct attempt {
    uint32_t chunk;
    uint8_t block_count;
    uint8_t sources[BLOCKS_PER_CHUNK_MAX]; /* or NOBODY: not here; or GONE */
    struct hash hashes[BLOCKS_PER_CHUNK_MAX];
};

/* Grows with the chunks under way or failed, which the download's budget and its sources bound. */
struct attempts {
    struct attempt *entries;
    size_t count, capacity;
};

struct verifier {
    struct layout layout;
    struct attempts open;   /* not whole yet */
    struct attempts failed; /* whole and bad, from several sources */
};

struct verifier *verifier_new(const struct layout *layout)
{
    struct verifier *self = calloc(1, sizeof *self);
    assert(self);
    self->layout = *layout;
    return self;
}

void verifier_destroy(struct verifier **self_p)
{
    if (!*self_p)
        return;
    free((*self_p)->open.entries);
    free((*self_p)->failed.entries);
    free(*self_p);
    *self_p = NULL;
}

static struct attempt *find(struct attempts *list, uint32_t chunk)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->entries[i].chunk == chunk)
            return &list->entries[i];
    }
    return NULL;
}

static struct attempt *append(struct attempts *list, const struct attempt *attempt)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->entries = realloc(list->entries, list->capacity * sizeof *list->entries);
        assert(list->entries);
    }
    list->entries[list->count] = *attempt;
    return &list->entries[list->count++];
}

static void remove_attempt(struct attempts *list, struct attempt *attempt)
{
    *attempt = list->entries[--list->count];
}

static struct attempt *begin_attempt(struct verifier *self, uint32_t chunk)
{
    struct attempt attempt = {.chunk = chunk};
    uint32_t length = layout_chunk_length(&self->layout, chunk);
    attempt.block_count = (uint8_t)((length + BLOCK_SIZE - 1) / BLOCK_SIZE);
    memset(attempt.sources, NOBODY, sizeof attempt.sources);
    return append(&self->open, &attempt);
}

static bool is_from_one(const struct attempt *attempt)
{
    for (unsigned i = 0; i < attempt->block_count; i++) {
        if (attempt->sources[i] != attempt->sources[0])
            return false;
    }
    return true; /* never GONE: who sent the last block is here */
}

static bool is_whole(const struct attempt *attempt)
{
    for (unsigned i = 0; i < attempt->block_count; i++) {
        if (attempt->sources[i] == NOBODY)
            return false;
    }
    return true;
}

static bool is_good(const struct verifier *self, const struct attempt *attempt, const struct hash *expected)
{
    struct hash hashes[BLOCKS_PER_CHUNK_MAX], joined;
    memcpy(hashes, attempt->hashes, sizeof hashes);
    tree_join(hashes, attempt->block_count, BLOCK_LOG2 - LEAF_LOG2, tree_chunk_height(&self->layout),
              &joined);
    return hash_equal(&joined, expected);
}

/* Who sent other blocks in the failed attempt than those that proved right? */
static uint64_t convict(struct verifier *self, const struct attempt *good)
{
    uint64_t culprits = 0;
    struct attempt *failed;
    while ((failed = find(&self->failed, good->chunk))) {
        for (unsigned i = 0; i < failed->block_count; i++) {
            if (failed->sources[i] < VERIFIER_SOURCES_MAX &&
                !hash_equal(&failed->hashes[i], &good->hashes[i]))
                culprits |= UINT64_C(1) << failed->sources[i];
        }
        remove_attempt(&self->failed, failed);
    }
    return culprits;
}

enum verdict verifier_block(struct verifier *self, uint32_t block, const struct hash *block_hash,
                            uint32_t source, const struct hash *expected, uint64_t *ret_culprits)
{
    assert(source < VERIFIER_SOURCES_MAX);
    unsigned blocks_log2 = self->layout.chunk_log2 - BLOCK_LOG2;
    uint32_t chunk = block >> blocks_log2;
    unsigned position = block & ((1u << blocks_log2) - 1);
    struct attempt *attempt = find(&self->open, chunk);
    if (!attempt)
        attempt = begin_attempt(self, chunk);
    attempt->hashes[position] = *block_hash;
    attempt->sources[position] = (uint8_t)source;
    if (!is_whole(attempt))
        return VERDICT_PENDING;

    struct attempt whole = *attempt;
    remove_attempt(&self->open, attempt);
    if (is_good(self, &whole, expected)) {
        *ret_culprits = convict(self, &whole);
        return VERDICT_GOOD;
    }
    bool is_proven = is_from_one(&whole);
    *ret_culprits = is_proven ? UINT64_C(1) << source : 0;
    if (!is_proven)
        append(&self->failed, &whole);
    return VERDICT_BAD;
}

bool verifier_drop_source(struct verifier *self, uint32_t source, uint32_t *ret_block)
{
    unsigned blocks_log2 = self->layout.chunk_log2 - BLOCK_LOG2;
    for (size_t i = 0; i < self->open.count; i++) {
        struct attempt *attempt = &self->open.entries[i];
        for (unsigned k = 0; k < attempt->block_count; k++) {
            if (attempt->sources[k] != source)
                continue;
            attempt->sources[k] = NOBODY;
            *ret_block = (attempt->chunk << blocks_log2) + k;
            return true;
        }
    }
    return false;
}

static void forget(struct attempts *list, uint32_t source)
{
    for (size_t i = 0; i < list->count; i++) {
        struct attempt *attempt = &list->entries[i];
        for (unsigned k = 0; k < attempt->block_count; k++) {
            if (attempt->sources[k] == source)
                attempt->sources[k] = GONE;
        }
    }
}

void verifier_forget_source(struct verifier *self, uint32_t source)
{
    forget(&self->open, source);
    forget(&self->failed, source);
}
