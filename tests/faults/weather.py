# SPDX-License-Identifier: MIT
"""Bad lines: frames that are lost, come twice or overtake each other, and a path that changes bytes.

What could go wrong: a transfer that ends or crawls where plain TCP gets on; wrong bytes on the disk; a path that spoils what it
carries is used again and again, or a good source is accused in its place; a changed length or greeting that hangs or ends us.
"""

import random
import statistics
import time
import unittest

from lab import SOURCE, Failed, Lab
from support import tree
from support.case import EndToEnd, random_bytes
from support.processes import BIN
from support.proxy import CountingProxy

DELAY_US, JITTER_US, LOST_PERMILLE, DOUBLED_PERMILLE = 100000, 30000, 50, 20
RATE_BITS, QUEUE_BYTES = 20 * 10**6, 500000
LINE_BYTES = 8 << 20
ROUNDS = 2
SHARE_OF_TCP = 0.6
GREETINGS_S = 2.5  # connect, greet, HELLO, OPEN, HASHES: nine round trips and a loss among them, and TCP has one
STREAM_PORT = 7001
EVERY_BYTES = 3 << 20  # a byte of so many is changed
SPOILT_BYTES = 32 << 20
SMALL_BYTES = 300000
GREETING_BYTES = 1000  # of the stream: greeting, READY, HELLO_OK, OPEN_OK, HASHES_OK and the first DATA
STEP_BYTES = 23
MAP_MAGIC = b"zswarm1\n"


class Line(EndToEnd):
    def setUp(self):
        super().setUp()
        if not (BIN / "faults_delayline").exists():
            self.skip_loudly(f"no faults_delayline in {BIN}: build the target of that name")
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        seed = random.randrange(1 << 31)
        try:
            self.lab.open()
            self.near, self.far = self.lab.host("near"), self.lab.host("far")
            _, self.address, _ = self.lab.line(self.far, self.near, BIN / "faults_delayline", DELAY_US, RATE_BITS,
                                               QUEUE_BYTES, JITTER_US, LOST_PERMILLE, DOUBLED_PERMILLE, seed)
        except (Failed, OSError) as reason:
            self.skip_loudly(f"no network namespaces or TAP devices here: {reason}")
        print(f"seed {seed}", flush=True)
        self.addCleanup(self.world.close)  # programs end before their namespaces go

    def inside(self, host):
        return ("nsenter", f"--net=/run/netns/{host.space}", "setpriv", "--pdeathsig", "TERM", "--")

    def fetch(self, number):
        target = self.world.path(f"out-{number}", "big.bin")
        began = time.monotonic()
        get = self.world.run("zget", "--from", self.node.endpoint, "--no-serve", "--json", "-o", target, "big.bin",
                             prefix=self.inside(self.near))
        took_s = time.monotonic() - began
        self.assert_exit(get, 0)
        self.assertTrue(target.read_bytes() == self.data, "wrong bytes")
        (file,) = get.objects("file")
        self.assertLessEqual(file["received"], LINE_BYTES * 1.1, "fetched twice what was only late")
        return took_s

    def stream(self):
        began = time.monotonic()
        self.near.run("/usr/bin/python3", SOURCE / "tests/bench/stream.py", "receive",
                      f"{self.address}:{STREAM_PORT}")
        return time.monotonic() - began

    def test_frames_that_are_lost_doubled_and_late_cost_no_more_than_they_cost_tcp(self):
        self.data = random_bytes(LINE_BYTES)
        share = self.world.share("share", {"big.bin": self.data})
        self.node = self.world.node("far", None, share, args=("--bind", self.address),
                                    prefix=self.inside(self.far))
        self.lab.jobs.append(self.far.start("/usr/bin/python3", SOURCE / "tests/bench/stream.py", "send", self.address,
                                            STREAM_PORT, share / "big.bin", 0, LINE_BYTES))
        self.lab.jobs[-1].wait_text("ready")
        plain, ours = [], []
        for number in range(ROUNDS):
            plain.append(self.stream())
            ours.append(self.fetch(number))
        tcp_s, zget_s = statistics.median(plain), statistics.median(ours)
        print(f"{LINE_BYTES >> 20} MiB: plain TCP {tcp_s:.1f} s ({', '.join(f'{s:.1f}' for s in plain)}), zget "
              f"{zget_s:.1f} s ({', '.join(f'{s:.1f}' for s in ours)}): {LINE_BYTES / zget_s / 1024:.0f} KiB/s",
              flush=True)
        self.assertLess(zget_s, tcp_s / SHARE_OF_TCP + GREETINGS_S)


