# SPDX-License-Identifier: MIT
"""zput and znode together: the two ends of a push, both ours.

What could go wrong: the two halves differ in what they take the protocol for; two pushers send a chunk twice, or wait for
each other; what was saved is sent again; a file that came by push is not shared, or not found; a large one takes memory.
"""

import os
import signal
import unittest

from support.actor import DEADLINE_S
from support.case import sha256_of
from support.pushing import CHUNK, MIB, Pushing


class Together(Pushing):
    def node(self, *args, broker=None, name="taker", **named):
        share = self.world.share(f"share-{name}", {})
        node = self.world.node(name, broker, share, args=["--accept-push", *args], **named)
        node.share = share
        return node

    def assert_stored(self, node, path, name=None):
        self.assertEqual(sha256_of(node.share / (name or path.name)), sha256_of(path))

    def test_a_file_of_every_size_at_an_edge_arrives(self):
        node = self.node()
        for number, size in enumerate((0, 1, CHUNK, CHUNK + 1, 5 * MIB + 3)):
            path = self.file(size, f"{number}.bin", number)
            result = self.put(node, path)
            self.assert_exit(result, 0)
            self.assertEqual((self.the_push(result)["sent"], self.the_push(result)["stored"]), (size, path.name))
            self.assert_stored(node, path)

    def test_what_came_by_push_is_found_and_fetched(self):
        broker = self.world.broker()
        self.node(broker=broker)
        path = self.file(3 * MIB)
        result = self.world.run("zput", "--broker", broker.endpoint, "--to-name", "taker", path)
        self.assert_exit(result, 0)
        self.world.wait_found(broker, "a.bin")
        folder = self.world.path("back")
        self.assert_exit(self.world.run("zget", "--broker", broker.endpoint, "-d", folder, "a.bin"), 0)
        self.assertEqual(sha256_of(folder / "a.bin"), sha256_of(path))

    def test_the_same_again_sends_nothing(self):
        node, path = self.node(), self.file(3 * MIB)
        self.assert_exit(self.put(node, path), 0)
        result = self.put(node, path)
        self.assert_exit(result, 0)
        push = self.the_push(result)
        self.assertEqual((push["missing"], push["sent"], push["stored"]), (0, 0, "a.bin"))

    def test_another_file_of_the_name_gets_a_number(self):
        node = self.node()
        self.assert_exit(self.put(node, self.file(3 * CHUNK)), 0)
        path = self.file(3 * CHUNK, seed=99)
        result = self.put(node, path)
        self.assert_exit(result, 0)
        self.assertEqual(self.the_push(result)["stored"], "a (2).bin")
        self.assert_stored(node, path, "a (2).bin")

    def test_pushes_are_off_unless_allowed(self):
        node = self.world.node("closed", None, self.world.share("closed", {}))
        result = self.put(node, self.file(9))
        self.assert_exit(result, 2)
        self.assertIn("--accept-push", result.stderr)

    def test_no_more_than_the_quota(self):
        result = self.put(self.node("--push-quota", "1M"), self.file(3 * MIB))
        self.assert_exit(result, 2)
        self.assertIn("no room", result.stderr)

    def test_two_with_half_the_chunks_each_fill_one_file(self):
        node, path = self.node(), self.file(16 * MIB)
        puts = [self.start_put(node, path, "--chunks", half) for half in ("0-127", "128-255")]
        for put in puts:
            self.assertEqual(put.wait(), 0, f"\n{put}")
        self.assert_stored(node, path)
        pushes = [o for put in puts for o in put.objects() if o["event"] == "push"]
        self.assertEqual(sum(push["sent"] for push in pushes), 16 * MIB)
        self.assertIn("a.bin", [push["stored"] for push in pushes])

    def test_several_with_all_of_it_share_the_work(self):
        node, path = self.node(), self.file(16 * MIB)
        puts = [self.start_put(node, path, "--up", "256K") for _ in range(2)]
        for put in puts:
            put.wait_progress(1)
        puts.append(self.start_put(node, path))
        for put in puts:
            self.assertEqual(put.wait(), 0, f"\n{put}")
        self.assert_stored(node, path)
        sent = [o["sent"] for put in puts for o in put.objects() if o["event"] == "push"]
        self.assertLessEqual(sum(sent), 1.05 * 16 * MIB)
        self.assertTrue(all(sent), sent)

    def test_a_half_pushed_twice_is_sent_once(self):
        node, path = self.node(), self.file(4 * MIB)
        self.assert_exit(self.put(node, path, "--chunks", "0-31"), 0)
        result = self.put(node, path, "--chunks", "0-31")
        self.assert_exit(result, 0)
        self.assertEqual((self.the_push(result)["missing"], self.the_push(result)["sent"]), (32, 0))
        result = self.put(node, path)
        self.assert_exit(result, 0)
        self.assertEqual(self.the_push(result)["sent"], 2 * MIB)
        self.assert_stored(node, path)

    def under_way(self, node, path, *args):
        """A push of which a part is there, by what the pusher was told."""
        put = self.start_put(node, path, "--up", "2M", *args)
        put.wait_progress(MIB)
        return put

    def assert_goes_on(self, node, path):
        result = self.put(node, path)
        self.assert_exit(result, 0)
        self.assertLess(self.the_push(result)["sent"], os.path.getsize(path))
        self.assert_stored(node, path)

    def test_an_interrupted_push_goes_on(self):
        node, path = self.node(), self.file(16 * MIB)
        put = self.under_way(node, path)
        put.signal(signal.SIGINT)
        self.assertEqual(put.wait(), 3)
        self.assert_goes_on(node, path)

    def test_a_killed_pusher_goes_on(self):
        node, path = self.node(), self.file(16 * MIB)
        self.under_way(node, path).kill()
        self.assert_goes_on(node, path)

    def test_a_killed_node_that_comes_back_gets_the_rest_by_itself(self):
        node, path = self.node(), self.file(16 * MIB)
        put = self.under_way(node, path)
        node.kill()
        again = self.world.node("taker", None, node.share, args=["--accept-push"], port=node.port)
        self.assertEqual(put.wait(), 0, f"\n{put}")
        again.share = node.share
        self.assert_stored(again, path)
        (push,) = [o for o in put.objects() if o["event"] == "push"]
        self.assertLess(push["sent"], 1.8 * 16 * MIB)

    def test_an_unfinished_download_and_the_rest_of_it_make_one_file(self):
        source, path = self.node(name="source", wait=True), self.file(16 * MIB)
        self.assert_exit(self.put(source, path), 0)
        self.world.wait_shared(source, "a.bin")  # for a moment it is busy with looking at what landed
        folder = self.world.path("half")
        get = self.world.start("zget", "--from", source.endpoint, "-d", folder, "--down", "1M", "--json", "a.bin")
        get.wait_progress(MIB)
        get.signal(signal.SIGINT)
        self.assertEqual(get.wait(), 3, f"\n{get}")
        node = self.node()
        result = self.put(node, folder / "a.bin")
        self.assert_exit(result, 0)
        part = self.the_push(result)["sent"]
        self.assertTrue(0 < part < 16 * MIB)
        result = self.put(node, path)
        self.assert_exit(result, 0)
        self.assertEqual(self.the_push(result)["sent"], 16 * MIB - part)
        self.assert_stored(node, path)

    def test_a_file_of_more_than_4_gib_needs_no_memory_for_it(self):
        node, path = self.node(), self.world.path("from", "large.bin")
        size = (4 << 30) + 12345
        with open(path, "wb") as stream:
            stream.truncate(size)
            os.pwrite(stream.fileno(), os.urandom(3 * MIB), size - 5 * MIB)
        put = self.start_put(node, path, "--chunks", "1023-1024")
        self.assertEqual(put.wait(4 * DEADLINE_S), 0, f"\n{put}")
        (push,) = [o for o in put.objects() if o["event"] == "push"]
        self.assertEqual((push["chunks"], push["sent"]), (1025, (4 << 20) + 12345))


if __name__ == "__main__":
    unittest.main()
