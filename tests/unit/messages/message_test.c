/* SPDX-License-Identifier: MIT */
/*
 * The header frame as a whole: every kind against bytes from an independent encoder, the order of
 * checks, sizes per link, and hostile bytes: cut, changed, prolonged, declared too large, nested too deep.
 */
#include "messages/message.h"

#include "messages/scan.h"
#include "tests/unit/messages/golden.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static const enum receiver RECEIVERS[] = {RECEIVER_BROKER, RECEIVER_MEMBER, RECEIVER_SERVER, RECEIVER_CLIENT};

static size_t frames_of(uint64_t kind)
{
    return kind == KIND_DATA ? 2 : 1;
}

/* Opens bytes given as a string literal for one receiver. */
static enum envelope_result open_bytes(const char *bytes, size_t size, enum receiver receiver,
                                       size_t frame_count, struct envelope *ret)
{
    struct envelope envelope;
    enum envelope_result result =
        envelope_open(&envelope, (const uint8_t *)bytes, size, receiver, frame_count);
    envelope_close(&envelope);
    *ret = envelope;
    return result;
}

#define OPEN(literal, receiver, frame_count, ret)                                                            \
    open_bytes(literal, sizeof(literal) - 1, receiver, frame_count, ret)

Test(message, every_golden_vector_is_read_and_written_back_to_the_same_bytes)
{
    struct golden_list list = golden_load();
    bool is_seen[KIND_STORED + 1] = {false};
    for (size_t i = 0; i < list.count; i++) {
        const struct golden *golden = &list.entries[i];
        struct envelope envelope;
        struct message message;
        enum envelope_result result = envelope_open(&envelope, golden->bytes, golden->size, golden->receiver,
                                                    frames_of(golden->bytes[2]));
        cr_assert(eq(int, result, ENVELOPE_OK), "%s", golden->name);
        cr_assert(message_read(&envelope, &message), "%s", golden->name);
        cr_expect(eq(u32, message.dropped_count, 0), "%s", golden->name);
        const char *kind = kind_name(message.kind);
        cr_expect(strncmp(golden->name, kind, strlen(kind)) == 0, "%s is read as %s", golden->name, kind);
        is_seen[message.kind] = true;

        msgpack_sbuffer out;
        msgpack_sbuffer_init(&out);
        message_write(&message, &out);
        cr_expect(eq(sz, out.size, golden->size), "%s", golden->name);
        cr_expect(out.size == golden->size && memcmp(out.data, golden->bytes, out.size) == 0, "%s",
                  golden->name);
        msgpack_sbuffer_destroy(&out);
        envelope_close(&envelope);
    }
    for (unsigned kind = 0; kind <= KIND_STORED; kind++)
        cr_expect(eq(int, is_seen[kind], strcmp(kind_name(kind), "unknown") != 0), "kind %u has no vector",
                  kind);
    golden_free(&list);
}

/* What any receiver does with these bytes must be one of the defined results, and leave nothing behind. */
static void feed(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1); /* of the exact size, so that ASan sees each byte beyond */
    memcpy(copy, bytes, size);
    for (size_t i = 0; i < sizeof RECEIVERS / sizeof RECEIVERS[0]; i++) {
        for (size_t frame_count = 1; frame_count <= 2; frame_count++) {
            struct envelope envelope;
            struct message message;
            enum envelope_result result = envelope_open(&envelope, copy, size, RECEIVERS[i], frame_count);
            if (result == ENVELOPE_OK && message_read(&envelope, &message)) {
                msgpack_sbuffer out;
                msgpack_sbuffer_init(&out);
                message_write(&message, &out);
                msgpack_sbuffer_destroy(&out);
            }
            envelope_close(&envelope);
        }
    }
    free(copy);
}

Test(message, every_truncation_is_bad_and_harmless)
{
    struct golden_list list = golden_load();
    for (size_t i = 0; i < list.count; i++) {
        const struct golden *golden = &list.entries[i];
        for (size_t size = 0; size < golden->size; size++) {
            struct envelope envelope;
            enum envelope_result result =
                envelope_open(&envelope, golden->bytes, size, golden->receiver, frames_of(golden->bytes[2]));
            cr_assert(eq(int, result, ENVELOPE_BAD), "%s cut to %zu bytes", golden->name, size);
            envelope_close(&envelope);
            if (size < 128 || size % 16 == 0)
                feed(golden->bytes, size);
        }
    }
    golden_free(&list);
}

