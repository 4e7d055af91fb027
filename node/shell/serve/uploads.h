/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SERVE_UPLOADS_H
#define NODE_SHELL_SERVE_UPLOADS_H

/*
 * Does what a peer server decides: reads files on workers, into buffers that go to ZeroMQ without a copy. The
 * socket is its owner's: a node's ROUTER (node/shell/serve/data_port.h), or the DEALER of a push, which has
 * one requester at its other end (node/shell/push/push.h).
 */

#include "messages/shell/loop.h"
#include "node/serve/peer_server.h"
#include "node/shell/serve/open_files.h"
#include "node/shell/workers.h"

/* Where bytes come from. All functions are called on the loop's thread, and do not wait for a disk. */
struct content_source {
    void *owner;
    /* Fills in where the file is; what it holds is the uploads'. False with errno when it is gone. */
    bool (*locate)(void *owner, struct content content, struct open_file_place *ret_place);
    /* Copies hashes [first, first + count) of the chunk layer. */
    enum disk_result (*load_hashes)(void *owner, struct content content, uint32_t first, uint32_t count,
                                    struct hash *ret_hashes);
    /* The file on disk is no longer what was hashed. `stamp` is what it is now, NULL when that is not known.
     */
    void (*changed)(void *owner, struct content content, const struct file_stamp *stamp);
};

/* The socket's owner. */
struct uploads_events {
    void *owner;
    void (*cut)(void *owner, int connection); /* end this connection */
    /* Bytes [offset, offset + length) of the file went to the socket. May be NULL. */
    void (*sent)(void *owner, struct content content, uint64_t offset, uint32_t length);
    /* Disk failed, with an errno; the requester is told `internal`. May be NULL. */
    void (*unreadable)(void *owner, struct content content, int error);
    /* PEER_PUSH and PEER_PUSHER_GONE. NULL when the server takes no pushes. */
    void (*push)(void *owner, uint32_t route);
    void (*pusher_gone)(void *owner, uint32_t route);
};

struct uploads;

/* NULL with errno. Loop and workers are borrowed until uploads_stop(). */
struct uploads *uploads_new(struct loop *loop, struct workers *workers, const struct uploads_events *events);

/* Makes the server and begins. The holdings and the texts of the config are borrowed until uploads_stop().
 * False when the loop is full. */
bool uploads_start(struct uploads *self, const struct peer_server_config *config,
                   const struct holdings *holdings, const struct content_source *source);

/* Where replies go from now on; NULL: nowhere, which requesters that are gone do not notice. */
void uploads_set_socket(struct uploads *self, void *socket, bool is_router);

/* Events go straight to the server, with these effects; then uploads_run() does what it asks for. NULL
 * before uploads_start() and after uploads_stop(). */
struct peer_server *uploads_server(struct uploads *self);
struct peer_effects *uploads_effects(struct uploads *self);
void uploads_run(struct uploads *self);

/* A header of a push. A route that is gone is told by pusher_gone() a moment later. */
void uploads_send(struct uploads *self, uint32_t route, const void *bytes, size_t size);

/* A file is about to be removed or renamed: forgets its descriptor. */
void uploads_forget(struct uploads *self, struct content content);

/* Says BYE to all and ends the server. What is being read is dropped when it comes back. */
void uploads_stop(struct uploads *self);

/* Frees it, or has the last read that comes back do so. Messages that are still being sent are not lost. */
void uploads_destroy(struct uploads **self_p);

#endif
