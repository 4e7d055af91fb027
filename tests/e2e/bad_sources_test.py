# SPDX-License-Identifier: MIT
"""Sources that lie: whatever they send, only right bytes get a final name, and an honest source suffices.

What could go wrong: one wrong byte under the final name; a good source blamed; a bad one asked for ever; a hang.
"""

import unittest

from support import fake_node, zsp
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_node import GatedNode
from support.processes import Result

SIZE = (6 << 20) + 12345
EXACT = 1


class BadSources(EndToEnd):
    def setUp(self):
        super().setUp()
        self.data = random_bytes(SIZE, 3)
        self.shared = zsp.SharedFile("dir/file.bin", self.data)
        self.target = self.world.path("out")

    def command(self, nodes, *args, name=None):
        self.nodes = [self.world.fake(node) for node in nodes]
        where = [arg for node in self.nodes for arg in ("--from", node.endpoint)]
        return ["zget", *where, "-d", self.target, *args, name or self.shared.file_id.hex()]

    def get(self, *nodes, timeout_s=30, name=None):
        return self.world.run(*self.command(nodes, "--json", "--timeout", timeout_s, name=name))

    def get_beside_a_liar(self, liar):
        """A fetch from an honest node that gives nothing before the liar was caught."""
        honest = GatedNode([self.shared])
        get = self.world.start(*self.command([honest, liar], "--json"))
        get.wait_event("source", lambda source: source["state"] == "banned")
        honest.open_gate()
        return Result(get, get.wait())

    def assert_right(self, result):
        self.assert_exit(result, 0)
        self.assertTrue((self.target / "file.bin").read_bytes() == self.data)

    def assert_incomplete(self, result):
        self.assert_exit(result, 3)
        self.assertTrue(result.done["error"])
        self.assertFalse((self.target / "file.bin").exists())

    def assert_banned(self, result, node):
        banned = [o for o in result.objects("source") if o["state"] == "banned"]
        self.assertEqual([o["node"] for o in banned], [node.node_id.hex()], f"\n{result}")
        self.assertTrue(banned[0]["reason"])

    def test_corrupted_bytes_are_caught_named_and_fetched_elsewhere(self):
        result = self.get_beside_a_liar(fake_node.CorruptNode([self.shared], name="liar"))
        self.assert_right(result)
        self.assert_banned(result, self.nodes[1])
        (file,) = result.objects("file")
        self.assertLessEqual(file["wasted"], 16 << 20)
        self.assertIn("liar", result.stdout + result.stderr)

    def test_corrupted_bytes_beside_a_source_as_fast_do_not_matter(self):
        self.assert_right(self.get(fake_node.FakeNode([self.shared]), fake_node.CorruptNode([self.shared])))

    def test_the_name_of_a_bad_source_is_shown_without_json(self):
        honest = GatedNode([self.shared])
        get = self.world.start(*self.command([honest, fake_node.CorruptNode([self.shared], name="liar")]))
        get.wait_stderr("liar")
        honest.open_gate()
        self.assert_right(Result(get, get.wait()))

    def test_with_only_bad_sources_nothing_gets_the_final_name(self):
        result = self.get(*(fake_node.CorruptNode([self.shared]) for _ in range(3)), timeout_s=3)
        self.assert_incomplete(result)

    def test_a_single_chunk_file_is_checked_against_the_root(self):
        self.data = random_bytes(30000)
        self.shared = zsp.SharedFile("dir/file.bin", self.data)
        self.assert_incomplete(self.get(fake_node.CorruptNode([self.shared]), timeout_s=3))
        honest = fake_node.SlowNode([self.shared])
        self.assert_right(self.get(honest, fake_node.CorruptNode([self.shared])))

    def test_each_liar_alone_leads_to_exit_3_and_beside_an_honest_source_to_the_file(self):
        for kind in (fake_node.WrongHashesNode, fake_node.ShortHashesNode, fake_node.WrongRangeNode,
                     fake_node.ShortDataNode, fake_node.MuteNode, fake_node.RefusingNode, fake_node.LyingAboutSize):
            with self.subTest(kind=kind.__name__):
                for path in self.target.glob("*") if self.target.exists() else ():
                    path.unlink()
                self.assert_incomplete(self.get(kind([self.shared]), timeout_s=3))
                self.assert_right(self.get(fake_node.FakeNode([self.shared]), kind([self.shared])))

    def test_each_error_code_for_a_read_is_survived(self):
        for code in (zsp.BAD_MESSAGE, zsp.NOT_FOUND, zsp.BUSY, zsp.CHANGED, zsp.DENIED, zsp.LIMIT, zsp.INTERNAL,
                     zsp.BAD_RANGE, 77):
            with self.subTest(code=code):
                for path in self.target.glob("*") if self.target.exists() else ():
                    path.unlink()
                refusing = fake_node.RefusingNode([self.shared])
                refusing.code = code
                self.assert_right(self.get(fake_node.FakeNode([self.shared]), refusing))
                self.assertLess(len(refusing.seen_of(zsp.READ)), 2000, "a busy loop of refused READs")

    def test_data_that_nobody_asked_for_changes_nothing(self):
        result = self.get(fake_node.UnaskedDataNode([self.shared]), fake_node.FakeNode([self.shared]))
        self.assert_right(result)

    def test_a_source_with_another_file_under_the_id_is_refused(self):
        other = zsp.SharedFile("dir/file.bin", random_bytes(SIZE, 4))

        class Impostor(fake_node.FakeNode):
            def find(self, message):
                return other
        self.assert_incomplete(self.get(Impostor([self.shared]), timeout_s=3))
        self.assert_right(self.get(Impostor([self.shared]), fake_node.FakeNode([self.shared])))

    def test_a_node_that_is_busy_hashing_is_asked_again(self):
        class Hashing(fake_node.FakeNode):
            refusals = 2

            def on_open(self, route, message):
                if self.refusals:
                    self.refusals -= 1
                    self.error(route, message.rid, zsp.BUSY, "hashing", retry_ms=50)
                else:
                    super().on_open(route, message)
        self.assert_right(self.get(Hashing([self.shared]), name=self.shared.name))

    def test_a_node_that_stays_busy_is_no_answer_and_its_word_is_told(self):
        class Busy(fake_node.FakeNode):
            def on_open(self, route, message):
                self.error(route, message.rid, zsp.BUSY, retry_ms=0)
        result = self.get(Busy([self.shared]), name=self.shared.name)
        self.assert_exit(result, 3)
        self.assertIn("busy", result.stderr)
        self.assertIn("asked 1, silent 1", result.stderr)

    def test_a_wrong_chunk_size_makes_a_bad_source(self):
        class WrongChunks(fake_node.FakeNode):
            def open_fields(self, shared):
                return shared.file(), shared.chunk_log2 + 1, None
        self.assert_incomplete(self.get(WrongChunks([self.shared]), timeout_s=3))

    def test_a_size_of_2_63_is_refused_before_anything_is_allocated(self):
        huge = zsp.File(zsp.tree.file_id(1 << 63, bytes(32)), bytes(32), 1 << 63, "huge.bin")

        class Huge(fake_node.FakeNode):
            def find(self, message):
                return self.shared

            def open_fields(self, shared):
                return huge, 22, None

            def on_read(self, route, message):
                pass
        node = Huge([self.shared])
        node.shared = self.shared
        result = self.get(node, timeout_s=3, name="huge.bin")
        self.assertIn(result.code, (1, 2, 3), f"\n{result}")

    def test_a_node_at_a_reused_address_is_not_used(self):
        """The broker says one node id, another node answers at that port."""
        honest = self.world.fake(fake_node.FakeNode([self.shared]))
        stranger = self.world.fake(fake_node.CorruptNode([self.shared]))
        sources = [[honest.node_id, "127.0.0.1", honest.port, "honest", None],
                   [bytes(16), "127.0.0.1", stranger.port, "gone", None]]
        broker = self.world.fake(FakeBroker([(self.shared.file(), sources)], (2, 2, 0, 0, 0)))
        result = self.world.run("zget", "--broker", broker.endpoint, "--json", "-d", self.target, "file.bin")
        self.assert_right(result)
        self.assertEqual(stranger.seen_of(zsp.READ), [])


