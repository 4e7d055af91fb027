/* SPDX-License-Identifier: MIT */
#include "node/shell/scan.h"

#include "messages/name.h"
#include "node/shell/share_file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    const struct share_folder *folder;
    uint32_t share;
    const struct workers *workers;
    struct scan_outcome *outcome;
    size_t room; /* entries that outcome->files has place for */
    struct scan_notes *notes;
    size_t linked_count; /* entries seen below links to folders */
    bool is_stopped, is_full, is_linked_full;
};

/* A folder that is being looked at, and those above it: a symlink into one of them would go round for ever.
 */
struct ancestor {
    dev_t device;
    ino_t inode;
    const struct ancestor *above;
};

/* One place in the tree: where it really is, and what it is called. They differ below a symlink. */
struct place {
    char *path, *name;
};

struct places {
    struct place *items;
    size_t count, room;
};

static void place_release(struct place *place)
{
    free(place->path);
    free(place->name);
}

static char *join(const char *folder, const char *base)
{
    char *joined = NULL;
    int size = *folder ? asprintf(&joined, "%s/%s", folder, base) : asprintf(&joined, "%s", base);
    assert(size >= 0);
    return joined;
}

/* Notes why `path` is not shared. */
static void note(struct walk *walk, const char *path, const char *reason)
{
    struct scan_notes *notes = walk->notes;
    if (notes->count == SCAN_NOTES_MAX) {
        notes->left_out_count++;
        return;
    }
    char *line = NULL;
    int size = asprintf(&line, "%s%s%s: %s", walk->folder->path, *path ? "/" : "", path, reason);
    assert(size >= 0);
    notes->lines[notes->count++] = text_escape(text_of(line));
    free(line);
}

/* What an error says about the folder or file `path`: gone, not for us, or nothing at all yet. */
static void note_error(struct walk *walk, const char *path, int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EXDEV: /* it went, or was swapped for something else, while we looked */
        return;
    case EACCES:
    case EPERM:
    case ENAMETOOLONG:
        note(walk, path, strerror(error));
        return;
    default: /* out of memory or descriptors, or a disk error: whatever is there may come back */
        walk->outcome->is_complete = false;
        note(walk, path, strerror(error));
        return;
    }
}

/* Takes over the place. */
static void add_file(struct walk *walk, struct place place, const struct stat *status)
{
    struct scan_outcome *outcome = walk->outcome;
    char *name = name_clean(place.name);
    if (!name || !name_is_valid(text_of(name))) {
        note(walk, place.path, "its name is longer than 1024 bytes");
        free(name);
        place_release(&place);
        return;
    }
    if (outcome->count == SHARE_FILES_MAX) {
        if (!walk->is_full)
            note(walk, place.path, "more than 1000000 files: this one and others are not shared");
        walk->is_full = true;
        free(name);
        place_release(&place);
        return;
    }
    if (outcome->count == walk->room) {
        walk->room = walk->room ? walk->room * 2 : 256;
        outcome->files = realloc(outcome->files, walk->room * sizeof outcome->files[0]);
        assert(outcome->files);
    }
    free(place.name);
    outcome->files[outcome->count++] = (struct scanned_file){
        .share = walk->share,
        .path = place.path,
        .name = name,
        .stamp = stamp_of(status),
        .is_executable = (status->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) != 0,
    };
}

/* The part of a real path that is below the share folder; NULL when it is not, or when it is not to be
 * shared. */
static const char *path_below(const struct share_folder *folder, const char *real_path)
{
    size_t size = strlen(folder->path);
    if (size == 1) /* the root of the file system: everything is below it */
        size = 0;
    if (strncmp(real_path, folder->path, size) != 0 || real_path[size] != '/')
        return NULL;
    const char *below = real_path + size + 1;
    if (*below == '.' || strstr(below, "/.") || (folder->is_flat && strchr(below, '/')))
        return NULL;
    return below;
}

/*
 * Follows a symlink to its real place below the share. False when it leads out, to nothing, or to a place
 * that is swapped meanwhile. Later opens go through no symlink, so a race here cannot lead out either.
 */
static bool follow_link(const struct walk *walk, struct place *place, struct stat *ret_status)
{
    char *link_path = join(walk->folder->path, place->path);
    char *real_path = realpath(link_path, NULL);
    free(link_path);
    const char *below = real_path ? path_below(walk->folder, real_path) : NULL;
    bool is_inside = below && share_stat(walk->folder->fd, below, ret_status) == 0;
    if (is_inside) {
        free(place->path);
        place->path = strdup(below);
        assert(place->path);
    }
    free(real_path);
    return is_inside;
}

