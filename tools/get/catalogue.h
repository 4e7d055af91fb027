/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_GET_CATALOGUE_H
#define TOOLS_GET_CATALOGUE_H

/*
 * The union of what several nodes list: each name once, with the nodes that have it. Names come from
 * strangers, so their hashes are seeded.
 */
#include "messages/message.h"
#include "messages/table.h"
#include "node/shell/fetch/file_attributes.h"

/* About 250 bytes each and the name: 350 MiB at most, and who has more of them fetches one part after the
 * other. */
#define CATALOGUE_FILES_MAX 1000000

/* Sources of one file: as many as one fast link needs; a large one is searched for by its id as well. */
#define CATALOGUE_SOURCES_MAX 16

/* Different files under one name that are told apart; more help nobody to choose. */
#define CATALOGUE_OTHERS_MAX 8

struct catalogue_file {
    struct file_id id;
    struct hash root;
    uint64_t size;
    struct file_attributes attributes; /* as the first told them who did */
    uint16_t sources[CATALOGUE_SOURCES_MAX];
    uint8_t source_count;
    uint8_t state;                /* the owner's; 0 at first */
    struct catalogue_file *other; /* of the same name */
    UT_hash_handle hh;
    size_t name_size;
    char name[]; /* and a NUL */
};

struct catalogue;

struct catalogue *catalogue_new(uint64_t seed);
void catalogue_destroy(struct catalogue **self_p);

/* `source` has the file under `name` (the entry's own is not used). False when there is no room. */
bool catalogue_add(struct catalogue *self, const struct file_entry *entry, struct text name, uint16_t source);

size_t catalogue_count(const struct catalogue *self);

/* In byte order of name, after catalogue_sort() and before the next catalogue_add(). */
void catalogue_sort(struct catalogue *self);
struct catalogue_file *catalogue_at(const struct catalogue *self, size_t position);

#endif
