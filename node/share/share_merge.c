/* SPDX-License-Identifier: MIT */
/* Takes over what a scan found, in whole or in part. */
#include "node/share/share_entries.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a merge changes. */
struct merge {
    struct entries seen_gone; /* in the scope of the outcome; those still MARK_GONE at the end are dropped */
    struct entries gone, added, renewed;
    uint64_t *old_handles; /* of those gone and renewed */
    size_t old_handle_count;
    size_t left_out_count;
    bool ready_changed;
};

/* Places */

static int compare_place(const struct entry *a, const struct entry *b)
{
    if (a->file.share != b->file.share)
        return a->file.share < b->file.share ? -1 : 1;
    return strcmp(a->file.place, b->file.place);
}

static struct entry place_key(uint32_t share, const char *place)
{
    return (struct entry){.file = {.share = share, .place = place}};
}

/* The position in by_place of the first entry that is not before the place. */
static size_t place_bound(const struct share_index *self, uint32_t share, const char *place)
{
    struct entry key = place_key(share, place);
    return entries_bound(self->by_place, 0, self->count, &key, compare_place);
}

/* The entry at that position of by_place, if it is of the place of the key; else NULL. */
static struct entry *entry_at(const struct share_index *self, size_t position, const struct entry *key)
{
    struct entry *entry = position < self->count ? self->by_place[position] : NULL;
    return entry && compare_place(entry, key) == 0 ? entry : NULL;
}

/* What lies below `folder` is from `folder/` up to `folder0`, for '0' comes after '/'. */
static size_t bound_below(const struct share_index *self, uint32_t share, const char *folder, char end)
{
    if (!*folder)
        return place_bound(self, end == '/' ? share : share + 1, "");
    char *place = NULL;
    int size = asprintf(&place, "%s%c", folder, end);
    assert(size >= 0);
    size_t position = place_bound(self, share, place);
    free(place);
    return position;
}

/* What the outcome speaks about */

static void mark_gone(struct merge *merge, struct entry *entry)
{
    if (entry->mark == MARK_GONE)
        return;
    entry->mark = MARK_GONE;
    entries_add(&merge->seen_gone, entry);
}

/* The file of that very place. */
static void mark_one(const struct share_index *self, struct merge *merge, const struct scanned_folder *place)
{
    struct entry key = place_key(place->share, place->name);
    struct entry *entry = entry_at(self, place_bound(self, place->share, place->name), &key);
    if (entry)
        mark_gone(merge, entry);
}

static int compare_component(const void *key, const void *item)
{
    const struct text *component = key;
    return text_compare(*component, text_of(*(char *const *)item));
}

/* Files directly in the folder, and all below folders that are not in it any more. */
static void mark_folder(struct share_index *self, struct merge *merge, const struct scanned_folder *folder)
{
    size_t prefix_size = *folder->name ? strlen(folder->name) + 1 : 0;
    mark_one(self, merge, folder); /* it was a file */
    size_t position = bound_below(self, folder->share, folder->name, '/');
    size_t end = bound_below(self, folder->share, folder->name, '0');
    while (position < end) {
        struct entry *entry = self->by_place[position];
        const char *rest = entry->file.place + prefix_size, *slash = strchr(rest, '/');
        struct text component = {rest, slash ? (size_t)(slash - rest) : 0};
        if (!slash || !folder->folder_count ||
            !bsearch(&component, folder->folders, folder->folder_count, sizeof(char *), compare_component)) {
            mark_gone(merge, entry);
            position++;
            continue;
        }
        char *known = strndup(entry->file.place, prefix_size + component.size);
        assert(known);
        position = bound_below(self, folder->share, known, '0');
        free(known);
    }
}

static void mark_place(struct share_index *self, struct merge *merge, const struct scanned_folder *place)
{
    mark_one(self, merge, place);
    size_t end = bound_below(self, place->share, place->name, '0');
    for (size_t i = bound_below(self, place->share, place->name, '/'); i < end; i++)
        mark_gone(merge, self->by_place[i]);
}

static void mark_scope(struct share_index *self, struct merge *merge, const struct scan_outcome *outcome)
{
    if (!outcome->is_part) {
        for (size_t i = 0; i < self->count; i++)
            mark_gone(merge, self->by_place[i]);
    }
    for (size_t i = 0; i < outcome->folder_count; i++) {
        if (outcome->folders[i].is_place)
            mark_place(self, merge, &outcome->folders[i]);
        else
            mark_folder(self, merge, &outcome->folders[i]);
    }
}

/* What was found */

static char *append(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    to[size] = '\0';
    return to + size + 1;
}

/* Takes over the path, if it is another one than the place. */
static void set_path(struct entry *entry, struct scanned_file *found)
{
    bool is_place = !found->path || strcmp(found->path, entry->file.place) == 0;
    entry->file.path = is_place ? entry->file.place : found->path;
    if (!is_place)
        found->path = NULL;
}

