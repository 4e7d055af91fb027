/* SPDX-License-Identifier: MIT */
/*
 * The hash cache and all that can be wrong with its database. What could go wrong: a node that does not
 * start, or crashes, because of a file that it could make anew; a root or a layer that is not the file's; a
 * note that is told again and again, or never.
 */
#include "node/shell/share/hash_cache.h"

#include "node/content/layout.h"
#include "node/content/tree.h"
#include "tests/support/folder.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <sqlite3.h>

#define LARGE_SIZE   (200u << 16) /* 200 chunks */
#define LARGE_CHUNKS 200

static struct folder root;
static struct hash_cache *cache;

static const char *database(void)
{
    return folder_path(&root, "cache.db");
}

static void open_cache(void)
{
    cache = hash_cache_new(database());
}

static void begin(void)
{
    root = folder_new();
    open_cache();
}

static void end(void)
{
    hash_cache_destroy(&cache);
    folder_remove(&root);
}

TestSuite(hash_cache, .init = begin, .fini = end);

static struct cache_key key_of(const char *path, uint64_t size)
{
    return (struct cache_key){
        "/share", path, {.inode = 7, .size = size, .mtime_ns = 5, .ctime_ns = UINT64_MAX}};
}

static struct hash small_root(uint8_t n)
{
    return (struct hash){{n, 9}};
}

static bool find(const struct cache_key *key, struct hash *ret_root)
{
    struct cache_found found;
    hash_cache_find(cache, key, 1, &found);
    *ret_root = found.root;
    return found.is_known;
}

static bool knows(const char *path, uint8_t n)
{
    struct cache_key key = key_of(path, 100);
    struct hash got, expected = small_root(n);
    return find(&key, &got) && hash_equal(&got, &expected);
}

static void put(const char *path, uint8_t n)
{
    struct cache_key key = key_of(path, 100);
    struct hash hash = small_root(n);
    hash_cache_put(cache, &key, &hash, NULL);
}

/* A layer whose hashes depend on `n`, and its root. */
static struct hash *layer_new(uint8_t n, struct hash *ret_root)
{
    struct hash *layer = malloc(LARGE_CHUNKS * sizeof *layer);
    for (unsigned i = 0; i < LARGE_CHUNKS; i++)
        layer[i] = (struct hash){{n, (uint8_t)i}};
    struct layout layout = layout_of(LARGE_SIZE);
    cr_assert(eq(u32, layout.chunk_count, LARGE_CHUNKS));
    cr_assert(tree_root_of_layer(&layout, layer, ret_root));
    return layer;
}

static struct hash put_large(const char *path, uint8_t n)
{
    struct cache_key key = key_of(path, LARGE_SIZE);
    struct hash hash;
    struct hash *layer = layer_new(n, &hash);
    hash_cache_put(cache, &key, &hash, layer);
    return hash;
}

static bool has_layer(const struct hash *hash, uint8_t n)
{
    struct hash got[3];
    if (!hash_cache_layer(cache, LARGE_SIZE, hash, LARGE_CHUNKS - 3, 3, got))
        return false;
    for (uint8_t i = 0; i < 3; i++) {
        struct hash expected = {{n, (uint8_t)(LARGE_CHUNKS - 3 + i)}};
        cr_assert(hash_equal(&got[i], &expected));
    }
    return true;
}

static void reopen(void)
{
    hash_cache_destroy(&cache);
    open_cache();
}

/* The notice must hold `part`, and be told once. */
static void expect_notice(const char *part)
{
    char *notice = hash_cache_take_notice(cache);
    cr_assert(notice != NULL, "no notice of: %s", part);
    cr_expect(strstr(notice, part) != NULL, "%s", notice);
    free(notice);
    cr_expect(hash_cache_take_notice(cache) == NULL);
}

/* All that a node asks of a cache works, whatever became of the database. */
static void expect_works(void)
{
    put("works", 42);
    struct hash hash = put_large("works large", 43);
    hash_cache_flush(cache);
    cr_expect(knows("works", 42));
    cr_expect(has_layer(&hash, 43));
}

static void execute(const char *sql)
{
    sqlite3 *connection;
    cr_assert(eq(int, sqlite3_open(database(), &connection), SQLITE_OK));
    cr_assert(eq(int, sqlite3_exec(connection, sql, NULL, NULL, NULL), SQLITE_OK), "%s",
              sqlite3_errmsg(connection));
    sqlite3_close(connection);
}

static void overwrite(off_t offset, const void *bytes, size_t size)
{
    int fd = open(database(), O_WRONLY | O_CLOEXEC);
    cr_assert(eq(i64, pwrite(fd, bytes, size, offset), (ssize_t)size));
    close(fd);
}

static bool was_moved_aside(void)
{
    return access(folder_path(&root, "cache.db.damaged"), F_OK) == 0;
}

/* Many rows, so that there are pages of every sort. */
static void fill(void)
{
    for (unsigned i = 0; i < 200; i++) {
        char path[300];
        snprintf(path, sizeof path, "%0*u", 250, i);
        put(path, 1);
    }
    put("small", 2);
    put_large("large", 3);
    hash_cache_destroy(&cache);
}

