/* SPDX-License-Identifier: MIT */
#include "node/serve/list_cursor.h"

#include <stdlib.h>

void list_cursors_release(struct list_cursors *self)
{
    for (size_t i = 0; i < LIST_CURSORS_MAX; i++)
        free(self->places[i].after);
    *self = (struct list_cursors){0};
}

const struct list_place *list_cursors_find(const struct list_cursors *self, uint64_t cursor)
{
    const struct list_place *place = &self->places[cursor % LIST_CURSORS_MAX];
    return cursor != 0 && place->cursor == cursor ? place : NULL;
}

uint64_t list_cursors_add(struct list_cursors *self, struct text after, uint64_t generation, uint64_t total)
{
    uint64_t cursor = ++self->last;
    struct list_place *place = &self->places[cursor % LIST_CURSORS_MAX];
    free(place->after);
    *place = (struct list_place){cursor, text_copy(after), after.size, generation, total};
    return cursor;
}
