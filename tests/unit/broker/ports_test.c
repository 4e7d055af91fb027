/* SPDX-License-Identifier: MIT */
/* What could go wrong: one port given to two nodes of an address, or never given again. */
#include "broker/ports.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static const struct host here = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}};
static const struct host there = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2}};

Test(ports, a_reservation_ends_at_its_last_millisecond)
{
    struct ports *ports = ports_new(7000, 7001);
    uint16_t port = 0;
    cr_assert(eq(int, ports_assign(ports, &here, 100, &port), PORTS_ASSIGNED));
    cr_assert(eq(u16, port, 7000));
    port = 1;
    cr_assert(eq(int, ports_assign(ports, &here, 99 + PORTS_RESERVED_MS, &port), PORTS_BUSY));
    cr_assert(eq(u16, port, 1));
    cr_assert(eq(u32, ports_retry_ms(ports, 99 + PORTS_RESERVED_MS), 1));
    cr_assert(eq(int, ports_assign(ports, &here, 100 + PORTS_RESERVED_MS, &port), PORTS_ASSIGNED));
    ports_destroy(&ports);
}

Test(ports, a_held_port_is_not_assigned_at_its_address_only)
{
    struct ports *ports = ports_new(7000, 7001);
    uint16_t port = 0;
    ports_hold(ports, &here, 7000);
    ports_hold(ports, &here, 9999); /* outside the range: no matter */
    cr_assert(eq(int, ports_assign(ports, &here, 0, &port), PORTS_BUSY));
    cr_assert(eq(u32, ports_retry_ms(ports, 0), PORTS_RESERVED_MS));
    cr_assert(eq(int, ports_assign(ports, &there, 0, &port), PORTS_ASSIGNED));
    ports_let_go(ports, &here, 9999);
    ports_let_go(ports, &here, 7000);
    cr_assert(eq(int, ports_assign(ports, &here, 0, &port), PORTS_ASSIGNED));
    ports_destroy(&ports);
}

Test(ports, a_port_that_two_nodes_hold_is_free_when_both_left)
{
    struct ports *ports = ports_new(7000, 7001);
    uint16_t port = 0;
    ports_hold(ports, &here, 7000);
    ports_hold(ports, &here, 7000);
    ports_let_go(ports, &here, 7000);
    cr_assert(eq(int, ports_assign(ports, &here, 0, &port), PORTS_BUSY));
    ports_let_go(ports, &here, 7000);
    cr_assert(eq(int, ports_assign(ports, &here, 0, &port), PORTS_ASSIGNED));
    ports_destroy(&ports);
}

Test(ports, an_empty_range_assigns_nothing)
{
    struct ports *ports = ports_new(0, 0);
    uint16_t port = 0;
    cr_assert(eq(int, ports_assign(ports, &here, 0, &port), PORTS_DENIED));
    ports_destroy(&ports);
    ports_destroy(&ports);
}

Test(ports, reservations_are_limited)
{
    struct ports *ports = ports_new(1000, 65000);
    uint16_t port = 0;
    for (uint32_t i = 0; i < PORTS_RESERVED_MAX; i++)
        cr_assert(eq(int, ports_assign(ports, i < 40000 ? &here : &there, 5, &port), PORTS_ASSIGNED));
    cr_expect(eq(int, ports_assign(ports, &here, 5, &port), PORTS_BUSY));
    cr_expect(eq(int, ports_assign(ports, &here, 5 + PORTS_RESERVED_MS, &port), PORTS_ASSIGNED));
    ports_destroy(&ports);
}
