# SPDX-License-Identifier: MIT
"""The base of every end-to-end test."""

import hashlib
import os
import random
import unittest

from support.actor import SLOWNESS
from support.processes import World


PATIENCE_MAX = 4


def patience():
    """How many times longer than on a machine of its own something may take here and now."""
    return max(SLOWNESS, min(os.getloadavg()[0] / os.cpu_count(), PATIENCE_MAX))


def random_bytes(size, seed=1):
    """The same bytes for the same seed."""
    source = random.Random(seed)
    return b"".join(source.randbytes(min(1 << 20, size - done)) for done in range(0, size, 1 << 20))


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class EndToEnd(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.world = World()
        self.addCleanup(self.world.close)

    def assert_exit(self, result, code):
        self.assertEqual(result.code, code, f"\n{result}")

    def assert_clean_output(self, result):
        """No control character but newline, no bidi or format character, reached the output raw."""
        for raw in (result.raw_stdout, result.raw_stderr):
            text = raw.decode()
            bad = [c for c in text if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F
                   or c in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff"]
            self.assertEqual(bad, [], f"\n{result}")

    def skip_loudly(self, reason):
        print(f"skipped: {self.id()}: {reason}", flush=True)
        self.skipTest(reason)
