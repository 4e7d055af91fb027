/* SPDX-License-Identifier: MIT */
/*
 * Folder, cache, workers and index together. What could go wrong: something is hashed twice or never; a
 * changed file is served under its old id; a large file starves small ones; an unchanged share keeps the disk
 * busy; a second start hashes again.
 */
#include "node/shell/share/shares.h"

#include "messages/sha256.h"
#include "node/content/tree.h"
#include "node/shell/share/share_file.h"
#include "tests/support/folder.h"
#include "tests/support/pattern.h"
#include "tests/support/pool.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <sys/resource.h>

static struct folder root;
static struct workers *workers;
static struct shares *shares;
static uint64_t now_ms;

static void start(void)
{
    workers = workers_new(2);
    shares = shares_new(workers, folder_path(&root, "cache.db"));
    mkdir(folder_path(&root, "share"), 0755);
    cr_assert(shares_add_folder(shares, folder_path(&root, "share"), false));
}

static void stop(void)
{
    workers_destroy(&workers);
    shares_destroy(&shares);
}

static void begin(void)
{
    root = folder_new();
    now_ms = 1000000;
    start();
}

static void end(void)
{
    stop();
    folder_remove(&root);
}

TestSuite(shares, .init = begin, .fini = end);

/* Runs until nothing is left to do now, then lets the batch be written. */
static void settle(void)
{
    for (int i = 0; i < 2; i++) {
        shares_tick(shares, now_ms);
        while (shares_figures(shares).is_busy) {
            struct shares_figures figures = shares_figures(shares);
            uint64_t deadline_ms = shares_tick(shares, now_ms);
            if (deadline_ms != UINT64_MAX && figures.is_busy && deadline_ms - now_ms <= 250)
                now_ms = deadline_ms; /* what waits to be written */
            else
                pool_round(workers);
        }
    }
}

static void rescan(void)
{
    uint64_t count = shares_figures(shares).scan_count;
    shares_rescan(shares);
    shares_tick(shares, now_ms);
    while (shares_figures(shares).scan_count == count)
        pool_round(workers);
    settle();
}

static const struct shared_file *file(const char *name)
{
    const struct shared_file *found = NULL;
    enum share_lookup lookup = share_index_by_name(shares_index(shares), text_of(name), &found);
    return lookup == SHARE_FOUND ? found : NULL;
}

static bool has_content(const char *name, const char *text)
{
    struct hash expected;
    sha256(text, strlen(text), &expected);
    const struct shared_file *found = file(name);
    return found && hash_equal(&found->root, &expected);
}

static bool took_message(const char *part)
{
    char *line;
    bool is_there = false;
    while ((line = shares_take_message(shares))) {
        is_there |= strstr(line, part) != NULL;
        free(line);
    }
    return is_there;
}

Test(shares, files_are_found_hashed_and_settled)
{
    folder_write(&root, "share/a", "abc");
    folder_write(&root, "share/d/empty", "");
    settle();
    cr_expect(has_content("a", "abc"));
    cr_expect(hash_equal(&file("d/empty")->root, tree_padding(0)));
    cr_expect(share_index_is_settled(shares_index(shares)));
    struct shares_figures figures = shares_figures(shares);
    cr_expect(eq(u64, figures.hashed_files, 2));
    cr_expect(eq(u64, figures.hashed_bytes, 3));
    cr_expect(eq(u64, figures.cached_files, 0));
    cr_expect(shares_take_message(shares) == NULL);
}

Test(shares, second_start_hashes_nothing)
{
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "share/%d/%d", i % 10, i);
        folder_write(&root, name, name);
    }
    settle();
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 3000));
    struct file_id id = file("7/7")->id;
    stop();
    start();
    settle();
    struct shares_figures figures = shares_figures(shares);
    cr_expect(eq(u64, figures.hashed_files, 0));
    cr_expect(eq(u64, figures.cached_files, 3000));
    cr_expect(eq(sz, figures.waiting_files, 0));
    cr_expect(file_id_equal(&file("7/7")->id, &id));
}

