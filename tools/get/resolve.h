/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_RESOLVE_H
#define TOOLS_GET_RESOLVE_H

/*
 * From what a person typed, a name or an id, to one file and the nodes that have it: asks the broker, or the
 * nodes that were named.
 */
#include "messages/message.h"
#include "node/shell/fetch/file_attributes.h"
#include "tools/cli/endpoint.h"
#include "tools/cli/output.h"

/* Four times what a download uses at once: the others get a turn when some have left. */
#define TARGET_SOURCES_MAX 256

/* Nodes named by hand. */
#define TARGET_NODES_MAX 256

struct target_source {
    struct optional_node_id node;
    struct host host;
    uint16_t port;
};

struct target {
    struct file_id id;
    struct hash root;
    uint64_t size;
    char name[1025]; /* NAME_SIZE_MAX and the NUL */
    struct file_attributes attributes;
    struct target_source sources[TARGET_SOURCES_MAX];
    size_t source_count;
};

/*
 * `text` with 8 to 64 hex digits is tried as an id first, else it is a name, exact. True with one file; else
 * the reason was told and the exit code set.
 */
bool resolve_by_broker(struct output *output, const struct endpoint *broker, uint64_t timeout_ms,
                       const char *text, struct target *ret_target);
bool resolve_by_nodes(struct output *output, const struct endpoint *nodes, size_t node_count,
                      uint64_t timeout_ms, const char *text, struct target *ret_target);

/* FOUNDs are gathered for this long: as zsearch does by default. */
#define RESOLVE_SEARCH_MS 2000

/* How long to wait for the end of a search: a broker that is busy is late, and waited for like everything
 * else. */
uint64_t resolve_patience_ms(uint64_t timeout_ms);

/* What to do when nobody has it and not all could say no. */
void resolve_hint_unproven(struct output *output);

/* One search over a link to the broker. False after an error that was told. */
struct link;
struct search;
bool resolve_search(struct link *link, struct search *search);

#endif
