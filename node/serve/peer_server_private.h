/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_PEER_SERVER_PRIVATE_H
#define NODE_SERVE_PEER_SERVER_PRIVATE_H

/* What the parts of the peer server share: peer_server.c (sessions, and what a message deserves before it is
 * understood), peer_requests.c (what is asked) and peer_uploads.c (replies that weigh). */

#include "messages/table.h"
#include "node/rate/rate_limit.h"
#include "node/serve/list_cursor.h"
#include "node/serve/peer_server.h"
#include "node/serve/upload_queue.h"

#include <assert.h>

/* Array headers, version, kind, rid, and the numbers or the id around the FILEs or hashes of a reply. */
#define REPLY_OVERHEAD_BYTES 128

struct follow {
    struct file_id file;
    uint64_t rid;
};

struct session {
    uint32_t route;
    int connection;
    uint64_t last_seen_ms;
    struct list_cursors cursors;
    struct follow *follows; /* room for PEER_FOLLOWS_MAX; NULL until the first */
    size_t follow_count;
    bool is_exempt;  /* from the rates */
    bool is_pushing; /* it made an OFFER that may stand: replies and the end are of interest */
    UT_hash_handle hh;
};

struct peer_server {
    struct peer_server_config config;
    const struct holdings *holdings;
    struct upload_queue *queue;
    struct session *sessions; /* least recently seen first */
    struct peer_server_figures figures;
    uint64_t now_ms; /* of the last event that told the time */
};

struct peer_request {
    struct session *session;
    const struct message *message;
    struct peer_effects *effects;
};

struct session *peer_server_session(const struct peer_server *self, uint32_t route);
void peer_server_refuse(struct peer_server *self, struct peer_effects *effects, uint32_t route, uint64_t rid,
                        enum error_code code, const char *text, uint32_t retry_ms);

/* A request of a session, other than HELLO. */
void peer_server_on_request(struct peer_server *self, const struct peer_request *request);

/* The file of a request; answers for itself when it cannot be given. */
bool peer_server_find_file(struct peer_server *self, struct peer_effects *effects, uint32_t route,
                           uint64_t rid, const struct file_id *id, struct holding *ret_holding);

/* Starts all uploads that may start now. */
void peer_server_pump(struct peer_server *self, struct peer_effects *effects);

/* Ends a connection, and forgets the route if it has a session (it may have said BYE). */
void peer_server_disconnect(struct peer_server *self, uint32_t route, int connection,
                            struct peer_effects *effects);

#endif
