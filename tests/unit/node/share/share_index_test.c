/* SPDX-License-Identifier: MIT */
/*
 * The share index as the only judge of what exists. What could go wrong: an unfinished scan or hash that
 * proves a negative; a handle that names other content than before; an id that leads to a file that is gone;
 * a change that nobody is told of.
 */
#include "node/share/share_index.h"

#include "messages/name.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hash root(uint8_t n)
{
    return (struct hash){{n, 1, 2, 3}};
}

/* A scan of up to eight files; each is "NAME" with stamp 1, or "NAME=N" with stamp N. Ends with NULL. */
static bool scan(struct share_index *index, bool is_complete, const char *const *names)
{
    struct scan_outcome outcome = {.files = calloc(8, sizeof(struct scanned_file)),
                                   .is_complete = is_complete};
    for (; names && *names; names++) {
        const char *equals = strchr(*names, '=');
        size_t size = equals ? (size_t)(equals - *names) : strlen(*names);
        outcome.files[outcome.count++] = (struct scanned_file){
            .path = strndup(*names, size),
            .name = strndup(*names, size),
            .stamp = {.inode = 5,
                      .size = 1000,
                      .mtime_ns = 7000000,
                      .ctime_ns = equals ? strtoul(equals + 1, NULL, 10) : 1},
        };
    }
    bool changed = share_index_scanned(index, &outcome);
    cr_assert(eq(ptr, outcome.files, NULL));
    return changed;
}

#define SCAN(index, ...) scan(index, true, (const char *const[]){__VA_ARGS__, NULL})

static const struct shared_file *by_name(const struct share_index *index, const char *name)
{
    size_t position = share_index_lower_bound(index, text_of(name));
    cr_assert(lt(sz, position, share_index_count(index)));
    return share_index_at(index, position);
}

static uint64_t handle_of(const struct share_index *index, const char *name)
{
    return by_name(index, name)->handle;
}

static bool hash_file(struct share_index *index, const char *name, uint8_t n)
{
    struct hash hash = root(n);
    return share_index_hashed(index, handle_of(index, name), &hash);
}

/* Returns the number of files; the total goes to *ret_total. */
static size_t query(const struct share_index *index, uint8_t mode, const char *text, uint32_t *ret_total)
{
    struct file_entry entries[8];
    struct matcher *matcher = matcher_new(mode, text_of(text), 0, 0);
    cr_assert(ne(ptr, matcher, NULL));
    size_t count = share_index_query(index, matcher, 2, entries, ret_total);
    matcher_destroy(&matcher);
    return count;
}

Test(share_index, unfinished_scan_or_hash_never_proves_a_negative)
{
    struct share_index *index = share_index_new();
    uint32_t total;
    cr_expect(eq(sz, query(index, MODE_WORDS, "tree", &total), 0));
    cr_expect(eq(u32, total, 1), "before any scan");

    scan(index, false, NULL);
    query(index, MODE_WORDS, "tree", &total);
    cr_expect(eq(u32, total, 1), "after an incomplete scan");

    SCAN(index, "a tree.txt");
    cr_expect(eq(sz, query(index, MODE_WORDS, "tree", &total), 0));
    cr_expect(eq(u32, total, 1), "a match without an id");
    query(index, MODE_WORDS, "stone", &total);
    cr_expect(eq(u32, total, 0), "its name is known not to match");
    query(index, MODE_ID, "00112233", &total);
    cr_expect(eq(u32, total, 1), "any file without an id may have this one");

    hash_file(index, "a tree.txt", 1);
    cr_expect(eq(sz, query(index, MODE_WORDS, "TREE", &total), 1));
    cr_expect(eq(u32, total, 1));
    query(index, MODE_ID, "00112233", &total);
    cr_expect(eq(u32, total, 0));

    scan(index, false, (const char *const[]){"a tree.txt", NULL});
    query(index, MODE_WORDS, "stone", &total);
    cr_expect(eq(u32, total, 1), "the last scan was incomplete");
    share_index_destroy(&index);
}

