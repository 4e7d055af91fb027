/* SPDX-License-Identifier: MIT */
#include "messages/match.h"
#include "messages/message_schema.h"
#include "messages/name.h"
#include "messages/presence.h"

#include <assert.h>
#include <string.h>

/*
 * No more SOURCEs fit in a header of the broker link: the smallest has 23 bytes (array, bin 16, empty
 * str, port, empty str, nil). It keeps an array of small elements from asking for much memory.
 */
enum {
    SOURCES_MAX = HEADER_SIZE_MAX_BROKER / 23
};

struct reader {
    msgpack_zone *zone;
    uint32_t dropped_count;
};

/* What became of a FILE or SOURCE. */
enum item {
    ITEM_GOOD,
    ITEM_DROPPED, /* breaks a rule: left out alone */
    ITEM_BAD,     /* mistyped: the message is bad */
};

typedef bool read_function(struct reader *reader, const struct field *field, const msgpack_object *o,
                           void *ret);

static void *allocate(struct reader *reader, size_t count, size_t size)
{
    if (count == 0)
        return NULL;
    void *array = msgpack_zone_malloc(reader->zone, count * size);
    assert(array);
    return array;
}

static bool get_uint(const msgpack_object *o, uint64_t max, uint64_t *ret)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > max)
        return false;
    *ret = o->via.u64;
    return true;
}

