#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/protocol.md shows golden vectors as they are, and at least one of every kind."""

import re

import sources

DOCUMENT = "docs/protocol.md"
GOLDEN = "tests/golden/messages.txt"
KINDS = "messages/kind.h"


def vectors_of(text):
    """(line, name, hex) of each line in a ```vectors block."""
    is_inside = False
    for line, content in enumerate(text.split("\n"), 1):
        if content.startswith("```"):
            is_inside = content == "```vectors"
        elif is_inside:
            name, _, value = content.partition(" ")
            yield line, name, value


def check(root):
    document = root / DOCUMENT
    golden = dict(line.split() for line in (root / GOLDEN).read_text().splitlines() if line)
    missing = set(re.findall(r"\bKIND_(\w+) =", (root / KINDS).read_text()))
    for line, name, value in vectors_of(document.read_text()):
        missing.discard(re.match(r"[A-Z_]*[A-Z]|", name).group(0))
        if golden.get(name) != value:
            yield document, line, f"{name} is not as in {GOLDEN}"
    for kind in sorted(missing):
        yield document, 1, f"no vector of {kind}"


if __name__ == "__main__":
    sources.main(check)
