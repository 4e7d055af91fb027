/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_EXPLAIN_H
#define TOOLS_GET_EXPLAIN_H

/* Samples a download while it runs and says at the end why it was as fast as it was. */

#include "node/download/bottleneck.h"
#include "node/shell/fetch/fetch.h"
#include "tools/cli/output.h"

struct explain {
    struct bottleneck_tally tally;
    uint64_t sampled_ms, hash_ns, write_ns, cpu_ns;
};

void explain_begin(struct explain *self, uint64_t now_ms);

/* Samples when it is time to; returns when to call again. */
uint64_t explain_sample(struct explain *self, const struct fetch *fetch, uint64_t now_ms);

/* One line, and keys `bound` and `bound_percent` among the figures of `done`. Before the fetch is destroyed.
 */
void explain_print(const struct explain *self, const struct fetch *fetch, struct output *output);

#endif
