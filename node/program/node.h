/* SPDX-License-Identifier: MIT */
#ifndef NODE_PROGRAM_NODE_H
#define NODE_PROGRAM_NODE_H

/*
 * The node that znode runs: its components, the order in which they start and end, and what it tells. All of
 * it lives on the loop's thread.
 */
#include "messages/shell/loop.h"
#include "node/shell/downloads/downloads_offers.h"
#include "node/shell/link/broker_client.h"
#include "node/shell/node_state.h"
#include "node/shell/serve/data_port.h"
#include "node/shell/share/shares.h"
#include "tools/cli/output.h"

struct node {
    struct output *output;
    struct node_state state;
    struct host bound; /* when is_bound_to_one */
    bool is_bound_to_one;
    struct loop *loop;
    struct workers *serving, *hashing, *fetching;
    struct shares *shares;
    struct holdings *holdings;
    struct data_port *port;
    struct partials *partials; /* stands between the data port and the shares */
    struct broker_client *broker;
    struct downloads *downloads; /* NULL until the data port is bound */
    char *download_folder, *temp_folder, *download_list, *pushed_list;
    struct downloads_offers *offers; /* NULL when pushes are off */
    uint64_t failed_push_told_ms;    /* when to tell of the next one that fails */
    uint64_t instance;
    struct console *console;
    bool is_bound; /* the data port; until the broker assigned one, nothing that needs it has started */
    bool is_trouble_with_port_told;
    bool is_ready;
    uint64_t joined_ms;    /* the last time; 0: never */
    struct host seen_host; /* of this node, by the broker */
};

#define NODE_AGENT "znode/" ZSWARM_VERSION

/* Starts what the settings ask for. `output` is set already, everything else zero, and state.lock_fd -1.
 * False after an error that was told; node_stop() then too. */
bool node_start(struct node *self);

/* Its downloads (node_downloads.c): where they land, before it is ready; then, once everything else runs,
 * they themselves. False after an error that was told. Released after the workers have ended. */
bool node_choose_folders(struct node *self);
bool node_start_downloads(struct node *self);
void node_release_downloads(struct node *self);

/* Says BYE and ends; a disk that hangs ends the process. */
void node_stop(struct node *self);

#endif
