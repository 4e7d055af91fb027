/* SPDX-License-Identifier: MIT */
#ifndef NODE_SHELL_FETCH_PARTIAL_NAME_H
#define NODE_SHELL_FETCH_PARTIAL_NAME_H

/* Reads what partial files are called (node/shell/fetch/chunk_store.h makes the names). */
#include "node/shell/fetch/chunk_store.h"

/* Bytes of the id that the name tells. */
#define PARTIAL_ID_SIZE 6

struct partial_name {
    char entry[PARTIAL_NAME_SIZE];  /* the folder entry */
    char target[PARTIAL_NAME_SIZE]; /* what the file will be called; cut short when that is long */
    uint8_t id_begin[PARTIAL_ID_SIZE];
};

/* False when it is not called like a partial file. */
bool partial_name_parse(const char *entry, struct partial_name *ret_name);

/* The partial files in a folder of a target called `target`, at most `max`. Returns how many. */
size_t partial_name_find(const char *folder, const char *target, struct partial_name *ret_names, size_t max);

#endif
