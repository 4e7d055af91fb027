/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: two programs write one partial file, a long name does not fit or is cut inside a
 * character, a damaged or foreign map claims nothing (and everything is fetched again) or is trusted with
 * more than it says, the final name stands for something unfinished or replaces what the user had.
 */
#include "tests/unit/node/shell/fetch/chunk_store_world.h"

TestSuite(chunk_store, .init = make_folder, .fini = remove_folder, .timeout = 60);

/* Names. */

Test(chunk_store, the_partial_file_is_hidden_and_named_by_target_and_id)
{
    struct chunk_store *store = open_store();
    cr_expect(eq(int, strcmp(chunk_store_name(store), PARTIAL), 0));
    cr_expect(exists(PARTIAL));
    cr_expect(not(exists("film.mkv")));
    chunk_store_close(&store);
    cr_expect(store == NULL);
    chunk_store_close(&store);
    chunk_store_discard(&store);
}

Test(chunk_store, a_long_name_is_cut_between_characters_so_that_it_fits)
{
    char name[256] = "";
    for (unsigned i = 0; i < 85; i++)
        memcpy(name + 3 * (size_t)i, "\u20ac", 3); /* 255 bytes in all */
    cr_assert(eq(sz, strlen(name), 255));
    struct chunk_store *store = open_named(name, &file);
    const char *partial = chunk_store_name(store);
    /* 235 bytes are left for the name: 78 characters and a third. */
    cr_expect(eq(sz, strlen(partial), 1 + 234 + 1 + 12 + 6));
    cr_expect(eq(int, memcmp(partial + 1, name, 234), 0));
    cr_expect(eq(int, strcmp(partial + 1 + 234, ".a1a1a1a1a1a1.zpart"), 0));
    cr_assert(eq(int, chunk_store_publish(store, CONFLICT_FAILS), PUBLISH_OK));
    cr_expect(exists(name), "the target has its whole name");
    chunk_store_close(&store);
}

Test(chunk_store, a_name_that_no_folder_takes_and_a_folder_that_is_none_are_refused)
{
    struct chunk_store *untouched = NULL;
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = '\0';
    cr_expect(eq(int, chunk_store_open(folder.path, NULL, name, &file, &layout, &untouched), STORE_FAILED));
    cr_expect(eq(int, errno, ENAMETOOLONG));
    const char *missing = folder_path(&folder, "missing");
    cr_expect(eq(int, chunk_store_open(missing, NULL, "x", &file, &layout, &untouched), STORE_FAILED));
    cr_expect(eq(int, errno, ENOENT));
    folder_write(&folder, "plain", "x");
    const char *plain = folder_path(&folder, "plain");
    cr_expect(eq(int, chunk_store_open(plain, NULL, "x", &file, &layout, &untouched), STORE_FAILED));
    cr_expect(eq(int, errno, ENOTDIR));
    cr_expect(untouched == NULL);
}

Test(chunk_store, what_is_not_a_plain_file_under_the_partial_name_is_not_followed_or_waited_for)
{
    struct chunk_store *untouched = NULL;
    folder_write(&folder, "precious", "x");
    folder_link(&folder, "precious", PARTIAL);
    cr_expect(
        eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &file, &layout, &untouched), STORE_FAILED));
    cr_expect(eq(int, errno, ELOOP));
    cr_assert(eq(int, unlink(folder_path(&folder, PARTIAL)), 0));
    cr_assert(eq(int, mkfifo(folder_path(&folder, PARTIAL), 0600), 0));
    cr_expect(
        eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &file, &layout, &untouched), STORE_FAILED));
    cr_assert(eq(int, unlink(folder_path(&folder, PARTIAL)), 0));
    cr_assert(eq(int, link(folder_path(&folder, "precious"), folder_path(&folder, PARTIAL)), 0));
    cr_expect(
        eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &file, &layout, &untouched), STORE_FAILED));
    cr_expect(eq(int, errno, EMLINK));
    cr_expect(eq(u64, size_of("precious"), 1));
    cr_expect(untouched == NULL);
}

/* The lock. */

Test(chunk_store, a_second_program_is_kept_out_until_the_first_is_done)
{
    struct chunk_store *first = open_store(), *second = NULL;
    cr_expect(
        eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &file, &layout, &second), STORE_LOCKED));
    cr_expect(second == NULL);
    struct chunk_store *unrelated = open_named("film.mkv", &other_file);
    chunk_store_close(&unrelated);
    chunk_store_close(&first);
    second = open_store();
    chunk_store_close(&second);
}

/* Map and layer. */

