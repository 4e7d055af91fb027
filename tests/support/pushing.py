# SPDX-License-Identifier: MIT
"""The base of tests that push with zput."""

from support.case import EndToEnd, random_bytes
from support.fake_receiver import FakeReceiver

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64 * KIB  # of all files up to 128 MiB


class Pushing(EndToEnd):
    def receiver(self, kind=FakeReceiver, *args, **named):
        return self.world.fake(kind(*args, **named))

    def file(self, size, name="a.bin", seed=7):
        path = self.world.path("from", name)
        path.write_bytes(random_bytes(size, seed))
        return path

    def put(self, receiver, path, *args, **options):
        return self.world.run("zput", "--to", receiver.endpoint, "--json", *args, path, **options)

    def start_put(self, receiver, path, *args, **options):
        return self.world.start("zput", "--to", receiver.endpoint, "--json", *args, path, **options)

    def the_push(self, result):
        (push,) = result.objects("push")
        return push

    def assert_has(self, receiver, path):
        self.assertTrue(bytes(receiver.take().data) == path.read_bytes())
        self.assertEqual(receiver.strays, [])