Test(shares, scan_is_repeated_after_the_interval_and_not_before)
{
    settle();
    uint64_t deadline_ms = shares_tick(shares, now_ms);
    cr_assert(ge(u64, deadline_ms - now_ms, SHARES_SCAN_INTERVAL_MS));
    folder_write(&root, "share/new", "abc");
    shares_tick(shares, deadline_ms - 1);
    cr_expect(not(shares_figures(shares).is_busy));
    now_ms = deadline_ms;
    settle();
    cr_expect(has_content("new", "abc"));
    uint64_t generation = share_index_generation(shares_index(shares));
    rescan();
    cr_expect(eq(u64, share_index_generation(shares_index(shares)), generation), "nothing changed");
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 1));
}

/* As a reader does it. -1 with errno. */
static int open_file(uint64_t handle)
{
    struct shares_place place;
    struct file_stamp stamp;
    if (!shares_locate(shares, handle, &place))
        return -1;
    int fd = share_open(place.folder_fd, place.path, &stamp), error = errno;
    close(place.folder_fd);
    free(place.path);
    bool is_same = fd >= 0 && file_stamp_equal(&stamp, &place.stamp);
    if (!is_same && error != EMFILE)
        shares_file_changed(shares, handle, fd >= 0 ? &stamp : NULL);
    errno = error;
    if (is_same || fd < 0)
        return fd;
    close(fd);
    errno = ESTALE;
    return -1;
}

Test(shares, changed_file_is_hashed_anew_at_once_without_a_scan)
{
    folder_write(&root, "share/a", "old");
    settle();
    uint64_t scan_count = shares_figures(shares).scan_count;
    uint64_t handle = file("a")->handle;
    int fd = open_file(handle);
    cr_assert(ge(int, fd, 0));
    close(fd);
    folder_write(&root, "share/a", "new content");
    cr_expect(eq(int, open_file(handle), -1));
    cr_expect(eq(int, errno, ESTALE));
    cr_expect(file("a") == NULL);
    settle();
    cr_expect(has_content("a", "new content"));
    cr_expect(eq(u64, shares_figures(shares).scan_count, scan_count));
    cr_expect(eq(int, open_file(handle), -1), "the old handle stays dead");
    cr_expect(eq(int, errno, ENOENT));
    rescan();
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 2), "the scan agrees");
}

Test(shares, file_that_cannot_be_opened_for_want_of_descriptors_stays_shared)
{
    folder_write(&root, "share/a", "abc");
    settle();
    uint64_t handle = file("a")->handle;
    struct rlimit limit, none;
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    int spare = dup(0); /* the lowest free number: nothing more can be opened */
    close(spare);
    none.rlim_cur = (rlim_t)spare;
    setrlimit(RLIMIT_NOFILE, &none);
    int fd = open_file(handle);
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_expect(eq(int, fd, -1));
    cr_expect(eq(int, error, EMFILE));
    fd = open_file(handle);
    cr_expect(ge(int, fd, 0));
    close(fd);
}

Test(shares, change_without_a_stamp_is_hashed_too)
{
    folder_write(&root, "share/a", "old");
    settle();
    shares_file_changed(shares, file("a")->handle, NULL);
    cr_expect(file("a") == NULL);
    settle();
    cr_expect(has_content("a", "old"));
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 2), "the cache was not believed");
}

Test(shares, removed_file_goes_with_the_next_scan)
{
    folder_write(&root, "share/a", "abc");
    settle();
    uint64_t handle = file("a")->handle;
    unlink(folder_path(&root, "share/a"));
    cr_expect(eq(int, open_file(handle), -1));
    settle();
    cr_expect(file("a") == NULL);
    cr_expect(not(share_index_is_settled(shares_index(shares))), "until a scan tells, nothing is proven");
    rescan();
    cr_expect(share_index_is_settled(shares_index(shares)));
    cr_expect(eq(sz, share_index_count(shares_index(shares)), 0));
}

Test(shares, layer_is_served_in_runs_and_hashed_anew_when_it_is_lost)
{
    const uint64_t size = (9u << 20) + 5;
    uint8_t *bytes = malloc(size);
    pattern_fill(bytes, size);
    folder_write_bytes(&root, "share/big", bytes, size);
    settle();
    struct layout layout = layout_of(size);
    struct hash got[2], expected;
    cr_assert(shares_layer(shares, file("big")->handle, layout.chunk_count - 2, 2, got));
    tree_hash_span(bytes + ((uint64_t)(layout.chunk_count - 1) << 16), 5, 2, &expected);
    cr_expect(hash_equal(&got[1], &expected));
    free(bytes);

    stop();
    for (int i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", folder_path(&root, "cache.db"), i ? "-wal" : "");
        unlink(path);
    }
    start();
    settle();
    cr_expect(eq(u64, shares_figures(shares).hashed_files, 1), "the cache is gone");
    cr_expect(shares_layer(shares, file("big")->handle, 0, 1, got));
}

