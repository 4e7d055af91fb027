/* SPDX-License-Identifier: MIT */
/*
 * The scan stands before msgpack-c: what it lets through must be what msgpack-c takes, whole and bounded,
 * and it must never read behind the frame.
 */
#include "messages/scan.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#define SCAN(literal) scan_header((const uint8_t *)(literal), sizeof(literal) - 1)

struct row {
    const char *bytes;
    size_t size;
    bool valid;
};

#define ROW(literal, valid)                                                                                  \
    {                                                                                                        \
        literal, sizeof(literal) - 1, valid                                                                  \
    }

static const struct row ROWS[] = {
    ROW("", false),
    ROW("\x90", true),
    ROW("\x91", false),
    ROW("\x91\xc0", true),
    ROW("\x90\x90", false), /* something after it */
    ROW("\xc0", false),     /* no array */
    ROW("\x01", false),
    ROW("\x91\xc1", false), /* never used */
    ROW("\x91\xc2", true),
    ROW("\x91\x80", false),                                 /* map */
    ROW("\x91\xde\x00\x00", false),                         /* map 16 */
    ROW("\x91\xca\x00\x00\x00\x00", false),                 /* float 32 */
    ROW("\x91\xcb\x00\x00\x00\x00\x00\x00\x00\x00", false), /* float 64 */
    ROW("\x91\xd4\x01\x02", false),                         /* ext */
    ROW("\x91\xc7\x00\x01", false),                         /* ext 8 */
    ROW("\x91\xcf\x00\x00\x00\x00\x00\x00\x00\x00", true),  /* uint 64 */
    ROW("\x91\xcf\x00\x00\x00\x00\x00\x00\x00", false),     /* cut */
    ROW("\x91\xa2hi", true),
    ROW("\x91\xa3hi", false),
    ROW("\x91\xd9\x02hi", true),
    ROW("\x91\xda\x00\x02hi", true),
    ROW("\x91\xdb\x00\x00\x00\x02hi", true),
    ROW("\x91\xc4\x02hi", true),
    ROW("\x91\xc6\xff\xff\xff\xffhi", false),
    ROW("\xdc\x00\x01\xc0", true),
    ROW("\xdd\x00\x00\x00\x01\xc0", true),
    ROW("\xdd\xff\xff\xff\xff", false),
    ROW("\x91\xdc\x00\x03\xc0\xc0", false), /* more elements than bytes */
    ROW("\x91\x91\x91\x91\x91\x90", true),  /* nesting 6 */
    ROW("\x91\x91\x91\x91\x91\x91\x90", false),
    ROW("\x91\x91\x91\x91\x91\x91\xc0", true), /* a scalar does not count */
};

Test(scan, rows_are_judged_as_the_table_says)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        uint8_t *copy = malloc(ROWS[i].size + 1); /* at the end of a block for ASan */
        memcpy(copy + 1, ROWS[i].bytes, ROWS[i].size);
        struct scan_result result = scan_header(copy + 1, ROWS[i].size);
        cr_expect(eq(int, result.valid, ROWS[i].valid), "row %zu", i);
        free(copy);
    }
}

Test(scan, kind_and_rid_are_known_even_when_the_rest_is_bad)
{
    struct scan_result result = SCAN("\x94\x01\x0e\xcd\x01\x00\xc1");
    cr_expect(not(result.valid));
    cr_expect(result.has_kind);
    cr_expect(eq(u64, result.kind, 14));
    cr_expect(eq(u64, result.rid, 256));
    result = SCAN("\x93\x91\x05\xd1\x00\x0e\xd3\x00\x00\x00\x00\x00\x00\x01\x00");
    cr_expect(result.valid); /* a nested first element is not mistaken for the second */
    cr_expect(eq(u64, result.kind, 14));
    cr_expect(eq(u64, result.rid, 256));
}

