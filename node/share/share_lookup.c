/* SPDX-License-Identifier: MIT */
#include "node/share/share_entries.h"

#include <assert.h>
#include <stdlib.h>

#define NS_PER_MS 1000000

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

static int compare_handle(const struct entry *a, const struct entry *b)
{
    return a->file.handle < b->file.handle ? -1 : a->file.handle > b->file.handle;
}

size_t share_index_handle_bound(const struct share_index *self, uint64_t handle)
{
    struct entry key = {.file = {.handle = handle}};
    return entries_bound(self->by_handle, 0, self->count, &key, compare_handle);
}

const struct shared_file *share_index_next_unhashed(const struct share_index *self, uint64_t after)
{
    if (self->unhashed_count == 0)
        return NULL;
    for (size_t i = share_index_handle_bound(self, after + 1); i < self->count; i++) {
        if (self->by_handle[i]->file.state == SHARE_UNHASHED)
            return &self->by_handle[i]->file;
    }
    return NULL;
}

const struct shared_file *share_index_next(const struct share_index *self, uint64_t after)
{
    size_t position = share_index_handle_bound(self, after + 1);
    return position < self->count ? &self->by_handle[position]->file : NULL;
}

uint64_t share_index_last_handle(const struct share_index *self)
{
    return self->last_handle;
}

const struct shared_file *share_index_by_handle(const struct share_index *self, uint64_t handle)
{
    const struct entry *entry = share_index_entry(self, handle);
    return entry ? &entry->file : NULL;
}

const struct shared_file *share_index_by_id(const struct share_index *self, const struct file_id *id)
{
    struct entry *entry = NULL;
    HASH_FIND(by_id, self->ids, id, sizeof *id, entry);
    return entry ? &entry->file : NULL;
}

size_t share_index_lower_bound(const struct share_index *self, struct text name)
{
    struct entry key = {.file = {.name = name}};
    return entries_bound(self->by_name, 0, self->count, &key, entry_compare_name);
}

size_t share_index_count(const struct share_index *self)
{
    return self->count;
}

const struct shared_file *share_index_at(const struct share_index *self, size_t position)
{
    assert(position < self->count);
    return &self->by_name[position]->file;
}

static int compare_base(const struct entry *entry, const struct entry *base)
{
    return text_compare(name_base(entry->file.name), base->file.name);
}

/* The position in by_base of the first file whose base name is not below `base`. */
static size_t base_bound(const struct share_index *self, struct text base)
{
    struct entry key = {.file = {.name = base}};
    return entries_bound(self->by_base, 0, self->count, &key, compare_base);
}

/* What there is no room for is asked for again. */
static void note_asked(const struct share_index *self, uint64_t handle)
{
    struct asked *asked = self->asked;
    for (size_t i = 0; i < asked->count; i++) {
        if (asked->handles[i] == handle)
            return;
    }
    if (asked->count < SHARE_ASKED_MAX)
        asked->handles[asked->count++] = handle;
}

size_t share_index_take_asked(const struct share_index *self, uint64_t ret_handles[SHARE_ASKED_MAX])
{
    size_t count = self->asked->count;
    for (size_t i = 0; i < count; i++)
        ret_handles[i] = self->asked->handles[i];
    self->asked->count = 0;
    return count;
}

static enum share_lookup found(const struct share_index *self, const struct shared_file *file,
                               const struct shared_file **ret_file)
{
    if (file->state != SHARE_READY) {
        note_asked(self, file->handle);
        return SHARE_HASHING;
    }
    *ret_file = file;
    return SHARE_FOUND;
}

enum share_lookup share_index_by_name(const struct share_index *self, struct text name,
                                      const struct shared_file **ret_file)
{
    size_t position = share_index_lower_bound(self, name);
    if (position < self->count) {
        const struct shared_file *file = &self->by_name[position]->file;
        if (text_equal(file->name, name) && file->state != SHARE_UNREADABLE)
            return found(self, file, ret_file);
    }
    const struct shared_file *only = NULL;
    for (size_t i = base_bound(self, name); i < self->count; i++) {
        const struct shared_file *file = &self->by_base[i]->file;
        if (!text_equal(name_base(file->name), name))
            break;
        if (file->state == SHARE_UNREADABLE)
            continue;
        if (only)
            return SHARE_SEVERAL;
        only = file;
    }
    return only ? found(self, only, ret_file) : SHARE_NONE;
}

/* True when the file is, or without an id may be, an answer. */
static bool entry_matches(const struct entry *entry, const struct matcher *matcher)
{
    bool is_ready = entry->file.state == SHARE_READY;
    if (!is_ready && matcher_needs_id(matcher))
        return true;
    const struct match_subject subject = {
        .name = entry->file.name,
        .folded = {entry->folded, entry->folded_size},
        .folded_base_offset = entry->folded_base_offset,
        .id = is_ready ? &entry->file.id : NULL,
        .size = entry->file.stamp.size,
    };
    return matcher_matches(matcher, &subject);
}

size_t share_index_query(const struct share_index *self, const struct matcher *matcher, size_t limit,
                         struct file_entry *ret_entries, uint32_t *ret_total)
{
    size_t count = 0;
    uint32_t total = 0;
    bool is_incomplete = !self->is_complete;
    for (size_t i = 0; i < self->count; i++) {
        const struct entry *entry = self->by_name[i];
        if (entry->file.state == SHARE_UNREADABLE || !entry_matches(entry, matcher))
            continue;
        if (entry->file.state == SHARE_UNHASHED) {
            is_incomplete = true;
            if (!matcher_needs_id(matcher))
                note_asked(self, entry->file.handle);
            continue;
        }
        total++;
        if (count < limit)
            ret_entries[count++] = shared_file_entry(&entry->file);
    }
    *ret_total = total + is_incomplete;
    return count;
}

struct file_entry shared_file_entry(const struct shared_file *file)
{
    assert(file->state == SHARE_READY);
    return (struct file_entry){
        .id = file->id,
        .root = file->root,
        .size = file->stamp.size,
        .name = file->name,
        .have_permille = PERMILLE_COMPLETE,
        /* A time before 1970 has no place in an unsigned field. */
        .has_mtime = file->stamp.mtime_ns <= INT64_MAX,
        .mtime_ms = file->stamp.mtime_ns / NS_PER_MS,
        .has_executable = true,
        .is_executable = file->is_executable,
    };
}

void share_index_totals(const struct share_index *self, uint64_t *ret_files, uint64_t *ret_bytes)
{
    *ret_files = self->ready_count;
    *ret_bytes = self->ready_bytes;
}

size_t share_index_unhashed_count(const struct share_index *self)
{
    return self->unhashed_count;
}

uint64_t share_index_unhashed_bytes(const struct share_index *self)
{
    return self->unhashed_bytes;
}

bool share_index_is_settled(const struct share_index *self)
{
    return self->is_complete && self->unhashed_count == 0;
}

void share_index_fill_presence(const struct share_index *self, struct presence *presence)
{
    assert(share_index_is_settled(self));
    for (size_t i = 0; i < self->count; i++) {
        const struct shared_file *file = &self->by_name[i]->file;
        if (file->state == SHARE_READY)
            presence_add(presence, file->name, &file->id);
    }
}

uint64_t share_index_generation(const struct share_index *self)
{
    return self->generation;
}
