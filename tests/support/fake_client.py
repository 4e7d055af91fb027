# SPDX-License-Identifier: MIT
"""Clients from another hand: one for a broker, one for the data port of a node."""

import itertools
import os
import time

import zmq

from support import tree, zsp
from support.actor import DEADLINE_S, Unexpected


class Refused(Exception):
    """The other side answered ERROR."""

    def __init__(self, message):
        super().__init__(f"ERROR {message.code}: {message.text}")
        self.code, self.text, self.retry_ms = message.code, message.text, message.retry_ms


class Link:
    """One DEALER; every reply is decoded strictly."""

    def __init__(self, endpoint, deadline_s=DEADLINE_S):
        self.deadline_s = deadline_s
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 200
        self.socket.sndtimeo = int(DEADLINE_S * 1000)
        self.socket.connect(endpoint if "://" in endpoint else "tcp://" + endpoint)
        self.rids = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, kind, *fields, rid=None):
        rid = next(self.rids) if rid is None else rid
        self.socket.send(zsp.encode(kind, rid, *fields))
        return rid

    def send_raw(self, *frames):
        """Sends anything. What came in is thrown away first: who never reads is stopped, and may be cut off."""
        while self.socket.poll(0):
            self.socket.recv_multipart()
        self.socket.send_multipart(frames)

    def receive(self, deadline_s=None):
        """The next message of any kind but PING, which is answered at once; None when none came in time."""
        end = time.monotonic() + (self.deadline_s if deadline_s is None else deadline_s)
        while self.socket.poll(max(0, int((end - time.monotonic()) * 1000))):
            frames = self.socket.recv_multipart()
            if len(frames) > 2:
                raise Unexpected(f"{len(frames)} frames")
            message = zsp.decode(*frames)
            if message.kind != zsp.PING:
                return message
            self.send(zsp.PONG, rid=message.rid)
        return None

    def reply(self, rid, *kinds):
        """The next message with this rid: one of `kinds`, or Refused."""
        end = time.monotonic() + self.deadline_s
        while True:
            message = self.receive(max(0, end - time.monotonic()))
            if message is None:
                raise Unexpected(f"no reply of kind {kinds} to rid {rid}")
            if message.rid != rid:
                continue
            if message.kind == zsp.ERROR and zsp.ERROR not in kinds:
                raise Refused(message)
            if message.kind not in kinds:
                raise Unexpected(f"{message} in place of kind {kinds}")
            return message

    def request(self, kind, *fields, reply):
        return self.reply(self.send(kind, *fields), reply)

    def ping(self):
        return self.request(zsp.PING, reply=zsp.PONG)


class BrokerClient(Link):
    def search(self, mode, text, min_size=0, max_size=0, limit=0, deadline_ms=10000):
        """(hits, done): hits is a dict from File to the set of its Sources. It is over when all have answered; who never
        does is waited for until the deadline, here the longest that a broker allows."""
        rid = self.send(zsp.SEARCH, mode, text, min_size, max_size, limit, deadline_ms)
        hits = {}
        while True:
            message = self.reply(rid, zsp.FOUND, zsp.SEARCH_DONE)
            if message.kind == zsp.SEARCH_DONE:
                if message.asked != message.positive + message.negative + message.silent:
                    raise Unexpected(f"counts do not add up: {message}")
                return hits, message
            for file, sources in message.hits:
                hits.setdefault(file, set()).update(sources)

    def names(self, mode, text, **bounds):
        return sorted(file.name for file in self.search(mode, text, **bounds)[0])

    def peers(self):
        """All pages of PEERS."""
        cursor, peers = 0, []
        while True:
            page = self.request(zsp.PEERS, cursor, 0, reply=zsp.PEERS_OK)
            peers += page.peers
            cursor = page.next_cursor
            if cursor == 0:
                return peers

    def status(self):
        return self.request(zsp.STATUS, reply=zsp.STATUS_OK)


class PeerClient(Link):
    def hello(self, expected_node_id=None):
        return self.request(zsp.HELLO, None, int.from_bytes(os.urandom(8), "little"), "stranger", "fake/1", 0,
                            expected_node_id, reply=zsp.HELLO_OK)

    def list(self, prefix="", limit=0):
        cursor, files = 0, []
        while True:
            page = self.request(zsp.LIST, prefix, cursor, limit, reply=zsp.LIST_OK)
            files += page.files
            cursor = page.next_cursor
            if cursor == 0:
                if page.total != len(files):
                    raise Unexpected(f"total {page.total}, listed {len(files)}")
                return files

    def open(self, file_id=None, name=None):
        return self.request(zsp.OPEN, file_id, name, reply=zsp.OPEN_OK)

    def hashes(self, file_id, first, count):
        return self.request(zsp.HASHES, file_id, first, count, reply=zsp.HASHES_OK)

    def read(self, file_id, offset, length):
        message = self.request(zsp.READ, file_id, offset, length, reply=zsp.DATA)
        if (message.file_id, message.offset, message.length) != (file_id, offset, length):
            raise Unexpected(f"another range than asked: {message}")
        return message.payload

    def layer(self, file):
        """The chunk layer, checked against the root."""
        count = tree.chunk_count(file.size)
        if count <= 1:
            return []
        run = self.hashes(file.file_id, 0, count).hashes
        layer = [run[i:i + 32] for i in range(0, len(run), 32)]
        if tree.layer_root(layer, file.size) != file.root:
            raise Unexpected("chunk layer does not hash up to the root")
        return layer

    def fetch(self, file_id):
        """The whole file, one READ at a time, verified against its root."""
        file = self.open(file_id=file_id).file
        step = min(1 << 20, 1 << tree.chunk_log2(file.size))
        self.layer(file)
        data = b"".join(self.read(file_id, offset, min(step, file.size - offset))
                        for offset in range(0, file.size, step))
        if tree.id_of(data) != file_id:
            raise Unexpected("the bytes are not those of the id")
        return data
