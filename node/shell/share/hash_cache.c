/* SPDX-License-Identifier: MIT */
#include "node/shell/share/hash_cache.h"

#include "node/content/layout.h"
#include "node/content/tree.h"
#include "node/shell/share/cache_database.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define S_PER_DAY      86400
#define PRUNE_ROWS_MAX 100

/* Layers known to be whole since they were read once. A download asks for a few runs of one layer in a row.
 */
#define VERIFIED_MAX 16

/* Where rows are kept: each is tried when the one before it does not work. */
enum place {
    PLACE_FILE,
    PLACE_TEMPORARY, /* on disk, gone with the process */
    PLACE_MEMORY,
    PLACE_NOWHERE,
};

struct waiting {
    char *share, *path;
    struct file_stamp stamp;
    struct hash root;
    struct hash *layer; /* NULL without one */
    uint32_t layer_count;
};

struct hash_cache {
    char *path; /* NULL: nothing is kept */

    pthread_mutex_t list_lock; /* the list and the notice; never held while the disk works */
    struct waiting **waiting;
    size_t waiting_count, waiting_room, waiting_bytes;
    char *notice;

    pthread_mutex_t database_lock; /* all below; may be taken before list_lock, never after it */
    enum place place;
    bool is_open;
    struct cache_database database;
    struct file_id verified[VERIFIED_MAX];
    size_t verified_count, verified_next;
};

static uint32_t today(void)
{
    return (uint32_t)(time(NULL) / S_PER_DAY);
}

struct hash_cache *hash_cache_new(const char *path)
{
    struct hash_cache *self = calloc(1, sizeof *self);
    assert(self);
    self->path = path ? strdup(path) : NULL;
    self->place = path ? PLACE_FILE : PLACE_TEMPORARY;
    pthread_mutex_init(&self->list_lock, NULL);
    pthread_mutex_init(&self->database_lock, NULL);
    return self;
}

static void waiting_free(struct waiting *waiting)
{
    free(waiting->share);
    free(waiting->path);
    free(waiting->layer);
    free(waiting);
}

void hash_cache_destroy(struct hash_cache **self_p)
{
    assert(self_p);
    struct hash_cache *self = *self_p;
    if (!self)
        return;
    hash_cache_flush(self);
    if (self->is_open)
        cache_database_release(&self->database, true);
    pthread_mutex_destroy(&self->list_lock);
    pthread_mutex_destroy(&self->database_lock);
    free(self->waiting);
    free(self->notice);
    free(self->path);
    free(self);
    *self_p = NULL;
}

/* Trouble with the database; all with its lock held */

static void notice(struct hash_cache *self, const char *what)
{
    char *line = NULL;
    int size = asprintf(&line, "hash cache %s: %s: %s", self->path, self->database.reason, what);
    assert(size >= 0);
    pthread_mutex_lock(&self->list_lock);
    free(self->notice); /* one that nobody has read yet: the later one says what holds now */
    self->notice = line;
    pthread_mutex_unlock(&self->list_lock);
}

/* Renames the database with its log. False when that is not possible. */
static bool move_aside(const struct hash_cache *self)
{
    static const char *const SUFFIXES[] = {"", "-wal"};
    bool is_moved = true;
    for (size_t i = 0; i < 2; i++) {
        char *from = NULL, *to = NULL;
        int size = asprintf(&from, "%s%s", self->path, SUFFIXES[i]);
        assert(size >= 0);
        size = asprintf(&to, "%s.damaged%s", self->path, SUFFIXES[i]);
        assert(size >= 0);
        if (rename(from, to) != 0 && errno != ENOENT)
            is_moved = false;
        free(from);
        free(to);
    }
    return is_moved;
}

/* Reacts to a failure: the database is closed, and the next use opens what takes its place. */
static void give_up(struct hash_cache *self, enum cache_result result)
{
    cache_database_release(&self->database, false);
    self->is_open = false;
    self->verified_count = self->verified_next = 0;
    if (self->place != PLACE_FILE) {
        self->place++;
    } else if (result == CACHE_DAMAGED && move_aside(self)) {
        notice(self, "damaged, moved aside to .damaged; files are hashed anew");
    } else {
        notice(self, "not used; files are hashed anew at each start");
        self->place = PLACE_TEMPORARY;
    }
}

/* False when there is no database at all. A damaged file is replaced once; a second failure leads elsewhere.
 */
static bool ensure_open(struct hash_cache *self)
{
    bool is_second = false;
    while (!self->is_open && self->place != PLACE_NOWHERE) {
        const char *path = self->place == PLACE_FILE     ? self->path
                           : self->place == PLACE_MEMORY ? ":memory:"
                                                         : "";
        enum cache_result result = cache_database_open(&self->database, path);
        if (result == CACHE_OK)
            self->is_open = true;
        else
            give_up(self, is_second ? CACHE_USELESS : result);
        is_second = true;
    }
    return self->is_open;
}

