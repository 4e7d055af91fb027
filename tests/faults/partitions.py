# SPDX-License-Identifier: MIT
"""A source, or the broker, is cut off in the middle of a transfer, in both directions or in one, and comes back.

What could go wrong: a transfer that ends, or waits for ever; chunks that were verified are fetched again; a search that hangs
while the broker is away; a node that never comes back to its broker; a source that hears and is not heard, or the other way
round, and counts as there for ever.
"""

import json
import time
import unittest

from lab import Failed, Lab
from support.actor import wait_until
from support.case import EndToEnd, random_bytes, sha256_of

CUTS_S = (5, 15)
WASTE_MAX = 2 << 20  # two READs that were on their way
FAST_S = 8
NOBODY = "02:00:00:00:00:01"  # frames to this address reach no host
NOTICED_S = 25
LEASE_S = 9


class Hosts(EndToEnd):
    """A broker, nodes that send at `rate`, and a zget, each on a host of its own."""
    names = ()
    size, rate = 0, ""

    def setUp(self):
        super().setUp()
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        try:
            self.lab.open()
            self.hosts = {name: self.lab.host(name) for name in ("broker", "getter", *self.names)}
        except (Failed, OSError) as reason:
            self.skip_loudly(f"no network namespaces here: {reason}")
        # Cleanups run from the last: programs end before their namespaces go.
        self.addCleanup(self.world.close)
        self.broker = self.world.broker("--lease", LEASE_S, listen="tcp://*:6881", prefix=self.inside("broker"))
        self.share = self.world.share("share", {"big.bin": random_bytes(self.size)})
        self.nodes = {name: self.world.node(name, self.broker, self.share, args=("--up", self.rate),
                                            prefix=self.inside(name)) for name in self.names}
        self.wait_search(0)
        self.target = self.world.path("out")
        self.get = self.start("zget", "--json", "-d", self.target, "big.bin")
        self.wait_bytes(self.size // 8)

    def inside(self, name):
        return ("nsenter", f"--net=/run/netns/{self.hosts[name].space}", "setpriv", "--pdeathsig", "TERM", "--")

    def start(self, program, *args):
        return self.world.start(program, "--broker", self.broker.endpoint, *args, prefix=self.inside("getter"))

    def search(self):
        """(exit code, seconds) of a search for the file."""
        began = time.monotonic()
        return self.start("zsearch", "--exact", "big.bin").wait(), time.monotonic() - began

    def wait_search(self, code, deadline_s=30):
        wait_until(lambda: self.search()[0] == code, f"a search that exits {code}", deadline_s, 0.2)

    def saved(self):
        """Bytes that are verified and on disk."""
        lines = [json.loads(line) for line in self.get.stdout.lines_so_far if '"progress"' in line]
        return lines[-1]["bytes"] if lines else 0

    def wait_bytes(self, count, deadline_s=30):
        """The bytes, or the end of the transfer."""
        wait_until(lambda: self.saved() >= count or not self.get.running, f"{count} bytes", deadline_s)
        self.assertTrue(self.saved() >= count or self.get.popen.returncode == 0, f"\n{self.get}")

    def assert_fetched_once(self):
        self.assertEqual(self.get.wait(60), 0, f"\n{self.get}")
        self.assertEqual(sha256_of(self.target / "big.bin"), sha256_of(self.share / "big.bin"))
        (file,) = [line for line in self.get.objects() if line["event"] == "file"]
        self.assertLessEqual(file["received"], self.size + WASTE_MAX, "chunks were fetched twice")

    def look_on(self, seconds, began):
        wait_until(lambda: time.monotonic() - began >= seconds, "the end of the cut", seconds + 10)


class Cut(Hosts):
    names = ("source",)
    size, rate = 40 << 20, "2M"  # the transfer takes 20 s and the cuts

    def cut(self, name):
        """Nothing passes any more, and nobody is told."""
        self.lab.hub.ip("link", "set", f"to-{name}", "nomaster")

    def heal(self, name):
        self.lab.hub.ip("link", "set", f"to-{name}", "master", "eth0")

    def test_a_source_that_is_cut_off_goes_on_where_it_was(self):
        for seconds in CUTS_S:
            self.cut("source")
            began, before = time.monotonic(), self.saved()
            code, took_s = self.search()
            self.assertIn(code, (0, 3), "it may be in the list still, or be silent")
            self.assertLess(took_s, FAST_S)
            self.look_on(seconds, began)
            self.assertTrue(self.get.running, f"\n{self.get}")
            self.assertLess(self.saved(), before + self.size // 4, "it was not cut off")
            self.heal("source")
            healed, at = time.monotonic(), self.saved()
            self.wait_bytes(at + (2 << 20))
            print(f"cut for {seconds} s: on again {time.monotonic() - healed:.1f} s after", flush=True)
        self.wait_search(0)
        self.assert_fetched_once()

    def test_a_broker_that_is_cut_off_stops_no_transfer_and_gets_its_nodes_back(self):
        for seconds in CUTS_S:
            self.cut("broker")
            began, before = time.monotonic(), self.saved()
            code, took_s = self.search()
            self.assertEqual(code, 2)
            self.assertLess(took_s, FAST_S, "it must not wait for a broker that is away")
            self.look_on(seconds, began)
            self.assertGreater(self.saved(), before + (4 << 20), f"the transfer stopped\n{self.get}")
            self.heal("broker")
            healed = time.monotonic()
            self.wait_search(0)
            print(f"cut for {seconds} s: found again {time.monotonic() - healed:.1f} s after", flush=True)
        self.assert_fetched_once()


class OneWay(Hosts):
    """What one host sends to one other is lost; what the other sends arrives."""
    names = ("near", "far")
    size, rate = 64 << 20, "1M"  # 32 s from both, and what one needs alone until the other is back

    def cut(self, sender, receiver):
        self.hosts[sender].ip("neigh", "replace", self.hosts[receiver].address, "lladdr", NOBODY, "dev", "eth0",
                              "nud", "permanent")

    def heal(self, sender, receiver):
        self.hosts[sender].ip("neigh", "del", self.hosts[receiver].address, "dev", "eth0")

    def states(self, name):
        """What zget said of this node, in order."""
        lines = [json.loads(line) for line in self.get.stdout.lines_so_far if '"source"' in line]
        return [line["state"] for line in lines if line.get("event") == "source" and line["node_name"] == name]

    def sent(self, name):
        return self.hosts[name].counters()[1]

    def assert_noticed_and_back(self, sender, receiver):
        """The other source goes on alone, the silent one is dropped and used again, and nothing comes twice."""
        self.assertEqual(self.states("far"), ["joined"])
        self.cut(sender, receiver)
        began, before = time.monotonic(), self.saved()
        wait_until(lambda: self.states("far")[-1] == "left" or not self.get.running, "the loss of the source",
                   NOTICED_S)
        noticed_s = time.monotonic() - began
        self.assertTrue(self.get.running, f"\n{self.get}")
        self.assertGreater(self.saved(), before + (4 << 20), "the other source did not go on alone")
        self.heal(sender, receiver)
        healed = time.monotonic()
        wait_until(lambda: self.states("far")[-1] == "joined" or not self.get.running, "the source to be used again",
                   NOTICED_S)
        at = self.sent("far")
        print(f"{sender} to {receiver} lost: noticed after {noticed_s:.1f} s, used again "
              f"{time.monotonic() - healed:.1f} s after it was healed", flush=True)
        self.assert_fetched_once()
        self.assertGreater(self.sent("far"), at + (2 << 20), "it was used again in name only")

    def test_a_source_that_is_not_heard_is_noticed_and_used_again(self):
        self.assert_noticed_and_back("far", "getter")

    def test_a_source_that_does_not_hear_is_noticed_and_used_again(self):
        self.assert_noticed_and_back("getter", "far")

    def is_found(self, name):
        """Whether a search names this node as a source."""
        search = self.start("zsearch", "--json", "--exact", "big.bin")
        search.wait()
        return any(source["node_name"] == name for hit in search.objects() if hit["event"] == "file"
                   for source in hit["sources"])

    def is_listed(self, name):
        peers = self.start("zpeers", "--json")
        peers.wait()
        return any(peer["node_name"] == name for peer in peers.objects() if peer["event"] == "peer")

    def test_a_node_that_loses_its_broker_one_way_is_forgotten_and_comes_back(self):
        for sender, receiver in (("far", "broker"), ("broker", "far")):
            self.cut(sender, receiver)
            began = time.monotonic()
            wait_until(lambda: not self.is_listed("far"), "a list without the node", NOTICED_S, 0.2)
            gone_s = time.monotonic() - began
            self.heal(sender, receiver)
            healed = time.monotonic()
            wait_until(lambda: self.is_found("far"), "a search with the node", NOTICED_S, 0.2)
            print(f"{sender} to {receiver} lost: forgotten after {gone_s:.1f} s, found again "
                  f"{time.monotonic() - healed:.1f} s after it was healed", flush=True)


if __name__ == "__main__":
    unittest.main()