Test(message, every_changed_byte_is_harmless)
{
    struct golden_list list = golden_load();
    static const uint8_t VALUES[] = {0x00, 0x01, 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xc0, 0xc1, 0xc3, 0xc4,
                                     0xca, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd, 0xdf, 0xe0, 0xff};
    for (size_t i = 0; i < list.count; i++) {
        const struct golden *golden = &list.entries[i];
        if (golden->size > 400)
            continue; /* long runs of one blob or text add nothing */
        for (size_t at = 0; at < golden->size; at++) {
            uint8_t original = golden->bytes[at];
            for (size_t v = 0; v < sizeof VALUES; v++) {
                golden->bytes[at] = VALUES[v];
                feed(golden->bytes, golden->size);
            }
            golden->bytes[at] = original ^ 0x01;
            feed(golden->bytes, golden->size);
            golden->bytes[at] = original;
        }
    }
    golden_free(&list);
}

Test(message, trailing_bytes_are_bad)
{
    struct golden_list list = golden_load();
    for (size_t i = 0; i < list.count; i++) {
        const struct golden *golden = &list.entries[i];
        for (size_t extra = 1; extra <= 64; extra++) {
            uint8_t *longer = calloc(1, golden->size + extra);
            memcpy(longer, golden->bytes, golden->size);
            struct envelope envelope;
            enum envelope_result result = envelope_open(&envelope, longer, golden->size + extra,
                                                        golden->receiver, frames_of(golden->bytes[2]));
            cr_assert(eq(int, result, ENVELOPE_BAD), "%s and %zu bytes", golden->name, extra);
            envelope_close(&envelope);
            free(longer);
        }
    }
    golden_free(&list);
}

