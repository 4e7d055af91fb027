#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes messages.txt: one header frame of every kind, encoded by python3-msgpack.

It shares no code with the C encoder. Each line is `NAME HEX`; NAME begins with the kind's name. Run it in its folder: ./make_messages.py > messages.txt
"""
import hashlib

import msgpack

NODE = bytes(range(16))
OTHER_NODE = bytes(range(0xF0, 0x100))
KEY = bytes(range(0x40, 0x60))


def root_of(data):
    """The root of a file of at most 16 KiB; an empty file has zeros."""
    return hashlib.sha256(data).digest() if data else bytes(32)


def id_of(size, root):
    return hashlib.sha256(b"zswarm-file-1\0" + size.to_bytes(8, "little") + root).digest()


def file(size, name, permille=1000, *extras, root=None):
    if root is None:
        root = root_of(b"x" * size) if size <= 16384 else hashlib.sha256(name.encode()).digest()
    return [id_of(size, root), root, size, name, permille, *extras]


def source(node, host, port, name, key=None):
    return [node, host, port, name, key]


FILE = file(5, "a/hello.txt")
FILE_ID = FILE[0]
PARTIAL = file(2**40, "big/Ação.bin", 999)
FIVE_CHUNKS = file(300000, "parts/five.bin", 600)  # chunks of 2^16 bytes
EXTRA = file(0, "empty", 1000, 1700000000123, True)
NO_MTIME = file(7, "no mtime", 1000, None, False)
MTIME_ONLY = file(8, "mtime", 1000, 5)
LONG = file(2**64 - 1, "n" * 1024, 0)
V4 = source(NODE, "192.0.2.7", 9001, "lab-7")
V6 = source(OTHER_NODE, "2001:db8::1", 65535, "späte Übung", KEY)

MESSAGES = [
    ("ERROR", 0, [4, "busy now", 1500]),
    ("ERROR_later_code", 0, [65535, "", 2**32 - 1]),
    ("PING", 1, []),
    ("PONG", 2, []),
    ("BYE", 3, ["going home"]),
    ("JOIN", 10, [NODE, 2**63, 9001, "lab-7", "znode/0.1", 3, 10, 2**33,
                  [1, 10, bytes(i % 256 for i in range(128))], ["gpu", "höll"]]),
    ("JOIN_plain", 10, [NODE, 1, 0, "", "", 0, 0, 0, None, []]),
    ("JOIN_longest_labels", 10, [NODE, 1, 1, "n" * 64, "a" * 64, 0, 0, 0, None, ["t" * 64] * 16]),
    ("JOIN_OK", 11, ["192.0.2.7", 9001, 30000, OTHER_NODE, 812]),
    ("JOIN_OK_ipv6", 11, ["2001:db8::7", 0, 30000, OTHER_NODE, 1]),
    ("UPDATE", 12, [7, 11, 2**34, [], None]),
    ("UPDATE_filter", 12, [8, 11, 2**34, [], [1, 11, bytes(256)]]),
    ("UPDATE_OK", 13, [8]),
    ("SEARCH", 14, [0, "Ação mp4", 1, 2**50, 200, 2000]),
    ("SEARCH_id_of_all_nodes", 14, [131, "00aAbBcCd", 0, 0, 0, 0]),
    ("SEARCH_longest_text", 14, [1, "q" * 256, 0, 0, 2**32 - 1, 2**32 - 1]),
    ("QUERY", 15, [2, "*.iso", 0, 0, 8, 1900, None]),
    ("QUERY_key", 15, [3, "0123456789abcdef", 0, 0, 8, 1900, KEY]),
    ("ANSWER", 16, [3, [FILE, PARTIAL, EXTRA]]),
    ("ANSWER_negative", 16, [0, []]),
    ("ANSWER_extras", 16, [4, [NO_MTIME, MTIME_ONLY, LONG, EXTRA]]),
    ("FOUND", 17, [[[FILE, [V4, V6]], [PARTIAL, [V6]]]]),
    ("FOUND_empty", 17, [[]]),
    ("SEARCH_DONE", 18, [812, 9, 803, 3, 0, True, 47]),
    ("PEERS", 19, [0, 100]),
    ("PEERS_OK", 20, [17, [[V4, 10, 2**33, 250, ["gpu"]], [V6, 0, 0, 0, []]]]),
    ("STATUS", 21, []),
    ("STATUS_OK", 22, [OTHER_NODE, "zbroker/0.1", 2**32, 812, 1, 256, 65536, 2**32]),
    ("HELLO", 30, [NODE, 2**64 - 1, "lab-7", "zget/0.1", 1, OTHER_NODE]),
    ("HELLO_anonymous", 30, [None, 1, "", "", 0, None]),
    ("HELLO_OK", 31, [OTHER_NODE, 2, "lab-8", "znode/0.1", 0, 16777216, 1048576]),
    ("LIST", 32, ["a/", 0, 1000]),
    ("LIST_OK", 33, [3, 0, 2, [FILE, PARTIAL]]),
    ("OPEN", 34, [FILE_ID, None]),
    ("OPEN_name", 34, [None, "hello.txt"]),
    ("OPEN_both", 34, [FILE_ID, "hello.txt"]),
    ("OPEN_OK", 35, [FILE, 16, None]),
    ("OPEN_OK_partial", 35, [FIVE_CHUNKS, 16, b"\xb0"]),
    ("HASHES", 36, [FILE_ID, 0, 16384]),
    ("HASHES_OK", 37, [FILE_ID, 5, bytes(range(64))]),
    ("READ", 38, [FILE_ID, 2**40, 1048576]),
    ("DATA", 39, [FILE_ID, 2**40, 1048576]),
    ("CANCEL", 40, [12345]),
    ("HAVE", 41, [FILE_ID, [[0, 1], [127, 128], [65536, 2**32 - 1]]]),
    ("HAVE_nothing", 41, [FILE_ID, []]),
    ("CLOSE", 42, [FILE_ID]),
    ("OFFER", 43, [EXTRA, 16, None]),
    ("OFFER_partial", 43, [FIVE_CHUNKS, 16, b"\x88"]),
    ("OFFER_OK", 44, [FILE_ID, 2048]),
    ("STORED", 45, [FILE_ID, "a/hello (2).txt"]),
]

RIDS = [0, 127, 128, 65535, 2**32, 2**64 - 1]

for number, (name, kind, fields) in enumerate(MESSAGES):
    header = [1, kind, RIDS[number % len(RIDS)], *fields]
    print(name, msgpack.packb(header, use_bin_type=True).hex())
