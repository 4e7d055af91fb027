/* SPDX-License-Identifier: MIT */
#include "node/share_index_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct share_index *share_index_new(void)
{
    struct share_index *self = calloc(1, sizeof *self);
    assert(self);
    return self;
}

static void entry_free(struct entry *entry)
{
    if (entry->folded != entry->name)
        free(entry->folded);
    free(entry->name);
    free(entry->path);
    free(entry);
}

void share_index_destroy(struct share_index **self_p)
{
    assert(self_p);
    struct share_index *self = *self_p;
    if (!self)
        return;
    HASH_CLEAR(by_id, self->ids);
    for (size_t i = 0; i < self->count; i++)
        entry_free(self->by_name[i]);
    free(self->by_name);
    free(self->by_base);
    free(self->by_handle);
    free(self);
    *self_p = NULL;
}

/* Ready files, by id */

static void id_add(struct share_index *self, struct entry *entry)
{
    struct entry *head = NULL;
    HASH_FIND(by_id, self->ids, &entry->file.id, sizeof entry->file.id, head);
    if (head && text_compare(head->file.name, entry->file.name) < 0) {
        while (head->twin && text_compare(head->twin->file.name, entry->file.name) < 0)
            head = head->twin;
        entry->twin = head->twin;
        head->twin = entry;
        return;
    }
    if (head)
        HASH_DELETE(by_id, self->ids, head);
    entry->twin = head;
    HASH_ADD(by_id, self->ids, file.id, sizeof entry->file.id, entry);
}

static void id_remove(struct share_index *self, struct entry *entry)
{
    struct entry *head = NULL;
    HASH_FIND(by_id, self->ids, &entry->file.id, sizeof entry->file.id, head);
    assert(head);
    if (head == entry) {
        HASH_DELETE(by_id, self->ids, entry);
        if (entry->twin)
            HASH_ADD(by_id, self->ids, file.id, sizeof entry->twin->file.id, entry->twin);
    } else {
        while (head->twin != entry)
            head = head->twin;
        head->twin = entry->twin;
    }
    entry->twin = NULL;
}

/* Moves a file from one state to another; the id is set before READY. */
static void entry_set_state(struct share_index *self, struct entry *entry, enum share_state state)
{
    if (entry->file.state == SHARE_READY) {
        id_remove(self, entry);
        self->ready_count--;
        self->ready_bytes -= entry->file.stamp.size;
    } else if (entry->file.state == SHARE_UNHASHED) {
        self->unhashed_count--;
    }
    entry->file.state = state;
    if (state == SHARE_READY) {
        id_add(self, entry);
        self->ready_count++;
        self->ready_bytes += entry->file.stamp.size;
    } else if (state == SHARE_UNHASHED) {
        self->unhashed_count++;
    }
}

/* Taking over a scan */

static struct entry *entry_new(struct share_index *self, struct scanned_file *found)
{
    struct entry *entry = calloc(1, sizeof *entry);
    assert(entry);
    entry->path = found->path;
    entry->name = found->name;
    entry->file.path = entry->path;
    entry->file.name = text_of(entry->name);
    entry->folded = match_fold_name(entry->file.name, &entry->folded_size, &entry->folded_base_offset);
    /* Most names fold to themselves: keep one copy. */
    if (text_equal((struct text){entry->folded, entry->folded_size}, entry->file.name)) {
        free(entry->folded);
        entry->folded = entry->name;
    }
    entry->file.share = found->share;
    entry->file.stamp = found->stamp;
    entry->file.is_executable = found->is_executable;
    entry->file.state = SHARE_UNHASHED;
    entry->file.handle = ++self->last_handle;
    entry->mark = MARK_NEW;
    self->unhashed_count++;
    return entry;
}

static bool entry_is_same(const struct entry *entry, const struct scanned_file *found)
{
    return entry->file.share == found->share && strcmp(entry->path, found->path) == 0 &&
           file_stamp_equal(&entry->file.stamp, &found->stamp);
}

static void scanned_file_release(struct scanned_file *found)
{
    free(found->path);
    free(found->name);
}

/* A known name whose file is another one now: a new handle, but the folded name stays. */
static void entry_renew(struct share_index *self, struct entry *entry, struct scanned_file *found)
{
    entry_set_state(self, entry, SHARE_UNHASHED);
    free(entry->path);
    entry->path = found->path;
    entry->file.path = entry->path;
    free(found->name);
    entry->file.share = found->share;
    entry->file.stamp = found->stamp;
    entry->file.is_executable = found->is_executable;
    entry->file.handle = ++self->last_handle;
    entry->mark = MARK_RENEWED;
}