static bool get_u32(const msgpack_object *o, uint32_t *ret)
{
    uint64_t value;
    if (!get_uint(o, UINT32_MAX, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

static bool get_text(const msgpack_object *o, size_t size_max, struct text *ret)
{
    if (o->type != MSGPACK_OBJECT_STR || o->via.str.size > size_max)
        return false;
    struct text text = {o->via.str.ptr, o->via.str.size};
    if (!text_is_clean(text))
        return false;
    *ret = text;
    return true;
}

static bool get_bytes(const msgpack_object *o, void *ret, size_t size)
{
    if (o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != size)
        return false;
    memcpy(ret, o->via.bin.ptr, size);
    return true;
}

/* An array of at least `count` elements; a later version may have put more behind them. */
static const msgpack_object *get_elements(const msgpack_object *o, size_t count)
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size < count)
        return NULL;
    return o->via.array.ptr;
}

static bool read_u8(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    uint64_t value;
    if (!get_uint(o, UINT8_MAX, &value))
        return false;
    *(uint8_t *)ret = (uint8_t)value;
    return true;
}

static bool read_u16(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    uint64_t value;
    if (!get_uint(o, UINT16_MAX, &value))
        return false;
    *(uint16_t *)ret = (uint16_t)value;
    return true;
}

static bool read_u32(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    return get_u32(o, ret);
}

static bool read_u64(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    return get_uint(o, UINT64_MAX, ret);
}

static bool read_bool(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    if (o->type != MSGPACK_OBJECT_BOOLEAN)
        return false;
    *(bool *)ret = o->via.boolean;
    return true;
}

static bool read_text(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader;
    return get_text(o, field->size_max, ret);
}

static bool read_optional_text(struct reader *reader, const struct field *field, const msgpack_object *o,
                               void *ret)
{
    struct optional_text *optional = ret;
    if (o->type == MSGPACK_OBJECT_NIL)
        return true;
    optional->is_present = true;
    return read_text(reader, field, o, &optional->text);
}

static bool read_bytes16(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    return get_bytes(o, ret, 16);
}

static bool read_optional_bytes16(struct reader *reader, const struct field *field, const msgpack_object *o,
                                  void *ret)
{
    struct optional_node_id *optional = ret;
    if (o->type == MSGPACK_OBJECT_NIL)
        return true;
    optional->is_present = true;
    return read_bytes16(reader, field, o, optional->id.bytes);
}

static bool read_bytes32(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    return get_bytes(o, ret, 32);
}

static bool read_optional_bytes32(struct reader *reader, const struct field *field, const msgpack_object *o,
                                  void *ret)
{
    struct optional_bytes32 *optional = ret;
    if (o->type == MSGPACK_OBJECT_NIL)
        return true;
    optional->is_present = true;
    return read_bytes32(reader, field, o, optional->bytes);
}

static bool get_blob(const msgpack_object *o, struct blob *ret)
{
    if (o->type != MSGPACK_OBJECT_BIN)
        return false;
    *ret = (struct blob){(const uint8_t *)o->via.bin.ptr, o->via.bin.size};
    return true;
}

static bool read_hashes(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    struct blob blob;
    if (!get_blob(o, &blob) || blob.size % 32 != 0 || blob.size / 32 > HASHES_MAX)
        return false;
    *(struct blob *)ret = blob;
    return true;
}

static bool read_optional_blob(struct reader *reader, const struct field *field, const msgpack_object *o,
                               void *ret)
{
    (void)reader, (void)field;
    struct optional_blob *optional = ret;
    if (o->type == MSGPACK_OBJECT_NIL)
        return true;
    optional->is_present = true;
    return get_blob(o, &optional->blob);
}

static bool read_host(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    struct text text;
    return get_text(o, HOST_TEXT_SIZE, &text) && host_parse(text, ret);
}

static bool read_presence(struct reader *reader, const struct field *field, const msgpack_object *o,
                          void *ret)
{
    (void)reader, (void)field;
    struct presence_view *view = ret;
    uint64_t version, log2_bits;
    struct blob bits;
    if (o->type == MSGPACK_OBJECT_NIL)
        return true;
    const msgpack_object *elements = get_elements(o, 1);
    if (!elements || !get_uint(&elements[0], UINT64_MAX, &version))
        return false;
    if (version != 1)
        return true; /* a filter of a later version: as good as none */
    elements = get_elements(o, 3);
    if (!elements || !get_uint(&elements[1], UINT8_MAX, &log2_bits) || !get_blob(&elements[2], &bits))
        return false;
    if (log2_bits < PRESENCE_LOG2_MIN || log2_bits > PRESENCE_LOG2_MAX ||
        bits.size != (size_t)1 << (log2_bits - 3))
        return false;
    *view = (struct presence_view){true, (uint8_t)log2_bits, bits.bytes};
    return true;
}

static bool read_tags(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)field;
    struct text_list *list = ret;
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > TAGS_MAX)
        return false;
    list->count = o->via.array.size;
    list->entries = allocate(reader, list->count, sizeof *list->entries);
    for (size_t i = 0; i < list->count; i++) {
        if (!get_text(&o->via.array.ptr[i], LABEL_SIZE_MAX, &list->entries[i]))
            return false;
    }
    return true;
}

static bool read_added(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field, (void)ret;
    if (o->type != MSGPACK_OBJECT_ARRAY)
        return false;
    for (size_t i = 0; i < o->via.array.size; i++) {
        if (o->via.array.ptr[i].type != MSGPACK_OBJECT_STR)
            return false;
    }
    return true;
}

/* The elements after the fifth are a courtesy: one of another type counts as absent. */
static void get_file_extras(const msgpack_object *o, struct file_entry *file)
{
    const msgpack_object *elements = o->via.array.ptr;
    if (o->via.array.size > 5)
        file->has_mtime = get_uint(&elements[5], UINT64_MAX, &file->mtime_ms);
    if (o->via.array.size > 6 && elements[6].type == MSGPACK_OBJECT_BOOLEAN) {
        file->has_executable = true;
        file->is_executable = elements[6].via.boolean;
    }
}

static enum item get_file(const msgpack_object *o, struct file_entry *ret)
{
    struct file_entry file = {0};
    uint64_t permille;
    const msgpack_object *elements = get_elements(o, 5);
    if (!elements || !get_bytes(&elements[0], file.id.bytes, sizeof file.id.bytes) ||
        !get_bytes(&elements[1], file.root.bytes, sizeof file.root.bytes) ||
        !get_uint(&elements[2], UINT64_MAX, &file.size) || elements[3].type != MSGPACK_OBJECT_STR ||
        !get_uint(&elements[4], UINT16_MAX, &permille))
        return ITEM_BAD;