/* It has no handle yet, and is in no count. */
static struct entry *entry_new(struct scanned_file *found, const char *name)
{
    size_t place_size = strlen(found->name), folded_size, base_offset;
    struct text text = text_of(name);
    char *folded = match_fold_name(text, &folded_size, &base_offset);
    bool has_name = strcmp(found->name, name) != 0;
    bool has_folded = !text_equal((struct text){folded, folded_size}, text);
    size_t strings_size =
        place_size + 1 + (has_name ? text.size + 1 : 0) + (has_folded ? folded_size + 1 : 0);
    struct entry *entry = calloc(1, sizeof *entry + strings_size);
    assert(entry);
    char *next = append(entry->strings, found->name, place_size);
    entry->file.place = entry->strings;
    entry->file.name = (struct text){has_name ? next : entry->strings, text.size};
    if (has_name)
        next = append(next, name, text.size);
    entry->folded = has_folded ? next : entry->file.name.bytes;
    if (has_folded)
        append(next, folded, folded_size);
    free(folded);
    entry->folded_size = (uint32_t)folded_size;
    entry->folded_base_offset = (uint32_t)base_offset;
    set_path(entry, found);
    entry->file.share = found->share;
    entry->file.stamp = found->stamp;
    entry->file.is_executable = found->is_executable;
    entry->file.state = SHARE_UNREADABLE;
    return entry;
}

static bool entry_is_same(const struct entry *entry, const struct scanned_file *found)
{
    return strcmp(entry->file.path, found->path ? found->path : found->name) == 0 &&
           file_stamp_equal(&entry->file.stamp, &found->stamp);
}

/* A known place whose file is another one now: the name stays. */
static void entry_renew(struct share_index *self, struct merge *merge, struct entry *entry,
                        struct scanned_file *found)
{
    merge->ready_changed |= entry->file.state == SHARE_READY;
    entry_set_state(self, entry, SHARE_UNREADABLE); /* its size counts no more */
    if (entry->file.path != entry->file.place)
        free((void *)(uintptr_t)entry->file.path);
    set_path(entry, found);
    entry->file.stamp = found->stamp;
    entry->file.is_executable = found->is_executable;
    entry_set_state(self, entry, SHARE_UNHASHED);
    entries_add(&merge->renewed, entry);
}

static int compare_found(const void *a, const void *b)
{
    const struct scanned_file *left = a, *right = b;
    if (left->share != right->share)
        return left->share < right->share ? -1 : 1;
    return strcmp(left->name, right->name);
}

static void sort_found(struct scan_outcome *outcome)
{
    bool is_sorted = true;
    for (size_t i = 1; i < outcome->count && is_sorted; i++)
        is_sorted = compare_found(&outcome->files[i - 1], &outcome->files[i]) <= 0;
    if (!is_sorted)
        qsort(outcome->files, outcome->count, sizeof outcome->files[0], compare_found);
}

/* Compares what was found with what is known; returns the number of those that are new. */
static size_t take_found(struct share_index *self, struct merge *merge, struct scan_outcome *outcome,
                         struct fresh_file *fresh)
{
    size_t fresh_count = 0, position = 0;
    for (size_t i = 0; i < outcome->count; i++) {
        struct scanned_file *found = &outcome->files[i];
        if (i > 0 && compare_found(found - 1, found) == 0)
            continue; /* looked at twice */
        struct entry key = place_key(found->share, found->name);
        /* what is found together mostly belongs together */
        position = entries_bound_near(self->by_place, position, self->count, &key, compare_place);
        struct entry *entry = entry_at(self, position, &key);
        if (!entry) {
            fresh[fresh_count++] = (struct fresh_file){.found = found};
            continue;
        }
        entry->mark = MARK_KEPT;
        if (!entry_is_same(entry, found))
            entry_renew(self, merge, entry, found);
    }
    return fresh_count;
}

static void collect_gone(struct merge *merge)
{
    for (size_t i = 0; i < merge->seen_gone.count; i++) {
        struct entry *entry = merge->seen_gone.items[i];
        if (entry->mark != MARK_GONE)
            continue;
        entries_add(&merge->gone, entry);
        merge->ready_changed |= entry->file.state == SHARE_READY;
    }
}

/* Makes entries of the new ones, as many as there is room for. */
static void add_fresh(const struct share_index *self, struct merge *merge, struct fresh_file *fresh,
                      size_t count)
{
    size_t named_count = share_index_name_fresh(self, fresh, count);
    size_t room = SHARE_FILES_MAX - (self->count - merge->gone.count);
    for (size_t i = 0; i < named_count && i < room; i++)
        entries_add(&merge->added, entry_new(fresh[i].found, fresh[i].name));
    merge->left_out_count = count - merge->added.count;
    for (size_t i = 0; i < named_count; i++)
        free(fresh[i].name);
}

/* Content that moved */

static int entry_compare_inode(const struct entry *a, const struct entry *b)
{
    const struct file_stamp *left = &a->file.stamp, *right = &b->file.stamp;
    return left->inode < right->inode ? -1 : left->inode > right->inode;
}

static int compare_inode_to_entry(const void *inode, const void *item)
{
    uint64_t wanted = *(const uint64_t *)inode, has = (*(struct entry *const *)item)->file.stamp.inode;
    return wanted < has ? -1 : wanted > has;
}

