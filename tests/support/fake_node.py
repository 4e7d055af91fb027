# SPDX-License-Identifier: MIT
"""A node from another hand: honest by default, and with every fault that a test can ask for.

The faults are subclasses that override one reply each; tests may override further.
"""

import heapq
import itertools
import os
import time

import zmq

from support import matching, ports, tree, zsp
from support.actor import Actor, Unexpected, wait_until

WINDOW_BYTES = 16 << 20
READ_BYTES_MAX = 1 << 20
HEADER_BYTES_MAX = 64 << 10


class FakeNode(Actor):
    def __init__(self, files=(), broker=None, name="stranger", node_id=None, port=None, presence=None, features=2):
        super().__init__()
        self.held_port = ports.bound(port or 0)  # it may leave and come back
        self.files = {shared.file_id: shared for shared in files}
        self.node_id = node_id or os.urandom(16)
        self.boot = int.from_bytes(os.urandom(8), "little")
        self.node_name, self.presence, self.features = name, presence, features
        self.rids = itertools.count(1)
        self.delayed, self.order = [], itertools.count()
        self.sent_bytes = 0
        self.joined = None
        self.bad = []
        self.port = ports.port_of(self.held_port)
        self.open("data", zmq.ROUTER).bind(f"tcp://127.0.0.1:{self.port}")
        self.endpoint = f"127.0.0.1:{self.port}"
        if broker:
            self.open("broker", zmq.DEALER).connect(broker)
            self.send_broker(zsp.JOIN, next(self.rids), *self.join_fields())
        self.start()
        if broker:
            wait_until(lambda: self.joined or self.failure, f"JOIN_OK for the fake node {name}")
            if self.failure:
                raise Unexpected(f"fake node failed: {self.failure}")

    def join_fields(self):
        total = sum(len(shared.data) for shared in self.files.values())
        return (self.node_id, self.boot, self.port, self.node_name, "fake/1", self.features, len(self.files), total,
                self.presence, [])

    # --- Sending ---

    def send_broker(self, kind, rid, *fields):
        self.sockets["broker"].send(zsp.encode(kind, rid, *fields))

    def send(self, route, kind, rid, *fields, payload=None):
        frames = [route, zsp.encode(kind, rid, *fields)] + ([payload] if payload is not None else [])
        if "data" in self.sockets:
            self.sockets["data"].send_multipart(frames)

    def error(self, route, rid, code, words="", retry_ms=0):
        self.send(route, zsp.ERROR, rid, code, words, retry_ms)

    def send_later(self, delay_s, *args, **named):
        heapq.heappush(self.delayed, (time.monotonic() + delay_s, next(self.order), args, named))

    def tick(self):
        while self.delayed and self.delayed[0][0] <= time.monotonic():
            _, _, args, named = heapq.heappop(self.delayed)
            self.send(*args, **named)

    # --- Receiving ---

    def received(self, link, route, frames):
        try:
            message = self.decode(frames)
        except zsp.BadMessage as error:
            self.bad.append(error)
            return
        self.note(link, route, message)
        if link == "broker":
            self.on_broker(message)
        else:
            self.on_peer(route, message)

    def on_broker(self, message):
        if message.kind == zsp.JOIN_OK:
            self.joined = message
        elif message.kind == zsp.PING:
            self.send_broker(zsp.PONG, message.rid)
        elif message.kind == zsp.QUERY:
            self.on_query(message)

    def on_query(self, query):
        hits = [shared.file() for shared in self.files.values()
                if matching.matches(query.mode, query.text, shared.name, shared.file_id, len(shared.data),
                                    query.min_size, query.max_size)]
        total, hits = len(hits), hits[:query.limit]
        while len(zsp.encode(zsp.ANSWER, query.rid, total, hits)) > HEADER_BYTES_MAX:
            hits.pop()
        self.answer(query, total, hits)

    def answer(self, query, total, files):
        self.send_broker(zsp.ANSWER, query.rid, total, files)

    def on_peer(self, route, message):
        handler = {zsp.HELLO: self.on_hello, zsp.LIST: self.on_list, zsp.OPEN: self.on_open,
                   zsp.HASHES: self.on_hashes, zsp.READ: self.on_read}.get(message.kind)
        if handler:
            handler(route, message)
        elif message.kind == zsp.PING:
            self.send(route, zsp.PONG, message.rid)

    def on_hello(self, route, message):
        if message.expected_node_id not in (None, self.node_id):
            self.error(route, message.rid, zsp.WRONG_NODE)
            return
        self.send(route, zsp.HELLO_OK, message.rid, self.node_id, self.boot ^ 1, self.node_name, "fake/1",
                  self.features, WINDOW_BYTES, READ_BYTES_MAX)

    def on_list(self, route, message):
        files = sorted((shared.file() for shared in self.files.values() if shared.name.startswith(message.prefix)),
                       key=lambda file: file.name.encode())
        self.send(route, zsp.LIST_OK, message.rid, 0, 0, len(files), files)

    def find(self, message):
        if message.file_id is not None:
            return self.files.get(message.file_id)
        names = [s for s in self.files.values() if s.name == message.name]
        bases = [s for s in self.files.values() if matching.base_name(s.name) == message.name]
        return names[0] if names else bases[0] if len(bases) == 1 else None

    def on_open(self, route, message):
        shared = self.find(message)
        if shared is None:
            self.error(route, message.rid, zsp.NOT_FOUND)
        else:
            self.send(route, zsp.OPEN_OK, message.rid, *self.open_fields(shared))

    def open_fields(self, shared):
        return shared.file(), shared.chunk_log2, None

    def on_hashes(self, route, message):
        shared = self.files.get(message.file_id)
        if shared is None:
            self.error(route, message.rid, zsp.NOT_FOUND)
        elif not shared.layer or not message.count or message.first + message.count > len(shared.layer):
            self.error(route, message.rid, zsp.BAD_RANGE)
        else:
            run = b"".join(shared.layer[message.first:message.first + message.count])
            self.send(route, zsp.HASHES_OK, message.rid, message.file_id, message.first, self.hashes(shared, run))

    def hashes(self, shared, run):
        return run

    def on_read(self, route, message):
        shared = self.files.get(message.file_id)
        if shared is None:
            self.error(route, message.rid, zsp.NOT_FOUND)
        elif not message.length or message.offset + message.length > len(shared.data):
            self.error(route, message.rid, zsp.BAD_RANGE)
        elif message.length > READ_BYTES_MAX:
            self.error(route, message.rid, zsp.LIMIT)
        else:
            self.serve(route, message, shared.data[message.offset:message.offset + message.length])

    def serve(self, route, message, data):
        self.sent_bytes += len(data)
        self.send(route, zsp.DATA, message.rid, message.file_id, message.offset, message.length, payload=data)

    # --- What tests do with it ---

    def bye(self, reason="test"):
        self.call(lambda: self.send_broker(zsp.BYE, 0, reason))

    def vanish(self):
        """As a killed process: every socket is gone, nothing is said."""
        self.call(lambda: [self.close(link) for link in list(self.sockets)])

    def stop(self):
        super().stop()
        self.held_port.close()