class SpoilingProxy(CountingProxy):
    """Flips a bit of the byte at `offset` of what goes to callers, and then of each `every` bytes."""

    def __init__(self, port, offset, every=None):
        super().__init__(port)
        self.offset, self.every, self.spoilt = offset, every, 0

    def passed_on(self, part, is_to_caller):
        part = bytearray(part)
        while is_to_caller and self.offset is not None and self.offset < self.bytes + len(part):
            part[self.offset - self.bytes] ^= 0x20
            self.spoilt += 1
            self.offset = self.offset + self.every if self.every else None
        return bytes(part)


class Spoilt(EndToEnd):
    def start_nodes(self, size, rate="0"):
        self.data = random_bytes(size)
        share = self.world.share("share", {"big.bin": self.data})
        self.nodes = [self.world.node(name, None, share, args=("--bind", "127.0.0.1", "--up", rate))
                      for name in ("spoilt", "sound")]
        for node in self.nodes:
            self.world.wait_shared(node, "big.bin")

    def proxy(self, offset, every=None):
        proxy = SpoilingProxy(self.nodes[0].port, offset, every)
        self.addCleanup(proxy.stop)
        return proxy

    def get(self, target, *endpoints, code=0):
        get = self.world.run("zget", *(word for endpoint in endpoints for word in ("--from", endpoint)), "--no-serve",
                             "--json", "--timeout", "5", "-d", target, "big.bin")
        self.assert_exit(get, code)
        return get

    def test_a_path_that_changes_bytes_is_dropped_and_the_other_source_gives_all(self):
        self.start_nodes(SPOILT_BYTES, "8M")
        proxy = self.proxy(2 << 20, EVERY_BYTES)
        get = self.get(self.world.path("out"), proxy.endpoint, self.nodes[1].endpoint)
        self.assertTrue(self.world.path("out", "big.bin").read_bytes() == self.data)
        ends = {source["node_name"]: source for source in get.objects("source")}
        print(f"{proxy.spoilt} bytes changed; {ends['spoilt']['state']}: {ends['spoilt']['reason']}", flush=True)
        self.assertEqual((ends["spoilt"]["state"], ends["sound"]["state"]), ("banned", "joined"), f"\n{get}")
        self.assertGreater(proxy.spoilt, 0)
        (file,) = get.objects("file")
        self.assertLessEqual(file["received"], SPOILT_BYTES + (4 << 20), f"\n{get}")

    def test_what_comes_over_a_path_that_changes_bytes_is_written_only_where_it_is_right(self):
        self.start_nodes(SPOILT_BYTES)
        proxy = self.proxy(EVERY_BYTES, EVERY_BYTES)
        target = self.world.path("out")
        self.get(target, proxy.endpoint, code=3)
        (partial,) = target.iterdir()
        raw = partial.read_bytes()
        bits = self.bitfield(raw)
        step = 1 << tree.chunk_log2(SPOILT_BYTES)
        claimed = [chunk for chunk in range(tree.chunk_count(SPOILT_BYTES)) if bits[chunk // 8] << chunk % 8 & 0x80]
        self.assertGreater(len(claimed), 0)
        for chunk in claimed:
            self.assertTrue(raw[chunk * step:(chunk + 1) * step] == self.data[chunk * step:(chunk + 1) * step],
                            f"chunk {chunk} counts and is wrong")
        kept = len(claimed) * step
        get = self.get(target, self.nodes[1].endpoint)
        self.assertTrue((target / "big.bin").read_bytes() == self.data)
        (file,) = get.objects("file")
        print(f"{len(claimed)} of {tree.chunk_count(SPOILT_BYTES)} chunks were kept", flush=True)
        self.assertEqual(file["received"], SPOILT_BYTES - kept, "what was verified was fetched again")

    def bitfield(self, raw):
        """Of the map behind the content (docs/architecture.md)."""
        begin = (SPOILT_BYTES + 4095) // 4096 * 4096
        self.assertEqual(raw[begin:begin + 8], MAP_MAGIC)
        return raw[begin + 48:begin + 48 + (tree.chunk_count(SPOILT_BYTES) + 7) // 8]

    def test_a_change_in_any_byte_of_a_conversation_does_no_harm(self):
        self.start_nodes(SMALL_BYTES)
        said = {}
        for offset in range(0, GREETING_BYTES, STEP_BYTES):
            target = self.world.path(f"out-{offset}")
            get = self.get(target, self.proxy(offset).endpoint, self.nodes[1].endpoint)
            self.assertTrue((target / "big.bin").read_bytes() == self.data, f"byte {offset}\n{get}")
            self.assertEqual([path.name for path in target.iterdir()], ["big.bin"])
            for source in get.objects("source"):
                if source["state"] != "joined":
                    said.setdefault(source["reason"], []).append(offset)
        print(f"changed in turn: every {STEP_BYTES}th of the first {GREETING_BYTES} bytes; {said}", flush=True)


if __name__ == "__main__":
    unittest.main()
