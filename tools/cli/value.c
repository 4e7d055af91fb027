/* SPDX-License-Identifier: MIT */
#include "tools/cli/value.h"

#include "messages/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits up to the first other character. NULL when there are none or the number exceeds max. */
static const char *digits_read(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *p = text;
    for (; is_digit(*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (number > max / 10 || number * 10 > max - digit)
            return NULL;
        number = number * 10 + digit;
    }
    if (p == text)
        return NULL;
    *ret_number = number;
    return p;
}

/* `12`, `12.5` as whole part and billionths; further digits must be digits and are dropped. */
static const char *decimal_read(const char *text, uint64_t max, uint64_t *ret_whole, uint64_t *ret_billionths)
{
    uint64_t whole, billionths = 0;
    const char *p = digits_read(text, max, &whole);
    if (!p)
        return NULL;
    if (*p == '.') {
        if (!is_digit(*++p))
            return NULL;
        for (uint64_t unit = 100000000; is_digit(*p); p++, unit /= 10)
            billionths += unit * (uint64_t)(*p - '0');
    }
    *ret_whole = whole;
    *ret_billionths = billionths;
    return p;
}

bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret_number)
{
    uint64_t number;
    const char *end = digits_read(text, max, &number);
    if (!end || *end != '\0' || number < min)
        return false;
    *ret_number = number;
    return true;
}

bool port_parse(const char *text, uint16_t *ret_port)
{
    uint64_t number;
    if (!number_parse(text, 1, UINT16_MAX, &number))
        return false;
    *ret_port = (uint16_t)number;
    return true;
}

bool port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
    uint64_t first, last;
    const char *dash = digits_read(text, UINT16_MAX, &first);
    if (!dash || *dash != '-' || first == 0 || !number_parse(dash + 1, first, UINT16_MAX, &last))
        return false;
    *ret_first = (uint16_t)first;
    *ret_last = (uint16_t)last;
    return true;
}

bool span_parse(const char *text, uint64_t max, uint64_t *ret_first, uint64_t *ret_last)
{
    uint64_t first, last = max;
    const char *dash = digits_read(text, max, &first);
    if (!dash || *dash != '-' || (dash[1] != '\0' && !number_parse(dash + 1, first, max, &last)))
        return false;
    *ret_first = first;
    *ret_last = last;
    return true;
}

bool seconds_parse(const char *text, uint64_t *ret_ms)
{
    uint64_t seconds, billionths;
    const char *end = decimal_read(text, SECONDS_MAX, &seconds, &billionths);
    if (!end || *end != '\0' || (seconds == 0 && billionths == 0))
        return false;
    *ret_ms = seconds * 1000 + (billionths + 999999) / 1000000;
    return true;
}

bool size_parse(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *suffix;
        uint64_t multiplier, divisor;
    } units[] = {
        {"", 1, 1},        {"K", 1 << 10, 1},    {"M", 1 << 20, 1},       {"G", 1 << 30, 1},
        {"kbit", 1000, 8}, {"Mbit", 1000000, 8}, {"Gbit", 1000000000, 8},
    };
    uint64_t whole, billionths;
    const char *end = decimal_read(text, SIZE_VALUE_MAX, &whole, &billionths);
    if (!end)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(end, units[i].suffix) != 0)
            continue;
        if (whole > SIZE_VALUE_MAX / units[i].multiplier)
            return false;
        uint64_t amount = whole * units[i].multiplier + billionths * units[i].multiplier / 1000000000;
        if (amount > SIZE_VALUE_MAX)
            return false;
        *ret_bytes = amount / units[i].divisor;
        return true;
    }
    return false;
}

bool is_id_text(const char *text)
{
    size_t size = strlen(text);
    return size >= 8 && size <= 64 && strspn(text, "0123456789abcdefABCDEF") == size;
}

static bool has_control_character(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
            return true;
    }
    return false;
}

const char *text_problem(const char *text, size_t size_max)
{
    static char too_long[48];
    if (strlen(text) > size_max) {
        snprintf(too_long, sizeof too_long, "is longer than %zu bytes", size_max);
        return too_long;
    }
    if (text_is_clean(text_of(text)))
        return NULL;
    return has_control_character(text) ? "holds control characters" : "is not UTF-8";
}

const char *plural(uint64_t count, const char *one, const char *many)
{
    return count == 1 ? one : many;
}

void size_format(uint64_t bytes, char ret_text[SIZE_TEXT_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    uint64_t whole = bytes, rest = 0;
    while (whole >= 1024) {
        rest = whole % 1024;
        whole /= 1024;
        unit++;
    }
    if (unit == 0 || whole >= 100)
        snprintf(ret_text, SIZE_TEXT_SIZE, "%u %s", (unsigned)whole, units[unit]);
    else
        snprintf(ret_text, SIZE_TEXT_SIZE, "%u.%u %s", (unsigned)whole, (unsigned)(rest * 10 / 1024),
                 units[unit]);
}

void rate_format(uint64_t bytes_per_s, char ret_text[SIZE_TEXT_SIZE])
{
    size_format(bytes_per_s, ret_text);
    size_t size = strlen(ret_text);
    snprintf(ret_text + size, SIZE_TEXT_SIZE - size, "/s");
}
