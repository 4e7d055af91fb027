#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes a seed corpus from the golden vectors: make_seeds.py FOLDER makes
FOLDER/{message,scan,match,manifest}."""
import pathlib
import sys

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
DATA_KIND = 39


def write(folder, seeds):
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (folder / f"golden-{number:04}").write_bytes(seed)


def main():
    out = pathlib.Path(sys.argv[1])
    frames = [bytes.fromhex(line.split()[1]) for line in (GOLDEN / "messages.txt").read_text().splitlines()]
    write(out / "scan", frames)
    write(out / "message", [bytes([2 if frame[2] == DATA_KIND else 1]) + frame for frame in frames])

    matches = []
    for line in (GOLDEN / "fold.tsv").read_text().splitlines()[:120]:
        name, folded = (bytes.fromhex(part) for part in line.split("\t"))
        for mode, text in enumerate([folded, name, b"*" + folded[:60], b"0123456789"]):
            matches.append(bytes([mode, min(len(text), 255)]) + text[:255] + name)
    write(out / "match", matches)
    write(out / "manifest", [b"a /x\n# b\n'c d' \"/y z\"\ne\\ f g\\\"h # i\r\n", b"\xef\xbb\xbfa b\na c\nd\n"])


main()
