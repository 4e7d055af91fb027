# SPDX-License-Identifier: MIT
"""zhash against an independent implementation of BEP 52 (libtorrent), and its manners.

What could go wrong: a root or a layer size that no other program agrees with; one bad file that hides the others; output
that a script cannot read.
"""

import importlib.util
import json
import os
import pathlib
import unittest

from support import tree
from support.case import EndToEnd

KIB, MIB = 1 << 10, 1 << 20
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"


def load_make_roots():
    """The script that made the committed vectors; it needs libtorrent."""
    spec = importlib.util.spec_from_file_location("make_roots", GOLDEN / "make_roots.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Zhash(EndToEnd):
    def setUp(self):
        super().setUp()
        self.folder = self.world.path("files")
        self.folder.mkdir(parents=True)

    def write(self, name, data):
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def test_roots_are_those_of_libtorrent_and_ids_follow_from_them(self):
        try:
            make_roots = load_make_roots()
        except ImportError:
            self.skip_loudly("python3-libtorrent is not installed")
        sizes = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 65536, 65537, MIB, 3 * MIB + 16 * KIB, 4 * MIB + 1, 5 * MIB + 3,
                 16 * MIB, 16 * MIB + 1, 130 * MIB, 300 * MIB + 7]
        names = [str(size) for size in sizes]
        for name, size in zip(names, sizes):
            make_roots.write_file(self.folder / name, size)
        result = self.world.run("zhash", *(f"files/{name}" for name in names))
        self.assert_exit(result, 0)
        for line, size in zip(result.raw_stdout.decode().splitlines(), sizes, strict=True):
            file_id, root, printed_size, name = line.split(" ")
            expected, _ = make_roots.torrent_hashes(str(self.folder), str(size))
            self.assertEqual((root, int(printed_size), name), (expected.hex(), size, f"files/{size}"))
            self.assertEqual(file_id, tree.file_id(size, expected).hex())

    def test_bad_files_have_a_line_each_and_the_others_are_hashed(self):
        good = self.write("good", b"abc")
        os.mkfifo(self.folder / "fifo")
        bad = [str(self.folder), str(self.folder / "none"), str(self.folder / "fifo"), "/dev/zero"]
        result = self.world.run("zhash", *bad, good)
        self.assert_exit(result, 2)
        lines = result.raw_stderr.decode().splitlines()
        self.assertEqual(len(lines), len(bad), lines)
        for line, name in zip(lines, bad):
            self.assertIn(name, line)
        self.assertEqual(result.raw_stdout.decode().split(" ")[1], tree.root(b"abc").hex())

    def test_json_has_an_event_a_file_and_one_done(self):
        data = os.urandom(70000)
        result = self.world.run("zhash", "--json", self.write("a", data), str(self.folder / "none"))
        self.assert_exit(result, 2)
        events = [json.loads(line) for line in result.raw_stdout.splitlines()]
        self.assertEqual([event["event"] for event in events], ["file", "done"])
        self.assertEqual(events[0], {"event": "file", "id": tree.id_of(data).hex(), "root": tree.root(data).hex(),
                                     "size": 70000, "name": str(self.folder / "a")})
        self.assertEqual(events[1]["exit"], 2)
        self.assertIn("none", events[1]["error"])

    def test_hostile_name_reaches_no_terminal_raw(self):
        name = self.write("\x1b[2J\u202egpj", b"x")
        result = self.world.run("zhash", name)
        self.assert_exit(result, 0)
        self.assert_clean_output(result)

    def test_hundreds_of_files_come_in_the_order_of_the_arguments(self):
        names = [self.write(f"{i}", str(i).encode() * (i * 300)) for i in range(300)]
        result = self.world.run("zhash", *names)
        self.assert_exit(result, 0)
        self.assertEqual([line.split(" ")[3] for line in result.raw_stdout.decode().splitlines()], names)

    def test_no_argument_is_an_error(self):
        self.assert_exit(self.world.run("zhash"), 2)


if __name__ == "__main__":
    unittest.main()
