/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_PICKER_H
#define NODE_DOWNLOAD_PICKER_H

/*
 * Which part of a file to ask for next.
 *
 * The file is cut into units: a chunk, or a block of it when chunks are larger than a block. A run is what
 * one READ asks for: consecutive units within one aligned block. Rarest first among the chunks that partial
 * sources hold (Cohen's BitTorrent, 2003), ties broken at random so that downloaders of one file fetch
 * different parts. When every source is complete, in order from a place that the seed chooses; when asked
 * to, in order from the beginning. A chunk that was begun is finished first.
 */

#include "node/content/chunk_map.h"
#include "node/content/layout.h"

struct run {
    uint32_t unit, unit_count; /* [unit, unit + unit_count) */
    uint64_t offset;
    uint32_t length; /* bytes, at most BLOCK_SIZE */
};

struct picker;

struct picker *picker_new(const struct layout *layout, bool is_in_order, uint64_t seed);
void picker_destroy(struct picker **self_p);

/* Chunk `index` is verified and saved, now or by an earlier run. */
void picker_have(struct picker *self, uint32_t index);

/* A partial source came to hold a chunk, or holds it no longer. */
void picker_available(struct picker *self, uint32_t chunk);
void picker_unavailable(struct picker *self, uint32_t chunk);
void picker_set_partial_sources(struct picker *self, uint32_t count);

/* Who is to be asked. */
struct asker {
    uint32_t source;
    const struct chunk_map *chunks; /* NULL: it holds all */
    uint32_t begun_chunk;           /* a large chunk that it began, or UINT32_MAX */
    uint32_t length_max;            /* bytes; a run has at least one unit all the same */
};

/* The next run for a source. False when it holds nothing that is missing, unasked and open to it. */
bool picker_pick(struct picker *self, const struct asker *asker, struct run *ret_run);

/* Keep a chunk for one source (it must be fetched from a single one), or open it to all again. */
void picker_reserve(struct picker *self, uint32_t chunk, uint32_t source);
void picker_unreserve(struct picker *self, uint32_t chunk);
void picker_unreserve_source(struct picker *self, uint32_t source);      /* all that is kept for it */
uint32_t picker_reserved_for(const struct picker *self, uint32_t chunk); /* UINT32_MAX: nobody */

/* A run was asked for; asked for no longer; came in (until picker_have or picker_missing). */
void picker_asked(struct picker *self, const struct run *run);
void picker_unasked(struct picker *self, const struct run *run);
void picker_arrived(struct picker *self, const struct run *run);

/* What came in was bad or is lost: fetch it again. */
void picker_missing(struct picker *self, const struct run *run);

/* True when any unit of the run still has to come. */
bool picker_is_wanted(const struct picker *self, const struct run *run);

/* Of how many sources the first unit of the run is asked now. */
unsigned picker_asked_count(const struct picker *self, const struct run *run);

/* Units that nobody was asked for and that have not come. */
uint32_t picker_missing_count(const struct picker *self);

uint32_t picker_chunk_of_unit(const struct picker *self, uint32_t unit);
uint32_t picker_units_per_chunk(const struct picker *self);
struct run picker_chunk_run(const struct picker *self, uint32_t chunk);
struct run picker_unit_run(const struct picker *self, uint32_t unit, uint32_t unit_count);

#endif
