/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a line, a comment or the mode of somebody's file is lost, two lines run together, a
 * link is replaced by a file, a failure leaves half a file or litter.
 */
#include "tests/support/folder.h"
#include "tools/cli/config.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <errno.h>

static struct folder folder;

static void set_up(void)
{
    folder = folder_new();
}

static void tear_down(void)
{
    folder_remove(&folder);
}

TestSuite(config, .init = set_up, .fini = tear_down);

static void expect_text(const char *name, char *wanted)
{
    char text[4096] = "";
    FILE *in = fopen(folder_path(&folder, name), "r");
    cr_assert(in != NULL);
    size_t size = fread(text, 1, sizeof text - 1, in);
    fclose(in);
    text[size] = '\0';
    cr_assert(eq(str, text, wanted));
}

static size_t count_entries(const char *name)
{
    size_t count = 0;
    DIR *entries = opendir(folder_path(&folder, name));
    cr_assert(entries != NULL);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count - 2; /* `.` and `..` */
}

Test(config, a_missing_file_is_made)
{
    cr_assert(config_add(folder_path(&folder, "config"), "broker", "tcp://h:1"));
    expect_text("config", "broker = tcp://h:1\n");
    cr_assert(eq(sz, count_entries("."), 1));
}

Test(config, every_other_line_stays_as_it_is)
{
    folder_write(&folder, "config", "# mine\n\n  up = 1M\nno line end");
    cr_assert(config_add(folder_path(&folder, "config"), "broker", "tcp://h:1"));
    expect_text("config", "# mine\n\n  up = 1M\nno line end\nbroker = tcp://h:1\n");
    cr_assert(eq(sz, count_entries("."), 1));
}

Test(config, the_mode_is_kept)
{
    struct stat status;
    folder_write(&folder, "config", "");
    cr_assert(zero(int, chmod(folder_path(&folder, "config"), 0640)));
    cr_assert(config_add(folder_path(&folder, "config"), "broker", "h"));
    cr_assert(zero(int, stat(folder_path(&folder, "config"), &status)));
    cr_assert(eq(u32, status.st_mode & 07777, 0640));
}

Test(config, a_link_stays_a_link_and_its_file_gets_the_line)
{
    struct stat status;
    folder_write(&folder, "dotfiles/config", "up = 1M\n");
    folder_link(&folder, "dotfiles/config", "config");
    cr_assert(config_add(folder_path(&folder, "config"), "broker", "h"));
    cr_assert(zero(int, lstat(folder_path(&folder, "config"), &status)));
    cr_assert(eq(u32, status.st_mode & S_IFMT, S_IFLNK));
    expect_text("dotfiles/config", "up = 1M\nbroker = h\n");
}

Test(config, what_cannot_be_written_is_told_and_changes_nothing)
{
    folder_write(&folder, "file", "kept");
    cr_assert(not(config_add(folder_path(&folder, "file/config"), "broker", "h")));
    cr_assert(eq(int, errno, ENOTDIR));
    cr_assert(not(config_add(folder_path(&folder, "."), "broker", "h")));
    expect_text("file", "kept");
    cr_assert(eq(sz, count_entries("."), 1));
}

Test(config, the_path_follows_the_environment)
{
    static const struct {
        const char *config_home, *home, *path;
    } rows[] = {{"/c", "/h", "/c/zswarm/config"},
                {"", "/h", "/h/.config/zswarm/config"},
                {"relative", "/h", "/h/.config/zswarm/config"},
                {"", "", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setenv("XDG_CONFIG_HOME", rows[i].config_home, 1);
        setenv("HOME", rows[i].home, 1);
        char *path = config_path();
        cr_expect(rows[i].path ? path && strcmp(path, rows[i].path) == 0 : !path, "row %zu", i);
        free(path);
    }
}
