/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: the final name stands for something unfinished, for what another program wrote, or
 * replaces what the user had; a range is published with more or less than its bytes, or costs an earlier run
 * what it fetched; a file or link that was planted is written to.
 */
#include "tests/unit/node/shell/fetch/chunk_store_world.h"

#include <fcntl.h>
#include <linux/falloc.h>

TestSuite(chunk_store_publish, .init = make_folder, .fini = remove_folder, .timeout = 60);

/* Publishing. */

Test(chunk_store_publish, a_published_file_is_the_content_and_nothing_else)
{
    struct hash layer[5] = {0};
    uint8_t bits = 0xf8;
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    chunk_store_write_layer(store, layer);
    chunk_store_write_map(store, &bits);
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(not(exists(PARTIAL)));
    cr_expect(eq(u64, size_of("film.mkv"), FILE_SIZE));
    cr_expect(eq(chr, first_byte_of("film.mkv"), 'c'));
}

Test(chunk_store_publish, a_name_that_was_taken_meanwhile_is_left_alone_and_the_work_is_kept)
{
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    folder_write(&folder, "film.mkv", "the user's");
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_EXISTS));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("film.mkv"), strlen("the user's")));
    cr_expect(eq(u64, size_of(PARTIAL), FILE_SIZE));
    store = open_store();
    claims_are(store, "11111");
    chunk_store_close(&store);
}

Test(chunk_store_publish, another_file_that_has_the_partial_name_meanwhile_is_not_published)
{
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    cr_assert(eq(int, unlink(folder_path(&folder, PARTIAL)), 0));
    struct chunk_store *second = open_store(); /* as a second zget would, which has just begun */
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_TOUCHED));
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_FAILED));
    cr_expect(eq(int, errno, ENOENT));
    chunk_store_close(&store);
    cr_expect(not(exists("film.mkv")));
    fill_content(second, 's');
    cr_expect(eq(int, chunk_store_publish(second, CONFLICT_FAILS), PUBLISH_OK));
    cr_expect(eq(chr, first_byte_of("film.mkv"), 's'));
    chunk_store_close(&second);
}

Test(chunk_store_publish, a_dangling_link_under_the_name_is_not_written_through)
{
    struct chunk_store *store = open_store();
    folder_link(&folder, "elsewhere", "film.mkv");
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_EXISTS));
    cr_expect(not(exists("elsewhere")));
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_REPLACES), PUBLISH_OK));
    cr_expect(not(exists("elsewhere")));
    cr_expect(eq(u64, size_of("film.mkv"), FILE_SIZE));
    chunk_store_close(&store);
}

Test(chunk_store_publish, replacing_puts_the_new_file_in_the_place_of_the_old_one)
{
    folder_write(&folder, "film.mkv", "old");
    struct chunk_store *store = open_store();
    fill_content(store, 'n');
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_REPLACES), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("film.mkv"), FILE_SIZE));
    cr_expect(eq(chr, first_byte_of("film.mkv"), 'n'));
    cr_expect(not(exists(PARTIAL)));
}

Test(chunk_store_publish, what_cannot_be_renamed_is_kept_and_told)
{
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    folder_write(&folder, "film.mkv/inside", "a folder has the name");
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_REPLACES), PUBLISH_FAILED));
    cr_expect(eq(int, errno, EISDIR));
    chunk_store_close(&store);
    cr_expect(exists(PARTIAL));
}

Test(chunk_store_publish, an_empty_file_is_published_too)
{
    layout = layout_of(0);
    struct chunk_store *store = open_named("empty", &file);
    cr_expect(eq(u32, chunk_store_claims(store)->count, 0));
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("empty"), 0));
}

/* A folder of its own for partial files. */

static struct chunk_store *open_apart(void)
{
    static char temp[4096];
    struct chunk_store *store = NULL;
    snprintf(temp, sizeof temp, "%s", folder_path(&folder, "Temp"));
    mkdir(temp, 0755);
    cr_assert(eq(int, chunk_store_open(folder.path, temp, "film.mkv", &file, &layout, &store), STORE_OK));
    return store;
}

