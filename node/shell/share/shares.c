/* SPDX-License-Identifier: MIT */
#include "node/shell/share/shares.h"

#include "node/shell/share/share_file.h"
#include "node/shell/share/shares_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A batch is written when the first of it has waited this long: at most that much is hashed twice after a
 * crash. */
#define FLUSH_DELAY_MS 250

/* Messages */

void shares_tell(struct shares *self, char *line)
{
    if (self->message_count == MESSAGES_MAX) {
        free(line);
        return;
    }
    self->messages[self->message_count++] = line;
}

void shares_report(struct shares *self, const char *path, int error)
{
    if (self->report_count++ >= REPORTS_MAX)
        return;
    char *line = NULL;
    int size = asprintf(&line, "not shared: %s: %s", path, strerror(error));
    assert(size >= 0);
    shares_tell(self, text_escape(text_of(line)));
    free(line);
}

char *shares_take_message(struct shares *self)
{
    char *line = hash_cache_take_notice(self->cache);
    if (line) {
        char *escaped = text_escape(text_of(line));
        free(line);
        return escaped;
    }
    if (self->message_count == 0)
        return NULL;
    line = self->messages[0];
    self->message_count--;
    memmove(self->messages, self->messages + 1, self->message_count * sizeof self->messages[0]);
    return line;
}

/* Writing the cache */

static void run_flush(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, flush.job);
    hash_cache_flush(self->cache);
}

static void done_flush(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, flush.job);
    self->flush.is_running = false;
    self->flush.due_ms = NEVER_MS;
}

static uint64_t tick_flush(struct shares *self, uint64_t now_ms)
{
    enum cache_waiting waiting = hash_cache_waiting(self->cache);
    if (self->flush.is_running || waiting == CACHE_WAITING_NONE)
        return NEVER_MS;
    if (self->flush.due_ms == NEVER_MS)
        self->flush.due_ms = now_ms + FLUSH_DELAY_MS;
    if (waiting == CACHE_WAITING_SOME && now_ms < self->flush.due_ms)
        return self->flush.due_ms;
    self->flush.is_running = true;
    workers_put(self->workers, &self->flush.job);
    return NEVER_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t shares_tick(void *shares, uint64_t now_ms)
{
    struct shares *self = shares;
    if (workers_is_stopping(self->workers))
        return NEVER_MS;
    uint64_t due_ms = scanning_tick(self, now_ms);
    due_ms = earlier(due_ms, hashing_tick(self, now_ms));
    return earlier(due_ms, tick_flush(self, now_ms));
}

/* Life */

struct shares *shares_new(struct workers *workers, const char *cache_path)
{
    struct shares *self = calloc(1, sizeof *self);
    assert(self);
    self->workers = workers;
    self->index = share_index_new();
    self->cache = hash_cache_new(cache_path);
    self->flush.job = (struct job){.run = run_flush, .done = done_flush};
    self->flush.due_ms = NEVER_MS;
    scanning_init(self);
    hashing_init(self);
    return self;
}

void shares_destroy(struct shares **self_p)
{
    assert(self_p);
    struct shares *self = *self_p;
    if (!self)
        return;
    assert(!self->flush.is_running);
    scanning_release(self);
    hashing_release(self);
    hash_cache_destroy(&self->cache);
    share_index_destroy(&self->index);
    for (size_t i = 0; i < self->folder_end; i++) {
        if (self->folders[i].path)
            share_folder_release(&self->folders[i]);
    }
    for (size_t i = 0; i < self->message_count; i++)
        free(self->messages[i]);
    scan_notes_release(&self->notes);
    free(self->hidden);
    free(self);
    *self_p = NULL;
}

/* Folders */

bool shares_has_folder(const struct shares *self, size_t share)
{
    return share < self->folder_end && self->folders[share].path && !(self->removed >> share & 1);
}

/* The place of a folder that is shared; SHARES_FOLDERS_MAX when it is not. */
static size_t find_folder(const struct shares *self, const char *path)
{
    size_t share = 0;
    while (share < self->folder_end && !(shares_has_folder(self, share) && !self->folders[share].manifest &&
                                         strcmp(self->folders[share].path, path) == 0))
        share++;
    return share < self->folder_end ? share : SHARES_FOLDERS_MAX;
}

/* Takes over the folder, in the first free place. False when there is none. */
static bool put_folder(struct shares *self, const struct share_folder *folder)
{
    size_t share = 0;
    while (share < self->folder_end && self->folders[share].path)
        share++;
    if (share == SHARES_FOLDERS_MAX)
        return false;
    if (share == self->folder_end)
        self->folder_end++;
    self->folders[share] = *folder;
    scanning_add(self, (uint32_t)share);
    return true;
}

bool shares_add_folder(struct shares *self, const char *path, bool is_flat)
{
    struct share_folder folder;
    if (!share_folder_open(path, is_flat, &folder))
        return false;
    size_t share = find_folder(self, folder.path);
    if (share < SHARES_FOLDERS_MAX && (is_flat || !self->folders[share].is_flat)) {
        share_folder_release(&folder);
        return true;
    }
    /* The one that shares more stays. */
    if (share < SHARES_FOLDERS_MAX)
        scanning_remove(self, (uint32_t)share);
    if (put_folder(self, &folder))
        return true;
    share_folder_release(&folder);
    errno = ENOSPC;
    return false;
}

void shares_hide(struct shares *self, const char *path)
{
    assert(!self->hidden);
    self->hidden = strdup(path);
    assert(self->hidden);
    scan_hide(self->scan.scan, self->hidden);
}

int shares_add_manifest(struct shares *self, const char *path)
{
    struct share_folder folder;
    int error = share_folder_open_manifest(path, &folder);
    if (error || put_folder(self, &folder))
        return error;
    share_folder_release(&folder);
    return ENOSPC;
}

bool shares_remove_folder(struct shares *self, const char *path)
{
    size_t share = find_folder(self, path);
    if (share == SHARES_FOLDERS_MAX) {
        char *real_path = realpath(path, NULL);
        if (real_path)
            share = find_folder(self, real_path);
        free(real_path);
    }
    if (share == SHARES_FOLDERS_MAX)
        return false;
    scanning_remove(self, (uint32_t)share);
    return true;
}

/* The real path of what is in an existing folder; malloc'd, NULL when there is no such folder. */
static char *real_path_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    char *folder = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
    assert(folder);
    char *real_folder = realpath(folder, NULL), *real_path = NULL;
    free(folder);
    if (!real_folder)
        return NULL;
    int size = asprintf(&real_path, "%s%s%s", real_folder, real_folder[1] ? "/" : "", base);
    assert(size >= 0);
    free(real_folder);
    return real_path;
}

