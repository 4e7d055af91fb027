/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: one node counts as several, or two as one; more nodes than fit are forgotten silently;
 * a hostile name is taken, or a thousand of them fill the screen.
 */
#include "tools/get/gather_private.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct gathered gathered;
static struct selection *selection;
static struct gather gather;

static void setup(void)
{
    gathered = (struct gathered){.catalogue = catalogue_new(1)};
    selection = selection_new(text_of("a/"));
    gather =
        (struct gather){.output = output_new("zget", false), .selection = selection, .result = &gathered};
}

static void teardown(void)
{
    output_finish(&gather.output);
    selection_destroy(&selection);
    gathered_release(&gathered);
}

TestSuite(gather, .init = setup, .fini = teardown, .timeout = 60);

static uint16_t add_node(unsigned number, uint16_t port, uint8_t id)
{
    struct host host = {{[10] = 0xff, [11] = 0xff, [12] = 10, [14] = (uint8_t)(number >> 8)}};
    host.bytes[15] = (uint8_t)number;
    struct optional_node_id node = {id != 0, {{id}}};
    return gather_add_node(&gather, &node, &host, port);
}

static bool add_file(const char *name, uint16_t node)
{
    struct file_entry file = {.id = {{1}}, .size = 1};
    return gather_add_file(&gather, &file, text_of(name), node);
}

Test(gather, a_node_is_one_by_its_id_or_its_address)
{
    cr_expect(eq(u32, add_node(1, 9000, 1), 0));
    cr_expect(eq(u32, add_node(1, 9000, 0), 0));
    cr_expect(eq(u32, add_node(2, 9001, 1), 0));
    cr_expect(eq(u32, add_node(1, 9001, 0), 1));
    cr_expect(eq(u32, add_node(2, 9000, 2), 2));
    cr_expect(eq(sz, gathered.node_count, 3));
}

Test(gather, more_nodes_than_fit_make_it_cut)
{
    for (unsigned i = 0; i < GATHER_NODES_MAX; i++)
        cr_assert(eq(u32, add_node(i, 9000, 0), i));
    cr_expect(not(gathered.is_cut));
    cr_expect(eq(u32, add_node(GATHER_NODES_MAX, 9000, 0), GATHER_NODES_MAX));
    cr_expect(gathered.is_cut);
    cr_expect(eq(u32, add_node(5, 9000, 0), 5), "those that are known still are");
    cr_expect(add_file("a/x", GATHER_NODES_MAX), "a file of a node without a place is passed over");
    cr_expect(eq(sz, catalogue_count(gathered.catalogue), 0));
}

Test(gather, what_cannot_be_used_is_refused_and_counted_and_the_rest_is_taken)
{
    char name[400] = "a/";
    uint16_t node = add_node(1, 9000, 1);
    memset(name + 2, 'x', 300);
    cr_expect(add_file("a/good", node));
    cr_expect(add_file("b/other", node));
    cr_expect(add_file("a/.bashrc", node));
    cr_expect(add_file(name, node));
    cr_expect(eq(sz, gathered.refused_count, 2));
    cr_expect(eq(sz, catalogue_count(gathered.catalogue), 1));
}

Test(gather, of_many_refused_names_a_screenful_is_told)
{
    char text[8192] = "", name[32];
    uint16_t node = add_node(1, 9000, 1);
    FILE *err = tmpfile();
    int kept = dup(STDERR_FILENO);
    cr_assert(err != NULL);
    dup2(fileno(err), STDERR_FILENO);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "a/.%u", i);
        add_file(name, node);
    }
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(err);
    size_t size = fread(text, 1, sizeof text - 1, err), lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    fclose(err);
    cr_expect(eq(sz, gathered.refused_count, 1000));
    cr_expect(eq(sz, lines, 10));
}