Test(chunk_store_publish, a_partial_file_that_lies_apart_is_published_into_the_folder_of_the_target)
{
    struct chunk_store *store = open_apart();
    cr_expect(exists("Temp/" PARTIAL));
    cr_expect(not(exists(PARTIAL)));
    fill_content(store, 'a');
    chunk_store_close(&store);
    store = open_apart();
    claims_are(store, "11111");
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("film.mkv"), FILE_SIZE));
    cr_expect(not(exists("Temp/" PARTIAL)));
}

Test(chunk_store_publish, a_partial_file_that_lies_apart_is_removed_there)
{
    struct chunk_store *store = open_apart();
    chunk_store_discard(&store);
    cr_expect(not(exists("Temp/" PARTIAL)));
}

Test(chunk_store_publish, without_the_folder_for_partial_files_nothing_is_opened)
{
    struct chunk_store *store = NULL;
    const char *missing = folder_path(&folder, "missing");
    cr_expect(eq(int, chunk_store_open(folder.path, missing, "x", &file, &layout, &store), STORE_FAILED));
    cr_expect(eq(int, errno, ENOENT));
}

Test(chunk_store_publish, a_taken_name_gets_the_first_number_that_is_free)
{
    folder_write(&folder, "film.mkv", "first");
    folder_write(&folder, "film (2).mkv", "second");
    struct chunk_store *store = open_apart();
    fill_content(store, 't');
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_NUMBERS), PUBLISH_OK));
    cr_expect(eq(str, (char *)(uintptr_t)chunk_store_target(store), "film (3).mkv"));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("film (3).mkv"), FILE_SIZE));
    cr_expect(eq(u64, size_of("film.mkv"), strlen("first")));
    cr_expect(eq(u64, size_of("film (2).mkv"), strlen("second")));
}

Test(chunk_store_publish, a_free_name_gets_no_number)
{
    struct chunk_store *store = open_store();
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_NUMBERS), PUBLISH_OK));
    cr_expect(eq(str, (char *)(uintptr_t)chunk_store_target(store), "film.mkv"));
    chunk_store_close(&store);
}

/* What others do to the partial file. */

static struct timespec change_time(const struct chunk_store *store)
{
    struct stat status;
    cr_assert(eq(int, fstat(chunk_store_fd(store), &status), 0));
    return status.st_ctim;
}

/* As another program: until the clock of the file system shows it. */
static void change_partial(const struct chunk_store *store)
{
    struct timespec before = change_time(store), after = before;
    FILE *out = fopen(folder_path(&folder, PARTIAL), "r+e");
    cr_assert(out != NULL);
    while (after.tv_sec == before.tv_sec && after.tv_nsec == before.tv_nsec) {
        rewind(out);
        cr_assert(eq(sz, fwrite("x", 1, 1, out), 1));
        cr_assert(eq(int, fflush(out), 0));
        after = change_time(store);
    }
    fclose(out);
}

Test(chunk_store_publish, what_another_program_changed_is_not_published_before_it_was_told)
{
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    change_partial(store);
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_TOUCHED));
    cr_expect(not(exists("film.mkv")));
    fill_content(store, 'c');
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    cr_expect(eq(chr, first_byte_of("film.mkv"), 'c'));
    chunk_store_close(&store);
}

Test(chunk_store_publish, a_change_between_two_writes_of_ours_is_noticed)
{
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    change_partial(store);
    uint8_t bits = 0xf8;
    cr_assert(eq(int, chunk_store_write_map(store, &bits), 0));
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_TOUCHED));
    chunk_store_close(&store);
}

