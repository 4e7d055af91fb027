/* SPDX-License-Identifier: MIT */
#include "tools/get/catalogue.h"

#include "messages/sha256.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct catalogue {
    uint64_t seed;
    struct catalogue_file *by_name;
    struct catalogue_file **sorted; /* NULL when it is not */
};

struct catalogue *catalogue_new(uint64_t seed)
{
    struct catalogue *self = calloc(1, sizeof *self);
    assert(self);
    self->seed = seed;
    return self;
}

void catalogue_destroy(struct catalogue **self_p)
{
    struct catalogue *self = *self_p;
    if (!self)
        return;
    struct catalogue_file *file, *next;
    HASH_ITER(hh, self->by_name, file, next)
    {
        HASH_DEL(self->by_name, file);
        while (file) {
            struct catalogue_file *other = file->other;
            free(file);
            file = other;
        }
    }
    free(self->sorted);
    free(self);
    *self_p = NULL;
}

static unsigned hash_of(const struct catalogue *self, struct text name)
{
    uint8_t bytes[sizeof self->seed + 1024];
    struct hash hash;
    unsigned value;
    assert(name.size <= sizeof bytes - sizeof self->seed);
    memcpy(bytes, &self->seed, sizeof self->seed);
    memcpy(bytes + sizeof self->seed, name.bytes, name.size);
    sha256(bytes, sizeof self->seed + name.size, &hash);
    memcpy(&value, hash.bytes, sizeof value);
    return value;
}

static struct catalogue_file *file_new(const struct file_entry *entry, struct text name)
{
    struct catalogue_file *file = calloc(1, sizeof *file + name.size + 1);
    assert(file);
    file->id = entry->id;
    file->root = entry->root;
    file->size = entry->size;
    file->name_size = name.size;
    memcpy(file->name, name.bytes, name.size);
    return file;
}

static void add_source(struct catalogue_file *file, const struct file_entry *entry, uint16_t source)
{
    struct file_attributes *attributes = &file->attributes;
    if (!attributes->has_mtime && entry->has_mtime) {
        attributes->has_mtime = true;
        attributes->mtime_ms = entry->mtime_ms;
    }
    if (file->source_count == 0)
        attributes->is_executable = entry->has_executable && entry->is_executable;
    for (unsigned i = 0; i < file->source_count; i++) {
        if (file->sources[i] == source)
            return;
    }
    if (file->source_count < CATALOGUE_SOURCES_MAX)
        file->sources[file->source_count++] = source;
}

bool catalogue_add(struct catalogue *self, const struct file_entry *entry, struct text name, uint16_t source)
{
    struct catalogue_file *file;
    unsigned hash = hash_of(self, name);
    free(self->sorted);
    self->sorted = NULL;
    HASH_FIND_BYHASHVALUE(hh, self->by_name, name.bytes, name.size, hash, file);
    if (!file) {
        if (catalogue_count(self) == CATALOGUE_FILES_MAX)
            return false;
        file = file_new(entry, name);
        HASH_ADD_KEYPTR_BYHASHVALUE(hh, self->by_name, file->name, file->name_size, hash, file);
    }
    unsigned other_count = 0;
    while (!file_id_equal(&file->id, &entry->id)) {
        if (!file->other) {
            if (other_count == CATALOGUE_OTHERS_MAX)
                return true; /* it is ambiguous enough */
            file->other = file_new(entry, name);
        }
        file = file->other;
        other_count++;
    }
    add_source(file, entry, source);
    return true;
}

size_t catalogue_count(const struct catalogue *self)
{
    return HASH_COUNT(self->by_name);
}

static int compare_names(const void *a_p, const void *b_p)
{
    const struct catalogue_file *a = *(struct catalogue_file *const *)a_p;
    const struct catalogue_file *b = *(struct catalogue_file *const *)b_p;
    return text_compare((struct text){a->name, a->name_size}, (struct text){b->name, b->name_size});
}

void catalogue_sort(struct catalogue *self)
{
    size_t count = 0;
    struct catalogue_file *file, *next;
    free(self->sorted);
    self->sorted = calloc(catalogue_count(self) + 1, sizeof(struct catalogue_file *));
    assert(self->sorted);
    HASH_ITER(hh, self->by_name, file, next)
    self->sorted[count++] = file;
    qsort(self->sorted, count, sizeof(struct catalogue_file *), compare_names);
}

struct catalogue_file *catalogue_at(const struct catalogue *self, size_t position)
{
    assert(self->sorted && position < catalogue_count(self));
    return self->sorted[position];
}
