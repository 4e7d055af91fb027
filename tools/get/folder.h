/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_FOLDER_H
#define TOOLS_GET_FOLDER_H

/*
 * Fetches a tree, `NAME/` or the files that a glob matches, under the names by which they are shared: what is
 * there already is left alone, small files come as a stream from all nodes, larger ones one after another.
 */
#include "tools/cli/options.h"
#include "tools/get/gather.h"
#include "tools/get/transfer.h"

struct folder_config {
    struct gather_config gather;
    const struct option_texts *includes, *excludes;
    const struct transfer_options *transfer; /* the same as that of the transfers */
};

/* Returns when it ended; the exit code is in the output. */
void folder_fetch(struct transfers *transfers, struct output *output, const struct folder_config *config,
                  const char *text);

#endif
