# SPDX-License-Identifier: MIT
"""zput against honest receivers from another hand, and what it says when a push cannot be.

What could go wrong: bytes that nobody asked for are sent, or chunks that were not offered or are not verified; a part that
is told as the whole; a guess between two nodes or files; an exit code that says something else than what happened.
"""

import os
import signal
import time
import unittest

from support import tree, zsp
from support.case import random_bytes
from support.fake_broker import FakeBroker
from support.fake_node import GatedNode
from support.fake_receiver import FakeReceiver, IdleReceiver, RefusingReceiver
from support.pushing import CHUNK, KIB, MIB, Pushing


class Honest(Pushing):
    def test_a_file_of_every_size_at_an_edge_is_stored(self):
        for size in (0, 1, 16 * KIB, CHUNK, CHUNK + 1, MIB - 1, 3 * MIB + 5):
            with self.subTest(size=size):
                receiver, path = self.receiver(), self.file(size)
                result = self.put(receiver, path)
                self.assert_exit(result, 0)
                push = self.the_push(result)
                count = tree.chunk_count(size)
                self.assertEqual((push["name"], push["chunks"], push["missing"], push["sent"], push["stored"]),
                                 ("a.bin", count, count, size, "a.bin"))
                self.assertEqual(push["id"], tree.id_of(path.read_bytes()).hex())
                self.assertEqual(result.done["sent"], size)
                self.assert_has(receiver, path)

    def test_a_large_chunk_is_read_in_parts(self):
        size = 140 * MIB + 17  # chunks of 128 KiB
        receiver, path = self.receiver(), self.world.path("from", "sparse.bin")
        with open(path, "wb") as stream:
            stream.truncate(size)
            os.pwrite(stream.fileno(), b"x" * 100, size - 100)
        count = tree.chunk_count(size)
        data = path.read_bytes()
        receiver.earlier = {tree.id_of(data): (data, range(count - 5))}
        result = self.put(receiver, path)
        self.assert_exit(result, 0)
        self.assertEqual(self.the_push(result)["missing"], 5)
        self.assert_has(receiver, path)

    def test_the_offer_says_what_the_file_is(self):
        receiver, path = self.receiver(), self.file(3 * CHUNK)
        os.chmod(path, 0o755)
        self.assert_exit(self.put(receiver, path), 0)
        hello, offer = (receiver.seen_of(kind)[0].message for kind in (zsp.HELLO, zsp.OFFER))
        self.assertEqual((hello.node_id, hello.expected_node_id), (None, None))
        self.assertEqual((offer.have, offer.file.have_permille, offer.file.name), (None, 1000, "a.bin"))
        self.assertEqual(offer.file.extra[1], True)
        receiver.wait_seen(zsp.BYE)
        self.assertEqual(receiver.seen_of(zsp.CLOSE), [])

    def test_only_what_is_lacking_is_sent(self):
        path = self.file(20 * CHUNK)
        data = path.read_bytes()
        receiver = self.receiver(saved={tree.id_of(data): (data, range(5, 17))})
        result = self.put(receiver, path)
        self.assert_exit(result, 0)
        push = self.the_push(result)
        self.assertEqual((push["missing"], push["sent"], push["sent_chunks"], push["saved_chunks"]),
                         (8, 8 * CHUNK, 8, 8))
        self.assertEqual(receiver.received_bytes, 8 * CHUNK)
        self.assert_has(receiver, path)

    def test_what_is_there_already_costs_nothing_and_its_name_is_told(self):
        path = self.file(4 * CHUNK)
        data = path.read_bytes()
        receiver = self.receiver(saved={tree.id_of(data): (data, range(4))})
        receiver.stored_name = lambda take: "there already.bin"
        result = self.put(receiver, path)
        self.assert_exit(result, 0)
        push = self.the_push(result)
        self.assertEqual((push["missing"], push["sent"], push["stored"]), (0, 0, "there already.bin"))

    def test_people_read_what_became_of_the_parts(self):
        receiver, path = self.receiver(), self.file(3 * CHUNK)
        result = self.world.run("zput", "--to", receiver.endpoint, path)
        self.assert_exit(result, 0)
        self.assertEqual(result.stdout, "a.bin: stored as a.bin; 3 parts: 3 sent (192 KiB), 3 saved, 0 already there\n")
        self.assertEqual(result.stderr, "")

    def test_several_files_go_over_one_connection(self):
        receiver = self.receiver()
        paths = [self.file(2 * CHUNK + i, f"{i}.bin", i) for i in range(4)]
        result = self.world.run("zput", "--to", receiver.endpoint, "--json", *paths)
        self.assert_exit(result, 0)
        self.assertEqual([push["stored"] for push in result.objects("push")], [f"{i}.bin" for i in range(4)])
        self.assertEqual(len(receiver.seen_of(zsp.HELLO)), 1)
        self.assertEqual(result.done["files"], 4)

    def test_one_bad_file_does_not_keep_the_others(self):
        receiver, path = self.receiver(), self.file(CHUNK)
        result = self.world.run("zput", "--to", receiver.endpoint, "--json", self.world.path("none"), path)
        self.assert_exit(result, 2)
        self.assertEqual(self.the_push(result)["stored"], "a.bin")

    def test_up_is_kept_and_nobody_waits_for_long(self):
        receiver, path = self.receiver(), self.file(4 * MIB)
        start = time.monotonic()
        self.assert_exit(self.put(receiver, path, "--up", "2M"), 0)
        self.assertGreaterEqual(time.monotonic() - start, (4 - 1) / 2 - 0.1)
        self.assert_has(receiver, path)

    def test_a_file_of_another_name_is_told_under_the_name_it_got(self):
        receiver, path = self.receiver(), self.file(CHUNK)
        receiver.stored_name = lambda take: "evil\u202e\x1b name".replace("\x1b", "\u200e")
        result = self.world.run("zput", "--to", receiver.endpoint, path)
        self.assert_exit(result, 0)
        self.assert_clean_output(result)


