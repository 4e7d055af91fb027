# SPDX-License-Identifier: MIT
"""The same transfers again and again: what a broker, a node and a node that downloads hold must not grow.

What could go wrong: memory, descriptors or threads that a transfer, a search or a connection leaves behind.
"""

import os
import time
import unittest

from support.case import EndToEnd, random_bytes

SOAK_S = 45
WARM_S = 12
SIZE = 16 << 20
GROWTH_MAX = 1.1
GROWTH_KIB = 3 << 10  # what malloc keeps differs from one moment to the next


class Soak(EndToEnd):
    def level(self, process):
        return process.rss_kib(), process.fd_count(), len(os.listdir(f"/proc/{process.pid}/task"))

    def test_repeated_transfers_and_searches_leave_nothing_in_memory(self):
        broker = self.world.broker()
        share = self.world.share("share", {"big.bin": random_bytes(SIZE), "small.bin": b"small"})
        nodes = [self.world.node(f"node{n}", broker, share) for n in range(2)]
        self.world.wait_found(broker, "big.bin", "small.bin")
        watched = {"broker": broker, "node 0": nodes[0], "node 1": nodes[1]}
        began, rounds = time.monotonic(), 0
        peaks = {name: [] for name in watched}
        while time.monotonic() - began < SOAK_S:
            for name in ("big.bin", "small.bin"):
                target = self.world.path("out", name)
                get = self.world.run("zget", "--broker", broker.endpoint, "-o", target, name)
                self.assert_exit(get, 0)
                target.unlink()
            self.assert_exit(self.world.run("zsearch", "--broker", broker.endpoint, "big"), 0)
            self.world.processes = self.world.processes[:3]  # those that ended well need no second look
            rounds += 1
            if time.monotonic() - began > WARM_S:
                for name, process in watched.items():
                    peaks[name].append(self.level(process))
        self.assertGreater(rounds, 10)
        for name, levels in peaks.items():
            third = len(levels) // 3
            early, late = levels[:third], levels[-third:]
            first, last = ([max(column) for column in zip(*part)] for part in (early, late))
            print(f"{name}: RSS {first[0] >> 10} then {last[0] >> 10} MiB, descriptors {first[1]} then {last[1]}, threads "
                  f"{first[2]} then {last[2]}, {rounds} rounds", flush=True)
            self.assertLess(last[0], first[0] * GROWTH_MAX + GROWTH_KIB, f"{name} grows")
            self.assertLessEqual(last[1], first[1] + 2, f"{name} keeps descriptors")
            self.assertLessEqual(last[2], first[2], f"{name} keeps threads")


if __name__ == "__main__":
    unittest.main()
