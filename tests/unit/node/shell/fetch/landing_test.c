/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a planted link leads a file out of the folder, or ours is written into somebody's; a
 * name stands for other bytes than those of the root; the user's file is replaced unasked; what an earlier
 * run wrote is fetched again, or believed unseen; what another program changed since is published.
 */
#include "node/shell/fetch/landing.h"

#include "node/content/layout.h"
#include "node/content/tree.h"
#include "node/shell/fetch/chunk_store.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>

#define TIME_MS UINT64_C(1600000000123)

static struct folder folder;
static int root_fd;
static struct landing landing;

static void setup(void)
{
    folder = folder_new();
    root_fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(ge(int, root_fd, 0));
    landing_init(&landing, root_fd);
}

static void teardown(void)
{
    landing_release(&landing);
    close(root_fd);
    folder_remove(&folder);
}

TestSuite(landing, .init = setup, .fini = teardown, .timeout = 60);

static struct landing_file file_of(const char *path, const char *content)
{
    struct landing_file file = {.path = path, .size = (uint32_t)strlen(content)};
    struct layout layout = layout_of(file.size);
    if (file.size > 0)
        tree_hash_span((const uint8_t *)content, file.size, tree_chunk_height(&layout), &file.root);
    file.id = file_id_of(file.size, &file.root);
    return file;
}

static enum landing_result write_file(const struct landing_file *file, const char *content)
{
    return landing_write(&landing, file, (const uint8_t *)content);
}

/* The path of the file's partial file. */
static const char *partial_of(const struct landing_file *file)
{
    static char path[4096];
    char name[PARTIAL_NAME_SIZE];
    const char *slash = strrchr(file->path, '/');
    size_t size = slash ? (size_t)(slash - file->path) + 1 : 0;
    chunk_store_partial_name(file->path + size, &file->id, name);
    snprintf(path, sizeof path, "%.*s%s", (int)size, file->path, name);
    return path;
}

static bool holds(const char *name, const char *content)
{
    char read[64] = "";
    FILE *in = fopen(folder_path(&folder, name), "re");
    if (!in)
        return false;
    size_t size = fread(read, 1, sizeof read - 1, in);
    fclose(in);
    return size == strlen(content) && memcmp(read, content, size) == 0;
}

static bool exists(const char *name)
{
    struct stat status;
    return lstat(folder_path(&folder, name), &status) == 0;
}

/* From nothing to its name. */

Test(landing, a_file_has_its_name_only_when_it_is_published)
{
    struct landing_file file = file_of("a/b/c.txt", "hello");
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_MISSING));
    cr_assert(eq(int, write_file(&file, "hello"), LANDING_OK));
    cr_expect(not(exists("a/b/c.txt")));
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_WRITTEN));
    cr_assert(eq(int, landing_publish(&landing, &file, false), LANDING_OK));
    cr_expect(holds("a/b/c.txt", "hello"));
    cr_expect(not(exists(partial_of(&file))));
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_OK));
}

Test(landing, an_empty_file_lands_too)
{
    struct landing_file file = file_of("empty", "");
    cr_assert(eq(int, write_file(&file, ""), LANDING_OK));
    cr_assert(eq(int, landing_publish(&landing, &file, false), LANDING_OK));
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_OK));
}

Test(landing, times_and_the_executable_bit_are_kept)
{
    struct stat status;
    struct landing_file file = file_of("tool", "#!");
    file.attributes = (struct file_attributes){true, TIME_MS, true};
    cr_assert(eq(int, write_file(&file, "#!"), LANDING_OK));
    cr_assert(eq(int, landing_publish(&landing, &file, false), LANDING_OK));
    cr_assert(eq(int, stat(folder_path(&folder, "tool"), &status), 0));
    cr_expect(eq(i64, status.st_mtim.tv_sec, (int64_t)(TIME_MS / 1000)));
    cr_expect(ne(u32, status.st_mode & S_IXUSR, 0));
}

Test(landing, other_bytes_than_those_of_the_root_are_not_written)
{
    struct landing_file file = file_of("x", "right");
    cr_expect(eq(int, write_file(&file, "wrong"), LANDING_MISMATCH));
    cr_expect(not(exists(partial_of(&file))));
}

/* What is there. */

Test(landing, another_file_of_the_name_is_told_and_replaced_only_when_that_is_asked_for)
{
    struct landing_file file = file_of("x", "ours!");
    folder_write(&folder, "x", "yours");
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_DIFFERENT));
    cr_assert(eq(int, write_file(&file, "ours!"), LANDING_OK));
    cr_expect(eq(int, landing_publish(&landing, &file, false), LANDING_DIFFERENT));
    cr_expect(holds("x", "yours"));
    cr_expect(not(exists(partial_of(&file))), "it is soon fetched again");
    cr_assert(eq(int, write_file(&file, "ours!"), LANDING_OK));
    cr_expect(eq(int, landing_publish(&landing, &file, true), LANDING_OK));
    cr_expect(holds("x", "ours!"));
}

Test(landing, a_file_that_another_run_named_meanwhile_is_as_good)
{
    struct landing_file file = file_of("x", "same");
    cr_assert(eq(int, write_file(&file, "same"), LANDING_OK));
    folder_write(&folder, "x", "same");
    cr_expect(eq(int, landing_publish(&landing, &file, false), LANDING_OK));
    cr_expect(not(exists(partial_of(&file))));
}

Test(landing, what_an_earlier_run_left_unfinished_is_written_over)
{
    struct landing_file file = file_of("x", "whole");
    folder_write(&folder, partial_of(&file), "who, and more of something else");
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_MISSING));
    cr_assert(eq(int, write_file(&file, "whole"), LANDING_OK));
    cr_assert(eq(int, landing_publish(&landing, &file, false), LANDING_OK));
    cr_expect(holds("x", "whole"));
}

