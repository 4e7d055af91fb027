/* SPDX-License-Identifier: MIT */
#include "node/serve/holdings.h"

#include "messages/name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct partial {
    uint64_t handle;
    struct file_entry file; /* its name is `name` */
    char *name;
    char *folded;
    size_t folded_size, folded_base_offset;
    struct layout layout;
    uint8_t *have;
    uint32_t have_count;
};

struct holdings {
    const struct share_index *index;
    uint64_t partial_changes;
    size_t count;
    struct partial *partials[HOLDINGS_PARTIALS_MAX]; /* in byte order of name */
};

struct holdings *holdings_new(const struct share_index *index)
{
    assert(index);
    struct holdings *self = calloc(1, sizeof *self);
    assert(self);
    self->index = index;
    return self;
}

static void free_partial(struct partial *partial)
{
    free(partial->name);
    free(partial->folded);
    free(partial->have);
    free(partial);
}

void holdings_destroy(struct holdings **self_p)
{
    struct holdings *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free_partial(self->partials[i]);
    free(self);
    *self_p = NULL;
}

/* The position of the first partial file whose name is not before `name`. */
static size_t partial_lower_bound(const struct holdings *self, struct text name)
{
    size_t begin = 0, end = self->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (text_compare(self->partials[middle]->file.name, name) < 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static struct partial *find_partial(const struct holdings *self, uint64_t handle)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->partials[i]->handle == handle)
            return self->partials[i];
    }
    return NULL;
}

static const struct partial *find_partial_by_id(const struct holdings *self, const struct file_id *id)
{
    for (size_t i = 0; i < self->count; i++) {
        if (file_id_equal(&self->partials[i]->file.id, id))
            return self->partials[i];
    }
    return NULL;
}

static bool bit_is_set(const uint8_t *bits, uint32_t index)
{
    return bits[index / 8] & (0x80u >> (index % 8));
}

static void update_permille(struct partial *partial)
{
    uint64_t permille = (uint64_t)partial->have_count * PERMILLE_COMPLETE / partial->layout.chunk_count;
    partial->file.have_permille = (uint16_t)permille;
}

bool holdings_add_partial(struct holdings *self, uint64_t handle, const struct file_entry *file,
                          const uint8_t *have)
{
    if (file->size == 0 || file->size > FILE_SIZE_MAX || self->count == HOLDINGS_PARTIALS_MAX)
        return false;
    struct layout layout = layout_of(file->size);
    if (layout.chunk_count > HOLDINGS_PARTIAL_CHUNKS_MAX || find_partial(self, handle))
        return false;
    struct partial *partial = calloc(1, sizeof *partial);
    assert(partial);
    partial->handle = handle;
    partial->layout = layout;
    partial->file = *file;
    partial->name = text_copy(file->name);
    partial->file.name = (struct text){partial->name, file->name.size};
    partial->folded = match_fold_name(file->name, &partial->folded_size, &partial->folded_base_offset);
    partial->have = malloc(layout_bitfield_size(&layout));
    assert(partial->have);
    memcpy(partial->have, have, layout_bitfield_size(&layout));
    for (uint32_t i = 0; i < layout.chunk_count; i++)
        partial->have_count += bit_is_set(have, i);
    update_permille(partial);
    size_t at = partial_lower_bound(self, partial->file.name);
    memmove(&self->partials[at + 1], &self->partials[at], (self->count - at) * sizeof self->partials[0]);
    self->partials[at] = partial;
    self->count++;
    self->partial_changes++;
    return true;
}

bool holdings_partial_verified(struct holdings *self, uint64_t handle, uint32_t first, uint32_t count)
{
    struct partial *partial = find_partial(self, handle);
    if (!partial)
        return false;
    assert(first <= partial->layout.chunk_count);
    assert(count <= partial->layout.chunk_count - first);
    for (uint32_t i = first; i < first + count; i++) {
        if (bit_is_set(partial->have, i))
            continue;
        partial->have[i / 8] |= (uint8_t)(0x80u >> (i % 8));
        partial->have_count++;
    }
    update_permille(partial);
    return true;
}

