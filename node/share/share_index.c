/* SPDX-License-Identifier: MIT */
#include "node/share/share_index_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct share_index *share_index_new(void)
{
    struct share_index *self = calloc(1, sizeof *self);
    assert(self);
    self->asked = calloc(1, sizeof *self->asked);
    assert(self->asked);
    return self;
}

void entry_free(struct entry *entry)
{
    if (entry->file.path != entry->file.place)
        free((void *)(uintptr_t)entry->file.path); /* ours, const for those who read */
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
    free(self->by_place);
    free(self->by_handle);
    free(self->asked);
    free(self);
    *self_p = NULL;
}

/* Ready files, by id */

/* Either may be NULL; of equal names `a` is on top. */
static struct entry *meld(struct entry *a, struct entry *b)
{
    if (!a || !b)
        return a ? a : b;
    bool is_a_first = text_compare(a->file.name, b->file.name) <= 0;
    struct entry *top = is_a_first ? a : b, *below = is_a_first ? b : a;
    below->before = top;
    below->sibling = top->child;
    if (below->sibling)
        below->sibling->before = below;
    top->child = below;
    return top;
}

/* What is below an entry, as a heap of its own: in pairs first, which is what keeps it flat. */
static struct entry *take_children(struct entry *entry)
{
    struct entry *pairs = NULL, *top = NULL, *next = entry->child;
    entry->child = NULL;
    while (next) {
        struct entry *first = next, *second = first->sibling;
        next = second ? second->sibling : NULL;
        first->sibling = NULL;
        if (second)
            second->sibling = NULL;
        struct entry *pair = meld(first, second);
        pair->sibling = pairs;
        pairs = pair;
    }
    while (pairs) {
        next = pairs->sibling;
        pairs->sibling = NULL;
        top = meld(top, pairs);
        pairs = next;
    }
    if (top)
        top->before = NULL;
    return top;
}

static struct entry *top_of(const struct share_index *self, const struct entry *entry)
{
    struct entry *top = NULL;
    HASH_FIND(by_id, self->ids, &entry->file.id, sizeof entry->file.id, top);
    return top;
}

static void replace_top(struct share_index *self, struct entry *old, struct entry *top)
{
    if (old == top)
        return;
    if (old)
        HASH_DELETE(by_id, self->ids, old);
    if (top)
        HASH_ADD(by_id, self->ids, file.id, sizeof top->file.id, top);
}

static void id_add(struct share_index *self, struct entry *entry)
{
    struct entry *top = top_of(self, entry);
    entry->child = entry->sibling = entry->before = NULL;
    replace_top(self, top, meld(top, entry));
}

static void id_remove(struct share_index *self, struct entry *entry)
{
    struct entry *top = top_of(self, entry), *below = take_children(entry);
    assert(top);
    if (top == entry) {
        replace_top(self, entry, below);
        return;
    }
    if (entry->before->child == entry)
        entry->before->child = entry->sibling;
    else
        entry->before->sibling = entry->sibling;
    if (entry->sibling)
        entry->sibling->before = entry->before;
    replace_top(self, top, meld(top, below));
}

void entry_set_state(struct share_index *self, struct entry *entry, enum share_state state)
{
    if (entry->file.state == SHARE_READY) {
        id_remove(self, entry);
        self->ready_count--;
        self->ready_bytes -= entry->file.stamp.size;
    } else if (entry->file.state == SHARE_UNHASHED) {
        self->unhashed_count--;
        self->unhashed_bytes -= entry->file.stamp.size;
    }
    entry->file.state = state;
    if (state == SHARE_READY) {
        id_add(self, entry);
        self->ready_count++;
        self->ready_bytes += entry->file.stamp.size;
    } else if (state == SHARE_UNHASHED) {
        self->unhashed_count++;
        self->unhashed_bytes += entry->file.stamp.size;
    }
}

int entry_compare_name(const struct entry *a, const struct entry *b)
{
    return text_compare(a->file.name, b->file.name);
}

int entry_compare_base(const struct entry *a, const struct entry *b)
{
    int order = text_compare(name_base(a->file.name), name_base(b->file.name));
    return order ? order : entry_compare_name(a, b);
}

void share_index_count_change(struct share_index *self, bool was_settled, bool ready_changed)
{
    if (ready_changed || was_settled != share_index_is_settled(self))
        self->generation++;
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
    share_index_count_change(self, was_settled, true);
    return true;
}

bool share_index_unreadable(struct share_index *self, uint64_t handle)
{
    struct entry *entry = unhashed_entry(self, handle);
    if (!entry)
        return false;
    bool was_settled = share_index_is_settled(self);
    entry_set_state(self, entry, SHARE_UNREADABLE);
    share_index_count_change(self, was_settled, false);
    return true;
}

bool share_index_restamp(struct share_index *self, uint64_t handle, const struct file_stamp *stamp)
{
    struct entry *entry = unhashed_entry(self, handle);
    if (!entry)
        return false;
    self->unhashed_bytes += stamp->size - entry->file.stamp.size;
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
    share_index_count_change(self, was_settled, true);
    return true;
}
