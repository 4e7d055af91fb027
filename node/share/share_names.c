/* SPDX-License-Identifier: MIT */
/* What new files are called: as they are on disk, cleaned, and numbered where that is taken. */
#include "node/share/share_index_private.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Order of name, then of place, so that equal names are neighbours, the first of which gets it. */
static int compare_fresh(const void *a, const void *b)
{
    const struct fresh_file *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    if (order == 0 && left->found->share != right->found->share)
        order = left->found->share < right->found->share ? -1 : 1;
    return order ? order : strcmp(left->found->name, right->found->name);
}

static int compare_name_to_fresh(const void *name, const void *item)
{
    return strcmp(name, ((const struct fresh_file *)item)->name);
}

static bool is_taken(const struct share_index *self, const char *name)
{
    struct text text = text_of(name);
    for (size_t i = share_index_lower_bound(self, text); i < self->count; i++) {
        const struct entry *entry = self->by_name[i];
        if (!text_equal(entry->file.name, text))
            return false;
        if (entry->mark != MARK_GONE)
            return true;
    }
    return false;
}

/*
 * A numbered name for `name` that nobody has or wishes; *number is the last one tried. Two numbered names
 * never meet: without its number, each is the name that it was made from.
 */
static char *free_name(const struct share_index *self, const struct fresh_file *files, size_t count,
                       const char *name, unsigned *number)
{
    for (;;) {
        char *numbered = name_numbered(name, ++*number);
        if (!is_taken(self, numbered) &&
            !bsearch(numbered, files, count, sizeof files[0], compare_name_to_fresh))
            return numbered;
        free(numbered);
    }
}

/* Moves those whose name is not valid to the end, and takes it from them. */
static size_t keep_valid(struct fresh_file *files, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct fresh_file file = files[i];
        if (file.name && name_is_valid(text_of(file.name))) {
            files[i] = files[kept];
            files[kept++] = file;
        } else {
            free(file.name);
            files[i].name = NULL;
        }
    }
    return kept;
}

size_t share_index_name_fresh(const struct share_index *self, struct fresh_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        files[i].name = name_clean(files[i].found->name);
    count = keep_valid(files, count);
    if (count > 1)
        qsort(files, count, sizeof files[0], compare_fresh);
    /* New names are set aside until all are found, because the search needs the old ones in order. */
    char **numbered = calloc(count + 1, sizeof *numbered);
    assert(numbered);
    unsigned number = 1;
    for (size_t i = 0; i < count; i++) {
        bool is_next = i > 0 && strcmp(files[i].name, files[i - 1].name) == 0;
        if (!is_next)
            number = 1;
        if (is_next || is_taken(self, files[i].name))
            numbered[i] = free_name(self, files, count, files[i].name, &number);
    }
    for (size_t i = 0; i < count; i++) {
        if (!numbered[i])
            continue;
        free(files[i].name);
        files[i].name = numbered[i];
    }
    free(numbered);
    return keep_valid(files, count);
}
