# SPDX-License-Identifier: MIT
"""Rates that users set: --up where bytes are served, --down where they are fetched.

What could go wrong: a rate is not kept, is kept for each connection instead of all, counts bits as bytes, stops for ever,
or holds up messages that are no payload. Only lower bounds of time are looked at: a busy machine proves nothing else.
"""

import time
import unittest

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import PeerClient
from support.fake_node import FakeNode

MIB = 1 << 20
SIZE = 8 * MIB

# What may pass at once, before a rate holds: a burst of 100 ms and one READ that is paid off afterwards.
BURST_S = 0.1
READ = MIB


class Rates(EndToEnd):
    def setUp(self):
        super().setUp()
        self.shared = zsp.SharedFile("f.bin", random_bytes(SIZE, 13))

    def real_node(self, *args):
        node = self.world.node("node", None, self.world.share("share", {"f.bin": self.shared.data}), args=args)
        self.world.wait_shared(node, "f.bin")
        return node

    def get(self, node, name, *args):
        return self.world.start("zget", "--from", node.endpoint, "--json", "-d", self.world.path(name), *args, "f.bin")

    def finish(self, get, name, source_count=1):
        self.assertEqual(get.wait(), 0, f"\n{get}")
        self.assertTrue((self.world.path(name) / "f.bin").read_bytes() == self.shared.data)
        (file,) = [o for o in get.objects() if o["event"] == "file"]
        self.assertEqual(file["received"] - file["wasted"], SIZE)
        if source_count == 1:
            self.assertEqual(file["wasted"], 0)
        return file

    def assert_took(self, seconds, rate, size=SIZE):
        """At least what this rate needs for that size."""
        self.assertGreaterEqual(seconds, (size - READ) / rate - BURST_S)

    def test_down_is_kept_by_a_download(self):
        node = self.world.fake(FakeNode([self.shared]))
        for text, rate in (("4M", 4 * MIB), ("40Mbit", 5000000)):
            with self.subTest(rate=text):
                self.assert_took(self.finish(self.get(node, text, "--down", text), text)["seconds"], rate)

    def test_down_is_kept_over_all_sources_together(self):
        nodes = [self.world.fake(FakeNode([self.shared])) for _ in range(3)]
        more = [arg for node in nodes[1:] for arg in ("--from", node.endpoint)]
        get = self.get(nodes[0], "out", *more, "--down", "4M")
        file = self.finish(get, "out", source_count=3)  # who is slow at the end: another is asked as well
        self.assert_took(file["seconds"], 4 * MIB, file["received"])

    def test_up_is_kept_by_a_node_over_all_its_requesters(self):
        node = self.real_node("--up", "8M")
        began = time.monotonic()
        gets = [self.get(node, f"out{i}") for i in range(2)]
        for i, get in enumerate(gets):
            self.finish(get, f"out{i}")
        self.assert_took(time.monotonic() - began, 8 * MIB, 2 * SIZE)

    def test_up_each_is_kept_for_each_requester(self):
        node = self.real_node("--up-each", "4M")
        gets = [self.get(node, f"out{i}") for i in range(2)]
        for i, get in enumerate(gets):
            self.assert_took(self.finish(get, f"out{i}")["seconds"], 4 * MIB)

    def test_lan_free_holds_for_no_neighbour(self):
        node = self.real_node("--up", "1K", "--up-each", "1K", "--lan-free")
        self.finish(self.get(node, "out"), "out")  # at 1 KiB a second it would give up

    def test_lists_and_hashes_come_while_payload_is_held_up(self):
        node = self.real_node("--up", "2M")
        get = self.get(node, "out")
        get.wait_stdout(r'"event": ?"source"')
        with PeerClient(node.endpoint) as client:
            client.hello()
            self.assertEqual([file.name for file in client.list()], ["f.bin"])
            self.assertEqual(len(client.layer(self.shared.file())), len(self.shared.layer))
            client.ping()
        get.kill()

    def test_requesters_share_a_rate_fairly(self):
        node = self.real_node("--up", "4M")
        gets = [self.get(node, f"out{i}", "--timeout", "60") for i in range(3)]
        for get in gets:
            wait_until(lambda get=get: self.bytes_of(get) >= SIZE // 4, "a quarter of the file")
        for get in gets:
            self.assertGreaterEqual(self.bytes_of(get), max(map(self.bytes_of, gets)) // 4)
            get.kill()

    def bytes_of(self, get):
        return max((o["bytes"] for o in get.objects() if o["event"] == "progress"), default=0)

    def test_up_is_kept_by_a_download_that_serves(self):
        broker = self.world.broker()
        self.world.node("node", broker, self.world.share("share", {"f.bin": self.shared.data}), args=("--up", "500K"))
        self.world.wait_found(broker, "f.bin")
        get = self.world.start("zget", "--broker", broker.endpoint, "--json", "-d", self.world.path("out"), "--up",
                               "400K", "f.bin")
        get.wait_progress(SIZE // 8)

        def joined():
            peers = self.world.run("zpeers", "--broker", broker.endpoint, "--json").objects("peer")
            return next((peer for peer in peers if peer["node_name"].startswith("zget-")), None)
        own = wait_until(joined, "it to join")
        with PeerClient(f"{own['host']}:{own['port']}") as client:
            client.hello()
            have = client.open(file_id=self.shared.file_id).have
            held = [i for i in range(SIZE >> 16) if have[i // 8] & (0x80 >> i % 8)][:10]
            began = time.monotonic()
            for index in held:
                self.assertTrue(client.read(self.shared.file_id, index << 16, 1 << 16) ==
                                self.shared.data[index << 16:(index + 1) << 16])
            self.assertEqual(len(held), 10)
            self.assertGreaterEqual(time.monotonic() - began, (len(held) - 1 << 16) / (400 << 10) - BURST_S)
        get.kill()

    def test_a_rate_that_is_none_is_an_error_that_names_the_option(self):
        for program, option in (("zget", "--down"), ("zget", "--up"), ("znode", "--up")):
            for text in ("fast", "-1", "1X", "1kbitt", "", "99999999999999999999"):
                with self.subTest(program=program, option=option, text=text):
                    result = self.world.run(program, option, text, *(("x",) if program == "zget" else ()))
                    self.assert_exit(result, 2)
                    self.assertIn(option, result.stderr)


if __name__ == "__main__":
    unittest.main()