Test(hash_cache, roots_and_layers_are_known_after_a_restart_and_only_for_the_same_stamp)
{
    put("a", 1);
    struct hash large = put_large("b", 2);
    cr_expect(has_layer(&large, 2), "before it is written");
    reopen();
    cr_expect(knows("a", 1));
    cr_expect(has_layer(&large, 2));
    cr_expect(hash_cache_take_notice(cache) == NULL);

    struct hash got;
    struct cache_key keys[6];
    for (size_t i = 0; i < 6; i++)
        keys[i] = key_of("a", 100);
    keys[0].stamp.inode++;
    keys[1].stamp.size++;
    keys[2].stamp.mtime_ns++;
    keys[3].stamp.ctime_ns--;
    keys[4].path = "A";
    keys[5].share = "/shar";
    for (size_t i = 0; i < 6; i++)
        cr_expect(not(find(&keys[i], &got)), "key %zu", i);
    struct cache_key other_device = key_of("a", 100);
    other_device.stamp.device = 99;
    cr_expect(find(&other_device, &got), "a reboot gives other device numbers");
}

Test(hash_cache, waiting_rows_are_counted_until_they_are_written)
{
    cr_expect(eq(int, hash_cache_waiting(cache), CACHE_WAITING_NONE));
    put("a", 1);
    cr_expect(eq(int, hash_cache_waiting(cache), CACHE_WAITING_SOME));
    hash_cache_flush(cache);
    cr_expect(eq(int, hash_cache_waiting(cache), CACHE_WAITING_NONE));
    for (unsigned i = 0; i < HASH_CACHE_WAITING_FILES_MAX; i++)
        put("a", 1);
    cr_expect(eq(int, hash_cache_waiting(cache), CACHE_WAITING_MUCH));
    hash_cache_flush(cache);
    for (unsigned i = 0; i < HASH_CACHE_WAITING_BYTES_MAX / (LARGE_CHUNKS * 32) + 1; i++)
        put_large("b", 1);
    cr_expect(eq(int, hash_cache_waiting(cache), CACHE_WAITING_MUCH));
}

Test(hash_cache, twins_share_a_layer_and_the_last_row_takes_it_along)
{
    struct hash old = put_large("a", 1);
    put_large("b", 1);
    hash_cache_flush(cache);
    put_large("a", 2);
    hash_cache_flush(cache);
    cr_expect(has_layer(&old, 1), "b still has it");
    put_large("b", 2);
    reopen();
    cr_expect(not(has_layer(&old, 1)));
}

Test(hash_cache, layer_with_a_changed_bit_counts_as_lost_with_its_rows)
{
    struct hash large = put_large("a", 1);
    hash_cache_destroy(&cache);
    execute("UPDATE layer SET hashes = zeroblob(length(hashes))");
    open_cache();
    cr_expect(not(has_layer(&large, 1)));
    struct hash got;
    struct cache_key key = key_of("a", LARGE_SIZE);
    cr_expect(not(find(&key, &got)), "else it would never be hashed anew");
    expect_works();
}

Test(hash_cache, row_whose_id_does_not_follow_from_its_root_is_not_known)
{
    put("a", 1);
    hash_cache_destroy(&cache);
    execute("UPDATE file SET root = zeroblob(32)");
    open_cache();
    cr_expect(not(knows("a", 1)));
}

Test(hash_cache, truncated_database_is_moved_aside)
{
    fill();
    cr_assert(eq(int, truncate(database(), 5000), 0));
    open_cache();
    expect_works();
    expect_notice("damaged, moved aside");
    cr_expect(was_moved_aside());
    reopen();
    cr_expect(knows("works", 42));
}

Test(hash_cache, garbage_instead_of_a_database_is_moved_aside)
{
    fill();
    char garbage[4096];
    memset(garbage, 'g', sizeof garbage);
    overwrite(0, garbage, sizeof garbage);
    open_cache();
    expect_works();
    expect_notice("damaged, moved aside");
    cr_expect(was_moved_aside());
}

Test(hash_cache, zeroed_page_never_gives_a_wrong_root_or_layer)
{
    fill();
    struct stat status;
    cr_assert(eq(int, stat(database(), &status), 0));
    static const char zeros[4096];
    struct hash large;
    free(layer_new(3, &large));
    for (off_t page = 1; page < status.st_size / 4096; page++) {
        overwrite(page * 4096, zeros, sizeof zeros);
        open_cache();
        struct hash got, expected = small_root(2);
        struct cache_key key = key_of("small", 100);
        bool is_right = !find(&key, &got) || hash_equal(&got, &expected);
        cr_expect(is_right, "page %d", (int)page);
        has_layer(&large, 3);
        expect_works();
        free(hash_cache_take_notice(cache));
        hash_cache_destroy(&cache);
        unlink(folder_path(&root, "cache.db.damaged"));
        unlink(database());
        open_cache();
        fill();
    }
}