static bool has_failed(enum cache_result result)
{
    return result == CACHE_DAMAGED || result == CACHE_USELESS;
}

/* Files */

void hash_cache_find(struct hash_cache *self, const struct cache_key *keys, size_t count,
                     struct cache_found *ret_found)
{
    memset(ret_found, 0, count * sizeof *ret_found);
    pthread_mutex_lock(&self->database_lock);
    if (ensure_open(self)) {
        enum cache_result result = cache_database_begin(&self->database);
        for (size_t i = 0; i < count && !has_failed(result); i++) {
            result = cache_database_find(&self->database, &keys[i], today(), &ret_found[i].root);
            ret_found[i].is_known = result == CACHE_OK;
        }
        if (!has_failed(result))
            result = cache_database_commit(&self->database);
        if (has_failed(result))
            give_up(self, result);
    }
    pthread_mutex_unlock(&self->database_lock);
}

static void put(struct hash_cache *self, const struct cache_key *key, const struct hash *root,
                struct hash *layer)
{
    struct waiting *waiting = malloc(sizeof *waiting);
    assert(waiting);
    struct layout layout = layout_of(key->stamp.size);
    *waiting = (struct waiting){
        .share = strdup(key->share),
        .path = strdup(key->path),
        .stamp = key->stamp,
        .root = *root,
        .layer = layer,
        .layer_count = layer ? layout.chunk_count : 0,
    };
    assert(waiting->share && waiting->path);
    pthread_mutex_lock(&self->list_lock);
    if (self->waiting_count == self->waiting_room) {
        self->waiting_room = self->waiting_room ? self->waiting_room * 2 : 64;
        self->waiting = realloc(self->waiting, self->waiting_room * sizeof(struct waiting *));
        assert(self->waiting);
    }
    self->waiting[self->waiting_count++] = waiting;
    self->waiting_bytes += (size_t)waiting->layer_count * sizeof *layer;
    pthread_mutex_unlock(&self->list_lock);
}

void hash_cache_put(struct hash_cache *self, const struct cache_key *key, const struct hash *root,
                    struct hash *layer)
{
    struct layout layout = layout_of(key->stamp.size);
    assert(layout_has_layer(&layout) == (layer != NULL));
    put(self, key, root, layer);
}

void hash_cache_put_moved(struct hash_cache *self, const struct cache_key *key, const struct hash *root)
{
    put(self, key, root, NULL);
}

enum cache_waiting hash_cache_waiting(struct hash_cache *self)
{
    pthread_mutex_lock(&self->list_lock);
    enum cache_waiting waiting = CACHE_WAITING_SOME;
    if (self->waiting_count == 0)
        waiting = CACHE_WAITING_NONE;
    else if (self->waiting_count >= HASH_CACHE_WAITING_FILES_MAX ||
             self->waiting_bytes >= HASH_CACHE_WAITING_BYTES_MAX)
        waiting = CACHE_WAITING_MUCH;
    pthread_mutex_unlock(&self->list_lock);
    return waiting;
}

static enum cache_result write_waiting(struct hash_cache *self, struct waiting *const *waiting, size_t count)
{
    enum cache_result result = cache_database_begin(&self->database);
    for (size_t i = 0; i < count && result == CACHE_OK; i++) {
        const struct cache_key key = {waiting[i]->share, waiting[i]->path, waiting[i]->stamp};
        result = cache_database_put(&self->database, &key, &waiting[i]->root, waiting[i]->layer,
                                    waiting[i]->layer_count, today());
    }
    return result == CACHE_OK ? cache_database_commit(&self->database) : result;
}

