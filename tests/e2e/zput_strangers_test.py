# SPDX-License-Identifier: MIT
"""zput against hostile receivers, lost connections and files that change.

What could go wrong: bytes outside the file or the offer are sent, or wrong ones; a receiver makes us grow, spin or crash;
a push never ends, or ends as if all were well; a lost connection loses the push.
"""

import os
import signal
import unittest

from support import zsp
from support.actor import wait_until
from support.fake_receiver import FakeReceiver, IdleReceiver
from support.pushing import CHUNK, KIB, MIB, Pushing


class Strangers(Pushing):
    """What a hostile receiver says, and what it gets for it."""

    def refused(self, misbehave, path, *args, code=3):
        """Pushes to a receiver that asks what `misbehave` asks; returns the errors that it got."""
        class Stranger(IdleReceiver):
            def misbehave(self, route, take):
                misbehave(self, route, take)
        receiver = self.receiver(Stranger)
        result = self.put(receiver, path, "--timeout", "5", *args)
        self.assert_exit(result, code)
        receiver.wait_seen(zsp.BYE)  # behind all that it said
        self.assertEqual(receiver.seen_of(zsp.DATA), [])
        return [error.code for error in receiver.errors]

    def test_requests_outside_the_file_are_refused(self):
        def ask(receiver, route, take):
            file_id, size = take.file.file_id, take.file.size
            for offset, length in ((0, 0), (size, 1), (size - 1, 2), ((1 << 64) - 1, 1), (1 << 63, (1 << 32) - 1)):
                receiver.ask(route, zsp.READ, file_id, offset, length)
            for first, count in ((0, 0), (9, 1), (0, 10), ((1 << 32) - 1, (1 << 32) - 1)):
                receiver.ask(route, zsp.HASHES, file_id, first, count)
        self.assertEqual(self.refused(ask, self.file(9 * CHUNK)), [zsp.BAD_RANGE] * 9)

    def test_a_file_of_one_chunk_has_no_hashes(self):
        def ask(receiver, route, take):
            receiver.ask(route, zsp.HASHES, take.file.file_id, 0, 1)
        self.assertEqual(self.refused(ask, self.file(9)), [zsp.BAD_RANGE])

    def test_what_was_not_offered_is_refused(self):
        def ask(receiver, route, take):
            receiver.ask(route, zsp.READ, take.file.file_id, 0, 1)
            receiver.ask(route, zsp.READ, take.file.file_id, 3 * CHUNK - 1, 2)
            receiver.ask(route, zsp.READ, take.file.file_id, 4 * CHUNK, CHUNK + 1)
            receiver.ask(route, zsp.READ, bytes(32), 0, 1)
        codes = self.refused(ask, self.file(9 * CHUNK), "--chunks", "3-4")
        self.assertEqual(codes, [zsp.BAD_RANGE] * 3 + [zsp.NOT_FOUND])

    def test_more_than_max_read_is_refused(self):
        def ask(receiver, route, take):
            receiver.ask(route, zsp.READ, take.file.file_id, 0, MIB + 1)
        self.assertEqual(self.refused(ask, self.file(2 * MIB)), [zsp.LIMIT])

    def test_a_flood_beyond_the_window_is_refused_and_the_rest_served(self):
        class Flood(IdleReceiver):
            def misbehave(self, route, take):
                for _ in range(200):
                    self.ask(route, zsp.READ, take.file.file_id, 0, MIB)

            def on_data(self, route, message):
                self.requests.pop((route, message.rid))
                self.received_bytes += message.length
        receiver = self.receiver(Flood)
        options = self.world.env["ASAN_OPTIONS"] + ":quarantine_size_mb=8"
        put = self.start_put(receiver, self.file(2 * MIB), "--timeout", "600", env={"ASAN_OPTIONS": options})
        wait_until(lambda: receiver.accepted and not receiver.requests, "an answer to each READ")
        self.assertLess(put.rss_kib(), 150 * KIB)
        self.assertEqual(put.terminate()[0], 3)
        self.assertTrue(all(error.code == zsp.LIMIT for error in receiver.errors))
        self.assertTrue(receiver.errors)
        self.assertGreaterEqual(receiver.received_bytes, 16 * MIB)

    def test_the_same_chunk_for_ever_is_no_progress(self):
        class Greedy(FakeReceiver):
            def on_data(self, route, message):
                self.requests.pop((route, message.rid))
                self.ask(route, zsp.READ, message.file_id, message.offset, message.length)
        self.assert_exit(self.put(self.receiver(Greedy), self.file(4 * CHUNK), "--timeout", "1"), 3)

    def test_one_that_never_asks_is_given_up(self):
        receiver = self.receiver(IdleReceiver)
        result = self.put(receiver, self.file(4 * CHUNK), "--timeout", "5")
        self.assert_exit(result, 3)
        self.assertEqual(self.the_push(result)["sent"], 0)
        receiver.wait_seen(zsp.CLOSE)
        receiver.wait_seen(zsp.BYE)

    def test_one_that_never_answers_is_given_up(self):
        class Mute(FakeReceiver):
            def on_offer(self, route, message):
                pass
        self.assert_exit(self.put(self.receiver(Mute), self.file(4 * CHUNK), "--timeout", "1"), 3)

        class Deaf(FakeReceiver):
            def on_peer(self, route, message):
                pass
        self.assert_exit(self.put(self.receiver(Deaf), self.file(4 * CHUNK), "--timeout", "1"), 3)

    def test_lies_in_have_end_nothing_and_crash_nothing(self):
        def lie(receiver, route, take):
            rid, file_id, top = take.offers[route].rid, take.file.file_id, (1 << 32) - 1
            for runs in ([], [[0, 0]], [[9, 1]], [[top, top]], [[0, top]], [[8, top]], [[0, 9]] * 30000):
                receiver.send(route, zsp.HAVE, rid, file_id, runs)
            receiver.send(route, zsp.HAVE, rid + 1, file_id, [[0, 1]])
            receiver.send(route, zsp.HAVE, rid, bytes(32), [[0, 1]])
        self.assertEqual(self.refused(lie, self.file(9 * CHUNK)), [])

    def test_stored_is_its_word_even_if_it_asked_for_nothing(self):
        def lie(receiver, route, take):
            receiver.send(route, zsp.STORED, take.offers[route].rid, take.file.file_id, "lie.bin")
        self.refused(lie, self.file(9 * CHUNK), code=0)

    def test_stored_of_another_file_or_rid_is_nothing(self):
        def lie(receiver, route, take):
            receiver.send(route, zsp.STORED, take.offers[route].rid, bytes(32), "lie.bin")
            receiver.send(route, zsp.STORED, take.offers[route].rid + 5, take.file.file_id, "lie.bin")
            receiver.send(route, zsp.OFFER_OK, take.offers[route].rid, take.file.file_id, 0)
        self.refused(lie, self.file(9 * CHUNK))

    def test_more_missing_than_there_are_chunks(self):
        receiver = self.receiver(IdleReceiver)
        receiver.missing = lambda take: (1 << 32) - 1
        result = self.put(receiver, self.file(9 * CHUNK), "--timeout", "5")
        self.assert_exit(result, 3)
        self.assertEqual(self.the_push(result)["missing"], 9)

    def test_garbage_is_refused_or_dropped(self):
        def babble(receiver, route, take):
            data, file_id = receiver.sockets["data"], take.file.file_id
            for header in (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", zsp.pack([]), zsp.pack([1]), zsp.pack([2, 38, 1]),
                           zsp.pack([1, 38, 77]), zsp.pack([1, 38, 77, file_id, "0", 1]), zsp.pack([1, 9999, 77]),
                           os.urandom(3000), zsp.pack([1, 41, take.offers[route].rid, file_id, [[1]]])):
                data.send_multipart([route, header])
            data.send_multipart([route, zsp.encode(zsp.PING, 5), b"more", b"frames"])
            data.send_multipart([route, zsp.encode(zsp.DATA, 5, file_id, 0, 4), b"data"])
            for kind, fields in ((zsp.LIST, ("", 0, 0)), (zsp.OPEN, (None, "x")), (zsp.OFFER, (take.file, 16, None)),
                                 (zsp.HELLO, (None, 1, "", "", 0, None)), (zsp.CLOSE, (file_id,)),
                                 (zsp.JOIN_OK, ("127.0.0.1", 1, 1, bytes(16), 1)), (zsp.LIST_OK, (0, 0, 0, []))):
                receiver.send(route, kind, 6, *fields)
        codes = self.refused(babble, self.file(9 * CHUNK))
        self.assertEqual(set(codes), {zsp.BAD_MESSAGE, zsp.UNSUPPORTED})

    def test_a_ping_is_answered(self):
        def ping(receiver, route, take):
            receiver.send(route, zsp.PING, 4711)
        class Pinging(IdleReceiver):
            def misbehave(self, route, take):
                ping(self, route, take)
        receiver = self.receiver(Pinging)
        put = self.start_put(receiver, self.file(CHUNK))
        self.assertEqual(receiver.wait_seen(zsp.PONG).message.rid, 4711)
        put.terminate()

    def test_a_cancelled_read_is_not_sent(self):
        class Fickle(IdleReceiver):
            def misbehave(self, route, take):
                rids = [self.ask(route, zsp.READ, take.file.file_id, i * MIB, MIB) for i in range(4)]
                for rid in rids[1:3]:
                    self.send(route, zsp.CANCEL, next(self.rids), rid)
                self.kept = {rids[0], rids[3]}

            def on_data(self, route, message):
                pass
        receiver = self.receiver(Fickle)
        put = self.start_put(receiver, self.file(4 * MIB), "--up", "1M", "--timeout", "10")
        wait_until(lambda: len(receiver.seen_of(zsp.DATA)) == 2, "the two that were not cancelled")
        self.assertEqual(put.wait(), 3)
        self.assertEqual({seen.message.rid for seen in receiver.seen_of(zsp.DATA)}, receiver.kept)

    def test_reads_that_a_low_rate_would_keep_waiting_are_told_when(self):
        class Hungry(IdleReceiver):
            def misbehave(self, route, take):
                for i in range(16):
                    self.ask(route, zsp.READ, take.file.file_id, i * MIB, MIB)
        receiver = self.receiver(Hungry)
        put = self.start_put(receiver, self.file(16 * MIB), "--up", "500K")
        wait_until(lambda: receiver.errors, "a refusal")
        self.assertTrue(all(error.code == zsp.BUSY and error.retry_ms > 0 for error in receiver.errors))
        put.terminate()


