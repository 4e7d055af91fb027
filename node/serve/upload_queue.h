/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_UPLOAD_QUEUE_H
#define NODE_SERVE_UPLOAD_QUEUE_H

/*
 * What requesters asked for and still wait for, and whose turn it is: deficit round robin by bytes.
 *
 * An upload is queued, then in hand (its reply is being read from disk or lies with the socket), then
 * finished. What is in hand is bounded, in all and for each requester, and nobody starts more than what is
 * left free. Those who take nothing off the socket can still hold everything: upload_queue_stalled() names
 * the worst of them. What starts is paid for by two token buckets, one of all and one of the requester,
 * unless he is exempt.
 */

#include "messages/id.h"
#include "messages/text.h"
#include "node/content/content.h"
#include "node/rate/rate_limit.h"

/* Unanswered READs of one requester; the protocol's minimum, told in HELLO_OK. */
#define UPLOAD_WINDOW_BYTES (16u << 20)

/* The largest READ: one block, the size of the largest buffer. */
#define UPLOAD_READ_BYTES_MAX (1u << 20)

/* Buffers of all requesters together: half of the 64 MiB that a node may take. */
#define UPLOAD_IN_HAND_BYTES_MAX (32u << 20)

/* Who took nothing for this long may have to go when others get nothing: 2 s is a megabyte at 4 Mbit/s. */
#define UPLOAD_STALL_MS 2000

/* Enough to keep a disk and a socket busy. */
#define UPLOAD_REQUESTER_IN_HAND_BYTES_MAX (4u << 20)

/* A window of 4 KiB files; 128 bytes each here, so half a MiB for one requester. */
#define UPLOAD_REQUESTER_COUNT_MAX 4096

/* A queued LIST keeps its prefix of up to 1 KiB; a client pages one after the other. */
#define UPLOAD_REQUESTER_LISTS_MAX 16

/* All requesters: 16 MiB of ours. Above it each still gets the reserve, so that nobody is shut out by others.
 */
#define UPLOAD_COUNT_MAX         131072
#define UPLOAD_REQUESTER_RESERVE 64

enum upload_kind {
    UPLOAD_READ,
    UPLOAD_HASHES,
    UPLOAD_LIST,
};

struct upload {
    uint64_t ticket; /* names it once it is in hand; never reused, never 0 */
    uint32_t route;
    int connection; /* the number by which the owner can end it */
    uint64_t rid;
    bool is_exempt; /* from the rates, and its requester with it */
    enum upload_kind kind;
    uint32_t reply_bytes;   /* 1 .. UPLOAD_READ_BYTES_MAX */
    struct file_id file;    /* READ, HASHES */
    uint64_t offset;        /* READ: of reply_bytes */
    uint32_t first, count;  /* HASHES */
    struct content content; /* READ, HASHES: what disk was asked for; the caller's note once in hand */
    struct text prefix;     /* LIST: the queue keeps its own copy */
    uint64_t cursor;
    uint32_t limit;
};

struct upload_queue;

struct upload_queue *upload_queue_new(void);
void upload_queue_destroy(struct upload_queue **self_p);

enum upload_put_result {
    UPLOAD_QUEUED,
    UPLOAD_OVER_WINDOW, /* the requester has UPLOAD_WINDOW_BYTES of READs unanswered */
    UPLOAD_TOO_MANY,    /* the requester has too many requests waiting */
    UPLOAD_BUSY,        /* all requesters together have */
};

/* Bytes a second, of all and of each requester; 0: no limit. */
void upload_queue_set_rates(struct upload_queue *self, uint64_t all, uint64_t each, uint64_t now_ms);

/* Copies `request`; the ticket is given later. */
enum upload_put_result upload_queue_put(struct upload_queue *self, const struct upload *request);

/* The upload whose turn it is, now in hand and valid until upload_queue_finish(); NULL when none may start
 * now. A READ and HASHES are paid for at once; a LIST by upload_queue_pay(), once its size is known. */
struct upload *upload_queue_next(struct upload_queue *self, uint64_t now_ms);
void upload_queue_pay(struct upload_queue *self, const struct upload *upload, uint64_t bytes);

/* Whether upload_queue_next() left something out for its rate the last time. */
bool upload_queue_is_held(const struct upload_queue *self);

/* When a rate lets something start that waits for nothing else; UINT64_MAX when nothing does. */
uint64_t upload_queue_ready_ms(const struct upload_queue *self);

/* How long the rates may take for what the requester waits for. */
uint64_t upload_queue_wait_ms(const struct upload_queue *self, uint32_t route, uint64_t now_ms);

/* An upload in hand; NULL for any other ticket. */
const struct upload *upload_queue_find(const struct upload_queue *self, uint64_t ticket);

/* False once it was cancelled, answered or its requester dropped: its reply must not be sent. */
bool upload_queue_is_wanted(const struct upload_queue *self, uint64_t ticket);

/* Its reply went to the socket: it no longer counts against the window, and is the requester's to take. */
void upload_queue_answer(struct upload_queue *self, uint64_t ticket, uint64_t now_ms);

/* Its buffer is free again. Unknown tickets are ignored. */
void upload_queue_finish(struct upload_queue *self, uint64_t ticket, uint64_t now_ms);

/* Drops every unanswered upload of this requester with this rid. */
void upload_queue_cancel(struct upload_queue *self, uint32_t route, uint64_t rid);

/* The requester is gone, or may come back with nothing queued: what it has in hand is still counted as its
 * own. */
void upload_queue_drop(struct upload_queue *self, uint32_t route);

/*
 * True, and which, when a requester that has nothing in hand cannot start anything while another has
 * taken nothing off the socket for UPLOAD_STALL_MS. Ask after upload_queue_next() returned NULL.
 */
bool upload_queue_stalled(const struct upload_queue *self, uint64_t now_ms, uint32_t *ret_route,
                          int *ret_connection);

/* True while the requester has anything queued or in hand. */
bool upload_queue_has(const struct upload_queue *self, uint32_t route);

/* Nothing queued and nothing in hand. */
bool upload_queue_is_empty(const struct upload_queue *self);

size_t upload_queue_in_hand_bytes(const struct upload_queue *self);

/* The buffer size that a reply of this many bytes takes: 64 KiB, 256 KiB or 1 MiB. In hand is counted in
 * these. */
uint32_t upload_buffer_bytes(uint32_t reply_bytes);

#endif