static void add_folder(struct places *folders, struct place place)
{
    if (folders->count == folders->room) {
        folders->room = folders->room ? folders->room * 2 : 16;
        folders->items = realloc(folders->items, folders->room * sizeof folders->items[0]);
        assert(folders->items);
    }
    folders->items[folders->count++] = place;
}

/* Links to folders can multiply a tree without end, though none of them is a loop. True when this place below
 * one is too many; told once. */
static bool is_too_linked(struct walk *walk, const struct place *place)
{
    if (strcmp(place->path, place->name) == 0 || walk->linked_count < SCAN_LINKED_MAX)
        return false;
    if (!walk->is_linked_full)
        note(walk, place->name,
             "more than 100000 names below links to folders: this one and others are not shared");
    walk->is_linked_full = true;
    return true;
}

/* Looks at one entry of an open folder: a file is added, a folder is kept for later, all else is left out. */
static void visit(struct walk *walk, int folder_fd, const struct place *parent, const char *base,
                  struct places *folders)
{
    if (*base == '.' || is_too_linked(walk, parent))
        return;
    walk->linked_count += strcmp(parent->path, parent->name) != 0;
    struct stat status;
    struct place place = {join(parent->path, base), join(parent->name, base)};
    if (fstatat(folder_fd, base, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        note_error(walk, place.path, errno);
        place_release(&place);
        return;
    }
    if (S_ISLNK(status.st_mode) && !follow_link(walk, &place, &status))
        place_release(&place);
    else if (S_ISREG(status.st_mode))
        add_file(walk, place, &status);
    else if (S_ISDIR(status.st_mode) && !walk->folder->is_flat)
        add_folder(folders, place);
    else
        place_release(&place);
}

static bool is_stopping(struct walk *walk)
{
    if (walk->workers && workers_is_stopping(walk->workers))
        walk->is_stopped = true;
    return walk->is_stopped;
}

/*
 * Reads all entries of one folder. The folder is closed before those below it are looked at, so that depth
 * costs no descriptors. False when it was not read: then *ret_self is not set.
 */
static bool read_folder(struct walk *walk, const struct place *place, struct places *folders,
                        struct ancestor *ret_self)
{
    int fd = share_open_folder(walk->folder->fd, place->path);
    struct stat status;
    DIR *directory = fd >= 0 && fstat(fd, &status) == 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        note_error(walk, place->path, errno);
        if (fd >= 0)
            close(fd);
        return false;
    }
    ret_self->device = status.st_dev;
    ret_self->inode = status.st_ino;
    bool is_loop = false;
    for (const struct ancestor *above = ret_self->above; above && !is_loop; above = above->above)
        is_loop = above->device == status.st_dev && above->inode == status.st_ino;
    const struct dirent *entry;
    while (!is_loop && !is_stopping(walk) && (errno = 0, entry = readdir(directory)))
        visit(walk, dirfd(directory), place, entry->d_name, folders);
    if (!is_loop && !walk->is_stopped && errno)
        note_error(walk, place->path, errno);
    closedir(directory);
    return !is_loop;
}

static void walk_folder(struct walk *walk, const struct place *place, unsigned depth,
                        const struct ancestor *above)
{
    struct ancestor self = {.above = above};
    struct places folders = {0};
    if (depth > SCAN_DEPTH_MAX)
        note(walk, place->path, "too deep: its names would be longer than 1024 bytes");
    else if (!is_too_linked(walk, place) && read_folder(walk, place, &folders, &self)) {
        for (size_t i = 0; i < folders.count && !is_stopping(walk) && !walk->is_full; i++)
            walk_folder(walk, &folders.items[i], depth + 1, &self);
    }
    for (size_t i = 0; i < folders.count; i++)
        place_release(&folders.items[i]);
    free(folders.items);
}

/* Names */

static int compare_names(const void *a, const void *b)
{
    const struct scanned_file *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    if (order == 0)
        order = left->share < right->share ? -1 : left->share > right->share;
    return order ? order : strcmp(left->path, right->path);
}

static int compare_name_to_file(const void *name, const void *file)
{
    return strcmp(name, ((const struct scanned_file *)file)->name);
}

/*
 * A numbered name for `name` that no file in `sorted` has; *number is the last one tried. Two numbered names
 * never meet: without its number, each is the name that it was made from.
 */
