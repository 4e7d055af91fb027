#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Functions of at most 70 lines, files of about 500 (noted above that, refused above 600)."""

import sys

import sources

FUNCTION_LINES_MAX = 70
FILE_LINES_NOTED = 500
FILE_LINES_MAX = 600


def functions(text):
    """(first line, line count) of each C function body: our style puts its braces at column 0."""
    start = None
    for line, content in enumerate(text.split("\n"), 1):
        if content == "{":
            start = line
        elif content.startswith("}") and start is not None:
            yield start, line - start + 1
            start = None


def check(root):
    for path in sources.files(root, ".c", ".h", ".py", ".sh"):
        text = path.read_text()
        count = text.count("\n")
        if count > FILE_LINES_MAX:
            yield path, count, f"file of {count} lines, {FILE_LINES_MAX} at most"
        elif count > FILE_LINES_NOTED:
            print(f"note: {path.relative_to(root)} has {count} lines", file=sys.stderr)
        if path.suffix in (".c", ".h"):
            for line, length in functions(text):
                if length > FUNCTION_LINES_MAX:
                    yield path, line, f"function of {length} lines, {FUNCTION_LINES_MAX} at most"


if __name__ == "__main__":
    sources.main(check)
