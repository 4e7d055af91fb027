# SPDX-License-Identifier: MIT
"""A download whose power fails, or that is killed, at any moment: a small part of what `tests/faults/run` does.

What could go wrong: a final name that stands for wrong bytes; a have-map that is believed; what was synced is lost; a model
of a disk that forgives more than disks do.
"""

import os
import tempfile
import unittest
from pathlib import Path

from support import crashes
from support.disk_model import FIXED, KEPT, LOST, Disk, Fate


class Model(unittest.TestCase):
    """What the model makes of a record that is written by hand."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name, "root")
        self.root.mkdir()
        (self.root / "old").write_bytes(b"o" * 2000)
        self.disk = Disk(self.root)
        self.top, self.old = (os.stat(path).st_ino for path in (self.root, self.root / "old"))
        self.record = Path(folder.name, "record")

    def read(self, *entries):
        self.record.write_bytes(b"".join(entry if isinstance(entry, bytes) else entry.encode() + b"\0" for entry in entries))
        self.disk.read_record(self.record)

    def files(self, name, count=None):
        return self.disk.state(len(self.disk.ops) if count is None else count, FIXED[name]).files()

    def test_a_name_may_be_there_before_the_bytes_that_were_not_synced(self):
        self.read(f"make 7 {self.top} part", "write 7 0 4", b"data", f"move 7 {self.top} {self.top} part", "whole")
        self.assertEqual(self.files("only names kept")["whole"], b"")
        self.assertEqual(self.files("names and sizes kept")["whole"], bytes(4))
        self.assertEqual(self.files("all lost").keys(), {"old"})

    def test_what_was_synced_stays_and_what_came_later_may_not(self):
        self.read(f"make 7 {self.top} f", "write 7 0 4", b"data", "sync 7", f"sync {self.top}", "write 7 2 4", b"more")
        self.assertEqual(self.files("all lost")["f"], b"data")
        self.assertEqual(self.files("all kept")["f"], b"damore")
        self.assertNotIn("f", self.files("all lost", 4), "its folder was not synced yet")

    def test_a_write_is_torn_where_a_sector_of_the_disk_ends(self):
        self.read(f"write {self.old} 100 1500", b"n" * 1500)
        torn = self.disk.state(1, lambda op: Fate(True, [(412, 924, False)])).files()["old"]
        self.assertEqual(torn, b"o" * 512 + b"n" * 512 + b"o" * 976)

    def test_a_rename_is_one_step_and_replaces(self):
        self.read(f"make 7 {self.top} new", "write 7 0 1", b"n", "sync 7", f"move 7 {self.top} {self.top} new", "old")
        for fate in (KEPT, LOST):
            files = self.disk.state(len(self.disk.ops), lambda op, fate=fate: fate if len(op.changes) == 2 else KEPT).files()
            self.assertEqual(files, {"old": b"n"} if fate.is_kept else {"new": b"n", "old": b"o" * 2000})

    def test_a_record_that_misses_something_is_noticed(self):
        self.read()
        (self.root / "unseen").write_bytes(b"")
        with self.assertRaises(AssertionError):
            self.disk.check()


class Small(crashes.Crashes):
    def test_the_power_fails_at_any_moment_of_a_download(self):
        self.lose_power(crashes.Get(self), 4, 40)
        self.assertGreater(self.wrong_claims, 0, "no state was of the kind that this is about")

    def test_a_download_is_killed_at_each_call_that_changes_the_disk(self):
        self.assertGreater(self.kill_everywhere(crashes.Get(self)), 10)


if __name__ == "__main__":
    unittest.main()