static int compare_found(const void *a, const void *b)
{
    const struct scanned_file *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static void sort_found(struct scan_outcome *outcome)
{
    bool is_sorted = true;
    for (size_t i = 1; i < outcome->count && is_sorted; i++)
        is_sorted = compare_found(&outcome->files[i - 1], &outcome->files[i]) < 0;
    if (!is_sorted)
        qsort(outcome->files, outcome->count, sizeof outcome->files[0], compare_found);
}

/* True when the scan found exactly what is known. Then nothing needs to be allocated. */
static bool is_unchanged(const struct share_index *self, const struct scan_outcome *outcome)
{
    if (self->count != outcome->count)
        return false;
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->by_name[i]->name, outcome->files[i].name) != 0 ||
            !entry_is_same(self->by_name[i], &outcome->files[i]))
            return false;
    }
    return true;
}

/* What a merge of the known files with the found ones gives. */
struct merged {
    struct entry **by_name;
    size_t count;
    struct entry **fresh; /* with a new handle, in order of name, hence of handle */
    size_t fresh_count;
};

static struct entry **entries_new(size_t count)
{
    struct entry **entries = malloc((count ? count : 1) * sizeof(struct entry *));
    assert(entries);
    return entries;
}

/* Walks both lists in order of name and marks what is dropped, renewed or new. */
static struct merged merge(struct share_index *self, struct scan_outcome *outcome)
{
    struct merged merged = {.by_name = entries_new(outcome->count), .fresh = entries_new(outcome->count)};
    size_t known = 0;
    for (size_t i = 0; i < outcome->count; i++) {
        struct scanned_file *found = &outcome->files[i];
        assert(i == 0 || strcmp(merged.by_name[i - 1]->name, found->name) < 0);
        while (known < self->count && strcmp(self->by_name[known]->name, found->name) < 0)
            self->by_name[known++]->mark = MARK_DROPPED;
        struct entry *entry = NULL;
        if (known < self->count && strcmp(self->by_name[known]->name, found->name) == 0)
            entry = self->by_name[known++];
        if (!entry)
            entry = entry_new(self, found);
        else if (entry_is_same(entry, found))
            scanned_file_release(found);
        else
            entry_renew(self, entry, found);
        if (entry->mark != MARK_KEPT)
            merged.fresh[merged.fresh_count++] = entry;
        merged.by_name[merged.count++] = entry;
    }
    while (known < self->count)
        self->by_name[known++]->mark = MARK_DROPPED;
    return merged;
}

/* Handles only grow, so the fresh ones go to the end. */
static void rebuild_by_handle(struct share_index *self, const struct merged *merged)
{
    struct entry **by_handle = entries_new(merged->count);
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (self->by_handle[i]->mark == MARK_KEPT)
            by_handle[count++] = self->by_handle[i];
    }
    for (size_t i = 0; i < merged->fresh_count; i++)
        by_handle[count++] = merged->fresh[i];
    assert(count == merged->count);
    free(self->by_handle);
    self->by_handle = by_handle;
}

int entry_compare_base(const struct entry *a, const struct entry *b)
{
    int order = text_compare(name_base(a->file.name), name_base(b->file.name));
    return order ? order : text_compare(a->file.name, b->file.name);
}

static int compare_base_pointers(const void *a, const void *b)
{
    return entry_compare_base(*(struct entry *const *)a, *(struct entry *const *)b);
}

/* Merges the new ones into the old order, for sorting everything again would cost far more. */
static void rebuild_by_base(struct share_index *self, const struct merged *merged)
{
    struct entry **added = entries_new(merged->fresh_count);
    size_t added_count = 0;
    for (size_t i = 0; i < merged->fresh_count; i++) {
        if (merged->fresh[i]->mark == MARK_NEW)
            added[added_count++] = merged->fresh[i];
    }
    qsort(added, added_count, sizeof(struct entry *), compare_base_pointers);

    struct entry **by_base = entries_new(merged->count);
    size_t count = 0, next = 0;
    for (size_t i = 0; i < self->count; i++) {
        if (self->by_base[i]->mark == MARK_DROPPED)
            continue;
        while (next < added_count && entry_compare_base(added[next], self->by_base[i]) < 0)
            by_base[count++] = added[next++];
        by_base[count++] = self->by_base[i];
    }
    while (next < added_count)
        by_base[count++] = added[next++];
    assert(count == merged->count);
    free(added);
    free(self->by_base);
    self->by_base = by_base;
}