/* A folder that is moved leaves the stamps of its files as they are; then what is known of them stays true.
 */
static void carry_roots(struct share_index *self, struct merge *merge)
{
    if (merge->gone.count == 0)
        return;
    entries_sort(&merge->gone, entry_compare_inode);
    for (size_t i = 0; i < merge->added.count; i++) {
        struct entry *entry = merge->added.items[i];
        struct entry **found = bsearch(&entry->file.stamp.inode, merge->gone.items, merge->gone.count,
                                       sizeof(struct entry *), compare_inode_to_entry);
        if (!found || (*found)->file.state != SHARE_READY ||
            !file_stamp_equal(&(*found)->file.stamp, &entry->file.stamp))
            continue;
        entry->file.root = (*found)->file.root;
        entry->file.id = (*found)->file.id;
        entry_set_state(self, entry, SHARE_READY);
        merge->ready_changed = true;
    }
}

/* Tables */

static int compare_handles(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void note_old_handles(struct merge *merge, const struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        merge->old_handles[merge->old_handle_count++] = entries->items[i]->file.handle;
}

/* Gives the added and the renewed their handles, which only grow, so that they go to the end. */
static void splice_handles(struct share_index *self, struct merge *merge)
{
    merge->old_handles = calloc(merge->gone.count + merge->renewed.count + 1, sizeof(uint64_t));
    assert(merge->old_handles);
    note_old_handles(merge, &merge->gone);
    note_old_handles(merge, &merge->renewed);
    qsort(merge->old_handles, merge->old_handle_count, sizeof(uint64_t), compare_handles);
    size_t room = self->count - merge->gone.count + merge->added.count + 1;
    struct entry **spliced = malloc(room * sizeof(struct entry *));
    assert(spliced);
    size_t from = 0, to = 0;
    for (size_t i = 0; i <= merge->old_handle_count; i++) {
        bool is_last = i == merge->old_handle_count;
        size_t position = is_last ? self->count : share_index_handle_bound(self, merge->old_handles[i]);
        if (position > from)
            memcpy(spliced + to, self->by_handle + from, (position - from) * sizeof(struct entry *));
        to += position - from;
        from = position + 1;
    }
    const struct entries *fresh[] = {&merge->renewed, &merge->added};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < fresh[k]->count; i++) {
            fresh[k]->items[i]->file.handle = ++self->last_handle;
            spliced[to++] = fresh[k]->items[i];
        }
    }
    free(merge->old_handles);
    free(self->by_handle);
    self->by_handle = spliced;
}

static void rebuild(struct share_index *self, struct merge *merge)
{
    for (size_t i = 0; i < merge->added.count; i++)
        entry_set_state(self, merge->added.items[i], SHARE_UNHASHED);
    carry_roots(self, merge);
    entries_sort(&merge->added, entry_compare_name);
    splice_handles(self, merge);
    entries_splice(&self->by_name, self->count, &merge->gone, &merge->added, entry_compare_name);
    entries_splice(&self->by_base, self->count, &merge->gone, &merge->added, entry_compare_base);
    entries_splice(&self->by_place, self->count, &merge->gone, &merge->added, compare_place);
    self->count = self->count - merge->gone.count + merge->added.count;
    for (size_t i = 0; i < merge->gone.count; i++) {
        entry_set_state(self, merge->gone.items[i], SHARE_UNREADABLE); /* out of every count */
        entry_free(merge->gone.items[i]);
    }
}

bool share_index_scanned(struct share_index *self, struct scan_outcome *outcome)
{
    bool was_settled = share_index_is_settled(self);
    bool was_complete = self->is_complete;
    struct merge merge = {0};
    sort_found(outcome);
    mark_scope(self, &merge, outcome);
    struct fresh_file *fresh = calloc(outcome->count + 1, sizeof *fresh);
    assert(fresh);
    size_t fresh_count = take_found(self, &merge, outcome, fresh);
    collect_gone(&merge);
    add_fresh(self, &merge, fresh, fresh_count);
    free(fresh);
    bool changed = merge.gone.count > 0 || merge.added.count > 0 || merge.renewed.count > 0;
    if (changed)
        rebuild(self, &merge);
    self->is_complete = outcome->is_complete;
    scan_outcome_release(outcome);
    outcome->left_out_count = merge.left_out_count;
    free(merge.seen_gone.items);
    free(merge.gone.items);
    free(merge.added.items);
    free(merge.renewed.items);
    share_index_count_change(self, was_settled, merge.ready_changed);
    return changed || was_complete != self->is_complete;
}

void scan_outcome_release(struct scan_outcome *self)
{
    for (size_t i = 0; i < self->count; i++) {
        free(self->files[i].path);
        free(self->files[i].name);
    }
    for (size_t i = 0; i < self->folder_count; i++) {
        for (size_t k = 0; k < self->folders[i].folder_count; k++)
            free(self->folders[i].folders[k]);
        free(self->folders[i].folders);
        free(self->folders[i].name);
    }
    free(self->files);
    free(self->folders);
    *self = (struct scan_outcome){0};
}