    static const struct hash EMPTY_ROOT = {{0}};
    struct file_id right_id = file_id_of(file.size, &file.root);
    file.name = (struct text){elements[3].via.str.ptr, elements[3].via.str.size};
    file.have_permille = (uint16_t)permille;
    if (!file_id_equal(&file.id, &right_id) || !name_is_valid(file.name) || permille > PERMILLE_COMPLETE)
        return ITEM_DROPPED;
    if (file.size == 0 && !hash_equal(&file.root, &EMPTY_ROOT))
        return ITEM_DROPPED;
    get_file_extras(o, &file);
    *ret = file;
    return ITEM_GOOD;
}

static bool read_file(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)reader, (void)field;
    return get_file(o, ret) == ITEM_GOOD;
}

static bool read_files(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)field;
    struct file_list *list = ret;
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > FILES_MAX)
        return false;
    list->entries = allocate(reader, o->via.array.size, sizeof *list->entries);
    for (size_t i = 0; i < o->via.array.size; i++) {
        enum item item = get_file(&o->via.array.ptr[i], &list->entries[list->count]);
        if (item == ITEM_BAD)
            return false;
        if (item == ITEM_GOOD)
            list->count++;
        else
            reader->dropped_count++;
    }
    return true;
}

static enum item get_source(const msgpack_object *o, struct source_entry *ret)
{
    struct source_entry source = {0};
    struct text host;
    uint64_t port;
    const msgpack_object *elements = get_elements(o, 5);
    if (!elements || !get_bytes(&elements[0], source.node.bytes, sizeof source.node.bytes) ||
        !get_text(&elements[1], SIZE_MAX, &host) || !get_uint(&elements[2], UINT16_MAX, &port) ||
        !get_text(&elements[3], LABEL_SIZE_MAX, &source.name))
        return ITEM_BAD;
    source.has_key = elements[4].type != MSGPACK_OBJECT_NIL;
    if (source.has_key && !get_bytes(&elements[4], source.key.bytes, sizeof source.key.bytes))
        return ITEM_BAD;
    source.port = (uint16_t)port;
    if (port == 0 || !host_parse(host, &source.host))
        return ITEM_DROPPED;
    *ret = source;
    return ITEM_GOOD;
}

static bool get_sources(struct reader *reader, const msgpack_object *o, struct source_list *list)
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > SOURCES_MAX)
        return false;
    *list = (struct source_list){allocate(reader, o->via.array.size, sizeof *list->entries), 0};
    for (size_t i = 0; i < o->via.array.size; i++) {
        enum item item = get_source(&o->via.array.ptr[i], &list->entries[list->count]);
        if (item == ITEM_BAD)
            return false;
        if (item == ITEM_GOOD)
            list->count++;
        else
            reader->dropped_count++;
    }
    return true;
}

static bool read_found(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)field;
    struct message_found *found = ret;
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > FILES_MAX)
        return false;
    found->entries = allocate(reader, o->via.array.size, sizeof *found->entries);
    for (size_t i = 0; i < o->via.array.size; i++) {
        struct found_entry *entry = &found->entries[found->count];
        const msgpack_object *pair = get_elements(&o->via.array.ptr[i], 2);
        enum item item = pair ? get_file(&pair[0], &entry->file) : ITEM_BAD;
        if (item == ITEM_BAD || !get_sources(reader, &pair[1], &entry->sources))
            return false;
        if (item == ITEM_GOOD)
            found->count++;
        else
            reader->dropped_count++;
    }
    return true;
}

