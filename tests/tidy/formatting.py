#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every C file is as clang-format leaves it."""

import re
import subprocess

import sources


def check(root):
    paths = list(sources.files(root, ".c", ".h"))
    if not paths:
        return
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, paths)], capture_output=True, text=True,
                         cwd=root, check=False)
    seen = set()
    for path, line in re.findall(r"^(.+?):(\d+):\d+: error: ", run.stderr, re.M):
        if (path, line) not in seen:
            seen.add((path, line))
            yield root / path, int(line), "not formatted: run clang-format -i"
    if run.returncode != 0 and not seen:
        yield paths[0], 1, f"clang-format failed: {run.stderr[:200]}"


if __name__ == "__main__":
    sources.main(check)
