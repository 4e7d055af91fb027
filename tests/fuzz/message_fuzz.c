/* SPDX-License-Identifier: MIT */
/*
 * Any header frame, read as each receiver would. What is read must be written and read again to the
 * same bytes. The first byte of the input chooses the number of frames.
 */
#include "messages/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads a frame and writes it to `out`; false when it is refused. */
static bool rewrite(const uint8_t *bytes, size_t size, enum receiver receiver, size_t frame_count,
                    msgpack_sbuffer *out)
{
    struct envelope envelope;
    struct message message;
    bool is_read = envelope_open(&envelope, bytes, size, receiver, frame_count) == ENVELOPE_OK &&
                   message_read(&envelope, &message);
    if (is_read)
        message_write(&message, out);
    envelope_close(&envelope);
    return is_read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t frame_count = data[0] % 3;
    for (int receiver = RECEIVER_BROKER; receiver <= RECEIVER_CLIENT; receiver++) {
        msgpack_sbuffer first, second;
        msgpack_sbuffer_init(&first);
        msgpack_sbuffer_init(&second);
        if (rewrite(data + 1, size - 1, (enum receiver)receiver, frame_count, &first)) {
            bool is_read_again = rewrite((const uint8_t *)first.data, first.size, (enum receiver)receiver,
                                         frame_count, &second);
            assert(is_read_again);
            assert(first.size == second.size);
            assert(memcmp(first.data, second.data, first.size) == 0);
        }
        msgpack_sbuffer_destroy(&first);
        msgpack_sbuffer_destroy(&second);
    }
    return 0;
}
