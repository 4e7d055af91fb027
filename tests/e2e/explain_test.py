# SPDX-License-Identifier: MIT
"""What `zget --explain` says about rigged causes: a slow link, a slow disk, one slow processor, a small window, a limit.

What could go wrong: it blames a source for what happens here, or the other way round; a cause that shows only at the
beginning is taken for the whole; scripts cannot read the verdict.
"""

import os
import subprocess
import unittest

from support import zsp
from support.actor import SLOWNESS
from support.case import EndToEnd, random_bytes
from support.fake_node import READ_BYTES_MAX, FakeNode

MIB = 1 << 20

# One disk that writes 10 MB a second, whoever writes.
SLOW_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    ssize_t (*next)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    struct timespec pause = {size * 100 / 1000000000, size * 100 % 1000000000};
    pthread_mutex_lock(&disk);
    nanosleep(&pause, NULL);
    ssize_t written = next(fd, bytes, size, offset);
    pthread_mutex_unlock(&disk);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}
"""


class SmallWindow(FakeNode):
    """Allows 1 MiB on its way, and answers after a long round trip."""
    round_trip_s = 0.25

    def on_hello(self, route, message):
        self.send(route, zsp.HELLO_OK, message.rid, self.node_id, self.boot ^ 1, self.node_name, "fake/1",
                  self.features, MIB, READ_BYTES_MAX)

    def serve(self, route, message, data):
        self.send_later(self.round_trip_s, route, zsp.DATA, message.rid, message.file_id, message.offset,
                        message.length, payload=data)


class Explain(EndToEnd):
    def real_node(self, size, *args, **options):
        data = random_bytes(size, 17)
        node = self.world.node("node", None, self.world.share("share", {"f.bin": data}), args=args, **options)
        self.world.wait_shared(node, "f.bin")
        return node

    def get(self, node, *args, folder="out", **options):
        result = self.world.run("zget", "--from", node.endpoint, "--explain", "-d", self.world.path(folder), *args,
                                "f.bin", **options)
        self.assert_exit(result, 0)
        return result

    def expect_bound(self, cause, node, *args, **options):
        """In one of three transfers: when other programs take the processors, these are rightly the cause."""
        results = []
        for number in range(3):
            results.append(self.get(node, "--json", *args, folder=f"out-{number}", **options))
            done = results[-1].done
            if done.get("bound") == cause and done["bound_percent"] >= 50:
                return
        self.fail(f"never {cause}:\n" + "\n".join(map(str, results)))

    def test_a_slow_link_is_the_source(self):
        node = self.real_node(3 * MIB, "--up", "1M")
        self.expect_bound("source", node)

    def test_people_are_told_which_source(self):
        node = self.real_node(3 * MIB, "--up", "1M")
        result = self.get(node)
        self.assertRegex(result.stderr, rf"source-bound \d+ % of the time: .* node \(tcp://[0-9.]+:{node.port}\), ")

    def test_a_slow_disk_is_the_disk(self):
        shim = self.world.path("shim", "slow_disk.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, "-x", "c", "-"], input=SLOW_DISK, text=True, check=True)
        env = {"LD_PRELOAD": str(shim), "ASAN_OPTIONS": "exitcode=86:verify_asan_link_order=0"}
        self.expect_bound("disk", self.real_node(48 * MIB), env=env)

    def test_a_busy_processor_is_the_receiver(self):
        """One processor for all threads of zget, and SHA-256 without the processor's own instructions for it."""
        processors = sorted(os.sched_getaffinity(0))
        if len(processors) < 2:
            self.skip_loudly("one processor: the node needs another than zget")
        node = self.real_node(160 * MIB, prefix=("taskset", "-c", str(processors[0])))
        self.expect_bound("receiver", node, prefix=("nice", "-n", "10", "taskset", "-c", str(processors[-1])),
                          env={"OPENSSL_ia32cap": "0:0"}, deadline_s=120 * SLOWNESS)

    def test_a_small_window_over_a_long_way_is_the_window(self):
        node = self.world.fake(SmallWindow([zsp.SharedFile("f.bin", random_bytes(24 * MIB, 18))]))
        self.expect_bound("window", node)

    def test_a_limit_is_the_limit(self):
        self.expect_bound("limit", self.real_node(3 * MIB), "--down", "1M")

    def test_a_limit_that_is_not_reached_is_not(self):
        self.expect_bound("source", self.real_node(3 * MIB, "--up", "1M"), "--down", "64M")

    def test_without_the_option_nothing_is_said(self):
        node = self.real_node(MIB)
        result = self.world.run("zget", "--from", node.endpoint, "--json", "-d", self.world.path("out"), "f.bin")
        self.assert_exit(result, 0)
        self.assertNotIn("bound", result.done)
        self.assertNotIn("bound", result.stderr)


if __name__ == "__main__":
    unittest.main()
