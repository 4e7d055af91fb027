/* SPDX-License-Identifier: MIT */
#include "tools/get/gather.h"

#include "messages/name.h"
#include "node/link/search.h"
#include "tools/get/gather_private.h"
#include "tools/get/resolve.h"
#include "tools/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Protocol: at most so many names of one node and file are kept in a search. */
#define FOUND_NAMES_MAX 8

/* Refused names that are told one by one; a screenful. */
#define TOLD_MAX 10

uint16_t gather_add_node(struct gather *self, const struct optional_node_id *node, const struct host *host,
                         uint16_t port)
{
    struct gathered *result = self->result;
    for (size_t i = 0; i < result->node_count; i++) {
        const struct target_source *known = &result->nodes[i];
        bool is_same_node =
            node->is_present && known->node.is_present && node_id_equal(&node->id, &known->node.id);
        if (is_same_node || (host_equal(host, &known->host) && port == known->port))
            return (uint16_t)i;
    }
    if (result->node_count == GATHER_NODES_MAX) {
        result->is_cut = true;
        return GATHER_NODES_MAX;
    }
    result->nodes[result->node_count] = (struct target_source){*node, *host, port};
    return (uint16_t)result->node_count++;
}

static void refuse(struct gather *self, struct text name, const char *why)
{
    if (self->result->refused_count++ < TOLD_MAX)
        output_error(self->output, "%.*s: %s", (int)name.size, name.bytes, why);
    output_exit(self->output, EXIT_ERROR);
}

bool gather_add_file(struct gather *self, const struct file_entry *file, struct text name, uint16_t node)
{
    switch (selection_look(self->selection, name)) {
    case SELECTION_UNWANTED:
        self->has_left_out = self->takes_found || !selection_is_glob(self->selection);
        return true;
    case SELECTION_HIDDEN:
        refuse(self, name, "would be hidden: fetch it by its own name");
        return true;
    case SELECTION_LONG:
        refuse(self, name, "a part of the name is too long for a folder");
        return true;
    case SELECTION_WANTED:
        break;
    }
    return node == GATHER_NODES_MAX || catalogue_add(self->result->catalogue, file, name, node);
}

/* Everything that a search found, by all its names. */
static bool take_found(struct gather *self, struct search *search)
{
    for (size_t i = 0; i < search_count(search); i++) {
        struct found_file found = search_at(search, i);
        for (size_t k = 0; k < found.source_count; k++) {
            const struct source_entry *source = &found.sources[k].source;
            uint16_t node = gather_add_node(self, &(struct optional_node_id){true, source->node},
                                            &source->host, source->port);
            for (size_t n = 0; self->takes_found && n < found.name_count; n++) {
                if (!gather_add_file(self, &found.file, found.names[n], node))
                    return false;
            }
        }
    }
    return true;
}

/* A broker keeps only so many names of one file, and nodes that have it; the rest may be in lists only. */
static bool has_all_names(struct search *search)
{
    for (size_t i = 0; i < search_count(search); i++) {
        struct found_file found = search_at(search, i);
        if (found.name_count >= FOUND_NAMES_MAX || found.source_count >= SEARCH_SOURCES_KEPT)
            return false;
    }
    return true;
}

/* Where the folder that was meant may be: the way to the first like-named one. */
static void keep_hint(struct gather *self, struct search *search)
{
    size_t size = strlen(self->text);
    for (size_t i = 0; i < search_count(search) && !self->hint[0]; i++) {
        struct text name = search_at(search, i).file.name;
        const char *at = memmem(name.bytes, name.size, self->text, size);
        if (at > name.bytes && at[-1] == '/')
            snprintf(self->hint, sizeof self->hint, "%.*s", (int)((size_t)(at - name.bytes) + size),
                     name.bytes);
    }
}

static bool add_peer(void *owner, const struct peer_entry *peer)
{
    struct gather *self = owner;
    const struct source_entry *source = &peer->source;
    gather_add_node(self, &(struct optional_node_id){true, source->node}, &source->host, source->port);
    return !self->result->is_cut;
}

