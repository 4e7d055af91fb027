/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHARE_SHARE_INDEX_H
#define NODE_SHARE_SHARE_INDEX_H

/*
 * What this node shares: names, and the id of each once it has been hashed. The only place that
 * decides what exists, what must be hashed, and what a QUERY, a LIST or an OPEN finds.
 *
 * It knows no file system: what a scan found is handed in, and what must be hashed comes out of
 * share_index_next_unhashed(). A file without an id is never denied: it makes an answer incomplete.
 */

#include "messages/match.h"
#include "messages/message.h"
#include "messages/presence.h"

/* A share of this node is its owner's doing; the cap keeps a slip (`--share /`) from taking all memory: about
 * 450 bytes a file. */
#define SHARE_FILES_MAX 1000000

/* What a file was when it was looked at. Equal stamps mean the same content, as far as a file system tells.
 */
struct file_stamp {
    uint64_t device, inode, size, mtime_ns, ctime_ns;
};

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

/* One file as the scanner found it. */
struct scanned_file {
    uint32_t share; /* index of the share folder */
    char *name;     /* what it is called below the share folder; any bytes */
    char *path;     /* where it is, through no symlink; NULL: as it is called */
    struct file_stamp stamp;
    bool is_executable;
};

/*
 * A folder that was read: directly in it are the files of the outcome, and these folders, nothing else.
 * `is_place` instead: whatever is known at this place or below it is known no more, unless the outcome has
 * it.
 */
struct scanned_folder {
    uint32_t share;
    char *name; /* "" is the share itself */
    bool is_place;
    char **folders; /* their base names, in byte order */
    size_t folder_count;
};

/* What was found. Takes ownership: strings and arrays are malloc'd. */
struct scan_outcome {
    struct scanned_file *files;
    size_t count;
    bool is_part;                   /* only what these folders say; false: the files are all there is */
    struct scanned_folder *folders; /* of a part */
    size_t folder_count;
    bool is_complete; /* all that there is has been seen by now; else absence proves nothing */
    size_t left_out_count;
};

enum share_state {
    SHARE_UNHASHED, /* id not known yet */
    SHARE_READY,
    SHARE_UNREADABLE, /* cannot be read or hashed now: not shared, tried again when its stamp changes */
};

/* One shared file. Pointers are valid until the next call that changes the index. */
struct shared_file {
    uint64_t handle; /* names this content of this file for as long as the process runs; never reused */
    uint32_t share;
    const char *place; /* as the scanner called it */
    const char *path;
    struct text name;
    struct file_stamp stamp;
    bool is_executable;
    enum share_state state;
    struct file_id id; /* valid when SHARE_READY, root too */
    struct hash root;
};

struct share_index;

struct share_index *share_index_new(void);
void share_index_destroy(struct share_index **self_p);

/*
 * Brings what is shared to what a scan found. Files whose place, path and stamp are the same keep handle and
 * id; so does content that only moved, with its stamp, if both ends are in this outcome. All others are
 * unhashed anew. True when anything changed. Answers are incomplete until an outcome was complete, and again
 * when the last one was not. An unchanged file costs one comparison, a change no more than a copy of the
 * tables.
 *
 * A file is named as it is called, cleaned; where the name is taken, it is numbered. It keeps that name as
 * long as it is there. Afterwards the outcome is empty but for `left_out_count`: files that are not shared
 * because there is no room, or no name short enough.
 */
bool share_index_scanned(struct share_index *self, struct scan_outcome *outcome);

void scan_outcome_release(struct scan_outcome *self);

/*
 * The file without an id whose handle is the next above `after` (0 to begin); NULL when there is none. A new
 * handle is above all others, so a walk never has to begin again.
 */
const struct shared_file *share_index_next_unhashed(const struct share_index *self, uint64_t after);

/* A hash result. Nothing happens when the handle is gone. True when the index changed. */
bool share_index_hashed(struct share_index *self, uint64_t handle, const struct hash *root);
bool share_index_unreadable(struct share_index *self, uint64_t handle);

/* What an unhashed file is now, looked at anew by who hashes it; true when it is known under this handle. */
bool share_index_restamp(struct share_index *self, uint64_t handle, const struct file_stamp *stamp);

/* The file on disk is no longer what was hashed: unhashed, with a new handle. True when the index changed. */
bool share_index_changed(struct share_index *self, uint64_t handle, uint64_t *ret_handle);

/* Files without an id, and their bytes. */
size_t share_index_unhashed_count(const struct share_index *self);
uint64_t share_index_unhashed_bytes(const struct share_index *self);

const struct shared_file *share_index_by_handle(const struct share_index *self, uint64_t handle);

/* A ready file with this id: the first by name. */
const struct shared_file *share_index_by_id(const struct share_index *self, const struct file_id *id);

enum share_lookup {
    SHARE_FOUND,
    SHARE_NONE,
    SHARE_SEVERAL, /* a base name that more than one file has */
    SHARE_HASHING, /* it is there, but its id is not known yet */
};

/* By whole name, or by base name if only one file has it. */
enum share_lookup share_index_by_name(const struct share_index *self, struct text name,
                                      const struct shared_file **ret_file);

/*
 * Files without an id that share_index_by_name() or share_index_query() would have answered with, the latest
 * last; taking them clears the list. Somebody waits for these.
 */
#define SHARE_ASKED_MAX 16
size_t share_index_take_asked(const struct share_index *self, uint64_t ret_handles[SHARE_ASKED_MAX]);

/* The last handle that was given out: files with a higher one are new since. */
uint64_t share_index_last_handle(const struct share_index *self);

/* The first file whose handle is above `after`; NULL when there is none. */
const struct shared_file *share_index_next(const struct share_index *self, uint64_t after);

/* Ready files in byte order of name: the index of the first whose name is >= `name`, and access by position.
 */
size_t share_index_lower_bound(const struct share_index *self, struct text name);
size_t share_index_count(const struct share_index *self); /* of all positions, hashed or not */
const struct shared_file *share_index_at(const struct share_index *self, size_t position);

/*
 * Fills `ret_entries` (room for `limit`) with matches that are ready, in order of name, views into the index.
 * *ret_total counts all matches, one more when the answer is incomplete (unfinished scan, or a match whose id
 * is not known yet). Returns the number filled in.
 */
size_t share_index_query(const struct share_index *self, const struct matcher *matcher, size_t limit,
                         struct file_entry *ret_entries, uint32_t *ret_total);

/* The FILE of a ready file. */
struct file_entry shared_file_entry(const struct shared_file *file);

/* Files with a known id, and their bytes, as JOIN and UPDATE tell them. */
void share_index_totals(const struct share_index *self, uint64_t *ret_files, uint64_t *ret_bytes);

/* True when every name and id is known, so that a presence filter may be sent. */
bool share_index_is_settled(const struct share_index *self);

/* Adds every file to a filter. Only when settled. */
void share_index_fill_presence(const struct share_index *self, struct presence *presence);

/*
 * Rises by one with every call that changes what others can see: the ready files, or whether the index is
 * settled. 0 at the start.
 */
uint64_t share_index_generation(const struct share_index *self);

#endif