Test(share_index, unreadable_file_is_not_shared_and_takes_nothing_from_an_answer)
{
    struct share_index *index = share_index_new();
    const struct shared_file *file;
    uint32_t total;
    SCAN(index, "x");
    uint64_t handle = handle_of(index, "x");
    cr_expect(share_index_unreadable(index, handle));
    cr_expect(not(share_index_unreadable(index, handle)));
    cr_expect(eq(sz, query(index, MODE_WORDS, "", &total), 0));
    cr_expect(eq(u32, total, 0));
    cr_expect(eq(int, share_index_by_name(index, text_of("x"), &file), SHARE_NONE));
    cr_expect(share_index_next_unhashed(index, 0) == NULL);
    cr_expect(share_index_is_settled(index));

    SCAN(index, "x");
    cr_expect(share_index_next_unhashed(index, 0) == NULL, "the same stamp is not tried again");
    SCAN(index, "x=2");
    cr_expect(share_index_next_unhashed(index, 0) != NULL);
    share_index_destroy(&index);
}

Test(share_index, query_gives_matches_in_order_of_name_up_to_the_limit_and_counts_all)
{
    struct share_index *index = share_index_new();
    SCAN(index, "c/x", "b/x", "a/x", "y");
    hash_file(index, "a/x", 1);
    hash_file(index, "b/x", 2);
    hash_file(index, "c/x", 3);
    hash_file(index, "y", 4);
    struct matcher *matcher = matcher_new(MODE_WORDS, text_of("x"), 0, 0);
    struct file_entry entries[3];
    uint32_t total;
    cr_assert(eq(sz, share_index_query(index, matcher, 2, entries, &total), 2));
    cr_expect(eq(u32, total, 3));
    cr_expect(text_equal(entries[0].name, text_of("a/x")));
    cr_expect(text_equal(entries[1].name, text_of("b/x")));
    cr_expect(eq(u16, entries[0].have_permille, PERMILLE_COMPLETE));
    cr_expect(eq(u64, entries[0].mtime_ms, 7));
    struct hash first_root = root(1);
    struct file_id id = file_id_of(1000, &first_root);
    cr_expect(file_id_equal(&entries[0].id, &id));
    matcher_destroy(&matcher);
    share_index_destroy(&index);
}

Test(share_index, same_stamp_keeps_handle_and_id_and_another_one_loses_them)
{
    struct share_index *index = share_index_new();
    cr_expect(SCAN(index, "a", "b"));
    hash_file(index, "a", 1);
    hash_file(index, "b", 2);
    uint64_t a = handle_of(index, "a"), b = handle_of(index, "b");
    cr_expect(not(SCAN(index, "a", "b")));
    cr_expect(eq(u64, handle_of(index, "a"), a));
    cr_expect(eq(int, by_name(index, "a")->state, SHARE_READY));

    cr_expect(SCAN(index, "a=2", "b"));
    cr_expect(gt(u64, handle_of(index, "a"), b));
    cr_expect(eq(int, by_name(index, "a")->state, SHARE_UNHASHED));
    cr_expect(eq(u64, handle_of(index, "b"), b));
    cr_expect(share_index_by_handle(index, a) == NULL);
    struct hash first_root = root(1);
    struct file_id id = file_id_of(1000, &first_root);
    cr_expect(share_index_by_id(index, &id) == NULL);
    struct hash late = root(9);
    cr_expect(not(share_index_hashed(index, a, &late)), "a result for the old content comes too late");
    share_index_destroy(&index);
}

Test(share_index, walk_over_unhashed_files_never_begins_again)
{
    struct share_index *index = share_index_new();
    SCAN(index, "a", "b", "c");
    uint64_t after = 0;
    unsigned seen = 0;
    for (const struct shared_file *file; (file = share_index_next_unhashed(index, after)); seen++)
        after = file->handle;
    cr_expect(eq(u32, seen, 3));
    hash_file(index, "b", 1);
    SCAN(index, "a", "b", "c=2", "d");
    const struct shared_file *next = share_index_next_unhashed(index, after);
    cr_expect(text_equal(next->name, text_of("c")));
    next = share_index_next_unhashed(index, next->handle);
    cr_expect(text_equal(next->name, text_of("d")));
    cr_expect(share_index_next_unhashed(index, next->handle) == NULL);
    share_index_destroy(&index);
}

