/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a user's own file is taken for a partial one, or a partial one for a file; one of
 * another target is found; a name at the limit of a folder entry is read beyond its end.
 */
#include "node/shell/fetch/partial_name.h"

#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(partial_name, what_the_store_names_is_read_back)
{
    static const char *const targets[] = {"a", "film.mkv", ".hidden", "x.zpart", "a.b.c", "\xc3\xa4 \xff\n"};
    const struct file_id id = {{0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07}};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        char entry[PARTIAL_NAME_SIZE];
        struct partial_name name;
        chunk_store_partial_name(targets[i], &id, entry);
        cr_assert(partial_name_parse(entry, &name), "row %zu", i);
        cr_expect(eq(str, name.target, (char *)(uintptr_t)targets[i]), "row %zu", i);
        cr_expect(eq(str, name.entry, entry), "row %zu", i);
        cr_expect(eq(int, memcmp(name.id_begin, id.bytes, PARTIAL_ID_SIZE), 0), "row %zu", i);
    }
}

Test(partial_name, other_names_are_not)
{
    static const char *const entries[] = {"",
                                          ".",
                                          ".zpart",
                                          "a.a1b2c3d4e5f6.zpart",
                                          "..a1b2c3d4e5f6.zpart",
                                          ".a.a1b2c3d4e5f.zpart",
                                          ".a.a1b2c3d4e5fg.zpart",
                                          ".a-a1b2c3d4e5f6.zpart",
                                          ".a.a1b2c3d4e5f6.zpart2",
                                          ".a.a1b2c3d4e5f6"};
    char long_entry[PARTIAL_NAME_SIZE + 20];
    memset(long_entry, 'x', sizeof long_entry);
    memcpy(long_entry + sizeof long_entry - 20, ".a1b2c3d4e5f6.zpart", 20);
    long_entry[0] = '.';
    struct partial_name name;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        cr_expect(not(partial_name_parse(entries[i], &name)), "row %zu", i);
    cr_expect(not(partial_name_parse(long_entry, &name)), "longer than a folder entry can be");
}

Test(partial_name, those_of_one_target_are_found)
{
    struct folder folder = folder_new();
    char long_target[256];
    memset(long_target, 'y', 255);
    long_target[255] = '\0';
    const struct file_id one = {{1}}, two = {{2}};
    char entry[PARTIAL_NAME_SIZE];
    const struct {
        const char *target;
        const struct file_id *id;
    } there[] = {{"a", &one}, {"a", &two}, {"b", &one}, {long_target, &one}};
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++) {
        chunk_store_partial_name(there[i].target, there[i].id, entry);
        close(open(folder_path(&folder, entry), O_CREAT | O_WRONLY, 0600));
    }
    struct partial_name found[4];
    cr_assert(eq(sz, partial_name_find(folder.path, "a", found, 4), 2));
    cr_assert(eq(sz, partial_name_find(folder.path, "a", found, 1), 1));
    cr_assert(eq(sz, partial_name_find(folder.path, "b", found, 4), 1));
    cr_assert(eq(u8, found[0].id_begin[0], 1));
    cr_assert(eq(sz, partial_name_find(folder.path, long_target, found, 4), 1));
    cr_assert(eq(sz, partial_name_find(folder.path, "c", found, 4), 0));
    cr_assert(eq(sz, partial_name_find("/nonexistent", "a", found, 4), 0));
    folder_remove(&folder);
}
