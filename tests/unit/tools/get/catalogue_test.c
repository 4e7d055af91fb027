/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: two nodes with the same file count as two files, two files of one name as one; the
 * order depends on who answered first; a node lists until the memory is full.
 */
#include "tools/get/catalogue.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct catalogue *catalogue;

static void setup(void)
{
    catalogue = catalogue_new(1);
}

static void teardown(void)
{
    catalogue_destroy(&catalogue);
    cr_expect(catalogue == NULL);
    catalogue_destroy(&catalogue);
}

TestSuite(catalogue, .init = setup, .fini = teardown, .timeout = 120);

static struct file_entry entry(uint8_t id)
{
    return (struct file_entry){.id = {{id}}, .root = {{id}}, .size = id, .have_permille = 1000};
}

static bool add(uint8_t id, const char *name, uint16_t source)
{
    struct file_entry file = entry(id);
    return catalogue_add(catalogue, &file, text_of(name), source);
}

Test(catalogue, each_name_is_there_once_with_all_who_have_it)
{
    cr_expect(add(1, "a", 3));
    cr_expect(add(1, "a", 5));
    cr_expect(add(1, "a", 3));
    catalogue_sort(catalogue);
    cr_assert(eq(sz, catalogue_count(catalogue), 1));
    const struct catalogue_file *file = catalogue_at(catalogue, 0);
    cr_expect(eq(u32, file->source_count, 2));
    cr_expect(eq(u32, file->sources[0], 3));
    cr_expect(eq(u32, file->sources[1], 5));
    cr_expect(file->other == NULL);
}

Test(catalogue, names_come_in_byte_order_whoever_told_them_first)
{
    static const char *const names[] = {"b", "a/z", "a", "a-b", "\xc3\xa9", "Z"};
    static const char *const sorted[] = {"Z", "a", "a-b", "a/z", "b", "\xc3\xa9"};
    for (uint8_t i = 0; i < 6; i++)
        add(i, names[i], 0);
    catalogue_sort(catalogue);
    for (size_t i = 0; i < 6; i++)
        cr_expect(strcmp(catalogue_at(catalogue, i)->name, sorted[i]) == 0, "row %zu", i);
}

Test(catalogue, different_files_of_one_name_are_told_apart_up_to_a_limit)
{
    for (uint8_t i = 0; i < CATALOGUE_OTHERS_MAX + 10; i++)
        cr_expect(add(i, "x", i));
    catalogue_sort(catalogue);
    cr_assert(eq(sz, catalogue_count(catalogue), 1));
    unsigned count = 0;
    for (const struct catalogue_file *file = catalogue_at(catalogue, 0); file; file = file->other) {
        cr_expect(eq(u32, file->source_count, 1));
        count++;
    }
    cr_expect(eq(u32, count, CATALOGUE_OTHERS_MAX + 1));
}

Test(catalogue, of_many_sources_the_first_are_kept)
{
    for (uint16_t i = 0; i < CATALOGUE_SOURCES_MAX + 10; i++)
        cr_expect(add(1, "x", i));
    catalogue_sort(catalogue);
    cr_expect(eq(u32, catalogue_at(catalogue, 0)->source_count, CATALOGUE_SOURCES_MAX));
}

Test(catalogue, attributes_are_those_of_the_first_who_told_them)
{
    struct file_entry silent = entry(1), first = entry(1), second = entry(1);
    first.has_mtime = second.has_mtime = true;
    first.mtime_ms = 11;
    second.mtime_ms = 22;
    catalogue_add(catalogue, &silent, text_of("x"), 0);
    catalogue_add(catalogue, &first, text_of("x"), 1);
    catalogue_add(catalogue, &second, text_of("x"), 2);
    catalogue_sort(catalogue);
    cr_expect(catalogue_at(catalogue, 0)->attributes.has_mtime);
    cr_expect(eq(u64, catalogue_at(catalogue, 0)->attributes.mtime_ms, 11));
}

Test(catalogue, it_takes_a_million_names_and_then_only_those_that_it_has)
{
    struct file_entry file = entry(1);
    char name[16];
    for (unsigned i = 0; i < CATALOGUE_FILES_MAX; i++) {
        int size = snprintf(name, sizeof name, "%u", i);
        cr_assert(catalogue_add(catalogue, &file, (struct text){name, (size_t)size}, 0));
    }
    cr_expect(not(add(1, "one more", 0)));
    cr_expect(add(1, "999999", 1));
    cr_expect(eq(sz, catalogue_count(catalogue), CATALOGUE_FILES_MAX));
}