Test(share_index, twins_are_found_by_id_as_the_first_by_name_that_is_left)
{
    struct share_index *index = share_index_new();
    struct hash shared_root = root(1);
    struct file_id id = file_id_of(1000, &shared_root);
    SCAN(index, "a", "b", "c");
    hash_file(index, "b", 1);
    cr_expect(text_equal(share_index_by_id(index, &id)->name, text_of("b")));
    hash_file(index, "c", 1);
    hash_file(index, "a", 1);
    cr_expect(text_equal(share_index_by_id(index, &id)->name, text_of("a")));
    SCAN(index, "a", "c");
    cr_expect(text_equal(share_index_by_id(index, &id)->name, text_of("a")));
    SCAN(index, "c");
    cr_expect(text_equal(share_index_by_id(index, &id)->name, text_of("c")));
    scan(index, true, NULL);
    cr_expect(share_index_by_id(index, &id) == NULL);
    share_index_destroy(&index);
}

/* The first is taken away again and again, or any of them, in an order without order. */
Test(share_index, of_a_thousand_twins_the_first_by_name_is_found_whichever_goes)
{
    enum {
        COUNT = 1000
    };
    struct share_index *index = share_index_new();
    struct hash shared_root = root(1);
    struct file_id id = file_id_of(0, &shared_root);
    bool is_there[COUNT];
    struct scan_outcome outcome = {.files = calloc(COUNT, sizeof(struct scanned_file)), .count = COUNT};
    for (size_t i = 0; i < COUNT; i++) {
        char name[8];
        snprintf(name, sizeof name, "%04zu", i);
        outcome.files[i] = (struct scanned_file){.path = strdup(name), .name = strdup(name)};
        is_there[i] = true;
    }
    share_index_scanned(index, &outcome);
    for (size_t i = 0; i < COUNT; i++)
        share_index_hashed(index, share_index_at(index, i * 7 % COUNT)->handle, &shared_root);
    for (size_t i = 0, first = 0; first < COUNT; i++) {
        size_t goes = i % 3 == 0 ? first : i * 389 % COUNT;
        const struct shared_file *file = share_index_by_id(index, &id);
        cr_assert(file == share_index_at(index, first), "step %zu", i);
        uint64_t handle = share_index_at(index, goes)->handle, fresh;
        if (is_there[goes] && i % 5 == 0) { /* comes back at once */
            cr_assert(share_index_changed(index, handle, &fresh));
            cr_assert(share_index_hashed(index, fresh, &shared_root));
            continue;
        }
        if (is_there[goes])
            cr_assert(share_index_changed(index, handle, &fresh));
        is_there[goes] = false;
        while (first < COUNT && !is_there[first])
            first++;
    }
    cr_expect(share_index_by_id(index, &id) == NULL);
    share_index_destroy(&index);
}

Test(share_index, base_name_finds_a_file_only_when_no_other_has_it)
{
    struct share_index *index = share_index_new();
    const struct shared_file *file = NULL;
    SCAN(index, "a/one", "b/two", "c/two", "d/late", "two/x");
    hash_file(index, "a/one", 1);
    hash_file(index, "b/two", 2);
    hash_file(index, "c/two", 3);
    cr_expect(eq(int, share_index_by_name(index, text_of("one"), &file), SHARE_FOUND));
    cr_expect(text_equal(file->name, text_of("a/one")));
    cr_expect(eq(int, share_index_by_name(index, text_of("b/two"), &file), SHARE_FOUND));
    cr_expect(text_equal(file->name, text_of("b/two")));
    cr_expect(eq(int, share_index_by_name(index, text_of("two"), &file), SHARE_SEVERAL));
    cr_expect(eq(int, share_index_by_name(index, text_of("late"), &file), SHARE_HASHING));
    cr_expect(eq(int, share_index_by_name(index, text_of("d/late"), &file), SHARE_HASHING));
    cr_expect(eq(int, share_index_by_name(index, text_of("none"), &file), SHARE_NONE));
    cr_expect(eq(int, share_index_by_name(index, text_of(""), &file), SHARE_NONE));

    SCAN(index, "a/one", "b/two", "two");
    hash_file(index, "two", 5);
    cr_expect(eq(int, share_index_by_name(index, text_of("two"), &file), SHARE_FOUND),
              "the whole name goes first");
    cr_expect(text_equal(file->name, text_of("two")));
    share_index_destroy(&index);
}

