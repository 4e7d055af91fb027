#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Calls that have no safe use here: unbounded copies, parsers without errors, shells; sleeps in unit tests."""

import re

import sources

BANNED = ("strcpy", "strcat", "stpcpy", "sprintf", "vsprintf", "gets", "atoi", "atol", "atoll", "atof", "strtok",
          "system", "popen", "tmpnam", "mktemp", "alloca")
SLEEPS = ("sleep", "usleep", "nanosleep", "clock_nanosleep", "zclock_sleep")


def check(root):
    for path in sources.files(root, ".c", ".h"):
        names = BANNED
        if path.relative_to(root).as_posix().startswith("tests/unit/"):
            names += SLEEPS
        call = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\(")
        code = sources.without_comments_and_strings(path.read_text())
        for line, text in enumerate(code.split("\n"), 1):
            for match in call.finditer(text):
                yield path, line, f"{match.group(1)} is banned"


if __name__ == "__main__":
    sources.main(check)
