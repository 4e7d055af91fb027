/* SPDX-License-Identifier: MIT */
/* An address from the network becomes an endpoint to connect to: text that means more must not pass. */
#include "messages/host.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

static const struct {
    const char *text, *formatted, *endpoint;
    bool is_loopback, is_unusable;
} GOOD[] = {
    {"192.0.2.7", "192.0.2.7", "tcp://192.0.2.7:9001", false, false},
    {"127.0.0.1", "127.0.0.1", "tcp://127.0.0.1:9001", true, false},
    {"127.8.9.1", "127.8.9.1", "tcp://127.8.9.1:9001", true, false},
    {"::1", "::1", "tcp://[::1]:9001", true, false},
    {"::ffff:192.0.2.7", "192.0.2.7", "tcp://192.0.2.7:9001", false, false},
    {"::FFFF:127.0.0.1", "127.0.0.1", "tcp://127.0.0.1:9001", true, false},
    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", "tcp://[2001:db8::1]:9001", false, false},
    {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1", "tcp://[2001:db8:0:1:1:1:1:1]:9001", false, false},
    {"fe80::1", "fe80::1", "tcp://[fe80::1]:9001", false, false},
    {"0.0.0.0", "0.0.0.0", "tcp://0.0.0.0:9001", false, true},
    {"0.1.2.3", "0.1.2.3", "tcp://0.1.2.3:9001", false, true},
    {"::", "::", "tcp://[::]:9001", false, true},
    {"224.0.0.1", "224.0.0.1", "tcp://224.0.0.1:9001", false, true},
    {"239.255.255.255", "239.255.255.255", "tcp://239.255.255.255:9001", false, true},
    {"240.0.0.1", "240.0.0.1", "tcp://240.0.0.1:9001", false, false},
    {"255.255.255.255", "255.255.255.255", "tcp://255.255.255.255:9001", false, true},
    {"ff02::1", "ff02::1", "tcp://[ff02::1]:9001", false, true},
};

Test(host, numeric_addresses_are_parsed_formatted_and_judged)
{
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        struct host host;
        char text[HOST_TEXT_SIZE], endpoint[ENDPOINT_TEXT_SIZE];
        cr_assert(host_parse(text_of(GOOD[i].text), &host), "%s", GOOD[i].text);
        host_format(&host, text);
        cr_expect(strcmp(text, GOOD[i].formatted) == 0, "%s became %s", GOOD[i].text, text);
        endpoint_format(&host, 9001, endpoint);
        cr_expect(strcmp(endpoint, GOOD[i].endpoint) == 0, "%s became %s", GOOD[i].text, endpoint);
        cr_expect(eq(int, host_is_loopback(&host), GOOD[i].is_loopback), "%s", GOOD[i].text);
        cr_expect(eq(int, host_is_unusable(&host), GOOD[i].is_unusable), "%s", GOOD[i].text);
    }
}

Test(host, everything_else_is_refused_and_writes_nothing)
{
    static const char *const BAD[] = {"",
                                      "localhost",
                                      "example.org",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "1.2.3.256",
                                      "01.2.3.4",
                                      "0x7f.0.0.1",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "1.2.3.4:80",
                                      "[::1]",
                                      "fe80::1%eth0",
                                      "::1%1",
                                      "*",
                                      "eth0",
                                      "1.2.3.4;::1",
                                      "ipc:///x",
                                      "%s%n",
                                      ":::",
                                      "1:2:3:4:5:6:7:8:9",
                                      "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct host host = {{9, 9, 9}}, before = host;
        cr_expect(not(host_parse(text_of(BAD[i]), &host)), "%s", BAD[i]);
        cr_expect(host_equal(&host, &before), "%s", BAD[i]);
    }
    struct host host;
    cr_expect(not(host_parse((struct text){"1.2.3.4\0", 8}, &host)));
    cr_expect(not(host_parse((struct text){NULL, 0}, &host)));
}

Test(host, text_without_a_nul_is_read_to_its_size)
{
    struct host host, expected;
    cr_assert(host_parse((struct text){"192.0.2.77", 9}, &host));
    cr_assert(host_parse(text_of("192.0.2.7"), &expected));
    cr_expect(host_equal(&host, &expected));
}

Test(host, the_longest_endpoint_fits)
{
    struct host host;
    char endpoint[ENDPOINT_TEXT_SIZE];
    memset(&host, 0xab, sizeof host);
    endpoint_format(&host, 65535, endpoint);
    cr_expect(strcmp(endpoint, "tcp://[abab:abab:abab:abab:abab:abab:abab:abab]:65535") == 0);
}

Test(host, an_ipv4_address_is_a_block_of_its_own_and_an_ipv6_one_has_64_bits)
{
    static const struct {
        const char *a, *b;
        bool is_one;
    } rows[] = {
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"127.0.0.1", "128.0.0.1", false},
        {"2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
        {"2001:db8:0:1::1", "2001:db8:0:2::1", false},
        {"::ffff:1.2.3.4", "::1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct host a, b;
        cr_assert(host_parse(text_of(rows[i].a), &a));
        cr_assert(host_parse(text_of(rows[i].b), &b));
        struct host block_a = host_block(&a), block_b = host_block(&b);
        cr_expect(eq(int, host_equal(&block_a, &block_b), rows[i].is_one), "%s and %s", rows[i].a, rows[i].b);
    }
}
