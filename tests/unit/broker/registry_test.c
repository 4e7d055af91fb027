/* SPDX-License-Identifier: MIT */
/* What could go wrong: a slot used twice, an order that changes under a listing, a list that keeps the dead.
 */
#include "broker/registry.h"
#include "tests/unit/broker/swarm.h"

static struct node *add(struct registry *registry, uint32_t n)
{
    struct broker_peer peer = peer_of(n);
    struct message join = join_of(n);
    struct node *node = node_new(&peer, &join.join, 1000);
    registry_add(registry, &node);
    cr_assert(eq(ptr, node, NULL));
    return registry_by_route(registry, n);
}

static void drop(struct registry *registry, struct node *node)
{
    node = registry_remove(registry, node);
    node_destroy(&node);
}

Test(registry, nodes_are_found_by_route_and_id_until_they_leave)
{
    struct registry *registry = registry_new();
    struct node *node = add(registry, 5);
    struct node_id id = node->id;
    cr_assert(eq(ptr, registry_by_id(registry, &id), node));
    drop(registry, node);
    cr_assert(eq(ptr, registry_by_id(registry, &id), NULL));
    cr_assert(eq(ptr, registry_by_route(registry, 5), NULL));
    cr_assert(eq(ptr, registry_on_connection(registry, 5), NULL));
    cr_assert(eq(ptr, registry_oldest(registry), NULL));
    registry_destroy(&registry);
    registry_destroy(&registry);
}

Test(registry, slots_stay_dense_while_nodes_come_and_go)
{
    struct registry *registry = registry_new();
    bool used[300] = {false};
    for (uint32_t n = 1; n <= 300; n++)
        add(registry, n);
    for (uint32_t n = 1; n <= 300; n += 2)
        drop(registry, registry_by_route(registry, n));
    for (uint32_t n = 301; n <= 450; n++)
        add(registry, n);
    cr_assert(eq(u32, registry_slots_end(registry), 300));
    cr_assert(eq(sz, registry_count(registry), 300));
    for (size_t i = 0; i < 300; i++) {
        uint32_t slot = registry_at(registry, i)->slot;
        cr_assert(lt(u32, slot, 300));
        cr_assert(not(used[slot]));
        used[slot] = true;
    }
    registry_destroy(&registry);
}

Test(registry, the_order_is_that_of_joining_and_holes_close)
{
    struct registry *registry = registry_new();
    for (uint32_t n = 1; n <= 10; n++)
        add(registry, n);
    uint64_t fifth = registry_by_route(registry, 5)->sequence;
    drop(registry, registry_by_route(registry, 5));
    drop(registry, registry_by_route(registry, 6));
    cr_assert(eq(u32, registry_at(registry, registry_after(registry, fifth))->route, 7));
    cr_assert(eq(sz, registry_after(registry, 0), 0));
    cr_assert(eq(sz, registry_after(registry, UINT64_MAX), 8));
    registry_destroy(&registry);
}

Test(registry, an_fd_number_names_all_that_were_last_seen_on_it)
{
    struct registry *registry = registry_new();
    struct node *a = add(registry, 1), *b = add(registry, 2);
    registry_touch(registry, b, 1, 2000);
    cr_assert(eq(ptr, registry_on_connection(registry, 1), a));
    cr_assert(eq(ptr, a->connection_next, b));
    cr_assert(eq(ptr, registry_on_connection(registry, 2), NULL));
    registry_touch(registry, a, -1, 2000);
    registry_touch(registry, b, REGISTRY_CONNECTIONS_MAX, 2000); /* as good as unknown */
    cr_assert(eq(ptr, registry_on_connection(registry, 1), NULL));
    cr_assert(eq(ptr, registry_on_connection(registry, REGISTRY_CONNECTIONS_MAX), NULL));
    registry_destroy(&registry);
}

Test(registry, a_node_keeps_its_own_copy_of_labels_and_filter)
{
    struct registry *registry = registry_new();
    char name[] = "name";
    uint8_t bits[128] = {1, 2, 3};
    struct text tags[] = {text_of("eu"), text_of(""), text_of("fast")};
    struct message join = join_of(1);
    join.join.node_name = text_of(name);
    join.join.tags = (struct text_list){tags, 3};
    join.join.presence = (struct presence_view){true, 10, bits};
    struct broker_peer peer = peer_of(1);
    struct node *node = node_new(&peer, &join.join, 1);
    memset(name, 'x', 4);
    memset(bits, 0, sizeof bits);
    cr_expect(text_equal(node_name(node), text_of("name")));
    cr_expect(eq(u8, node->presence.bits[2], 3));
    cr_expect(eq(int, memcmp(node->labels + node->name_size, "eufast", 6), 0));
    struct presence_view nil = {.is_present = false};
    node_set_presence(node, &nil);
    cr_expect(not(node->presence.is_present));
    node_destroy(&node);
    node_destroy(&node);
    registry_destroy(&registry);
}