void holdings_remove_partial(struct holdings *self, uint64_t handle)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->partials[i]->handle != handle)
            continue;
        free_partial(self->partials[i]);
        self->count--;
        memmove(&self->partials[i], &self->partials[i + 1], (self->count - i) * sizeof self->partials[0]);
        self->partial_changes++;
        return;
    }
}

static struct holding of_partial(const struct partial *partial)
{
    bool is_whole = partial->have_count == partial->layout.chunk_count;
    return (struct holding){
        .content = {.is_partial = true, .handle = partial->handle},
        .file = partial->file,
        .layout = partial->layout,
        .have = is_whole ? NULL : partial->have,
    };
}

static struct holding of_shared(const struct shared_file *file)
{
    return (struct holding){
        .content = {.handle = file->handle},
        .file = shared_file_entry(file),
        .layout = layout_of(file->stamp.size),
    };
}

enum holdings_lookup holdings_by_id(const struct holdings *self, const struct file_id *id,
                                    struct holding *ret_holding)
{
    const struct shared_file *file = share_index_by_id(self->index, id);
    if (file) {
        *ret_holding = of_shared(file);
        return HOLDINGS_FOUND;
    }
    const struct partial *partial = find_partial_by_id(self, id);
    if (partial) {
        *ret_holding = of_partial(partial);
        return HOLDINGS_FOUND;
    }
    return share_index_is_settled(self->index) ? HOLDINGS_NONE : HOLDINGS_HASHING;
}

static enum holdings_lookup partial_by_name(const struct holdings *self, struct text name,
                                            struct holding *ret_holding)
{
    const struct partial *found = NULL;
    for (size_t i = 0; i < self->count; i++) {
        const struct partial *partial = self->partials[i];
        bool is_whole_name = text_equal(partial->file.name, name);
        if (!is_whole_name && !text_equal(name_base(partial->file.name), name))
            continue;
        if (found && !is_whole_name)
            return HOLDINGS_SEVERAL;
        found = partial;
        if (is_whole_name)
            break;
    }
    if (!found)
        return HOLDINGS_NONE;
    *ret_holding = of_partial(found);
    return HOLDINGS_FOUND;
}

enum holdings_lookup holdings_by_name(const struct holdings *self, struct text name,
                                      struct holding *ret_holding)
{
    const struct shared_file *file;
    switch (share_index_by_name(self->index, name, &file)) {
    case SHARE_FOUND:
        *ret_holding = of_shared(file);
        return HOLDINGS_FOUND;
    case SHARE_SEVERAL:
        return HOLDINGS_SEVERAL;
    case SHARE_HASHING:
        return HOLDINGS_HASHING;
    case SHARE_NONE:
        break;
    }
    enum holdings_lookup result = partial_by_name(self, name, ret_holding);
    if (result != HOLDINGS_NONE || share_index_is_settled(self->index))
        return result;
    /* Names are known before ids: only an unfinished scan still leaves the name open. */
    struct matcher *matcher = matcher_new(MODE_EXACT, name, 0, 0);
    uint32_t total = 0;
    if (matcher)
        share_index_query(self->index, matcher, 0, NULL, &total);
    matcher_destroy(&matcher);
    return total > 0 ? HOLDINGS_HASHING : HOLDINGS_NONE;
}

bool holdings_by_partial(const struct holdings *self, uint64_t handle, struct holding *ret_holding)
{
    const struct partial *partial = find_partial(self, handle);
    if (partial)
        *ret_holding = of_partial(partial);
    return partial != NULL;
}

bool holding_has_range(const struct holding *holding, uint64_t offset, uint32_t length)
{
    assert(length > 0);
    if (!holding->have)
        return true;
    uint32_t first = (uint32_t)(offset >> holding->layout.chunk_log2);
    uint32_t last = (uint32_t)((offset + length - 1) >> holding->layout.chunk_log2);
    for (uint32_t i = first; i <= last; i++) {
        if (!bit_is_set(holding->have, i))
            return false;
    }
    return true;
}

/* Both kinds of file, merged in byte order of name. */
struct walk {
    const struct holdings *holdings;
    struct text prefix;
    size_t shared_position, partial_position;
};