static void write_map(uint8_t bits)
{
    struct chunk_store *store = open_store();
    cr_assert(eq(int, chunk_store_write_map(store, &bits), 0));
    chunk_store_close(&store);
}

Test(chunk_store, a_new_file_claims_nothing_and_has_no_layer)
{
    struct chunk_store *store = open_store();
    claims_are(store, "00000");
    cr_expect(chunk_store_layer(store) == NULL);
    chunk_store_close(&store);
}

Test(chunk_store, the_map_that_was_written_last_is_there_the_next_time)
{
    write_map(0x80);
    write_map(0xa8);
    struct chunk_store *store = open_store();
    claims_are(store, "10101");
    cr_expect(chunk_store_layer(store) == NULL, "no layer was written");
    chunk_store_close(&store);
}

Test(chunk_store, the_layer_is_there_the_next_time_and_content_is_not_touched_by_either)
{
    struct hash layer[5];
    for (uint8_t i = 0; i < 5; i++)
        memset(layer[i].bytes, i + 1, sizeof layer[i].bytes);
    struct chunk_store *store = open_store();
    fill_content(store, 'c');
    uint8_t bits = 0xf8;
    cr_assert(eq(int, chunk_store_write_layer(store, layer), 0));
    cr_assert(eq(int, chunk_store_write_map(store, &bits), 0));
    char last = 0;
    cr_assert(eq(i64, pread(chunk_store_fd(store), &last, 1, FILE_SIZE - 1), 1));
    cr_expect(eq(chr, last, 'c'));
    chunk_store_close(&store);

    store = open_store();
    claims_are(store, "11111");
    cr_assert(chunk_store_layer(store) != NULL);
    cr_expect(eq(int, memcmp(chunk_store_layer(store), layer, sizeof layer), 0));
    chunk_store_close(&store);
}

Test(chunk_store, a_layer_that_was_cut_off_is_none)
{
    struct hash layer[5] = {0};
    struct chunk_store *store = open_store();
    cr_assert(eq(int, chunk_store_write_layer(store, layer), 0));
    chunk_store_close(&store);
    cr_assert(eq(int, truncate(folder_path(&folder, PARTIAL), (off_t)size_of(PARTIAL) - 1), 0));
    store = open_store();
    cr_expect(chunk_store_layer(store) == NULL);
    chunk_store_close(&store);
}

/* Flips one byte `back` bytes into the map, which begins at the page behind the content. */
static void damage_map(uint64_t offset)
{
    int fd = open(folder_path(&folder, PARTIAL), O_RDWR | O_CLOEXEC);
    cr_assert(ge(int, fd, 0));
    uint8_t byte = 0;
    off_t at = (off_t)((FILE_SIZE + 4095) / 4096 * 4096 + offset);
    cr_assert(eq(i64, pread(fd, &byte, 1, at), 1));
    byte ^= 0x40;
    cr_assert(eq(i64, pwrite(fd, &byte, 1, at), 1));
    close(fd);
}

Test(chunk_store, with_a_damaged_map_every_chunk_may_be_there)
{
    /* magic, id, size, bits, checksum */
    const uint64_t offsets[] = {0, 7, 8, 39, 40, 47, 48, 49, 80};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        write_map(0x80);
        damage_map(offsets[i]);
        struct chunk_store *store = open_store();
        cr_expect(eq(u32, chunk_store_claims(store)->set_count, 5), "row %zu", i);
        chunk_store_close(&store);
    }
}

Test(chunk_store, a_map_with_spare_bits_set_is_damaged)
{
    write_map(0x81);
    struct chunk_store *store = open_store();
    claims_are(store, "11111");
    chunk_store_close(&store);
}

Test(chunk_store, a_map_of_another_file_is_not_believed)
{
    write_map(0x80);
    cr_assert(eq(
        int, rename(folder_path(&folder, PARTIAL), folder_path(&folder, ".film.mkv.b2b2b2b2b2b2.zpart")), 0));
    struct chunk_store *store = open_named("film.mkv", &other_file);
    claims_are(store, "11111");
    chunk_store_close(&store);
}

Test(chunk_store, foreign_content_claims_the_chunks_that_fit_into_it)
{
    char content[3 * 65536 + 1] = "foreign";
    folder_write_bytes(&folder, PARTIAL, content, sizeof content);
    struct chunk_store *store = open_store();
    claims_are(store, "11100");
    chunk_store_close(&store);
    cr_assert(eq(int, truncate(folder_path(&folder, PARTIAL), FILE_SIZE), 0));
    store = open_store();
    claims_are(store, "11111");
    chunk_store_close(&store);
}

