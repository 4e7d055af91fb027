# SPDX-License-Identifier: MIT
"""A source, or the broker, is cut off in the middle of a transfer, for 5 and for 15 seconds, and comes back.

What could go wrong: a transfer that ends, or waits for ever; chunks that were verified are fetched again; a search that hangs
while the broker is away; a node that never comes back to its broker.
"""

import json
import time
import unittest

from lab import Failed, Lab
from support.actor import wait_until
from support.case import EndToEnd, random_bytes, sha256_of

CUTS_S = (5, 15)
SIZE = 40 << 20
RATE = "2M"  # the transfer takes 20 s and the cuts
WASTE_MAX = 2 << 20  # two READs that were on their way
FAST_S = 8


class Cut(EndToEnd):
    def setUp(self):
        super().setUp()
        self.lab = Lab()
        self.addCleanup(self.lab.close)
        try:
            self.lab.open()
            self.hosts = {name: self.lab.host(name) for name in ("broker", "source", "getter")}
        except (Failed, OSError) as reason:
            self.skip_loudly(f"no network namespaces here: {reason}")
        # Cleanups run from the last: programs end before their namespaces go.
        self.addCleanup(self.world.close)
        self.broker = self.world.broker("--lease", "9", listen="tcp://*:6881", prefix=self.inside("broker"))
        self.share = self.world.share("share", {"big.bin": random_bytes(SIZE)})
        self.node = self.world.node("source", self.broker, self.share, args=("--up", RATE),
                                    prefix=self.inside("source"))
        self.wait_search(0)
        self.target = self.world.path("out")
        self.get = self.start("zget", "--json", "-d", self.target, "big.bin")
        self.wait_bytes(SIZE // 8)

    def inside(self, name):
        return ("nsenter", f"--net=/run/netns/{self.hosts[name].space}", "setpriv", "--pdeathsig", "TERM", "--")

    def start(self, program, *args):
        return self.world.start(program, "--broker", self.broker.endpoint, *args, prefix=self.inside("getter"))

    def cut(self, name):
        """Nothing passes any more, and nobody is told."""
        self.lab.hub.ip("link", "set", f"to-{name}", "nomaster")

    def heal(self, name):
        self.lab.hub.ip("link", "set", f"to-{name}", "master", "eth0")

    def search(self):
        """(exit code, seconds) of a search for the file."""
        began = time.monotonic()
        return self.start("zsearch", "--exact", "big.bin").wait(), time.monotonic() - began

    def wait_search(self, code, deadline_s=30):
        wait_until(lambda: self.search()[0] == code, f"a search that exits {code}", deadline_s, 0.2)

    def saved(self):
        """Bytes that are verified and on disk."""
        lines = [json.loads(line) for line in self.get.stdout.lines if '"progress"' in line]
        return lines[-1]["bytes"] if lines else 0

    def wait_bytes(self, count, deadline_s=30):
        """The bytes, or the end of the transfer."""
        wait_until(lambda: self.saved() >= count or not self.get.running, f"{count} bytes", deadline_s)
        self.assertTrue(self.saved() >= count or self.get.popen.returncode == 0, f"\n{self.get}")

    def assert_fetched_once(self):
        self.assertEqual(self.get.wait(60), 0, f"\n{self.get}")
        self.assertEqual(sha256_of(self.target / "big.bin"), sha256_of(self.share / "big.bin"))
        (file,) = [line for line in self.get.objects() if line["event"] == "file"]
        self.assertLessEqual(file["received"], SIZE + WASTE_MAX, "chunks were fetched twice")

    def look_on(self, seconds, began):
        wait_until(lambda: time.monotonic() - began >= seconds, "the end of the cut", seconds + 10)

    def test_a_source_that_is_cut_off_goes_on_where_it_was(self):
        for seconds in CUTS_S:
            self.cut("source")
            began, before = time.monotonic(), self.saved()
            code, took_s = self.search()
            self.assertIn(code, (0, 3), "it may be in the list still, or be silent")
            self.assertLess(took_s, FAST_S)
            self.look_on(seconds, began)
            self.assertTrue(self.get.running, f"\n{self.get}")
            self.assertLess(self.saved(), before + SIZE // 4, "it was not cut off")
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


if __name__ == "__main__":
    unittest.main()
