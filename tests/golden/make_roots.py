#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes roots.txt: roots and chunk layers of generated files, as libtorrent (python3-libtorrent) computes them.

A file of n bytes is the first n of an endless repetition of PATTERN, so that the tests can make it again.
A line is: size, root, chunk size, number of hashes in the layer (0: none), SHA-256 of the layer ("-").
"""
import hashlib
import os
import sys
import tempfile

import libtorrent

KIB, MIB = 1 << 10, 1 << 20
LEAF = 16 * KIB
SIZES = [
    0, 1, 63, 64, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 2 * LEAF + 1, 3 * LEAF, 65535, 65536, 65537,
    4 * LEAF + LEAF // 2, 8 * LEAF, 8 * LEAF + 1, MIB - 1, MIB, MIB + 1, 64 * LEAF + LEAF, 4 * MIB, 4 * MIB + 1,
    5 * MIB + 3, 16 * MIB, 16 * MIB + LEAF, 128 * MIB, 128 * MIB + 1, 130 * MIB,
]


def pattern():
    """65521 bytes (a prime, so that no two leaves are alike) from a linear congruential generator."""
    state, out = 1, bytearray()
    for _ in range(65521):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out.append(state >> 16 & 0xFF)
    return bytes(out)


PATTERN = pattern()


def write_file(path, size):
    with open(path, "wb") as file:
        for _ in range(size // len(PATTERN)):
            file.write(PATTERN)
        file.write(PATTERN[: size % len(PATTERN)])


def chunk_size(size):
    log2 = 16
    while log2 < 22 and -(-size >> log2) > 2048:
        log2 += 1
    return 1 << log2


def torrent_hashes(folder, name):
    """The root of a file and its piece layer (b"" without one), at our chunk size."""
    size = os.path.getsize(os.path.join(folder, name))
    if size == 0:
        return bytes(32), b""  # BEP 52 gives an empty file no root
    storage = libtorrent.file_storage()
    storage.add_file(name, size)
    torrent = libtorrent.create_torrent(storage, chunk_size(size), libtorrent.create_torrent.v2_only)
    libtorrent.set_piece_hashes(torrent, folder)
    generated = torrent.generate()
    root = generated[b"info"][b"file tree"][name.encode()][b""][b"pieces root"]
    return root, generated.get(b"piece layers", {}).get(root, b"")


def main():
    lines = [f"# made by make_roots.py with libtorrent {libtorrent.__version__}"]
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            write_file(os.path.join(folder, "file"), size)
            root, layer = torrent_hashes(folder, "file")
            digest = hashlib.sha256(layer).hexdigest() if layer else "-"
            lines.append(f"{size} {root.hex()} {chunk_size(size)} {len(layer) // 32} {digest}")
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "roots.txt"), "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
