/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: an IPv6 address cut at a colon, a missing port taken for 0, another transport of
 * ZeroMQ let through, a host longer than its buffer.
 */
#include "tools/cli/endpoint.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

Test(endpoint, forms_that_people_type_are_accepted)
{
    static const struct {
        const char *text;
        char *shown;
    } rows[] = {
        {"tcp://10.0.0.1:7000", "tcp://10.0.0.1:7000"},
        {"TCP://10.0.0.1:7000", "tcp://10.0.0.1:7000"},
        {"10.0.0.1:7000", "tcp://10.0.0.1:7000"},
        {"10.0.0.1", "tcp://10.0.0.1:6881"},
        {"broker.example", "tcp://broker.example:6881"},
        {"my_host-1:1", "tcp://my_host-1:1"},
        {"tcp://localhost", "tcp://localhost:6881"},
        {"[::1]:7000", "tcp://[::1]:7000"},
        {"[::1]", "tcp://[::1]:6881"},
        {"tcp://[fe80::1]:65535", "tcp://[fe80::1]:65535"},
        {"::1", "tcp://[::1]:6881"},
        {"2001:db8::7", "tcp://[2001:db8::7]:6881"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint endpoint;
        char shown[ENDPOINT_FORMAT_SIZE] = "";
        cr_expect(endpoint_parse(rows[i].text, BROKER_PORT_DEFAULT, &endpoint), "row %zu (%s)", i,
                  rows[i].text);
        endpoint_show(&endpoint, shown);
        cr_expect(eq(str, shown, rows[i].shown), "row %zu (%s)", i, rows[i].text);
    }
}

Test(endpoint, everything_else_is_refused)
{
    static const char *const rows[] = {
        "",           ":7000",    "tcp://",       "tcp://:1",    "host:",          "host:0",
        "host:65536", "host:x",   "host:1:",      "host:-1",     "ipc://x",        "inproc://x",
        "udp://h:1",  "a b",      "h;10.0.0.1:1", "*:1",         "[::1",           "[::1]x",
        "[::1]:",     "[host]:1", "[]:1",         "[10.0.0.1:1", "::1%eth0",       "tcp://tcp://h:1",
        "a:b:c",      "h/x",      "\x1b[31m",     "h\xc3\xb6st", "[fe80::1%lo]:1",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint endpoint = {"kept", 7};
        cr_expect(not(endpoint_parse(rows[i], BROKER_PORT_DEFAULT, &endpoint)), "row %zu (%s)", i, rows[i]);
        cr_expect(eq(str, endpoint.host, "kept"), "row %zu (%s)", i, rows[i]);
    }
}

Test(endpoint, port_is_mandatory_without_a_default)
{
    struct endpoint endpoint;
    cr_expect(not(endpoint_parse("10.0.0.1", 0, &endpoint)));
    cr_expect(not(endpoint_parse("::1", 0, &endpoint)));
    cr_expect(endpoint_parse("10.0.0.1:9", 0, &endpoint));
}

Test(endpoint, host_fits_its_buffer)
{
    struct endpoint endpoint;
    char text[ENDPOINT_HOST_SIZE + 1];
    memset(text, 'a', sizeof text);
    text[ENDPOINT_HOST_SIZE] = '\0';
    cr_expect(not(endpoint_parse(text, 1, &endpoint)));
    text[ENDPOINT_HOST_SIZE - 1] = '\0';
    cr_expect(endpoint_parse(text, 1, &endpoint));
    cr_expect(eq(sz, strlen(endpoint.host), ENDPOINT_HOST_SIZE - 1));
}

Test(endpoint, numeric_address_needs_no_resolver_and_mapped_ipv6_is_ipv4)
{
    static const struct {
        const char *text;
        char *host;
    } rows[] = {{"10.0.0.1:7", "10.0.0.1"}, {"[::ffff:10.0.0.1]:7", "10.0.0.1"}, {"[::1]:7", "::1"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct endpoint endpoint;
        struct address_list list;
        char host[HOST_TEXT_SIZE];
        cr_assert(endpoint_parse(rows[i].text, 0, &endpoint));
        cr_assert(endpoint_resolve(&endpoint, 0, &list) == NULL);
        cr_expect(eq(sz, list.count, 1));
        cr_expect(eq(u16, list.entries[0].port, 7));
        host_format(&list.entries[0].host, host);
        cr_expect(eq(str, host, rows[i].host));
        struct address chosen = address_choose(&list, 0);
        cr_expect(host_equal(&chosen.host, &list.entries[0].host));
    }
}

Test(endpoint, localhost_resolves_to_loopback)
{
    struct endpoint endpoint = {"localhost", 9};
    struct address_list list;
    const char *problem = endpoint_resolve(&endpoint, 10000, &list);
    cr_assert(problem == NULL, "%s", problem);
    for (size_t i = 0; i < list.count; i++)
        cr_expect(host_is_loopback(&list.entries[i].host));
}
