# SPDX-License-Identifier: MIT
"""Bytes that no honest program sends, at the broker and at a node's data port.

What could go wrong: a crash, a hang or growth by a stranger's bytes; others that are no longer served; a wrong answer.
After each storm the process lives, serves, and has not grown much.
"""

import itertools
import os
import random
import socket
import struct
import unittest

from support import zmtp, zsp
from support.actor import DEADLINE_S, SLOWNESS, wait_until
from support.case import EndToEnd
from support.fake_client import BrokerClient, PeerClient

FRAME_MAX = {"zbroker": (256 << 10) + 64, "znode": (1 << 20) + 64}
GROWTH_KIB_MAX = 64 << 10
ID, NODE = bytes(32), bytes(16)
# One well-formed message of each request, by the program that takes it.
REQUESTS = {
    "zbroker": [(zsp.PING, ()), (zsp.SEARCH, (0, "x", 0, 0, 0, 100)), (zsp.PEERS, (0, 0)), (zsp.STATUS, ()),
                (zsp.JOIN, (NODE, 1, 9, "n", "a", 0, 0, 0, None, [])), (zsp.UPDATE, (0, 0, 0, [], None))],
    "znode": [(zsp.PING, ()), (zsp.HELLO, (None, 1, "n", "a", 0, None)), (zsp.LIST, ("", 0, 0)),
              (zsp.OPEN, (None, "a.txt")), (zsp.HASHES, (ID, 0, 1)), (zsp.READ, (ID, 0, 1)), (zsp.CANCEL, (1,)),
              (zsp.CLOSE, (ID,)), (zsp.OFFER, (zsp.SharedFile("x", b"x").file(), 16, None))],
}


