/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_NODE_SHELL_FETCH_CHUNK_STORE_WORLD_H
#define TESTS_UNIT_NODE_SHELL_FETCH_CHUNK_STORE_WORLD_H

/* A folder with the partial file of film.mkv, and what can be seen there. */
#include "node/shell/fetch/chunk_store.h"

#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>

#define FILE_SIZE (UINT64_C(300000)) /* five chunks of 64 KiB, the last a short one */
#define PARTIAL   ".film.mkv.a1a1a1a1a1a1.zpart"

static struct folder folder;
static const struct file_id file = {{[0 ... 31] = 0xa1}}, other_file = {{[0 ... 31] = 0xb2}};
static struct layout layout;

static inline void make_folder(void)
{
    folder = folder_new();
    layout = layout_of(FILE_SIZE);
}

static inline void remove_folder(void)
{
    folder_remove(&folder);
}

static inline struct chunk_store *open_named(const char *name, const struct file_id *id)
{
    struct chunk_store *store = NULL;
    cr_assert(eq(int, chunk_store_open(folder.path, NULL, name, id, &layout, &store), STORE_OK));
    return store;
}

static inline struct chunk_store *open_store(void)
{
    return open_named("film.mkv", &file);
}

static inline bool exists(const char *name)
{
    struct stat status;
    return lstat(folder_path(&folder, name), &status) == 0;
}

static inline uint64_t size_of(const char *name)
{
    struct stat status;
    cr_assert(eq(int, stat(folder_path(&folder, name), &status), 0));
    return (uint64_t)status.st_size;
}

/* Writes the whole content, `fill` in each byte. */
static inline void fill_content(struct chunk_store *store, char fill)
{
    static char content[FILE_SIZE];
    memset(content, fill, sizeof content);
    cr_assert(eq(int, chunk_store_write(store, content, sizeof content, 0), 0));
}

static inline char first_byte_of(const char *name)
{
    char byte = 0;
    FILE *in = fopen(folder_path(&folder, name), "re");
    cr_assert(in != NULL);
    cr_assert(eq(sz, fread(&byte, 1, 1, in), 1));
    fclose(in);
    return byte;
}

static inline void claims_are(const struct chunk_store *store, const char *expected)
{
    const struct chunk_map *claims = chunk_store_claims(store);
    cr_assert(eq(u32, claims->count, layout.chunk_count));
    for (uint32_t i = 0; i < claims->count; i++)
        cr_expect(eq(int, chunk_map_has(claims, i), expected[i] == '1'), "chunk %u of %s", i, expected);
}

#endif
