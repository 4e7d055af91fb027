/* SPDX-License-Identifier: MIT */
#include "broker/gathering.h"
#include "messages/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Array headers around what file_entry_size() and source_entry_size() count; msgpack needs at most 5 bytes
 * each. */
#define FRAME_OVERHEAD 32
#define ENTRY_OVERHEAD 8

/* The smallest SOURCE takes 26 bytes of the 65536. */
#define SOURCES_PER_MESSAGE_MAX 2560

#define NO_SOURCE UINT32_MAX

/* A node that holds some file_id. */
struct holder {
    uint32_t source;
    uint8_t name_count;
    bool is_complete;
};

struct gathered_file {
    struct file_entry entry; /* its name is ours */
    uint32_t *sources;
    uint32_t source_count, source_capacity;
    uint32_t sent_count;  /* sources[0 .. sent_count) were sent */
    uint32_t batch;       /* the last batch it was in, */
    uint32_t batch_begin; /* and sent_count before it */
    bool is_queued;
    struct gathered_file *next, *queue_next;
};

struct gathered_id {
    struct file_id id;
    struct holder holders[GATHERING_NODES_MAX];
    uint8_t holder_count, complete_count;
    struct gathered_file *files;
    UT_hash_handle hh;
};

struct gathering {
    uint32_t limit;
    struct gathered_id *ids;
    struct gathered_file *queue_head, *queue_tail; /* files with something unsent */
    struct source_entry *sources;                  /* their names are ours */
    uint32_t source_count, source_capacity;
    size_t bytes;
    uint32_t batch;
    bool is_truncated;
};

struct gathering *gathering_new(uint32_t limit)
{
    struct gathering *self = calloc(1, sizeof *self);
    assert(self);
    self->limit = limit;
    return self;
}

static void free_id(struct gathered_id *id)
{
    while (id->files) {
        struct gathered_file *file = id->files;
        id->files = file->next;
        free((void *)(uintptr_t)file->entry.name.bytes);
        free(file->sources);
        free(file);
    }
    free(id);
}

void gathering_destroy(struct gathering **self_p)
{
    assert(self_p);
    struct gathering *self = *self_p;
    if (!self)
        return;
    struct gathered_id *id, *following;
    HASH_ITER(hh, self->ids, id, following)
    {
        HASH_DEL(self->ids, id);
        free_id(id);
    }
    for (uint32_t i = 0; i < self->source_count; i++)
        free((void *)(uintptr_t)self->sources[i].name.bytes);
    free(self->sources);
    free(self);
    *self_p = NULL;
}

bool gathering_is_truncated(const struct gathering *self)
{
    return self->is_truncated;
}

bool gathering_has_news(const struct gathering *self)
{
    return self->queue_head != NULL;
}

size_t gathering_bytes(const struct gathering *self)
{
    return self->bytes;
}

static struct text own_text(struct text t)
{
    char *copy = text_copy(t);
    assert(copy);
    return (struct text){copy, t.size};
}

static void enqueue(struct gathering *self, struct gathered_file *file)
{
    if (file->is_queued)
        return;
    file->is_queued = true;
    file->queue_next = NULL;
    if (self->queue_tail)
        self->queue_tail->queue_next = file;
    else
        self->queue_head = file;
    self->queue_tail = file;
}

static uint32_t add_source(struct gathering *self, const struct source_entry *source)
{
    if (self->source_count == self->source_capacity) {
        self->source_capacity = self->source_capacity ? self->source_capacity * 2 : 8;
        self->sources = realloc(self->sources, self->source_capacity * sizeof *self->sources);
        assert(self->sources);
    }
    struct source_entry *copy = &self->sources[self->source_count];
    *copy = *source;
    copy->name = own_text(source->name);
    self->bytes += sizeof *copy + source->name.size;
    return self->source_count++;
}

static struct gathered_id *find_or_add_id(struct gathering *self, const struct file_id *file_id)
{
    struct gathered_id *id;
    HASH_FIND(hh, self->ids, file_id, sizeof *file_id, id);
    if (id)
        return id;
    if (HASH_COUNT(self->ids) >= self->limit)
        return NULL;
    id = calloc(1, sizeof *id);
    assert(id);
    id->id = *file_id;
    HASH_ADD(hh, self->ids, id, sizeof *file_id, id);
    self->bytes += sizeof *id;
    return id;
}

static void remove_source_of_file(struct gathered_file *file, uint32_t source)
{
    for (uint32_t i = 0; i < file->source_count; i++) {
        if (file->sources[i] != source)
            continue;
        file->source_count--;
        memmove(file->sources + i, file->sources + i + 1, (file->source_count - i) * sizeof *file->sources);
        file->sent_count -= i < file->sent_count;
        file->batch_begin -= i < file->batch_begin;
        return;
    }
}

/* A free place among the holders, or that of one whose file is not complete. NULL when there is none. */
static struct holder *find_place(struct gathered_id *id, bool is_complete)
{
    if (id->holder_count < GATHERING_NODES_MAX)
        return &id->holders[id->holder_count++];
    if (!is_complete || id->complete_count == GATHERING_NODES_MAX)
        return NULL;
    for (uint8_t i = 0; i < id->holder_count; i++) {
        if (id->holders[i].is_complete)
            continue;
        for (struct gathered_file *file = id->files; file; file = file->next)
            remove_source_of_file(file, id->holders[i].source);
        return &id->holders[i];
    }
    return NULL;
}

