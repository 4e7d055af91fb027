# SPDX-License-Identifier: MIT
"""A broker from another hand: lists nodes, answers searches with what the test says, asks nodes."""

import itertools
import os

import zmq

from support import ports, zsp
from support.actor import Actor


class FakeBroker(Actor):
    """`hits`: (File, [Source, ...]) pairs that every SEARCH finds; `counts` follow in SEARCH_DONE."""

    def __init__(self, hits=(), counts=(1, 1, 0, 0, 0), truncated=False, lease_ms=30000, port=None):
        super().__init__()
        self.hits, self.counts, self.truncated = list(hits), counts, truncated
        self.lease_ms = lease_ms
        self.broker_id = os.urandom(16)
        self.rids = itertools.count(1000)
        self.joined = {}
        self.bad = []
        self.held_port = ports.bound(port or 0)
        self.port = ports.port_of(self.held_port)
        self.open("broker", zmq.ROUTER).bind(f"tcp://127.0.0.1:{self.port}")
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.start()

    def send(self, route, kind, rid, *fields):
        self.sockets["broker"].send_multipart([route, zsp.encode(kind, rid, *fields)])

    def received(self, link, route, frames):
        try:
            message = self.decode(frames)
        except zsp.BadMessage as error:
            self.bad.append(error)
            return
        handler = {zsp.JOIN: self.on_join, zsp.SEARCH: self.on_search, zsp.STATUS: self.on_status,
                   zsp.PEERS: self.on_peers}.get(message.kind)
        if handler:
            handler(route, message)
        elif message.kind == zsp.PING:
            self.send(route, zsp.PONG, message.rid)
        elif message.kind == zsp.UPDATE:
            self.send(route, zsp.UPDATE_OK, message.rid, message.generation)
        self.note(link, route, message)

    def on_join(self, route, message):
        self.joined[route] = message
        self.send(route, zsp.JOIN_OK, message.rid, "127.0.0.1", message.port, self.lease_ms, self.broker_id,
                  len(self.joined))

    def on_search(self, route, message):
        if self.hits:
            self.send(route, zsp.FOUND, message.rid, [[file, sources] for file, sources in self.hits])
        self.send(route, zsp.SEARCH_DONE, message.rid, *self.counts, self.truncated, 1)

    def on_status(self, route, message):
        self.send(route, zsp.STATUS_OK, message.rid, self.broker_id, "fake/1", 1, len(self.joined), 0, 0, 0, 0)

    def on_peers(self, route, message):
        self.send(route, zsp.PEERS_OK, message.rid, 0, [])

    def wait_joined(self):
        """The JOIN of the first node and its route."""
        seen = self.wait_seen(zsp.JOIN)
        return seen.route, seen.message

    def query(self, route, mode, text, min_size=0, max_size=0, limit=200, deadline_ms=2000):
        """Sends a QUERY to a node and returns its ANSWER."""
        rid = next(self.rids)
        self.post(lambda: self.send(route, zsp.QUERY, rid, mode, text, min_size, max_size, limit, deadline_ms, None))
        return self.wait_seen(zsp.ANSWER, lambda message: message.rid == rid).message

    def stop(self):
        super().stop()
        self.held_port.close()
