/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: what one call leaves is not asked for or not written, the end of a file is taken for
 * an error or an error for the end.
 */
#include "node/shell/file_io.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
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

TestSuite(file_io, .init = set_up, .fini = tear_down);

Test(file_io, what_is_written_is_read_at_its_offset)
{
    char text[8] = "";
    int fd = open(folder_path(&folder, "file"), O_RDWR | O_CREAT, 0600);
    cr_assert(zero(int, file_write_at(fd, "hello", 5, 100)));
    cr_assert(eq(long, file_read_at(fd, text, 5, 100), 5));
    cr_assert(eq(str, text, "hello"));
    close(fd);
}

Test(file_io, a_read_is_short_only_where_the_file_ends)
{
    char text[8] = "";
    folder_write(&folder, "file", "hello");
    int fd = open(folder_path(&folder, "file"), O_RDONLY);
    cr_assert(eq(long, file_read_at(fd, text, sizeof text, 2), 3));
    cr_assert(eq(str, text, "llo"));
    cr_assert(eq(long, file_read_at(fd, text, sizeof text, 5), 0));
    cr_assert(eq(long, file_read_at(fd, text, 0, 0), 0));
    cr_assert(file_read_exactly(fd, text, 3, 2));
    cr_assert(not(file_read_exactly(fd, text, 4, 2)));
    close(fd);
}

Test(file_io, an_error_is_no_end)
{
    char byte = 0;
    cr_assert(eq(long, file_read_at(-1, &byte, 1, 0), -1));
    cr_assert(eq(int, errno, EBADF));
    cr_assert(not(file_read_exactly(-1, &byte, 1, 0)));
    cr_assert(eq(int, file_write_at(-1, &byte, 1, 0), EBADF));
    int full = open("/dev/full", O_WRONLY);
    cr_assert(eq(int, file_write_at(full, &byte, 1, 0), ENOSPC));
    close(full);
}

/* A limit on the size of files makes the kernel take a part of a write. */
Test(file_io, a_write_that_was_taken_in_part_ends_with_the_reason)
{
    struct rlimit limit = {3, 3};
    int fd = open(folder_path(&folder, "file"), O_RDWR | O_CREAT, 0600);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(zero(int, setrlimit(RLIMIT_FSIZE, &limit)));
    cr_assert(eq(int, file_write_at(fd, "hello", 5, 0), EFBIG));
    char text[8] = "";
    cr_assert(eq(long, file_read_at(fd, text, sizeof text, 0), 3));
    cr_assert(eq(str, text, "hel"));
    close(fd);
}