class Parts(Pushing):
    def test_chunks_are_counted_from_0_and_both_ends_are_in(self):
        receiver, path = self.receiver(), self.file(10 * CHUNK)
        result = self.put(receiver, path, "--chunks", "2-4")
        self.assert_exit(result, 0)
        push = self.the_push(result)
        self.assertEqual((push["chunks"], push["missing"], push["sent"], push["stored"]), (10, 10, 3 * CHUNK, None))
        offer = receiver.seen_of(zsp.OFFER)[0].message
        self.assertEqual(offer.have, tree.bitfield(10, [2, 3, 4]))
        self.assertEqual(offer.file.have_permille, 300)
        self.assertEqual(receiver.take().saved, {2, 3, 4})
        receiver.wait_seen(zsp.CLOSE)

    def test_the_last_part_hears_the_name(self):
        receiver, path = self.receiver(), self.file(10 * CHUNK)
        self.assert_exit(self.put(receiver, path, "--chunks", "0-4"), 0)
        result = self.put(receiver, path, "--chunks", "5-9")
        self.assert_exit(result, 0)
        push = self.the_push(result)
        self.assertEqual((push["missing"], push["sent"], push["stored"]), (5, 5 * CHUNK, "a.bin"))
        self.assert_has(receiver, path)

    def test_two_pushers_fill_one_file_and_no_chunk_comes_twice(self):
        for halves in (("0-19", "20-39"), (None, None)):
            with self.subTest(chunks=halves):
                receiver, path = self.receiver(), self.file(40 * CHUNK)
                puts = [self.start_put(receiver, path, "--up", "2M", *(["--chunks", half] if half else []))
                        for half in halves]
                for put in puts:
                    self.assertEqual(put.wait(), 0, f"\n{put}")
                self.assert_has(receiver, path)
                self.assertEqual(receiver.received_bytes, 40 * CHUNK)

    def test_chunks_outside_the_file_are_an_error_that_says_which_there_are(self):
        receiver, path = self.receiver(), self.file(10 * CHUNK)
        for chunks in ("5-10", "10-10", "4000000000-4000000001"):
            result = self.put(receiver, path, "--chunks", chunks)
            self.assert_exit(result, 2)
            self.assertIn("0-9", result.stderr)
        for chunks in ("4", "4-3", "-1", "a-b", "1-99999999999", "0-4294967295"):
            result = self.put(receiver, path, f"--chunks={chunks}")
            self.assert_exit(result, 2)
            self.assertIn("--chunks", result.stderr)
        self.assertEqual(receiver.accepted, 0)

    def test_a_part_that_the_node_had_already_is_proven_by_asking_it(self):
        path = self.file(10 * CHUNK)
        data = path.read_bytes()
        shared = zsp.SharedFile("a.bin", data)
        receiver = self.receiver(saved={shared.file_id: (data, range(4))}, files=[shared])
        receiver.open_fields = lambda found: (found.file(have_permille=400), found.chunk_log2,
                                              tree.bitfield(10, range(4)))
        result = self.put(receiver, path, "--chunks", "0-3")
        self.assert_exit(result, 0)
        self.assertEqual((self.the_push(result)["missing"], self.the_push(result)["sent"]), (6, 0))

    def test_a_part_that_may_be_lacking_is_not_called_saved(self):
        path = self.file(10 * CHUNK)
        receiver = self.receiver(IdleReceiver)
        receiver.missing = lambda take: 6
        self.assert_exit(self.put(receiver, path, "--chunks", "0-3", "--timeout", "2"), 3)