Test(hash_cache, damage_after_an_unclean_end_is_found_at_the_start)
{
    fill();
    execute("UPDATE state SET clean = 0; PRAGMA wal_checkpoint(TRUNCATE)");
    struct stat status;
    cr_assert(eq(int, stat(database(), &status), 0));
    static const char zeros[4096];
    overwrite(status.st_size / 4096 / 2 * 4096, zeros, sizeof zeros);
    open_cache();
    expect_works();
    expect_notice("damaged, moved aside");
}

Test(hash_cache, sound_database_after_an_unclean_end_is_kept)
{
    fill();
    execute("UPDATE state SET clean = 0");
    open_cache();
    cr_expect(knows("small", 2));
    cr_expect(hash_cache_take_notice(cache) == NULL);
}

Test(hash_cache, lost_log_costs_rows_at_most)
{
    fill();
    open_cache();
    put("later", 5);
    hash_cache_flush(cache);
    unlink(folder_path(&root, "cache.db-wal"));
    hash_cache_destroy(&cache);
    open_cache();
    cr_expect(knows("small", 2));
    expect_works();
}

Test(hash_cache, database_of_a_later_version_is_left_alone)
{
    fill();
    execute("PRAGMA user_version = 2");
    open_cache();
    expect_works();
    expect_notice("made by a later version");
    hash_cache_destroy(&cache);
    cr_expect(not(was_moved_aside()));
    execute("PRAGMA user_version = 1");
    open_cache();
    cr_expect(knows("small", 2));
    cr_expect(not(knows("works", 42)));
}

Test(hash_cache, database_of_something_else_is_moved_aside)
{
    hash_cache_destroy(&cache);
    execute("CREATE TABLE file(x); INSERT INTO file VALUES(1)");
    open_cache();
    expect_works();
    expect_notice("no hash cache");
    cr_expect(was_moved_aside());
    hash_cache_destroy(&cache);
    unlink(database());
    execute("CREATE TABLE state(clean); INSERT INTO state VALUES(1); PRAGMA user_version = 1");
    open_cache();
    expect_works();
    expect_notice("damaged, moved aside");
}

Test(hash_cache, database_locked_by_another_process_is_left_alone)
{
    fill();
    sqlite3 *other;
    cr_assert(eq(int, sqlite3_open(database(), &other), SQLITE_OK));
    cr_assert(eq(
        int, sqlite3_exec(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL, NULL), 0));
    open_cache();
    expect_works();
    expect_notice("not used");
    hash_cache_destroy(&cache);
    sqlite3_close(other);
    open_cache();
    cr_expect(knows("small", 2));
}

Test(hash_cache, second_cache_on_one_database_goes_without)
{
    put("a", 1);
    hash_cache_flush(cache);
    struct hash_cache *first = cache;
    open_cache();
    expect_works();
    expect_notice("not used");
    hash_cache_destroy(&cache);
    cache = first;
    cr_expect(knows("a", 1));
}

Test(hash_cache, path_that_cannot_be_written_is_done_without)
{
    hash_cache_destroy(&cache);
    mkdir(database(), 0755);
    open_cache();
    expect_works();
    expect_notice("not used");
    hash_cache_destroy(&cache);
    cache = hash_cache_new(folder_path(&root, "none/cache.db"));
    expect_works();
    expect_notice("not used");
}

Test(hash_cache, read_only_database_is_done_without)
{
    fill();
    chmod(database(), 0444);
    chmod(root.path, 0555);
    cr_assert(getuid() != 0 || chown(database(), 65534, 65534) == 0);
    cr_assert(getuid() != 0 || chown(root.path, 65534, 65534) == 0);
    if (getuid() == 0)
        cr_assert(eq(int, seteuid(65534), 0));
    open_cache();
    expect_works();
    if (getuid() == 0)
        cr_assert(eq(int, seteuid(0), 0));
    chmod(root.path, 0755);
    expect_notice("not used");
}

Test(hash_cache, without_a_path_nothing_is_kept_and_all_works)
{
    hash_cache_destroy(&cache);
    cache = hash_cache_new(NULL);
    expect_works();
    cr_expect(hash_cache_take_notice(cache) == NULL);
}

Test(hash_cache, rows_not_seen_for_long_go_only_when_their_file_is_gone)
{
    const uint64_t day_s = 86400, today_s = (uint64_t)time(NULL);
    folder_write(&root, "here", "x");
    struct cache_key here = key_of("here", 100), gone = key_of("gone", LARGE_SIZE);
    here.share = gone.share = root.path;
    struct hash hash = small_root(1), large, got;
    struct hash *layer = layer_new(1, &large);
    hash_cache_put(cache, &here, &hash, NULL);
    hash_cache_put(cache, &gone, &large, layer);
    hash_cache_flush(cache);

    hash_cache_prune(cache, today_s + (HASH_CACHE_KEEP_DAYS - 1) * day_s);
    cr_expect(find(&gone, &got), "too early");
    hash_cache_prune(cache, 0);
    hash_cache_prune(cache, today_s + (HASH_CACHE_KEEP_DAYS + 2) * day_s);
    cr_expect(not(find(&gone, &got)));
    cr_expect(not(has_layer(&large, 1)));
    cr_expect(find(&here, &got));
}