Test(shares, large_file_does_not_starve_small_ones_and_ends_when_the_node_does)
{
    folder_write(&root, "share/tebibyte", "");
    cr_assert(eq(int, truncate(folder_path(&root, "share/tebibyte"), (off_t)1 << 40), 0));
    for (int i = 0; i < 500; i++) {
        char name[32];
        snprintf(name, sizeof name, "share/%d", i);
        folder_write(&root, name, name);
    }
    shares_tick(shares, now_ms);
    while (shares_figures(shares).hashed_files < 500)
        pool_round(workers);
    cr_expect(eq(sz, shares_figures(shares).waiting_files, 1));
    cr_expect(not(share_index_is_settled(shares_index(shares))));
}

Test(shares, file_that_cannot_be_read_is_reported_once)
{
    folder_write(&root, "share/closed", "abc");
    folder_write(&root, "share/open", "abc");
    chmod(root.path, 0755);
    chmod(folder_path(&root, "share/closed"), 0);
    /* Root reads everything; the workers open files with their own credentials, so they must start without.
     */
    stop();
    cr_assert(getuid() != 0 || chown(root.path, 65534, 65534) == 0);
    cr_assert(getuid() != 0 || chown(folder_path(&root, "share/closed"), 65534, 65534) == 0);
    unlink(folder_path(&root, "cache.db"));
    if (getuid() == 0)
        cr_assert(eq(int, seteuid(65534), 0));
    start();
    settle();
    bool was_told = took_message("closed: Permission denied");
    rescan();
    bool was_told_again = took_message("closed");
    if (getuid() == 0)
        cr_assert(eq(int, seteuid(0), 0));
    cr_expect(was_told);
    cr_expect(not(was_told_again));
    cr_expect(has_content("open", "abc"));
    cr_expect(file("closed") == NULL);
    cr_expect(share_index_is_settled(shares_index(shares)));
}

Test(shares, what_a_scan_notes_is_told_once)
{
    rename(folder_path(&root, "share"), folder_path(&root, "elsewhere"));
    settle();
    cr_expect(took_message("the share folder is not there"));
    rescan();
    cr_expect(not(took_message("share folder")));
    rename(folder_path(&root, "elsewhere"), folder_path(&root, "share"));
    rescan();
    rename(folder_path(&root, "share"), folder_path(&root, "elsewhere"));
    rescan();
    cr_expect(took_message("the share folder is not there"), "it had come back in between");
}

Test(shares, trouble_with_the_cache_is_told_once_and_stops_nothing)
{
    stop();
    unlink(folder_path(&root, "cache.db"));
    mkdir(folder_path(&root, "cache.db"), 0755);
    folder_write(&root, "share/a", "abc");
    start();
    settle();
    cr_expect(has_content("a", "abc"));
    cr_expect(took_message("hash cache"));
    rescan();
    cr_expect(not(took_message("hash cache")));
}

Test(shares, folder_given_twice_is_shared_once_and_the_last_of_too_many_is_refused)
{
    cr_expect(shares_add_folder(shares, folder_path(&root, "share/../share"), true));
    folder_write(&root, "share/d/a", "abc");
    settle();
    cr_expect(eq(sz, share_index_count(shares_index(shares)), 1));
    cr_expect(not(shares_add_folder(shares, folder_path(&root, "none"), false)));
    cr_expect(eq(int, errno, ENOENT));
    for (unsigned i = 1; i < SHARES_FOLDERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        mkdir(folder_path(&root, name), 0755);
        cr_assert(shares_add_folder(shares, folder_path(&root, name), false));
    }
    mkdir(folder_path(&root, "more"), 0755);
    cr_expect(not(shares_add_folder(shares, folder_path(&root, "more"), false)));
    cr_expect(eq(int, errno, ENOSPC));
}
