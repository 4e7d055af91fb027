# SPDX-License-Identifier: MIT
"""Downloads that serve each other while they run, and sources that come and go meanwhile.

What could go wrong: a source on a narrow link sends everything to everyone; a download that is over is still listed; one
that was told not to serve does; a source that comes later is never asked; a restart of the only source ends the fetch.
"""

import unittest

from support import zsp
from support.actor import DEADLINE_S, wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient, PeerClient
from support.tree import chunk_log2

MIB = 1 << 20
SIZE = 48 * MIB


class Swarm(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.data = random_bytes(SIZE, 11)
        self.share = self.world.share("share", {"f.bin": self.data})

    def node(self, name, *args, **options):
        node = self.world.node(name, self.broker, self.share, args=args, **options)
        self.world.wait_found(self.broker, "f.bin")
        return node

    def get(self, name, *args):
        return self.world.start("zget", "--broker", self.broker.endpoint, "--json", "-d", self.world.path(name), *args,
                                "f.bin")

    def peers(self):
        """Names of the downloads that have joined the broker."""
        with BrokerClient(self.broker.endpoint) as client:
            return [source.node_name for source, *_ in client.peers() if source.node_name.startswith("zget-")]

    def finish(self, get, name):
        """The `file` event of a fetch that must succeed."""
        self.assertEqual(get.wait(2 * DEADLINE_S), 0, f"\n{get}")
        self.assertTrue((self.world.path(name) / "f.bin").read_bytes() == self.data, "other bytes")
        (file,) = [o for o in get.objects() if o["event"] == "file"]
        return file

    def received(self, files, from_node=None):
        """What came from this node, or in all."""
        return sum(source["received"] for file in files for source in file["sources"]
                   if from_node is None or source["node"] == from_node.node_id)

    def test_three_downloads_at_once_serve_each_other(self):
        node = self.node("node", "--up", "6M")
        gets = [self.get(f"out{i}") for i in range(3)]
        wait_until(lambda: len(self.peers()) == 3, "three downloads among the peers")
        partial = self.partial_sources()
        self.assertLessEqual({0 < have < 1 for have in partial}, {True})
        table = self.world.run("zpeers", "--broker", self.broker.endpoint)
        self.assertEqual(table.stdout.count("zget-"), 3, f"\n{table}")
        files = [self.finish(get, f"out{i}") for i, get in enumerate(gets)]
        self.world.wait_gone(self.broker, "zget-")
        by_node, total = self.received(files, node), self.received(files)
        self.assertEqual(total, sum(file["received"] for file in files))
        self.assertGreater(total - by_node, SIZE // 2, "they took nothing from each other")
        self.assertLess(by_node, 2 * SIZE, "the node sent nearly everything to everyone")
        for file in files:
            self.assertLess(file["received"], SIZE * 11 // 10)

    def partial_sources(self):
        """The `have` of sources that are not complete, by zsearch; waits for one."""
        def look():
            result = self.world.run("zsearch", "--broker", self.broker.endpoint, "--json", "f.bin")
            self.assert_exit(result, 0)
            return [s["have"] for o in result.objects("file") for s in o["sources"]
                    if s["node_name"].startswith("zget-")]
        return wait_until(look, "a download among the sources")

    def test_what_a_download_serves_is_verified_and_announced_as_it_comes(self):
        self.node("node", "--up", "4M")
        get = self.get("out")

        def address():
            with BrokerClient(self.broker.endpoint) as client:
                hits, _ = client.search(0, "f.bin")
                return next(((file, source) for file, sources in hits.items() for source in sources
                             if source.node_name.startswith("zget-")), None)
        file, source = wait_until(address, "the download among the sources")
        self.assertLess(file.have_permille, 1000)
        with PeerClient(f"{source.host}:{source.port}") as client:
            self.assertEqual(client.hello(source.node_id).node_id, source.node_id)
            opened = client.open(file_id=file.file_id)
            step = 1 << chunk_log2(SIZE)
            have = [i for i in range(SIZE // step) if opened.have[i // 8] & (0x80 >> i % 8)]
            self.assertTrue(0 < len(have) < SIZE // step)
            for index in have[:20]:
                part = client.read(file.file_id, index * step, step)
                self.assertTrue(part == self.data[index * step:(index + 1) * step])
            later = set()
            while not later:
                message = client.receive()
                self.assertIsNotNone(message, "no HAVE came")
                if message.kind == zsp.HAVE:
                    later |= {i for first, count in message.runs for i in range(first, first + count)} - set(have)
        self.finish(get, "out")

    def test_one_that_may_not_serve_never_joins_and_still_finds_sources(self):
        self.node("node", "--up", "1M")
        get = self.get("out", "--no-serve")
        get.wait_progress(1)
        other = self.world.node("other", self.broker, self.share)
        while get.running:
            self.assertEqual(self.peers(), [])
        file = self.finish(get, "out")
        self.assertGreater(self.received([file], other), 0)

    def test_a_source_that_comes_later_is_asked_within_seconds(self):
        self.node("node", "--up", "1M")
        get = self.get("out")
        get.wait_progress(1)
        other = self.world.node("other", self.broker, self.share)
        get.wait_stdout(rf'"node": ?"{other.node_id}".*"state": ?"joined"')
        self.assertGreater(self.received([self.finish(get, "out")], other), SIZE // 2)

    def test_an_interrupted_one_is_no_longer_listed(self):
        self.node("node", "--up", "4M")
        get = self.get("out")
        wait_until(self.peers, "the download among the peers")
        get.signal(2)
        self.assertEqual(get.wait(), 3, f"\n{get}")
        self.world.wait_gone(self.broker, "zget-")

    def test_when_the_only_source_is_killed_and_started_again_the_fetch_goes_on(self):
        node = self.node("node", "--up", "6M")
        get = self.get("out")
        get.wait_progress(SIZE // 4)
        node.kill()
        get.wait_stdout(r'"state": ?"left"')
        self.world.node("node", self.broker, self.share, port=node.port)
        file = self.finish(get, "out")
        self.assertLess(file["received"], SIZE + 16 * MIB)

    def test_when_the_only_source_says_goodbye_and_comes_back_the_fetch_goes_on(self):
        node = self.node("node", "--up", "6M")
        get = self.get("out")
        get.wait_progress(SIZE // 4)
        node.terminate()
        get.wait_stdout(r'"state": ?"left"')
        self.world.node("node", self.broker, self.share, port=node.port)
        file = self.finish(get, "out")
        self.assertLess(file["received"], SIZE + 16 * MIB)

    def test_when_the_only_source_stays_away_it_gives_up_and_keeps_what_it_has(self):
        node = self.node("node", "--up", "6M")
        get = self.get("out", "--timeout", "5")
        get.wait_progress(SIZE // 4)
        node.kill()
        self.assertEqual(get.wait(), 3, f"\n{get}")
        self.assertEqual([path.suffix for path in self.world.path("out").iterdir()], [".zpart"])
        self.world.wait_gone(self.broker, "zget-")


if __name__ == "__main__":
    unittest.main()
