/* SPDX-License-Identifier: MIT */
#include "node/share/share_entries.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void entries_add(struct entries *self, struct entry *entry)
{
    if (self->count == self->room) {
        self->room = self->room ? self->room * 2 : 64;
        self->items = realloc(self->items, self->room * sizeof(struct entry *));
        assert(self->items);
    }
    self->items[self->count++] = entry;
}

static int compare_with(const void *a, const void *b, void *compare)
{
    compare_entries **function = compare;
    return (*function)(*(struct entry *const *)a, *(struct entry *const *)b);
}

void entries_sort(struct entries *self, compare_entries *compare)
{
    if (self->count > 1)
        qsort_r(self->items, self->count, sizeof(struct entry *), compare_with, &compare);
}

size_t entries_bound(struct entry *const *table, size_t begin, size_t end, const struct entry *key,
                     compare_entries *compare)
{
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (compare(table[middle], key) < 0)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

size_t entries_bound_near(struct entry *const *table, size_t begin, size_t end, const struct entry *key,
                          compare_entries *compare)
{
    for (size_t step = 1; step < end - begin; step *= 2) {
        if (compare(table[begin + step - 1], key) >= 0) {
            end = begin + step - 1;
            break;
        }
        begin += step;
    }
    return entries_bound(table, begin, end, key, compare);
}

void entries_splice(struct entry ***table, size_t count, struct entries *gone, struct entries *added,
                    compare_entries *compare)
{
    entries_sort(gone, compare);
    entries_sort(added, compare);
    struct entry **old = *table;
    struct entry **spliced = malloc((count - gone->count + added->count + 1) * sizeof(struct entry *));
    assert(spliced);
    size_t from = 0, to = 0;
    for (size_t g = 0, a = 0; g < gone->count || a < added->count;) {
        bool is_gone =
            a == added->count || (g < gone->count && compare(gone->items[g], added->items[a]) <= 0);
        struct entry *next = is_gone ? gone->items[g] : added->items[a];
        size_t position = entries_bound_near(old, from, count, next, compare);
        while (is_gone && old[position] != next) /* a moment of two with one name: the other is new */
            position++;
        if (position > from) /* an empty table has no address */
            memcpy(spliced + to, old + from, (position - from) * sizeof(struct entry *));
        to += position - from;
        from = position + is_gone;
        if (is_gone) {
            g++;
        } else {
            spliced[to++] = next;
            a++;
        }
    }
    if (count > from)
        memcpy(spliced + to, old + from, (count - from) * sizeof(struct entry *));
    free(old);
    *table = spliced;
}
