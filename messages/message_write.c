/* SPDX-License-Identifier: MIT */
#include "messages/message_schema.h"
#include "messages/name.h"
#include "messages/presence.h"

#include <assert.h>

typedef void write_function(msgpack_packer *packer, const struct field *field, const void *value);

static void put_array(msgpack_packer *packer, size_t count)
{
    msgpack_pack_array(packer, count);
}

static void put_uint(msgpack_packer *packer, uint64_t value)
{
    msgpack_pack_uint64(packer, value);
}

static void put_nil(msgpack_packer *packer)
{
    msgpack_pack_nil(packer);
}

static void put_bool(msgpack_packer *packer, bool value)
{
    if (value)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

static void put_text(msgpack_packer *packer, struct text text, size_t size_max)
{
    assert(text.size <= size_max);
    msgpack_pack_str(packer, text.size);
    if (text.size > 0)
        msgpack_pack_str_body(packer, text.bytes, text.size);
}

static void put_bytes(msgpack_packer *packer, const void *bytes, size_t size)
{
    msgpack_pack_bin(packer, size);
    if (size > 0)
        msgpack_pack_bin_body(packer, bytes, size);
}

static void write_u8(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_uint(packer, *(const uint8_t *)value);
}

static void write_u16(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_uint(packer, *(const uint16_t *)value);
}

static void write_u32(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_uint(packer, *(const uint32_t *)value);
}

static void write_u64(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_uint(packer, *(const uint64_t *)value);
}

static void write_bool(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_bool(packer, *(const bool *)value);
}

static void write_text(msgpack_packer *packer, const struct field *field, const void *value)
{
    put_text(packer, *(const struct text *)value, field->size_max);
}

static void write_optional_text(msgpack_packer *packer, const struct field *field, const void *value)
{
    const struct optional_text *optional = value;
    if (optional->is_present)
        put_text(packer, optional->text, field->size_max);
    else
        put_nil(packer);
}

static void write_bytes16(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_bytes(packer, value, 16);
}

static void write_optional_bytes16(msgpack_packer *packer, const struct field *field, const void *value)
{
    const struct optional_node_id *optional = value;
    if (optional->is_present)
        write_bytes16(packer, field, optional->id.bytes);
    else
        put_nil(packer);
}

static void write_bytes32(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_bytes(packer, value, 32);
}

static void write_optional_bytes32(msgpack_packer *packer, const struct field *field, const void *value)
{
    const struct optional_bytes32 *optional = value;
    if (optional->is_present)
        write_bytes32(packer, field, optional->bytes);
    else
        put_nil(packer);
}

static void write_hashes(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct blob *blob = value;
    assert(blob->size % 32 == 0);
    assert(blob->size / 32 <= HASHES_MAX);
    put_bytes(packer, blob->bytes, blob->size);
}

static void write_optional_blob(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct optional_blob *optional = value;
    if (optional->is_present)
        put_bytes(packer, optional->blob.bytes, optional->blob.size);
    else
        put_nil(packer);
}

static void write_host(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    char text[HOST_TEXT_SIZE];
    host_format(value, text);
    put_text(packer, text_of(text), sizeof text);
}

static void write_presence(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct presence_view *view = value;
    if (!view->is_present) {
        put_nil(packer);
        return;
    }
    assert(view->log2_bits >= PRESENCE_LOG2_MIN);
    assert(view->log2_bits <= PRESENCE_LOG2_MAX);
    put_array(packer, 3);
    put_uint(packer, 1);
    put_uint(packer, view->log2_bits);
    put_bytes(packer, view->bits, (size_t)1 << (view->log2_bits - 3));
}

static void write_tags(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct text_list *list = value;
    assert(list->count <= TAGS_MAX);
    put_array(packer, list->count);
    for (size_t i = 0; i < list->count; i++)
        put_text(packer, list->entries[i], LABEL_SIZE_MAX);
}

static void write_added(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field, (void)value;
    put_array(packer, 0);
}

static size_t file_element_count(const struct file_entry *file)
{
    if (file->has_executable)
        return 7;
    return file->has_mtime ? 6 : 5;
}

static void put_file(msgpack_packer *packer, const struct file_entry *file)
{
    size_t count = file_element_count(file);
    put_array(packer, count);
    put_bytes(packer, file->id.bytes, sizeof file->id.bytes);
    put_bytes(packer, file->root.bytes, sizeof file->root.bytes);
    put_uint(packer, file->size);
    put_text(packer, file->name, NAME_SIZE_MAX);
    assert(file->have_permille <= PERMILLE_COMPLETE);
    put_uint(packer, file->have_permille);
    if (count > 5) {
        if (file->has_mtime)
            put_uint(packer, file->mtime_ms);
        else
            put_nil(packer);
    }
    if (count > 6)
        put_bool(packer, file->is_executable);
}

static void write_file(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    put_file(packer, value);
}

static void write_files(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct file_list *list = value;
    assert(list->count <= FILES_MAX);
    put_array(packer, list->count);
    for (size_t i = 0; i < list->count; i++)
        put_file(packer, &list->entries[i]);
}

static void put_source(msgpack_packer *packer, const struct source_entry *source)
{
    put_array(packer, 5);
    put_bytes(packer, source->node.bytes, sizeof source->node.bytes);
    write_host(packer, NULL, &source->host);
    put_uint(packer, source->port);
    put_text(packer, source->name, LABEL_SIZE_MAX);
    if (source->has_key)
        put_bytes(packer, source->key.bytes, sizeof source->key.bytes);
    else
        put_nil(packer);
}

static void write_found(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct message_found *found = value;
    assert(found->count <= FILES_MAX);
    put_array(packer, found->count);
    for (size_t i = 0; i < found->count; i++) {
        const struct found_entry *entry = &found->entries[i];
        put_array(packer, 2);
        put_file(packer, &entry->file);
        put_array(packer, entry->sources.count);
        for (size_t j = 0; j < entry->sources.count; j++)
            put_source(packer, &entry->sources.entries[j]);
    }
}

static void write_peers(msgpack_packer *packer, const struct field *field, const void *value)
{
    const struct message_peers_ok *peers = value;
    put_array(packer, peers->count);
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer_entry *entry = &peers->entries[i];
        put_array(packer, 5);
        put_source(packer, &entry->source);
        put_uint(packer, entry->files);
        put_uint(packer, entry->bytes);
        put_uint(packer, entry->idle_ms);
        write_tags(packer, field, &entry->tags);
    }
}

