/* SPDX-License-Identifier: MIT */
/*
 * Shares that are watched, with real folders and events, on the real clock. What could go wrong: a folder
 * that is taken away leaves files behind, or takes a running job with it; known content is hashed again, or
 * believed without a look; somebody waits for a file behind a queue.
 */
#include "node/shell/share/shares.h"

#include "messages/sha256.h"
#include "messages/shell/loop.h"
#include "tests/support/folder.h"
#include "tests/support/pool.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>

static struct folder root;
static struct workers *workers;
static struct shares *shares;
static int watch_fd;

static void begin(void)
{
    root = folder_new();
    workers = workers_new(2);
    shares = shares_new(workers, folder_path(&root, "cache.db"));
    mkdir(folder_path(&root, "share"), 0755);
    cr_assert(shares_add_folder(shares, folder_path(&root, "share"), false));
    watch_fd = shares_watch(shares);
    cr_assert(ge(int, watch_fd, 0));
}

static void end(void)
{
    workers_destroy(&workers);
    shares_destroy(&shares);
    folder_remove(&root);
}

TestSuite(shares_watch, .init = begin, .fini = end);

/* Ticks, then waits for whatever comes first: a job, an event, a deadline. */
static void round_trip(void)
{
    uint64_t now_ms = clock_now_ms(), due_ms = shares_tick(shares, now_ms);
    struct pollfd waits[] = {{.fd = workers_fd(workers), .events = POLLIN},
                             {.fd = watch_fd, .events = POLLIN}};
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    poll(waits, 2, wait_ms > 1000 ? 1000 : (int)wait_ms);
    if (waits[1].revents)
        shares_on_watch(shares);
    workers_collect(workers);
}

static const struct shared_file *file(const char *name)
{
    const struct shared_file *found = NULL;
    enum share_lookup lookup = share_index_by_name(shares_index(shares), text_of(name), &found);
    return lookup == SHARE_FOUND ? found : NULL;
}

/* Goes on until a condition holds; a minute without it ends the test. */
#define AWAIT(condition)                                                                                     \
    do {                                                                                                     \
        for (uint64_t end_ms = clock_now_ms() + 60000; !(condition);) {                                      \
            cr_assert(lt(u64, clock_now_ms(), end_ms), "waited for %s", #condition);                         \
            round_trip();                                                                                    \
        }                                                                                                    \
    } while (0)

static bool is_settled(void)
{
    return share_index_is_settled(shares_index(shares));
}

Test(shares_watch, new_file_is_found_without_a_scan_and_goes_when_it_goes)
{
    folder_write(&root, "share/a", "abc");
    AWAIT(is_settled() && file("a"));
    uint64_t scan_count = shares_figures(shares).scan_count;
    folder_write(&root, "share/d/e/b", "abc");
    AWAIT(file("d/e/b"));
    unlink(folder_path(&root, "share/a"));
    AWAIT(!file("a"));
    cr_expect(eq(u64, shares_figures(shares).scan_count, scan_count));
    cr_expect(shares_take_message(shares) == NULL);
}

Test(shares_watch, node_without_a_folder_has_nothing_to_do)
{
    cr_expect(shares_remove_folder(shares, folder_path(&root, "share")));
    uint64_t now_ms = clock_now_ms(), due_ms = shares_tick(shares, now_ms);
    for (int i = 0; i < 10; i++) {
        cr_expect(gt(u64, due_ms, now_ms), "it would spin");
        now_ms = due_ms;
        due_ms = shares_tick(shares, now_ms);
    }
    cr_expect(is_settled());
}

Test(shares_watch, folder_that_moves_is_not_hashed_again)
{
    folder_write(&root, "share/old/f", "abc");
    AWAIT(is_settled() && file("old/f"));
    rename(folder_path(&root, "share/old"), folder_path(&root, "share/new"));
    AWAIT(file("new/f"));
    cr_expect(file("old/f") == NULL);
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 1));
}

Test(shares_watch, folder_is_added_and_removed_while_it_runs)
{
    folder_write(&root, "share/a", "abc");
    folder_write(&root, "more/b", "abcd");
    AWAIT(is_settled() && file("a"));
    cr_assert(shares_add_folder(shares, folder_path(&root, "more"), false));
    cr_expect(not(is_settled()), "what is in it is not known");
    AWAIT(is_settled() && file("b"));
    cr_expect(eq(sz, shares_folder_count(shares), 2));
    uint64_t handle = file("b")->handle;

    cr_expect(shares_remove_folder(shares, folder_path(&root, "more")));
    cr_expect(file("b") == NULL, "at once");
    struct shares_place place;
    cr_expect(not(shares_locate(shares, handle, &place)));
    cr_expect(not(shares_remove_folder(shares, folder_path(&root, "more"))));
    cr_expect(eq(sz, shares_folder_count(shares), 1));
    folder_write(&root, "more/c", "abcd");
    folder_write(&root, "share/c", "abcd");
    AWAIT(file("c"));
    cr_expect(eq(sz, share_index_count(shares_index(shares)), 2));
    cr_assert(shares_add_folder(shares, folder_path(&root, "more"), false));
    AWAIT(is_settled() && file("b"));
}

