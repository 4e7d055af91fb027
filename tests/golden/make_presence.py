#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes presence.txt: presence filters built from docs/protocol.md alone, without the C code.

Each line is `LOG2 NAMES BITS`: the names, each ended by a newline, and the filter, both in hex. The
file_id of the n-th name begins with the bytes n, 1, 2, 3. The sizes are what ten bits for each distinct
window, name and id come to. Run it in its folder: ./make_presence.py > presence.txt
"""
import hashlib

from make_fold import fold

SHARES = [
    [],
    ["a"],
    ["filmes/A\u00e7\u00e3o.mp4", "iso/debian-12.iso", "\u65e5\u672c\u8a9e/\ud55c\uae00.txt"],
    [f"folder {i % 7}/file number {i * i}.bin" for i in range(200)],
]


def elements(names):
    for index, name in enumerate(names):
        whole = fold(name).encode()
        for begin in range(len(whole) - 2):
            yield whole[begin:begin + 3]
        yield b"i" + bytes([index, 1, 2, 3])
        yield b"n=" + whole
        yield b"n=" + fold(name.rpartition("/")[2]).encode()


def main():
    for names in SHARES:
        distinct = set(elements(names))
        log2 = 10
        while log2 < 20 and 2**log2 < 10 * len(distinct):
            log2 += 1
        bits = bytearray(2**log2 // 8)
        for element in distinct:
            digest = hashlib.sha256(element).digest()
            h1, h2 = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
            for probe in range(7):
                bit = (h1 + probe * h2) % 2**64 % 2**log2
                bits[bit // 8] |= 1 << bit % 8
        lines = "".join(name + "\n" for name in names).encode()
        print(log2, lines.hex(), bits.hex())


main()
