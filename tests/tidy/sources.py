# SPDX-License-Identifier: MIT
"""The files that the checks look at, and how a check reports."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {".git", "build", "__pycache__"}


def files(root, *suffixes):
    """Project files with one of these suffixes (all without), in a stable order."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if path.is_file() and not SKIPPED_FOLDERS & set(parts) and (not suffixes or path.suffix in suffixes):
            yield path


def without_comments_and_strings(text):
    """C source with the same lines, in which only code is left."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def main(check):
    """Runs `check(root)`, which yields (path, line, message); exit 1 when it found anything."""
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    count = 0
    for path, line, message in check(root):
        print(f"{path.relative_to(root)}:{line}: {message}")
        count += 1
    print(f"{0 if count else 1} passed, {1 if count else 0} failed")
    sys.exit(1 if count else 0)
