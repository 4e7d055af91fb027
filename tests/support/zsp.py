# SPDX-License-Identifier: MIT
"""The messages of ZSP/1, written from the protocol page alone.

A strict decoder: what it refuses, our programs must never have sent.
"""

import unicodedata
from collections import namedtuple
from dataclasses import dataclass

import msgpack

from support import tree

VERSION = 1
FILES_MAX = 1024
DEPTH_MAX = 6

(ERROR, PING, PONG, BYE) = (0, 1, 2, 3)
(JOIN, JOIN_OK, UPDATE, UPDATE_OK, SEARCH, QUERY, ANSWER, FOUND, SEARCH_DONE, PEERS, PEERS_OK, STATUS,
 STATUS_OK) = range(10, 23)
(HELLO, HELLO_OK, LIST, LIST_OK, OPEN, OPEN_OK, HASHES, HASHES_OK, READ, DATA, CANCEL, HAVE, CLOSE, OFFER,
 OFFER_OK, STORED) = range(30, 46)

(BAD_MESSAGE, UNSUPPORTED, NOT_FOUND, BUSY, CHANGED, DENIED, LIMIT, NOT_JOINED, NO_SPACE, INTERNAL, BAD_RANGE,
 WRONG_NODE, DUPLICATE) = range(1, 14)


class BadMessage(Exception):
    pass


def require(condition, reason):
    if not condition:
        raise BadMessage(reason)


# --- Field types: each is a function that checks a decoded value and returns it. ---

def number(bits):
    def check(value):
        require(type(value) is int and 0 <= value < 1 << bits, f"not a u{bits}: {value!r}")
        return value
    return check


U8, U16, U32, U64 = number(8), number(16), number(32), number(64)


def boolean(value):
    require(type(value) is bool, f"not a bool: {value!r}")
    return value


def text(max_bytes):
    def check(value):
        require(type(value) is str, f"not a str: {value!r}")
        require(len(value.encode()) <= max_bytes, f"over {max_bytes} bytes: {value!r}")
        require(not any(unicodedata.category(c) == "Cc" for c in value), f"control character: {value!r}")
        return value
    return check


def blob(size=None):
    def check(value):
        require(type(value) is bytes, f"not a bin: {value!r}")
        require(size is None or len(value) == size, f"not {size} bytes: {value!r}")
        return value
    return check


def nil_or(inner):
    return lambda value: None if value is None else inner(value)


def many(inner, count_max=1 << 32):
    def check(value):
        require(type(value) is list, f"not an array: {value!r}")
        require(len(value) <= count_max, f"over {count_max} elements")
        return [inner(element) for element in value]
    return check


def row(*types):
    def check(value):
        require(type(value) is list and len(value) >= len(types), f"not an array of {len(types)}: {value!r}")
        return [inner(element) for inner, element in zip(types, value)]
    return check


def presence(value):
    if value is None or (type(value) is list and value and value[0] != 1):
        return None
    one, log2_bits, bits = row(U8, U8, blob())(value)
    require(10 <= log2_bits <= 20 and len(bits) * 8 == 1 << log2_bits, "filter of a wrong size")
    return [one, log2_bits, bits]


@dataclass(frozen=True)
class File:
    file_id: bytes
    root: bytes
    size: int
    name: str
    have_permille: int = 1000
    extra: tuple = ()

    def wire(self):
        return [self.file_id, self.root, self.size, self.name, self.have_permille, *self.extra]


def name_is_valid(name):
    return 1 <= len(name.encode()) <= 1024 and all(part not in ("", ".", "..") for part in name.split("/"))


def file(value):
    file_id, root, size, name, have = row(blob(32), blob(32), U64, text(1024), U16)(value)
    require(file_id == tree.file_id(size, root), f"id does not commit to the size: {name!r}")
    require(name_is_valid(name), f"bad name: {name!r}")
    require(have <= 1000, f"have_permille {have}")
    return File(file_id, root, size, name, have, tuple(value[5:]))


Source = namedtuple("Source", "node_id host port node_name curve_key")


def source(value):
    return Source(*row(blob(16), text(64), U16, text(64), nil_or(blob(32)))(value))


