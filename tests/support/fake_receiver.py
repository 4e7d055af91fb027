# SPDX-License-Identifier: MIT
"""The receiving end of a push from another hand: honest by default. Written from the protocol page alone.

It asks for what it lacks over the link of whoever offers, each chunk of one pusher at a time, verifies and confirms, and
checks that it is sent nothing that it did not ask for.
"""

from support import tree, zsp
from support.actor import wait_until
from support.fake_node import READ_BYTES_MAX, FakeNode

FEATURE_ACCEPTS_PUSHES = 1


class Offer:
    """What one link offers of a file."""

    def __init__(self, rid, have):
        self.rid, self.have = rid, have


class Taken:
    """A file that is being received."""

    def __init__(self, file):
        self.file = file
        self.count = tree.chunk_count(file.size)
        self.log2 = tree.chunk_log2(file.size)
        self.layer = None if self.count > 1 else [file.root] * self.count
        self.data = bytearray(file.size)
        self.saved, self.asked = set(), set()
        self.parts = {}  # of chunks under way: bytes still to come
        self.offers = {}  # by route

    def range_of(self, chunk):
        begin = chunk << self.log2
        return begin, min(begin + (1 << self.log2), self.file.size)

    def right(self, chunk):
        begin, end = self.range_of(chunk)
        block = bytes(self.data[begin:end])
        return (tree.root(block) if self.count == 1 else tree.full_chunk_root(block, self.log2)) == self.layer[chunk]


