/* SPDX-License-Identifier: MIT */
#include "messages/id.h"

#include "messages/sha256.h"

#include <string.h>

static const char DIGITS[] = "0123456789abcdef";

/* -1 for what is no hex digit. */
static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool node_id_equal(const struct node_id *a, const struct node_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool file_id_equal(const struct file_id *a, const struct file_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

int file_id_compare(const struct file_id *a, const struct file_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

struct file_id file_id_of(uint64_t size, const struct hash *root)
{
    static const char TAG[] = "zswarm-file-1"; /* its NUL is part of the input */
    uint8_t input[sizeof TAG + 8 + sizeof root->bytes];
    struct hash hash;
    struct file_id id;

    memcpy(input, TAG, sizeof TAG);
    for (size_t i = 0; i < 8; i++)
        input[sizeof TAG + i] = (uint8_t)(size >> (8 * i));
    memcpy(input + sizeof TAG + 8, root->bytes, sizeof root->bytes);
    sha256(input, sizeof input, &hash);
    memcpy(id.bytes, hash.bytes, sizeof id.bytes);
    return id;
}

void hex_format(const uint8_t *bytes, size_t count, char *ret_text)
{
    for (size_t i = 0; i < count; i++) {
        ret_text[2 * i] = DIGITS[bytes[i] >> 4];
        ret_text[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
    ret_text[2 * count] = '\0';
}

bool hex_parse(const char *text, size_t size, uint8_t *ret_bytes, size_t count)
{
    if (size / 2 != count || size % 2 != 0)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (digit_value(text[i]) < 0)
            return false;
    }
    for (size_t i = 0; i < count; i++)
        ret_bytes[i] = (uint8_t)(digit_value(text[2 * i]) << 4 | digit_value(text[2 * i + 1]));
    return true;
}

bool file_id_has_prefix(const struct file_id *id, const char *digits, size_t digit_count)
{
    if (digit_count > 2 * sizeof id->bytes)
        return false;
    for (size_t i = 0; i < digit_count; i++) {
        uint8_t byte = id->bytes[i / 2];
        if (digit_value(digits[i]) != (i % 2 == 0 ? byte >> 4 : byte & 15))
            return false;
    }
    return true;
}