Test(share_index, changed_file_has_a_new_handle_and_no_id)
{
    struct share_index *index = share_index_new();
    SCAN(index, "a", "b");
    hash_file(index, "a", 1);
    hash_file(index, "b", 2);
    uint64_t a = handle_of(index, "a"), renewed = 0;
    cr_assert(share_index_changed(index, a, &renewed));
    cr_expect(eq(u64, handle_of(index, "a"), renewed));
    cr_expect(gt(u64, renewed, handle_of(index, "b")));
    cr_expect(not(share_index_changed(index, a, &renewed)), "the old handle is gone");
    cr_expect(not(share_index_changed(index, renewed, &renewed)), "it has no id to lose");
    cr_expect(eq(u64, share_index_next_unhashed(index, 0)->handle, renewed));

    struct file_stamp stamp = {.size = 3000, .ctime_ns = 9};
    uint64_t files, bytes;
    cr_expect(share_index_restamp(index, renewed, &stamp));
    hash_file(index, "a", 3);
    cr_expect(not(share_index_restamp(index, renewed, &stamp)), "not under an id");
    share_index_totals(index, &files, &bytes);
    cr_expect(eq(u64, files, 2));
    cr_expect(eq(u64, bytes, 4000));
    share_index_destroy(&index);
}

Test(share_index, generation_rises_by_one_with_each_change_that_others_can_see)
{
    struct share_index *index = share_index_new();
    cr_expect(eq(u64, share_index_generation(index), 0));
    SCAN(index, "a", "b");
    cr_expect(eq(u64, share_index_generation(index), 0), "nothing is ready, nothing is settled");
    hash_file(index, "a", 1);
    cr_expect(eq(u64, share_index_generation(index), 1));
    SCAN(index, "a", "b");
    cr_expect(eq(u64, share_index_generation(index), 1));
    cr_expect(not(share_index_is_settled(index)));
    share_index_unreadable(index, handle_of(index, "b"));
    cr_expect(share_index_is_settled(index));
    cr_expect(eq(u64, share_index_generation(index), 2), "the filter can be sent now");
    SCAN(index, "b");
    cr_expect(eq(u64, share_index_generation(index), 3));
    scan(index, false, (const char *const[]){"b", NULL});
    cr_expect(eq(u64, share_index_generation(index), 4), "no longer settled");
    share_index_destroy(&index);
}

