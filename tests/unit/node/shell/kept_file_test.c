/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a text comes back cut or with more than was written, the old one is lost when the new
 * one cannot be written, something that is no file of ours makes a node wait or take it for its own.
 */
#include "node/shell/kept_file.h"

#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct folder folder;

static void start(void)
{
    folder = folder_new();
}

static void end(void)
{
    folder_remove(&folder);
}

TestSuite(kept_file, .init = start, .fini = end, .timeout = 60);

static void expect_kept(const char *path, const char *expected)
{
    size_t size;
    char *text = kept_file_read(path, 100, &size);
    cr_assert(ne(ptr, text, NULL));
    cr_expect(eq(sz, size, strlen(expected)));
    cr_expect(eq(str, text, (char *)(uintptr_t)expected));
    free(text);
}

Test(kept_file, what_is_kept_replaces_what_was)
{
    const char *path = folder_path(&folder, "kept");
    cr_assert(eq(int, kept_file_replace(path, "a longer one\n", 13), 0));
    expect_kept(path, "a longer one\n");
    cr_assert(eq(int, kept_file_replace(path, "short", 5), 0));
    expect_kept(path, "short");
    cr_assert(eq(int, kept_file_replace(path, "", 0), 0));
    expect_kept(path, "");
}

Test(kept_file, what_cannot_be_written_leaves_the_old_text)
{
    const char *path = folder_path(&folder, "kept");
    cr_assert(eq(int, kept_file_replace(path, "old", 3), 0));
    cr_assert(eq(int, mkdir(folder_path(&folder, "kept.new"), 0700), 0));
    cr_expect(eq(int, kept_file_replace(path, "new", 3), EISDIR));
    expect_kept(path, "old");
}

Test(kept_file, what_is_too_large_or_no_file_is_an_error)
{
    size_t size = 7;
    const char *path = folder_path(&folder, "kept");
    cr_expect(eq(ptr, kept_file_read(path, 100, &size), NULL));
    cr_expect(eq(int, errno, ENOENT));
    cr_assert(eq(int, mkfifo(path, 0600), 0));
    cr_expect(eq(ptr, kept_file_read(path, 100, &size), NULL));
    cr_expect(eq(int, errno, EINVAL));
    cr_assert(eq(int, kept_file_replace(path, "1234", 4), 0));
    cr_expect(eq(ptr, kept_file_read(path, 3, &size), NULL));
    cr_expect(eq(int, errno, EINVAL));
    cr_expect(eq(sz, size, 7));
}
