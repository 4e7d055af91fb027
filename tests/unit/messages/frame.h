/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_MESSAGES_FRAME_H
#define TESTS_UNIT_MESSAGES_FRAME_H

/* Header frames built element by element, and what message_read() makes of them. */

#include "messages/message_schema.h"
#include "tests/unit/messages/golden.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* Reads a frame; the numbers of interest are copied, for the envelope is closed at the end. */
struct outcome {
    bool is_good;
    uint32_t dropped_count;
    size_t count; /* FILEs, entries or SOURCEs of the first entry */
    struct file_entry file;
};

static inline struct outcome read_frame(const msgpack_sbuffer *frame)
{
    struct outcome outcome = {0};
    struct envelope envelope;
    struct message m;
    const uint8_t *bytes = (const uint8_t *)frame->data;
    enum envelope_result result = envelope_open(&envelope, bytes, frame->size, golden_receiver(bytes[2]),
                                                bytes[2] == KIND_DATA ? 2 : 1);
    cr_assert(eq(int, result, ENVELOPE_OK));
    outcome.is_good = message_read(&envelope, &m);
    if (outcome.is_good) {
        outcome.dropped_count = m.dropped_count;
        if (m.kind == KIND_ANSWER) {
            outcome.count = m.answer.files.count;
            if (outcome.count > 0)
                outcome.file = m.answer.files.entries[0];
        } else if (m.kind == KIND_FOUND) {
            outcome.count = m.found.count > 0 ? m.found.entries[0].sources.count : 0;
        } else if (m.kind == KIND_PEERS_OK) {
            outcome.count = m.peers_ok.count;
        }
    }
    envelope_close(&envelope);
    return outcome;
}

static inline void pack_bin(msgpack_packer *packer, size_t size)
{
    static const char ZEROS[32];
    msgpack_pack_bin(packer, size);
    msgpack_pack_bin_body(packer, ZEROS, size);
}

/* A frame under construction. */
struct frame {
    msgpack_sbuffer buffer;
    msgpack_packer packer;
};

static inline void frame_begin(struct frame *frame, enum message_kind kind, size_t field_count)
{
    msgpack_sbuffer_init(&frame->buffer);
    msgpack_packer_init(&frame->packer, &frame->buffer, msgpack_sbuffer_write);
    msgpack_pack_array(&frame->packer, HEADER_ELEMENTS + field_count);
    msgpack_pack_int(&frame->packer, 1);
    msgpack_pack_int(&frame->packer, (int)kind);
    msgpack_pack_int(&frame->packer, 7);
}

static inline struct outcome frame_end(struct frame *frame)
{
    struct outcome outcome = read_frame(&frame->buffer);
    msgpack_sbuffer_destroy(&frame->buffer);
    return outcome;
}

static inline void put_text(struct frame *frame, const char *text, size_t size)
{
    msgpack_pack_str_with_body(&frame->packer, text, size);
}

static inline void put_uint(struct frame *frame, uint64_t value)
{
    msgpack_pack_uint64(&frame->packer, value);
}

static inline void put_array(struct frame *frame, size_t count)
{
    msgpack_pack_array(&frame->packer, count);
}

#endif