/* Others on the same machine. */

Test(landing, what_another_program_changed_since_is_not_published)
{
    static const struct file_attributes attributes[] = {{false, 0, false}, {true, TIME_MS, false}};
    for (size_t i = 0; i < 2; i++) {
        struct landing_file file = file_of("x", "right");
        file.attributes = attributes[i];
        cr_assert(eq(int, write_file(&file, "right"), LANDING_OK));
        folder_write(&folder, partial_of(&file), "wrong");
        cr_expect(eq(int, landing_publish(&landing, &file, true), LANDING_FAILED), "row %zu", i);
        cr_expect(eq(int, errno, ETXTBSY), "row %zu", i);
        cr_expect(not(exists("x")), "row %zu", i);
    }
}

Test(landing, a_link_in_the_way_to_the_file_is_not_followed)
{
    struct folder outside = folder_new();
    struct landing_file file = file_of("a/x", "leaks");
    folder_link(&folder, outside.path, "a");
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_FAILED));
    cr_expect(eq(int, write_file(&file, "leaks"), LANDING_FAILED));
    cr_expect(eq(int, landing_publish(&landing, &file, true), LANDING_FAILED));
    cr_expect(eq(int, landing_open_folder(root_fd, "a"), -1));
    cr_expect(eq(int, landing_open_folder(root_fd, "a/b"), -1));
    cr_expect(eq(int, rmdir(outside.path), 0), "nothing got in");
}

Test(landing, a_way_up_is_no_way)
{
    cr_expect(eq(int, landing_open_folder(root_fd, ".."), -1));
    cr_expect(eq(int, landing_open_folder(root_fd, "a/../../b"), -1));
    int fd = landing_open_folder(root_fd, "");
    cr_expect(ge(int, fd, 0));
    close(fd);
}

Test(landing, a_link_under_the_name_is_another_file_and_stays_what_it_is)
{
    struct landing_file file = file_of("x", "right");
    folder_write(&folder, "precious", "right");
    folder_link(&folder, "precious", "x");
    cr_expect(eq(int, landing_look(&landing, &file), LANDING_DIFFERENT));
    cr_assert(eq(int, write_file(&file, "right"), LANDING_OK));
    cr_expect(eq(int, landing_publish(&landing, &file, false), LANDING_DIFFERENT));
    cr_expect(holds("precious", "right"));
}

Test(landing, what_is_no_plain_file_under_the_partial_name_is_not_written_to_or_waited_for)
{
    struct landing_file file = file_of("x", "right");
    char partial[4096];
    snprintf(partial, sizeof partial, "%s", folder_path(&folder, partial_of(&file)));
    folder_write(&folder, "precious", "right");
    for (unsigned i = 0; i < 4; i++) {
        int made = i == 0   ? symlink("precious", partial)
                   : i == 1 ? link(folder_path(&folder, "precious"), partial)
                   : i == 2 ? mkfifo(partial, 0600)
                            : mkdir(partial, 0700);
        cr_assert(eq(int, made, 0));
        cr_expect(eq(int, landing_look(&landing, &file), LANDING_MISSING), "row %u", i);
        cr_expect(eq(int, write_file(&file, "right"), LANDING_FAILED), "row %u", i);
        cr_expect(eq(int, landing_publish(&landing, &file, false), LANDING_FAILED), "row %u", i);
        cr_expect(not(exists("x")), "row %u", i);
        cr_assert(eq(int, remove(partial), 0));
    }
    cr_expect(holds("precious", "right"));
}

Test(landing, a_partial_file_that_another_program_holds_is_left_to_it)
{
    struct landing_file file = file_of("x", "right");
    folder_write(&folder, partial_of(&file), "theirs");
    int fd = open(folder_path(&folder, partial_of(&file)), O_RDONLY | O_CLOEXEC);
    cr_assert(eq(int, flock(fd, LOCK_EX), 0));
    cr_expect(eq(int, write_file(&file, "right"), LANDING_FAILED));
    cr_expect(eq(int, errno, EBUSY));
    close(fd);
    cr_expect(eq(int, write_file(&file, "right"), LANDING_OK));
}

static int held_fd;

static void let_go(int number)
{
    (void)number;
    flock(held_fd, LOCK_UN);
}

Test(landing, who_writes_the_same_file_just_now_is_waited_for)
{
    struct landing_file file = file_of("x", "right");
    struct itimerval soon = {.it_value.tv_usec = 20000};
    folder_write(&folder, partial_of(&file), "rig");
    held_fd = open(folder_path(&folder, partial_of(&file)), O_RDONLY | O_CLOEXEC);
    cr_assert(eq(int, flock(held_fd, LOCK_EX), 0));
    signal(SIGALRM, let_go);
    setitimer(ITIMER_REAL, &soon, NULL);
    cr_expect(eq(int, write_file(&file, "right"), LANDING_OK));
    cr_expect(eq(int, landing_publish(&landing, &file, false), LANDING_OK));
    cr_expect(holds("x", "right"));
    close(held_fd);
}

Test(landing, a_file_where_a_folder_should_be_is_an_error)
{
    struct landing_file file = file_of("a/x", "right");
    folder_write(&folder, "a", "a file");
    cr_expect(ne(int, landing_look(&landing, &file), LANDING_OK));
    cr_expect(eq(int, write_file(&file, "right"), LANDING_FAILED));
    cr_expect(holds("a", "a file"));
}
