/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a folder above that is missing, a path of strange but legal shape, an error that names
 * the last folder where one above it is what cannot be made, a name that is not on the disk and said to be.
 */
#include "node/shell/folders.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <sys/resource.h>

static struct folder folder;

static void set_up(void)
{
    folder = folder_new();
}

static void tear_down(void)
{
    folder_remove(&folder);
}

TestSuite(folders, .init = set_up, .fini = tear_down);

static mode_t mode_of(const char *name)
{
    struct stat status;
    return stat(folder_path(&folder, name), &status) == 0 ? status.st_mode : 0;
}

Test(folders, every_folder_that_is_missing_is_made_with_the_mode)
{
    umask(0);
    cr_assert(folders_make(folder_path(&folder, "a/b/c"), 0700));
    cr_assert(eq(u32, mode_of("a"), S_IFDIR | 0700));
    cr_assert(eq(u32, mode_of("a/b/c"), S_IFDIR | 0700));
    cr_assert(folders_make(folder_path(&folder, "a/b/c"), 0700), "a second time");
}

Test(folders, a_path_may_have_slashes_to_spare_dots_and_no_root)
{
    static const char *const names[] = {"a//b///c", "d/e/", "f/./g", "h/../i/j"};
    cr_assert(zero(int, chdir(folder.path)));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_expect(folders_make(names[i], 0777), "%s: %s", names[i], strerror(errno));
        cr_expect(eq(u32, mode_of(names[i]) & S_IFMT, S_IFDIR), "%s", names[i]);
    }
    cr_assert(folders_make("/", 0777));
    cr_assert(folders_make(".", 0777));
    cr_assert(not(folders_make("", 0777)));
    cr_assert(eq(int, errno, ENOENT));
}

Test(folders, what_leads_to_a_file_is_made_without_the_file)
{
    cr_assert(folders_make_above(folder_path(&folder, "a/b/file"), 0777));
    cr_assert(eq(u32, mode_of("a/b") & S_IFMT, S_IFDIR));
    cr_assert(zero(u32, mode_of("a/b/file")));
    cr_assert(folders_make_above("file", 0777), "in the current folder");
}

Test(folders, a_file_in_the_way_is_an_error)
{
    folder_write(&folder, "file", "kept");
    cr_assert(not(folders_make(folder_path(&folder, "file/a/b"), 0777)));
    cr_assert(eq(int, errno, ENOTDIR));
}

Test(folders, the_error_is_that_of_the_folder_that_cannot_be_made)
{
    cr_assert(not(folders_make("/proc/none/a/b", 0777)));
    cr_assert(eq(int, errno, ENOENT)); /* nothing can be made there, by nobody */
    folder_link(&folder, "loop", "loop");
    cr_assert(not(folders_make(folder_path(&folder, "loop/a/b"), 0777)));
    cr_assert(eq(int, errno, ELOOP));
}

Test(folders, only_the_folder_itself_is_made_when_that_is_wanted)
{
    cr_assert(not(folders_make_one(folder_path(&folder, "a/b"), 0700)));
    cr_assert(eq(int, errno, ENOENT));
    cr_assert(eq(u32, mode_of("a"), 0));
    cr_assert(folders_make_one(folder_path(&folder, "a"), 0700));
    cr_assert(folders_make_one(folder_path(&folder, "a"), 0700), "a second time");
}

Test(folders, one_that_could_not_be_synced_is_not_said_to_be_made)
{
    const char *path = folder_path(&folder, "a");
    struct rlimit before;
    cr_assert(zero(int, getrlimit(RLIMIT_NOFILE, &before)));
    struct rlimit none = {0, before.rlim_max};
    cr_assert(zero(int, setrlimit(RLIMIT_NOFILE, &none)));
    bool is_made = folders_make(path, 0700);
    int error = errno;
    cr_assert(zero(int, setrlimit(RLIMIT_NOFILE, &before)));
    cr_expect(not(is_made));
    cr_expect(eq(int, error, EMFILE));
}