static char *free_name(const char *name, unsigned *number, const struct scanned_file *sorted, size_t count)
{
    for (;;) {
        char *numbered = name_numbered(name, ++*number);
        if (!bsearch(numbered, sorted, count, sizeof *sorted, compare_name_to_file))
            return numbered;
        free(numbered);
    }
}

/* Drops the files that have no name any more. */
static void drop_nameless(struct scan_outcome *outcome)
{
    size_t kept = 0;
    for (size_t i = 0; i < outcome->count; i++) {
        if (outcome->files[i].name)
            outcome->files[kept++] = outcome->files[i];
        else
            free(outcome->files[i].path);
    }
    outcome->count = kept;
}

/* Makes all names differ: the first of several keeps its name, the others are numbered from 2. */
static void number_names(struct walk *walk)
{
    struct scan_outcome *outcome = walk->outcome;
    size_t count = outcome->count;
    if (count == 0)
        return;
    qsort(outcome->files, count, sizeof outcome->files[0], compare_names);
    /* New names are set aside until all are found, because the search needs the old ones in order. */
    char **numbered = calloc(count, sizeof *numbered);
    assert(numbered);
    bool is_any = false;
    unsigned number = 1;
    for (size_t i = 1; i < count; i++) {
        const struct scanned_file *file = &outcome->files[i];
        if (strcmp(file->name, outcome->files[i - 1].name) != 0) {
            number = 1;
            continue;
        }
        numbered[i] = free_name(file->name, &number, outcome->files, count);
        is_any = true;
    }
    for (size_t i = 0; i < count && is_any; i++) {
        struct scanned_file *file = &outcome->files[i];
        if (!numbered[i])
            continue;
        free(file->name);
        file->name = numbered[i];
        if (name_is_valid(text_of(file->name)))
            continue;
        note(walk, file->path, "its name, numbered because another file has it, is longer than 1024 bytes");
        free(file->name);
        file->name = NULL;
    }
    free(numbered);
    if (is_any) {
        drop_nameless(outcome);
        qsort(outcome->files, outcome->count, sizeof outcome->files[0], compare_names);
    }
}

/* Share folders */

bool share_folder_open(const char *path, bool is_flat, struct share_folder *ret_folder)
{
    char *real_path = realpath(path, NULL);
    if (!real_path)
        return false;
    int fd = open(real_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        free(real_path);
        errno = error;
        return false;
    }
    *ret_folder = (struct share_folder){.fd = fd, .path = real_path, .is_flat = is_flat};
    return true;
}

void share_folder_release(struct share_folder *self)
{
    close(self->fd);
    free(self->path);
}

/*
 * When another folder is at the path now (removed and made anew, or mounted over), later opens must reach
 * that one. dup3() swaps it under the number that other threads open with, in one step. False when there is
 * none.
 */
static bool reopen_folder(struct walk *walk)
{
    int fd = open(walk->folder->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat now, before;
    if (fd < 0 || fstat(fd, &now) != 0 || fstat(walk->folder->fd, &before) != 0) {
        int error = errno;
        note_error(walk, "", error);
        if (error == ENOENT || error == ENOTDIR || error == ELOOP)
            note(walk, "", "the share folder is not there");
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (now.st_dev != before.st_dev || now.st_ino != before.st_ino)
        dup3(fd, walk->folder->fd, O_CLOEXEC);
    close(fd);
    return true;
}

bool scan_shares(const struct share_folder *folders, size_t folder_count, const struct workers *workers,
                 struct scan_outcome *ret_outcome, struct scan_notes *ret_notes)
{
    struct scan_outcome outcome = {.is_complete = true};
    struct scan_notes notes = {0};
    struct walk walk = {.workers = workers, .outcome = &outcome, .notes = &notes};
    char empty[] = "";
    for (size_t i = 0; i < folder_count && !is_stopping(&walk); i++) {
        walk.folder = &folders[i];
        walk.share = (uint32_t)i;
        if (reopen_folder(&walk))
            walk_folder(&walk, &(struct place){empty, empty}, 0, NULL);
    }
    if (is_stopping(&walk)) {
        scan_outcome_release(&outcome);
        scan_notes_release(&notes);
        return false;
    }
    number_names(&walk);
    *ret_outcome = outcome;
    *ret_notes = notes;
    return true;
}

void scan_outcome_release(struct scan_outcome *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free(self->files[i].path);
        free(self->files[i].name);
    }
    free(self->files);
    *self = (struct scan_outcome){0};
}

void scan_notes_release(struct scan_notes *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->lines[i]);
    *self = (struct scan_notes){0};
}
