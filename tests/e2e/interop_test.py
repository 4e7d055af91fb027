# SPDX-License-Identifier: MIT
"""Our broker and our node against strangers that were written from the protocol page alone.

What could go wrong: two programs of ours that agree with each other and with nobody else.
"""

import os
import time
import unittest

from support import matching, tree, zsp
from support.actor import SLOWNESS, wait_until
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_client import BrokerClient, PeerClient, Refused
from support.fake_node import FakeNode


class Node(EndToEnd):
    """A strange client and a strange broker at our node."""

    def setUp(self):
        super().setUp()
        self.big = random_bytes(3 * 65536 + 77, 8)
        self.files = {"a/one.bin": self.big, "a/two.txt": b"two", "b/two.txt": b"other two", "empty": b""}
        self.broker = self.world.fake(FakeBroker())
        self.node = self.world.node("the name", self.broker, self.world.share("share", self.files))
        self.world.wait_shared(self.node, *self.files)
        self.route, self.join = self.broker.wait_joined()
        self.client = PeerClient(self.node.endpoint)
        self.addCleanup(self.client.close)
        self.hello = self.client.hello()
        self.big_id = tree.id_of(self.big)

    def refused(self, kind, *fields):
        with self.assertRaises(Refused) as caught:
            self.client.request(kind, *fields, reply=None)
        return caught.exception.code

    def refused_read(self, offset, length, file_id=None):
        return self.client.reply(self.client.send(zsp.READ, file_id or self.big_id, offset, length), zsp.ERROR).code

    def test_join_and_hello_tell_the_same_node(self):
        self.assertEqual(self.join.node_id.hex(), self.node.node_id)
        self.assertEqual((self.join.port, self.join.node_name), (self.node.port, "the name"))
        self.assertEqual(self.hello.node_id, self.join.node_id)
        self.assertEqual(self.hello.node_name, "the name")
        self.assertNotEqual(self.hello.instance, self.join.boot)
        self.assertGreaterEqual(self.hello.window_bytes, 16 << 20)
        self.assertTrue(1 << 20 <= self.hello.max_read <= 4 << 20)

    def test_another_expected_node_is_refused(self):
        with PeerClient(self.node.endpoint) as client:
            with self.assertRaises(Refused) as caught:
                client.hello(bytes(16))
            self.assertEqual(caught.exception.code, zsp.WRONG_NODE)

    def test_list_is_in_byte_order_by_prefix_and_paged(self):
        self.assertEqual([file.name for file in self.client.list()], sorted(self.files, key=str.encode))
        self.assertEqual([file.name for file in self.client.list("a/")], ["a/one.bin", "a/two.txt"])
        self.assertEqual([file.name for file in self.client.list("a/", limit=1)], ["a/one.bin", "a/two.txt"])
        self.assertEqual(self.client.list("nothing"), [])

    def test_open_by_id_name_and_unique_base_name(self):
        for opened in (self.client.open(file_id=self.big_id), self.client.open(name="a/one.bin"),
                       self.client.open(name="one.bin"), self.client.open(file_id=self.big_id, name="a/two.txt")):
            self.assertEqual((opened.file.file_id, opened.file.name, opened.file.have_permille, opened.have),
                             (self.big_id, "a/one.bin", 1000, None))
            self.assertEqual(opened.chunk_log2, 16)
        for file_id, name, code in ((None, "two.txt", zsp.NOT_FOUND), (None, "none", zsp.NOT_FOUND),
                                    (bytes(32), None, zsp.NOT_FOUND), (None, None, zsp.BAD_MESSAGE)):
            self.assertEqual(self.client.reply(self.client.send(zsp.OPEN, file_id, name), zsp.ERROR).code, code)

    def test_hashes_are_the_chunk_layer_in_any_run(self):
        layer = tree.chunk_layer(self.big)
        self.assertEqual(self.client.hashes(self.big_id, 0, 4).hashes, b"".join(layer))
        run = self.client.hashes(self.big_id, 1, 2)
        self.assertEqual((run.first, run.hashes), (1, layer[1] + layer[2]))
        for file_id, first, count, code in ((self.big_id, 0, 5, zsp.BAD_RANGE), (self.big_id, 4, 1, zsp.BAD_RANGE),
                                            (self.big_id, 0, 0, zsp.BAD_RANGE),
                                            (self.big_id, 2**32 - 1, 2**32 - 1, zsp.BAD_RANGE),
                                            (tree.id_of(b"two"), 0, 1, zsp.BAD_RANGE), (bytes(32), 0, 1, zsp.NOT_FOUND)):
            reply = self.client.reply(self.client.send(zsp.HASHES, file_id, first, count), zsp.ERROR)
            self.assertEqual(reply.code, code, (first, count))

    def test_read_gives_exactly_the_range(self):
        for offset, length in ((0, 1), (65535, 2), (3 * 65536, 77), (1000, 100000), (0, len(self.big))):
            self.assertTrue(self.client.read(self.big_id, offset, length) == self.big[offset:offset + length])

    def test_ranges_outside_are_refused(self):
        size = len(self.big)
        for offset, length in ((0, 0), (size, 1), (size - 1, 2), (2**64 - 1, 1), (2**63, 2**31), (0, size + 1)):
            self.assertIn(self.refused_read(offset, length), (zsp.BAD_RANGE,), (offset, length))
        self.assertEqual(self.refused_read(0, 1, bytes(32)), zsp.NOT_FOUND)
        self.assertEqual(self.refused_read(0, 1, tree.id_of(b"")), zsp.BAD_RANGE)

    def test_many_reads_at_once_are_all_answered(self):
        rids = {self.client.send(zsp.READ, self.big_id, i * 100, 100): i * 100 for i in range(1500)}
        while rids:
            message = self.client.receive()
            offset = rids.pop(message.rid)
            self.assertEqual(message.kind, zsp.DATA)
            self.assertTrue(message.payload == self.big[offset:offset + 100])

    def test_a_flood_beyond_the_window_is_bounded_and_others_are_served(self):
        big = random_bytes(8 << 20, 9)
        (self.world.folder / "share" / "big.bin").write_bytes(big)
        self.world.wait_shared(self.node, "big.bin")
        file_id = tree.id_of(big)
        before = self.node.rss_kib()
        rids = [self.client.send(zsp.READ, file_id, 0, 1 << 20) for _ in range(1000)]
        with PeerClient(self.node.endpoint) as other:
            other.hello()
            self.assertTrue(other.fetch(self.big_id) == self.big)
            self.assertLess(self.node.rss_kib() - before, 256 << 10)
        replies = [self.client.receive() for _ in rids]
        self.assertEqual({m.rid for m in replies}, set(rids))
        for message in replies:
            self.assertTrue(message.kind == zsp.DATA or message.code in (zsp.LIMIT, zsp.BUSY), message)

    def test_cancel_and_close_are_not_answered(self):
        self.client.send(zsp.CANCEL, 12345)
        self.client.send(zsp.CLOSE, self.big_id)
        self.client.send(zsp.CLOSE, bytes(32))
        self.assertEqual(self.client.ping().kind, zsp.PONG)

    def test_pushes_are_denied_unless_switched_on(self):
        shared = zsp.SharedFile("pushed", b"x")
        reply = self.client.reply(self.client.send(zsp.OFFER, shared.file(), 16, None), zsp.ERROR)
        self.assertEqual(reply.code, zsp.DENIED)

    def wait_never_served(self):
        """It notices while it reads; or it has noticed before, and is busy until it knows what the file is now."""
        wait_until(lambda: self.refused_read(0, 65536) in (zsp.CHANGED, zsp.NOT_FOUND), "a refusal for good")

    def test_a_changed_file_is_never_served_with_old_promises(self):
        path = self.world.folder / "share" / "a" / "one.bin"
        path.write_bytes(bytes(len(self.big)))
        self.wait_never_served()
        self.world.wait_shared(self.node, "a/two.txt")
        wait_until(lambda: any(f.file_id == tree.id_of(bytes(len(self.big))) for f in self.client.list()),
                   "the file to be hashed anew")

    def test_a_truncated_file_kills_nobody(self):
        os.truncate(self.world.folder / "share" / "a" / "one.bin", 10)
        self.wait_never_served()
        self.assertEqual(self.client.ping().kind, zsp.PONG)

    def test_queries_of_every_mode_are_answered_as_an_independent_matcher_would(self):
        everything = [(name, tree.id_of(data), len(data)) for name, data in self.files.items()]
        for mode, text, low, high in ((0, "", 0, 0), (0, "TWO", 0, 0), (1, "two.txt", 0, 0), (1, "a/two.txt", 0, 0),
                                      (2, "*.txt", 0, 0), (2, "a/*", 0, 0), (3, self.big_id.hex()[:8], 0, 0),
                                      (0, "", 1, 3), (0, "zzz", 0, 0), (0, "", 3, 2)):
            expected = sorted(name for name, file_id, size in everything
                              if matching.matches(mode, text, name, file_id, size, low, high))
            answer = self.broker.query(self.route, mode, text, low, high)
            self.assertEqual((answer.total, sorted(file.name for file in answer.files)), (len(expected), expected))

    def test_a_query_limit_is_kept_and_total_tells_all(self):
        answer = self.broker.query(self.route, 0, "", limit=2)
        self.assertEqual((answer.total, len(answer.files)), (4, 2))

    def test_a_query_of_unknown_mode_is_a_bad_message(self):
        self.broker.post(lambda: self.broker.send(self.route, zsp.QUERY, 5, 9, "x", 0, 0, 8, 100, None))
        reply = self.broker.wait_seen(zsp.ERROR, lambda message: message.rid == 5).message
        self.assertEqual(reply.code, zsp.BAD_MESSAGE)

    def test_a_node_answers_ping_of_its_broker_and_joins_again_when_told(self):
        self.broker.post(lambda: self.broker.send(self.route, zsp.PING, 4711))
        self.broker.wait_seen(zsp.PONG, lambda message: message.rid == 4711)
        joins = len(self.broker.seen_of(zsp.JOIN))
        self.broker.post(lambda: self.broker.send(self.route, zsp.ERROR, 0, zsp.NOT_JOINED, "", 0))
        wait_until(lambda: len(self.broker.seen_of(zsp.JOIN)) > joins, "a second JOIN")
        again = self.broker.seen_of(zsp.JOIN)[-1].message
        self.assertEqual((again.node_id, again.boot), (self.join.node_id, self.join.boot))

    def test_updates_follow_a_change_with_a_filter_that_rules_nothing_out(self):
        contents = {**self.files, "Ação nova.txt": b"new"}
        names = list(contents)
        total = sum(map(len, contents.values()))
        (self.world.folder / "share" / "Ação nova.txt").write_bytes(b"new")
        update = self.broker.wait_seen(zsp.UPDATE, lambda message: (message.files, message.bytes) == (5, total) and
                                       message.presence is not None).message
        for name in names:
            for element in matching.elements(name, tree.id_of(contents[name])):
                self.assertTrue(matching.filter_contains(update.presence, element), (name, element))
        generations = [seen.message.generation for seen in self.broker.seen_of(zsp.UPDATE)]
        self.assertEqual(generations, sorted(set(generations)))


