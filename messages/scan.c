/* SPDX-License-Identifier: MIT */
#include "messages/scan.h"

enum token_type {
    TOKEN_BAD,
    TOKEN_UINT,
    TOKEN_OTHER,
    TOKEN_BYTES,
    TOKEN_ARRAY
};

/* One msgpack head: `value` is a number, the size of what follows, or a count of elements. */
struct token {
    enum token_type type;
    uint64_t value;
};

struct cursor {
    const uint8_t *bytes;
    size_t size;
    size_t offset;
};

static bool take_uint(struct cursor *c, size_t width, uint64_t *ret_value)
{
    if (width > c->size - c->offset)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | c->bytes[c->offset + i];
    c->offset += width;
    *ret_value = value;
    return true;
}

/* Signed types carry unsigned values too, in any width. */
static struct token signed_token(uint64_t value, size_t width)
{
    bool is_negative = value >> (8 * width - 1) & 1;
    return (struct token){is_negative ? TOKEN_OTHER : TOKEN_UINT, value};
}

/* Heads with a length or a number behind them; maps, floats and ext types end in the default. */
static struct token take_long_token(struct cursor *c, uint8_t head)
{
    static const struct token BAD = {TOKEN_BAD, 0};
    uint64_t value;
    switch (head) {
    case 0xc0: /* nil */
    case 0xc2: /* false */
    case 0xc3: /* true */
        return (struct token){TOKEN_OTHER, 0};
    case 0xc4: /* bin 8, 16, 32 */
    case 0xc5:
    case 0xc6:
        return take_uint(c, (size_t)1 << (head - 0xc4), &value) ? (struct token){TOKEN_BYTES, value} : BAD;
    case 0xcc: /* uint 8, 16, 32, 64 */
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_uint(c, (size_t)1 << (head - 0xcc), &value) ? (struct token){TOKEN_UINT, value} : BAD;
    case 0xd0: /* int 8, 16, 32, 64 */
    case 0xd1:
    case 0xd2:
    case 0xd3:
        if (!take_uint(c, (size_t)1 << (head - 0xd0), &value))
            return BAD;
        return signed_token(value, (size_t)1 << (head - 0xd0));
    case 0xd9: /* str 8, 16, 32 */
    case 0xda:
    case 0xdb:
        return take_uint(c, (size_t)1 << (head - 0xd9), &value) ? (struct token){TOKEN_BYTES, value} : BAD;
    case 0xdc: /* array 16, 32 */
    case 0xdd:
        return take_uint(c, (size_t)2 << (head - 0xdc), &value) ? (struct token){TOKEN_ARRAY, value} : BAD;
    default:
        return BAD;
    }
}

static struct token take_token(struct cursor *c)
{
    if (c->offset == c->size)
        return (struct token){TOKEN_BAD, 0};
    uint8_t head = c->bytes[c->offset++];
    if (head <= 0x7f)
        return (struct token){TOKEN_UINT, head};
    if (head >= 0xe0)
        return (struct token){TOKEN_OTHER, 0};
    if (head >= 0x90 && head <= 0x9f)
        return (struct token){TOKEN_ARRAY, head & 15};
    if (head >= 0xa0 && head <= 0xbf)
        return (struct token){TOKEN_BYTES, head & 31};
    return take_long_token(c, head);
}

/* Keeps kind and rid, the header's second and third element, when they are unsigned numbers. */
static void note_element(struct scan_result *result, uint64_t index, struct token token)
{
    if (token.type != TOKEN_UINT)
        return;
    if (index == 1) {
        result->has_kind = true;
        result->kind = token.value;
    } else if (index == 2) {
        result->rid = token.value;
    }
}

struct scan_result scan_header(const uint8_t *bytes, size_t size)
{
    struct scan_result result = {0};
    struct cursor cursor = {bytes, size, 0};
    uint64_t left[SCAN_DEPTH_MAX + 1] = {1}; /* elements still to come, by depth; 0 is the frame */
    size_t depth = 0;
    uint32_t node_count = 0;
    uint64_t header_index = 0;

    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                result.valid = cursor.offset == size;
                return result;
            }
            depth--;
        }
        left[depth]--;
        struct token token = take_token(&cursor);
        if (token.type == TOKEN_BAD || ++node_count > SCAN_NODES_MAX)
            return result;
        if (depth == 0 && token.type != TOKEN_ARRAY)
            return result;
        if (depth == 1)
            note_element(&result, header_index++, token);

        uint64_t remaining = size - cursor.offset;
        if (token.type == TOKEN_BYTES) {
            if (token.value > remaining)
                return result;
            cursor.offset += (size_t)token.value;
        } else if (token.type == TOKEN_ARRAY) {
            /* Each element takes at least one byte. */
            if (token.value > remaining || depth == SCAN_DEPTH_MAX)
                return result;
            left[++depth] = token.value;
        }
    }
}