bool shares_adopt(struct shares *self, const char *path, const struct file_stamp *stamp,
                  const struct hash *root, struct hash *layer)
{
    char *real_path = real_path_of(path);
    bool is_shared = false;
    for (uint32_t share = 0; real_path && share < self->folder_end; share++) {
        if (!shares_has_folder(self, share))
            continue;
        const char *below = share_folder_below(&self->folders[share], real_path);
        if (!below)
            continue;
        struct layout layout = layout_of(stamp->size);
        if (!is_shared && layout_has_layer(&layout) == (layer != NULL)) {
            const struct cache_key key = {self->folders[share].path, below, *stamp};
            hash_cache_put(self->cache, &key, root, layer);
            layer = NULL;
            hashing_adopt(self, share, below, stamp, root);
        }
        is_shared = true;
        scanning_look(self, share, below, below);
    }
    free(layer);
    free(real_path);
    return is_shared;
}

/* For those who serve */

const struct share_index *shares_index(const struct shares *self)
{
    return self->index;
}

bool shares_locate(struct shares *self, uint64_t handle, struct shares_place *ret_place)
{
    const struct shared_file *file = share_index_by_handle(self->index, handle);
    if (!file || file->state != SHARE_READY) {
        errno = ENOENT;
        return false;
    }
    int fd = fcntl(self->folders[file->share].fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return false;
    *ret_place = (struct shares_place){fd, text_copy(text_of(file->path)), file->stamp, file->share};
    return true;
}

void shares_file_changed(struct shares *self, uint64_t handle, const struct file_stamp *stamp)
{
    static const struct file_stamp
        UNKNOWN; /* equals no file's: the cache does not know it, a scan renews it */
    uint64_t renewed;
    if (share_index_changed(self->index, handle, &renewed))
        share_index_restamp(self->index, renewed, stamp ? stamp : &UNKNOWN);
    hashing_pump(self);
}

bool shares_layer(struct shares *self, uint64_t handle, uint32_t first, uint32_t count,
                  struct hash *ret_hashes)
{
    const struct shared_file *file = share_index_by_handle(self->index, handle);
    if (!file || file->state != SHARE_READY)
        return false;
    if (hash_cache_layer(self->cache, file->stamp.size, &file->root, first, count, ret_hashes))
        return true;
    /* The cache has forgotten the file, so this hashes it. */
    uint64_t renewed;
    share_index_changed(self->index, handle, &renewed);
    hashing_pump(self);
    return false;
}

struct shares_figures shares_figures(const struct shares *self)
{
    struct shares_figures figures = self->figures;
    figures.waiting_files = share_index_unhashed_count(self->index);
    figures.waiting_bytes = share_index_unhashed_bytes(self->index) - hashing_bytes_in_all(self);
    figures.scan_count = self->scan.count;
    figures.is_busy = scanning_is_busy(self) || self->flush.is_running || hashing_is_busy(self) ||
                      hash_cache_waiting(self->cache) != CACHE_WAITING_NONE;
    return figures;
}
