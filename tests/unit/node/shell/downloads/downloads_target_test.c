/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a name from the network leads out of the folder through a symlink, or an empty file
 * takes the place of another.
 */
#include "node/shell/downloads/downloads_private.h"

#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct folder folder;

static void make_folder(void)
{
    folder = folder_new();
}

static void remove_folder(void)
{
    folder_remove(&folder);
}

TestSuite(downloads_target, .init = make_folder, .fini = remove_folder, .timeout = 60);

static int error_of(const char *target)
{
    return target_check(folder.path, target);
}

static off_t size_of(const char *name)
{
    struct stat status;
    return lstat(folder_path(&folder, name), &status) == 0 ? status.st_size : -1;
}

Test(downloads_target, a_folder_that_is_missing_is_no_hindrance_and_not_made)
{
    cr_assert(eq(int, error_of("a/b/c.bin"), 0));
    cr_assert(eq(i64, size_of("a"), -1));
    cr_assert(eq(int, error_of("c.bin"), 0));
}

Test(downloads_target, no_symlink_is_followed_and_no_file_is_a_folder)
{
    folder_link(&folder, "/tmp", "link");
    cr_assert(ne(int, error_of("link/x"), 0));
    folder_write(&folder, "file", "x");
    cr_assert(eq(int, error_of("file/x"), ENOTDIR));
}

Test(downloads_target, base_and_renamed_keep_the_folder)
{
    const char *const rows[][3] = {{"a/b/c.bin", "c.bin", "a/b/new"}, {"c.bin", "c.bin", "new"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *renamed = target_renamed(rows[i][0], "new");
        cr_expect(strcmp(target_base(rows[i][0]), rows[i][1]) == 0, "row %zu", i);
        cr_expect(strcmp(renamed, rows[i][2]) == 0, "row %zu (%s)", i, renamed);
        free(renamed);
    }
}

Test(downloads_target, an_empty_file_takes_no_others_place)
{
    folder_write(&folder, "x.txt", "mine");
    static const char *const expected[] = {"x (2).txt", "x (2).txt"}; /* the second is there already */
    for (size_t i = 0; i < 2; i++) {
        char *made = NULL;
        cr_assert(eq(int, target_make_empty(folder.path, "x.txt", &made), 0));
        cr_expect(strcmp(made, expected[i]) == 0, "%zu: %s", i, made);
        free(made);
    }
    cr_assert(eq(i64, size_of("x.txt"), 4));
    cr_assert(eq(i64, size_of("x (2).txt"), 0));
}
