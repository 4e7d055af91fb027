/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_DOWNLOADS_H
#define NODE_SHELL_DOWNLOADS_DOWNLOADS_H

/*
 * The downloads of a node: each looks for sources as long as it runs, serves what it has verified through the
 * node's data port, and lands in a share. Which run is the list's business (node/download/download_list.h).
 * What is unfinished is kept in a file and goes on at the next start.
 *
 * Calls take effect in the next round of the loop, where all events come from too, so that any of them may be
 * called from anywhere. Order of the end: downloads_stop(), workers_destroy(), downloads_destroy().
 */
#include "node/download/download_list.h"
#include "node/serve/holdings.h"
#include "node/shell/fetch/partials.h"
#include "node/shell/link/broker_client.h"

struct downloads_view {
    uint32_t number; /* counts from 1, and is not used again */
    enum downloads_state state;
    struct file_id id;
    struct text name;   /* from the network: escape it */
    const char *target; /* the path that it got, once it is done; else NULL */
    const char *reason; /* why it failed, or is active and does not move; else NULL */
    uint64_t size, saved_bytes, rate;
    uint32_t ready_sources;
    bool is_pushed; /* somebody offered it, and it goes on only when he comes back */
};

struct downloads;

/* What all that run have in flight and not yet written; each gets an equal part. */
#define DOWNLOADS_BUDGET_BYTES DOWNLOAD_BUDGET_BYTES

/* A file that landed is served from the partial file's descriptor until the share has it; this many at a
 * time, and for this long: a scan of a very large share on a slow disk. */
#define DOWNLOADS_HELD_MAX 64
#define DOWNLOADS_HELD_MS  300000

/* How often to look whether another program has let go of a partial file. */
#define DOWNLOADS_LOCKED_MS 1000

/* Borrowed, all of it, as long as the downloads live. */
struct downloads_config {
    struct loop *loop;
    struct workers *workers;
    const struct holdings *holdings; /* of the node */
    struct partials *partials;       /* through which they are served */
    struct broker_client *broker;    /* NULL: none; only sources that are given */
    struct node_id node;
    uint64_t instance;
    const char *node_name, *agent;
    const char *folder; /* where files land */
    const char *temp;   /* where they are while they arrive; on the same file system */
    const char *list;   /* the file that keeps what is unfinished */
    uint64_t down_rate; /* bytes a second, over all; 0: no limit */
};

/* A file that is new in `folder`. Valid for the call. */
struct downloads_landing {
    const char *path;         /* folder and name */
    int fd;                   /* of the file, open for reading; the downloads close it */
    struct hash root;         /* of its content, verified */
    const struct hash *layer; /* its chunk layer; NULL for a file of one chunk */
    uint32_t layer_count;
};

struct downloads_events {
    void *owner;
    void (*ended)(void *owner, const struct downloads_view *view); /* done or failed; to tell people */
    /* A new file, for the share to have: true when it will; until then it is served on. */
    bool (*landed)(void *owner, const struct downloads_landing *landing);
    void (*trouble)(void *owner, const char *text); /* a line for a person, unescaped: with the list file */
};

/* Makes both folders, and sees whether a file can move from one to the other. 0 or an errno: EXDEV when they
 * are on different file systems. Each download does that too: it is for whoever wants to know earlier. */
int downloads_check_folders(const char *folder, const char *temp);

/* Goes on with what the list file holds. */
struct downloads *downloads_new(const struct downloads_config *config, const struct downloads_events *events);
void downloads_stop(struct downloads *self);
void downloads_destroy(struct downloads **self_p);

enum downloads_result downloads_add(struct downloads *self, const struct downloads_order *order,
                                    uint32_t *ret_number);

/* False when there is no such number, or its state does not allow it. */
bool downloads_pause(struct downloads *self, uint32_t number);
bool downloads_resume(struct downloads *self, uint32_t number); /* of a failed one too: tries again */
bool downloads_cancel(struct downloads *self,
                      uint32_t number); /* removes its partial file, and it from the list */

void downloads_set_rate(struct downloads *self, uint64_t down_rate);

/* In order of number; position < downloads_count(). Texts are valid until the next call that changes
 * anything, or the loop goes on. */
size_t downloads_count(const struct downloads *self);
struct downloads_view downloads_at(const struct downloads *self, size_t position);

#endif