static struct walk walk_from(const struct holdings *self, struct text prefix, struct text after)
{
    struct text start = text_compare(after, prefix) > 0 ? after : prefix;
    struct walk walk = {self, prefix, share_index_lower_bound(self->index, start),
                        partial_lower_bound(self, start)};
    if (after.size == 0)
        return walk;
    if (walk.shared_position < share_index_count(self->index) &&
        text_equal(share_index_at(self->index, walk.shared_position)->name, after))
        walk.shared_position++;
    while (walk.partial_position < self->count &&
           text_equal(self->partials[walk.partial_position]->file.name, after))
        walk.partial_position++;
    return walk;
}

static bool walk_next(struct walk *walk, struct file_entry *ret_entry)
{
    const struct holdings *self = walk->holdings;
    const struct shared_file *shared = NULL;
    for (; walk->shared_position < share_index_count(self->index); walk->shared_position++) {
        const struct shared_file *file = share_index_at(self->index, walk->shared_position);
        if (!text_has_prefix(file->name, walk->prefix))
            break;
        if (file->state == SHARE_READY) {
            shared = file;
            break;
        }
    }
    const struct partial *partial = NULL;
    if (walk->partial_position < self->count &&
        text_has_prefix(self->partials[walk->partial_position]->file.name, walk->prefix))
        partial = self->partials[walk->partial_position];
    if (!shared && !partial)
        return false;
    int order = !partial ? -1 : !shared ? 1 : text_compare(shared->name, partial->file.name);
    if (order <= 0)
        walk->shared_position++;
    if (order >= 0)
        walk->partial_position++; /* under an equal name the whole file is shown */
    *ret_entry = order <= 0 ? shared_file_entry(shared) : partial->file;
    return true;
}

size_t holdings_page(const struct holdings *self, struct text prefix, struct text after, size_t limit,
                     size_t bytes_max, struct file_entry *ret_entries, bool *ret_more)
{
    struct walk walk = walk_from(self, prefix, after);
    struct file_entry entry;
    size_t count = 0, bytes = 0;
    *ret_more = false;
    while (walk_next(&walk, &entry)) {
        size_t entry_bytes = file_entry_size(&entry);
        if (count == limit || entry_bytes > bytes_max - bytes) {
            *ret_more = true;
            break;
        }
        bytes += entry_bytes;
        ret_entries[count++] = entry;
    }
    return count;
}

uint64_t holdings_count(const struct holdings *self, struct text prefix)
{
    struct walk walk = walk_from(self, prefix, (struct text){"", 0});
    struct file_entry entry;
    uint64_t count = 0;
    while (walk_next(&walk, &entry))
        count++;
    return count;
}

size_t holdings_query(const struct holdings *self, const struct matcher *matcher, size_t limit,
                      struct file_entry *ret_entries, uint32_t *ret_total)
{
    uint32_t total;
    size_t count = share_index_query(self->index, matcher, limit, ret_entries, &total);
    for (size_t i = 0; i < self->count; i++) {
        const struct partial *partial = self->partials[i];
        struct match_subject subject = {
            .name = partial->file.name,
            .folded = {partial->folded, partial->folded_size},
            .folded_base_offset = partial->folded_base_offset,
            .id = &partial->file.id,
            .size = partial->file.size,
        };
        if (!matcher_matches(matcher, &subject))
            continue;
        total += total < UINT32_MAX;
        if (count < limit)
            ret_entries[count++] = partial->file;
    }
    *ret_total = total;
    return count;
}

void holdings_totals(const struct holdings *self, uint64_t *ret_files, uint64_t *ret_bytes)
{
    share_index_totals(self->index, ret_files, ret_bytes);
    for (size_t i = 0; i < self->count; i++) {
        *ret_files += 1;
        *ret_bytes += self->partials[i]->file.size;
    }
}

bool holdings_is_settled(const struct holdings *self)
{
    return share_index_is_settled(self->index);
}

void holdings_fill_presence(const struct holdings *self, struct presence *presence)
{
    share_index_fill_presence(self->index, presence);
    for (size_t i = 0; i < self->count; i++)
        presence_add(presence, self->partials[i]->file.name, &self->partials[i]->file.id);
}

uint64_t holdings_generation(const struct holdings *self)
{
    return share_index_generation(self->index) + self->partial_changes;
}
