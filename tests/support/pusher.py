# SPDX-License-Identifier: MIT
"""A pusher from another hand: offers files and answers what it is asked, strictly by the protocol page.

Faults are subclasses that override one answer. Nothing runs by itself: `serve` and `serve_all` do, until a
condition holds.
"""

import time

from support import tree, zsp
from support.actor import DEADLINE_S, Unexpected
from support.fake_client import PeerClient

WINDOW_BYTES = 16 << 20
READ_BYTES_MAX = 1 << 20


class Offer:
    """One OFFER and what came of it."""

    def __init__(self, shared, rid, chunks):
        self.shared, self.rid, self.chunks = shared, rid, chunks
        self.missing = self.stored = self.error = None
        self.told = []  # chunks, as HAVE named them
        self.asked = []  # (offset, length)

    @property
    def asked_bytes(self):
        return sum(length for _, length in self.asked)

    @property
    def is_over(self):
        return self.stored is not None or self.error is not None


class Pusher(PeerClient):
    def __init__(self, endpoint):
        super().__init__(endpoint)
        self.offers = {}  # by rid
        self.sent_bytes = 0
        self.features = self.hello().features

    def offer(self, shared, chunks=None, file=None):
        """Sends OFFER of all chunks, or of these."""
        have = None if chunks is None else tree.bitfield(tree.chunk_count(len(shared.data)), chunks)
        rid = self.send(zsp.OFFER, file or shared.file(), shared.chunk_log2, have)
        self.offers[rid] = Offer(shared, rid, None if chunks is None else set(chunks))
        return self.offers[rid]

    def bye(self):
        self.send(zsp.BYE, "test")

    def withdraw(self, offer):
        self.send(zsp.CLOSE, offer.shared.file_id)

    # --- Being asked ---

    def last_offer_of(self, file_id):
        """The last that was taken: what its receiver asks may be on its way when another OFFER is sent."""
        return next((o for o in reversed(self.offers.values()) if o.shared.file_id == file_id and o.missing is not None),
                    None)

    def answer(self, message):
        offer = self.offers.get(message.rid)
        if message.kind in (zsp.READ, zsp.HASHES, zsp.CANCEL):
            self.answer_request(message)
        elif offer is None:
            raise Unexpected(f"{message} belongs to no OFFER")
        elif offer.is_over:
            raise Unexpected(f"{message} after the end of its OFFER")
        elif message.kind == zsp.OFFER_OK:
            offer.missing = message.missing
        elif offer.missing is None and message.kind != zsp.ERROR:
            raise Unexpected(f"{message} before OFFER_OK")
        elif message.kind == zsp.HAVE:
            for first, count in message.runs:
                offer.told += range(first, first + count)
        elif message.kind == zsp.STORED:
            offer.stored = message.name
        elif message.kind == zsp.ERROR:
            offer.error = message
        else:
            raise Unexpected(f"{message} is no business of a pusher")

    def answer_request(self, message):
        if message.kind == zsp.CANCEL:
            return
        offer = self.last_offer_of(message.file_id)
        if offer is None:
            raise Unexpected(f"{message} without an OFFER")
        if message.kind == zsp.HASHES:
            self.on_hashes(offer, message)
            return
        step = 1 << offer.shared.chunk_log2
        asked = range(message.offset // step, (message.offset + message.length - 1) // step + 1)
        if message.length > READ_BYTES_MAX or message.offset + message.length > len(offer.shared.data):
            raise Unexpected(f"{message} is too large")
        if offer.chunks is not None and not offer.chunks.issuperset(asked):
            raise Unexpected(f"{message} asks for chunks that were not offered")
        offer.asked.append((message.offset, message.length))
        self.on_read(offer, message, offer.shared.data[message.offset:message.offset + message.length])

    def on_hashes(self, offer, message):
        run = b"".join(offer.shared.layer[message.first:message.first + message.count])
        self.send(zsp.HASHES_OK, message.file_id, message.first, run, rid=message.rid)

    def on_read(self, offer, message, data):
        self.send_data(message, data)

    def send_data(self, message, data):
        self.sent_bytes += len(data)
        header = zsp.encode(zsp.DATA, message.rid, message.file_id, message.offset, message.length)
        self.socket.send_multipart([header, data])

    def step(self, wait_s):
        message = self.receive(wait_s)
        if message:
            self.answer(message)
        return message

    def serve(self, until, what, deadline_s=DEADLINE_S):
        serve_all([self], until, what, deadline_s)

    def push(self, shared, chunks=None):
        """Offers and serves until it is over; the Offer."""
        offer = self.offer(shared, chunks)
        self.serve(lambda: offer.is_over, f"the end of the push of {shared.name}")
        return offer


def serve_all(pushers, until, what, deadline_s=DEADLINE_S):
    """Answers for all of them until the condition holds."""
    end = time.monotonic() + deadline_s
    while not until():
        if time.monotonic() > end:
            raise Unexpected(f"after {deadline_s:.0f} s still waiting for {what}")
        if not any([pusher.step(0) for pusher in pushers]):
            pushers[0].step(0.01)


class WrongBytesPusher(Pusher):
    def on_read(self, offer, message, data):
        self.send_data(message, bytes([data[0] ^ 1]) + data[1:])


class WrongHashesPusher(Pusher):
    def on_hashes(self, offer, message):
        run = bytes(32 * message.count)
        self.send(zsp.HASHES_OK, message.file_id, message.first, run, rid=message.rid)


class WrongRangePusher(Pusher):
    def on_read(self, offer, message, data):
        header = zsp.encode(zsp.DATA, message.rid, message.file_id, message.offset + 1, message.length)
        self.socket.send_multipart([header, data])


class RefusingPusher(Pusher):
    def on_read(self, offer, message, data):
        self.send(zsp.ERROR, zsp.CHANGED, "test", 0, rid=message.rid)


class MutePusher(Pusher):
    """Promises everything, answers no READ; notes what would be unanswered."""

    def on_read(self, offer, message, data):
        pass


class UnaskedDataPusher(Pusher):
    """Honest, but each answer comes with others that nobody asked for."""

    def on_read(self, offer, message, data):
        for rid in (0, message.rid + 10**6, offer.rid):
            header = zsp.encode(zsp.DATA, rid, message.file_id, message.offset, message.length)
            self.socket.send_multipart([header, bytes(len(data))])
        self.send_data(message, data)
        header = zsp.encode(zsp.DATA, message.rid, message.file_id, message.offset, message.length)
        self.socket.send_multipart([header, bytes(len(data))])


class StoppingPusher(Pusher):
    """Answers the first `reads` READs and then none."""
    reads = 8

    def on_read(self, offer, message, data):
        self.reads -= 1
        if self.reads >= 0:
            self.send_data(message, data)
