/* SPDX-License-Identifier: MIT */
#ifndef NODE_DOWNLOAD_DOWNLOAD_LIST_H
#define NODE_DOWNLOAD_DOWNLOAD_LIST_H

/*
 * The downloads of a node as a person sees them: which there are, which run, and whose turn is next. Pure:
 * it knows neither fetch nor file.
 *
 * A download takes a slot from download_list_start() until download_list_stopped(), which may come after it
 * was paused, failed or taken off the list. Those that wait start in the order in which they came. One that
 * has no source keeps its slot, for one may come, unless others wait: then it goes behind them.
 *
 * Pushed ones have fewer slots, and make room for each other alone while these last. Among them the addresses
 * that offer take turns (push_turns.h), and none has two slots while another has none.
 */
#include "messages/host.h"
#include "messages/message.h"
#include "node/download/push_turns.h"

/* Each has a budget of memory of its own; the sum stays within what a node may take. */
#define DOWNLOADS_ACTIVE_MAX 4

/* Of these, for files that others push: one is left for what the node's user wants. */
#define DOWNLOADS_PUSHED_ACTIVE_MAX 3

/* Listed in all; when it is full, the oldest that is over makes room. */
#define DOWNLOADS_MAX 1000

/* Sources kept with a download, to go on with when it starts; it finds others. */
#define DOWNLOADS_SOURCES_MAX 16

/* Without a source for so long, a download makes room for one that waits: several searches found none. */
#define DOWNLOADS_STARVED_MS 30000

/* An address with several slots has the last of them for so long when another waits that has none: as long as
 * a push takes to prove mute. */
#define DOWNLOADS_PUSHED_TURN_MS 10000

enum downloads_state {
    DOWNLOADS_WAITING, /* for its turn */
    DOWNLOADS_ACTIVE,
    DOWNLOADS_PAUSED,
    DOWNLOADS_DONE,
    DOWNLOADS_FAILED,
};

struct downloads_source {
    struct optional_node_id node; /* absent: whoever is there */
    struct host host;
    uint16_t port;
};

/* Texts and sources are copied. */
struct downloads_order {
    struct file_entry file; /* its name is a wire name; the file lands under the last component */
    const struct downloads_source
        *sources; /* known already; those above DOWNLOADS_SOURCES_MAX are left out */
    size_t source_count;
    bool has_only_these; /* from these very nodes: no search for others */
    bool is_pushed;      /* somebody offers it: it runs only while it is being offered */
    bool is_paused;      /* listed, and to be resumed by hand */
};

enum downloads_result {
    DOWNLOADS_OK,
    DOWNLOADS_THERE_ALREADY, /* it is listed: *ret_number; paused or failed ones go on */
    DOWNLOADS_FULL,          /* DOWNLOADS_MAX, and none is over */
};

/* One download. Valid until the next call that changes the list. */
struct listed_download {
    uint32_t number; /* counts from 1, and is not used again */
    enum downloads_state state;
    struct file_entry file; /* its name is the list's */
    struct downloads_source sources[DOWNLOADS_SOURCES_MAX];
    size_t source_count;
    bool has_only_these;
    bool is_pushed;
    struct host *offered_by; /* the addresses that offer it now */
    size_t offered_by_count;
    struct host turn_of; /* of a pushed one with a slot: the address whose turn it was, as host_block() */
    bool has_slot;
    uint64_t started_ms;  /* of one with a slot: since when it has it */
    uint64_t saved_bytes; /* as last told */
    char *target;         /* the path that it got, once it is done; else NULL */
    char *reason;         /* why it failed, else NULL */
    uint64_t turn;        /* of those that wait, the lowest is next */
    uint64_t starved_ms;  /* since then it has no source; UINT64_MAX: it has one, or does not run */
};

struct download_list;

struct download_list *download_list_new(void);
void download_list_destroy(struct download_list **self_p);

/*
 * A file that is listed and not done keeps its number and gets the new sources; one that is done begins anew.
 * An order that is pushed does not resume a paused one, and one that is not makes a pushed one an ordinary
 * one.
 */
enum downloads_result download_list_add(struct download_list *self, const struct downloads_order *order,
                                        uint32_t *ret_number);

/* False when there is no such number, or its state does not allow it. */
bool download_list_pause(struct download_list *self, uint32_t number);
bool download_list_resume(struct download_list *self, uint32_t number); /* of a failed one too */
bool download_list_cancel(struct download_list *self, uint32_t number); /* takes it off the list */

/* Those who offer a file now, by their addresses (copied); a pushed one that nobody offers gives up its slot.
 */
void download_list_offered(struct download_list *self, uint32_t number, const struct host *addresses,
                           size_t count);
bool download_is_offered(const struct listed_download *item);

/* Whose turn it is among pushes: what an address that offers leaves unanswered, and delivers, counts. */
struct push_turns *download_list_turns(struct download_list *self);

/* The next to run: active now, and with a slot. NULL when none may start. */
const struct listed_download *download_list_start(struct download_list *self, uint64_t now_ms);

/* Makes a download wait that is starved, or of an address with more than its part, so that another can start;
 * its number, 0 when none has to. */
uint32_t download_list_yield(struct download_list *self, uint64_t now_ms);

/* When that has to be asked again; UINT64_MAX: not before something changes. */
uint64_t download_list_next_deadline_ms(const struct download_list *self, uint64_t now_ms);

/* What runs has come to an end, and its slot is free: the number may be off the list by now. */
void download_list_stopped(struct download_list *self, uint32_t number);

/* What became of it. Nothing happens when the number is not listed. */
void download_list_starved(struct download_list *self, uint32_t number, bool is_starved, uint64_t now_ms);
void download_list_saved(struct download_list *self, uint32_t number, uint64_t saved_bytes);
void download_list_done(struct download_list *self, uint32_t number, const char *target);
void download_list_failed(struct download_list *self, uint32_t number, const char *reason);

/* In order of number; position < download_list_count(). */
size_t download_list_count(const struct download_list *self);
const struct listed_download *download_list_at(const struct download_list *self, size_t position);

/* NULL when there is none. */
const struct listed_download *download_list_find(const struct download_list *self, uint32_t number);
const struct listed_download *download_list_by_id(const struct download_list *self, const struct file_id *id);

/* Slots that are taken. */
unsigned download_list_running_count(const struct download_list *self);

/* Rises with every change that the next start must know of. */
uint64_t download_list_generation(const struct download_list *self);

#endif
