#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What every text file keeps: licence line, header guard named by its path, no notes to self, no machine's paths."""

import re

import sources

SUFFIXES = (".c", ".h", ".py", ".cmake", ".sh")
TEXTS = SUFFIXES + (".md", ".txt", ".json", ".yml", "")
LICENCE = "SPDX-License-" + "Identifier: MIT"
# Spelled in pieces, so that this file passes its own check.
NOTES = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.~}/])/(wo" + r"rk|ro" + r"ot|ho" + r"me/\w+)/")


def guard_of(name):
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def is_script(path):
    return path.suffix == "" and path.read_bytes()[:2] == b"#!"


def check_head(path, name, lines):
    wants_licence = path.suffix in SUFFIXES or path.name == "CMakeLists.txt" or is_script(path)
    first = lines[1:2] if lines[0].startswith("#!") else lines[:1]
    if wants_licence and not (first and LICENCE in first[0]):
        yield path, 1, "no SPDX licence line at the top"
    if path.suffix == ".h":
        guard = guard_of(name)
        if f"#ifndef {guard}" not in lines or f"#define {guard}" not in lines:
            yield path, 2, f"header guard is not {guard}"


def check(root):
    for path in sources.files(root):
        if path.suffix not in TEXTS:
            continue
        try:
            lines = path.read_text().split("\n")
        except UnicodeDecodeError:
            continue
        yield from check_head(path, path.relative_to(root).as_posix(), lines)
        for line, text in enumerate(lines, 1):
            if NOTES.search(text):
                yield path, line, "a note to self: do it or drop it"
            if MACHINE_PATHS.search(text):
                yield path, line, "a path of one machine"
            if text != text.rstrip() and path.suffix != ".md":
                yield path, line, "blanks at the end of the line"


if __name__ == "__main__":
    sources.main(check)
