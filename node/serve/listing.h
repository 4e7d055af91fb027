/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_LISTING_H
#define NODE_SERVE_LISTING_H

/*
 * Reading the list of a node's files over the peer link: HELLO, then LIST page by page.
 *
 * A node lists in byte order of name, so what was handed out is known by its last name. When the node's share
 * changes between two pages (another generation) its cursors mean nothing any more: the listing starts again
 * and passes over what was handed out. So no name ever comes twice, whatever the node sends, and only a file
 * that appeared behind our back may be missing.
 *
 * The timeout counts from the last page that brought something new.
 */

#include "messages/message.h"

/* Files of one listing: ten times what a node of ours shares. They are handed out, not kept. */
#define LISTING_FILES_MAX 10000000

/* From so many pages on they must have held so many files each on average: a page has room for hundreds, and
 * one entry at a time would take a day. */
#define LISTING_FREE_PAGES     64
#define LISTING_PAGE_FILES_MIN 16

/* A share that changes faster than it can be paged is not chased for ever. */
#define LISTING_RESTARTS_MAX 16

enum listing_state {
    LISTING_RUNNING,
    LISTING_COMPLETE,
    LISTING_REFUSED,    /* by an ERROR: listing_error() */
    LISTING_UNANSWERED, /* nothing new in time */
    LISTING_UNSTEADY,   /* restarted too often: what was handed out is not all */
    LISTING_ENDLESS,    /* more files than any share has, or hardly any on each page */
};

struct listing;

/* Copies the prefix. `rid` is the first of those that follow it; `instance` goes into HELLO. */
struct listing *listing_new(struct text prefix, uint64_t rid, uint64_t instance, uint64_t timeout_ms,
                            uint64_t now_ms);
void listing_destroy(struct listing **self_p);

/* True when a message must be sent now; it borrows from the listing. Call after every event. */
bool listing_next_send(struct listing *self, struct message *ret_message);

/*
 * A message from the node. Of a LIST_OK only the files to hand out now are left in it. True when there
 * are any; they are valid as long as the message.
 */
bool listing_on_message(struct listing *self, struct message *message, uint64_t now_ms);

void listing_tick(struct listing *self, uint64_t now_ms);

/* When to call listing_tick() next; UINT64_MAX at the end. */
uint64_t listing_next_deadline_ms(const struct listing *self);

enum listing_state listing_state(const struct listing *self);

/* The ERROR that ended it; its text is valid as long as the listing. */
struct message_error listing_error(const struct listing *self);

#endif
