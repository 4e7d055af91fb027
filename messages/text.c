/* SPDX-License-Identifier: MIT */
#include "messages/text.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct text text_of(const char *string)
{
    return (struct text){string, strlen(string)};
}

bool text_equal(struct text a, struct text b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

int text_compare(struct text a, struct text b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.bytes, b.bytes, common);
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

bool text_has_prefix(struct text whole, struct text prefix)
{
    if (prefix.size > whole.size)
        return false;
    return prefix.size == 0 || memcmp(whole.bytes, prefix.bytes, prefix.size) == 0;
}

char *text_copy(struct text t)
{
    char *copy = malloc(t.size + 1);
    assert(copy);
    if (t.size > 0)
        memcpy(copy, t.bytes, t.size);
    copy[t.size] = '\0';
    return copy;
}

/* The size in bytes of the code point at `offset`, or 0 when there is no valid one. */
static size_t code_point_at(struct text t, size_t offset, utf8proc_int32_t *ret_code_point)
{
    utf8proc_int32_t code_point = -1;
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)t.bytes + offset;
    utf8proc_ssize_t size = utf8proc_iterate(at, (utf8proc_ssize_t)(t.size - offset), &code_point);
    if (size <= 0 || code_point < 0)
        return 0;
    *ret_code_point = code_point;
    return (size_t)size;
}

static bool is_control(utf8proc_int32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

bool text_is_clean(struct text t)
{
    for (size_t i = 0; i < t.size;) {
        utf8proc_int32_t c;
        size_t size = code_point_at(t, i, &c);
        if (size == 0 || is_control(c))
            return false;
        i += size;
    }
    return true;
}

/* What would change how the text around it is shown, or act on a terminal. */
static bool is_unsafe(utf8proc_int32_t c)
{
    if (c >= 0x20 && c < 0x7f)
        return false;
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

char *text_escape(struct text t)
{
    /* The longest form of one byte is `\xNN`, of a code point of two bytes or more `\u{10FFFF}`. */
    size_t room = t.size * 5 + 1;
    char *escaped = malloc(room);
    assert(escaped);
    size_t used = 0;

    for (size_t i = 0; i < t.size;) {
        utf8proc_int32_t c = 0;
        size_t size = code_point_at(t, i, &c);
        if (size > 0 && !is_unsafe(c)) {
            memcpy(escaped + used, t.bytes + i, size);
            used += size;
        } else if (size > 1) {
            used += (size_t)snprintf(escaped + used, room - used, "\\u{%x}", (unsigned)c);
        } else {
            used += (size_t)snprintf(escaped + used, room - used, "\\x%02x", (unsigned)(uint8_t)t.bytes[i]);
        }
        assert(used < room);
        i += size > 0 ? size : 1;
    }
    escaped[used] = '\0';
    return escaped;
}
