# SPDX-License-Identifier: MIT
"""The test support against itself: a wrong fake would prove our programs wrong, or worse, right."""

import hashlib
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import matching, tree, zsp
from support.actor import Unexpected
from support.case import random_bytes
from support.fake_broker import FakeBroker
from support.fake_client import BrokerClient, PeerClient, Refused
from support.fake_node import CorruptNode, FakeNode, GatedNode, WrongHashesNode
from support.processes import World


def naive_root(data):
    """The definition, word by word: leaves, padding to a power of two, pairs."""
    level = tree.block_hashes(data)
    while len(level) & (len(level) - 1):
        level.append(bytes(32))
    while len(level) > 1:
        level = [hashlib.sha256(level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]


class Tree(unittest.TestCase):
    def test_root_follows_the_definition_at_every_edge(self):
        for size in (1, 16383, 16384, 16385, 32768, 49152, 65536, 65537, 131072, 1000000):
            data = random_bytes(size)
            self.assertEqual(tree.root(data), naive_root(data), size)

    def test_empty_file_has_the_zero_root(self):
        self.assertEqual(tree.root(b""), bytes(32))

    def test_chunk_layer_hashes_up_to_the_root(self):
        for size in (65537, 131072, 200000, 1000000):
            data = random_bytes(size)
            self.assertEqual(tree.layer_root(tree.chunk_layer(data), size), tree.root(data), size)

    def test_chunk_size_is_the_smallest_that_keeps_2048_chunks(self):
        self.assertEqual(tree.chunk_log2(0), 16)
        self.assertEqual(tree.chunk_log2(2048 << 16), 16)
        self.assertEqual(tree.chunk_log2((2048 << 16) + 1), 17)
        self.assertEqual(tree.chunk_log2(1 << 50), 22)


class Matching(unittest.TestCase):
    def test_filter_never_rules_out_a_match(self):
        names = ["a/Ação.TXT", "日本語/файл.bin", "straße.tar.gz", "ﬁne/x", "İstanbul.md", "e\u0301"]
        files = [(name, tree.id_of(name.encode())) for name in names]
        presence = matching.presence_filter(files, 12)
        for name, file_id in files:
            for mode, text in ((0, name[1:5]), (1, name), (1, matching.base_name(name)), (2, "*" + name[-3:]),
                               (3, file_id.hex()[:9])):
                if matching.matches(mode, text, name, file_id, 1):
                    self.assertTrue(matching.filter_may_match(presence, mode, text), (mode, text))

    def test_glob(self):
        for pattern, text, slash, expected in (
                ("*.txt", "a.txt", False, True), ("a?c", "abc", False, True), ("a[b-d]c", "acc", False, True),
                ("a[!b]c", "abc", False, False), ("*", "a/b", True, False), ("*/b", "a/b", True, True),
                ("a[/]b", "a/b", True, False)):
            self.assertEqual(matching.glob_matches(pattern, text, slash), expected, (pattern, text))


class Decoder(unittest.TestCase):
    def test_refuses_what_the_protocol_forbids(self):
        file = zsp.SharedFile("a", b"x").file()
        for header in (
                b"", b"\x93\x01\x01", zsp.pack([2, 1, 1]), zsp.pack([1, 99, 1]), zsp.pack([1, 1, -1]),
                zsp.pack([1, 1, 1]) + b"\0", zsp.pack({"a": 1}), zsp.encode(zsp.BYE, 1, b"bin"),
                zsp.encode(zsp.BYE, 1, "a\x1bb"), zsp.encode(zsp.BYE, 1, "x" * 257), zsp.encode(zsp.BYE, 1),
                zsp.encode(zsp.ANSWER, 1, 1, [zsp.File(file.file_id, file.root, 2, "a")]),
                zsp.encode(zsp.ANSWER, 1, 1, [zsp.File(file.file_id, file.root, 1, "../a")]),
                zsp.encode(zsp.ANSWER, 1, True, [])):
            with self.assertRaises(zsp.BadMessage, msg=header):
                zsp.decode(header)

    def test_further_elements_and_fields_are_ignored(self):
        file = zsp.SharedFile("a", b"x", extra=(123, True, "later")).file()
        message = zsp.decode(zsp.encode(zsp.ANSWER, 1, 1, [file], "later"))
        self.assertEqual(message.files, [file])


class Fakes(unittest.TestCase):
    def setUp(self):
        self.data = random_bytes(300000)
        self.shared = zsp.SharedFile("x/data.bin", self.data)

    def start(self, fake):
        self.addCleanup(fake.stop)
        return fake

    def test_client_fetches_from_node(self):
        node = self.start(FakeNode([self.shared]))
        with PeerClient(node.endpoint) as client:
            client.hello(node.node_id)
            self.assertEqual([file.name for file in client.list("x/")], ["x/data.bin"])
            self.assertEqual(client.fetch(self.shared.file_id), self.data)
            with self.assertRaises(Refused) as caught:
                client.read(self.shared.file_id, 300000, 1)
            self.assertEqual(caught.exception.code, zsp.BAD_RANGE)

    def test_client_notices_corrupt_bytes_and_hashes(self):
        for kind in (CorruptNode, WrongHashesNode):
            node = self.start(kind([self.shared]))
            with PeerClient(node.endpoint) as client:
                client.hello()
                with self.assertRaises(Unexpected):
                    client.fetch(self.shared.file_id)

    def test_node_joins_broker_and_answers_its_query(self):
        broker = self.start(FakeBroker())
        node = self.start(FakeNode([self.shared], broker.endpoint))
        route, join = broker.wait_joined()
        self.assertEqual(join.node_id, node.node_id)
        self.assertEqual(broker.query(route, matching.WORDS, "data").files, [self.shared.file()])
        self.assertEqual(broker.query(route, matching.WORDS, "nothing").total, 0)
        with BrokerClient(broker.endpoint) as client:
            client.ping()
            hits, done = client.search(matching.WORDS, "data")
            self.assertEqual((hits, done.asked), ({}, 1))


class Counting(unittest.TestCase):
    """The last line of tests/run must be able to say that something failed."""

    def setUp(self):
        sys.path.insert(0, str(Path(__file__).resolve().parent))
        import count_results
        self.count = count_results

    def test_criterion_and_python_summaries_are_counted(self):
        synthesis = "\x1b[0;34m====\x1b[0m] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: %d"
        for name, succeeded, output, expected in (
                ("u", True, synthesis % (7, 7, 0, 0), (7, 0)), ("u", False, synthesis % (7, 4, 1, 2), (4, 3)),
                ("u", True, synthesis % (0, 0, 0, 0), (0, 1)), ("u", False, synthesis % (3, 3, 0, 0), (3, 1)),
                ("e", True, "1 passed, 0 failed\nnoise\n5 passed, 0 failed\n", (5, 0)),
                ("e", False, "5 passed, 2 failed\n", (5, 2)), ("e", True, "nothing\n", (0, 1)), ("e", True, "", (0, 1)),
                ("e", False, "", (0, 1)), ("x_main", True, "", (1, 0)), ("sim_x", True, "300 seeds\n", (1, 0)), ("x_main", False, "", (0, 1))):
            self.assertEqual(self.count.count_entry(name, succeeded, output), expected, output)

    def test_a_missing_broken_or_empty_report_is_a_failure(self):
        with tempfile.TemporaryDirectory() as folder:
            for text in (None, "garbage", "<testsuite></testsuite>"):
                path = Path(folder) / "report.xml"
                if text:
                    path.write_text(text)
                self.assertEqual(self.count.count_report(path)[:2], (0, 1), text)

    def test_skipped_tests_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.xml"
            path.write_text('<testsuite><testcase name="e" status="run"><system-out>x ... skipped: no root\n'
                            '1 passed, 0 failed\n</system-out></testcase></testsuite>')
            self.assertEqual(self.count.count_report(path), (1, 0, [], ["skipped: no root"]))


class Worlds(unittest.TestCase):
    """What a test's world notices by itself, shown with a shell in place of our programs."""

    def setUp(self):
        self.world = World()
        self.addCleanup(lambda: self.world.close())

    def assert_noticed(self, words):
        with self.assertRaises(Unexpected) as caught:
            self.world.close()
        self.assertIn(words, str(caught.exception))
        self.assertFalse(self.world.folder.exists())
        self.world = World()

    def shell(self, script):
        return self.world.start("/bin/sh", "-c", script, stdin=subprocess.PIPE)

    def test_a_crash_is_noticed(self):
        self.shell("kill -ABRT $$").wait()
        self.assert_noticed("died of signal 6")

    def test_a_sanitizer_report_is_noticed_in_any_exit(self):
        for report in ("==1==ERROR: LeakSanitizer: detected", "x.c:1:2: runtime error: shift", "Assertion `x' failed.",
                       "WARNING: ThreadSanitizer: data race"):
            self.world.start("/bin/sh", "-c", 'echo "$1" >&2', "sh", report).wait()
            self.assert_noticed("complained")

    def test_a_program_that_ignores_sigterm_is_killed_and_noticed(self):
        process = self.shell("trap '' TERM; echo up; while :; do sleep 0.1; done")
        process.wait_stdout("^up$")
        self.world.stop_s = 0.3
        self.assertEqual(len(self.world.end(process)), 1)
        self.assertFalse(process.running)
        self.world.close()

    def test_waiting_for_a_line_ends_with_the_program(self):
        with self.assertRaises(Unexpected):
            self.shell("echo one").wait_stdout("two")
        self.world.close()

    def test_a_stream_is_whole_only_when_it_has_ended(self):
        process = self.shell("echo one; echo two; echo three; read line")
        process.wait_stdout("three")
        for look in (lambda: process.stdout.text, lambda: process.stdout.lines, lambda: process.stderr.text):
            self.assertRaises(Unexpected, look)
        self.assertEqual(process.stdout.until("two"), ["one", "two"])
        self.assertEqual(process.stdout.lines_so_far, ["one", "two", "three"])
        process.popen.stdin.close()
        process.wait()
        self.assertEqual((process.stdout.lines, process.stderr.text), (["one", "two", "three"], ""))
        self.world.close()

    def test_a_port_is_held_for_the_programs_of_the_test_and_nobody_listens_there_before(self):
        port = self.world.port()
        self.assertRaises(ConnectionRefusedError, socket.create_connection, ("127.0.0.1", port))
        with socket.socket() as stranger:
            self.assertRaises(OSError, stranger.bind, ("127.0.0.1", port))
        for _ in range(2):
            fake = FakeBroker(port=port)
            with BrokerClient(fake.endpoint) as client:
                client.ping()
            fake.stop()
        self.world.close()

    def test_what_a_gate_holds_back_comes_when_it_is_opened(self):
        data = random_bytes(3000)
        shared = zsp.SharedFile("a", data)
        node = self.world.fake(GatedNode([shared], gate_bytes=1000))
        with PeerClient(node.endpoint) as client:
            client.hello()
            rids = [client.send(zsp.READ, shared.file_id, offset, 1000) for offset in (0, 1000, 2000)]
            self.assertEqual(client.reply(rids[0], zsp.DATA).payload, data[:1000])
            client.ping()
            self.assertEqual(len(node.held), 2)
            node.open_gate()
            self.assertEqual([client.reply(rid, zsp.DATA).offset for rid in rids[1:]], [1000, 2000])
        self.world.close()

    def test_a_bad_message_to_a_fake_is_noticed(self):
        broker = self.world.fake(FakeBroker())
        with BrokerClient(broker.endpoint) as client:
            client.send_raw(b"\xc1")
            client.ping()
        self.assert_noticed("bad message")

    def test_done_must_come_once_and_last_and_tell_the_exit(self):
        good = '{"event":"done","exit":0}'
        for lines, fine in ((good, True), (f"{good}\n{good}", False), (good + '\n{"event":"file"}', False),
                            ('{"event":"file"}', False), ('{"event":"done","exit":1}', False)):
            result = self.world.run("/bin/sh", "-c", f"printf '%s\\n' '{lines}'")
            if fine:
                self.assertTrue(result.done)
            else:
                with self.assertRaises(Unexpected):
                    self.assertTrue(result.done)
        self.world.close()
