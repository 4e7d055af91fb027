/* SPDX-License-Identifier: MIT */
/*
 * What could go wrong: a value that is half a number taken for a number, a unit off by 1024/1000 or by 8, an
 * overflow that turns a huge limit into a tiny one, a size shown larger than it is.
 */
#include "tools/cli/value.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(value, number_is_digits_within_its_range_and_nothing_else)
{
    static const struct {
        const char *text;
        uint64_t min, max;
        bool is_good;
        uint64_t number;
    } rows[] = {
        {"0", 0, 10, true, 0},
        {"10", 0, 10, true, 10},
        {"11", 0, 10, false, 0},
        {"4", 5, 10, false, 0},
        {"007", 0, 10, true, 7},
        {"", 0, 10, false, 0},
        {"-1", 0, UINT64_MAX, false, 0},
        {"+1", 0, 10, false, 0},
        {" 1", 0, 10, false, 0},
        {"1 ", 0, 10, false, 0},
        {"1x", 0, 10, false, 0},
        {"0x1", 0, 10, false, 0},
        {"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", 0, UINT64_MAX, false, 0},
        {"99999999999999999999999", 0, UINT64_MAX, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t number = 77;
        bool is_good = number_parse(rows[i].text, rows[i].min, rows[i].max, &number);
        cr_expect(eq(int, is_good, rows[i].is_good), "row %zu (%s)", i, rows[i].text);
        cr_expect(eq(u64, number, rows[i].is_good ? rows[i].number : 77), "row %zu (%s)", i, rows[i].text);
    }
}

Test(value, port_is_1_to_65535)
{
    uint16_t port = 7;
    cr_expect(port_parse("1", &port) && port == 1);
    cr_expect(port_parse("65535", &port) && port == 65535);
    cr_expect(not(port_parse("0", &port)));
    cr_expect(not(port_parse("65536", &port)));
    cr_expect(eq(u16, port, 65535));
}

Test(value, a_span_has_both_ends_or_goes_to_the_end)
{
    uint64_t first, last;
    cr_expect(span_parse("0-99", 1000, &first, &last) && first == 0 && last == 99);
    cr_expect(span_parse("7-7", 1000, &first, &last) && first == 7 && last == 7);
    cr_expect(span_parse("7-", 1000, &first, &last) && first == 7 && last == 1000);
    cr_expect(span_parse("4294967296-4294967297", UINT64_MAX, &first, &last) && first == UINT64_C(1) << 32);
    static const char *const bad[] = {"",     "-",   "-5",     "5",     "8-7", "7-8 ",
                                      "7--8", "a-b", "0-1001", "1001-", "+1-2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(not(span_parse(bad[i], 1000, &first, &last)), "row %zu (%s)", i, bad[i]);
}

Test(value, port_range_runs_upwards)
{
    uint16_t first = 7, last = 7;
    cr_expect(port_range_parse("9000-9999", &first, &last) && first == 9000 && last == 9999);
    cr_expect(port_range_parse("5-5", &first, &last) && first == 5 && last == 5);
    static const char *const bad[] = {"9-8", "0-5", "5", "5-", "-5", "5-65536", "5-6-7", "5 -6", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(not(port_range_parse(bad[i], &first, &last)), "row %zu (%s)", i, bad[i]);
    cr_expect(eq(u16, first, 5));
}

Test(value, seconds_may_be_fractions_and_are_never_zero)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } rows[] = {
        {"2", 2000},       {"0.25", 250},
        {"0.0001", 1},     {"1.0009", 1001},
        {"0", 0},          {"0.0", 0},
        {".5", 0},         {"1.", 0},
        {"1s", 0},         {"-1", 0},
        {"nan", 0},        {"1e3", 0},
        {"", 0},           {"4294967295", 4294967295000},
        {"4294967296", 0}, {"0.12345678901234567890", 124},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t ms = 0;
        cr_expect(eq(int, seconds_parse(rows[i].text, &ms), rows[i].ms != 0), "row %zu (%s)", i,
                  rows[i].text);
        cr_expect(eq(u64, ms, rows[i].ms), "row %zu (%s)", i, rows[i].text);
    }
}

Test(value, size_units_are_1024s_of_bytes_and_1000s_of_bits)
{
    static const struct {
        const char *text;
        bool is_good;
        uint64_t bytes;
    } rows[] = {
        {"700", true, 700},
        {"64K", true, 65536},
        {"64k", true, 65536},
        {"1.5M", true, 1572864},
        {"2G", true, 2147483648},
        {"8kbit", true, 1000},
        {"100Mbit", true, 12500000},
        {"100mbit", true, 12500000},
        {"1Gbit", true, 125000000},
        {"0.5Gbit", true, 62500000},
        {"0", true, 0},
        {"1.9", true, 1},
        {"1T", false, 0},
        {"1KB", false, 0},
        {"1bit", false, 0},
        {"K", false, 0},
        {"1 K", false, 0},
        {"-1K", false, 0},
        {"", false, 0},
        {"1152921504606846976", true, SIZE_VALUE_MAX},
        {"1152921504606846977", false, 0},
        {"1073741824G", true, SIZE_VALUE_MAX},
        {"1073741824.1G", false, 0},
        {"1073741825G", false, 0},
        {"18446744073709551616", false, 0},
        {"17179869184G", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bytes = 77;
        cr_expect(eq(int, size_parse(rows[i].text, &bytes), rows[i].is_good), "row %zu (%s)", i,
                  rows[i].text);
        cr_expect(eq(u64, bytes, rows[i].is_good ? rows[i].bytes : 77), "row %zu (%s)", i, rows[i].text);
    }
}

Test(value, size_is_shown_rounded_down_in_at_most_8_characters)
{
    static const struct {
        uint64_t bytes;
        char *text;
    } rows[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1535, "1.4 KiB"},
        {102399, "99.9 KiB"},
        {102400, "100 KiB"},
        {1048575, "1023 KiB"},
        {1048576, "1.0 MiB"},
        {UINT64_C(6) << 30, "6.0 GiB"},
        {UINT64_MAX, "15.9 EiB"},
    };
    char text[SIZE_TEXT_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_format(rows[i].bytes, text);
        cr_expect(eq(str, text, rows[i].text), "row %zu", i);
    }
    rate_format(UINT64_MAX, text);
    cr_expect(eq(str, text, "15.9 EiB/s"));
}
