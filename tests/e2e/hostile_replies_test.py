# SPDX-License-Identifier: MIT
"""Replies that come before they were asked for, to every tool.

What could go wrong: request ids can be guessed, so a broker or a node may answer what a tool is only about to ask;
a flood of replies may keep a request from ever being sent. A tool must end with an exit code and its `done`.
"""

import os
import unittest

from support import zsp
from support.case import EndToEnd
from support.fake_broker import FakeBroker
from support.fake_node import FakeNode

AHEAD = 50
REFUSALS = 50 * AHEAD


class AheadBroker(FakeBroker):
    """Answers the next pages as well, and refuses searches that were not made yet."""

    def on_peers(self, route, message):
        source = [os.urandom(16), "127.0.0.1", 9, "x", None]
        for i in range(AHEAD):
            self.send(route, zsp.PEERS_OK, message.rid + i, 0 if i == AHEAD - 1 else 7, [[source, 0, 0, 0, []]])

    def on_search(self, route, message):
        for i in range(REFUSALS):
            self.send(route, zsp.ERROR, message.rid + i % AHEAD, zsp.LIMIT, "", 1)


class AheadNode(FakeNode):
    """Lists without end, and sends the next pages as well."""

    def on_list(self, route, message):
        (shared,) = self.files.values()
        for i in range(AHEAD):
            self.send(route, zsp.LIST_OK, message.rid + i, 0, i + 1, 1000, [shared.file(name=f"a{i:05}")])


class RepliesAhead(EndToEnd):
    def assert_ends(self, program, *args):
        with self.subTest(program=program, args=args):
            result = self.world.run(program, *args, "--timeout", "1", "--json")
            self.assertIn(result.code, (0, 1, 2, 3), f"\n{result}")
            self.assertEqual(result.done["exit"], result.code)

    def test_of_a_broker_end_no_tool(self):
        broker = self.world.fake(AheadBroker())
        target = self.world.path("out")
        self.assert_ends("zpeers", "--broker", broker.endpoint)
        self.assert_ends("zsearch", "--broker", broker.endpoint, "x")
        for name in ("x", "12345678", "x/"):
            self.assert_ends("zget", "--broker", broker.endpoint, "-d", target, name)

    def test_of_a_node_end_no_tool(self):
        node = self.world.fake(AheadNode([zsp.SharedFile("a", b"x" * 1000)]))
        target = self.world.path("out")
        self.assert_ends("zls", node.endpoint)
        for name in ("12345678", "x/"):
            self.assert_ends("zget", "--from", node.endpoint, "-d", target, name)


if __name__ == "__main__":
    unittest.main()
