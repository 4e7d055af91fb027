/* SPDX-License-Identifier: MIT */
/*
 * What a field may hold: each type in the place of each other, limits at and over their edge.
 */
#include "messages/message_schema.h"

#include "tests/unit/messages/frame.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* One value of each sort that msgpack knows and the scan lets through. */
enum sample {
    SAMPLE_NIL,
    SAMPLE_TRUE,
    SAMPLE_0,
    SAMPLE_U8_OVER,
    SAMPLE_U16_OVER,
    SAMPLE_U32_OVER,
    SAMPLE_U64_MAX,
    SAMPLE_NEGATIVE,
    SAMPLE_TEXT,
    SAMPLE_DIRTY_TEXT,
    SAMPLE_BIN_1,
    SAMPLE_BIN_16,
    SAMPLE_BIN_32,
    SAMPLE_EMPTY_ARRAY,
    SAMPLE_ARRAY_OF_NIL,
    SAMPLE_COUNT,
};

static void pack_sample(msgpack_packer *packer, enum sample sample)
{
    static const size_t BIN_SIZES[] = {1, 16, 32};
    static const uint64_t NUMBERS[] = {0, 256, 65536, UINT64_C(1) << 32, UINT64_MAX};
    if (sample == SAMPLE_NIL)
        msgpack_pack_nil(packer);
    else if (sample == SAMPLE_TRUE)
        msgpack_pack_true(packer);
    else if (sample >= SAMPLE_0 && sample <= SAMPLE_U64_MAX)
        msgpack_pack_uint64(packer, NUMBERS[sample - SAMPLE_0]);
    else if (sample == SAMPLE_NEGATIVE)
        msgpack_pack_int(packer, -1);
    else if (sample == SAMPLE_TEXT)
        msgpack_pack_str_with_body(packer, "hi", 2);
    else if (sample == SAMPLE_DIRTY_TEXT)
        msgpack_pack_str_with_body(packer, "\x1b[", 2);
    else if (sample >= SAMPLE_BIN_1 && sample <= SAMPLE_BIN_32)
        pack_bin(packer, BIN_SIZES[sample - SAMPLE_BIN_1]);
    else
        msgpack_pack_array(packer, sample == SAMPLE_ARRAY_OF_NIL ? 1 : 0);
    if (sample == SAMPLE_ARRAY_OF_NIL)
        msgpack_pack_nil(packer);
}

#define BIT(sample) (1u << SAMPLE_##sample)

/* The samples that a field of each type takes, and no other. */
static const uint32_t ACCEPTED[] = {
    [FIELD_U8] = BIT(0),
    [FIELD_U16] = BIT(0) | BIT(U8_OVER),
    [FIELD_U32] = BIT(0) | BIT(U8_OVER) | BIT(U16_OVER),
    [FIELD_U64] = BIT(0) | BIT(U8_OVER) | BIT(U16_OVER) | BIT(U32_OVER) | BIT(U64_MAX),
    [FIELD_BOOL] = BIT(TRUE),
    [FIELD_TEXT] = BIT(TEXT),
    [FIELD_OPTIONAL_TEXT] = BIT(TEXT) | BIT(NIL),
    [FIELD_BYTES16] = BIT(BIN_16),
    [FIELD_OPTIONAL_BYTES16] = BIT(BIN_16) | BIT(NIL),
    [FIELD_BYTES32] = BIT(BIN_32),
    [FIELD_OPTIONAL_BYTES32] = BIT(BIN_32) | BIT(NIL),
    [FIELD_HASHES] = BIT(BIN_32),
    [FIELD_OPTIONAL_BLOB] = BIT(NIL) | BIT(BIN_1) | BIT(BIN_16) | BIT(BIN_32),
    [FIELD_HOST] = 0,
    [FIELD_PRESENCE] = BIT(NIL),
    [FIELD_TAGS] = BIT(EMPTY_ARRAY),
    [FIELD_ADDED] = BIT(EMPTY_ARRAY),
    [FIELD_FILE] = 0,
    [FIELD_FILES] = BIT(EMPTY_ARRAY),
    [FIELD_FOUND] = BIT(EMPTY_ARRAY),
    [FIELD_PEERS] = BIT(EMPTY_ARRAY),
    [FIELD_RANGES] = BIT(EMPTY_ARRAY),
};

/* `header` with element `index` replaced by a sample, or with the last `cut` elements missing. */
static struct outcome read_changed(const msgpack_object_array *header, size_t index, enum sample sample,
                                   size_t cut)
{
    msgpack_sbuffer frame;
    msgpack_packer packer;
    msgpack_sbuffer_init(&frame);
    msgpack_packer_init(&packer, &frame, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, header->size - cut);
    for (size_t i = 0; i < header->size - cut; i++) {
        if (i == index)
            pack_sample(&packer, sample);
        else
            msgpack_pack_object(&packer, header->ptr[i]);
    }
    struct outcome outcome = read_frame(&frame);
    msgpack_sbuffer_destroy(&frame);
    return outcome;
}

