/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_MESSAGES_GOLDEN_H
#define TESTS_UNIT_MESSAGES_GOLDEN_H

/*
 * The byte vectors of tests/golden/messages.txt, for tests of the messages. The folder of the
 * sources comes from $ZSWARM_SOURCE; a missing file ends the test program.
 */

#include "messages/kind.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct golden {
    char name[64];
    uint8_t *bytes;
    size_t size;
    enum receiver receiver; /* one that reads this kind */
};

struct golden_list {
    struct golden *entries;
    size_t count;
};

static inline FILE *golden_file(const char *name)
{
    const char *source = getenv("ZSWARM_SOURCE");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/golden/%s", source ? source : ".", name);
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s cannot be read; set ZSWARM_SOURCE to the top of the sources\n", path);
        abort();
    }
    return file;
}

/* Decodes lower-case hex in place; the size in bytes. */
static inline size_t golden_unhex(char *hex)
{
    size_t size = strspn(hex, "0123456789abcdef") / 2;
    for (size_t i = 0; i < size; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        hex[i] = (char)strtoul(digits, NULL, 16);
    }
    return size;
}

static inline enum receiver golden_receiver(uint64_t kind)
{
    for (int r = RECEIVER_BROKER; r <= RECEIVER_CLIENT; r++) {
        if (kind_gate(kind, (enum receiver)r) == GATE_REQUEST || kind_is_reply_to(kind, (enum receiver)r))
            return (enum receiver)r;
    }
    abort();
}

static inline struct golden_list golden_load(void)
{
    struct golden_list list = {NULL, 0};
    FILE *file = golden_file("messages.txt");
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, file) > 0) {
        char *hex = strchr(line, ' ');
        if (!hex)
            abort();
        *hex++ = '\0';
        list.entries = realloc(list.entries, (list.count + 1) * sizeof *list.entries);
        struct golden *entry = &list.entries[list.count++];
        memset(entry, 0, sizeof *entry);
        snprintf(entry->name, sizeof entry->name, "%s", line);
        entry->size = golden_unhex(hex);
        entry->bytes = malloc(entry->size);
        memcpy(entry->bytes, hex, entry->size);
        entry->receiver = golden_receiver(entry->bytes[2]); /* head, version, kind in one byte */
    }
    free(line);
    fclose(file);
    return list;
}

static inline void golden_free(struct golden_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->entries[i].bytes);
    free(list->entries);
    *list = (struct golden_list){NULL, 0};
}

/* The vector of that name; ends the program when there is none. */
static inline const struct golden *golden_find(const struct golden_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].name, name) == 0)
            return &list->entries[i];
    }
    abort();
}

#endif
