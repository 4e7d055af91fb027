/* SPDX-License-Identifier: MIT */
#include "node/shell/fetch/bundle_fetch.h"
#include "tools/get/folder_private.h"

#include <stdlib.h>
#include <string.h>

struct stream {
    struct folder *folder;
    struct bundle_fetch *fetch;
    uint32_t source_count;
    bool is_ended;
    enum bundle_fetch_outcome outcome;
    int error_number;
};

static struct catalogue_file *file_at(const struct stream *self, uint32_t number)
{
    return catalogue_at(self->folder->gathered.catalogue, number);
}

static void describe(void *owner, uint32_t number, struct landing_file *ret_file)
{
    folder_describe(file_at(owner, number), ret_file);
}

static void on_source(void *owner, uint32_t source)
{
    struct stream *self = owner;
    struct download_source about = bundle_fetch_source_at(self->fetch, source);
    progress_tell_source(self->folder->output, self->folder->tally.bar, &about,
                         self->folder->config->transfer->is_quiet);
}

static void on_file(void *owner, uint32_t number, enum bundle_fetch_file result, int error_number)
{
    struct stream *self = owner;
    struct catalogue_file *file = file_at(self, number);
    switch (result) {
    case BUNDLE_FETCH_PUBLISHED:
        folder_done(self->folder, file, file->state == FILE_WRITTEN ? 0 : file->size, clock_now_ms());
        break;
    case BUNDLE_FETCH_EXISTS:
        folder_refuse(self->folder, file,
                      "was made by another program meanwhile: move it away and run zget again");
        break;
    case BUNDLE_FETCH_UNWRITTEN:
        folder_refuse(self->folder, file, strerror(error_number));
        break;
    case BUNDLE_FETCH_LOST: /* it stays missing; others of the nodes may have it */
        break;
    }
}

static void on_done(void *owner, enum bundle_fetch_outcome outcome, int error_number)
{
    struct stream *self = owner;
    self->is_ended = true;
    self->outcome = outcome;
    self->error_number = error_number;
    loop_stop(transfers_loop(self->folder->transfers));
}

static uint64_t show(void *owner, uint64_t now_ms)
{
    struct stream *self = owner;
    struct bundle_progress progress = bundle_fetch_progress(self->fetch);
    /* What is told as done lags behind what is stored by a sync; the bar need not. */
    struct bar_figures figures = {
        self->folder->streamed_base_bytes + progress.download.saved_bytes,
        self->folder->tally.wasted_bytes + progress.download.wasted_bytes,
        progress.download.ready_sources,
    };
    return bar_show(self->folder->tally.bar, &figures, now_ms);
}

/* The nodes of one round, and the files that they have. Files without any of them wait for another round. */
static size_t add_round(struct stream *self, size_t first_node)
{
    struct gathered *gathered = &self->folder->gathered;
    uint32_t slots[BUNDLE_SOURCES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < BUNDLE_SOURCES_MAX && first_node + i < gathered->node_count; i++) {
        const struct target_source *node = &gathered->nodes[first_node + i];
        slots[i] = bundle_fetch_add_source(self->fetch, &node->node, &node->host, node->port);
        self->source_count += slots[i] != UINT32_MAX;
    }
    for (size_t number = 0; number < catalogue_count(gathered->catalogue); number++) {
        const struct catalogue_file *file = catalogue_at(gathered->catalogue, number);
        uint64_t mask = 0;
        if (!folder_is_small(file) || (file->state != FILE_MISSING && file->state != FILE_WRITTEN))
            continue;
        for (unsigned k = 0; k < file->source_count; k++) {
            size_t index = (size_t)file->sources[k] - first_node;
            if (file->sources[k] >= first_node && index < BUNDLE_SOURCES_MAX && slots[index] != UINT32_MAX)
                mask |= UINT64_C(1) << slots[index];
        }
        if (file->state == FILE_WRITTEN)
            bundle_fetch_add_written(self->fetch, (uint32_t)number);
        else if (mask || file->size == 0)
            bundle_fetch_add_file(self->fetch, (uint32_t)number, mask);
        else
            continue;
        count++;
    }
    return count;
}

static void add_up(struct stream *self)
{
    struct folder *folder = self->folder;
    struct bundle_progress progress = bundle_fetch_progress(self->fetch);
    folder->tally.received_bytes += progress.download.received_bytes;
    folder->tally.wasted_bytes += progress.download.wasted_bytes;
    unsigned count = 0;
    for (uint32_t i = 0; i < self->source_count; i++)
        count += bundle_fetch_source_at(self->fetch, i).received_bytes > 0;
    if (count > folder->tally.source_count)
        folder->tally.source_count = count;
    progress_count(folder->output, 0, 0, progress.download.received_bytes, progress.download.wasted_bytes);
}

static void tell_outcome(struct stream *self)
{
    struct folder *folder = self->folder;
    if (!self->is_ended)
        return; /* interrupted: told for the whole tree */
    if (self->outcome == BUNDLE_FETCH_TIMED_OUT) {
        output_exit(folder->output, EXIT_INCOMPLETE);
        output_reason(folder->output, "%s: nothing came for %llu s; the same command goes on", folder->text,
                      (unsigned long long)(folder->config->transfer->timeout_ms + 999) / 1000);
    } else if (self->outcome == BUNDLE_FETCH_DISK_FAILED) {
        output_error(folder->output, "cannot write in %s: %s; what came is kept", folder->root,
                     strerror(self->error_number));
    }
}

static bool run_round(struct folder *folder, size_t first_node)
{
    struct stream self = {.folder = folder};
    struct loop *loop = transfers_loop(folder->transfers);
    struct bundle_fetch_config config = {
        .bundle = {.timeout_ms = folder->config->transfer->timeout_ms,
                   .down_rate = folder->config->transfer->down_rate,
                   .instance = random_u64(),
                   .agent = "zget/" ZSWARM_VERSION},
        .root_fd = folder->root_fd,
        .must_replace = folder->config->transfer->must_replace,
    };
    struct bundle_fetch_events events = {&self, describe, on_source, on_file, on_done};
    self.fetch = bundle_fetch_new(loop, transfers_workers(folder->transfers), &config, &events);
    folder->streamed_base_bytes = folder->tally.saved_bytes;
    bool may_go_on = true;
    if (add_round(&self, first_node) > 0) {
        loop_add_ticker(loop, show, &self);
        bundle_fetch_start(self.fetch);
        may_go_on = self.is_ended || transfers_run(folder->transfers);
        loop_remove_ticker(loop, &self);
        add_up(&self);
        tell_outcome(&self);
        may_go_on = may_go_on && self.outcome == BUNDLE_FETCH_ENDED;
    }
    bundle_fetch_stop(self.fetch);
    while (!bundle_fetch_is_idle(self.fetch))
        transfers_rest(folder->transfers);
    bundle_fetch_destroy(&self.fetch);
    return may_go_on;
}

bool folder_stream(struct folder *self)
{
    size_t first_node = 0;
    do {
        if (!run_round(self, first_node))
            return false;
        first_node += BUNDLE_SOURCES_MAX;
    } while (first_node < self->gathered.node_count);
    return true;
}
