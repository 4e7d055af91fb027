#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""clang-tidy over every C file of the product: `clang_tidy.py BUILD_FOLDER`, which holds compile_commands.json."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("messages", "broker", "node", "tools")


def examine(build, path):
    run = subprocess.run(["clang-tidy", "-p", build, "--quiet", path], capture_output=True, text=True, check=False)
    found = re.findall(r"^(\S+?:\d+):\d+: (?:warning|error): (.*)$", run.stdout, re.M)
    if run.returncode != 0 and not found:
        found = [(f"{path}:1", f"clang-tidy failed: {run.stderr[-300:]}")]
    return found


def main():
    build = sys.argv[1]
    commands = json.loads((Path(build) / "compile_commands.json").read_text())
    paths = sorted({entry["file"] for entry in commands})
    paths = [path for path in paths if Path(path).relative_to(ROOT).parts[0] in PRODUCT]
    found = set()
    for path in paths:
        found |= set(examine(build, path))
    for where, message in sorted(found):
        print(f"{where.removeprefix(str(ROOT) + '/')}: {message}")
    bad = bool(found or not paths)
    print(f"{len(paths)} files examined")
    print(f"{0 if bad else 1} passed, {1 if bad else 0} failed")
    sys.exit(bad)


if __name__ == "__main__":
    main()
