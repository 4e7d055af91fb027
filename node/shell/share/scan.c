/* SPDX-License-Identifier: MIT */
#include "node/shell/share/scan_private.h"

#include "messages/name.h"
#include "messages/shell/loop.h"
#include "node/shell/share/share_file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *folder, const char *base)
{
    char *joined = NULL;
    int size = *folder ? asprintf(&joined, "%s/%s", folder, base) : asprintf(&joined, "%s", base);
    assert(size >= 0);
    return joined;
}

/* Places */

/*
 * Follows a symlink to its real place below the share. False when it leads out, to nothing, or to a place
 * that is swapped meanwhile. Later opens go through no symlink, so a race here cannot lead out either.
 */
static bool follow_link(const struct item *item, struct place *place, struct stat *ret_status)
{
    char *link_path = join(item->folder->path, place->path);
    char *real_path = realpath(link_path, NULL);
    free(link_path);
    const char *below = real_path ? share_folder_below(item->folder, real_path) : NULL;
    bool is_inside = below && share_stat(item->folder->fd, below, ret_status) == 0;
    if (is_inside) {
        free(place->path);
        place->path = text_copy(text_of(below));
    }
    free(real_path);
    return is_inside;
}

/* Takes over the place. */
static void push(struct scan *self, struct item item)
{
    if (self->item_count == self->item_room) {
        self->item_room = self->item_room ? self->item_room * 2 : 64;
        self->items = realloc(self->items, self->item_room * sizeof self->items[0]);
        assert(self->items);
    }
    self->items[self->item_count++] = item;
}

void scan_add(struct scan *self, const struct share_folder *folder, uint32_t share, const char *path,
              const char *name, bool is_deep)
{
    unsigned depth = 0;
    for (const char *at = name; *at; at++)
        depth += *at == '/' || at == name;
    push(self, (struct item){.folder = folder,
                             .share = share,
                             .place = {text_copy(text_of(path)), text_copy(text_of(name))},
                             .depth = depth,
                             .is_flat = folder->is_flat,
                             .is_deep = is_deep,
                             .is_look = true});
}

void scan_check(struct scan *self, const struct share_folder *folder, uint32_t share)
{
    scan_add(self, folder, share, "", "", true);
    self->items[self->item_count - 1].is_check = true;
}

/* Links to folders can multiply a tree without end, though none of them is a loop. True when this place below
 * one is too many; told once. */
static bool is_too_linked(struct scan *self, const struct place *place)
{
    if (!scan_place_is_linked(place) || self->linked_count < SCAN_LINKED_MAX)
        return false;
    if (!self->is_linked_full)
        scan_note_path(self, place->name,
                       "more than 100000 names below links to folders: this one and others are not shared");
    self->is_linked_full = true;
    return true;
}

static struct ancestor *ancestor_new(struct scan *self, const struct stat *status, struct ancestor *above)
{
    struct ancestor *ancestor = malloc(sizeof *ancestor);
    assert(ancestor);
    *ancestor = (struct ancestor){status->st_dev, status->st_ino, above, self->ancestors};
    self->ancestors = ancestor;
    return ancestor;
}

/* The folders above a place where a look begins. */
static struct ancestor *ancestors_of(struct scan *self, const struct item *item)
{
    struct ancestor *above = NULL;
    struct stat status;
    if (!*item->place.path)
        return NULL;
    if (fstat(item->folder->fd, &status) == 0)
        above = ancestor_new(self, &status, above);
    char *path = text_copy(text_of(item->place.path));
    for (char *slash = path; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (share_stat(item->folder->fd, path, &status) == 0)
            above = ancestor_new(self, &status, above);
        *slash = '/';
    }
    free(path);
    return above;
}

/* Folders */

/* The folders in one that is being read. */
struct bases {
    struct place *items;
    size_t count, room;
};

