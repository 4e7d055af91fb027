/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_PUSH_PUSH_H
#define NODE_SHELL_PUSH_PUSH_H

/*
 * Pushes files to one node, one after another over one connection: offers a file and serves what the node
 * asks for, until it has said that the file is stored. All decisions are the pusher core's
 * (node/push/pusher.h).
 *
 * A file is hashed first. What is offered is a complete file, or an unfinished download: its partial file,
 * named itself or by its target; then only chunks that are verified anew are offered. A file that changes
 * while it is pushed ends that push.
 */
#include "messages/message.h"
#include "messages/shell/loop.h"
#include "node/shell/workers.h"

enum push_state {
    PUSH_IDLE,    /* nothing was asked for yet */
    PUSH_HASHING, /* hashed_bytes of size_bytes so far */
    PUSH_RUNNING, /* connecting, offering, or being asked */
    PUSH_STORED,  /* the node has the file: `stored` is the name it got there */
    PUSH_SAVED,   /* only a part was offered, and the node has that part */
    PUSH_FAILED,  /* this file cannot be pushed, or not there: `reason`; the same again would fail again */
    PUSH_GONE,    /* the node did not answer, or not any more: `reason`; the same again goes on */
};

/* Chunks are counted in those of the whole file. Strings are valid until the loop goes on. */
struct push_report {
    enum push_state state;
    const char *name;  /* as it is offered; NULL before that is known */
    struct file_id id; /* from PUSH_RUNNING on, like all counts */
    uint64_t size_bytes, hashed_bytes, offered_bytes;
    uint32_t chunk_count, offered_count;
    bool is_accepted;       /* the node told what it lacks: */
    uint32_t missing_count; /* so many chunks of the file */
    uint32_t sent_count;    /* of which at least a part was sent */
    uint32_t saved_count;   /* that the node confirmed since, whoever sent them */
    uint64_t saved_bytes, sent_bytes;
    const char *stored; /* by the node's word: escape it; NULL when there is no such name */
    const char *reason; /* one line, what went wrong and the cure; escape it. NULL unless it failed */
};

/* Borrowed, all of it, until the push is closed. */
struct push_config {
    struct loop *loop;
    struct workers *workers;
    struct host host; /* of the node, and its data port */
    uint16_t port;
    struct optional_node_id expected_node; /* absent: whoever is there */
    struct optional_node_id node;          /* ours; absent for a program that is no node */
    uint64_t instance;
    const char *node_name, *agent;
    uint64_t up_rate;    /* bytes a second; 0: no limit */
    uint64_t timeout_ms; /* without progress */
    void *owner;
    /* One file is over, well or not: push_report(). Another may be pushed, or the push closed, from here. */
    void (*ended)(void *owner);
};

struct push;

/* Starts connecting. NULL with errno when there is no room for another socket. */
struct push *push_new(const struct push_config *config);

/*
 * Pushes one file; its end comes as an event, never from within this call. Not while another is under way.
 * `chunks` is NULL for all, or those to offer; outside the file they are an error.
 */
void push_file(struct push *self, const char *path, const struct chunk_range *chunks);

/* Withdraws the offer, says BYE and ends: no events any more. What runs on the workers comes back later, at
 * the latest in workers_destroy(). Accepts NULL. */
void push_close(struct push **self_p);

struct push_report push_report(const struct push *self);

#endif