/* The first `count` that wait. They stay in the list, where layers are looked for, until they are written. */
static struct waiting **snapshot(struct hash_cache *self, size_t *ret_count)
{
    pthread_mutex_lock(&self->list_lock);
    size_t count = self->waiting_count;
    struct waiting **copy = malloc((count + 1) * sizeof(struct waiting *));
    assert(copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = self->waiting[i];
    pthread_mutex_unlock(&self->list_lock);
    *ret_count = count;
    return copy;
}

/* Removes the first `count` from the list and frees them. */
static void drop_written(struct hash_cache *self, struct waiting **written, size_t count)
{
    pthread_mutex_lock(&self->list_lock);
    self->waiting_count -= count;
    memmove(self->waiting, self->waiting + count, self->waiting_count * sizeof(struct waiting *));
    for (size_t i = 0; i < count; i++)
        self->waiting_bytes -= (size_t)written[i]->layer_count * sizeof(struct hash);
    pthread_mutex_unlock(&self->list_lock);
    for (size_t i = 0; i < count; i++)
        waiting_free(written[i]);
}

void hash_cache_flush(struct hash_cache *self)
{
    pthread_mutex_lock(&self->database_lock);
    size_t count;
    struct waiting **waiting = snapshot(self, &count);
    /* What one place cannot take goes to the next. */
    while (count > 0 && ensure_open(self)) {
        enum cache_result result = write_waiting(self, waiting, count);
        if (result == CACHE_OK)
            break;
        give_up(self, result);
    }
    if (count > 0)
        drop_written(self, waiting, count);
    free(waiting);
    pthread_mutex_unlock(&self->database_lock);
}

/* Layers */

static bool layer_from_waiting(struct hash_cache *self, uint64_t size, const struct hash *root,
                               uint32_t first, uint32_t count, struct hash *ret_hashes)
{
    bool is_found = false;
    pthread_mutex_lock(&self->list_lock);
    for (size_t i = 0; i < self->waiting_count && !is_found; i++) {
        const struct waiting *waiting = self->waiting[i];
        is_found = waiting->layer && waiting->stamp.size == size && hash_equal(&waiting->root, root);
        if (is_found)
            memcpy(ret_hashes, waiting->layer + first, count * sizeof *ret_hashes);
    }
    pthread_mutex_unlock(&self->list_lock);
    return is_found;
}

static bool is_verified(const struct hash_cache *self, const struct file_id *id)
{
    for (size_t i = 0; i < self->verified_count; i++) {
        if (file_id_equal(&self->verified[i], id))
            return true;
    }
    return false;
}

/* Reads the whole layer and hashes it up to the root, for SQLite does not notice a changed bit in it. */
static enum cache_result verify(struct hash_cache *self, const struct layout *layout, const struct hash *root,
                                const struct file_id *id)
{
    struct hash *layer = malloc((size_t)layout->chunk_count * sizeof *layer), computed;
    if (!layer)
        return CACHE_NONE;
    enum cache_result result =
        cache_database_layer(&self->database, id, layout->chunk_count, 0, layout->chunk_count, layer);
    if (result == CACHE_OK && (!tree_root_of_layer(layout, layer, &computed) || !hash_equal(&computed, root)))
        result = CACHE_NONE;
    free(layer);
    if (result == CACHE_OK) {
        self->verified[self->verified_next] = *id;
        self->verified_next = (self->verified_next + 1) % VERIFIED_MAX;
        if (self->verified_count < VERIFIED_MAX)
            self->verified_count++;
    }
    return result;
}

bool hash_cache_layer(struct hash_cache *self, uint64_t size, const struct hash *root, uint32_t first,
                      uint32_t count, struct hash *ret_hashes)
{
    struct layout layout = layout_of(size);
    assert(layout_has_layer(&layout) && count <= layout.chunk_count && first <= layout.chunk_count - count);
    if (layer_from_waiting(self, size, root, first, count, ret_hashes))
        return true;
    struct file_id id = file_id_of(size, root);
    bool is_found = false;
    pthread_mutex_lock(&self->database_lock);
    if (ensure_open(self)) {
        enum cache_result result = CACHE_OK;
        if (!is_verified(self, &id))
            result = verify(self, &layout, root, &id);
        if (result == CACHE_OK)
            result = cache_database_layer(&self->database, &id, layout.chunk_count, first, count, ret_hashes);
        is_found = result == CACHE_OK;
        if (result == CACHE_NONE)
            result = cache_database_forget(&self->database, &id);
        if (has_failed(result))
            give_up(self, result);
    }
    pthread_mutex_unlock(&self->database_lock);
    return is_found;
}

/* Old rows */

static bool is_gone(const struct stale_row *row)
{
    char *path = NULL;
    int size = asprintf(&path, "%s/%s", row->share, row->path);
    assert(size >= 0);
    struct stat status;
    bool gone = lstat(path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
    free(path);
    return gone;
}

void hash_cache_prune(struct hash_cache *self, uint64_t now_s)
{
    uint32_t day = (uint32_t)(now_s / S_PER_DAY);
    if (day < HASH_CACHE_KEEP_DAYS) /* a clock that was never set */
        return;
    pthread_mutex_lock(&self->database_lock);
    bool is_open = ensure_open(self);
    enum cache_result result = is_open ? cache_database_begin(&self->database) : CACHE_NONE;
    for (unsigned i = 0; i < PRUNE_ROWS_MAX && result == CACHE_OK; i++) {
        struct stale_row row;
        result = cache_database_stale(&self->database, day - HASH_CACHE_KEEP_DAYS, &row);
        if (result != CACHE_OK)
            break;
        result = is_gone(&row) ? cache_database_remove(&self->database, row.row)
                               : cache_database_seen(&self->database, row.row, day);
        free(row.share);
        free(row.path);
    }
    if (is_open && !has_failed(result))
        result = cache_database_commit(&self->database);
    if (has_failed(result))
        give_up(self, result);
    pthread_mutex_unlock(&self->database_lock);
}

char *hash_cache_take_notice(struct hash_cache *self)
{
    pthread_mutex_lock(&self->list_lock);
    char *taken = self->notice;
    self->notice = NULL;
    pthread_mutex_unlock(&self->list_lock);
    return taken;
}
