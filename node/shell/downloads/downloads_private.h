/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_DOWNLOADS_DOWNLOADS_PRIVATE_H
#define NODE_SHELL_DOWNLOADS_DOWNLOADS_PRIVATE_H

/*
 * What the parts of downloads.h share: downloads.c decides by the list what has to runner, downloads_runner.c
 * runs one, downloads_keep.c keeps the list file.
 */
#include "node/shell/downloads/downloads.h"
#include "node/shell/fetch/source_search.h"
#include "node/shell/share/file_hash.h"

enum runner_state {
    RUNNER_LOOKING,  /* at files of the same name, one of which may be it */
    RUNNER_LOCKED,   /* another program has the partial file */
    RUNNER_FETCHING, /* with a fetch */
    RUNNER_LANDED,   /* served until the share has it; takes no slot any more */
    RUNNER_ENDING,   /* freed as soon as nothing of it is on the workers */
};

/* One download that runs, ends, or has landed. It outlives its place in the list. */
struct runner {
    struct downloads *downloads;
    struct runner *next;
    uint32_t number; /* in the list */
    enum runner_state state;
    bool has_slot;
    struct file_entry file; /* `name` is ours */
    char *target;           /* where it lands below the folder; then with the name that it got */
    struct fetch *fetch;
    struct source_search *search;    /* NULL when it looks for no others */
    uint64_t served;                 /* its handle among the partials; 0 when it is not there */
    struct preparation *preparation; /* is on a worker, or done; NULL: none */
    struct closing *closing;         /* RUNNER_ENDING: so is what was opened */
    unsigned look_number;            /* RUNNER_LOOKING: of the name being looked at; 1 is without a number */
    uint64_t marked_bytes;           /* of a pushed one: saved when it was last fast enough for its slot */
    bool is_hashing;
    bool is_over;      /* RUNNER_ENDING: and nothing of it is open */
    uint64_t retry_ms; /* when to try lock or sources again; RUNNER_LANDED: until when it is held */
    bool has_outcome;  /* the fetch has ended: */
    enum fetch_outcome outcome;
    int error_number;
    uint64_t rate; /* bytes a second that come in, smoothed */
    uint64_t sampled_ms, sampled_bytes;
    bool is_disk_full; /* that is why it failed */
};

/* For whoever feeds downloads himself; called from within events of the fetch, so a runner only ends later.
 */
struct downloads_watcher {
    void *owner;
    void (*started)(void *owner, struct runner *runner);  /* it has a fetch now */
    void (*stopping)(void *owner, struct runner *runner); /* runner->fetch is about to be stopped */
    void (*source)(void *owner, struct runner *runner, uint32_t source);
    void (*saved)(void *owner, struct runner *runner, uint32_t chunk);
    void (*kept)(void *owner, struct runner *runner, struct blob bits);
    void (*unsaved)(void *owner, struct runner *runner, uint32_t chunk);
    /* Done or failed. Its target is there, but not in the share index yet. */
    void (*ended)(void *owner, const struct listed_download *item);
};

struct keeper;

struct downloads {
    struct downloads_config config;
    struct downloads_events events;
    struct downloads_watcher watcher; /* functions are NULL when there is none */
    struct download_list *list;
    struct runner *runners;
    struct keeper *keeper;
    bool are_folders_good;  /* downloads_check_folders() said so once */
    uint64_t shared_out_ms; /* when budget and rate were shared out */
    bool is_stopped;
};

/* At most one. */
void downloads_set_watcher(struct downloads *self, const struct downloads_watcher *watcher);

/* The runner of a file that has a fetch under way; NULL when there is none. */
struct runner *downloads_runner_by_id(const struct downloads *self, const struct file_id *id);

/* The list, for what is_offered; changes take effect in the next round. */
struct download_list *downloads_list(struct downloads *self);

/* One that runs (downloads_runner.c). */
struct runner *runner_new(struct downloads *downloads, const struct listed_download *item);

/* What is due; runner_is_over() afterwards, perhaps. `item` is NULL when it is off the list. */
void runner_tick(struct runner *self, const struct listed_download *item, uint64_t now_ms);
uint64_t runner_next_deadline_ms(const struct runner *self);

/* Lets go of all that is shared with others; what is on the workers comes back later. */
void runner_stop(struct runner *self);
bool runner_is_over(const struct runner *self);

/* Its end (downloads_ending.c): the partial file is closed by a worker, and removed when the download is off
 * the list. While anything of it is on the workers, it is not over. */
void runner_tick_ending(struct runner *self, bool is_unlisted);
bool runner_is_at_work(const struct runner *self);
void runner_destroy(struct runner **self_p);

/*
 * What a download needs of the disk before it begins (downloads_prepare.c), on a worker: is the very file
 * there already, are the folders good, can it land, and its partial file is opened.
 */
struct preparation {
    struct job job;
    bool must_look;
    unsigned look_number; /* of the name to look at next, then of the one that has the size */
    bool are_folders_good;
    char *target, *below, *name;
    struct fetch_config fetch; /* its texts are the ones above, and the downloads' */
    /* The outcome: */
    bool is_done;
    int same_fd;            /* a file of the same size is to be hashed; -1: there is none, and: */
    enum fetch_start start; /* with `store`, or why not: */
    struct chunk_store *store;
    uint64_t needed_bytes, free_bytes;
    int error; /* of a folder that is not good, or of FETCH_REFUSED */
};

/* `workers` are borrowed until it is done. */
void preparation_start(struct preparation *self, struct workers *workers);
void preparation_destroy(struct preparation **self_p); /* once it is done */

/* What an earlier run left of one that does not run now is removed, by and by. */
void downloads_discard_partial(const struct downloads *self, const struct file_entry *file);

void runner_add_source(struct runner *self, const struct downloads_source *source);

/*
 * A target is the path of a file below the folder of downloads (downloads_target.c): the path of its folder
 * there (malloc'd), its last component, and the target with another one.
 */
char *target_below(const char *target);
const char *target_base(const char *target);
char *target_renamed(const char *target, const char *base);

/* Can it land there? 0, or an errno. A folder that is missing is no hindrance, and is not made; a symlink or
 * a file in place of one is. */
int target_check(const char *folder, const char *target);

/* An empty file, under a name with a number when another file has its own; synced, with the folders that lead
 * to it. 0, or an errno. */
int target_make_empty(const char *folder, const char *target, char **ret_target);

/* The list file (downloads_keep.c). */
struct keeper *keeper_new(struct downloads *downloads);
void keeper_load(struct keeper *self);

/* The file could not be read: nothing is written until keeper_load() was able to. */
bool keeper_is_unread(const struct keeper *self);

/* Writes the list if it has changed since. */
void keeper_tick(struct keeper *self);

/* Writes it once more, here and now. */
void keeper_destroy(struct keeper **self_p);

#endif
