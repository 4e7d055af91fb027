# SPDX-License-Identifier: MIT
"""Ten thousand nodes at one broker: they join at once, are searched, and some of them stop reading.

What could go wrong: a broker that runs out of descriptors or memory, refuses who comes first, loses an answer, makes everybody
wait for the slowest, or gives a searcher less than the nodes said.
"""

import os
import resource
import struct
import subprocess
import time

import unittest

import zmq

from support import matching, tree, zsp
from support.actor import wait_until
from support.case import EndToEnd, patience
from support.fake_client import BrokerClient
from support.processes import BIN

NODES = 10000
GROUPS = 100  # one in a hundred nodes has the file that a search asks for
DEAF = 20
FILES_WANTED = 16384
LOG2_BITS = 10
JOIN_S, JOIN_P99_MS = 20, 5000
RSS_MAX_KIB = 600 << 10
P99_MS = 1000
DEADLINE_MS = 10000
FILTERED_A_SECOND, FILTERED_COUNT = 20, 240
ALL_A_SECOND, ALL_S, PROBES, SHARE = 3, 10, 3, 0.7
CLIENTS = 4  # a search of all nodes costs half of what one client may spend a second
FILLING = 500  # QUERYs of 300 bytes: more than the buffers of a connection take
FILLING_TEXT = " ".join(["deaf.bin"] * 28)


class Node:
    """What one node says; `group` is a number, or None for those that will not read."""

    def __init__(self, index, group):
        self.name = "deaf.bin" if group is None else f"group-{group:02}.bin"
        root = tree.root(struct.pack("<I", index))
        self.file = zsp.File(tree.file_id(4, root), root, 4, self.name)
        presence = matching.presence_filter([(self.name, self.file.file_id)], LOG2_BITS)
        self.join = zsp.encode(zsp.JOIN, 1, struct.pack("<QQ", index, 7), index + 1, 9000 + index % 1000,
                               f"node-{index}", "fake/1", 2, 1, 4, presence, [])
        self.answer = zsp.pack(1) + zsp.pack([self.file.wire()])

    def bytes(self):
        return b"".join(struct.pack("<I", len(part)) + part for part in (self.join, self.name.encode(), self.answer))


class Ended:
    """A search: what it found, until when it found more, and when it ended."""

    def __init__(self, text):
        self.text, self.began, self.files = text, time.monotonic(), set()

    def on_found(self, message):
        self.files |= {file.file_id for file, _ in message.hits}
        self.found_s = time.monotonic() - self.began

    def on_done(self, message):
        self.done, self.done_s = message, time.monotonic() - self.began


class Searches:
    """Searches sent at a steady rate over some connections, whether or not the earlier ones have ended."""

    def __init__(self, endpoint):
        self.clients = [BrokerClient(endpoint) for _ in range(CLIENTS)]
        self.poller = zmq.Poller()
        for client in self.clients:
            self.poller.register(client.socket, zmq.POLLIN)
            client.status()

    def close(self):
        for client in self.clients:
            client.close()

    def run(self, mode, texts, a_second, deadline_ms):
        """An `Ended` of a search for each text, in the order in which they ended."""
        waiting, ended = {}, []
        began, sent = time.monotonic(), 0
        while len(ended) < len(texts):
            due = min(len(texts), int((time.monotonic() - began) * a_second) + 1)
            for text in texts[sent:due]:
                client = self.clients[sent % CLIENTS]
                rid = client.send(zsp.SEARCH, mode, text, 0, 0, 0, deadline_ms)
                waiting[client.socket, rid] = Ended(text)
                sent += 1
            for socket, _ in self.poller.poll(5):
                message = zsp.decode(socket.recv())
                search = waiting[socket, message.rid]
                if message.kind == zsp.FOUND:
                    search.on_found(message)
                elif message.kind == zsp.SEARCH_DONE:
                    search.on_done(message)
                    ended.append(waiting.pop((socket, message.rid)))
                else:
                    raise AssertionError(f"{message} in a search for {search.text}")
            if time.monotonic() - began > len(texts) / a_second + 2 * DEADLINE_MS / 1000:
                raise AssertionError(f"{len(waiting)} searches have no end")
        return ended