class Interrupted(Pushing):
    def half(self, receiver, path):
        """A push that is under way: half of it is saved."""
        put = self.start_put(receiver, path, "--up", "512K")
        wait_until(lambda: receiver.takes and len(receiver.take().saved) > 3, "some chunks to be saved")
        return put

    def test_a_lost_connection_is_made_again_and_the_push_goes_on(self):
        receiver, path = self.receiver(), self.file(3 * MIB)
        put = self.half(receiver, path)
        receiver.reset()
        self.assertEqual(put.wait(), 0, f"\n{put}")
        self.assert_has(receiver, path)
        self.assertEqual(len(receiver.seen_of(zsp.OFFER)), 2)
        self.assertLess(receiver.received_bytes, 3 * MIB + 1)

    def test_a_node_that_leaves_with_bye_and_comes_back_gets_the_rest(self):
        receiver, path = self.receiver(), self.file(3 * MIB)
        put = self.half(receiver, path)
        def bye():
            for route in list(receiver.take().offers):
                receiver.send(route, zsp.BYE, 0, "stopping")
                receiver.forget(route)
        receiver.call(bye)
        self.assertEqual(put.wait(), 0, f"\n{put}")
        self.assert_has(receiver, path)

    def test_a_node_that_is_gone_for_good_is_3_and_what_is_saved_counts(self):
        receiver, path = self.receiver(), self.file(3 * MIB)
        put = self.start_put(receiver, path, "--up", "512K", "--timeout", "5")
        wait_until(lambda: receiver.takes and len(receiver.take().saved) > 3, "some chunks to be saved")
        receiver.vanish()
        self.assertEqual(put.wait(), 3, f"\n{put}")
        (push,) = [o for o in put.objects() if o["event"] == "push"]
        self.assertGreater(push["saved_chunks"], 3)

    def test_ctrl_c_withdraws_says_bye_and_the_same_command_goes_on(self):
        receiver, path = self.receiver(), self.file(3 * MIB)
        put = self.half(receiver, path)
        put.signal(signal.SIGINT)
        self.assertEqual(put.wait(), 3, f"\n{put}")
        receiver.wait_seen(zsp.CLOSE)
        receiver.wait_seen(zsp.BYE)
        there = len(receiver.take().saved)
        result = self.put(receiver, path)
        self.assert_exit(result, 0)
        self.assertEqual(self.the_push(result)["missing"], 48 - there)
        self.assert_has(receiver, path)

    def test_one_that_comes_and_goes_for_ever_is_given_up(self):
        class Fleeting(FakeReceiver):
            def accept(self, route, take):
                super().accept(route, take)
                self.send(route, zsp.BYE, 0, "again")
                self.forget(route)

            def on_data(self, route, message):
                pass
        self.assert_exit(self.put(self.receiver(Fleeting), self.file(4 * CHUNK), "--timeout", "1"), 3)

    def test_a_file_that_changes_ends_the_push_and_no_wrong_byte_is_sent(self):
        def touch(path):
            with open(path, "r+b") as stream:
                stream.write(b"other")
        for change in (touch, lambda path: os.truncate(path, 70000), lambda path: path.write_bytes(b"new"), os.unlink):
            receiver, path = self.receiver(), self.file(3 * MIB)
            put = self.half(receiver, path)
            change(path)
            self.assertEqual(put.wait(), 2, f"\n{put}")
            self.assertIn("changed", put.stderr.text)
            wait_until(lambda: zsp.CHANGED in [error.code for error in receiver.errors], "the refusal")
            self.assertIsNone(receiver.failure)


if __name__ == "__main__":
    unittest.main()
