# SPDX-License-Identifier: MIT
"""The power fails at any moment: what may then be on the disk is laid out anew, and the same command run again.

What could go wrong: a final name that stands for bytes which were never synced; a have-map that is believed; a list, an
identity or a hash cache that keeps a node from starting; what was told to be complete is gone; all is fetched again.
"""

import unittest

from support import crashes


class PowerLoss(crashes.Crashes):
    def test_a_file(self):
        self.lose_power(crashes.Get(self), 40, 200)

    def test_a_file_for_the_second_time(self):
        self.lose_power(crashes.GetAgain(self), 40, 80)

    def test_a_part_of_a_file(self):
        self.lose_power(crashes.GetRange(self), 40, 80)

    def test_a_file_that_is_replaced(self):
        self.lose_power(crashes.GetForce(self), 40, 80)

    def test_a_folder_of_small_files(self):
        self.lose_power(crashes.GetFolder(self), 10, 80)

    def test_a_download_of_a_node(self):
        self.lose_power(crashes.Node(self), 10, 80)

    def test_a_push(self):
        self.lose_power(crashes.Push(self), 10, 60)

    def test_a_push_of_an_empty_file(self):
        self.lose_power(crashes.PushEmpty(self), 10, 30)


if __name__ == "__main__":
    unittest.main()