/* One part: the folder `folder` was read and has these files ("NAME" below the share) and folders. */
static void scan_part(struct share_index *index, uint32_t share, const char *folder, bool is_place,
                      const char *const *names, const char *const *folders)
{
    struct scan_outcome outcome = {.files = calloc(8, sizeof(struct scanned_file)),
                                   .is_part = true,
                                   .folders = calloc(1, sizeof(struct scanned_folder)),
                                   .folder_count = 1,
                                   .is_complete = true};
    outcome.folders[0] =
        (struct scanned_folder){share, strdup(folder), is_place, calloc(8, sizeof(char *)), 0};
    for (; folders && *folders; folders++)
        outcome.folders[0].folders[outcome.folders[0].folder_count++] = strdup(*folders);
    for (; names && *names; names++)
        outcome.files[outcome.count++] = (struct scanned_file){
            .share = share, .name = strdup(*names), .stamp = {.inode = 5, .size = 1000, .ctime_ns = 1}};
    share_index_scanned(index, &outcome);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_names(const struct share_index *index, const char *const *names)
{
    size_t count = 0;
    for (; names[count]; count++) {
        cr_assert(lt(sz, count, share_index_count(index)), "%s is missing", names[count]);
        cr_expect(text_equal(share_index_at(index, count)->name, text_of(names[count])), "%s",
                  share_index_at(index, count)->name.bytes);
    }
    cr_expect(eq(sz, share_index_count(index), count));
}

Test(share_index, part_speaks_of_its_folder_and_of_nothing_else)
{
    struct share_index *index = share_index_new();
    SCAN(index, "a/f", "a-b/f", "a/x/f", "a/y/f", "a/y/z/f", "b/f");
    uint64_t handle = handle_of(index, "a/x/f");
    scan_part(index, 0, "a", false, LIST("a/g"), LIST("x"));
    expect_names(index, LIST("a-b/f", "a/g", "a/x/f", "b/f"));
    cr_expect(eq(u64, handle_of(index, "a/x/f"), handle));
    scan_part(index, 1, "", false, NULL, NULL);
    cr_expect(eq(sz, share_index_count(index), 4), "another share");
    scan_part(index, 0, "a", true, NULL, NULL);
    expect_names(index, LIST("a-b/f", "b/f"));
    scan_part(index, 0, "b/f", true, LIST("b/f"), NULL);
    expect_names(index, LIST("a-b/f", "b/f"));
    scan_part(index, 0, "b/f", false, LIST("b/f/g"), NULL);
    expect_names(index, LIST("a-b/f", "b/f/g"));
    scan_part(index, 0, "", true, NULL, NULL);
    cr_expect(eq(sz, share_index_count(index), 0));
    share_index_destroy(&index);
}

Test(share_index, taken_name_is_numbered_and_kept)
{
    struct share_index *index = share_index_new();
    scan_part(index, 0, "", false, LIST("a.x", "b"), NULL);
    scan_part(index, 1, "", false, LIST("a.x", "a (2).x"), NULL);
    scan_part(index, 2, "", false, LIST("a.x"), NULL);
    expect_names(index, LIST("a (2).x", "a (3).x", "a (4).x", "a.x", "b"));
    scan_part(index, 0, "", true, NULL, NULL);
    expect_names(index, LIST("a (2).x", "a (3).x", "a (4).x"));
    scan_part(index, 1, "", false, LIST("a.x", "a (2).x"), NULL);
    scan_part(index, 0, "", false, LIST("a.x"), NULL);
    expect_names(index, LIST("a (2).x", "a (3).x", "a (4).x", "a.x"));
    share_index_destroy(&index);
}

Test(share_index, name_that_cannot_be_numbered_is_counted_as_left_out)
{
    struct share_index *index = share_index_new();
    char name[1025];
    memset(name, 'x', 1024);
    name[1024] = '\0';
    scan_part(index, 0, "", false, LIST(name), NULL);
    struct scan_outcome outcome = {
        .files = calloc(1, sizeof(struct scanned_file)), .count = 1, .is_part = true};
    outcome.files[0] = (struct scanned_file){.share = 1, .name = strdup(name)};
    share_index_scanned(index, &outcome);
    cr_expect(eq(sz, outcome.left_out_count, 1));
    cr_expect(eq(sz, share_index_count(index), 1));
    share_index_destroy(&index);
}

Test(share_index, content_that_moved_with_its_stamp_keeps_its_id)
{
    struct share_index *index = share_index_new();
    SCAN(index, "old/f=7");
    hash_file(index, "old/f", 1);
    struct file_id id = by_name(index, "old/f")->id;
    SCAN(index, "new/f=7");
    cr_expect(eq(int, by_name(index, "new/f")->state, SHARE_READY));
    cr_expect(file_id_equal(&by_name(index, "new/f")->id, &id));
    cr_expect(share_index_by_id(index, &id) == by_name(index, "new/f"));
    SCAN(index, "newer/f=8");
    cr_expect(eq(int, by_name(index, "newer/f")->state, SHARE_UNHASHED), "another stamp");
    share_index_destroy(&index);
}

Test(share_index, files_that_were_asked_for_by_name_are_told_once_each)
{
    struct share_index *index = share_index_new();
    uint64_t handles[SHARE_ASKED_MAX];
    const struct shared_file *file;
    uint32_t total;
    SCAN(index, "d/a", "b", "c");
    cr_expect(eq(sz, share_index_take_asked(index, handles), 0));
    share_index_by_name(index, text_of("a"), &file);
    query(index, MODE_WORDS, "b", &total);
    query(index, MODE_EXACT, "b", &total);
    query(index, MODE_ID, "00112233", &total);
    cr_assert(eq(sz, share_index_take_asked(index, handles), 2), "an id is no name");
    cr_expect(eq(u64, handles[0], handle_of(index, "d/a")));
    cr_expect(eq(u64, handles[1], handle_of(index, "b")));
    cr_expect(eq(sz, share_index_take_asked(index, handles), 0));
    share_index_destroy(&index);
}

Test(share_index, positions_are_in_byte_order_of_name)
{
    struct share_index *index = share_index_new();
    SCAN(index, "b", "a/z", "a", "\xc3\xa4", "B");
    static const char *const expected[] = {"B", "a", "a/z", "b", "\xc3\xa4"};
    cr_assert(eq(sz, share_index_count(index), 5));
    for (size_t i = 0; i < 5; i++)
        cr_expect(text_equal(share_index_at(index, i)->name, text_of(expected[i])), "%zu", i);
    cr_expect(eq(sz, share_index_lower_bound(index, text_of("")), 0));
    cr_expect(eq(sz, share_index_lower_bound(index, text_of("a/")), 2));
    cr_expect(eq(sz, share_index_lower_bound(index, text_of("zz")), 4));
    cr_expect(eq(sz, share_index_lower_bound(index, text_of("\xff")), 5));
    share_index_destroy(&index);
}

Test(share_index, filter_holds_every_ready_file)
{
    struct share_index *index = share_index_new();
    SCAN(index, "dir/Tree.txt", "gone");
    hash_file(index, "dir/Tree.txt", 1);
    share_index_unreadable(index, handle_of(index, "gone"));
    struct presence *presence = presence_new();
    share_index_fill_presence(index, presence);
    struct presence_view view = presence_view(presence);
    cr_expect(presence_may_match(&view, MODE_WORDS, text_of("tree")));
    cr_expect(not(presence_may_match(&view, MODE_EXACT, text_of("gone"))));
    presence_destroy(&presence);
    share_index_destroy(&index);
}

/* Against a list that is searched from end to end, over random scans, hashes and changes. */
Test(share_index, tables_agree_with_a_plain_list_after_any_history)
{
    struct share_index *index = share_index_new();
    unsigned seed = 7;
    for (unsigned round = 0; round < 300; round++) {
        struct scan_outcome outcome = {.files = calloc(64, sizeof(struct scanned_file)), .is_complete = true};
        for (int i = 63; i >= 0; i--) {
            if (rand_r(&seed) % 3 == 0)
                continue;
            char name[16];
            snprintf(name, sizeof name, "%d/%d", i % 7, i);
            outcome.files[outcome.count++] = (struct scanned_file){
                .path = strdup(name),
                .name = strdup(name),
                .stamp = {.size = 10, .ctime_ns = (uint64_t)(rand_r(&seed) % 2)},
            };
        }
        size_t count = outcome.count;
        share_index_scanned(index, &outcome);
        cr_assert(eq(sz, share_index_count(index), count));
        uint64_t ready = 0, files, bytes;
        for (size_t i = 0; i < count; i++) {
            const struct shared_file *file = share_index_at(index, i);
            struct hash hash = root((uint8_t)(rand_r(&seed) % 5));
            uint64_t renewed;
            if (rand_r(&seed) % 2)
                share_index_hashed(index, file->handle, &hash);
            else
                share_index_changed(index, file->handle, &renewed);
            ready += file->state == SHARE_READY;
            cr_assert(share_index_by_handle(index, file->handle) == file);
        }
        share_index_totals(index, &files, &bytes);
        cr_assert(eq(u64, files, ready));
        cr_assert(eq(u64, bytes, ready * 10));
        for (size_t i = 0; i < count; i++) {
            const struct shared_file *file = share_index_at(index, i), *found;
            if (file->state != SHARE_READY)
                continue;
            size_t first = 0;
            while (share_index_at(index, first)->state != SHARE_READY ||
                   !file_id_equal(&share_index_at(index, first)->id, &file->id))
                first++;
            cr_assert(share_index_by_id(index, &file->id) == share_index_at(index, first));
            cr_assert(eq(int, share_index_by_name(index, name_base(file->name), &found), SHARE_FOUND));
            cr_assert(found == file);
        }
    }
    share_index_destroy(&index);
}