Test(scan, a_rid_that_is_no_uint64_is_0)
{
    cr_expect(eq(u64, SCAN("\x93\x01\x0e\xff").rid, 0));
    cr_expect(eq(u64, SCAN("\x93\x01\x0e\xa1\x41").rid, 0));
    cr_expect(eq(u64, SCAN("\x93\x01\x0e\xd1\xff\x00").rid, 0));
    cr_expect(eq(u64, SCAN("\x92\x01\x0e").rid, 0));
    cr_expect(eq(u64, SCAN("\x93\x01\x0e\x91\x05").rid, 0));
    struct scan_result result = SCAN("\x93\x01\xff\x05");
    cr_expect(not(result.has_kind));
    cr_expect(eq(u64, result.rid, 5));
    cr_expect(eq(u64, SCAN("\x93\x01\x0e\xcf\xff\xff\xff\xff\xff\xff\xff\xff").rid, UINT64_MAX));
}

Test(scan, elements_are_bounded)
{
    for (size_t over = 0; over <= 1; over++) {
        uint32_t count = SCAN_NODES_MAX - 1 + (uint32_t)over; /* and the header array itself */
        uint8_t *bytes = malloc(5 + count);
        const uint8_t head[] = {0xdd, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8),
                                (uint8_t)count};
        memcpy(bytes, head, sizeof head);
        memset(bytes + 5, 0xc0, count);
        cr_expect(eq(int, scan_header(bytes, 5 + count).valid, over == 0));
        free(bytes);
    }
}

static uint64_t random_state = 88172645463325252u;

static uint32_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

/* Bytes that are often heads of arrays and short values, so that many inputs are valid. */
static uint8_t random_byte(void)
{
    uint32_t r = random_number();
    switch (r >> 8 & 7) {
    case 0:
    case 1:
        return 0x90 + (r & 3);
    case 2:
        return 0xc0 + (r & 31);
    case 3:
        return 0xa0 + (r & 3);
    case 4:
        return (uint8_t)r;
    default:
        return r & 3;
    }
}

/* False when msgpack-c sees something that the protocol does not have. */
static bool is_allowed(const msgpack_object *o, unsigned depth)
{
    if (o->type == MSGPACK_OBJECT_MAP || o->type == MSGPACK_OBJECT_EXT || o->type == MSGPACK_OBJECT_FLOAT32 ||
        o->type == MSGPACK_OBJECT_FLOAT64)
        return false;
    if (o->type != MSGPACK_OBJECT_ARRAY)
        return true;
    if (depth > SCAN_DEPTH_MAX)
        return false;
    for (uint32_t i = 0; i < o->via.array.size; i++) {
        if (!is_allowed(&o->via.array.ptr[i], depth + 1))
            return false;
    }
    return true;
}

Test(scan, agrees_with_msgpack_on_random_inputs)
{
    size_t valid_count = 0;
    for (size_t round = 0; round < 200000; round++) {
        uint8_t bytes[24];
        size_t size = random_number() % sizeof bytes;
        for (size_t i = 0; i < size; i++)
            bytes[i] = random_byte();
        /* A random count would make msgpack-c ask for gigabytes: only the scan sees those. */
        bool is_bomb = memchr(bytes, 0xdd, size) || memchr(bytes, 0xdf, size);
        struct scan_result scan = scan_header(bytes, size);
        valid_count += scan.valid;
        if (is_bomb && !scan.valid)
            continue;
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        size_t offset = 0;
        bool expected =
            msgpack_unpack_next(&unpacked, (const char *)bytes, size, &offset) == MSGPACK_UNPACK_SUCCESS &&
            offset == size && unpacked.data.type == MSGPACK_OBJECT_ARRAY && is_allowed(&unpacked.data, 1);
        cr_assert(eq(int, scan.valid, expected), "round %zu", round);
        msgpack_unpacked_destroy(&unpacked);
    }
    cr_expect(gt(sz, valid_count, 1000));
}