Test(shares_watch, folder_can_be_removed_in_the_middle_of_its_scan_and_its_hashing)
{
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "more/%d/%d", i % 9, i);
        folder_write(&root, name, name);
    }
    for (int rounds = 0; rounds < 12; rounds++) {
        cr_assert(shares_add_folder(shares, folder_path(&root, "more"), false));
        for (int i = 0; i < rounds; i++)
            round_trip();
        cr_assert(shares_remove_folder(shares, folder_path(&root, "more")));
        cr_expect(eq(sz, share_index_count(shares_index(shares)), 0));
    }
    AWAIT(is_settled());
    cr_expect(eq(sz, share_index_count(shares_index(shares)), 0));
}

static struct file_stamp stamp_at(const char *name)
{
    struct stat status;
    cr_assert(eq(int, stat(folder_path(&root, name), &status), 0));
    return (struct file_stamp){
        .device = status.st_dev,
        .inode = status.st_ino,
        .size = (uint64_t)status.st_size,
        .mtime_ns = (uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec,
        .ctime_ns = (uint64_t)status.st_ctim.tv_sec * 1000000000 + (uint64_t)status.st_ctim.tv_nsec,
    };
}

Test(shares_watch, adopted_file_is_shared_without_being_hashed)
{
    AWAIT(is_settled());
    folder_write(&root, "share/done", "abc");
    struct file_stamp stamp = stamp_at("share/done");
    struct hash expected;
    sha256("abc", 3, &expected);
    cr_expect(shares_adopt(shares, folder_path(&root, "share/../share/done"), &stamp, &expected, NULL));
    AWAIT(file("done"));
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 0));
    cr_expect(hash_equal(&file("done")->root, &expected));
    cr_expect(not(shares_adopt(shares, folder_path(&root, "elsewhere"), &stamp, &expected, NULL)));
    cr_expect(not(shares_adopt(shares, folder_path(&root, "none/x"), &stamp, &expected, NULL)));
}

Test(shares_watch, adopted_file_that_is_another_one_by_now_is_hashed)
{
    AWAIT(is_settled());
    folder_write(&root, "share/done", "abc");
    struct file_stamp stamp = stamp_at("share/done");
    struct hash claimed = {{1}}, expected;
    folder_write(&root, "share/done", "something else");
    cr_expect(shares_adopt(shares, folder_path(&root, "share/done"), &stamp, &claimed, NULL));
    AWAIT(file("done"));
    sha256("something else", 14, &expected);
    cr_expect(hash_equal(&file("done")->root, &expected));
}

Test(shares_watch, file_that_somebody_asks_for_goes_before_all_others)
{
    const off_t size = 64 << 20;
    char name[32];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "share/%02d", i);
        folder_write(&root, name, name);
        cr_assert(eq(int, truncate(folder_path(&root, name), size), 0));
    }
    AWAIT(share_index_count(shares_index(shares)) == 12);
    const struct shared_file *found;
    cr_expect(eq(int, share_index_by_name(shares_index(shares), text_of("11"), &found), SHARE_HASHING));
    AWAIT(file("11"));
    size_t before = 0;
    for (int i = 0; i < 11; i++) {
        snprintf(name, sizeof name, "%02d", i);
        before += file(name) != NULL;
    }
    cr_expect(lt(sz, before, 8), "%zu of 11 that nobody waits for are ready", before);
}

Test(shares_watch, files_and_folders_are_shown_with_their_state)
{
    folder_write(&root, "share/d/a", "abc");
    AWAIT(is_settled() && file("d/a"));
    cr_assert(eq(sz, shares_file_count(shares), 1));
    struct shares_file_view view = shares_file_at(shares, 0);
    cr_expect(text_equal(view.name, text_of("d/a")));
    cr_expect(eq(u64, view.size, 3));
    cr_expect(eq(int, view.state, SHARE_READY));
    char *path = shares_file_path(shares, 0), *real = realpath(folder_path(&root, "share/d/a"), NULL);
    cr_expect(eq(str, path, real));
    free(path);
    free(real);
    struct shares_folder_view folder = shares_folder_at(shares, 0);
    cr_expect(folder.is_watched);
    cr_expect(folder.is_there);
    rename(folder_path(&root, "share"), folder_path(&root, "away"));
    AWAIT(!shares_folder_at(shares, 0).is_there);
    cr_expect(eq(sz, shares_file_count(shares), 0));
    rename(folder_path(&root, "away"), folder_path(&root, "share"));
    AWAIT(shares_folder_at(shares, 0).is_there && file("d/a"));
}
