/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: two nodes share one id, a crash or a damaged file changes the id without need, a
 * half-written file counts, the lock outlives its process.
 */
#include "node/shell/node_state.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void make_root(void)
{
    snprintf(root, sizeof root, "/tmp/node-state-XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_root(void)
{
    cr_assert(eq(int, nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0));
}

TestSuite(node_state, .init = make_root, .fini = remove_root);

static char *below(const char *file)
{
    char *path = NULL;
    cr_assert(gt(int, asprintf(&path, "%s/%s", root, file), 0));
    return path;
}

static struct node_state open_state(const char *folder)
{
    struct node_state state;
    char *path = NULL, *full = below(folder);
    cr_assert(eq(int, node_state_open(&state, full, &path), NODE_STATE_OPEN));
    free(full);
    return state;
}

static void write_text(const char *file, const char *text)
{
    char *path = below(file);
    FILE *out = fopen(path, "w");
    cr_assert(out != NULL);
    fputs(text, out);
    fclose(out);
    free(path);
}

Test(node_state, a_second_start_has_the_same_id_port_name_and_home)
{
    struct node_state first = open_state("a/b/c");
    struct node_id id = first.id;
    cr_assert(first.is_new_id);
    first.port = 9123;
    first.is_port_assigned = true;
    node_state_set(&first.name, "Ação = x");
    node_state_set(&first.home, "/srv/a b");
    cr_assert(node_state_save(&first));
    node_state_release(&first);

    struct node_state second = open_state("a/b/c");
    cr_assert(node_id_equal(&second.id, &id));
    cr_assert(not(second.is_new_id));
    cr_assert(not(second.was_damaged));
    cr_assert(eq(u16, second.port, 9123));
    cr_assert(second.is_port_assigned);
    cr_assert(eq(str, second.name, "Ação = x"));
    cr_assert(eq(str, second.home, "/srv/a b"));
    node_state_release(&second);
}

Test(node_state, an_id_is_kept_from_the_very_first_start_though_nobody_saved_it)
{
    struct node_state first = open_state("a");
    struct node_id id = first.id;
    node_state_release(&first);
    struct node_state second = open_state("a");
    cr_assert(node_id_equal(&second.id, &id));
    node_state_release(&second);
}

Test(node_state, a_second_one_is_refused_until_the_first_is_gone)
{
    struct node_state first = open_state("a"), second;
    char *path = NULL, *folder = below("a");
    cr_assert(eq(int, node_state_open(&second, folder, &path), NODE_STATE_LOCKED));
    cr_assert(eq(str, path, folder));
    node_state_release(&first);
    cr_assert(eq(int, node_state_open(&second, folder, NULL), NODE_STATE_OPEN));
    node_state_release(&second);
    free(path);
    free(folder);
}

Test(node_state, without_a_name_the_first_free_profile_is_taken)
{
    setenv("XDG_STATE_HOME", root, 1);
    struct node_state first, second, third, named;
    char *path = NULL;
    cr_assert(eq(int, node_state_open_profile(&first, NULL, &path), NODE_STATE_OPEN));
    cr_assert(eq(int, node_state_open_profile(&second, NULL, &path), NODE_STATE_OPEN));
    char *expected = below("zswarm/node-1");
    cr_assert(eq(str, first.folder, expected));
    free(expected);
    expected = below("zswarm/node-2");
    cr_assert(eq(str, second.folder, expected));
    struct node_id id = first.id;
    node_state_release(&first);
    cr_assert(eq(int, node_state_open_profile(&third, NULL, &path), NODE_STATE_OPEN));
    cr_assert(node_id_equal(&third.id, &id));

    cr_assert(eq(int, node_state_open_profile(&named, "node-2", &path), NODE_STATE_LOCKED));
    cr_assert(eq(str, path, expected));
    free(expected);
    free(path);
    node_state_release(&second);
    node_state_release(&third);
}

Test(node_state, xdg_state_home_must_be_absolute_or_home_counts)
{
    setenv("XDG_STATE_HOME", "relative", 1);
    setenv("HOME", root, 1);
    struct node_state state;
    char *path = NULL;
    cr_assert(eq(int, node_state_open_profile(&state, "x", &path), NODE_STATE_OPEN));
    char *expected = below(".local/state/zswarm/x");
    cr_assert(eq(str, state.folder, expected));
    free(expected);
    node_state_release(&state);
}

Test(node_state, a_damaged_file_keeps_the_id_of_the_one_before)
{
    struct node_state first = open_state("a");
    struct node_id id = first.id;
    cr_assert(node_state_save(&first));
    node_state_release(&first);
    static const char *const damages[] = {"", "garbage", "id = 123\n", "id = zz\nport = 9000\n"};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        write_text("a/state", damages[i]);
        struct node_state again = open_state("a");
        cr_assert(node_id_equal(&again.id, &id), "row %zu", i);
        cr_assert(again.was_damaged);
        cr_assert(not(again.is_new_id));
        node_state_release(&again);
    }
}

Test(node_state, lines_that_make_sense_are_used_and_others_are_told)
{
    write_text("x", "");
    struct node_state first = open_state("a");
    node_state_release(&first);
    write_text("a/state",
               "id = 000102030405060708090a0b0c0d0e0f\nport = 70000\nname = n\nhome = relative\nwhat\n");
    struct node_state state = open_state("a");
    cr_assert(eq(u8, state.id.bytes[15], 15));
    cr_assert(eq(u16, state.port, 0));
    cr_assert(eq(str, state.name, "n"));
    cr_assert(state.home == NULL);
    cr_assert(state.was_damaged);
    cr_assert(not(state.is_new_id));
    node_state_release(&state);
    state = open_state("a");
    cr_assert(not(state.was_damaged)); /* written anew */
    node_state_release(&state);
}

Test(node_state, when_both_copies_are_lost_there_is_a_new_id_and_it_is_told)
{
    struct node_state first = open_state("a");
    struct node_id id = first.id;
    cr_assert(node_state_save(&first));
    node_state_release(&first);
    write_text("a/state", "garbage");
    write_text("a/state.old", "garbage");
    struct node_state again = open_state("a");
    cr_assert(not(node_id_equal(&again.id, &id)));
    cr_assert(again.was_damaged);
    cr_assert(again.is_new_id);
    node_state_release(&again);
}

Test(node_state, a_file_that_was_half_written_counts_for_nothing)
{
    struct node_state first = open_state("a");
    struct node_id id = first.id;
    node_state_release(&first);
    write_text("a/state.new", "id = 0001");
    struct node_state again = open_state("a");
    cr_assert(node_id_equal(&again.id, &id));
    cr_assert(not(again.was_damaged));
    node_state_release(&again);
}

Test(node_state, a_text_with_a_line_break_is_not_kept)
{
    struct node_state first = open_state("a");
    node_state_set(&first.home, "/a\nid = 000102030405060708090a0b0c0d0e0f");
    cr_assert(node_state_save(&first));
    struct node_id id = first.id;
    node_state_release(&first);
    struct node_state again = open_state("a");
    cr_assert(node_id_equal(&again.id, &id));
    cr_assert(again.home == NULL);
    node_state_release(&again);
}

Test(node_state, a_folder_that_cannot_be_made_is_named)
{
    write_text("file", "");
    char *folder = below("file/state"), *path = NULL;
    struct node_state state;
    cr_assert(eq(int, node_state_open(&state, folder, &path), NODE_STATE_FAILED));
    cr_assert(eq(str, path, folder));
    free(folder);
    free(path);
}