static void bases_add(struct bases *self, struct place place)
{
    if (self->count == self->room) {
        self->room = self->room ? self->room * 2 : 16;
        self->items = realloc(self->items, self->room * sizeof self->items[0]);
        assert(self->items);
    }
    self->items[self->count++] = place;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

/* Looks at one entry of an open folder: a file is added, a folder is kept for later, all else is left out. */
static void visit(struct scan *self, int folder_fd, const char *base, struct bases *folders)
{
    const struct item *item = self->item;
    if (*base == '.' || is_too_linked(self, &item->place))
        return;
    self->linked_count += scan_place_is_linked(&item->place);
    struct stat status;
    struct place place = {join(item->place.path, base), join(item->place.name, base)};
    if (fstatat(folder_fd, base, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        scan_note_error(self, place.path, errno);
        scan_place_release(&place);
        return;
    }
    if (S_ISLNK(status.st_mode) && !follow_link(item, &place, &status))
        scan_place_release(&place);
    else if (S_ISREG(status.st_mode))
        scan_add_file(self, place, &status);
    else if (S_ISDIR(status.st_mode) && !item->is_flat)
        bases_add(folders, place);
    else
        scan_place_release(&place);
}

static bool is_stopping(struct scan *self)
{
    if (self->workers && workers_is_stopping(self->workers))
        self->is_stopped = true;
    return self->is_stopped;
}

static bool is_loop(const struct ancestor *self)
{
    for (const struct ancestor *above = self->above; above; above = above->above) {
        if (above->device == self->device && above->inode == self->inode)
            return true;
    }
    return false;
}

void scan_watch(struct scan *self, int fd, const char *path, const char *name)
{
    const struct item *item = self->item;
    if (!self->watch)
        return;
    enum watch_result watched = watch_add(self->watch, fd, item->share, path, name);
    if (watched == WATCH_DONE)
        return;
    self->result.unwatched |= UINT64_C(1) << item->share;
    self->result.reason = watched;
    free(self->result.where);
    self->result.where = *path == '/' ? text_copy(text_of(path)) : join(item->folder->path, path);
}

/* Compared as a folder, not as a path: it may be made at any time, and links lead to it. */
static bool is_hidden(struct scan *self, const struct stat *status)
{
    struct stat hidden;
    if (!self->hidden || stat(self->hidden, &hidden) != 0 || hidden.st_dev != status->st_dev ||
        hidden.st_ino != status->st_ino)
        return false;
    if (!*self->item->place.path)
        scan_note_path(self, "", "unfinished downloads are kept there");
    return true;
}

/* Opens the folder of the item. NULL after an error that was noted, and brought to the outcome. */
static DIR *open_folder(struct scan *self, struct ancestor **ret_ancestor)
{
    const struct item *item = self->item;
    int fd = share_open_folder(item->folder->fd, item->place.path);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        *ret_ancestor = ancestor_new(self, &status, item->above);
        if (is_loop(*ret_ancestor) || is_hidden(self, &status)) {
            close(fd);
            scan_add_gone(self);
            return NULL;
        }
        /* Before it is read: what comes later is an event. */
        scan_watch(self, fd, item->place.path, item->place.name);
        DIR *directory = fdopendir(fd);
        if (directory)
            return directory;
    }
    if (scan_note_error(self, item->place.path, errno))
        scan_add_gone(self);
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Keeps the folders in the scope, if there is one, and puts those that must be read on top, the first by name
 * last. */
static void push_folders(struct scan *self, struct scanned_folder *scope, struct bases *folders,
                         struct ancestor *above)
{
    struct item parent = *self->item;
    if (folders->count > 1)
        qsort(folders->items, folders->count, sizeof folders->items[0], compare_names);
    if (scope) {
        scope->folders = calloc(folders->count + 1, sizeof(char *));
        assert(scope->folders);
        scope->folder_count = folders->count;
    }
    size_t prefix_size = *parent.place.name ? strlen(parent.place.name) + 1 : 0;
    for (size_t i = folders->count; i-- > 0;) {
        struct place place = folders->items[i];
        if (scope)
            scope->folders[i] = text_copy(text_of(place.name + prefix_size));
        if (!parent.is_deep && self->watch && watch_knows(self->watch, parent.share, place.name)) {
            scan_place_release(&place);
            continue;
        }
        push(self, (struct item){.folder = parent.folder,
                                 .share = parent.share,
                                 .place = place,
                                 .above = above,
                                 .depth = parent.depth + 1,
                                 .is_flat = parent.is_flat,
                                 .is_deep = true});
    }
}

static void read_folder(struct scan *self)
{
    if (self->item->depth > SCAN_DEPTH_MAX) {
        scan_note_path(self, self->item->place.path, "too deep: its names would be longer than 1024 bytes");
        scan_add_gone(self);
        return;
    }
    struct ancestor *ancestor;
    DIR *directory = is_too_linked(self, &self->item->place) ? NULL : open_folder(self, &ancestor);
    if (!directory)
        return;
    struct bases folders = {0};
    const struct dirent *entry;
    while (!is_stopping(self) && (errno = 0, entry = readdir(directory)))
        visit(self, dirfd(directory), entry->d_name, &folders);
    int error = self->is_stopped ? 0 : errno;
    closedir(directory);
    /* Half a folder proves nothing gone. */
    if (error)
        scan_note_error(self, self->item->place.path, error);
    push_folders(self, error ? NULL : scan_add_folder(self), &folders, ancestor);
    free(folders.items);
}

/* Looks for the share folder itself. False when it is not there, or there is nothing to do. */
static bool reopen_share(struct scan *self)
{
    const struct item *item = self->item;
    uint64_t bit = UINT64_C(1) << item->share;
    bool is_another;
    int error = share_folder_reopen(item->folder, &is_another);
    if (error) {
        if (scan_note_error(self, "", error))
            scan_add_gone(self);
        if (error == ENOENT || error == ENOTDIR || error == ELOOP)
            scan_note_path(self, "", "the share folder is not there");
        self->result.not_there |= bit;
        return false;
    }
    if (is_another && self->watch)
        watch_forget(self->watch, item->share, "");
    self->result.there |= bit;
    return is_another || !item->is_check;
}

/* A place of which nothing is known. */
static void look(struct scan *self, struct item *item)
{
    struct stat status;
    item->is_look = false;
    if (item->folder->manifest) {
        if (!item->is_check)
            scan_manifest(self);
        return;
    }
    if (!*item->place.name) {
        if (reopen_share(self))
            read_folder(self);
        return;
    }
    if (share_stat(item->folder->fd, item->place.path, &status) != 0) {
        if (scan_note_error(self, item->place.path, errno))
            scan_add_gone(self);
        return;
    }
    if (S_ISLNK(status.st_mode) && !follow_link(item, &item->place, &status)) {
        scan_add_gone(self);
    } else if (S_ISDIR(status.st_mode) && !item->is_flat) {
        item->above = ancestors_of(self, item);
        if (self->watch && !watch_knows(self->watch, item->share, item->place.name))
            item->is_deep = true;
        read_folder(self);
    } else {
        scan_add_gone(self);
        if (S_ISREG(status.st_mode))
            scan_add_file(
                self,
                (struct place){text_copy(text_of(item->place.path)), text_copy(text_of(item->place.name))},
                &status);
    }
}

/* A scan */

struct scan *scan_new(const struct workers *workers, struct watch *watch)
{
    struct scan *self = calloc(1, sizeof *self);
    assert(self);
    self->workers = workers;
    self->watch = watch;
    return self;
}

void scan_hide(struct scan *self, const char *path)
{
    self->hidden = path;
}

static void release_result(struct scan_result *result)
{
    scan_outcome_release(&result->outcome);
    free(result->where);
    *result = (struct scan_result){0};
}

static void free_ancestors(struct scan *self)
{
    while (self->ancestors) {
        struct ancestor *ancestor = self->ancestors;
        self->ancestors = ancestor->made_before;
        free(ancestor);
    }
}

void scan_destroy(struct scan **self_p)
{
    assert(self_p);
    struct scan *self = *self_p;
    if (!self)
        return;
    while (self->item_count > 0)
        scan_place_release(&self->items[--self->item_count].place);
    free(self->items);
    free_ancestors(self);
    release_result(&self->result);
    scan_notes_release(&self->notes);
    free(self);
    *self_p = NULL;
}

static bool is_enough(const struct scan *self, uint64_t began_ms)
{
    return self->result.outcome.count >= SCAN_STEP_FILES ||
           self->result.outcome.folder_count >= SCAN_STEP_FOLDERS ||
           clock_now_ms() - began_ms >= SCAN_STEP_MS;
}

bool scan_step(struct scan *self, struct scan_result *ret_result)
{
    uint64_t began_ms = clock_now_ms();
    self->file_room = self->folder_room = 0;
    while (self->item_count > 0 && !is_stopping(self) && !is_enough(self, began_ms)) {
        struct item item = self->items[--self->item_count];
        self->item = &item;
        if (item.is_look)
            look(self, &item);
        else
            read_folder(self);
        scan_place_release(&item.place);
    }
    self->item = NULL;
    if (self->item_count == 0) {
        free_ancestors(self);
        self->linked_count = 0;
        self->is_linked_full = false;
    }
    if (is_stopping(self)) {
        release_result(&self->result);
        return false;
    }
    self->result.outcome.is_part = true;
    *ret_result = self->result;
    self->result = (struct scan_result){0};
    return true;
}

bool scan_is_idle(const struct scan *self)
{
    return self->item_count == 0;
}
