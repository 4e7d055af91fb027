/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: what landed is forgotten by a restart, or by a write that fails half-way; a file that
 * cannot be read is taken for an empty one and replaced; trouble is told with every line.
 */
#include "node/shell/downloads/pushed_keeper.h"

#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <poll.h>

static struct folder folder;
static struct share_index *index_of_share;
static struct holdings *holdings;
static struct workers *workers;
static unsigned told;

static void start(void)
{
    folder = folder_new();
    index_of_share = share_index_new();
    struct scan_outcome nothing = {.is_complete = true};
    share_index_scanned(index_of_share, &nothing);
    holdings = holdings_new(index_of_share);
    workers = workers_new(1);
    cr_assert(ne(ptr, workers, NULL));
    told = 0;
}

static void end(void)
{
    workers_destroy(&workers);
    holdings_destroy(&holdings);
    share_index_destroy(&index_of_share);
    folder_remove(&folder);
}

TestSuite(pushed_keeper, .init = start, .fini = end, .timeout = 60);

static void on_trouble(void *owner, const char *text)
{
    (void)owner, (void)text;
    told++;
}

static struct pushed_keeper *open_keeper(const char *path)
{
    struct pushed_keeper_config config = {
        .workers = workers, .holdings = holdings, .path = path, .trouble = on_trouble};
    return pushed_keeper_new(&config);
}

static void add(struct pushed_keeper *keeper, uint8_t number, uint64_t cost_bytes)
{
    struct file_id id = {{number}};
    pushed_keeper_add(keeper, &id, cost_bytes);
}

static uint64_t bytes_of(const struct pushed_keeper *keeper)
{
    struct file_id none = {{0xff}};
    return pushed_files_bytes(pushed_keeper_files(keeper), &none);
}

/* As the loop of a program would. */
static void write_now(struct pushed_keeper *keeper)
{
    pushed_keeper_tick(keeper);
    struct pollfd done = {.fd = workers_fd(workers), .events = POLLIN};
    cr_assert(eq(int, poll(&done, 1, 30000), 1));
    workers_collect(workers);
}

static void expect_kept(const char *path, uint64_t bytes)
{
    struct pushed_keeper *again = open_keeper(path);
    cr_expect(eq(u64, bytes_of(again), bytes));
    pushed_keeper_destroy(&again);
}

Test(pushed_keeper, what_landed_is_known_at_the_next_start_without_an_end_in_order)
{
    const char *path = folder_path(&folder, "pushed");
    struct pushed_keeper *keeper = open_keeper(path);
    add(keeper, 1, 100);
    write_now(keeper);
    add(keeper, 2, 20);
    add(keeper, 3, 3);
    write_now(keeper);
    expect_kept(path, 123);
    add(keeper, 4, 1000);
    pushed_keeper_destroy(&keeper);
    expect_kept(path, 1123);
}

Test(pushed_keeper, what_is_gone_is_forgotten_for_good_and_looked_for_once_a_change)
{
    const char *path = folder_path(&folder, "pushed");
    struct pushed_keeper *keeper = open_keeper(path);
    add(keeper, 1, 100);
    pushed_keeper_review(keeper);
    cr_expect(eq(u64, bytes_of(keeper), 0));
    add(keeper, 1, 100);
    pushed_keeper_review(keeper);
    cr_expect(eq(u64, bytes_of(keeper), 100));
    struct scan_outcome nothing = {.is_complete = true};
    struct scan_outcome one = {.files = calloc(1, sizeof *one.files), .count = 1, .is_complete = true};
    one.files[0] = (struct scanned_file){.path = strdup("x"), .name = strdup("x"), .stamp = {1, 1}};
    share_index_scanned(index_of_share, &one);
    share_index_scanned(index_of_share, &nothing);
    pushed_keeper_review(keeper);
    cr_expect(eq(u64, bytes_of(keeper), 0));
    pushed_keeper_destroy(&keeper);
    expect_kept(path, 0);
}

Test(pushed_keeper, half_a_line_of_a_crash_harms_nothing)
{
    const char *path = folder_path(&folder, "pushed");
    struct pushed_keeper *keeper = open_keeper(path);
    add(keeper, 1, 100);
    pushed_keeper_destroy(&keeper);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    cr_assert(eq(i64, write(fd, "200 0102", 8), 8));
    close(fd);
    keeper = open_keeper(path);
    add(keeper, 3, 5);
    pushed_keeper_destroy(&keeper);
    expect_kept(path, 105);
    cr_expect(eq(uint, told, 0));
}

Test(pushed_keeper, a_file_that_cannot_be_read_is_told_once_and_left_alone)
{
    const char *path = folder_path(&folder, "pushed");
    cr_assert(eq(int, mkdir(path, 0700), 0));
    struct pushed_keeper *keeper = open_keeper(path);
    add(keeper, 1, 100);
    cr_expect(eq(u64, bytes_of(keeper), 100));
    pushed_keeper_tick(keeper);
    pushed_keeper_destroy(&keeper);
    cr_expect(eq(uint, told, 1));
}

/* Larger than any list of ours, and somebody's. */
Test(pushed_keeper, a_file_that_is_not_read_is_not_written_to_either)
{
    const char *path = folder_path(&folder, "pushed");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert(eq(int, ftruncate(fd, (off_t)1 << 30), 0));
    struct pushed_keeper *keeper = open_keeper(path);
    for (uint8_t i = 1; i < 4; i++) {
        add(keeper, i, 100);
        pushed_keeper_tick(keeper);
    }
    pushed_keeper_destroy(&keeper);
    char byte = 'x';
    cr_expect(eq(i64, pread(fd, &byte, 1, 0), 1));
    cr_expect(eq(chr, byte, '\0'));
    cr_expect(eq(uint, told, 1));
    close(fd);
}

Test(pushed_keeper, a_write_that_fails_is_told_once)
{
    const char *path = folder_path(&folder, "gone/pushed");
    struct pushed_keeper *keeper = open_keeper(path);
    for (uint8_t i = 0; i < 3; i++) {
        add(keeper, i, 100);
        write_now(keeper);
    }
    cr_expect(eq(u64, bytes_of(keeper), 300));
    pushed_keeper_destroy(&keeper);
    cr_expect(eq(uint, told, 1));
}