class Storms:
    """The same storms for both programs; `start` makes one and `assert_serves` proves that it lives."""

    def setUp(self):
        super().setUp()
        self.process = self.start()
        self.assert_serves()
        self.rss_kib, self.fds = self.process.rss_kib(), self.process.fd_count()

    def connect(self):
        return zmtp.Zmtp(self.process.port)

    def assert_unharmed(self):
        self.assert_serves()
        self.assertTrue(self.process.running, f"\n{self.process}")
        wait_until(lambda: self.process.fd_count() <= self.fds + 3, "the connections of the storm to be gone")
        self.assertLess(self.process.rss_kib() - self.rss_kib, GROWTH_KIB_MAX * SLOWNESS, "it grew")

    def test_garbage_in_place_of_msgpack_is_answered_bad_message(self):
        with self.connect() as client:
            for body in (b"", b"\xc1", b"\x93\x01", b"\xff" * 100, zsp.pack({"a": 1}), zsp.pack([]), zsp.pack([1]),
                         zsp.pack("x"), b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
                         b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\x91" * 10000, b"\xdc\xff\xff" * 1000,
                         zsp.pack([1, 1, 1]) + b"\0"):
                client.send_message(body)
                (reply,) = client.receive_message()
                message = zsp.decode(reply)
                self.assertEqual((message.kind, message.code), (zsp.ERROR, zsp.BAD_MESSAGE), body[:20])
        self.assert_unharmed()

    def test_another_version_is_told_which_is_spoken(self):
        with self.connect() as client:
            for version in (0, 2, 255, 1 << 40):
                client.send_message(zsp.pack([version, zsp.PING, 77]))
                message = zsp.decode(*client.receive_message())
                self.assertEqual((message.rid, message.code, message.text), (77, zsp.UNSUPPORTED, "speaks 1"))

    def test_unknown_kinds_are_unsupported(self):
        with self.connect() as client:
            for kind in (4, 9, 23, 29, 46, 60, 79, 1000, 1 << 63):
                client.send_message(zsp.pack([1, kind, 5]))
                message = zsp.decode(*client.receive_message())
                self.assertEqual((message.rid, message.code), (5, zsp.UNSUPPORTED), kind)

    def test_replies_that_nobody_asked_for_and_errors_get_no_answer(self):
        with self.connect() as client:
            for kind, fields in ((zsp.ERROR, (1, "x", 0)), (zsp.PONG, ()), (zsp.BYE, ("x",)), (zsp.FOUND, ([],)),
                                 (zsp.HELLO_OK, (NODE, 1, "n", "a", 0, 1 << 24, 1 << 20)), (zsp.ERROR, ())):
                client.send_message(zsp.encode(kind, 3, *fields))
            client.send_message(zsp.encode(zsp.STATUS if self.program == "zbroker" else zsp.HELLO, 99,
                                           *(() if self.program == "zbroker" else (None, 1, "n", "a", 0, None))))
            self.assertEqual(zsp.decode(*client.receive_message()).rid, 99)

    def test_wrong_numbers_of_frames_are_bad_messages(self):
        for count in (2, 3, 100, 5000):
            with self.connect() as client:
                client.send_message(*[zsp.encode(zsp.PING, 1)] * count)
                message = zsp.decode(*client.receive_message())
                self.assertEqual((message.kind, message.code), (zsp.ERROR, zsp.BAD_MESSAGE), count)
        with self.connect() as client:
            client.send_message(*[b""] * 1000)
            self.assertEqual(zsp.decode(*client.receive_message()).code, zsp.BAD_MESSAGE)
        self.assert_unharmed()

    def test_each_field_with_each_wrong_type_is_survived(self):
        values = (None, True, -1, 1 << 63, (1 << 64) - 1, 0.5, float("nan"), "text", b"bin", [], [[[[[[]]]]]], {1: 2})
        sent = 0
        with self.client() as client:
            for kind, fields in REQUESTS[self.program]:
                for index, value in itertools.product(range(len(fields)), values):
                    changed = list(zsp.wire(fields))
                    changed[index] = value
                    client.send_raw(zsp.pack([1, kind, 1000 + sent, *changed]))
                    sent += 1
                for count in range(len(fields)):
                    client.send_raw(zsp.pack([1, kind, 1000 + sent, *zsp.wire(fields)[:count]]))
                    sent += 1
            self.assertEqual(client.reply(client.send(zsp.PING, rid=7), zsp.PONG, zsp.ERROR).rid, 7)
        self.assert_unharmed()

    def test_each_byte_flipped_and_each_truncation_is_survived(self):
        with self.client() as client:
            for kind, fields in REQUESTS[self.program]:
                header = zsp.encode(kind, 5, *fields)
                for index in range(len(header)):
                    client.send_raw(header[:index])
                    for bit in range(8):
                        client.send_raw(header[:index] + bytes([header[index] ^ 1 << bit]) + header[index + 1:])
                for extra in range(1, 65):
                    client.send_raw(header + bytes(extra))
        self.assert_unharmed()

    def test_random_bytes_as_headers_are_survived(self):
        source = random.Random(4)
        with self.client() as client:
            for _ in range(20000):
                client.send_raw(b"\x93\x01" + source.randbytes(source.randrange(60)))
        self.assert_unharmed()

    def test_requests_in_any_order_are_survived(self):
        source = random.Random(5)
        clients = [self.client() for _ in range(5)]
        for _ in range(5000):
            kind, fields = source.choice(REQUESTS[self.program] + [(zsp.BYE, ("x",)), (zsp.PONG, ())])
            source.choice(clients).send_raw(zsp.encode(kind, source.randrange(5), *fields))
        for client in clients:
            client.close()
        self.assert_unharmed()

    def test_a_frame_at_the_limit_is_read_and_one_beyond_cuts_the_connection(self):
        limit = FRAME_MAX[self.program]
        with self.connect() as client:
            client.send_message(bytes(limit - 64))
            self.assertEqual(zsp.decode(*client.receive_message()).code, zsp.BAD_MESSAGE)
        for size in (limit + (8 << 20), 1 << 31, 1 << 62, (1 << 64) - 1):
            with self.connect() as client:
                client.send(zmtp.header(size))
                self.assertTrue(client.is_closed(), f"a frame of {size} bytes was not refused")
        self.assert_unharmed()

    def test_endless_more_frames_are_cut(self):
        for body in (b"", b"A" * 1000, b"A" * (64 << 10)):
            block = zmtp.frame(body, more=True) * max(1, (256 << 10) // (len(body) + 2))
            with self.connect() as client:
                self.assertTrue(client.is_cut(block, 512 << 20), f"endless frames of {len(body)} bytes were taken")
            self.assertLess(self.process.rss_kib() - self.rss_kib, 400 << 10)
            self.assert_serves()
        self.assertTrue(self.process.running)

    def test_tcp_garbage_is_survived(self):
        greetings = (os.urandom(65536), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00" + os.urandom(500),
                     b"\x01\x00", b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x05\x00\x00", zmtp.GREETING[:20],
                     zmtp.GREETING + b"\x04\x05\x05READ", zmtp.GREETING + b"\x04\xff" + bytes(255),
                     zmtp.GREETING + zmtp.header(1 << 62), zmtp.GREETING.replace(b"NULL", b"EVIL"), b"")
        sockets = []
        for _ in range(20):
            for greeting in greetings:
                raw = socket.create_connection(("127.0.0.1", self.process.port), DEADLINE_S)
                raw.sendall(greeting)
                sockets.append(raw)
        self.assert_serves()
        for raw in sockets:
            raw.close()
        self.assert_unharmed()

    def test_half_a_handshake_is_cut_in_time(self):
        raw = socket.create_connection(("127.0.0.1", self.process.port), DEADLINE_S)
        raw.sendall(zmtp.GREETING[:30])
        while raw.recv(1000):
            pass
        raw.close()
        self.assert_unharmed()

    def test_commands_of_any_shape_are_survived(self):
        with self.connect() as client:
            client.send_message(zsp.encode(zsp.PING, 1))
            client.receive_message()
            for command in (b"\x04PING", b"\x04PING\0", b"\x04PING\0\x10" + b"c" * 16, b"\x07UNKNOWN", b"\x09SUBSCRIBEx",
                            b"\x06CANCELx", b"\xff", b"\x05READY", b"\x05ERROR"):
                try:
                    client.send(zmtp.frame(command, command=True))
                except OSError:
                    break
        with self.connect() as client:
            client.send(zmtp.frame(b"\x04PING\xff\xff" + bytes(200000), command=True))
        self.assert_unharmed()

    def test_a_reader_that_never_reads_does_not_stop_the_others(self):
        with self.connect() as client:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.socket.settimeout(2)
            request = zmtp.frame(zsp.encode(zsp.STATUS if self.program == "zbroker" else zsp.LIST, 1,
                                            *(() if self.program == "zbroker" else ("", 0, 0))))
            try:
                for _ in range(2000):
                    client.send(request * 100)
            except OSError:
                pass
            self.assert_serves()
        self.assert_unharmed()

    def test_a_connection_that_resets_in_the_middle_of_a_frame_is_forgotten(self):
        for size in (1, 100, 50000):
            with self.connect() as client:
                client.send(zmtp.header(60000) + bytes(size))
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.assert_unharmed()


class Broker(Storms, EndToEnd):
    program = "zbroker"

    def start(self):
        return self.world.broker()

    def client(self):
        return BrokerClient(self.process.endpoint)

    def assert_serves(self):
        with self.client() as client:
            client.status()
            client.search(0, "x")

    def test_bad_messages_are_counted(self):
        with self.client() as client:
            before = client.status().bad_messages
            for _ in range(10):
                client.send_raw(b"\xc1")
            wait_until(lambda: client.status().bad_messages == before + 10, "ten bad messages to be counted")

    def test_only_join_search_peers_status_and_bye_without_joining(self):
        with self.client() as client:
            for kind, fields in ((zsp.UPDATE, (0, 0, 0, [], None)), (zsp.PING, ())):
                reply = client.reply(client.send(kind, *fields), zsp.ERROR)
                self.assertEqual(reply.code, zsp.NOT_JOINED)

    def test_kinds_of_the_peer_link_are_unsupported(self):
        with self.client() as client:
            for kind in (zsp.HELLO, zsp.LIST, zsp.OPEN, zsp.READ, zsp.QUERY, zsp.OFFER):
                self.assertEqual(client.reply(client.send(kind), zsp.ERROR).code, zsp.UNSUPPORTED)


class Node(Storms, EndToEnd):
    program = "znode"

    def start(self):
        node = self.world.node("node", None, self.world.share("share", {"a.txt": b"a"}))
        self.world.wait_shared(node, "a.txt")
        return node

    def client(self):
        client = PeerClient(self.process.endpoint)
        client.hello()
        return client

    def assert_serves(self):
        with self.client() as client:
            self.assertEqual(client.fetch(client.open(name="a.txt").file.file_id), b"a")

    def test_everything_before_hello_is_not_joined(self):
        with PeerClient(self.process.endpoint) as client:
            for kind, fields in REQUESTS["znode"]:
                if kind != zsp.HELLO:
                    reply = client.reply(client.send(kind, *fields), zsp.ERROR)
                    self.assertEqual(reply.code, zsp.NOT_JOINED, kind)

    def test_kinds_of_the_broker_link_are_unsupported(self):
        with self.client() as client:
            for kind in (zsp.JOIN, zsp.SEARCH, zsp.UPDATE, zsp.PEERS, zsp.STATUS, zsp.QUERY):
                self.assertEqual(client.reply(client.send(kind), zsp.ERROR).code, zsp.UNSUPPORTED)


if __name__ == "__main__":
    unittest.main()
