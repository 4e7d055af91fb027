/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

/* What zget tells of one file: JSON events, or a bar on a terminal and lines for people. */

#include "node/download.h"
#include "tools/cli/output.h"

struct progress_file {
    struct file_id id;
    struct hash root;
    uint64_t size;
    const char *wire_name;     /* unescaped */
    const char *folder, *name; /* NULL both for stdout */
};

struct progress;

/* The file's strings are borrowed. */
struct progress *progress_new(struct output *output, const struct progress_file *file, bool is_quiet);
void progress_destroy(struct progress **self_p);

/* The target was there already: no traffic. */
void progress_same(struct progress *self);

void progress_start(struct progress *self, const struct layout *layout, uint64_t saved_bytes,
                    uint64_t now_ms);

/* A source has a new state. */
void progress_source(struct progress *self, const struct download_source *source);

/* At most 4 times a second; returns when to call again. */
uint64_t progress_show(struct progress *self, const struct download_progress *figures, uint64_t now_ms);

/* What one source gave in all; those that gave nothing are left out. Then progress_end(). */
void progress_total(struct progress *self, const struct download_source *source);
void progress_end(struct progress *self, const struct download_progress *figures, bool is_complete,
                  uint64_t now_ms);

#endif