class Lease(EndToEnd):
    def test_a_node_is_heard_at_least_every_third_of_its_lease(self):
        broker = self.world.fake(FakeBroker(lease_ms=1500))
        self.world.node("node", broker, self.world.share("share", {"a": b"a"}))
        broker.wait_joined()
        began = time.monotonic()
        wait_until(lambda: len(broker.seen_of(zsp.PING)) >= 3, "three PINGs")
        self.assertLess(time.monotonic() - began, 10 * SLOWNESS)


class Broker(EndToEnd):
    """Strange nodes and a strange client at our broker."""

    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.client = BrokerClient(self.broker.endpoint)
        self.addCleanup(self.client.close)
        self.shared = zsp.SharedFile("dir/file.txt", b"content", extra=(1700000000000, True))

    def fake(self, kind=FakeNode, files=None, **options):
        return self.world.fake(kind([self.shared] if files is None else files, self.broker.endpoint, **options))

    def source(self, node):
        return zsp.Source(node.node_id, "127.0.0.1", node.port, node.node_name, None)

    def test_found_names_every_source_as_the_broker_sees_it(self):
        nodes = [self.fake(name=f"n{i}") for i in range(3)]
        hits, done = self.client.search(0, "file")
        self.assertEqual(hits, {self.shared.file(): {self.source(node) for node in nodes}})
        self.assertEqual((done.asked, done.positive, done.negative, done.silent, done.skipped), (3, 3, 0, 0, 0))

    def test_peers_and_status_tell_the_nodes(self):
        nodes = [self.fake(name=f"n{i}") for i in range(3)]
        peers = self.client.peers()
        self.assertEqual({peer[0] for peer in peers}, {self.source(node) for node in nodes})
        self.assertEqual({tuple(peer[1:3]) for peer in peers}, {(1, 7)})
        status = self.client.status()
        self.assertEqual(status.nodes, 3)
        self.assertEqual(len(status.broker_id), 16)

    def test_a_search_is_not_sent_back_to_its_asker(self):
        node = self.fake()
        rid = 4000
        node.call(lambda: node.send_broker(zsp.SEARCH, rid, 0, "file", 0, 0, 0, 500))
        done = node.wait_seen(zsp.SEARCH_DONE, lambda message: message.rid == rid).message
        self.assertEqual(done.asked, 0)
        self.assertEqual(node.seen_of(zsp.QUERY), [])

    def test_query_carries_what_search_said(self):
        node = self.fake()
        self.client.search(matching.GLOB | matching.ASK_ALL, "*.txt", 3, 9, 5, 700)
        query = node.wait_seen(zsp.QUERY).message
        self.assertEqual((query.mode, query.text, query.min_size, query.max_size, query.asker_key),
                         (matching.GLOB, "*.txt", 3, 9, None))
        self.assertTrue(0 < query.deadline_ms <= 700)
        self.assertEqual(query.limit, 8)

    def test_a_file_that_breaks_a_rule_is_dropped_alone(self):
        good = self.shared

        class Mixed(FakeNode):
            def on_query(self, query):
                self.answer(query, 4, [good.file(), good.file(size=8), good.file(name="../x"),
                                       good.file(have_permille=1001)])

        class OnlyBad(FakeNode):
            def on_query(self, query):
                self.answer(query, 1, [good.file(name="/x")])
        self.fake(Mixed)
        self.fake(OnlyBad)
        hits, done = self.client.search(0, "x", deadline_ms=3000)
        self.assertEqual(list(hits), [good.file()])
        self.assertEqual((done.positive, done.silent), (1, 1))

    def test_a_wrong_type_makes_the_whole_answer_bad(self):
        class WrongType(FakeNode):
            def on_query(self, query):
                self.sockets["broker"].send(zsp.encode(zsp.ANSWER, query.rid, 1, [["x"]]))
        self.fake(WrongType)
        hits, done = self.client.search(0, "x", deadline_ms=500)
        self.assertEqual((hits, done.silent), ({}, 1))

    def test_late_double_and_foreign_answers_change_nothing(self):
        good = self.shared

        class Noisy(FakeNode):
            def on_query(self, query):
                self.answer(query, 1, [good.file()])
                self.answer(query, 1, [good.file(name="second.txt")])
                self.send_broker(zsp.ANSWER, query.rid + 1000, 1, [good.file(name="foreign.txt")])
                self.send_broker(zsp.ANSWER, query.rid ^ 1 << 40, 1, [good.file(name="foreign.txt")])
        self.fake(Noisy)
        for _ in range(3):
            self.assertEqual(self.client.names(0, "x"), ["dir/file.txt"])

    def test_a_node_cannot_answer_for_another(self):
        good = self.shared
        rids = []

        class Victim(FakeNode):
            def on_query(self, query):
                rids.append(query.rid)
        victim = self.fake(Victim)
        thief = self.fake(files=[])
        rid = self.client.send(zsp.SEARCH, 0, "x", 0, 0, 0, 10000)
        wait_until(lambda: rids, "the victim's QUERY")
        for guess in range(rids[0] - 2, rids[0] + 3):
            thief.call(lambda: thief.send_broker(zsp.ANSWER, guess, 1, [good.file(name="forged")]))
        thief.call(lambda: thief.send_broker(zsp.PING, 4711))
        thief.wait_seen(zsp.PONG, lambda message: message.rid == 4711)  # the broker has read what is before it
        victim.call(lambda: victim.send_broker(zsp.ANSWER, rids[0], 0, []))
        done = self.client.reply(rid, zsp.SEARCH_DONE, zsp.FOUND)
        self.assertEqual((done.kind, done.silent, done.negative), (zsp.SEARCH_DONE, 0, 2))

    def test_a_second_node_with_the_same_id_is_refused_while_the_first_lives(self):
        first = self.fake()
        second = FakeNode([], None, name="thief", node_id=first.node_id)
        self.world.fake(second)
        with BrokerClient(self.broker.endpoint) as link:
            rid = link.send(zsp.JOIN, *second.join_fields())
            self.assertEqual(link.reply(rid, zsp.ERROR, zsp.JOIN_OK).code, zsp.DUPLICATE)
        self.assertEqual([peer[0] for peer in self.client.peers()], [self.source(first)])

    def test_a_second_node_with_the_same_id_replaces_a_dead_first(self):
        class Deaf(FakeNode):
            def on_broker(self, message):
                if message.kind == zsp.JOIN_OK:
                    self.joined = message
        first = self.fake(Deaf)
        with BrokerClient(self.broker.endpoint) as link:
            rid = link.send(zsp.JOIN, first.node_id, 99, 4711, "new", "fake/1", 0, 0, 0, None, [])
            self.assertEqual(link.reply(rid, zsp.JOIN_OK).port, 4711)
            self.assertEqual([peer[0].port for peer in self.client.peers()], [4711])

    def test_a_vanished_node_is_forgotten(self):
        broker = self.world.broker("--lease", "3600")
        node = self.world.fake(FakeNode([self.shared], broker.endpoint))
        with BrokerClient(broker.endpoint) as client:
            self.assertEqual([peer[0] for peer in client.peers()], [self.source(node)])
            node.vanish()
            wait_until(lambda: client.peers() == [], "the lost node to be forgotten")

    def test_filters_rule_out_and_are_counted_when_switched_on(self):
        broker = self.world.broker("--presence", "on")
        files = [self.shared]
        presence = matching.presence_filter([(s.name, s.file_id) for s in files], 12)
        node = self.world.fake(FakeNode(files, broker.endpoint, presence=presence))
        with BrokerClient(broker.endpoint) as client:
            for mode, text in ((0, "nothing"), (1, "nothing"), (2, "*nothing*"), (3, "0123456789")):
                _, done = client.search(mode, text)
                self.assertEqual((done.asked, done.skipped), (0, 1), text)
                _, done = client.search(mode | matching.ASK_ALL, text)
                self.assertEqual((done.asked, done.skipped, done.negative), (1, 0, 1), text)
            self.assertEqual(client.names(0, "FILE"), ["dir/file.txt"])
            self.assertEqual(client.names(3, self.shared.file_id.hex()), ["dir/file.txt"])
        self.assertEqual(len([s for s in node.seen_of(zsp.QUERY)]), 6)

    def test_unknown_modes_and_bad_ids_are_bad_messages(self):
        for mode, text in ((4, "x"), (127, "x"), (132, "x"), (3, "0123456"), (3, "xyzxyzxyz"), (3, "0" * 65)):
            reply = self.client.reply(self.client.send(zsp.SEARCH, mode, text, 0, 0, 0, 0), zsp.ERROR)
            self.assertEqual(reply.code, zsp.BAD_MESSAGE, (mode, text))

    def test_numbers_above_the_maximum_are_clamped(self):
        self.fake()
        self.assertEqual(self.client.names(0, "file", limit=2**32 - 1, deadline_ms=2**32 - 1), ["dir/file.txt"])

    def test_a_thousand_names_come_in_batches_that_fit(self):
        files = [zsp.SharedFile("x" * 900 + f"/{i}", b"%d" % i) for i in range(250)]
        self.fake(files=files)
        hits, done = self.client.search(0, "x", limit=1000)
        self.assertTrue(done.truncated or len(hits) == 250, done)
        self.assertGreater(len(hits), 8)

    def test_a_lease_that_runs_out_forgets_the_node(self):
        broker = self.world.broker("--lease", "1")
        self.world.fake(FakeNode([self.shared], broker.endpoint))
        with BrokerClient(broker.endpoint) as client:
            wait_until(lambda: client.peers() == [], "the lease to run out")


if __name__ == "__main__":
    unittest.main()
