/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a file that is gone takes room for ever, or one that is here counts no more, because
 * it has another name or is not hashed yet; a file counts twice; a line from an editor or a crash is taken
 * for something else.
 */
#include "node/push/pushed_files.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct pushed_files *files;
static struct share_index *index_of_share;
static struct holdings *holdings;

static void start(void)
{
    files = pushed_files_new();
    index_of_share = share_index_new();
    holdings = holdings_new(index_of_share);
}

static void end(void)
{
    holdings_destroy(&holdings);
    share_index_destroy(&index_of_share);
    pushed_files_destroy(&files);
}

TestSuite(pushed_files, .init = start, .fini = end, .timeout = 60);

static struct hash root_of(uint8_t number)
{
    return (struct hash){{number}};
}

static struct file_id id_of(uint8_t number)
{
    struct hash root = root_of(number);
    return file_id_of(1000, &root);
}

static void add(uint8_t number, uint64_t cost_bytes)
{
    struct file_id id = id_of(number);
    cr_assert(pushed_files_add(files, &id, cost_bytes));
}

static uint64_t bytes_but(uint8_t number)
{
    struct file_id id = id_of(number);
    return pushed_files_bytes(files, &id);
}

/* The share has these names; the number of each is its content. */
static void scan(const char *const *names, const uint8_t *numbers, size_t count)
{
    struct scan_outcome outcome = {
        .files = calloc(count + 1, sizeof *outcome.files), .count = count, .is_complete = true};
    for (size_t i = 0; i < count; i++)
        outcome.files[i] = (struct scanned_file){
            .path = strdup(names[i]), .name = strdup(names[i]), .stamp = {.inode = numbers[i], .size = 1000}};
    share_index_scanned(index_of_share, &outcome);
}

static void hash_all(void)
{
    const struct shared_file *file;
    while ((file = share_index_next_unhashed(index_of_share, 0))) {
        struct hash root = root_of((uint8_t)file->stamp.inode);
        share_index_hashed(index_of_share, file->handle, &root);
    }
}

static void expect_text(const char *expected)
{
    char *text = pushed_files_format(files);
    cr_expect(eq(str, text, (char *)(uintptr_t)expected));
    free(text);
}

Test(pushed_files, all_count_but_the_one_that_may_come_again)
{
    add(1, 4096);
    add(2, 8192);
    cr_expect(eq(u64, bytes_but(3), 12288));
    cr_expect(eq(u64, bytes_but(1), 8192));
    add(2, 16384); /* once more */
    cr_expect(eq(u64, bytes_but(3), 20480));
    cr_expect(eq(sz, pushed_files_count(files), 2));
    add(2, 0);
    cr_expect(eq(u64, bytes_but(3), 4096));
}

Test(pushed_files, what_is_here_under_any_name_counts_and_what_is_gone_does_not)
{
    add(1, 1000);
    add(2, 2000);
    add(3, 3000);
    scan((const char *const[]){"as it was", "d/moved"}, (const uint8_t[]){1, 3}, 2);
    cr_expect(eq(ptr, pushed_files_review(files, holdings), NULL), "any may be what is not hashed");
    hash_all();
    char *gone = pushed_files_review(files, holdings);
    cr_assert(ne(ptr, gone, NULL));
    cr_expect(eq(u64, bytes_but(9), 4000));
    struct pushed_files *others = pushed_files_new();
    struct file_id id = id_of(2);
    pushed_files_add(others, &id, 2000);
    pushed_files_load(others, text_of(gone));
    cr_expect(eq(sz, pushed_files_count(others), 0), "%s", gone);
    pushed_files_destroy(&others);
    free(gone);
    cr_expect(eq(ptr, pushed_files_review(files, holdings), NULL));
}

Test(pushed_files, what_is_written_is_read_and_a_later_line_holds)
{
    char lines[4][PUSHED_LINE_SIZE], all[4 * PUSHED_LINE_SIZE], expected[2 * PUSHED_LINE_SIZE];
    struct file_id one = id_of(1), two = id_of(2), three = id_of(3);
    pushed_line_format(&one, 5, lines[0]);
    pushed_line_format(&two, 6, lines[1]);
    pushed_line_format(&one, 0, lines[2]);
    pushed_line_format(&three, UINT64_MAX / 2, lines[3]);
    snprintf(all, sizeof all, "%s%s%s%s", lines[0], lines[1], lines[2], lines[3]);
    pushed_files_load(files, text_of(all));
    snprintf(expected, sizeof expected, "%s%s", lines[1], lines[3]);
    expect_text(expected);
}

Test(pushed_files, what_is_no_line_is_left_out)
{
    char good[PUSHED_LINE_SIZE], text[1024];
    struct file_id id = id_of(1);
    pushed_line_format(&id, 5, good);
    static const char *const bad[] = {
        "",
        "\n",
        " ",
        "5",
        "5 ",
        "5 12\n",
        "-5 " /* and the id */,
        "0x5 ",
        "99999999999999999999 ",
        "18446744073709551616 ",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool has_id = strlen(bad[i]) > 1 && bad[i][strlen(bad[i]) - 1] == ' ';
        snprintf(text, sizeof text, "%s%s\n%s", bad[i], has_id && i > 4 ? strchr(good, ' ') + 1 : "", good);
        pushed_files_load(files, text_of(text));
        cr_expect(eq(u64, bytes_but(2), 5), "row %zu", i);
    }
    text[strlen(text) - 10] = '\0'; /* the last one is cut */
    pushed_files_load(files, text_of(text));
    expect_text(good);
}

Test(pushed_files, one_too_many_or_more_than_can_be_counted_is_refused)
{
    struct file_id id = {{0}};
    add(1, UINT64_MAX);
    cr_expect(not(pushed_files_add(files, &id, 1)));
    add(1, 1);
    for (uint32_t i = 1; i < PUSHED_FILES_MAX; i++) {
        memcpy(id.bytes, &i, sizeof i);
        cr_assert(pushed_files_add(files, &id, 1));
    }
    memset(&id, 0xff, sizeof id);
    cr_expect(not(pushed_files_add(files, &id, 1)));
    cr_expect(eq(sz, pushed_files_count(files), PUSHED_FILES_MAX));
    add(1, 2); /* known */
}
