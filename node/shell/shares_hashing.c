/* SPDX-License-Identifier: MIT */
#include "node/shell/shares_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Queues of handles */

static void handles_push(struct handles *self, uint64_t handle)
{
    if (self->first == self->end)
        self->first = self->end = 0;
    if (self->end == self->room) {
        self->room = self->room ? self->room * 2 : 64;
        self->items = realloc(self->items, self->room * sizeof self->items[0]);
        assert(self->items);
    }
    self->items[self->end++] = handle;
}

static bool handles_is_empty(const struct handles *self)
{
    return self->first == self->end;
}

/* The next file of the queue that still has no id; NULL when the queue is empty. */
static const struct shared_file *handles_pop(struct handles *self, const struct share_index *index)
{
    while (!handles_is_empty(self)) {
        const struct shared_file *file = share_index_by_handle(index, self->items[self->first++]);
        if (file && file->state == SHARE_UNHASHED)
            return file;
    }
    return NULL;
}

static void queue(struct shares *self, const struct shared_file *file)
{
    bool is_small = file->stamp.size <= FILE_HASH_SPAN_SIZE;
    handles_push(is_small ? &self->small : &self->large, file->handle);
}

/* Hashing */

static bool is_passing(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case ENOENT: /* gone, or about to be replaced: the next scan tells */
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
    case ESTALE:
        return true;
    default:
        return false;
    }
}

static void hashed(struct shares *self, const struct shared_file *file, struct file_hash_result *result)
{
    const struct cache_key key = {self->folders[file->share].path, file->path, result->stamp};
    hash_cache_put(self->cache, &key, &result->root, result->layer);
    result->layer = NULL;
    uint64_t handle = file->handle;
    share_index_restamp(self->index, handle, &result->stamp);
    share_index_hashed(self->index, handle, &result->root);
    self->figures.hashed_files++;
    self->figures.hashed_bytes += result->stamp.size;
}

static void done_hash(void *owner, struct file_hash_result *result)
{
    struct hashing *hashing = owner;
    struct shares *self = hashing->shares;
    const struct shared_file *file = share_index_by_handle(self->index, hashing->handle);
    hashing->handle = 0;
    hashing->hash = NULL;
    if (file && file->state == SHARE_UNHASHED) {
        switch (result->status) {
        case FILE_HASH_READY:
            hashed(self, file, result);
            break;
        case FILE_HASH_CHANGED:
            handles_push(&self->later, file->handle);
            break;
        case FILE_HASH_FAILED:
            if (is_passing(result->error)) {
                handles_push(&self->later, file->handle);
                break;
            }
            shares_report(self, file->path, result->error);
            share_index_unreadable(self->index, file->handle);
            break;
        case FILE_HASH_STOPPED:
            break;
        }
    }
    hashing_pump(self);
}

/* Fills the first `count` places from the queue. Returns how many run. */
static size_t fill(struct shares *self, struct handles *handles, struct hashing *places, size_t count,
                   unsigned parallel)
{
    size_t running_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (places[i].handle == 0) {
            const struct shared_file *file = handles_pop(handles, self->index);
            if (!file)
                continue;
            places[i].handle = file->handle;
            places[i].hash = file_hash_start(self->workers, self->folders[file->share].fd, file->path,
                                             parallel, done_hash, &places[i]);
        }
        running_count++;
    }
    return running_count;
}

static void pump_hashing(struct shares *self)
{
    size_t small_count = fill(self, &self->small, self->small_running, SMALL_MAX, 1);
    /* As long as small files wait, large ones get by with one span at a time. */
    bool is_alone = small_count < SMALL_MAX;
    unsigned parallel = is_alone ? workers_count(self->workers) + 1 : 1;
    fill(self, &self->large, self->large_running, is_alone ? LARGE_MAX : 1, parallel);
    for (size_t i = 0; i < LARGE_MAX; i++) {
        if (self->large_running[i].hash)
            file_hash_set_parallel(self->large_running[i].hash, parallel);
    }
}

/* Looking up */

static void run_lookup(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, lookup.job);
    hash_cache_find(self->cache, self->lookup.keys, self->lookup.count, self->lookup.found);
    self->lookup.has_run = true;
}

static void release_keys(struct lookup *lookup)
{
    for (size_t i = 0; i < lookup->count; i++)
        free((void *)(uintptr_t)lookup->keys[i].path); /* a copy of ours, const in the key */
    lookup->count = 0;
}

static void done_lookup(struct job *job)
{
    struct shares *self = container_of_job(job, struct shares, lookup.job);
    struct lookup *lookup = &self->lookup;
    lookup->is_running = false;
    for (size_t i = 0; i < lookup->count && lookup->has_run; i++) {
        const struct shared_file *file = share_index_by_handle(self->index, lookup->handles[i]);
        if (!file || file->state != SHARE_UNHASHED)
            continue;
        if (lookup->found[i].is_known && file_stamp_equal(&file->stamp, &lookup->keys[i].stamp)) {
            share_index_hashed(self->index, file->handle, &lookup->found[i].root);
            self->figures.cached_files++;
        } else {
            queue(self, file);
        }
    }
    release_keys(lookup);
    hashing_pump(self);
}

/* Hands the next batch of files without an id to the cache, one batch at a time. */
static void pump_lookup(struct shares *self)
{
    struct lookup *lookup = &self->lookup;
    if (lookup->is_running)
        return;
    const struct shared_file *file;
    while (lookup->count < LOOKUP_MAX &&
           (file = share_index_next_unhashed(self->index, self->looked_up)) != NULL) {
        self->looked_up = file->handle;
        char *path = strdup(file->path);
        assert(path);
        lookup->handles[lookup->count] = file->handle;
        lookup->keys[lookup->count++] =
            (struct cache_key){self->folders[file->share].path, path, file->stamp};
    }
    if (lookup->count == 0)
        return;
    lookup->is_running = true;
    lookup->has_run = false;
    workers_put(self->workers, &lookup->job);
}

/* For shares.c */

void hashing_init(struct shares *self)
{
    self->lookup.job = (struct job){.run = run_lookup, .done = done_lookup};
    for (size_t i = 0; i < SMALL_MAX; i++)
        self->small_running[i].shares = self;
    for (size_t i = 0; i < LARGE_MAX; i++)
        self->large_running[i].shares = self;
}

bool hashing_is_busy(const struct shares *self)
{
    bool is_busy =
        self->lookup.is_running || !handles_is_empty(&self->small) || !handles_is_empty(&self->large);
    for (size_t i = 0; i < SMALL_MAX; i++)
        is_busy |= self->small_running[i].handle != 0;
    for (size_t i = 0; i < LARGE_MAX; i++)
        is_busy |= self->large_running[i].handle != 0;
    return is_busy;
}

uint64_t hashing_bytes(const struct shares *self, uint64_t handle)
{
    for (size_t i = 0; i < LARGE_MAX; i++) {
        if (self->large_running[i].handle == handle)
            return file_hash_bytes(self->large_running[i].hash);
    }
    return 0;
}

void hashing_release(struct shares *self)
{
    assert(!self->lookup.is_running);
    free(self->small.items);
    free(self->large.items);
    free(self->later.items);
}

void hashing_pump(struct shares *self)
{
    if (workers_is_stopping(self->workers))
        return;
    pump_lookup(self);
    pump_hashing(self);
}

void hashing_retry(struct shares *self)
{
    const struct shared_file *file;
    while ((file = handles_pop(&self->later, self->index)) != NULL)
        queue(self, file);
}