Test(message_schema, each_field_takes_the_values_of_its_type_and_no_others)
{
    struct golden_list list = golden_load();
    for (size_t i = 0; i < list.count; i++) {
        const struct golden *golden = &list.entries[i];
        /* Their texts and optionals depend on each other; they have tests of their own. */
        if (strcmp(golden->name, "SEARCH_id_of_all_nodes") == 0 || strcmp(golden->name, "QUERY_key") == 0 ||
            strcmp(golden->name, "OPEN") == 0 || strcmp(golden->name, "OPEN_name") == 0)
            continue;
        const struct schema *schema = message_schema(golden->bytes[2]);
        msgpack_unpacked unpacked;
        msgpack_unpacked_init(&unpacked);
        msgpack_unpack_next(&unpacked, (const char *)golden->bytes, golden->size, NULL);
        const msgpack_object_array *header = &unpacked.data.via.array;
        for (size_t f = 0; f < schema->field_count; f++) {
            for (int sample = 0; sample < SAMPLE_COUNT; sample++) {
                bool expected = ACCEPTED[schema->fields[f].type] >> sample & 1;
                struct outcome outcome = read_changed(header, HEADER_ELEMENTS + f, (enum sample)sample, 0);
                cr_expect(eq(int, outcome.is_good, expected), "%s, field %zu, sample %d", golden->name, f,
                          sample);
            }
        }
        for (size_t cut = 1; cut <= schema->field_count; cut++)
            cr_expect(not(read_changed(header, SIZE_MAX, SAMPLE_NIL, cut).is_good), "%s without the last %zu",
                      golden->name, cut);
        msgpack_unpacked_destroy(&unpacked);
    }
    golden_free(&list);
}

/* Reads [.., text of `size`, ...] in kinds whose fields are texts and numbers. */
static bool takes_text(enum message_kind kind, size_t size)
{
    char text[2048];
    memset(text, 'x', sizeof text);
    struct frame frame;
    const struct schema *schema = message_schema(kind);
    frame_begin(&frame, kind, schema->field_count);
    for (size_t i = 0; i < schema->field_count; i++) {
        enum field_type type = schema->fields[i].type;
        if (type == FIELD_TEXT || type == FIELD_OPTIONAL_TEXT)
            put_text(&frame, text, size);
        else if (type == FIELD_BYTES16 || type == FIELD_OPTIONAL_BYTES16)
            pack_bin(&frame.packer, 16);
        else if (type == FIELD_BYTES32 || type == FIELD_OPTIONAL_BYTES32)
            pack_bin(&frame.packer, 32);
        else if (type == FIELD_TAGS)
            put_array(&frame, 0);
        else if (type == FIELD_PRESENCE)
            msgpack_pack_nil(&frame.packer);
        else
            put_uint(&frame, 1);
    }
    return frame_end(&frame).is_good;
}

Test(message_schema, texts_end_at_the_limit_of_their_field)
{
    static const struct {
        enum message_kind kind;
        size_t size_max;
    } LIMITS[] = {
        {KIND_ERROR, 256}, {KIND_BYE, 256},     {KIND_JOIN, 64},   {KIND_SEARCH, 256}, {KIND_QUERY, 256},
        {KIND_HELLO, 64},  {KIND_HELLO_OK, 64}, {KIND_LIST, 1024}, {KIND_OPEN, 1024},  {KIND_STORED, 1024},
    };
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        cr_expect(takes_text(LIMITS[i].kind, LIMITS[i].size_max), "kind %d", LIMITS[i].kind);
        cr_expect(not(takes_text(LIMITS[i].kind, LIMITS[i].size_max + 1)), "kind %d", LIMITS[i].kind);
    }
}

static bool takes_tags(size_t count, size_t size)
{
    static const char LABEL[] = "ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt";
    struct frame frame;
    frame_begin(&frame, KIND_JOIN, 10);
    pack_bin(&frame.packer, 16);
    put_uint(&frame, 1);
    put_uint(&frame, 1);
    put_text(&frame, "n", 1);
    put_text(&frame, "a", 1);
    for (size_t i = 0; i < 3; i++)
        put_uint(&frame, 1);
    msgpack_pack_nil(&frame.packer);
    put_array(&frame, count);
    for (size_t i = 0; i < count; i++)
        put_text(&frame, LABEL, size);
    return frame_end(&frame).is_good;
}

Test(message_schema, there_are_at_most_16_tags_of_64_bytes)
{
    cr_expect(takes_tags(16, 64));
    cr_expect(not(takes_tags(17, 1)));
    cr_expect(not(takes_tags(1, 65)));
}

/* An UPDATE whose filter is [version, log2, bin of size], with elements cut off at the end. */
static bool takes_presence(uint64_t version, uint64_t log2_bits, size_t size, size_t element_count)
{
    static char bits[1 << 18];
    struct frame frame;
    frame_begin(&frame, KIND_UPDATE, 5);
    for (size_t i = 0; i < 3; i++)
        put_uint(&frame, 1);
    put_array(&frame, 0);
    put_array(&frame, element_count);
    if (element_count > 0)
        put_uint(&frame, version);
    if (element_count > 1)
        put_uint(&frame, log2_bits);
    if (element_count > 2)
        msgpack_pack_bin_with_body(&frame.packer, bits, size);
    return frame_end(&frame).is_good;
}