class FakeReceiver(FakeNode):
    window = 4  # READs unanswered on one link

    def __init__(self, saved=None, **named):
        """`saved`: by file_id, the (data, chunks) that are there from an earlier run."""
        self.takes, self.requests = {}, {}  # requests: by (route, rid), the READs and HASHES unanswered
        self.forgotten = set()  # of these, those of offers that ended: their answers may be on their way
        self.earlier = saved or {}
        self.received_bytes, self.strays, self.errors = 0, [], []
        self.accepted = 0
        named.setdefault("features", 2 | FEATURE_ACCEPTS_PUSHES)
        super().__init__(**named)

    # --- Offers ---

    def on_peer(self, route, message):
        handler = {zsp.OFFER: self.on_offer, zsp.HASHES_OK: self.on_hashes_ok, zsp.DATA: self.on_data,
                   zsp.ERROR: self.on_error, zsp.CLOSE: self.on_close, zsp.BYE: self.on_bye}.get(message.kind)
        if handler:
            handler(route, message)
        else:
            super().on_peer(route, message)

    def chunks_of(self, message):
        count = tree.chunk_count(message.file.size)
        if message.have is None:
            return set(range(count))
        have = {i for i in range(count) if message.have[i // 8] & 0x80 >> i % 8}
        assert tree.bitfield(count, have) == message.have, "a bitfield of a wrong size, or with spare bits"
        return have

    def on_offer(self, route, message):
        assert message.chunk_log2 == tree.chunk_log2(message.file.size)
        take = self.takes.setdefault(message.file.file_id, Taken(message.file))
        data, chunks = self.earlier.pop(message.file.file_id, (b"", ()))
        for chunk in chunks:
            begin, end = take.range_of(chunk)
            take.data[begin:end] = data[begin:end]
            take.saved.add(chunk)
        take.offers[route] = Offer(message.rid, self.chunks_of(message))
        self.accept(route, take)

    def accept(self, route, take):
        self.accepted += 1
        self.send(route, zsp.OFFER_OK, take.offers[route].rid, take.file.file_id, take.count - len(take.saved))
        if len(take.saved) == take.count:
            self.store(take)
        elif take.layer is None:
            self.ask(route, zsp.HASHES, take.file.file_id, 0, take.count)
        else:
            self.ask_more(route, take)

    def ask(self, route, kind, *fields):
        rid = next(self.rids)
        self.requests[route, rid] = (kind, fields)
        self.send(route, kind, rid, *fields)
        return rid

    def reads_of(self, route):
        return sum(1 for (to, _), (kind, _) in self.requests.items() if to == route and kind == zsp.READ)

    def ask_more(self, route, take):
        for chunk in sorted(take.offers[route].have - take.saved - take.asked):
            if self.reads_of(route) >= self.window:
                break
            self.ask_chunk(route, take, chunk)

    def ask_chunk(self, route, take, chunk):
        begin, end = take.range_of(chunk)
        take.asked.add(chunk)
        take.parts[chunk] = end - begin
        for offset in range(begin, end, READ_BYTES_MAX):
            self.ask(route, zsp.READ, take.file.file_id, offset, min(READ_BYTES_MAX, end - offset))

    # --- Answers ---

    def on_hashes_ok(self, route, message):
        take = self.takes.get(message.file_id)
        if self.requests.pop((route, message.rid), None) is None or take is None:
            self.on_stray(route, message)
            return
        layer = [message.hashes[i:i + 32] for i in range(0, len(message.hashes), 32)]
        assert tree.layer_root(layer, take.file.size) == take.file.root, "hashes that are not of this file"
        take.layer = layer
        self.ask_more(route, take)

    def on_data(self, route, message):
        asked = self.requests.pop((route, message.rid), None)
        if asked != (zsp.READ, (message.file_id, message.offset, message.length)):
            self.on_stray(route, message)
            return
        self.received_bytes += message.length
        take = self.takes[message.file_id]
        take.data[message.offset:message.offset + message.length] = message.payload
        chunk = message.offset >> take.log2
        take.parts[chunk] = take.parts.get(chunk, 0) - message.length
        if take.parts[chunk] == 0:
            assert take.right(chunk), f"wrong bytes in chunk {chunk}"
            take.saved.add(chunk)
            self.confirm(take, chunk)
        if len(take.saved) == take.count:
            self.store(take)
        else:
            self.ask_more(route, take)

    def on_stray(self, route, message):
        if (route, message.rid) not in self.forgotten:
            self.strays.append(message)

    def confirm(self, take, chunk):
        for route, offer in take.offers.items():
            self.send(route, zsp.HAVE, offer.rid, take.file.file_id, [[chunk, 1]])

    def store(self, take):
        for route, offer in take.offers.items():
            self.send(route, zsp.STORED, offer.rid, take.file.file_id, self.stored_name(take))
        take.offers.clear()

    def stored_name(self, take):
        return take.file.name

    def on_error(self, route, message):
        self.errors.append(message)
        self.requests.pop((route, message.rid), None)

    def on_close(self, route, message):
        self.forget(route)

    def on_bye(self, route, message):
        self.forget(route)

    def forget(self, route):
        """Somebody else may be asked for what this one owes; what others owe is on its way."""
        self.forgotten |= {key for key in self.requests if key[0] == route}
        self.requests = {key: value for key, value in self.requests.items() if key[0] != route}
        for take in self.takes.values():
            if take.offers.pop(route, None):
                take.asked = take.saved | {fields[1] >> take.log2 for kind, fields in self.requests.values()
                                           if kind == zsp.READ and fields[0] == take.file.file_id}

    # --- What tests do with it ---

    def take(self):
        """The one file that was offered."""
        (take,) = self.takes.values()
        return take

    def reset(self):
        """All connections end, as when a cable is pulled and put back: nothing is said."""
        def again():
            self.close("data")
            self.requests.clear()
            for take in self.takes.values():
                take.offers.clear()
                take.asked = set(take.saved)
            self.rebind()
        self.call(again)

    def rebind(self):
        import zmq
        socket = self.open("data", zmq.ROUTER)
        def bound():
            try:
                socket.bind(f"tcp://127.0.0.1:{self.port}")
            except zmq.ZMQError:
                return False
            return True
        wait_until(bound, "the port to be free again")


class RefusingReceiver(FakeReceiver):
    """Answers OFFER with one error code, `times` times."""

    def __init__(self, code, words="test", retry_ms=0, times=1 << 30, **named):
        self.code, self.words, self.retry_ms, self.times = code, words, retry_ms, times
        super().__init__(**named)

    def on_offer(self, route, message):
        self.times -= 1
        if self.times < 0:
            super().on_offer(route, message)
        else:
            self.error(route, message.rid, self.code, self.words, self.retry_ms)


class IdleReceiver(FakeReceiver):
    """Accepts, and asks for nothing: what it says next is the test's."""

    def accept(self, route, take):
        self.accepted += 1
        self.send(route, zsp.OFFER_OK, take.offers[route].rid, take.file.file_id, self.missing(take))
        self.misbehave(route, take)

    def missing(self, take):
        return take.count

    def misbehave(self, route, take):
        pass
