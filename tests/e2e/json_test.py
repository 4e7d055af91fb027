# SPDX-License-Identifier: MIT
"""What scripts read: every event of every program, field by field, and a `done` however it ended.

What could go wrong: a field that is missing, misnamed or of another type; no `done`, or two, after a usage error, a
signal, or trouble; an exit code that `done` says otherwise; a control or format character that reaches a terminal raw.
"""

import os
import signal
import unittest

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_node import FakeNode

ID, ROOT, NODE = r"[0-9a-f]{64}", r"[0-9a-f]{64}", r"[0-9a-f]{32}"
NAME = "odd \u202e\u200d\U0001f600 name.bin"


class SilentBroker(FakeBroker):
    def received(self, link, route, frames):
        self.note(link, route, self.decode(frames))


class SilentNode(FakeNode):
    def on_peer(self, route, message):
        pass


class Json(EndToEnd):
    def setUp(self):
        super().setUp()
        self.data = random_bytes(100000, 3)
        self.broker = self.world.broker()
        self.node = self.world.node("node", self.broker, self.world.share("share", {NAME: self.data, "d/e": b""}))
        self.world.wait_found(self.broker, NAME, "d/e")

    def run_json(self, program, *args, code=0):
        result = self.world.run(program, "--json", *args)
        self.assert_exit(result, code)
        self.assertTrue(all(32 <= byte < 127 or byte == 10 for byte in result.raw_stdout), f"\n{result}")
        self.assertEqual("error" in result.done, code != 0, f"\n{result}")
        self.assertEqual(list(result.done)[:2], ["event", "exit"])
        return result

    def assert_fields(self, event, **fields):
        """Every field of cli.md, with its value, its type, or a pattern."""
        for name, expected in fields.items():
            self.assertIn(name, event)
            value = event[name]
            if isinstance(expected, type):
                self.assertIs(type(value), expected, f"{name}: {value!r}")
            elif isinstance(expected, str) and name in ("id", "root", "node", "broker_id"):
                self.assertRegex(value, rf"^{expected}$")
            else:
                self.assertEqual(value, expected, name)

    def address(self):
        return {"host": "127.0.0.1", "port": self.node.port}

    def test_zsearch(self):
        result = self.run_json("zsearch", "--broker", self.broker.endpoint, "odd")
        (file,) = result.objects("file")
        self.assert_fields(file, id=ID, root=ROOT, size=100000, name=NAME, names=[NAME])
        (source,) = file["sources"]
        self.assert_fields(source, node=self.node.node_id, node_name="node", name=NAME, have=1, **self.address())
        self.assert_fields(result.done, asked=1, positive=1, negative=0, skipped=0, silent=0, truncated=False, ms=int)
        nothing = self.world.run("zsearch", "--json", "--broker", self.broker.endpoint, "--exact", "absent")
        self.assert_exit(nothing, 1)
        self.assert_fields(nothing.done, asked=1, positive=0, negative=1, exit=1)

    def test_zget(self):
        result = self.run_json("zget", "--broker", self.broker.endpoint, "-d", "out", "--down", "200K", NAME)
        (start,), (file,), sources = result.objects("start"), result.objects("file"), result.objects("source")
        self.assert_fields(start, id=ID, root=ROOT, size=100000, name=NAME, chunks=2, chunk_size=65536)
        self.assert_fields(sources[0], node=self.node.node_id, node_name="node", state="joined", reason=None,
                           **self.address())
        for progress in result.objects("progress"):
            self.assert_fields(progress, bytes=int, rate=int, sources=int)
        self.assert_fields(file, id=start["id"], path=f"out/{NAME}", received=100000, wasted=0, seconds=float)
        self.assert_fields(result.done, files=1, bytes=100000, received=100000, wasted=0)
        again = self.run_json("zget", "--broker", self.broker.endpoint, "-d", "out", NAME)
        self.assert_fields(again.objects("file")[0], id=start["id"], path=f"out/{NAME}", received=0, wasted=0)
        tree = self.run_json("zget", "--broker", self.broker.endpoint, "-d", "out", "d/")
        self.assert_fields(tree.objects("file")[0], path="out/d/e", received=0)
        self.assert_fields(tree.done, files=1, bytes=0, received=0, wasted=0)

    def test_zls_zpeers_zhash_and_zstat(self):
        files = self.run_json("zls", self.node.endpoint).objects("file")
        self.assertEqual([file["name"] for file in files], sorted(["d/e", NAME], key=str.encode))
        for file in files:
            self.assert_fields(file, id=ID, root=ROOT, size=int, have=1)
        peers = lambda: self.run_json("zpeers", "--broker", self.broker.endpoint).objects("peer")
        wait_until(lambda: peers()[0]["files"] == 2, "the broker to know of both files")
        (peer,) = peers()
        self.assert_fields(peer, node=self.node.node_id, node_name="node", files=2, bytes=100000, idle_ms=int,
                           tags=list, **self.address())
        (hashed,) = self.run_json("zhash", self.world.path("share", NAME)).objects("file")
        self.assert_fields(hashed, id=ID, root=ROOT, size=100000, name=str)
        (status,) = self.run_json("zstat", "--broker", self.broker.endpoint).objects("status")
        self.assert_fields(status, broker_id=NODE, agent=str, uptime_ms=int, nodes=1, searches=int, queries=int,
                           answers=int, bad_messages=0)

    def test_done_comes_once_after_every_usage_error(self):
        for program, *args in (["zsearch"], ["zget"], ["zget", ""], ["zget", "-o", "-", "x"], ["zget", "--range", "x", "y"],
                               ["zls"], ["zls", "x"], ["zhash"], ["zhash", "absent"], ["zpeers", "x"], ["zstat", "x"],
                               ["zput"], *([program, "--no-such-option"] for program in
                                           ("zsearch", "zget", "zls", "zhash", "zpeers", "zstat", "zput")),
                               *([program, "--timeout", "never"] for program in
                                 ("zsearch", "zget", "zls", "zhash", "zpeers", "zstat", "zput"))):
            with self.subTest(program=program, args=args):
                self.run_json(program, *args, code=2)

    def test_done_comes_once_after_a_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for kind, program, *args in ((SilentBroker, "zsearch", "x", "--broker"), (SilentBroker, "zget", "x", "--broker"),
                                         (SilentBroker, "zpeers", "--broker"), (SilentBroker, "zstat", "--broker"),
                                         (SilentNode, "zls"), (SilentNode, "zget", "x", "--from"),
                                         (SilentNode, "zget", "x/", "--from")):
                with self.subTest(program=program, args=args):
                    fake = self.world.fake(kind())  # of its own: what the one before said last may come late
                    process = self.world.start(program, "--timeout", 600, "--json", *args, fake.endpoint)
                    wait_until(lambda: fake.seen, "it to wait")
                    process.signal(number)
                    self.assertEqual(process.wait(), 3, f"\n{process}")
                    done = process.objects()
                    self.assertEqual([(event["event"], event["exit"]) for event in done], [("done", 3)])
                    self.assertIn("interrupted", done[0]["error"])

    def test_done_comes_once_when_there_is_no_broker(self):
        for program, *args in (["zsearch", "x"], ["zget", "x"], ["zget", "x/"], ["zpeers"], ["zstat"]):
            self.run_json(program, "--broker", "127.0.0.1:1", "--timeout", "1", *args, code=2)

    def test_an_ambiguous_name_comes_with_its_candidates(self):
        other = self.world.fake(FakeNode([zsp.SharedFile(NAME, b"other")], self.broker.endpoint))
        result = self.run_json("zget", "--broker", self.broker.endpoint, "-d", "out", NAME, code=4)
        self.assertEqual(len(result.objects("candidate")), 2)
        for candidate in result.objects("candidate"):
            self.assert_fields(candidate, id=ID, size=int, name=NAME, sources=1)
        self.assertEqual(other.seen_of(zsp.READ), [])
        self.assertFalse(os.path.exists(self.world.folder / "out" / NAME))


if __name__ == "__main__":
    unittest.main()
