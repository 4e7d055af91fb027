/* SPDX-License-Identifier: MIT */
#include "messages/name.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool component_is_valid(struct text component)
{
    return component.size > 0 && !text_equal(component, text_of(".")) &&
           !text_equal(component, text_of(".."));
}

bool name_is_valid(struct text name)
{
    if (name.size == 0 || name.size > NAME_SIZE_MAX || !text_is_clean(name))
        return false;
    size_t begin = 0;
    for (size_t i = 0; i <= name.size; i++) {
        if (i < name.size && name.bytes[i] != '/')
            continue;
        if (!component_is_valid((struct text){name.bytes + begin, i - begin}))
            return false;
        begin = i + 1;
    }
    return true;
}

struct text name_base(struct text name)
{
    size_t begin = name.size;
    while (begin > 0 && name.bytes[begin - 1] != '/')
        begin--;
    return (struct text){name.bytes + begin, name.size - begin};
}

char *name_clean(const char *path)
{
    static const char REPLACEMENT[] = "\xef\xbf\xbd"; /* U+FFFD */
    char clean[NAME_SIZE_MAX];
    size_t used = 0;
    size_t path_size = strlen(path);

    for (size_t i = 0; i < path_size;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t size =
            utf8proc_iterate((const utf8proc_uint8_t *)path + i, (utf8proc_ssize_t)(path_size - i), &c);
        size_t in_size = size > 0 ? (size_t)size : 1;
        struct text out = {path + i, in_size};
        if (size <= 0 || !text_is_clean(out))
            out = (struct text){REPLACEMENT, sizeof REPLACEMENT - 1};
        if (out.size > sizeof clean - used)
            return NULL;
        memcpy(clean + used, out.bytes, out.size);
        used += out.size;
        i += in_size;
    }
    return text_copy((struct text){clean, used});
}

/* Bytes of a name before its extension. */
static size_t stem_size_of(const char *name)
{
    struct text base = name_base(text_of(name));
    const char *dot = memrchr(base.bytes, '.', base.size);
    /* A dot in front hides the file, it begins no extension. */
    return dot && dot != base.bytes ? (size_t)(dot - name) : strlen(name);
}

char *name_numbered(const char *name, unsigned number)
{
    size_t stem_size = stem_size_of(name);
    char *numbered = NULL;
    int size = asprintf(&numbered, "%.*s (%u)%s", (int)stem_size, name, number, name + stem_size);
    assert(size > 0);
    return numbered;
}

/* The largest part of a text that is no longer than `size_max` and ends between two characters. */
static size_t whole_characters(const char *utf8, size_t size_max)
{
    while (size_max > 0 && ((unsigned char)utf8[size_max] & 0xc0) == 0x80)
        size_max--;
    return size_max;
}

char *name_numbered_entry(const char *name, size_t above_size, unsigned number)
{
    char tail[NAME_SIZE_MAX + sizeof " (4294967295)"];
    struct text base = name_base(text_of(name));
    size_t begin = (size_t)(base.bytes - name), end = stem_size_of(name), used = above_size + begin;
    size_t room = used < NAME_SIZE_MAX ? NAME_SIZE_MAX - used : 0;
    room = room < NAME_ENTRY_SIZE_MAX ? room : NAME_ENTRY_SIZE_MAX;
    size_t tail_size = (size_t)snprintf(tail, sizeof tail, " (%u)%s", number, name + end);
    if (tail_size >= room) { /* what leaves nothing before it is no extension */
        tail_size = (size_t)snprintf(tail, sizeof tail, " (%u)", number);
        end = strlen(name);
    }
    if (tail_size >= room)
        return NULL;
    if (end - begin > room - tail_size)
        end = begin + whole_characters(base.bytes, room - tail_size);
    if (end == begin)
        return NULL;
    char *numbered = NULL;
    int size = asprintf(&numbered, "%.*s%s", (int)end, name, tail);
    assert(size > 0);
    return numbered;
}
