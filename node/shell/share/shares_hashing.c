/* SPDX-License-Identifier: MIT */
#include "node/shell/share/shares_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static bool is_small(const struct shared_file *file)
{
    return file->stamp.size <= FILE_HASH_SPAN_SIZE;
}

static void queue(struct shares *self, const struct shared_file *file)
{
    handles_push(is_small(file) ? &self->small : &self->large, file->handle);
}

/* Files that are not quiet yet */

static uint64_t quiet_ms(const struct shares *self, const struct shared_file *file)
{
    struct timespec now;
    /* Without a watch nobody tells of a later change, so what is read too soon is read again. And what was
     * there at the start is hardly ever being written. */
    if (!self->watch || file->handle < self->scan.first_handles_end)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    return watch_quiet_ms(&file->stamp, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
}

static void hold(struct shares *self, uint64_t handle, uint64_t wait_ms)
{
    if (self->held_count == self->held_room) {
        self->held_room = self->held_room ? self->held_room * 2 : 64;
        self->held = realloc(self->held, self->held_room * sizeof self->held[0]);
        assert(self->held);
    }
    uint64_t due_ms = self->scan.now_ms + wait_ms;
    self->held[self->held_count++] = (struct held){handle, due_ms};
    if (due_ms < self->held_ms)
        self->held_ms = due_ms;
}

uint64_t hashing_tick(struct shares *self, uint64_t now_ms)
{
    size_t kept = 0;
    if (self->held_ms <= now_ms) {
        self->held_ms = NEVER_MS;
        for (size_t i = 0; i < self->held_count; i++) {
            struct held held = self->held[i];
            const struct shared_file *file = share_index_by_handle(self->index, held.handle);
            if (file && file->state == SHARE_UNHASHED && held.due_ms > now_ms) {
                self->held[kept++] = held;
                if (held.due_ms < self->held_ms)
                    self->held_ms = held.due_ms;
            } else if (file && file->state == SHARE_UNHASHED) {
                queue(self, file);
            }
        }
        self->held_count = kept;
    }
    hashing_pump(self);
    return self->held_ms;
}

/* Files that somebody waits for */

static bool is_looked_up(const struct shares *self, uint64_t handle)
{
    const struct lookup *lookup = &self->lookup;
    bool is_in_batch = lookup->count > 0 && handle >= lookup->handles[0];
    return handle <= self->looked_up && !(lookup->is_running && is_in_batch);
}

static bool is_running(const struct shares *self, uint64_t handle)
{
    for (size_t i = 0; i < SMALL_MAX; i++) {
        if (self->small_running[i].handle == handle)
            return true;
    }
    for (size_t i = 0; i < LARGE_MAX; i++) {
        if (self->large_running[i].handle == handle)
            return true;
    }
    return false;
}

/* Keeps the latest; those that have their id by now make room. */
static void take_asked(struct shares *self)
{
    uint64_t handles[2 * SHARE_ASKED_MAX];
    size_t count = share_index_take_asked(self->index, handles), kept = 0;
    for (size_t i = 0; i < self->asked_count; i++)
        handles[count++] = self->asked[i];
    for (size_t i = 0; i < count && kept < SHARE_ASKED_MAX; i++) {
        const struct shared_file *file = share_index_by_handle(self->index, handles[i]);
        bool is_known = false;
        for (size_t k = 0; k < kept && !is_known; k++)
            is_known = self->asked[k] == handles[i];
        if (file && file->state == SHARE_UNHASHED && !is_known && !is_running(self, handles[i]))
            self->asked[kept++] = handles[i];
    }
    self->asked_count = kept;
}

/* The next file of this kind that somebody waits for, and that may be hashed; NULL when there is none. */
static const struct shared_file *asked_pop(struct shares *self, bool wants_small)
{
    for (size_t i = 0; i < self->asked_count; i++) {
        const struct shared_file *file = share_index_by_handle(self->index, self->asked[i]);
        if (!file || file->state != SHARE_UNHASHED || is_small(file) != wants_small ||
            !is_looked_up(self, file->handle) || is_running(self, file->handle) || quiet_ms(self, file) > 0)
            continue;
        self->asked_count--;
        memmove(&self->asked[i], &self->asked[i + 1], (self->asked_count - i) * sizeof self->asked[0]);
        return file;
    }
    return NULL;
}

/* Content that is known already */

void hashing_adopt(struct shares *self, uint32_t share, const char *path, const struct file_stamp *stamp,
                   const struct hash *root)
{
    if (self->adopted_count == ADOPTED_MAX) { /* the oldest was never found */
        free(self->adopted[0].path);
        self->adopted_count--;
        memmove(&self->adopted[0], &self->adopted[1], self->adopted_count * sizeof self->adopted[0]);
    }
    struct adopted *adopted = &self->adopted[self->adopted_count++];
    *adopted = (struct adopted){share, strdup(path), *stamp, *root};
    assert(adopted->path);
}

/* True when the file is one that was adopted: it has its id now. */
static bool take_adopted(struct shares *self, const struct shared_file *file)
{
    for (size_t i = 0; i < self->adopted_count; i++) {
        struct adopted adopted = self->adopted[i];
        if (adopted.share != file->share || strcmp(adopted.path, file->path) != 0)
            continue;
        self->adopted_count--;
        memmove(&self->adopted[i], &self->adopted[i + 1],
                (self->adopted_count - i) * sizeof self->adopted[0]);
        bool is_same = file_stamp_equal(&adopted.stamp, &file->stamp);
        if (is_same)
            share_index_hashed(self->index, file->handle, &adopted.root);
        free(adopted.path);
        return is_same;
    }
    return false;
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

/* Until the end of the next scan or look; where events tell of changes, one is asked for, and its pace is
 * that of the attempts. */
static void set_aside(struct shares *self, const struct shared_file *file)
{
    handles_push(&self->later, file->handle);
    if (self->watch)
        scanning_look(self, file->share, file->path, file->place);
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
            set_aside(self, file);
            break;
        case FILE_HASH_FAILED:
            if (is_passing(result->error)) {
                set_aside(self, file);
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

/* As handles_pop(), but for what is being hashed because somebody asked, or was adopted meanwhile. */
static const struct shared_file *handles_pop_idle(struct shares *self, struct handles *handles)
{
    const struct shared_file *file;
    do
        file = handles_pop(handles, self->index);
    while (file && (is_running(self, file->handle) || take_adopted(self, file)));
    return file;
}

/* Fills the first `count` places from the queue. Returns how many run. */
static size_t fill(struct shares *self, struct handles *handles, struct hashing *places, size_t count,
                   unsigned parallel)
{
    size_t running_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (places[i].handle == 0) {
            const struct shared_file *file = asked_pop(self, handles == &self->small);
            if (!file)
                file = handles_pop_idle(self, handles);
            if (!file)
                continue;
            places[i].handle = file->handle;
            places[i].share = file->share;
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
    bool is_alone = small_count < SMALL_MAX || self->asked_count > 0;
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
            continue;
        }
        uint64_t wait_ms = quiet_ms(self, file);
        if (wait_ms > 0)
            hold(self, file->handle, wait_ms);
        else
            queue(self, file);
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
        if (take_adopted(self, file))
            continue;
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
    self->held_ms = NEVER_MS;
}

bool hashing_is_busy(const struct shares *self)
{
    bool is_busy = self->lookup.is_running || !handles_is_empty(&self->small) ||
                   !handles_is_empty(&self->large) || self->held_count > 0;
    for (size_t i = 0; i < SMALL_MAX; i++)
        is_busy |= self->small_running[i].handle != 0;
    for (size_t i = 0; i < LARGE_MAX; i++)
        is_busy |= self->large_running[i].handle != 0;
    return is_busy;
}

bool hashing_uses(const struct shares *self, uint32_t share)
{
    bool is_used = self->lookup.is_running;
    for (size_t i = 0; i < SMALL_MAX; i++)
        is_used |= self->small_running[i].handle != 0 && self->small_running[i].share == share;
    for (size_t i = 0; i < LARGE_MAX; i++)
        is_used |= self->large_running[i].handle != 0 && self->large_running[i].share == share;
    return is_used;
}

uint64_t hashing_bytes(const struct shares *self, uint64_t handle)
{
    for (size_t i = 0; i < LARGE_MAX; i++) {
        if (self->large_running[i].handle == handle)
            return file_hash_bytes(self->large_running[i].hash);
    }
    return 0;
}

uint64_t hashing_bytes_in_all(const struct shares *self)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < LARGE_MAX; i++) {
        const struct hashing *hashing = &self->large_running[i];
        const struct shared_file *file =
            hashing->handle ? share_index_by_handle(self->index, hashing->handle) : NULL;
        uint64_t hashed = file && file->state == SHARE_UNHASHED ? file_hash_bytes(hashing->hash) : 0;
        bytes += file && hashed > file->stamp.size ? file->stamp.size : hashed; /* it may have shrunk */
    }
    return bytes;
}

void hashing_release(struct shares *self)
{
    assert(!self->lookup.is_running);
    free(self->small.items);
    free(self->large.items);
    free(self->later.items);
    free(self->held);
    for (size_t i = 0; i < self->adopted_count; i++)
        free(self->adopted[i].path);
}

void hashing_pump(struct shares *self)
{
    if (workers_is_stopping(self->workers))
        return;
    pump_lookup(self);
    take_asked(self);
    pump_hashing(self);
}

void hashing_retry(struct shares *self)
{
    const struct shared_file *file;
    while ((file = handles_pop(&self->later, self->index)) != NULL)
        queue(self, file);
}
