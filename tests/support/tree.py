# SPDX-License-Identifier: MIT
"""What a file is called, written from the protocol page alone: Merkle roots, file ids, chunk layers.

Nothing here shares a line with the product, so that both cannot be wrong in the same way.
"""

import hashlib

BLOCK_BYTES = 16384
ZERO_HASH = bytes(32)
CHUNKS_WANTED_MAX = 2048


def sha256(data):
    return hashlib.sha256(data).digest()


def block_hashes(data):
    view = memoryview(data)
    return [sha256(view[i:i + BLOCK_BYTES]) for i in range(0, len(data), BLOCK_BYTES)]


def fold_up(hashes, pad):
    """The root over `hashes`, padded with `pad` up to a power of two."""
    if not hashes:
        return ZERO_HASH
    level = list(hashes)
    while len(level) > 1:
        if len(level) % 2:
            level.append(pad)
        level = [sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
        pad = sha256(pad + pad)
    return level[0]


def root(data):
    return fold_up(block_hashes(data), ZERO_HASH)


def file_id(size, root_hash):
    return sha256(b"zswarm-file-1\0" + size.to_bytes(8, "little") + root_hash)


def id_of(data):
    return file_id(len(data), root(data))


def chunk_log2(size):
    for log2 in range(16, 22):
        if (size + (1 << log2) - 1) >> log2 <= CHUNKS_WANTED_MAX:
            return log2
    return 22


def chunk_count(size):
    log2 = chunk_log2(size)
    return (size + (1 << log2) - 1) >> log2


def zero_subtree(log2):
    """The root of a chunk of 2^log2 bytes whose leaves are all padding."""
    pad = ZERO_HASH
    for _ in range(log2 - 14):
        pad = sha256(pad + pad)
    return pad


def full_chunk_root(chunk, log2):
    """The root of one chunk, padded to a full chunk of 2^log2 bytes."""
    leaves = block_hashes(chunk)
    leaves += [ZERO_HASH] * ((1 << (log2 - 14)) - len(leaves))
    return fold_up(leaves, ZERO_HASH)


def chunk_layer(data):
    """One hash a chunk; empty for a file of at most one chunk."""
    log2 = chunk_log2(len(data))
    if len(data) <= 1 << log2:
        return []
    step = 1 << log2
    view = memoryview(data)
    return [full_chunk_root(view[i:i + step], log2) for i in range(0, len(data), step)]


def layer_root(hashes, size):
    return fold_up(hashes, zero_subtree(chunk_log2(size)))


def bitfield(count, indexes):
    bits = bytearray((count + 7) // 8)
    for index in indexes:
        bits[index // 8] |= 0x80 >> (index % 8)
    return bytes(bits)
