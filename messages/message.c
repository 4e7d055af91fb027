/* SPDX-License-Identifier: MIT */
#include "messages/message.h"

#include "messages/message_schema.h"
#include "messages/scan.h"

#include <assert.h>

static size_t header_size_max(enum receiver receiver, uint64_t kind)
{
    if (receiver == RECEIVER_SERVER || receiver == RECEIVER_CLIENT)
        return HEADER_SIZE_MAX_PEER;
    if (receiver == RECEIVER_BROKER && (kind == KIND_JOIN || kind == KIND_UPDATE))
        return HEADER_SIZE_MAX_JOIN;
    return HEADER_SIZE_MAX_BROKER;
}

/* The checks that follow the scan, in the protocol's order: version, kind, and that a rid is there. */
static enum envelope_result check_header(const msgpack_object_array *header, enum receiver receiver)
{
    const msgpack_object *elements = header->ptr;
    if (header->size < 1 || elements[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return ENVELOPE_BAD;
    if (elements[0].via.u64 != PROTOCOL_VERSION)
        return ENVELOPE_VERSION;
    if (header->size < 2 || elements[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return ENVELOPE_BAD;

    uint64_t kind = elements[1].via.u64;
    enum gate gate = kind_gate(kind, receiver);
    if (gate == GATE_UNSUPPORTED)
        return ENVELOPE_UNSUPPORTED;
    if (gate == GATE_REPLY && !kind_is_reply_to(kind, receiver))
        return ENVELOPE_UNASKED;
    if (header->size < HEADER_ELEMENTS || elements[2].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return ENVELOPE_BAD;
    return ENVELOPE_OK;
}

enum envelope_result envelope_open(struct envelope *self, const uint8_t *bytes, size_t size,
                                   enum receiver receiver, size_t frame_count)
{
    assert(self);
    struct scan_result scan = scan_header(bytes, size);
    self->kind = scan.kind;
    self->rid = scan.rid;
    self->is_never_answered = scan.has_kind && kind_is_never_answered(scan.kind);
    msgpack_unpacked_init(&self->unpacked);

    size_t right_frame_count = scan.has_kind && scan.kind == KIND_DATA ? 2 : 1;
    if (frame_count != right_frame_count || !scan.valid || size > header_size_max(receiver, scan.kind))
        return ENVELOPE_BAD;

    size_t offset = 0;
    if (msgpack_unpack_next(&self->unpacked, (const char *)bytes, size, &offset) != MSGPACK_UNPACK_SUCCESS ||
        offset != size || self->unpacked.data.type != MSGPACK_OBJECT_ARRAY)
        return ENVELOPE_BAD;
    return check_header(&self->unpacked.data.via.array, receiver);
}

void envelope_close(struct envelope *self)
{
    assert(self);
    msgpack_unpacked_destroy(&self->unpacked);
}

struct message message_error(uint64_t rid, enum error_code code, const char *text, uint32_t retry_ms)
{
    return (struct message){
        .kind = KIND_ERROR,
        .rid = rid,
        .error = {.code = (uint16_t)code, .text = text_of(text), .retry_ms = retry_ms},
    };
}