Test(chunk_store, the_map_is_found_before_the_longest_layer_that_a_file_of_its_size_can_have)
{
    const uint64_t sizes[] = {FILE_SIZE, UINT64_C(128) << 20, (UINT64_C(8) << 30) + 1, UINT64_C(96) << 30};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        layout = layout_of(sizes[i]);
        struct chunk_store *store = open_store(), *reader = NULL;
        struct hash *layer = malloc(layout.chunk_count * sizeof *layer);
        uint8_t *bits = calloc(1, layout_bitfield_size(&layout));
        memset(layer, 'h', layout.chunk_count * sizeof *layer);
        bits[0] = 0x40;
        cr_assert(eq(int, chunk_store_write_map(store, bits), 0));
        cr_assert(eq(int, chunk_store_write_layer(store, layer), 0));
        cr_assert(chunk_store_open_reader(dup(chunk_store_fd(store)), &reader));
        cr_expect(eq(u64, chunk_store_layout(reader)->size, sizes[i]));
        cr_expect(chunk_map_has(chunk_store_claims(reader), 1));
        cr_expect(eq(int, memcmp(chunk_store_layer(reader), layer, layout.chunk_count * sizeof *layer), 0));
        chunk_store_close(&reader);
        chunk_store_discard(&store);
        free(layer);
        free(bits);
    }
}

/* Leaving. */

Test(chunk_store, closing_keeps_and_discarding_removes)
{
    struct chunk_store *store = open_store();
    chunk_store_close(&store);
    cr_expect(exists(PARTIAL));
    store = open_store();
    chunk_store_discard(&store);
    cr_expect(store == NULL);
    cr_expect(not(exists(PARTIAL)));
}

Test(chunk_store, an_unnamed_store_leaves_nothing)
{
    setenv("TMPDIR", folder.path, 1);
    struct chunk_store *store = NULL;
    cr_assert(eq(int, chunk_store_open_unnamed(&file, &layout, &store), STORE_OK));
    cr_expect(eq(int, strcmp(chunk_store_name(store), ""), 0));
    fill_content(store, 'c');
    chunk_store_discard(&store);
    cr_expect(eq(int, rmdir(folder.path), 0), "the folder is empty");
    setenv("TMPDIR", "/nonexistent", 1);
    cr_expect(eq(int, chunk_store_open_unnamed(&file, &layout, &store), STORE_FAILED));
    cr_expect(eq(int, errno, ENOENT));
}

struct others {
    unsigned count;
    char last[256];
};

static void on_other(void *owner, int folder_fd, const char *partial_name)
{
    struct others *self = owner;
    self->count++;
    snprintf(self->last, sizeof self->last, "%s", partial_name);
    cr_expect(eq(int, faccessat(folder_fd, partial_name, R_OK, 0), 0));
}

Test(chunk_store, only_partial_files_of_the_same_name_and_another_id_are_others)
{
    const char *const names[] = {".film.mkv.b2b2b2b2b2b2.zpart",  PARTIAL,
                                 ".film.mkv.b2b2b2b2b2b.zpart",   ".film.mkv.B2B2B2B2B2B2.zpart",
                                 ".film.mkv.b2b2b2b2b2b2.zparts", ".other.mkv.b2b2b2b2b2b2.zpart",
                                 "film.mkv.b2b2b2b2b2b2.zpart",   ".film.mkv.zpart"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        folder_write(&folder, names[i], "x");
    struct others others = {0};
    chunk_store_find_others(folder.path, "film.mkv", &file, &others, on_other);
    cr_expect(eq(uint, others.count, 1));
    cr_expect(eq(str, others.last, ".film.mkv.b2b2b2b2b2b2.zpart"));
    chunk_store_find_others(folder_path(&folder, "missing"), "film.mkv", &file, &others, on_other);
    cr_expect(eq(uint, others.count, 1));
}

/* Space. */

Test(chunk_store, the_space_that_is_needed_shrinks_by_what_is_written)
{
    struct chunk_store *store = open_store();
    uint64_t needed = 0, needed_later = 0, free_bytes = 0;
    cr_assert(chunk_store_space(store, &needed, &free_bytes));
    cr_expect(gt(u64, needed, FILE_SIZE), "the content, its map and its layer");
    cr_expect(lt(u64, needed, FILE_SIZE + 3 * 4096));
    cr_expect(gt(u64, free_bytes, 0));
    fill_content(store, 'c');
    cr_assert(eq(int, fsync(chunk_store_fd(store)), 0)); /* some file systems allocate late */
    cr_assert(chunk_store_space(store, &needed_later, &free_bytes));
    cr_expect(le(u64, needed_later, needed - FILE_SIZE + 65536));
    chunk_store_close(&store);
}
