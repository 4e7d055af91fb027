/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: chunks that are not the file's are offered; a map of another file, inside the content,
 * is taken for the file's own; a partial file is changed, or its fetcher locked out; an error is not told; a
 * file that is closed early is told of, lost or freed twice.
 */
#include "node/shell/push/offered_file.h"

#include "node/content/tree.h"
#include "node/shell/fetch/chunk_store.h"
#include "tests/support/folder.h"
#include "tests/support/pool.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#define SIZE  (UINT64_C(300000)) /* five chunks of 64 KiB, the last a short one */
#define CHUNK 65536u

static struct folder folder;
static struct workers *workers;
static struct layout layout;
static uint8_t content[SIZE];
static struct hash layer[5], root;
static struct file_id id;

struct outcome {
    bool is_done;
    char *problem;
};

static void begin(void)
{
    folder = folder_new();
    workers = workers_new(2);
    layout = layout_of(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    for (uint32_t i = 0; i < 5; i++)
        tree_hash_span(content + (size_t)i * CHUNK, layout_chunk_length(&layout, i),
                       tree_chunk_height(&layout), &layer[i]);
    bool is_rooted = tree_root_of_layer(&layout, layer, &root);
    cr_assert(is_rooted);
    id = file_id_of(SIZE, &root);
}

static void end(void)
{
    workers_destroy(&workers);
    folder_remove(&folder);
}

TestSuite(offered_file, .init = begin, .fini = end);

static void done(void *owner, const char *problem)
{
    struct outcome *outcome = owner;
    cr_assert(not(outcome->is_done));
    outcome->is_done = true;
    outcome->problem = problem ? strdup(problem) : NULL;
}

static struct offered_file *offer(const char *path, const struct chunk_range *range, struct outcome *outcome)
{
    *outcome = (struct outcome){.is_done = false};
    struct offered_file *file = offered_file_new(workers, path, range, done, outcome);
    cr_assert(not(outcome->is_done), "told from within");
    while (!outcome->is_done)
        pool_round(workers);
    return file;
}

/* Asserts that it can be offered, with these chunks: "11010", or NULL for all. */
static void offers(const char *name, const struct chunk_range *range, const char *expected)
{
    struct outcome outcome;
    struct offered_file *file = offer(folder_path(&folder, name), range, &outcome);
    cr_assert(eq(ptr, outcome.problem, NULL), "%s", outcome.problem);
    struct offered_view view = offered_file_view(file);
    cr_expect(file_id_equal(&view.file.id, &id));
    cr_expect(text_equal(view.file.name, text_of("film.mkv")));
    cr_expect(eq(int, view.have == NULL, expected == NULL));
    for (uint32_t i = 0; expected && i < 5; i++)
        cr_expect(eq(int, (view.have[0] & 0x80 >> i) != 0, expected[i] == '1'), "chunk %u", i);
    cr_expect(eq(int, memcmp(view.layer, layer, sizeof layer), 0));
    int fd = offered_file_reader(file);
    uint8_t byte;
    cr_expect(eq(int, (int)pread(fd, &byte, 1, 0), 1));
    close(fd);
    offered_file_close(&file);
    cr_expect(eq(ptr, file, NULL));
}

static void fails(const char *name, const struct chunk_range *range, const char *words)
{
    struct outcome outcome;
    struct offered_file *file = offer(folder_path(&folder, name), range, &outcome);
    cr_assert(outcome.problem != NULL, "%s can be offered", name);
    cr_expect(strstr(outcome.problem, words) != NULL, "%s: not '%s'", outcome.problem, words);
    free(outcome.problem);
    offered_file_close(&file);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    int fd = open(folder_path(&folder, name), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    cr_assert(eq(int, (int)write(fd, bytes, size), (int)size));
    close(fd);
}

/* A partial file with these chunks; returns its name. */
static const char *write_partial(const char *chunks, bool has_layer)
{
    static char name[PARTIAL_NAME_SIZE];
    struct chunk_store *store;
    struct chunk_map map;
    cr_assert(eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &id, &layout, &store), STORE_OK));
    chunk_map_init(&map, 5);
    for (uint32_t i = 0; i < 5; i++) {
        if (chunks[i] == '0')
            continue;
        chunk_store_write(store, content + (size_t)i * CHUNK, layout_chunk_length(&layout, i),
                          (uint64_t)i * CHUNK);
        chunk_map_set(&map, i);
    }
    if (has_layer)
        chunk_store_write_layer(store, layer);
    chunk_store_write_map(store, chunk_map_bits(&map).bytes);
    snprintf(name, sizeof name, "%s", chunk_store_name(store));
    chunk_map_release(&map);
    chunk_store_close(&store);
    return name;
}

