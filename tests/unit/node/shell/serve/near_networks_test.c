/* SPDX-License-Identifier: MIT */
/* What could go wrong: a stranger far away is taken for a neighbour and escapes the rates, or IPv4 and IPv6
 * are mixed up. */
#include "node/shell/serve/near_networks.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static struct host host_of(const char *text)
{
    struct host host;
    cr_assert(host_parse(text_of(text), &host));
    return host;
}

static bool has(const struct near_networks *networks, const char *text)
{
    struct host host = host_of(text);
    return near_networks_has(networks, &host);
}

Test(near_networks, who_shares_the_masked_part_is_near_and_nobody_else)
{
    struct near_networks networks = {.count = 2};
    networks.entries[0].host = host_of("192.168.7.1");
    networks.entries[0].mask = host_of("255.255.254.0");
    for (size_t i = 0; i < 12; i++)
        networks.entries[0].mask.bytes[i] = 0xff;
    networks.entries[1].host = host_of("2001:db8:1::1");
    networks.entries[1].mask = host_of("ffff:ffff:ffff::");
    cr_assert(has(&networks, "192.168.7.200"));
    cr_assert(has(&networks, "192.168.6.200"));
    cr_assert(not(has(&networks, "192.168.8.1")));
    cr_assert(has(&networks, "2001:db8:1::99"));
    cr_assert(not(has(&networks, "2001:db8:2::1")));
    cr_assert(not(has(&networks, "::c0a8:701"))); /* the digits of an IPv4 address, but not one */
}

static size_t count_with(const char *host, const char *mask)
{
    struct near_networks networks = {.count = 0};
    struct host of_host = host_of(host), of_mask = host_of(mask);
    if (strchr(mask, '.'))
        memset(of_mask.bytes, 0xff, 12);
    near_networks_add(&networks, &of_host, &of_mask);
    return networks.count;
}

Test(near_networks, mask_of_half_the_world_makes_no_network)
{
    cr_expect(eq(sz, count_with("10.0.0.1", "0.0.0.0"), 0));
    cr_expect(eq(sz, count_with("10.0.0.1", "128.0.0.0"), 0));
    cr_expect(eq(sz, count_with("10.0.0.1", "254.0.0.0"), 0));
    cr_expect(eq(sz, count_with("10.0.0.1", "255.0.0.0"), 1));
    cr_expect(eq(sz, count_with("10.0.0.1", "255.255.255.255"), 1));
    cr_expect(eq(sz, count_with("2001:db8::1", "::"), 0));
    cr_expect(eq(sz, count_with("2001:db8::1", "fffe::"), 0));
    cr_expect(eq(sz, count_with("2001:db8::1", "ffff::"), 1));
}

Test(near_networks, no_more_than_there_is_room_for)
{
    struct near_networks networks = {.count = NEAR_NETWORKS_MAX};
    struct host host = host_of("2001:db8::1"), mask = host_of("ffff::");
    near_networks_add(&networks, &host, &mask);
    cr_expect(eq(sz, networks.count, NEAR_NETWORKS_MAX));
}

Test(near_networks, without_any_nobody_is_near)
{
    struct near_networks networks = {.count = 0};
    cr_assert(not(has(&networks, "127.0.0.1")));
}

Test(near_networks, this_machine_is_near_itself)
{
    struct near_networks networks;
    near_networks_read(&networks);
    cr_assert(le(sz, networks.count, NEAR_NETWORKS_MAX));
    if (networks.count > 0) /* no loopback in an empty network namespace */
        cr_assert(near_networks_has(&networks, &networks.entries[0].host));
}
