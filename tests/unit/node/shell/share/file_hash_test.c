/* SPDX-License-Identifier: MIT */
/*
 * Hashing of real files by several workers. What could go wrong: spans joined in the wrong order or at the
 * wrong height; a file that changes meanwhile gets a root that it never had; a huge file that cannot be
 * interrupted; a result that is lost.
 */
#include "node/shell/share/file_hash.h"

#include "messages/sha256.h"
#include "node/content/tree.h"
#include "tests/support/folder.h"
#include "tests/support/pattern.h"
#include "tests/support/pool.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <sys/mman.h>

static struct folder root;
static struct workers *workers;
static int folder_fd;

struct outcome {
    bool is_done;
    struct file_hash_result result;
};

static void begin(void)
{
    root = folder_new();
    workers = workers_new(3);
    folder_fd = open(root.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void end(void)
{
    workers_destroy(&workers);
    close(folder_fd);
    folder_remove(&root);
}

TestSuite(file_hash, .init = begin, .fini = end);

static void done(void *owner, struct file_hash_result *result)
{
    struct outcome *outcome = owner;
    cr_assert(not(outcome->is_done));
    outcome->is_done = true;
    outcome->result = *result;
    result->layer = NULL; /* taken */
}

static struct outcome wait_for(struct outcome *outcome)
{
    while (!outcome->is_done)
        pool_round(workers);
    return *outcome;
}

static struct outcome hash(const char *name, unsigned parallel)
{
    struct outcome outcome = {0};
    file_hash_start(workers, folder_fd, name, parallel, done, &outcome);
    return wait_for(&outcome);
}

/* A file of zeros that takes no room. */
static void write_sparse(const char *name, uint64_t size)
{
    folder_write(&root, name, "");
    cr_assert(eq(int, truncate(folder_path(&root, name), (off_t)size), 0));
}

Test(file_hash, roots_and_layers_are_those_of_libtorrent)
{
    FILE *table = golden_roots_open();
    cr_assert(table != NULL, "run with ZSWARM_SOURCE set to the source folder");
    struct golden_root golden;
    while (golden_roots_next(table, &golden)) {
        uint8_t *bytes = malloc(golden.size + 1);
        pattern_fill(bytes, golden.size);
        folder_write_bytes(&root, "file", bytes, golden.size);
        free(bytes);
        struct outcome outcome = hash("file", 4);
        cr_assert(eq(int, outcome.result.status, FILE_HASH_READY));
        cr_expect(eq(u64, outcome.result.stamp.size, golden.size));
        cr_expect(hash_equal(&outcome.result.root, &golden.root), "size %lu", golden.size);
        cr_assert(eq(int, outcome.result.layer != NULL, golden.layer_count > 0), "size %lu", golden.size);
        if (golden.layer_count > 0) {
            struct hash digest;
            sha256(outcome.result.layer, golden.layer_count * sizeof digest, &digest);
            cr_expect(hash_equal(&digest, &golden.layer_digest), "size %lu", golden.size);
        }
        free(outcome.result.layer);
    }
    fclose(table);
}

/* The root of a file of zeros, whatever the chunk size: from one leaf, level by level. */
static struct hash zero_root(uint64_t size)
{
    static const uint8_t leaf[LEAF_SIZE];
    uint64_t count = (size + LEAF_SIZE - 1) / LEAF_SIZE;
    struct layout layout = layout_of(size);
    struct hash full, last, result;
    sha256(leaf, LEAF_SIZE, &full);
    sha256(leaf, size % LEAF_SIZE ? size % LEAF_SIZE : LEAF_SIZE, &last);
    for (unsigned height = 0; height < tree_file_height(&layout); height++) {
        if (count % 2)
            sha256_pair(&last, tree_padding(height), &result);
        else
            sha256_pair(&full, &last, &result);
        last = result;
        sha256_pair(&full, &full, &result);
        full = result;
        count = (count + 1) / 2;
    }
    return last;
}

Test(file_hash, chunks_larger_than_a_piece_are_joined_from_their_pieces)
{
    static const uint64_t sizes[] = {
        (UINT64_C(512) << 20) + 1,                      /* chunks of 512 KiB, the last of one byte */
        (UINT64_C(512) << 20) + (300 << 10),            /* the last chunk of two pieces */
        (UINT64_C(1025) << 20) + (5 << 20) + LEAF_SIZE, /* chunks of 1 MiB */
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_sparse("zeros", sizes[i]);
        struct outcome outcome = hash("zeros", 3);
        struct hash expected = zero_root(sizes[i]);
        cr_assert(eq(int, outcome.result.status, FILE_HASH_READY));
        cr_expect(hash_equal(&outcome.result.root, &expected), "row %zu", i);
        free(outcome.result.layer);
    }
}

Test(file_hash, many_files_at_once_each_get_their_own_result)
{
    static struct outcome outcomes[200];
    uint8_t bytes[400];
    pattern_fill(bytes, sizeof bytes);
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        folder_write_bytes(&root, name, bytes, i + 1);
        file_hash_start(workers, folder_fd, name, 1, done, &outcomes[i]);
    }
    for (unsigned i = 0; i < 200; i++) {
        struct outcome outcome = wait_for(&outcomes[i]);
        struct hash expected;
        sha256(bytes, i + 1, &expected);
        cr_expect(hash_equal(&outcome.result.root, &expected), "file %u", i);
    }
}

Test(file_hash, open_descriptor_is_hashed_and_closed)
{
    folder_write(&root, "f", "abc");
    int fd = open(folder_path(&root, "f"), O_RDONLY | O_CLOEXEC);
    struct outcome outcome = {0};
    file_hash_start_open(workers, fd, 1, done, &outcome);
    wait_for(&outcome);
    struct hash expected;
    sha256("abc", 3, &expected);
    cr_expect(hash_equal(&outcome.result.root, &expected));
    cr_expect(eq(int, fcntl(fd, F_GETFD), -1));
}

/* Changes the file from the owner's thread once its first span is hashed, when others still wait. */
static void expect_change(void (*change)(void))
{
    write_sparse("big", UINT64_C(64) << 20);
    struct outcome outcome = {0};
    struct file_hash *file = file_hash_start(workers, folder_fd, "big", 1, done, &outcome);
    while (file_hash_bytes(file) == 0)
        pool_round(workers);
    change();
    wait_for(&outcome);
    cr_expect(eq(int, outcome.result.status, FILE_HASH_CHANGED));
    cr_expect(outcome.result.layer == NULL);
}

static void write_a_byte(void)
{
    int fd = open(folder_path(&root, "big"), O_WRONLY | O_CLOEXEC);
    cr_assert(eq(i64, pwrite(fd, "x", 1, 0), 1));
    close(fd);
}

static void cut_short(void)
{
    cr_assert(eq(int, truncate(folder_path(&root, "big"), 5 << 20), 0));
}

static void append(void)
{
    cr_assert(eq(int, truncate(folder_path(&root, "big"), 65 << 20), 0));
}

static void touch_back(void)
{
    struct stat status;
    stat(folder_path(&root, "big"), &status);
    write_a_byte();
    const struct timespec times[2] = {status.st_atim, status.st_mtim};
    cr_assert(eq(int, utimensat(AT_FDCWD, folder_path(&root, "big"), times, 0), 0));
}

Test(file_hash, file_that_changes_while_it_is_hashed_gets_no_root)
{
    expect_change(write_a_byte);
    expect_change(cut_short);
    expect_change(append);
    expect_change(touch_back);
}

static int error_of(const char *name)
{
    struct outcome outcome = hash(name, 1);
    cr_expect(eq(int, outcome.result.status, FILE_HASH_FAILED), "%s", name);
    return outcome.result.error;
}

Test(file_hash, what_cannot_be_hashed_says_why)
{
    mkdir(folder_path(&root, "folder"), 0755);
    folder_link(&root, "f", "link");
    cr_expect(eq(int, error_of("none"), ENOENT));
    cr_expect(eq(int, error_of("folder"), EINVAL));
    cr_expect(eq(int, error_of("link"), ELOOP));
}

Test(file_hash, file_above_the_limit_is_refused)
{
    int fd = memfd_create("huge", MFD_CLOEXEC); /* unlike those on many disks it may be this large */
    cr_assert(eq(int, ftruncate(fd, (off_t)(FILE_HASH_SIZE_MAX + 1)), 0));
    struct outcome outcome = {0};
    file_hash_start_open(workers, fd, 1, done, &outcome);
    wait_for(&outcome);
    cr_expect(eq(int, outcome.result.status, FILE_HASH_FAILED));
    cr_expect(eq(int, outcome.result.error, EFBIG));
}

Test(file_hash, sparse_tebibyte_is_interrupted_at_once_and_does_not_stand_in_the_way)
{
    write_sparse("tebibyte", UINT64_C(1) << 40);
    folder_write(&root, "small", "abc");
    struct outcome big = {0}, small = {0};
    struct file_hash *file = file_hash_start(workers, folder_fd, "tebibyte", 1, done, &big);
    while (file_hash_bytes(file) == 0)
        pool_round(workers);
    file_hash_set_parallel(file, 100);
    file_hash_start(workers, folder_fd, "small", 1, done, &small);
    wait_for(&small);
    cr_expect(eq(int, small.result.status, FILE_HASH_READY));
    cr_expect(not(big.is_done));
    workers_destroy(&workers);
    cr_expect(big.is_done);
    cr_expect(eq(int, big.result.status, FILE_HASH_STOPPED));
}
