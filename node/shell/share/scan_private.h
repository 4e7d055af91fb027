/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_SHARE_SCAN_PRIVATE_H
#define NODE_SHELL_SHARE_SCAN_PRIVATE_H

/* The parts of scan.h: scan.c looks at folders, scan_manifest.c at what a manifest names, scan_found.c brings
 * what they find to the outcome. */
#include "node/shell/share/scan.h"

#include <sys/stat.h>

/* A folder that is being looked at, and those above it: a symlink into one of them would go round for ever.
 */
struct ancestor {
    dev_t device;
    ino_t inode;
    struct ancestor *above;
    struct ancestor *made_before; /* all of a scan, to free them */
};

/* One place in the tree: where it really is, and what it is called. They differ below a symlink. */
struct place {
    char *path, *name;
};

/* A place that is still to be looked at. */
struct item {
    const struct share_folder *folder;
    uint32_t share;
    struct place place;
    struct ancestor *above;
    unsigned depth;
    bool is_flat, is_deep;
    bool is_look;  /* it is not known whether this is a folder */
    bool is_check; /* only if the share folder is not the one that it was */
};

struct scan {
    const struct workers *workers;
    struct watch *watch;
    const char *hidden; /* a folder that is left out; NULL for none */
    struct item *items; /* the last one is the next */
    size_t item_count, item_room;
    struct ancestor *ancestors;
    struct scan_notes notes;
    size_t linked_count; /* entries seen below links to folders */
    bool is_stopped, is_linked_full;
    struct scan_result result;     /* of this step */
    size_t file_room, folder_room; /* in the outcome */
    const struct item *item;       /* that is looked at */
};

void scan_place_release(struct place *place);

/* A symlink leads there. */
bool scan_place_is_linked(const struct place *place);

/* A line for a person, escaped here. */
void scan_note(struct scan *self, const char *line);

/* Notes why `path` of the share is not shared. */
void scan_note_path(struct scan *self, const char *path, const char *reason);

/* Notes what an error says about `path`. True when it is gone or not for us, false when it says nothing. */
bool scan_note_error(struct scan *self, const char *path, int error);

/* Takes over the place. */
void scan_add_file(struct scan *self, struct place place, const struct stat *status);

/* What was known at the place of the item, or below it, is known no more. */
void scan_add_scope(struct scan *self);

/* The same, and it is watched no more: it is no folder that we can read. */
void scan_add_gone(struct scan *self);

/* The folder of the item was read: the caller fills in the folders in it. */
struct scanned_folder *scan_add_folder(struct scan *self);

/* Watches an open folder under these names. */
void scan_watch(struct scan *self, int fd, const char *path, const char *name);

/* Looks at the manifest, and at all that it names. */
void scan_manifest(struct scan *self);

#endif