Test(chunk_store_publish, zeros_become_a_hole_and_read_as_zeros)
{
    static const char zeros[FILE_SIZE], ones[FILE_SIZE] = {[0 ... FILE_SIZE - 1] = 1};
    static char read[FILE_SIZE];
    struct stat status;
    struct chunk_store *store = open_store();
    cr_assert(eq(int, chunk_store_write(store, ones, sizeof ones, 0), 0));
    cr_assert(eq(int, chunk_store_write(store, zeros, sizeof zeros, 0), 0));
    cr_assert(eq(i64, pread(chunk_store_fd(store), read, sizeof read, 0), (int64_t)FILE_SIZE));
    cr_expect(eq(int, memcmp(read, zeros, sizeof zeros), 0));
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    cr_assert(eq(int, stat(folder_path(&folder, "film.mkv"), &status), 0));
    cr_expect(eq(u64, (uint64_t)status.st_size, FILE_SIZE));
    if (fallocate(chunk_store_fd(store), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0)
        cr_expect(lt(i64, status.st_blocks, 64));
    chunk_store_close(&store);
}

/* A range. */

static struct chunk_store *open_range(uint64_t begin, uint64_t end)
{
    struct chunk_store *store = open_store();
    chunk_store_set_range(store, begin, end);
    return store;
}

Test(chunk_store_publish, of_a_range_just_its_bytes_are_published_and_no_partial_file_stays)
{
    struct chunk_store *store = open_range(70000, 70003);
    cr_assert(eq(int, chunk_store_write(store, "abcde", 5, 69999), 0));
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("film.mkv"), 3));
    cr_expect(eq(chr, first_byte_of("film.mkv"), 'b'));
    cr_expect(not(exists(PARTIAL)));
}

Test(chunk_store_publish, a_range_keeps_the_partial_file_of_a_run_that_wanted_more)
{
    uint8_t bits = 0x80 | 0x40; /* chunk 1 is the range's */
    struct chunk_store *store = open_store();
    chunk_store_write_map(store, &bits);
    chunk_store_close(&store);
    store = open_range(70000, 70003);
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(exists(PARTIAL));
    store = open_store();
    claims_are(store, "11000");
    chunk_store_close(&store);
}

Test(chunk_store_publish, a_range_is_never_published_over_a_file_and_leaves_nothing_behind)
{
    folder_write(&folder, "film.mkv", "the user's");
    struct chunk_store *store = open_range(0, 10);
    fill_content(store, 'c');
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_EXISTS));
    cr_expect(eq(chr, first_byte_of("film.mkv"), 't'));
    cr_expect(not(exists(".film.mkv.a1a1a1a1a1a1.zcut")));
    chunk_store_close(&store);
}

Test(chunk_store_publish, what_a_killed_run_or_a_stranger_left_under_the_name_of_the_cut_is_not_written_to)
{
    folder_write(&folder, "precious", "x");
    folder_link(&folder, "precious", ".film.mkv.a1a1a1a1a1a1.zcut");
    struct chunk_store *store = open_range(0, 10);
    fill_content(store, 'c');
    cr_expect(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    chunk_store_close(&store);
    cr_expect(eq(u64, size_of("precious"), 1));
    cr_expect(eq(u64, size_of("film.mkv"), 10));
}

Test(chunk_store_publish, a_range_needs_room_for_its_missing_chunks_and_for_itself)
{
    uint8_t bits = 0x40;
    uint64_t needed = 0, needed_later = 0, free_bytes = 0;
    struct chunk_store *store = open_range(65536, 3 * 65536);
    cr_assert(chunk_store_space(store, &needed, &free_bytes));
    cr_expect(ge(u64, needed, 4 * 65536));
    cr_expect(lt(u64, needed, 5 * 65536));
    chunk_store_write_map(store, &bits);
    chunk_store_close(&store);
    store = open_range(65536, 3 * 65536);
    cr_assert(chunk_store_space(store, &needed_later, &free_bytes));
    cr_expect(eq(u64, needed - needed_later, 65536));
    chunk_store_close(&store);
}
