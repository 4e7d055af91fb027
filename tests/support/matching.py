# SPDX-License-Identifier: MIT
"""Folding, the four search modes and the presence filter, written from the protocol page alone."""

import hashlib
import unicodedata

WORDS, EXACT, GLOB, ID = 0, 1, 2, 3
ASK_ALL = 128
PROBES = 7


def fold(text):
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c) != "Mn")


def base_name(name):
    return name.rsplit("/", 1)[-1]


def set_matches(body, char):
    negated = body[:1] in ("!", "^")
    if negated:
        body = body[1:]
    found, i = False, 0
    while i < len(body):
        if i + 2 < len(body) and body[i + 1] == "-":
            found = found or body[i] <= char <= body[i + 2]
            i += 3
        else:
            found = found or body[i] == char
            i += 1
    return found != negated


def set_end(pattern, start):
    """Index of the `]` that closes the set opened at `start`, or -1: then `[` is an ordinary character."""
    i = start + 1
    if pattern[i:i + 1] in ("!", "^"):
        i += 1
    return pattern.find("]", i + 1)


def glob_matches(pattern, text, slash_is_special):
    """Both already folded. Recursion is fine: test names are short."""
    if not pattern:
        return not text
    head = pattern[0]
    if head == "*":
        if glob_matches(pattern[1:], text, slash_is_special):
            return True
        return bool(text) and not (slash_is_special and text[0] == "/") and \
            glob_matches(pattern, text[1:], slash_is_special)
    if not text:
        return False
    barred = slash_is_special and text[0] == "/"
    if head == "?":
        return not barred and glob_matches(pattern[1:], text[1:], slash_is_special)
    if head == "[":
        end = set_end(pattern, 0)
        if end > 0:
            return not barred and set_matches(pattern[1:end], text[0]) and \
                glob_matches(pattern[end + 1:], text[1:], slash_is_special)
    return head == text[0] and glob_matches(pattern[1:], text[1:], slash_is_special)


def matches(mode, text, name, file_id, size, min_size=0, max_size=0):
    if size < min_size or (max_size and size > max_size):
        return False
    mode &= ~ASK_ALL
    if mode == WORDS:
        folded = fold(name)
        return all(word in folded for word in fold(text).split(" ") if word)
    if mode == EXACT:
        return text in (name, base_name(name))
    if mode == GLOB:
        pattern = fold(text)
        if "/" in pattern:
            return glob_matches(pattern, fold(name), True)
        return glob_matches(pattern, fold(base_name(name)), False)
    if mode == ID:
        return file_id.hex().startswith(text.lower())
    raise ValueError(mode)


def elements(name, file_id):
    folded = fold(name).encode()
    for i in range(len(folded) - 2):
        yield folded[i:i + 3]
    yield b"i" + file_id[:4]
    yield b"n=" + fold(base_name(name)).encode()
    yield b"n=" + folded


def probes(element, log2_bits):
    digest = hashlib.sha256(element).digest()
    h1 = int.from_bytes(digest[:8], "little")
    h2 = int.from_bytes(digest[8:16], "little")
    return [((h1 + i * h2) % 2**64) % (1 << log2_bits) for i in range(PROBES)]


def presence_filter(files, log2_bits):
    """`files`: (name, file_id) pairs. Returns the wire form."""
    bits = bytearray((1 << log2_bits) // 8)
    for name, file_id in files:
        for element in elements(name, file_id):
            for n in probes(element, log2_bits):
                bits[n // 8] |= 1 << (n % 8)
    return [1, log2_bits, bytes(bits)]


def filter_contains(presence, element):
    _, log2_bits, bits = presence
    return all(bits[n // 8] >> (n % 8) & 1 for n in probes(element, log2_bits))


def literal_runs(pattern):
    runs, run, i = [], "", 0
    while i < len(pattern):
        end = set_end(pattern, i) if pattern[i] == "[" else -1
        if pattern[i] in "*?" or end > 0:
            runs.append(run)
            run = ""
            i = end if end > 0 else i
        else:
            run += pattern[i]
        i += 1
    return runs + [run]


def filter_may_match(presence, mode, text):
    """False only when the filter rules the node out."""
    if presence is None or presence[0] != 1:
        return True
    mode &= ~ASK_ALL
    if mode == EXACT:
        return filter_contains(presence, b"n=" + fold(text).encode())
    if mode == ID:
        return filter_contains(presence, b"i" + bytes.fromhex(text[:8]))
    runs = fold(text).split(" ") if mode == WORDS else literal_runs(fold(text))
    for run in runs:
        raw = run.encode()
        if not all(filter_contains(presence, raw[i:i + 3]) for i in range(len(raw) - 2)):
            return False
    return True
