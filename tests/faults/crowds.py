# SPDX-License-Identifier: MIT
"""Many at once: fifty downloads from one source, fifty nodes that all want what all others have, two hundred that come and go.

What could go wrong: the source sends the file fifty times; some download starves while others run; with many files and sources
one is forgotten or mistaken for another; a node that is gone stays in a list or is offered as a source.
"""

import random
import time
import unittest

import zmq

from support import zsp
from support.actor import Actor, wait_until
from support.case import EndToEnd, patience, random_bytes
from support.fake_client import BrokerClient

DOWNLOADS = 50
SIZE = 64 << 20
DOWNLOADS_S = 55
SPACING_S = 0.01  # a broker that shares two cores with them all must answer each within 2 s
ORIGIN_RATE = "4M"  # alone it would take 13 minutes
ORIGIN_FILES_MAX = 3
UNLIMITED_FILES_MAX = 15  # without a rate the origin is as fast as all others, and on loopback as near
MEMBERS = 50
MEMBER_SIZE = 1 << 20
NODES = 200
LIVES_S = (2, 5)
CHURN_S = 25


class Swarm(EndToEnd):
    def wait_all(self, began, deadline_s):
        """Until all downloads have ended well: their seconds."""
        taken = {}

        def all_ended():
            for get, at in began.items():
                if not get.running:
                    taken.setdefault(get, time.monotonic() - at)
            return len(taken) == len(began)
        wait_until(all_ended, "all downloads", deadline_s)
        for get in began:
            self.assertEqual(get.wait(), 0, f"\n{get}")
        return sorted(taken.values())

    def start_gets(self, broker, names_of):
        """A zget for each list of names, into `out-0`, `out-1`, ...: when each began."""
        began = {}
        for n, names in enumerate(names_of):
            began[self.world.start("zget", "--broker", broker.endpoint, "--json", "-d", self.world.path(f"out-{n}"),
                                   *names)] = time.monotonic()
            time.sleep(SPACING_S)
        return began

    def fetch_fifty_times(self, label, *origin_args):
        """(how many times the origin sent the file, seconds of each download)"""
        broker = self.world.broker()
        data = random_bytes(SIZE)
        origin = self.world.node("origin", broker, self.world.share("share", {"big.bin": data}), args=origin_args)
        self.world.wait_found(broker, "big.bin")
        began = self.start_gets(broker, [["big.bin"]] * DOWNLOADS)
        seconds = self.wait_all(began, DOWNLOADS_S * patience())
        for n in range(DOWNLOADS):
            self.assertTrue(self.world.path(f"out-{n}", "big.bin").read_bytes() == data)
        files = [file for get in began for file in get.objects() if file["event"] == "file"]
        sent = sum(source["received"] for file in files for source in file["sources"]
                   if source["node"] == origin.node_id)
        print(f"{label}: median {seconds[DOWNLOADS // 2]:.1f} s, slowest {seconds[-1]:.1f} s; "
              f"the origin sent {sent / SIZE:.2f} times the size", flush=True)
        self.assertLessEqual(seconds[-1], 2 * seconds[DOWNLOADS // 2], "one starved")
        return sent / SIZE

    def test_fifty_downloads_of_64_mib_help_each_other_and_none_starves(self):
        self.assertLess(self.fetch_fifty_times(f"--up {ORIGIN_RATE}", "--up", ORIGIN_RATE), ORIGIN_FILES_MAX)

    def test_fifty_downloads_help_each_other_when_the_origin_is_as_fast_as_they(self):
        self.assertLess(self.fetch_fifty_times("no --up"), UNLIMITED_FILES_MAX)

    def test_fifty_nodes_get_what_all_others_have(self):
        broker = self.world.broker()
        names = [f"member-{n:02}.bin" for n in range(MEMBERS)]
        data = {name: random_bytes(MEMBER_SIZE, seed) for seed, name in enumerate(names)}
        nodes = [self.world.node(f"member-{n:02}", broker, self.world.share(f"share-{n}", {name: data[name]}),
                                 wait=False) for n, name in enumerate(names)]
        for node in nodes:
            self.world.wait_node(node)
        self.world.wait_found(broker, *names)
        began = self.start_gets(broker, [[other for other in names if other != name] for name in names])
        seconds = self.wait_all(began, DOWNLOADS_S * patience())
        for n, own in enumerate(names):
            got = {path.name: path for path in self.world.path(f"out-{n}").iterdir()}
            self.assertEqual(sorted(got), sorted(set(names) - {own}))
            for name, path in got.items():
                self.assertTrue(path.read_bytes() == data[name], f"{name} in {n}")
        moved = MEMBERS * (MEMBERS - 1) * MEMBER_SIZE
        print(f"{MEMBERS} times {MEMBERS - 1} files of 1 MiB: median {seconds[MEMBERS // 2]:.1f} s, slowest "
              f"{seconds[-1]:.1f} s; {moved / seconds[-1] / 1e6:.0f} MB/s in all", flush=True)


class Passers(Actor):
    """Nodes that join, answer and go: half of them say BYE, half are just gone."""

    def __init__(self, endpoint):
        super().__init__()
        self.endpoint = endpoint
        self.random = random.Random(7)
        self.dies_at, self.joined, self.lives = {}, set(), 0
        self.is_over = False
        self.bad = []
        self.start()

    def tick(self):
        now = time.monotonic()
        for link in [link for link, dies_at in self.dies_at.items() if dies_at < now or self.is_over]:
            if link % 2:
                self.sockets[link].send(zsp.encode(zsp.BYE, 0, "done"))
            self.sockets.pop(link).close(200 if link % 2 else 0)
            del self.dies_at[link]
        while len(self.dies_at) < NODES and not self.is_over:
            self.lives += 1
            self.open(self.lives, zmq.DEALER).connect(self.endpoint)
            self.dies_at[self.lives] = now + self.random.uniform(*LIVES_S)
            self.sockets[self.lives].send(zsp.encode(
                zsp.JOIN, 1, self.random.randbytes(16), self.random.getrandbits(64), 9000 + self.lives % 1000,
                f"passer-{self.lives}", "fake/1", 2, 1, 1, None, []))

    def received(self, link, route, frames):
        message = self.decode(frames)
        if message.kind == zsp.JOIN_OK:
            self.joined.add(link)
        elif message.kind == zsp.QUERY:
            self.sockets[link].send(zsp.encode(zsp.ANSWER, message.rid, 0, []))
        elif message.kind == zsp.PING:
            self.sockets[link].send(zsp.encode(zsp.PONG, message.rid))
        elif message.kind == zsp.ERROR:
            self.bad.append(message)


class Churn(EndToEnd):
    def test_two_hundred_nodes_that_live_seconds_leave_nothing_behind(self):
        broker = self.world.broker("--lease", "6")
        with BrokerClient(broker.endpoint) as client:
            client.status()
            began = time.monotonic()
            rss, fds = broker.rss_kib(), broker.fd_count()
            passers = self.world.fake(Passers(broker.endpoint))
            searches = most = 0
            while time.monotonic() - began < CHURN_S:
                _, done = client.search(0, "anything")
                searches, most = searches + 1, max(most, done.asked)
            passers.is_over = True
            wait_until(lambda: not passers.dies_at, "the last to go")
            wait_until(lambda: client.peers() == [] and client.status().nodes == 0, "an empty broker")
            hits, done = client.search(0, "anything")
            self.assertEqual((hits, done.asked, done.silent), ({}, 0, 0))
            self.assertEqual(client.status().bad_messages, 0)
        wait_until(lambda: broker.fd_count() <= fds, "the descriptors of those who went")
        print(f"{passers.lives} lives, {len(passers.joined)} joined, at most {most} asked by {searches} searches; RSS "
              f"{rss >> 10} MiB before, {broker.rss_kib() >> 10} after", flush=True)
        self.assertGreater(len(passers.joined), passers.lives * 9 // 10)
        self.assertGreater(most, NODES // 2)
        self.assertIsNone(passers.failure)
        table = self.world.run("zpeers", "--broker", broker.endpoint, "--json")
        self.assertEqual(table.objects("peer"), [])


if __name__ == "__main__":
    unittest.main()
