/* SPDX-License-Identifier: MIT */
#ifndef NODE_SERVE_LIST_CURSOR_H
#define NODE_SERVE_LIST_CURSOR_H

/*
 * Where a LIST that is being paged goes on: after a name, so that no file is repeated or skipped when others
 * come and go in between. A cursor on the wire is a number that stands for one of the last few places.
 */

#include "messages/text.h"

/* LISTs that one requester pages through at a time, and a repeated page. Each keeps a name of up to 1 KiB. */
#define LIST_CURSORS_MAX 4

struct list_place {
    uint64_t cursor; /* 0: unused */
    char *after;     /* the last name that was sent, `after_size` bytes */
    size_t after_size;
    uint64_t generation,
        total; /* the count of all names and when it was made: counting for each page is quadratic */
};

struct list_cursors {
    struct list_place places[LIST_CURSORS_MAX];
    uint64_t last;
};

/* A zeroed struct is an empty one. */
void list_cursors_release(struct list_cursors *self);

/* NULL for a number that was never given or is forgotten. Valid until the next list_cursors_add(). */
const struct list_place *list_cursors_find(const struct list_cursors *self, uint64_t cursor);

/* Remembers a place, forgetting the oldest; copies the name. Returns its cursor, never 0. */
uint64_t list_cursors_add(struct list_cursors *self, struct text after, uint64_t generation, uint64_t total);

#endif