static bool search_nodes(struct gather *self, const struct endpoint *broker)
{
    struct search_terms terms = {.mode = selection_is_glob(self->selection) ? MODE_GLOB : MODE_WORDS,
                                 .text = text_of(self->text),
                                 .limit = SEARCH_FILES_MAX,
                                 .gather_ms = RESOLVE_SEARCH_MS};
    uint64_t patience_ms = resolve_patience_ms(self->timeout_ms);
    struct search *search = search_new(&terms, random_u64() >> 32, patience_ms, clock_now_ms());
    struct link link;
    bool is_done = link_open(&link, self->output, SOCKET_BROKER_CLIENT, broker, self->timeout_ms) &&
                   resolve_search(&link, search);
    if (is_done) {
        struct message_search_done counts = search_counts(search);
        self->counts = counts;
        self->has_counts = true;
        self->takes_found = selection_is_glob(self->selection) && !counts.truncated && has_all_names(search);
        self->result->silent_count = counts.silent;
        is_done = take_found(self, search);
        if (!is_done)
            gather_report_full(self);
        keep_hint(self, search);
        if (is_done && !self->takes_found && counts.positive > self->result->node_count)
            is_done = link_list_peers(&link, add_peer, self); /* all, for the search did not name all */
    }
    link_close(&link);
    search_destroy(&search);
    return is_done;
}

static void add_named_nodes(struct gather *self, const struct endpoint *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct address_list addresses;
        const char *problem = endpoint_resolve(&nodes[i], self->timeout_ms, &addresses);
        if (problem) {
            output_note(self->output, "cannot find the node %s: %s", nodes[i].host, problem);
            self->result->silent_count++;
            continue;
        }
        struct address address = address_choose(&addresses, GATHER_CONNECT_MS_MAX);
        gather_add_node(self, &(struct optional_node_id){.is_present = false}, &address.host, address.port);
    }
}

void gather_report_full(struct gather *self)
{
    output_error(self->output,
                 "'%s' has more than %d files: fetch one part after the other, with --include or a folder "
                 "further down",
                 self->text, CATALOGUE_FILES_MAX);
}

bool gather_files(struct transfers *transfers, struct output *output, const struct gather_config *config,
                  const struct selection *selection, const char *text, struct gathered *ret_gathered)
{
    struct gather *self = calloc(1, sizeof *self);
    assert(self);
    *ret_gathered = (struct gathered){.catalogue = catalogue_new(random_u64())};
    self->transfers = transfers;
    self->output = output;
    self->selection = selection;
    self->text = text;
    self->timeout_ms = config->timeout_ms;
    self->result = ret_gathered;
    bool is_done = true;
    if (config->node_count > 0)
        add_named_nodes(self, config->nodes, config->node_count);
    else
        is_done = search_nodes(self, config->broker);
    if (is_done && !self->takes_found)
        is_done = gather_lists(self);
    if (self->result->refused_count > TOLD_MAX)
        output_note(output, "and %zu more that cannot be used", self->result->refused_count - TOLD_MAX);
    catalogue_sort(ret_gathered->catalogue);
    if (is_done && catalogue_count(ret_gathered->catalogue) == 0 && ret_gathered->refused_count == 0)
        gather_report_missing(self);
    free(self);
    return is_done;
}

void gathered_release(struct gathered *self)
{
    catalogue_destroy(&self->catalogue);
}

void gather_report_missing(struct gather *self)
{
    bool is_proven = self->result->silent_count == 0 && !self->result->is_cut;
    output_exit(self->output, is_proven ? EXIT_NOT_FOUND : EXIT_INCOMPLETE);
    if (self->has_counts)
        output_reason(self->output,
                      "'%s' not found: asked %u, positive %u, negative %u, silent %zu, skipped %u",
                      self->text, self->counts.asked, self->counts.positive, self->counts.negative,
                      self->result->silent_count, self->counts.skipped);
    else
        output_reason(self->output, "'%s' not found: asked %zu, silent %zu", self->text,
                      self->result->node_count, self->result->silent_count);
    if (self->has_left_out)
        output_note(self->output, "it is there, but --include and --exclude leave none of its files");
    else if (self->hint[0])
        output_note(self->output, "there is %s", self->hint);
    else if (!is_proven)
        resolve_hint_unproven(self->output);
}