KINDS = {
    ERROR: ("code text retry_ms", U16, text(256), U32),
    PING: ("",),
    PONG: ("",),
    BYE: ("reason", text(256)),
    JOIN: ("node_id boot port node_name agent features files bytes presence tags", blob(16), U64, U16, text(64),
           text(64), U32, U64, U64, presence, many(text(64), 16)),
    JOIN_OK: ("host port lease_ms broker_id nodes", text(64), U16, U32, blob(16), U32),
    UPDATE: ("generation files bytes added presence", U64, U64, U64, many(text(1024)), presence),
    UPDATE_OK: ("generation", U64),
    SEARCH: ("mode text min_size max_size limit deadline_ms", U8, text(256), U64, U64, U32, U32),
    QUERY: ("mode text min_size max_size limit deadline_ms asker_key", U8, text(256), U64, U64, U32, U32,
            nil_or(blob(32))),
    ANSWER: ("total files", U32, many(file, FILES_MAX)),
    FOUND: ("hits", many(row(file, many(source)), FILES_MAX)),
    SEARCH_DONE: ("asked positive negative skipped silent truncated elapsed_ms", U32, U32, U32, U32, U32, boolean,
                  U32),
    PEERS: ("cursor limit", U64, U32),
    PEERS_OK: ("next_cursor peers", U64, many(row(source, U64, U64, U32, many(text(64), 16)))),
    STATUS: ("",),
    STATUS_OK: ("broker_id agent uptime_ms nodes searches queries answers bad_messages", blob(16), text(64), U64,
                U32, U64, U64, U64, U64),
    HELLO: ("node_id instance node_name agent features expected_node_id", nil_or(blob(16)), U64, text(64), text(64),
            U32, nil_or(blob(16))),
    HELLO_OK: ("node_id instance node_name agent features window_bytes max_read", blob(16), U64, text(64), text(64),
               U32, U32, U32),
    LIST: ("prefix cursor limit", text(1024), U64, U32),
    LIST_OK: ("generation next_cursor total files", U64, U64, U64, many(file, FILES_MAX)),
    OPEN: ("file_id name", nil_or(blob(32)), nil_or(text(1024))),
    OPEN_OK: ("file chunk_log2 have", file, U8, nil_or(blob())),
    HASHES: ("file_id first count", blob(32), U32, U32),
    HASHES_OK: ("file_id first hashes", blob(32), U32, blob()),
    READ: ("file_id offset length", blob(32), U64, U32),
    DATA: ("file_id offset length", blob(32), U64, U32),
    CANCEL: ("read_rid", U64),
    HAVE: ("file_id runs", blob(32), many(row(U32, U32))),
    CLOSE: ("file_id", blob(32)),
    OFFER: ("file chunk_log2 have", file, U8, nil_or(blob())),
    OFFER_OK: ("file_id missing", blob(32), U32),
    STORED: ("file_id name", blob(32), text(1024)),
}


class Message:
    """A decoded message: `kind`, `rid`, one attribute a field, and the payload of DATA."""

    def __init__(self, kind, rid, fields, payload=None):
        self.kind, self.rid, self.payload = kind, rid, payload
        self.field_names = KINDS[kind][0].split()
        for name, value in zip(self.field_names, fields):
            setattr(self, name, value)

    def __repr__(self):
        fields = ", ".join(f"{name}={getattr(self, name)!r}"[:80] for name in self.field_names)
        return f"<kind {self.kind} rid {self.rid} {fields}>"


def wire(value):
    """Tuples, Files and Sources to what msgpack packs."""
    if isinstance(value, File):
        return value.wire()
    if isinstance(value, (list, tuple)):
        return [wire(element) for element in value]
    return value


def pack(value):
    """Any msgpack value; lone surrogates in a str become raw bytes, for hostile names."""
    return msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")


def encode(kind, rid, *fields):
    """A header frame. Nothing is checked: tests send nonsense through here too."""
    return pack([VERSION, kind, rid, *wire(fields)])


def depth(value):
    return 1 + max((depth(element) for element in value), default=0) if type(value) is list else 0


def decode(header, payload=None):
    try:
        value = msgpack.unpackb(header, raw=False, strict_map_key=False)
    except Exception as error:
        raise BadMessage(f"not one msgpack object: {error}") from error
    require(type(value) is list and len(value) >= 3, f"header is no array of 3: {value!r}")
    require(depth(value) <= DEPTH_MAX, "nested too deep")
    require(value[0] == VERSION and type(value[0]) is int, f"version {value[0]!r}")
    kind, rid = U64(value[1]), U64(value[2])
    require(kind in KINDS, f"unknown kind {kind}")
    require((payload is not None) == (kind == DATA), f"kind {kind} with a wrong number of frames")
    types = KINDS[kind][1:]
    require(len(value) - 3 >= len(types), f"kind {kind} has {len(value) - 3} fields, not {len(types)}")
    message = Message(kind, rid, [check(field) for check, field in zip(types, value[3:])], payload)
    if kind == DATA:
        require(len(payload) == message.length, f"payload of {len(payload)} bytes, not {message.length}")
    return message


class SharedFile:
    """A file that a fake node holds in memory."""

    def __init__(self, name, data, extra=()):
        self.name, self.data = name, data
        self.layer = tree.chunk_layer(data)
        self.root = tree.layer_root(self.layer, len(data)) if self.layer else tree.root(data)
        self.file_id = tree.file_id(len(data), self.root)
        self.chunk_log2 = tree.chunk_log2(len(data))
        self.extra = extra

    def file(self, **changes):
        fields = {"file_id": self.file_id, "root": self.root, "size": len(self.data), "name": self.name,
                  "have_permille": 1000, "extra": self.extra}
        return File(**{**fields, **changes})
