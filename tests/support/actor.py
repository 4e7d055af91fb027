# SPDX-License-Identifier: MIT
"""A thread that owns ZeroMQ sockets: the base of the fake node and the fake broker.

Other threads talk to it by `post` (run this on your thread) and `wait_seen` (until a message came in).
"""

import collections
import os
import threading
import time

import zmq

from support import zsp

SLOWNESS = float(os.environ.get("ZSWARM_SLOWNESS", "1"))
DEADLINE_S = 60 * SLOWNESS  # far beyond need: only a test that fails waits for so long


class Unexpected(AssertionError):
    pass


def wait_until(condition, what, deadline_s=DEADLINE_S, every_s=0.02):
    """Polls `condition` until it is true and returns its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Unexpected(f"after {deadline_s:.0f} s still waiting for {what}")
        time.sleep(every_s)


Seen = collections.namedtuple("Seen", "link route message")


class Actor(threading.Thread):
    """Subclasses create sockets with `open`, and get `received(link, route, frames)` and `tick()`."""

    def __init__(self):
        super().__init__(daemon=True)
        self.context = zmq.Context()
        self.sockets = {}
        self.jobs = collections.deque()
        self.seen = []
        self.condition = threading.Condition()
        self.stopping = False
        self.failure = None

    def open(self, link, kind):
        socket = self.context.socket(kind)
        socket.linger = 200
        socket.sndhwm = socket.rcvhwm = 100000
        self.sockets[link] = socket
        return socket

    def close(self, link):
        """On the actor's own thread: closes one socket, as a process that dies would."""
        self.sockets.pop(link).close(0)

    def post(self, job):
        self.jobs.append(job)

    def call(self, job):
        """Runs `job` on the actor's thread and returns when it is done."""
        done = threading.Event()
        self.post(lambda: (job(), done.set()))
        if not done.wait(DEADLINE_S):
            raise Unexpected(f"fake did not run its job: {self.failure}")

    def note(self, link, route, message):
        with self.condition:
            self.seen.append(Seen(link, route, message))
            self.condition.notify_all()

    def seen_of(self, kind):
        with self.condition:
            return [seen for seen in self.seen if seen.message.kind == kind]

    def wait_seen(self, kind, accept=lambda message: True, deadline_s=DEADLINE_S):
        """The first message of `kind` that `accept` takes, waiting for it."""
        def find():
            return next((s for s in self.seen if s.message.kind == kind and accept(s.message)), None)
        with self.condition:
            if not self.condition.wait_for(find, deadline_s):
                raise Unexpected(f"no message of kind {kind} within {deadline_s:.0f} s; seen {self.seen[-5:]}")
            return find()

    def decode(self, frames):
        if len(frames) not in (1, 2):
            raise zsp.BadMessage(f"{len(frames)} frames")
        return zsp.decode(*frames)

    def run(self):
        try:
            while not self.stopping:
                while self.jobs:
                    self.jobs.popleft()()
                self.tick()
                self.read_sockets()
        except Exception as error:  # shown by whoever waits for this fake
            self.failure = error
            raise
        finally:
            for link in list(self.sockets):
                self.sockets.pop(link).close()
            self.context.term()  # a socket goes on listening for a while after it was closed, but not after this

    def read_sockets(self):
        poller = zmq.Poller()
        links = {socket: link for link, socket in self.sockets.items()}
        for socket in links:
            poller.register(socket, zmq.POLLIN)
        for socket, _ in poller.poll(5):
            for _ in range(100):
                if links[socket] not in self.sockets:
                    break
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                route = frames.pop(0) if socket.socket_type == zmq.ROUTER else None
                self.received(links[socket], route, frames)

    def tick(self):
        pass

    def received(self, link, route, frames):
        raise NotImplementedError

    def stop(self):
        self.stopping = True
        self.join(DEADLINE_S)
