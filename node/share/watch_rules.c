/* SPDX-License-Identifier: MIT */
#include "node/share/watch_rules.h"

#include "messages/table.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define NEVER_MS  UINT64_MAX
#define NS_PER_MS 1000000

/* When something is looked at. */
struct pace {
    uint64_t due_ms;        /* NEVER_MS: nothing has happened since the last look */
    uint64_t rest_until_ms; /* after a look */
    bool was_hurried;       /* a look came before the end of a rest; the next one waits */
};

struct base {
    struct pace pace;
    UT_hash_handle hh;
    char name[];
};

struct folder {
    char *path, *name;
    struct pace pace; /* of the folder itself, which takes in all names */
    struct base *bases;
    UT_hash_handle hh;
    size_t key_size;
    char key[]; /* share and name */
};

struct watch_rules {
    struct folder *folders;
    size_t place_count; /* folders and bases */
    bool has_overflow;
    uint64_t next_ms; /* not after the first that is due */
};

struct watch_rules *watch_rules_new(void)
{
    struct watch_rules *self = calloc(1, sizeof *self);
    assert(self);
    self->next_ms = NEVER_MS;
    return self;
}

static void free_base(struct watch_rules *self, struct folder *folder, struct base *base)
{
    HASH_DELETE(hh, folder->bases, base);
    free(base);
    self->place_count--;
}

static void free_bases(struct watch_rules *self, struct folder *folder)
{
    struct base *base, *next;
    HASH_ITER(hh, folder->bases, base, next)
    free_base(self, folder, base);
}

static void free_folder(struct watch_rules *self, struct folder *folder)
{
    free_bases(self, folder);
    HASH_DELETE(hh, self->folders, folder);
    free(folder->path);
    free(folder->name);
    free(folder);
    self->place_count--;
}

static void clear(struct watch_rules *self)
{
    struct folder *folder, *next;
    HASH_ITER(hh, self->folders, folder, next)
    free_folder(self, folder);
    self->next_ms = NEVER_MS;
}

void watch_rules_destroy(struct watch_rules **self_p)
{
    assert(self_p);
    struct watch_rules *self = *self_p;
    if (!self)
        return;
    clear(self);
    free(self);
    *self_p = NULL;
}

/* Pace */

static bool is_idle(const struct pace *pace, uint64_t now_ms)
{
    return pace->due_ms == NEVER_MS && now_ms >= pace->rest_until_ms;
}

/* The first event after a quiet time makes it due, not the last: a burst that never ends is looked at too. */
static void pace_on_event(struct pace *pace, enum watch_event event, uint64_t now_ms)
{
    uint64_t soon_ms = now_ms + WATCH_BURST_MS;
    if (is_idle(pace, now_ms)) {
        pace->was_hurried = false;
        pace->due_ms = soon_ms;
        return;
    }
    if (pace->due_ms == NEVER_MS)
        pace->due_ms = pace->rest_until_ms > soon_ms ? pace->rest_until_ms : soon_ms;
    if (event == WATCH_FINISHED && !pace->was_hurried && pace->due_ms > soon_ms) {
        pace->was_hurried = true;
        pace->due_ms = soon_ms;
    }
}

static bool pace_take(struct pace *pace, uint64_t rest_ms, uint64_t now_ms)
{
    if (pace->due_ms > now_ms)
        return false;
    pace->due_ms = NEVER_MS;
    pace->rest_until_ms = now_ms + rest_ms;
    return true;
}

/* Places */

static void forget_idle(struct watch_rules *self, uint64_t now_ms)
{
    struct folder *folder, *next_folder;
    HASH_ITER(hh, self->folders, folder, next_folder)
    {
        struct base *base, *next;
        HASH_ITER(hh, folder->bases, base, next)
        {
            if (is_idle(&base->pace, now_ms))
                free_base(self, folder, base);
        }
        if (!folder->bases && is_idle(&folder->pace, now_ms))
            free_folder(self, folder);
    }
}

/* Makes room for a folder and a name. False when everything has become one scan. */
static bool make_room(struct watch_rules *self, uint64_t now_ms)
{
    if (self->place_count + 2 <= WATCH_PLACES_MAX)
        return true;
    forget_idle(self, now_ms);
    if (self->place_count + 2 <= WATCH_PLACES_MAX)
        return true;
    watch_rules_on_overflow(self);
    return false;
}