Test(message_schema, presence_filters_have_the_size_that_they_state)
{
    for (uint64_t log2_bits = 10; log2_bits <= 20; log2_bits++) {
        size_t size = (size_t)1 << (log2_bits - 3);
        cr_expect(takes_presence(1, log2_bits, size, 3));
        cr_expect(not(takes_presence(1, log2_bits, size - 1, 3)));
        cr_expect(not(takes_presence(1, log2_bits, size + 1, 3)));
    }
    cr_expect(not(takes_presence(1, 9, 64, 3)));
    cr_expect(not(takes_presence(1, 21, 1 << 17, 3)));
    cr_expect(not(takes_presence(1, 10, 0, 2)));
    cr_expect(not(takes_presence(1, 10, 0, 0)));
}

Test(message_schema, a_filter_of_another_version_is_none)
{
    cr_expect(takes_presence(2, 99, 1, 3));
    cr_expect(takes_presence(0, 0, 0, 1));
}

static bool takes_hashes(size_t size)
{
    static char hashes[HASHES_MAX * 32 + 32];
    struct frame frame;
    frame_begin(&frame, KIND_HASHES_OK, 3);
    pack_bin(&frame.packer, 32);
    put_uint(&frame, 0);
    msgpack_pack_bin_with_body(&frame.packer, hashes, size);
    return frame_end(&frame).is_good;
}

Test(message_schema, hashes_are_whole_and_at_most_16384)
{
    cr_expect(takes_hashes(32));
    cr_expect(not(takes_hashes(33)));
    cr_expect(not(takes_hashes(31)));
    cr_expect(takes_hashes(HASHES_MAX * 32));
    cr_expect(not(takes_hashes(HASHES_MAX * 32 + 32)));
}

static bool takes_search(uint64_t mode, const char *text)
{
    struct frame frame;
    frame_begin(&frame, KIND_SEARCH, 6);
    put_uint(&frame, mode);
    put_text(&frame, text, strlen(text));
    for (size_t i = 0; i < 4; i++)
        put_uint(&frame, 0);
    return frame_end(&frame).is_good;
}

Test(message_schema, unknown_modes_and_bad_id_texts_are_bad)
{
    cr_expect(takes_search(MODE_GLOB, "*"));
    cr_expect(takes_search(MODE_ASK_ALL | MODE_ID, "0123abcd9"));
    cr_expect(not(takes_search(4, "x")));
    cr_expect(not(takes_search(127, "x")));
    cr_expect(not(takes_search(132, "x")));
    cr_expect(not(takes_search(MODE_ID, "0123abc")));
    cr_expect(not(takes_search(MODE_ID, "0123abcg")));
}

Test(message_schema, open_needs_an_id_or_a_name)
{
    struct frame frame;
    frame_begin(&frame, KIND_OPEN, 2);
    msgpack_pack_nil(&frame.packer);
    msgpack_pack_nil(&frame.packer);
    cr_expect(not(frame_end(&frame).is_good));
}

Test(message_schema, extra_fields_are_ignored_and_integers_taken_in_any_width)
{
    /* UPDATE_OK with its generation as int 64 and three fields more. */
    static const char BYTES[] = "\x97\xcd\x00\x01\xd1\x00\x0d\xd3\x00\x00\x00\x00\x00\x00\x00\x07"
                                "\xd3\x00\x00\x00\x00\x00\x00\x00\x09\xc0\xa1x\x91\x91\x01";
    struct envelope envelope;
    struct message m;
    cr_assert(eq(int, envelope_open(&envelope, (const uint8_t *)BYTES, sizeof BYTES - 1, RECEIVER_MEMBER, 1),
                 ENVELOPE_OK));
    cr_assert(message_read(&envelope, &m));
    cr_expect(eq(u64, m.rid, 7));
    cr_expect(eq(u64, m.update_ok.generation, 9));
    envelope_close(&envelope);
}

Test(message_schema, nothing_is_written_to_the_message_when_reading_fails)
{
    static const char BYTES[] = "\x96\x01\x00\x07\x04\xa1x\xff"; /* ERROR with a negative retry_ms */
    struct envelope envelope;
    struct message m;
    memset(&m, 0x5a, sizeof m);
    struct message before;
    memcpy(&before, &m, sizeof m);
    cr_assert(eq(int, envelope_open(&envelope, (const uint8_t *)BYTES, sizeof BYTES - 1, RECEIVER_MEMBER, 1),
                 ENVELOPE_OK));
    cr_expect(not(message_read(&envelope, &m)));
    cr_expect(memcmp(&m, &before, sizeof m) == 0);
    envelope_close(&envelope);
}