class ForgetfulBroker(EndToEnd):
    def test_a_broker_that_falls_silent_after_it_named_a_source_fails_no_download(self):
        class OneAnswer(FakeBroker):
            def on_search(self, route, message):
                if message.mode == EXACT:
                    super().on_search(route, message)
        shared = zsp.SharedFile("file.bin", random_bytes(100000))
        node = self.world.fake(fake_node.FakeNode([shared]))
        source = [node.node_id, "127.0.0.1", node.port, "honest", None]
        broker = self.world.fake(OneAnswer([(shared.file(), [source])], (1, 1, 0, 0, 0)))
        result = self.world.run("zget", "--broker", broker.endpoint, "--json", "-d", self.world.path("out"), "file.bin")
        self.assert_exit(result, 0)
        self.assertEqual(result.stderr, "")


class HostileBroker(EndToEnd):
    """A broker that lists what it should not."""

    def get(self, sources, size=100000):
        shared = zsp.SharedFile("file.bin", random_bytes(size))
        honest = self.world.fake(fake_node.FakeNode([shared]))
        good = [honest.node_id, "127.0.0.1", honest.port, "honest", None]
        broker = self.world.fake(FakeBroker([(shared.file(), [*sources, good])], (1, 1, 0, 0, 0)))
        target = self.world.path("out")
        result = self.world.run("zget", "--broker", broker.endpoint, "--json", "-d", target,
                                "file.bin")
        return result, target / "file.bin", shared

    def test_hosts_that_are_no_numeric_address_are_never_used(self):
        for host in ("ipc:///etc/passwd", "localhost", "%n%s%n%s", "127.0.0.1;127.0.0.1:1", "*", "", "[::1", "0.0.0.0",
                     "255.255.255.255", "224.0.0.1", "x" * 64):
            with self.subTest(host=host):
                result, path, shared = self.get([[bytes(16), host, 9, "bad", None]])
                self.assert_exit(result, 0)
                self.assertTrue(path.read_bytes() == shared.data)
                path.unlink()

    def test_port_zero_and_ten_dead_endpoints_do_not_stop_a_fetch(self):
        sources = [[bytes([i]) * 16, "127.0.0.1", 0 if i == 0 else i, f"dead{i}", None] for i in range(10)]
        result, path, shared = self.get(sources)
        self.assert_exit(result, 0)
        self.assertTrue(path.read_bytes() == shared.data)

    def test_more_dead_endpoints_than_a_download_takes_do_not_hide_an_honest_one(self):
        for port in (lambda i: i, lambda i: 0):  # nobody listens; no port at all
            sources = [[bytes([i]) * 16, "127.0.0.1", port(i), f"dead{i}", None] for i in range(1, 151)]
            result, path, shared = self.get(sources)
            self.assert_exit(result, 0)
            self.assertTrue(path.read_bytes() == shared.data)
            path.unlink()


if __name__ == "__main__":
    unittest.main()
