/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_LINK_VISIT_H
#define NODE_SHELL_LINK_VISIT_H

/*
 * One question to one node, over a connection of its own that is attached to a loop: which files it has, or
 * one file by name or id. Ends by the answer, by an error, or when nothing new came for the timeout.
 */
#include "messages/message.h"
#include "messages/shell/loop.h"

struct visit_question {
    bool is_list;
    struct text prefix;           /* of a list */
    struct optional_bytes32 file; /* else the file with this id, */
    struct text name;             /* or, without one, of this whole or base name */
};

enum visit_state {
    VISIT_RUNNING,
    VISIT_DONE,        /* all was handed out; nothing when there is no such file */
    VISIT_UNREACHABLE, /* no connection */
    VISIT_UNANSWERED,  /* a connection, but no answer in time */
    VISIT_REFUSED,     /* by an ERROR: visit_error() */
    VISIT_UNSTEADY,    /* the list kept changing: it may not be all */
};

struct visit_events {
    void *owner;
    /* Files of the answer, valid for the call; a list comes in several parts. */
    void (*files)(void *owner, const struct file_entry *files, size_t count);
};

struct visit;

/* Starts connecting; the texts of the question are copied. NULL when there is no room for another socket. */
struct visit *visit_new(struct loop *loop, const struct host *host, uint16_t port,
                        const struct visit_question *question, uint64_t timeout_ms,
                        const struct visit_events *events);

/* Not from within `files`. */
void visit_destroy(struct visit **self_p);

/* Call each round; returns the next deadline, UINT64_MAX when it is over. */
uint64_t visit_tick(struct visit *self, uint64_t now_ms);

enum visit_state visit_state(const struct visit *self);

/* `NAME: TEXT`, by the node's word: escape it. Valid as long as the visit. */
const char *visit_error(const struct visit *self);

#endif
