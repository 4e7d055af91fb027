# SPDX-License-Identifier: MIT
"""kill -9 at every call that changes the disk, from the first to the last; then the same command again.

What could go wrong: a final name that stands for less than the whole file; a lock, a list or a half file that keeps the
next run from its end; what was there is fetched again.
"""

import unittest

from support import crashes

CALLS_MIN = 10


class LargeFile(crashes.Get):
    """Some READs of 1 MiB, so that there are a first, a middle and a last one."""
    size = 6 * (1 << 20) + 1000


class KillPoints(crashes.Crashes):
    def kill_everywhere(self, scenario):
        self.assertGreater(super().kill_everywhere(scenario), CALLS_MIN)

    def test_a_file(self):
        self.kill_everywhere(LargeFile(self))

    def test_a_file_for_the_second_time(self):
        self.kill_everywhere(crashes.GetAgain(self))

    def test_a_part_of_a_file(self):
        self.kill_everywhere(crashes.GetRange(self))

    def test_a_file_that_is_replaced(self):
        self.kill_everywhere(crashes.GetForce(self))

    def test_a_folder_of_small_files(self):
        self.kill_everywhere(crashes.GetFolder(self))

    def test_a_download_of_a_node(self):
        self.kill_everywhere(crashes.Node(self))

    def test_a_push(self):
        self.kill_everywhere(crashes.Push(self))


if __name__ == "__main__":
    unittest.main()
