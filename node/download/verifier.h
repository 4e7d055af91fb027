/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_VERIFIER_H
#define NODE_DOWNLOAD_VERIFIER_H

/*
 * Checks chunks that are larger than a block: collects the hashes of their blocks and, when a chunk is whole,
 * compares it with the chunk layer. A bad chunk from one source convicts it. A bad chunk from several
 * convicts none yet: the chunk is fetched again from one source, and when it passes, those whose blocks
 * differed are convicted (libtorrent's "smart ban").
 */

#include "messages/id.h"
#include "node/content/layout.h"

/* Sources are told apart by a bit in a 64-bit mask. */
#define VERIFIER_SOURCES_MAX 64

#define BLOCKS_PER_CHUNK_MAX 4

enum verdict {
    VERDICT_PENDING, /* blocks are missing */
    VERDICT_GOOD,
    VERDICT_BAD, /* fetch the chunk again; from one source if there are no culprits */
};

struct verifier;

struct verifier *verifier_new(const struct layout *layout);
void verifier_destroy(struct verifier **self_p);

/*
 * Block `block` of the file came from `source` and has this subtree hash. `expected` is its chunk's hash.
 * *ret_culprits gets a bit for each source that is proven to have sent wrong bytes; it can be set with
 * VERDICT_GOOD too.
 */
enum verdict verifier_block(struct verifier *self, uint32_t block, const struct hash *block_hash,
                            uint32_t source, const struct hash *expected, uint64_t *ret_culprits);

/* Forget what a source sent to a chunk that is not whole: true when there was anything to fetch again, for
 * the caller to call until false. */
bool verifier_drop_source(struct verifier *self, uint32_t source, uint32_t *ret_block);

/* The slot number will be another source's from now on: it must not answer for what came before. */
void verifier_forget_source(struct verifier *self, uint32_t source);

#endif
