/* SPDX-License-Identifier: MIT */
/*
 * The shares under ThreadSanitizer, hence without Criterion: scan, lookup, hashing and writing on the
 * workers, while the owner's thread reads the index and the layers. What could go wrong: two threads on one
 * value.
 */
#include "node/shell/share/shares.h"

#include "tests/support/check.h"
#include "tests/support/folder.h"
#include "tests/support/pool.h"

#include <stdio.h>

#define SMALL_FILES 500
#define LARGE_SIZE  (40u << 20)

static void write_files(const struct folder *root)
{
    for (int i = 0; i < SMALL_FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "share/%d/%d", i % 7, i);
        folder_write(root, name, name);
    }
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "share/large%d", i);
        folder_write(root, name, name);
        CHECK(truncate(folder_path(root, name), LARGE_SIZE) == 0);
    }
}

/* Runs until all is hashed and written, with re-scans and changes in between. */
static void run(struct workers *workers, struct shares *shares)
{
    uint64_t now_ms = 1;
    for (unsigned round = 0; round == 0 || shares_figures(shares).is_busy; round++) {
        shares_on_watch(shares);
        shares_tick(shares, now_ms += 50);
        if (round == 3)
            shares_rescan(shares);
        const struct shared_file *file;
        if (share_index_by_name(shares_index(shares), text_of("large1"), &file) == SHARE_FOUND) {
            struct hash hashes[4];
            CHECK(shares_layer(shares, file->handle, 100, 4, hashes));
            if (round % 16 == 0 && round < 64)
                shares_file_changed(shares, file->handle, NULL);
        }
        struct pollfd wait = {.fd = workers_fd(workers), .events = POLLIN};
        poll(&wait, 1, 50);
        workers_collect(workers);
    }
}

int main(void)
{
    struct folder root = folder_new();
    write_files(&root);
    for (int i = 0; i < 2; i++) {
        struct workers *workers = workers_new(4);
        struct shares *shares = shares_new(workers, folder_path(&root, "cache.db"));
        CHECK(shares_add_folder(shares, folder_path(&root, "share"), false));
        CHECK(shares_watch(shares) >= 0);
        run(workers, shares);
        CHECK(share_index_is_settled(shares_index(shares)));
        CHECK(share_index_count(shares_index(shares)) == SMALL_FILES + 3);
        CHECK(i == 0 || shares_figures(shares).cached_files >= SMALL_FILES);
        workers_destroy(&workers);
        shares_destroy(&shares);
    }
    /* An end in the middle of everything. */
    struct workers *workers = workers_new(4);
    struct shares *shares = shares_new(workers, NULL);
    CHECK(shares_add_folder(shares, folder_path(&root, "share"), false));
    shares_tick(shares, 1);
    pool_round(workers);
    pool_round(workers);
    workers_destroy(&workers);
    shares_destroy(&shares);
    folder_remove(&root);
    puts("shares: all claims hold");
    return 0;
}