static struct holder *find_holder(struct gathered_id *id, uint32_t source)
{
    for (uint8_t i = id->holder_count; i > 0 && source != NO_SOURCE; i--) {
        if (id->holders[i - 1].source == source)
            return &id->holders[i - 1];
    }
    return NULL;
}

static struct gathered_file *find_or_add_file(struct gathering *self, struct gathered_id *id,
                                              const struct file_entry *entry)
{
    struct gathered_file *file;
    /* The id commits to size and root, so these two of the five fields need no comparison. */
    for (file = id->files; file; file = file->next) {
        if (file->entry.have_permille == entry->have_permille && text_equal(file->entry.name, entry->name))
            return file;
    }
    file = calloc(1, sizeof *file);
    assert(file);
    file->entry = *entry;
    file->entry.name = own_text(entry->name);
    file->next = id->files;
    id->files = file;
    self->bytes += sizeof *file + entry->name.size;
    return file;
}

static void append_source(struct gathering *self, struct gathered_file *file, uint32_t source)
{
    if (file->source_count == file->source_capacity) {
        file->source_capacity = file->source_capacity ? file->source_capacity * 2 : 2;
        file->sources = realloc(file->sources, file->source_capacity * sizeof *file->sources);
        assert(file->sources);
    }
    file->sources[file->source_count++] = source;
    self->bytes += sizeof *file->sources;
    enqueue(self, file);
}

static void add_file(struct gathering *self, const struct source_entry *source, uint32_t *source_index,
                     const struct file_entry *entry)
{
    struct gathered_id *id = self->bytes < GATHERING_BYTES_MAX ? find_or_add_id(self, &entry->id) : NULL;
    if (!id) {
        self->is_truncated = true;
        return;
    }
    bool is_complete = entry->have_permille == PERMILLE_COMPLETE;
    struct holder *holder = find_holder(id, *source_index);
    if (!holder) {
        holder = find_place(id, is_complete);
        if (!holder)
            return;
        if (*source_index == NO_SOURCE)
            *source_index = add_source(self, source);
        *holder = (struct holder){.source = *source_index};
    }
    if (is_complete && !holder->is_complete) {
        holder->is_complete = true;
        id->complete_count++;
    }
    if (holder->name_count == GATHERING_NAMES_MAX)
        return;
    struct gathered_file *file = find_or_add_file(self, id, entry);
    if (file->source_count > 0 && file->sources[file->source_count - 1] == *source_index)
        return; /* the same FILE twice in one answer */
    holder->name_count++;
    append_source(self, file, *source_index);
}

void gathering_add(struct gathering *self, const struct source_entry *source, const struct file_list *files)
{
    uint32_t source_index = NO_SOURCE;
    for (size_t i = 0; i < files->count; i++)
        add_file(self, source, &source_index, &files->entries[i]);
}

/* Where one FOUND is put together. */
struct page {
    struct found_entry entries[FILES_MAX];
    struct source_entry sources[SOURCES_PER_MESSAGE_MAX];
    size_t entry_count, source_count, size_bytes;
};

/* Adds the unsent sources of `file`. False, and nothing changed, when they do not fit. */
static bool page_add(const struct gathering *self, struct page *page, const struct gathered_file *file)
{
    uint32_t count = file->source_count - file->sent_count;
    if (page->entry_count == FILES_MAX || count > SOURCES_PER_MESSAGE_MAX - page->source_count)
        return false;
    struct source_entry *sources = page->sources + page->source_count;
    size_t size = ENTRY_OVERHEAD + file_entry_size(&file->entry);
    for (uint32_t i = 0; i < count; i++) {
        sources[i] = self->sources[file->sources[file->sent_count + i]];
        size += source_entry_size(&sources[i]);
    }
    if (size > HEADER_SIZE_MAX_BROKER - FRAME_OVERHEAD - page->size_bytes)
        return false;
    page->entries[page->entry_count++] =
        (struct found_entry){.file = file->entry, .sources = {.entries = sources, .count = count}};
    page->source_count += count;
    page->size_bytes += size;
    return true;
}

static void fill_page(struct gathering *self, struct page *page)
{
    page->entry_count = page->source_count = page->size_bytes = 0;
    while (self->queue_head) {
        struct gathered_file *file = self->queue_head;
        if (file->sent_count < file->source_count) {
            if (!page_add(self, page, file))
                return;
            file->batch = self->batch;
            file->batch_begin = file->sent_count;
            file->sent_count = file->source_count;
        }
        self->queue_head = file->queue_next;
        if (!self->queue_head)
            self->queue_tail = NULL;
        file->is_queued = false;
    }
}

void gathering_send(struct gathering *self, struct effects *effects, uint32_t route, uint64_t rid,
                    uint64_t search_rid, unsigned messages_max)
{
    if (!self->queue_head)
        return;
    self->batch++;
    struct page *page = malloc(sizeof *page);
    assert(page);
    for (unsigned i = 0; i < messages_max && self->queue_head; i++) {
        fill_page(self, page);
        if (page->entry_count == 0)
            break;
        struct message m = {
            .kind = KIND_FOUND, .rid = rid, .found = {.entries = page->entries, .count = page->entry_count}};
        effects_send(effects, route, search_rid, &m);
    }
    free(page);
}

void gathering_rewind(struct gathering *self)
{
    if (self->batch == 0)
        return; /* nothing was sent yet, and no file is of batch 0 */
    struct gathered_id *id, *following;
    HASH_ITER(hh, self->ids, id, following)
    {
        for (struct gathered_file *file = id->files; file; file = file->next) {
            if (file->batch != self->batch)
                continue;
            file->sent_count = file->batch_begin;
            enqueue(self, file);
        }
    }
}