static bool read_peers(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    struct message_peers_ok *peers = ret;
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > SOURCES_MAX)
        return false;
    peers->entries = allocate(reader, o->via.array.size, sizeof *peers->entries);
    for (size_t i = 0; i < o->via.array.size; i++) {
        struct peer_entry *entry = &peers->entries[peers->count];
        const msgpack_object *elements = get_elements(&o->via.array.ptr[i], 5);
        enum item item = elements ? get_source(&elements[0], &entry->source) : ITEM_BAD;
        if (item == ITEM_BAD || !get_uint(&elements[1], UINT64_MAX, &entry->files) ||
            !get_uint(&elements[2], UINT64_MAX, &entry->bytes) || !get_u32(&elements[3], &entry->idle_ms) ||
            !read_tags(reader, field, &elements[4], &entry->tags))
            return false;
        if (item == ITEM_GOOD)
            peers->count++;
        else
            reader->dropped_count++;
    }
    return true;
}

static bool read_ranges(struct reader *reader, const struct field *field, const msgpack_object *o, void *ret)
{
    (void)field;
    struct message_have *have = ret;
    if (o->type != MSGPACK_OBJECT_ARRAY)
        return false;
    have->count = o->via.array.size; /* no larger in memory than its msgpack objects */
    have->ranges = allocate(reader, have->count, sizeof *have->ranges);
    for (size_t i = 0; i < have->count; i++) {
        const msgpack_object *pair = get_elements(&o->via.array.ptr[i], 2);
        if (!pair || !get_u32(&pair[0], &have->ranges[i].first) || !get_u32(&pair[1], &have->ranges[i].count))
            return false;
    }
    return true;
}

static read_function *const READERS[] = {
    [FIELD_U8] = read_u8,
    [FIELD_U16] = read_u16,
    [FIELD_U32] = read_u32,
    [FIELD_U64] = read_u64,
    [FIELD_BOOL] = read_bool,
    [FIELD_TEXT] = read_text,
    [FIELD_OPTIONAL_TEXT] = read_optional_text,
    [FIELD_BYTES16] = read_bytes16,
    [FIELD_OPTIONAL_BYTES16] = read_optional_bytes16,
    [FIELD_BYTES32] = read_bytes32,
    [FIELD_OPTIONAL_BYTES32] = read_optional_bytes32,
    [FIELD_HASHES] = read_hashes,
    [FIELD_OPTIONAL_BLOB] = read_optional_blob,
    [FIELD_HOST] = read_host,
    [FIELD_PRESENCE] = read_presence,
    [FIELD_TAGS] = read_tags,
    [FIELD_ADDED] = read_added,
    [FIELD_FILE] = read_file,
    [FIELD_FILES] = read_files,
    [FIELD_FOUND] = read_found,
    [FIELD_PEERS] = read_peers,
    [FIELD_RANGES] = read_ranges,
};

/* Rules that tie fields together, or bound one by more than its type. */
static bool is_consistent(const struct message *m)
{
    switch (m->kind) {
    case KIND_SEARCH:
        return match_text_is_valid(m->search.mode, m->search.text);
    case KIND_QUERY:
        return match_text_is_valid(m->query.mode, m->query.text);
    case KIND_OPEN:
        return m->open.file.is_present || m->open.name.is_present;
    default:
        return true;
    }
}

bool message_read(struct envelope *envelope, struct message *ret_message)
{
    const struct schema *schema = message_schema(envelope->kind);
    const msgpack_object_array *header = &envelope->unpacked.data.via.array;
    assert(schema);
    assert(envelope->unpacked.data.type == MSGPACK_OBJECT_ARRAY);
    assert(envelope->unpacked.zone);
    if (header->size - HEADER_ELEMENTS < schema->field_count)
        return false;

    struct reader reader = {envelope->unpacked.zone, 0};
    struct message message;
    memset(&message, 0, sizeof message);
    message.kind = (enum message_kind)envelope->kind;
    message.rid = envelope->rid;
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        const msgpack_object *o = &header->ptr[HEADER_ELEMENTS + i];
        if (!READERS[field->type](&reader, field, o, (char *)&message + field->offset))
            return false;
    }
    if (!is_consistent(&message))
        return false;
    message.dropped_count = reader.dropped_count;
    *ret_message = message;
    return true;
}