/* Takes all that was dropped out of the tables and frees it. */
static void drop_marked(struct share_index *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct entry *entry = self->by_name[i];
        if (entry->mark != MARK_DROPPED)
            continue;
        entry_set_state(self, entry, SHARE_UNREADABLE); /* out of every count */
        entry_free(entry);
    }
}

static void take_over(struct share_index *self, struct scan_outcome *outcome)
{
    struct merged merged = merge(self, outcome);
    rebuild_by_handle(self, &merged);
    rebuild_by_base(self, &merged);
    drop_marked(self);
    for (size_t i = 0; i < merged.fresh_count; i++)
        merged.fresh[i]->mark = MARK_KEPT;
    free(merged.fresh);
    free(self->by_name);
    self->by_name = merged.by_name;
    self->count = merged.count;
}

/* Counts a change, if there is one to be seen. */
static void count_change(struct share_index *self, bool was_settled, bool ready_changed)
{
    if (ready_changed || was_settled != share_index_is_settled(self))
        self->generation++;
}

bool share_index_scanned(struct share_index *self, struct scan_outcome *outcome)
{
    assert(outcome->count <= SHARE_FILES_MAX);
    bool was_settled = share_index_is_settled(self);
    bool was_complete = self->is_complete;
    uint64_t ready_before = self->ready_count;
    sort_found(outcome);
    bool changed = !is_unchanged(self, outcome);
    if (changed) {
        take_over(self, outcome);
    } else {
        for (size_t i = 0; i < outcome->count; i++)
            scanned_file_release(&outcome->files[i]);
    }
    free(outcome->files);
    self->is_complete = outcome->is_complete;
    *outcome = (struct scan_outcome){.is_complete = self->is_complete};
    /* A scan makes no file ready, so a ready file that went shows in their number. */
    count_change(self, was_settled, self->ready_count != ready_before);
    return changed || was_complete != self->is_complete;
}

/* Single files */

struct entry *share_index_entry(const struct share_index *self, uint64_t handle)
{
    size_t position = share_index_handle_bound(self, handle);
    if (position == self->count || self->by_handle[position]->file.handle != handle)
        return NULL;
    return self->by_handle[position];
}

static struct entry *unhashed_entry(const struct share_index *self, uint64_t handle)
{
    struct entry *entry = share_index_entry(self, handle);
    return entry && entry->file.state == SHARE_UNHASHED ? entry : NULL;
}

bool share_index_hashed(struct share_index *self, uint64_t handle, const struct hash *root)
{
    struct entry *entry = unhashed_entry(self, handle);
    if (!entry)
        return false;
    bool was_settled = share_index_is_settled(self);
    entry->file.root = *root;
    entry->file.id = file_id_of(entry->file.stamp.size, root);
    entry_set_state(self, entry, SHARE_READY);
    count_change(self, was_settled, true);
    return true;
}

bool share_index_unreadable(struct share_index *self, uint64_t handle)
{
    struct entry *entry = unhashed_entry(self, handle);
    if (!entry)
        return false;
    bool was_settled = share_index_is_settled(self);
    entry_set_state(self, entry, SHARE_UNREADABLE);
    count_change(self, was_settled, false);
    return true;
}

bool share_index_restamp(struct share_index *self, uint64_t handle, const struct file_stamp *stamp)
{
    struct entry *entry = unhashed_entry(self, handle);
    if (!entry)
        return false;
    entry->file.stamp = *stamp;
    return true;
}

bool share_index_changed(struct share_index *self, uint64_t handle, uint64_t *ret_handle)
{
    struct entry *entry = share_index_entry(self, handle);
    if (!entry || entry->file.state != SHARE_READY)
        return false;
    bool was_settled = share_index_is_settled(self);
    entry_set_state(self, entry, SHARE_UNHASHED);
    size_t position = share_index_handle_bound(self, handle);
    memmove(&self->by_handle[position], &self->by_handle[position + 1],
            (self->count - position - 1) * sizeof(struct entry *));
    self->by_handle[self->count - 1] = entry;
    entry->file.handle = ++self->last_handle;
    *ret_handle = entry->file.handle;
    count_change(self, was_settled, true);
    return true;
}