Test(offered_file, a_complete_file_is_offered_whole_or_in_part)
{
    write_file("film.mkv", content, SIZE);
    offers("film.mkv", NULL, NULL);
    offers("film.mkv", &(struct chunk_range){0, 5}, NULL);
    offers("film.mkv", &(struct chunk_range){1, 2}, "01100");
    offers("film.mkv", &(struct chunk_range){4, 1}, "00001");
}

Test(offered_file, a_range_must_be_inside_the_file)
{
    write_file("film.mkv", content, SIZE);
    fails("film.mkv", &(struct chunk_range){5, 1}, "chunks 0-4");
    fails("film.mkv", &(struct chunk_range){4, 2}, "chunks 0-4");
    fails("film.mkv", &(struct chunk_range){1, UINT32_MAX}, "chunks 0-4");
    write_file("empty", "", 0);
    fails("empty", &(struct chunk_range){0, 1}, "empty");
}

Test(offered_file, a_partial_file_is_offered_under_both_of_its_names)
{
    const char *name = write_partial("10110", true);
    offers(name, NULL, "10110");
    offers("film.mkv", NULL, "10110");
    offers(name, &(struct chunk_range){1, 2}, "00100");
    fails(name, &(struct chunk_range){1, 1}, "of these chunks");
}

Test(offered_file, one_that_is_complete_but_for_its_name_is_offered_whole)
{
    offers(write_partial("11111", true), NULL, NULL);
}

Test(offered_file, while_another_program_fetches_it_it_is_only_read)
{
    const char *name = write_partial("10110", true);
    struct chunk_store *store;
    cr_assert(eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &id, &layout, &store), STORE_OK));
    offers(name, NULL, "10110");
    chunk_store_close(&store);
    struct outcome outcome;
    struct offered_file *file = offer(folder_path(&folder, name), NULL, &outcome);
    cr_assert(eq(int, chunk_store_open(folder.path, NULL, "film.mkv", &id, &layout, &store), STORE_OK));
    chunk_store_close(&store);
    offered_file_close(&file);
}

Test(offered_file, what_a_map_claims_is_hashed_anew)
{
    const char *name = write_partial("10110", true);
    int fd = open(folder_path(&folder, name), O_WRONLY);
    cr_assert(eq(int, (int)pwrite(fd, "rot", 3, 2 * CHUNK + 5), 3));
    close(fd);
    offers(name, NULL, "10010");
}

Test(offered_file, a_partial_file_without_its_hashes_offers_nothing)
{
    fails(write_partial("10110", false), NULL, "hashes");
}

Test(offered_file, a_partial_file_without_a_chunk_offers_nothing)
{
    fails(write_partial("00000", true), NULL, "nothing");
}

Test(offered_file, a_map_under_another_id_is_not_this_files)
{
    const char *name = write_partial("10110", true);
    char from[4096];
    snprintf(from, sizeof from, "%s", folder_path(&folder, name));
    cr_assert(eq(int, rename(from, folder_path(&folder, ".film.mkv.000000000000.zpart")), 0));
    fails(".film.mkv.000000000000.zpart", NULL, "verified");
}