Test(message, header_bombs_are_bad)
{
    static const char *const BOMBS[] = {
        "\xdd\xff\xff\xff\xff",             /* array 32 */
        "\xdf\xff\xff\xff\xff",             /* map 32 */
        "\x93\x01\x01\xdb\xff\xff\xff\xff", /* str 32 */
        "\x93\x01\x01\xc6\xff\xff\xff\xff", /* bin 32 */
        "\x93\x01\x01\xc9\xff\xff\xff\xff", /* ext 32 */
        "\x94\x01\x10\x05\xdd\xff\xff\xff\xff",
        "\xdc\xff\xff\x01\x01",
    };
    for (size_t i = 0; i < sizeof BOMBS / sizeof BOMBS[0]; i++) {
        struct envelope envelope;
        cr_expect(
            eq(int, open_bytes(BOMBS[i], strlen(BOMBS[i]), RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD),
            "bomb %zu", i);
        feed((const uint8_t *)BOMBS[i], strlen(BOMBS[i]));
    }
    static uint8_t nested[10000];
    memset(nested, 0x91, sizeof nested);
    for (size_t depth = 33; depth <= sizeof nested; depth += 907)
        feed(nested, depth);
}

Test(message, frame_counts_other_than_the_kinds_own_are_bad_with_kind_and_rid_known)
{
    struct envelope envelope;
    cr_expect(eq(int, OPEN("\x93\x01\x01\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_OK));
    cr_expect(eq(int, OPEN("\x93\x01\x01\x07", RECEIVER_BROKER, 2, &envelope), ENVELOPE_BAD));
    cr_expect(eq(u64, envelope.rid, 7));
    cr_expect(eq(u64, envelope.kind, KIND_PING));
    cr_expect(eq(int, OPEN("\x93\x01\x27\x07", RECEIVER_CLIENT, 2, &envelope), ENVELOPE_OK));
    cr_expect(eq(int, OPEN("\x93\x01\x27\x07", RECEIVER_CLIENT, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x93\x01\x27\x07", RECEIVER_CLIENT, 3, &envelope), ENVELOPE_BAD));
    /* Frames are checked before version and kind. */
    cr_expect(eq(int, OPEN("\x93\x02\x01\x07", RECEIVER_BROKER, 2, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x93\x01\x3c\x07", RECEIVER_BROKER, 0, &envelope), ENVELOPE_BAD));
}

Test(message, version_is_checked_before_kind_and_kind_before_rid)
{
    struct envelope envelope;
    cr_expect(eq(int, OPEN("\x93\x02\x3c\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_VERSION));
    cr_expect(eq(u64, envelope.rid, 7));
    cr_expect(eq(int, OPEN("\x91\x02", RECEIVER_BROKER, 1, &envelope), ENVELOPE_VERSION));
    cr_expect(eq(int, OPEN("\x93\xa1x\x01\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x93\xff\x01\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x93\x01\x3c\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_UNSUPPORTED));
    cr_expect(eq(int, OPEN("\x92\x01\x3c", RECEIVER_BROKER, 1, &envelope), ENVELOPE_UNSUPPORTED));
    cr_expect(eq(int, OPEN("\x92\x01\x01", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x93\x01\x01\xff", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x91\x01", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x90", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(int, OPEN("\x93\x01\xa1x\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
    cr_expect(eq(u64, envelope.rid, 7));
}

Test(message, requests_of_the_other_link_are_unsupported_and_foreign_replies_dropped)
{
    struct envelope envelope;
    cr_expect(eq(int, OPEN("\x93\x01\x1e\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_UNSUPPORTED));
    cr_expect(eq(int, OPEN("\x93\x01\x0a\x07", RECEIVER_SERVER, 1, &envelope), ENVELOPE_UNSUPPORTED));
    cr_expect(eq(int, OPEN("\x93\x01\x0f\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_UNSUPPORTED));
    cr_expect(eq(int, OPEN("\x93\x01\x0b\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_UNASKED));
    cr_expect(eq(int, OPEN("\x93\x01\x10\x07", RECEIVER_MEMBER, 1, &envelope), ENVELOPE_UNASKED));
    cr_expect(eq(int, OPEN("\x93\x01\x10\x07", RECEIVER_BROKER, 1, &envelope), ENVELOPE_OK));
}

Test(message, error_pong_and_bye_are_never_answered_whatever_is_wrong_with_them)
{
    struct envelope envelope;
    for (uint8_t kind = KIND_ERROR; kind <= KIND_BYE; kind++) {
        const char bytes[] = {'\x93', 1, (char)kind, 7, 0};
        cr_expect(eq(int, open_bytes(bytes, 5, RECEIVER_BROKER, 1, &envelope), ENVELOPE_BAD));
        cr_expect(eq(int, envelope.is_never_answered, kind != KIND_PING), "kind %u", kind);
    }
}

/* [1, kind, 7, bin of `bin_size`]; malloc'd, the size in *ret_size. */
static uint8_t *header_of_size(uint8_t kind, size_t size)
{
    uint8_t *bytes = calloc(1, size);
    const uint32_t bin_size = (uint32_t)(size - 9);
    const uint8_t head[] = {0x94,
                            1,
                            kind,
                            7,
                            0xc6,
                            (uint8_t)(bin_size >> 24),
                            (uint8_t)(bin_size >> 16),
                            (uint8_t)(bin_size >> 8),
                            (uint8_t)bin_size};
    memcpy(bytes, head, sizeof head);
    return bytes;
}

Test(message, header_sizes_end_at_the_limit_of_link_and_kind)
{
    static const struct {
        enum receiver receiver;
        uint8_t kind;
        size_t size_max;
    } LIMITS[] = {
        {RECEIVER_BROKER, KIND_PING, 65536},    {RECEIVER_BROKER, KIND_SEARCH, 65536},
        {RECEIVER_BROKER, KIND_ANSWER, 65536},  {RECEIVER_BROKER, KIND_JOIN, 262144},
        {RECEIVER_BROKER, KIND_UPDATE, 262144}, {RECEIVER_MEMBER, KIND_FOUND, 65536},
        {RECEIVER_SERVER, KIND_HELLO, 1048576}, {RECEIVER_CLIENT, KIND_LIST_OK, 1048576},
    };
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        for (size_t over = 0; over <= 1; over++) {
            size_t size = LIMITS[i].size_max + over;
            uint8_t *bytes = header_of_size(LIMITS[i].kind, size);
            struct envelope envelope;
            enum envelope_result result =
                open_bytes((const char *)bytes, size, LIMITS[i].receiver, 1, &envelope);
            cr_expect(eq(int, result, over ? ENVELOPE_BAD : ENVELOPE_OK), "row %zu, %zu over", i, over);
            cr_expect(eq(u64, envelope.rid, 7));
            free(bytes);
        }
    }
}

Test(message, an_error_is_built_ready_to_write)
{
    struct message message = message_error(9, ERROR_BUSY, "later", 1500);
    cr_expect(eq(int, message.kind, KIND_ERROR));
    cr_expect(eq(u64, message.rid, 9));
    cr_expect(eq(u16, message.error.code, ERROR_BUSY));
    cr_expect(text_equal(message.error.text, text_of("later")));
    cr_expect(eq(u32, message.error.retry_ms, 1500));
}
