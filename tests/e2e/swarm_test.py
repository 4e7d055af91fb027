# SPDX-License-Identifier: MIT
"""Many sources, sources that go, and downloads that are killed.

What could go wrong: a chunk asked for twice, or never again after its source died; a wait for ever when none is left;
a resume that trusts what was never written, or that fetches all anew.
"""

import random
import time
import unittest

from support import zsp
from support.actor import SLOWNESS, wait_until
from support.case import EndToEnd, random_bytes, sha256_of
from support.fake_node import FakeNode, GatedNode, SlowNode
from support.processes import STOP_S, Result

BIG_BYTES = 200 << 20
MIDDLE_BYTES = 24 << 20


class RealNodes(EndToEnd):
    def test_200_mib_from_three_sources_with_one_killed_in_the_middle(self):
        broker = self.world.broker()
        first = self.world.share("share0", {"big.bin": random_bytes(BIG_BYTES)})
        digest = sha256_of(first / "big.bin")
        nodes = []
        for number in range(3):
            folder = self.world.share(f"share{number}", {})
            if number:
                (folder / "big.bin").hardlink_to(first / "big.bin")
            nodes.append(self.world.node(f"node{number}", broker, folder, args=("--up", "24M")))
        self.world.wait_found(broker, "big.bin")
        target = self.world.path("out")
        get = self.world.start("zget", "--broker", broker.endpoint, "--json", "-d", target, "big.bin")
        for node in nodes:
            get.wait_event("source", lambda source: (source["node"], source["state"]) == (node.node_id, "joined"))
        get.wait_progress(BIG_BYTES // 8)
        nodes[1].kill()
        self.assertEqual(get.wait(120 * SLOWNESS), 0, f"\n{get}")
        self.assertEqual(sha256_of(target / "big.bin"), digest)
        (file,) = [o for o in get.objects() if o["event"] == "file"]
        self.assertGreaterEqual(file["received"], BIG_BYTES)
        gave = {source["node"] for source in file["sources"] if source["received"]}
        self.assertLessEqual({nodes[0].node_id, nodes[2].node_id}, gave, f"\n{get}")

    def test_the_only_source_is_killed_and_comes_back(self):
        broker = self.world.broker()
        data = random_bytes(BIG_BYTES // 2)
        folder = self.world.share("share", {"big.bin": data})
        node = self.world.node("node", broker, folder)
        self.world.wait_found(broker, "big.bin")
        target = self.world.path("out")
        get = self.world.start("zget", "--broker", broker.endpoint, "--json", "--timeout", "2", "-d", target, "big.bin")
        get.wait_stdout(r'"event": ?"start"')
        node.kill()
        code = get.wait(60 * SLOWNESS)
        self.assertIn(code, (0, 3), f"\n{get}")
        self.assertEqual((target / "big.bin").exists(), code == 0)
        self.world.node("node", broker, folder)
        self.world.wait_found(broker, "big.bin")
        again = self.world.run("zget", "--broker", broker.endpoint, "--json", "-d", target, "big.bin")
        self.assert_exit(again, 0)
        self.assertTrue((target / "big.bin").read_bytes() == data)


class StrangeNodes(EndToEnd):
    def setUp(self):
        super().setUp()
        self.data = random_bytes(MIDDLE_BYTES, 7)
        self.shared = zsp.SharedFile("files/middle.bin", self.data)
        self.target = self.world.path("out")

    def nodes(self, *kinds):
        return [self.world.fake(kind([self.shared])) for kind in kinds]

    def half(self):
        """A source that gives half of the file before its gate is opened."""
        return [self.world.fake(GatedNode([self.shared], gate_bytes=MIDDLE_BYTES // 2))]

    def command(self, nodes, *args):
        where = [arg for node in nodes for arg in ("--from", node.endpoint)]
        return ["zget", *where, "--json", "-d", self.target, *args, "middle.bin"]

    def asked_bytes(self, nodes):
        return sum(seen.message.length for node in nodes for seen in node.seen_of(zsp.READ))

    def partial(self):
        return [path for path in self.target.iterdir() if path.name.endswith(".zpart")] if self.target.exists() else []

    def test_three_sources_share_the_work_and_no_chunk_is_asked_for_twice(self):
        nodes = self.nodes(GatedNode, GatedNode, GatedNode)
        get = self.world.start(*self.command(nodes))
        for node in nodes:
            node.wait_seen(zsp.READ)
        for node in nodes:
            node.open_gate()
        result = Result(get, get.wait())
        self.assert_exit(result, 0)
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data)
        for node in nodes:
            for seen in node.seen_of(zsp.READ):
                self.assertLessEqual(seen.message.length, 1 << 20)
        (file,) = result.objects("file")
        self.assertEqual(file["received"] - file["wasted"], MIDDLE_BYTES)
        self.assertEqual(self.partial(), [])

    def test_one_source_is_asked_for_each_byte_once(self):
        nodes = self.nodes(FakeNode)
        self.assert_exit(self.world.run(*self.command(nodes)), 0)
        self.assertEqual(self.asked_bytes(nodes), MIDDLE_BYTES)

    def test_sources_that_vanish_are_replaced(self):
        nodes = self.nodes(GatedNode, GatedNode, GatedNode)
        get = self.world.start(*self.command(nodes))
        for node in nodes[:2]:
            node.wait_seen(zsp.READ)
            node.vanish()
            get.wait_event("source", lambda source: (source["node"], source["state"]) == (node.node_id.hex(), "left"))
        nodes[2].open_gate()
        self.assert_exit(Result(get, get.wait()), 0)
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data)

    def test_when_the_last_source_is_gone_it_says_so_and_keeps_what_it_has(self):
        nodes = self.half()
        get = self.world.start(*self.command(nodes, "--timeout", "5"))
        get.wait_progress(MIDDLE_BYTES // 8)
        nodes[0].vanish()
        result = Result(get, get.wait())
        self.assert_exit(result, 3)
        self.assertTrue(result.done["error"])
        self.assertFalse((self.target / "middle.bin").exists())
        others = self.nodes(FakeNode)
        again = self.world.run(*self.command(others))
        self.assert_exit(again, 0)
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data)
        self.assertLess(self.asked_bytes(others), MIDDLE_BYTES, "nothing was kept")
        self.assertEqual(self.partial(), [])

    def test_killed_in_the_middle_it_resumes_and_fetches_only_the_rest(self):
        get = self.world.start(*self.command(self.half()))
        get.wait_progress(4 << 20)
        get.kill()
        self.assertFalse((self.target / "middle.bin").exists())
        kept = [o["bytes"] for o in get.objects() if o["event"] == "progress"][-1]
        others = self.nodes(FakeNode)
        result = self.world.run(*self.command(others))
        self.assert_exit(result, 0)
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data)
        # What was acknowledged as "on disk" is still there: kill -9 loses no page cache.
        self.assertLessEqual(self.asked_bytes(others), MIDDLE_BYTES - kept + (4 << 20))
        self.assertEqual(self.partial(), [])

    def test_killed_again_and_again_it_finishes_and_the_file_is_right(self):
        nodes = self.nodes(SlowNode, SlowNode)
        source = random.Random(6)
        for _ in range(8):
            get = self.world.start(*self.command(nodes))
            end = time.monotonic() + source.uniform(0, 0.8)
            wait_until(lambda: time.monotonic() > end or not get.running, "the moment to kill")
            get.kill()
            final = self.target / "middle.bin"
            self.assertTrue(not final.exists() or final.read_bytes() == self.data, "a final name too early")
        self.assert_exit(self.world.run(*self.command(self.nodes(FakeNode))), 0)
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data)

    def test_terminated_in_the_middle_it_ends_at_once_and_keeps_what_it_has(self):
        get = self.world.start(*self.command(self.half()))
        get.wait_progress(4 << 20)
        code, seconds = get.terminate()
        self.assertEqual(code, 3)
        self.assertLess(seconds, STOP_S)
        self.assertFalse((self.target / "middle.bin").exists())
        self.assert_exit(self.world.run(*self.command(self.nodes(FakeNode))), 0)

    def test_a_second_zget_for_the_same_file_waits_for_the_first(self):
        nodes = self.half()
        first = self.world.start(*self.command(nodes))
        first.wait_progress(4 << 20)
        second = self.world.start(*self.command(nodes))
        second.wait_stderr(r"(?i)wait")
        nodes[0].open_gate()
        self.assertEqual(first.wait(), 0, f"\n{first}")
        self.assertEqual(second.wait(), 0, f"\n{second}")
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data)
        self.assertLess(self.asked_bytes(nodes), MIDDLE_BYTES * 3 // 2)

    def test_a_damaged_partial_file_is_noticed(self):
        get = self.world.start(*self.command(self.half()))
        get.wait_progress(4 << 20)
        get.kill()
        for path in self.partial():
            data = bytearray(path.read_bytes())
            for offset in range(0, len(data), 65536):
                data[offset] ^= 0xFF
            path.write_bytes(data)
        result = self.world.run(*self.command(self.nodes(FakeNode)))
        self.assert_exit(result, 0)
        self.assertTrue((self.target / "middle.bin").read_bytes() == self.data, "rotten bytes under the final name")


if __name__ == "__main__":
    unittest.main()
