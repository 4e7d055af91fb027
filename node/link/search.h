/* SPDX-License-Identifier: MIT */
#ifndef NODE_LINK_SEARCH_H
#define NODE_LINK_SEARCH_H

/*
 * One search as its asker sees it: when to send SEARCH, and what the replies add up to.
 *
 * FOUND batches are merged by file_id: every name, every node that has the file with its best availability. A
 * broker that refuses by `limit` or `busy` is asked again when it says. The search ends with SEARCH_DONE,
 * with another error, or by itself SEARCH_LATE_MS after `timeout_ms`: whatever a broker does,
 * search_next_deadline_ms() comes.
 *
 * Knows nothing of sockets or of how results look. Memory is bounded against a broker that lies.
 */

#include "messages/message.h"

/* Protocol: a SEARCH yields at most 1000 ids; what a broker sends beyond is left out. */
#define SEARCH_FILES_MAX 1000

/* Protocol: a broker keeps 64 nodes an id, and 8 names of each. More are taken from one that names more, so
 * that dead ones in front do not hide the others. */
#define SEARCH_SOURCES_KEPT 64
#define SEARCH_SOURCES_MAX  256
#define SEARCH_NAMES_MAX    512

/* All names and node names of one search: 16 times what 1000 files with one long name each need. */
#define SEARCH_TEXT_BYTES_MAX (16u << 20)

/* A broker that says "try again in 0 ms" is not asked in a tight loop. */
#define SEARCH_RETRY_MS_MIN 10

/* A broker answers for silent nodes just before the time is up: on a machine that is busy its answer is a
 * little late, and would be taken for no broker at all. */
#define SEARCH_LATE_MS 1500

/* What a broker gathers for, at most (protocol). */
#define SEARCH_DEADLINE_MS_MAX 10000

struct search_terms {
    uint8_t mode; /* enum search_mode */
    struct text text;
    uint64_t min_size, max_size;
    uint32_t limit;
    uint32_t gather_ms; /* how long a broker may gather, at most; 0: nearly until the search gives up */
};

enum search_state {
    SEARCH_RUNNING,
    SEARCH_COMPLETE,   /* the counts are valid */
    SEARCH_REFUSED,    /* by an ERROR: search_error() */
    SEARCH_UNANSWERED, /* nothing came in time: there may be no broker */
    SEARCH_CUT_OFF,    /* results or a refusal came, but no end in time */
};

struct found_source {
    struct source_entry source; /* its name points into the search */
    struct text file_name;      /* what the node calls the file, where it has most of it */
    uint16_t have_permille;     /* the best of all its names */
};

/* Text in it is valid as long as the search. */
struct found_file {
    struct file_entry file; /* the best name; have_permille is the best of all sources */
    const struct text *names;
    size_t name_count; /* at least 1; the best first */
    const struct found_source *sources;
    size_t source_count, complete_count; /* complete ones first */
    bool is_exact;                       /* its whole or base name is the text that was searched for */
};

struct search;

/*
 * Copies the text. `rid` is the first of up to 2^32 that follow it. The search gives up at now_ms +
 * timeout_ms; the broker is told to be done a little earlier, so that its end arrives in time.
 */
struct search *search_new(const struct search_terms *terms, uint64_t rid, uint64_t timeout_ms,
                          uint64_t now_ms);
void search_destroy(struct search **self_p);

/* True when a SEARCH must be sent now; fills it in, its text borrowed from the search. Call after every event
 * and tick. */
bool search_next_send(struct search *self, uint64_t now_ms, struct message *ret_message);

/* A message from the broker. What belongs to another exchange is passed over. */
void search_on_message(struct search *self, const struct message *message, uint64_t now_ms);

void search_tick(struct search *self, uint64_t now_ms);

/* When to call search_tick() next; UINT64_MAX when the search has ended. */
uint64_t search_next_deadline_ms(const struct search *self);

enum search_state search_state(const struct search *self);

/* The counts of SEARCH_DONE; only when complete. `truncated` also when results were left out here. */
struct message_search_done search_counts(const struct search *self);

/* The last ERROR; its code is 0 when there was none. Its text is valid until the next message. */
struct message_error search_error(const struct search *self);

/*
 * Results, best first: exact name, then more complete sources, shorter name, id. Positions and pointers are
 * valid until the next message.
 */
size_t search_count(const struct search *self);
struct found_file search_at(struct search *self, size_t position);

#endif