static void write_ranges(msgpack_packer *packer, const struct field *field, const void *value)
{
    (void)field;
    const struct message_have *have = value;
    put_array(packer, have->count);
    for (size_t i = 0; i < have->count; i++) {
        put_array(packer, 2);
        put_uint(packer, have->ranges[i].first);
        put_uint(packer, have->ranges[i].count);
    }
}

static write_function *const WRITERS[] = {
    [FIELD_U8] = write_u8,
    [FIELD_U16] = write_u16,
    [FIELD_U32] = write_u32,
    [FIELD_U64] = write_u64,
    [FIELD_BOOL] = write_bool,
    [FIELD_TEXT] = write_text,
    [FIELD_OPTIONAL_TEXT] = write_optional_text,
    [FIELD_BYTES16] = write_bytes16,
    [FIELD_OPTIONAL_BYTES16] = write_optional_bytes16,
    [FIELD_BYTES32] = write_bytes32,
    [FIELD_OPTIONAL_BYTES32] = write_optional_bytes32,
    [FIELD_HASHES] = write_hashes,
    [FIELD_OPTIONAL_BLOB] = write_optional_blob,
    [FIELD_HOST] = write_host,
    [FIELD_PRESENCE] = write_presence,
    [FIELD_TAGS] = write_tags,
    [FIELD_ADDED] = write_added,
    [FIELD_FILE] = write_file,
    [FIELD_FILES] = write_files,
    [FIELD_FOUND] = write_found,
    [FIELD_PEERS] = write_peers,
    [FIELD_RANGES] = write_ranges,
};

void message_write(const struct message *m, msgpack_sbuffer *out)
{
    const struct schema *schema = message_schema((uint64_t)m->kind);
    assert(schema);
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    put_array(&packer, HEADER_ELEMENTS + schema->field_count);
    put_uint(&packer, PROTOCOL_VERSION);
    put_uint(&packer, (uint64_t)m->kind);
    put_uint(&packer, m->rid);
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        WRITERS[field->type](&packer, field, (const char *)m + field->offset);
    }
}

static size_t uint_size(uint64_t value)
{
    if (value < 128)
        return 1;
    if (value <= UINT8_MAX)
        return 2;
    if (value <= UINT16_MAX)
        return 3;
    return value <= UINT32_MAX ? 5 : 9;
}

static size_t text_size(size_t size)
{
    if (size < 32)
        return 1 + size;
    return size <= UINT8_MAX ? 2 + size : 3 + size;
}

enum {
    BIN16_SIZE = 2 + 16,
    BIN32_SIZE = 2 + 32
};

size_t file_entry_size(const struct file_entry *file)
{
    size_t count = file_element_count(file);
    size_t size = 1 + 2 * BIN32_SIZE + uint_size(file->size) + text_size(file->name.size) +
                  uint_size(file->have_permille);
    if (count > 5)
        size += file->has_mtime ? uint_size(file->mtime_ms) : 1;
    if (count > 6)
        size += 1;
    return size;
}

size_t source_entry_size(const struct source_entry *source)
{
    char host[HOST_TEXT_SIZE];
    host_format(&source->host, host);
    return 1 + BIN16_SIZE + text_size(text_of(host).size) + uint_size(source->port) +
           text_size(source->name.size) + (source->has_key ? BIN32_SIZE : 1);
}