static struct folder *find_folder(struct watch_rules *self, uint32_t share, const char *path,
                                  const char *name)
{
    size_t name_size = strlen(name), key_size = sizeof share + name_size;
    struct folder *folder = calloc(1, sizeof *folder + key_size), *known = NULL;
    assert(folder);
    memcpy(folder->key, &share, sizeof share);
    memcpy(folder->key + sizeof share, name, name_size);
    HASH_FIND(hh, self->folders, folder->key, key_size, known);
    if (known) {
        free(folder);
        return known;
    }
    folder->key_size = key_size;
    folder->path = strdup(path);
    folder->name = strdup(name);
    assert(folder->path && folder->name);
    folder->pace.due_ms = NEVER_MS;
    HASH_ADD_KEYPTR(hh, self->folders, folder->key, key_size, folder);
    self->place_count++;
    return folder;
}

static struct base *find_base(struct watch_rules *self, struct folder *folder, const char *name)
{
    struct base *base = NULL;
    size_t size = strlen(name);
    HASH_FIND(hh, folder->bases, name, size, base);
    if (base)
        return base;
    base = calloc(1, sizeof *base + size + 1);
    assert(base);
    memcpy(base->name, name, size);
    base->pace.due_ms = NEVER_MS;
    HASH_ADD_KEYPTR(hh, folder->bases, base->name, size, base);
    self->place_count++;
    return base;
}

static void note_due(struct watch_rules *self, const struct pace *pace)
{
    if (pace->due_ms < self->next_ms)
        self->next_ms = pace->due_ms;
}

void watch_rules_on_event(struct watch_rules *self, enum watch_event event, uint32_t share,
                          const char *folder_path, const char *folder_name, const char *base, uint64_t now_ms)
{
    if (!make_room(self, now_ms))
        return;
    struct folder *folder = find_folder(self, share, folder_path, folder_name);
    bool is_whole = !*base || !is_idle(&folder->pace, now_ms);
    if (!is_whole && HASH_COUNT(folder->bases) >= WATCH_NAMES_MAX) {
        is_whole = true;
        free_bases(self, folder);
    }
    struct pace *pace = is_whole ? &folder->pace : &find_base(self, folder, base)->pace;
    pace_on_event(pace, event, now_ms);
    note_due(self, pace);
}

void watch_rules_on_overflow(struct watch_rules *self)
{
    clear(self);
    self->has_overflow = true;
}

bool watch_rules_take_overflow(struct watch_rules *self)
{
    bool has_overflow = self->has_overflow;
    self->has_overflow = false;
    return has_overflow;
}

static char *join(const char *folder, const char *base)
{
    char *joined = NULL;
    int size =
        *folder && *base ? asprintf(&joined, "%s/%s", folder, base) : asprintf(&joined, "%s%s", folder, base);
    assert(size >= 0);
    return joined;
}

static struct watch_place place_of(const struct folder *folder, const char *base)
{
    struct watch_place place = {.path = join(folder->path, base), .name = join(folder->name, base)};
    memcpy(&place.share, folder->key, sizeof place.share);
    return place;
}

size_t watch_rules_take(struct watch_rules *self, uint64_t now_ms, struct watch_place *ret_places,
                        size_t limit)
{
    size_t count = 0;
    if (self->next_ms > now_ms)
        return 0;
    self->next_ms = NEVER_MS;
    for (struct folder *folder = self->folders; folder; folder = folder->hh.next) {
        if (count < limit && pace_take(&folder->pace, WATCH_FOLDER_MS, now_ms))
            ret_places[count++] = place_of(folder, "");
        note_due(self, &folder->pace);
        for (struct base *base = folder->bases; base; base = base->hh.next) {
            if (count < limit && pace_take(&base->pace, WATCH_FILE_MS, now_ms))
                ret_places[count++] = place_of(folder, base->name);
            note_due(self, &base->pace);
        }
    }
    return count;
}

uint64_t watch_rules_next_ms(const struct watch_rules *self)
{
    return self->next_ms;
}

uint64_t watch_quiet_ms(const struct file_stamp *stamp, uint64_t wall_ns)
{
    uint64_t age_ms = wall_ns > stamp->ctime_ns ? (wall_ns - stamp->ctime_ns) / NS_PER_MS : 0;
    return age_ms < WATCH_QUIET_MS ? WATCH_QUIET_MS - age_ms : 0;
}