class GatedNode(FakeNode):
    """Answers the READs that `passes` takes; the others wait until the gate is opened: whatever a test does in the middle of
    a transfer, the middle lasts as long as it needs."""

    def __init__(self, *args, gate_bytes=0, **named):
        """`gate_bytes`: it answers so many, of whichever READs come first."""
        self.gate_bytes, self.is_open, self.held = gate_bytes, False, []
        super().__init__(*args, **named)

    def passes(self, message):
        return self.sent_bytes + message.length <= self.gate_bytes

    def serve(self, route, message, data):
        if self.is_open or self.passes(message):
            super().serve(route, message, data)
        else:
            self.held.append((route, message, data))

    def open_gate(self):
        def flush():
            self.is_open, held, self.held = True, self.held, []
            for one in held:
                self.serve(*one)
        self.call(flush)


class SilentInSearch(FakeNode):
    def on_query(self, query):
        pass


class ByeInSearch(FakeNode):
    """Leaves in the middle of a search, in place of an answer."""

    def on_query(self, query):
        self.send_broker(zsp.BYE, 0, "done")


class CorruptNode(FakeNode):
    """Right hashes, wrong bytes: the first byte of each range is flipped."""

    def serve(self, route, message, data):
        super().serve(route, message, bytes([data[0] ^ 1]) + data[1:])


class SlowNode(FakeNode):
    delay_s = 0.05

    def serve(self, route, message, data):
        self.sent_bytes += len(data)
        self.send_later(self.delay_s, route, zsp.DATA, message.rid, message.file_id, message.offset, message.length,
                        payload=data)


class MuteNode(FakeNode):
    """Promises everything, answers no READ."""

    def on_read(self, route, message):
        pass


class RefusingNode(FakeNode):
    """Answers each READ with one error code."""
    code = zsp.CHANGED

    def on_read(self, route, message):
        self.error(route, message.rid, self.code, "test")


class WrongHashesNode(FakeNode):
    def hashes(self, shared, run):
        return bytes([run[0] ^ 1]) + run[1:]


class ShortHashesNode(FakeNode):
    def hashes(self, shared, run):
        return run[:-32]


class WrongRangeNode(FakeNode):
    """DATA of another range than the one that was asked for."""

    def serve(self, route, message, data):
        self.send(route, zsp.DATA, message.rid, message.file_id, message.offset + 1, message.length, payload=data)


class ShortDataNode(FakeNode):
    """A payload that is shorter than its header says."""

    def serve(self, route, message, data):
        self.send(route, zsp.DATA, message.rid, message.file_id, message.offset, message.length, payload=data[:-1])


class UnaskedDataNode(FakeNode):
    """Honest, but each answer comes with another that nobody asked for."""

    def serve(self, route, message, data):
        self.send(route, zsp.DATA, message.rid + 10**9, message.file_id, message.offset, message.length,
                  payload=bytes(len(data)))
        super().serve(route, message, data)
        self.send(route, zsp.DATA, message.rid, message.file_id, message.offset, message.length,
                  payload=bytes(len(data)))


class LyingAboutSize(FakeNode):
    """64 bytes, the two child hashes, have the root of the whole file: only the id commits to the size."""

    def open_fields(self, shared):
        return shared.file(size=64), tree.chunk_log2(64), None

    def on_read(self, route, message):
        pass