Test(offered_file, a_map_inside_the_content_is_not_the_files_own)
{
    /* The partial file of a file that begins like a partial file itself. */
    const char *name = write_partial("10110", true);
    char path[4096];
    snprintf(path, sizeof path, "%s", folder_path(&folder, name));
    static uint8_t inner[3 * 1024 * 1024];
    int fd = open(path, O_RDONLY);
    ssize_t inner_size = read(fd, inner, sizeof inner);
    close(fd);
    cr_assert(gt(int, (int)inner_size, (int)SIZE));
    struct layout outer = layout_of(sizeof inner);
    struct hash outer_layer[48], outer_root;
    for (uint32_t i = 0; i < outer.chunk_count; i++)
        tree_hash_span(inner + (size_t)i * CHUNK, CHUNK, tree_chunk_height(&outer), &outer_layer[i]);
    cr_assert(tree_root_of_layer(&outer, outer_layer, &outer_root));
    struct file_id outer_id = file_id_of(sizeof inner, &outer_root);
    struct chunk_store *store;
    cr_assert(eq(int, chunk_store_open(folder.path, NULL, "outer", &outer_id, &outer, &store), STORE_OK));
    cr_assert(eq(int, chunk_store_write(store, inner, sizeof inner, 0), 0));
    uint8_t bits[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    cr_assert(eq(int, chunk_store_write_layer(store, outer_layer), 0));
    cr_assert(eq(int, chunk_store_write_map(store, bits), 0));
    chunk_store_close(&store);
    struct outcome outcome;
    struct offered_file *file = offer(folder_path(&folder, "outer"), NULL, &outcome);
    cr_assert(eq(ptr, outcome.problem, NULL), "%s", outcome.problem);
    struct file_id offered_id = offered_file_view(file).file.id;
    cr_assert(file_id_equal(&offered_id, &outer_id));
    offered_file_close(&file);
}

Test(offered_file, a_partial_file_of_one_chunk_is_checked_against_its_id)
{
    struct layout small = layout_of(1000);
    struct hash small_root;
    tree_hash_span(content, 1000, tree_chunk_height(&small), &small_root);
    struct file_id small_id = file_id_of(1000, &small_root);
    for (int is_right = 0; is_right < 2; is_right++) {
        struct chunk_store *store;
        cr_assert(eq(int, chunk_store_open(folder.path, NULL, "small", &small_id, &small, &store), STORE_OK));
        chunk_store_write(store, content + (is_right ? 0 : 1), 1000, 0);
        chunk_store_write_map(store, (const uint8_t[]){0x80});
        chunk_store_close(&store);
        struct outcome outcome;
        struct offered_file *file = offer(folder_path(&folder, "small"), NULL, &outcome);
        cr_assert(eq(int, outcome.problem == NULL, is_right));
        free(outcome.problem);
        offered_file_close(&file);
    }
}

Test(offered_file, what_is_no_file_of_a_name_is_told)
{
    fails("none", NULL, "No such file");
    mkdir(folder_path(&folder, "sub"), 0700);
    fails("sub", NULL, "folder");
    fails("sub/", NULL, "folder");
    mkfifo(folder_path(&folder, "fifo"), 0600);
    fails("fifo", NULL, "regular");
    write_file(".hidden", "x", 1);
    fails(".hidden", NULL, "dot");
    write_file("caf\xe9", "x", 1);
    fails("caf\xe9", NULL, "UTF-8");
    write_file(".rubbish.a1b2c3d4e5f6.zpart", content, 10000);
    fails(".rubbish.a1b2c3d4e5f6.zpart", NULL, "verified");
    fails("rubbish", NULL, "verified");
}

Test(offered_file, two_partial_files_of_one_name_are_not_guessed_between)
{
    char from[4096];
    const char *name = write_partial("10110", true);
    snprintf(from, sizeof from, "%s", folder_path(&folder, name));
    cr_assert(eq(int, link(from, folder_path(&folder, ".film.mkv.000000000000.zpart")), 0));
    fails("film.mkv", NULL, "several");
}

Test(offered_file, closed_at_once_it_is_never_told_of)
{
    write_file("film.mkv", content, SIZE);
    write_partial("10110", true);
    struct outcome outcome = {0};
    for (int i = 0; i < 20; i++) {
        struct offered_file *file = offered_file_new(
            workers, folder_path(&folder, i % 2 ? "film.mkv" : "gone"), NULL, done, &outcome);
        if (i > 10)
            pool_round(workers);
        offered_file_close(&file);
        if (outcome.is_done)
            free(outcome.problem);
        outcome = (struct outcome){0};
    }
    workers_destroy(&workers);
    cr_assert(not(outcome.is_done));
    workers = workers_new(1);
}
