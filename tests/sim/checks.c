/* SPDX-License-Identifier: MIT */
#include "tests/sim/swarm_private.h"

/* A few for each source and one or two for each READ; far below the core's own bound. */
#define EFFECTS_EXPECTED_MAX 2400

/* Ours and the protocol's: unanswered bytes that one source is asked for. */
#define WINDOW_BYTES (16u << 20)

void check_broken(struct swarm *self, const char *what)
{
    if (self->outcome.broken)
        return;
    self->outcome.broken = what;
    self->outcome.broken_at_ms = swarm_now_ms(self);
}

void check_read(struct swarm *self, uint32_t download, uint32_t source, const struct message *message)
{
    struct client *client = &self->clients[download];
    struct link *link = &client->links[source];
    const struct message_range *range = &message->read;
    const struct layout *layout = &self->content.layout;
    if (!link->is_open)
        check_broken(self, "a READ before OPEN was answered");
    if (range->length == 0 || range->offset >= layout->size || range->length > layout->size - range->offset)
        check_broken(self, "a READ outside the file");
    else if (range->length > BLOCK_SIZE ||
             range->offset >> BLOCK_LOG2 != (range->offset + range->length - 1) >> BLOCK_LOG2)
        check_broken(self, "a READ over the end of a block");
    if (link->asked_count == READS_TRACKED_MAX) {
        check_broken(self, "more READs than slots");
        return;
    }
    link->asked[link->asked_count].rid = message->rid;
    link->asked[link->asked_count++].length = range->length;
    link->asked_bytes += range->length;
    if (link->asked_bytes > WINDOW_BYTES)
        check_broken(self, "more asked of a source than its window");
}

void check_answered(struct link *link, uint64_t rid)
{
    for (size_t i = 0; i < link->asked_count; i++) {
        if (link->asked[i].rid != rid)
            continue;
        link->asked_bytes -= link->asked[i].length;
        link->asked[i] = link->asked[--link->asked_count];
        return;
    }
}

void check_written(struct client *client, const struct run *run, uint32_t wrong_cell)
{
    uint32_t first = (uint32_t)(run->offset >> CELL_LOG2);
    uint32_t end = (uint32_t)((run->offset + run->length + CELL_SIZE - 1) >> CELL_LOG2);
    for (uint32_t i = first; i < end; i++)
        client->cells[i] = i == wrong_cell ? CELL_WRONG : CELL_RIGHT;
}

void check_saved(struct swarm *self, uint32_t download, uint32_t chunk)
{
    struct client *client = &self->clients[download];
    if (client->saved[chunk]++)
        check_broken(self, "a chunk saved twice");
    unsigned log2 = self->content.layout.chunk_log2 - CELL_LOG2;
    for (uint32_t i = chunk << log2; i < (chunk + 1) << log2 && i < self->content.cell_count; i++) {
        if (client->cells[i] != CELL_RIGHT)
            check_broken(self, "a chunk saved whose bytes are not right");
    }
}

void check_source(struct swarm *self, uint32_t download, uint32_t slot)
{
    const struct client *client = &self->clients[download];
    struct download_source source = download_source_at(client->download, slot);
    const struct source_script *script = &self->script.sources[client->server_of_slot[slot]];
    if (source.state == SOURCE_BANNED && script_is_honest(script))
        check_broken(self, "an honest source banned");
    if ((source.state == SOURCE_BANNED || source.state == SOURCE_LEFT) && source.reason[0] == '\0')
        check_broken(self, "a source that ended without a reason");
}

void check_all(struct swarm *self, uint32_t download)
{
    const struct client *client = &self->clients[download];
    uint64_t asked_bytes = 0, told_bytes = 0;
    for (uint32_t i = 0; i < self->script.source_count; i++)
        asked_bytes += client->links[i].asked_bytes;
    for (uint32_t i = 0; i < DOWNLOAD_SOURCES_MAX; i++)
        told_bytes += download_source_at(client->download, i).inflight_bytes;
    if (asked_bytes != told_bytes && !client->is_over)
        check_broken(self, "bytes in flight are miscounted");
    uint64_t budget = self->script.budget_bytes ? self->script.budget_bytes : DOWNLOAD_BUDGET_BYTES;
    if (asked_bytes + client->processing_bytes > budget)
        check_broken(self, "more in flight and not yet written than the budget");
    if (self->effects.count > EFFECTS_EXPECTED_MAX)
        check_broken(self, "more effects of one event than expected");
    if (self->effects.count > self->outcome.effects_max)
        self->outcome.effects_max = self->effects.count;
    struct download_progress progress = download_progress(client->download);
    if (progress.wasted_bytes > progress.received_bytes)
        check_broken(self, "more wasted than received");
}