def spread_ms(seconds):
    """The median and the 99th of a hundred."""
    ordered = sorted(seconds)
    return ordered[len(ordered) // 2] * 1000, ordered[len(ordered) * 99 // 100] * 1000


class Thousands(EndToEnd):
    def setUp(self):
        super().setUp()
        if not (BIN / "faults_thousands").exists():
            self.skip_loudly(f"no faults_thousands in {BIN}: build the target of that name")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        if most < FILES_WANTED and os.geteuid() != 0:
            self.skip_loudly(f"one process may have {most} descriptors, and {FILES_WANTED} are needed")
        self.files = ("prlimit", f"--nofile={max(most, FILES_WANTED)}", "--")

    def tell(self, line):
        """Tells the nodes something; positive, negative, lost, unsent: what they did so far."""
        before = len(self.crowd.stdout.lines_so_far)
        self.crowd.popen.stdin.write(line)
        self.crowd.popen.stdin.flush()
        wait_until(lambda: len(self.crowd.stdout.lines_so_far) > before, "the counts of the nodes")
        return [int(word) for word in self.crowd.stdout.lines_so_far[-1].split()[1::2]]

    def join(self):
        nodes = [Node(n, None if n >= NODES - DEAF else n % GROUPS) for n in range(NODES)]
        path = self.world.path("nodes")
        path.write_bytes(b"".join(node.bytes() for node in nodes))
        self.broker = self.world.broker(prefix=self.files)
        self.fresh_kib = self.broker.rss_kib()
        self.crowd = self.world.start("faults_thousands", self.broker.port, path, DEAF, prefix=self.files,
                                      stdin=subprocess.PIPE)
        match = self.crowd.wait_stdout(r"^joined (\d+) refused (\d+) seconds (\S+) p99_ms (\d+)$",
                                       2 * JOIN_S * patience())
        joined, refused, seconds, p99_ms = (float(group) for group in match.groups())
        print(f"{joined:.0f} joined, {refused:.0f} refused, in {seconds:.1f} s, p99 {p99_ms:.0f} ms; the broker has "
              f"{self.broker.rss_kib() >> 10} MiB", flush=True)
        self.assertEqual((joined, refused), (NODES, 0), f"\n{self.broker}")
        self.assertLess(seconds, JOIN_S * patience())
        self.assertLess(p99_ms, JOIN_P99_MS * patience())
        return {f"group-{g:02}.bin": {node.file.file_id for node in nodes if node.name == f"group-{g:02}.bin"}
                for g in range(GROUPS)}

    def assert_all_arrived(self, label, ended, expected, silent_max=0):
        """Each search brought every file of its group, and counted every answer of every node."""
        lost = sum(len(expected[search.text] - search.files) for search in ended)
        asked = sum(search.done.asked for search in ended) / len(ended)
        silent = max(search.done.silent for search in ended)
        found, done = (spread_ms(getattr(search, name) for search in ended) for name in ("found_s", "done_s"))
        print(f"{label}: {len(ended)} searches, {asked:.0f} nodes asked by each, {lost} replies lost, silent at most "
              f"{silent}; all found p50 {found[0]:.0f}, p99 {found[1]:.0f} ms, ended p50 {done[0]:.0f}, p99 "
              f"{done[1]:.0f} ms", flush=True)
        self.assertEqual(lost, 0, "replies were lost")
        for search in ended:
            done = search.done
            self.assertEqual((search.files, done.positive), (expected[search.text], len(search.files)), done)
            self.assertEqual(done.positive + done.negative + done.silent + done.skipped, NODES, done)
            self.assertFalse(done.truncated)
            self.assertLessEqual(done.silent, silent_max, done)
        self.assertLess(found[1], P99_MS * patience())

    def bearable_rate(self, searches, names):
        """ALL_A_SECOND, or less on a machine that has not the time for as many."""
        one_s = sorted(search.done_s for name in names[:PROBES]
                       for search in searches.run(129, [name], ALL_A_SECOND, DEADLINE_MS))[PROBES // 2]
        rate = min(ALL_A_SECOND, SHARE / one_s)
        if rate < ALL_A_SECOND:
            print(f"skipped: {ALL_A_SECOND} searches a second of all nodes: one takes {one_s:.1f} s here and now; "
                  f"{rate:.1f} a second in place of that", flush=True)
        return rate

    def fill_the_deaf(self, client):
        """They get more than the kernel keeps for them."""
        self.tell(b"deaf\n")
        for _ in range(FILLING):
            client.send(zsp.SEARCH, 0, FILLING_TEXT, 0, 0, 0, 1)
        client.search(0, FILLING_TEXT, deadline_ms=1)

    def test_ten_thousand_nodes_join_and_are_searched(self):
        expected = self.join()
        names = sorted(expected)
        searches = Searches(self.broker.endpoint)
        self.addCleanup(searches.close)
        self.assertEqual(searches.clients[0].status().nodes, NODES)
        before = self.tell(b"count\n")
        some = [names[n % GROUPS] for n in range(FILTERED_COUNT)]
        filtered = searches.run(1, some, FILTERED_A_SECOND, DEADLINE_MS)
        self.assert_all_arrived("filters leave 1 %", filtered, expected)
        self.assertLess(max(search.done.asked for search in filtered), NODES // GROUPS * 2)
        positive, _, lost, unsent = self.tell(b"count\n")
        self.assertEqual(positive - before[0], sum(search.done.positive for search in filtered))
        self.assertEqual((lost, unsent), (0, 0))
        rate = self.bearable_rate(searches, names)
        every = searches.run(129, some[:int(ALL_S * rate)], rate, DEADLINE_MS)
        self.assert_all_arrived(f"all asked, {rate:.1f} a second", every, expected)

        self.fill_the_deaf(searches.clients[0])
        beside = searches.run(1, some[::2], FILTERED_A_SECOND, DEADLINE_MS)
        self.assert_all_arrived(f"{DEAF} nodes read nothing", beside, expected)
        every = searches.run(129, some[:3], rate, DEADLINE_MS)
        self.assert_all_arrived(f"{DEAF} nodes read nothing, all asked", every, expected, DEAF)
        print(f"the broker has {self.broker.rss_kib() >> 10} MiB, at first {self.fresh_kib >> 10}", flush=True)
        self.assertLess(self.broker.rss_kib(), RSS_MAX_KIB)


if __name__ == "__main__":
    unittest.main()