class Unfinished(Pushing):
    def unfinished(self, size=240 * CHUNK, name="a.bin"):
        """A download that stopped in the middle: (data, its partial file, the chunks that are there)."""
        shared = zsp.SharedFile(name, random_bytes(size, 5))
        node = self.world.fake(GatedNode([shared], gate_bytes=6 * CHUNK))
        folder = self.world.path("half")
        get = self.world.start("zget", "--from", node.endpoint, "-d", folder, "--json", name)
        get.wait_progress(2 * CHUNK)
        get.signal(signal.SIGINT)
        self.assertEqual(get.wait(), 3, f"\n{get}")
        (partial,) = folder.glob(".*.zpart")
        raw = partial.read_bytes()
        here = [i for i in range(size // CHUNK) if raw[i * CHUNK:(i + 1) * CHUNK] ==
                shared.data[i * CHUNK:(i + 1) * CHUNK]]
        self.assertTrue(0 < len(here) < size // CHUNK)
        return shared, partial, here

    def test_its_verified_chunks_are_offered_by_either_name(self):
        shared, partial, here = self.unfinished()
        for path in (partial, partial.with_name("a.bin")):
            with self.subTest(path=path.name):
                receiver = self.receiver()
                result = self.put(receiver, path)
                self.assert_exit(result, 0)
                offer = receiver.seen_of(zsp.OFFER)[0].message
                self.assertEqual((offer.file.file_id, offer.file.name), (shared.file_id, "a.bin"))
                self.assertEqual(receiver.take().saved, set(here))
                self.assertEqual(receiver.take().saved, receiver.chunks_of(offer))
                self.assertEqual(self.the_push(result)["sent"], len(here) * CHUNK)

    def test_a_chunk_that_rotted_is_not_offered(self):
        shared, partial, here = self.unfinished()
        with open(partial, "r+b") as stream:
            stream.seek(here[1] * CHUNK + 9)
            stream.write(b"rotten")
        receiver = self.receiver()
        self.assert_exit(self.put(receiver, partial), 0)
        self.assertEqual(receiver.take().saved, set(here) - {here[1]})

    def test_chunks_of_it_can_be_chosen(self):
        shared, partial, here = self.unfinished()
        receiver = self.receiver()
        self.assert_exit(self.put(receiver, partial, "--chunks", f"{here[0]}-{here[0]}"), 0)
        self.assertEqual(receiver.take().saved, {here[0]})

    def test_two_of_one_name_are_not_guessed_between(self):
        shared, partial, here = self.unfinished()
        other = partial.with_name(".a.bin." + "0" * 12 + ".zpart")
        other.write_bytes(partial.read_bytes())
        result = self.put(self.receiver(), partial.with_name("a.bin"))
        self.assert_exit(result, 2)
        self.assertIn(partial.name, result.stderr)
        self.assert_exit(self.put(self.receiver(), other), 2)

    def test_a_partial_file_of_rubbish_is_an_error(self):
        for raw in (b"", b"zswarm1\n", os.urandom(3 * 4096), b"zswarm1\n" + b"\xff" * 8000):
            path = self.world.path("rubbish", ".x.bin." + "ab" * 6 + ".zpart")
            path.write_bytes(raw)
            result = self.put(self.receiver(), path)
            self.assert_exit(result, 2)
            self.assertIn("verified", result.stderr)


class Refusals(Pushing):
    def test_what_a_node_refuses_is_an_error_with_its_words_and_a_cure(self):
        for code, words in ((zsp.DENIED, "--accept-push"), (zsp.NO_SPACE, "room"), (zsp.INTERNAL, "internal"),
                            (zsp.UNSUPPORTED, "unsupported"), (zsp.BAD_MESSAGE, "refused"), (99, "unknown")):
            with self.subTest(code=code):
                receiver = self.receiver(RefusingReceiver, code, "its words")
                result = self.put(receiver, self.file(CHUNK))
                self.assert_exit(result, 2)
                self.assertIn(words, result.stderr)
                self.assertIn("its words", result.stderr)
                self.assertEqual(result.objects("push"), [])

    def test_a_busy_node_is_asked_again(self):
        receiver, path = self.receiver(RefusingReceiver, zsp.BUSY, retry_ms=50, times=3), self.file(CHUNK)
        self.assert_exit(self.put(receiver, path), 0)
        self.assertEqual(len(receiver.seen_of(zsp.OFFER)), 4)
        rids = [seen.message.rid for seen in receiver.seen_of(zsp.OFFER)]
        self.assertEqual(len(set(rids)), 4)

    def test_one_that_stays_busy_is_given_up(self):
        receiver = self.receiver(RefusingReceiver, zsp.BUSY, "too much to do", retry_ms=100)
        result = self.put(receiver, self.file(CHUNK), "--timeout", "5")
        self.assert_exit(result, 3)
        self.assertIn("too much to do", result.stderr)

    def test_a_node_that_forgot_us_is_greeted_again(self):
        receiver, path = self.receiver(RefusingReceiver, zsp.NOT_JOINED, times=1), self.file(CHUNK)
        self.assert_exit(self.put(receiver, path), 0)
        self.assertEqual(len(receiver.seen_of(zsp.HELLO)), 2)

    def test_one_that_forgets_us_for_ever_is_an_error(self):
        receiver = self.receiver(RefusingReceiver, zsp.NOT_JOINED)
        self.assert_exit(self.put(receiver, self.file(CHUNK)), 2)

    def test_wrong_bytes_by_its_word_end_the_push(self):
        class Disputing(FakeReceiver):
            def on_data(self, route, message):
                super().on_data(route, message)
                self.error(route, self.take().offers[route].rid, zsp.BAD_MESSAGE, "wrong bytes")
        result = self.put(self.receiver(Disputing), self.file(9 * CHUNK))
        self.assert_exit(result, 2)
        self.assertIn("wrong bytes", result.stderr)

    def test_a_disk_that_fills_up_ends_it(self):
        class Filling(FakeReceiver):
            def on_data(self, route, message):
                self.error(route, self.take().offers[route].rid, zsp.NO_SPACE, "full")
        self.assert_exit(self.put(self.receiver(Filling), self.file(9 * CHUNK)), 2)

    def test_no_node_at_all(self):
        receiver = self.receiver()
        receiver.vanish()
        result = self.put(receiver, self.file(CHUNK), "--timeout", "1")
        self.assert_exit(result, 3)
        self.assertIn("no node at", result.stderr)

    def test_files_that_cannot_be_pushed(self):
        receiver = self.receiver()
        fifo = self.world.path("from", "fifo")
        os.mkfifo(fifo)
        hidden, latin = self.file(9, ".hidden"), self.file(9, os.fsdecode(b"caf\xe9"))
        secret = self.file(9, "secret")
        cases = [(self.world.path("none"), "No such file"), (self.world.path("from"), "folder"),
                 (fifo, "regular"), (hidden, "dot"), (latin, "UTF-8"), (self.file(9, "new\nline"), "control")]
        if os.geteuid() != 0:
            secret.chmod(0)
            cases.append((secret, "Permission"))
        for path, words in cases:
            with self.subTest(path=path):
                result = self.put(receiver, path)
                self.assert_exit(result, 2)
                self.assertIn(words, result.stderr)
                self.assertIn("error", result.done)
        self.assertEqual(receiver.accepted, 0)

    def test_usage(self):
        path = self.file(9)
        for args in ((path,), ("--to", "127.0.0.1:1"), ("--to", "127.0.0.1", path), ("--to", "a:1", "--to-name", "b", path),
                     ("--to", "127.0.0.1:1", "--up", "fast", path)):
            self.assert_exit(self.world.run("zput", *args), 2)


class Names(Pushing):
    def test_a_node_is_found_by_its_name_and_recognized(self):
        broker = self.world.broker()
        receiver = self.receiver(broker=broker.endpoint, name="Büro 2")
        self.receiver(broker=broker.endpoint, name="other")
        path = self.file(3 * CHUNK)
        result = self.world.run("zput", "--broker", broker.endpoint, "--to-name", "Büro 2", "--json", path)
        self.assert_exit(result, 0)
        self.assert_has(receiver, path)
        self.assertEqual(receiver.seen_of(zsp.HELLO)[0].message.expected_node_id, receiver.node_id)

    def test_none_is_a_proven_negative_and_several_are_listed(self):
        broker = self.world.broker()
        twins = [self.receiver(broker=broker.endpoint, name="twin") for _ in range(2)]
        path = self.file(9)
        result = self.world.run("zput", "--broker", broker.endpoint, "--to-name", "none", "--json", path)
        self.assert_exit(result, 1)
        result = self.world.run("zput", "--broker", broker.endpoint, "--to-name", "twin", "--json", path)
        self.assert_exit(result, 4)
        self.assertEqual({o["port"] for o in result.objects("candidate")}, {twin.port for twin in twins})
        for twin in twins:
            self.assertIn(twin.endpoint, result.stderr)

    def test_a_broker_that_is_not_there_proves_nothing(self):
        result = self.world.run("zput", "--broker", "tcp://127.0.0.1:1", "--to-name", "none", "--timeout", "1",
                                self.file(9))
        self.assert_exit(result, 2)

    def test_a_broker_that_lists_without_end_proves_nothing(self):
        for count in (0, 1, 40):
            class Endless(FakeBroker):
                def on_peers(self, route, message):
                    source = [os.urandom(16), "127.0.0.1", 9, "x", None]
                    self.send(route, zsp.PEERS_OK, message.rid, message.cursor + 1, [[source, 0, 0, 0, []]] * count)
            broker = self.world.fake(Endless())
            result = self.world.run("zput", "--broker", broker.endpoint, "--to-name", "none", self.file(9))
            self.assert_exit(result, 2)
            self.assertIn("without end", result.stderr)

    def test_another_node_at_the_address_gets_nothing(self):
        broker = self.world.broker()
        receiver = self.receiver(broker=broker.endpoint, name="moved")
        receiver.call(lambda: setattr(receiver, "node_id", bytes(16)))
        result = self.world.run("zput", "--broker", broker.endpoint, "--to-name", "moved", self.file(9))
        self.assert_exit(result, 3)
        self.assertEqual(receiver.accepted, 0)

    def test_a_name_and_ipv6_in_brackets_are_addresses(self):
        for address in ("localhost:1", "[::1]:1"):
            result = self.world.run("zput", "--to", address, "--timeout", "1", self.file(9))
            self.assert_exit(result, 3)
            self.assertIn("no node at", result.stderr)


if __name__ == "__main__":
    unittest.main()
