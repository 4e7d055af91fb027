/* SPDX-License-Identifier: MIT */
/* What the scan lets through, msgpack-c must take whole; in no more memory than the scan promises. */
#include "messages/scan.h"

#include <assert.h>
#include <msgpack.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!scan_header(data, size).valid)
        return 0;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    msgpack_unpack_return result = msgpack_unpack_next(&unpacked, (const char *)data, size, &offset);
    assert(result == MSGPACK_UNPACK_SUCCESS);
    assert(offset == size);
    assert(unpacked.data.type == MSGPACK_OBJECT_ARRAY);
    assert(unpacked.data.via.array.size < SCAN_NODES_MAX);
    msgpack_unpacked_destroy(&unpacked);
    return 0;
}
