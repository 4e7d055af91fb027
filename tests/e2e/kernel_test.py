# SPDX-License-Identifier: MIT
"""What the kernel can do to a process: no descriptors left, no disk left, an ICMP message that aborts libzmq.

Parts need root or network namespaces; what this machine cannot do is skipped, and said.
"""

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path

from support import zmtp, zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient, PeerClient
from support.fake_node import FakeNode

ICMP = Path(__file__).resolve().parents[1] / "support" / "icmp_unreachable.py"
DESCRIPTORS = 64


def command_works(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(path):
    """Writes until the disk is full."""
    try:
        with open(path, "wb", buffering=0) as stream:
            while stream.write(bytes(4096)):
                pass
    except OSError:
        pass


class Descriptors(EndToEnd):
    PREFIX = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")

    def storm(self, process, serves):
        """More connections than descriptors: it refuses some, does not spin, and serves again."""
        links = []
        for _ in range(200):
            try:
                links.append(zmtp.Zmtp(process.port, handshake=False, timeout_s=2))
            except OSError:
                pass
        wait_until(lambda: self.rests(process), "it to have done with them: it spins", every_s=0)
        self.assertTrue(process.running, f"\n{process}")
        for link in links:
            link.socket.close()
        wait_until(serves, "service after the storm")

    def rests(self, process):
        """True when it needs less than half of a processor for a second."""
        busy, began = process.cpu_seconds(), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 1, "a second of looking on")
        return process.cpu_seconds() - busy < 0.5

    def test_a_broker_without_descriptors_sheds_and_recovers(self):
        broker = self.world.broker(prefix=self.PREFIX)

        def serves():
            try:
                with BrokerClient(broker.endpoint, deadline_s=5) as client:
                    return client.status()
            except AssertionError:
                return None
        self.storm(broker, serves)

    def test_a_node_without_descriptors_sheds_and_recovers(self):
        data = random_bytes(100000)
        node = self.world.node("node", None, self.world.share("share", {"a": data}), prefix=self.PREFIX)
        self.world.wait_shared(node, "a")

        def serves():
            try:
                with PeerClient(node.endpoint, deadline_s=5) as client:
                    client.hello()
                    return client.fetch(zsp.tree.id_of(data)) == data
            except AssertionError:
                return None
        self.storm(node, serves)

    def test_more_files_than_descriptors_are_shared_and_served(self):
        files = {f"d{i % 7}/{i}": b"%d" % i for i in range(300)}
        node = self.world.node("node", None, self.world.share("share", files), prefix=self.PREFIX)
        self.world.wait_shared(node, *files)
        with PeerClient(node.endpoint) as client:
            client.hello()
            for file in client.list():
                self.assertEqual(client.fetch(file.file_id), files[file.name])


class FullDisk(EndToEnd):
    def setUp(self):
        super().setUp()
        self.disk = self.world.path("disk")
        self.disk.mkdir()
        if os.geteuid() != 0 or not command_works("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(self.disk)):
            self.skip_loudly("a small disk needs root and mount")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)

    def test_missing_space_is_told_before_the_first_read_and_a_grown_disk_suffices(self):
        shared = zsp.SharedFile("big.bin", random_bytes(32 << 20))
        node = self.world.fake(FakeNode([shared]))
        command = ["zget", "--from", node.endpoint, "--json", "-d", self.disk, "big.bin"]
        result = self.world.run(*command)
        self.assert_exit(result, 2)
        self.assertRegex(result.done["error"], r"(?i)space|room")
        self.assertEqual(node.seen_of(zsp.READ), [])
        self.assertFalse((self.disk / "big.bin").exists())
        subprocess.run(["mount", "-o", "remount,size=64m", str(self.disk)], check=True)
        self.assert_exit(self.world.run(*command), 0)
        self.assertTrue((self.disk / "big.bin").read_bytes() == shared.data)

    def test_a_disk_that_fills_up_on_the_way_ends_with_an_error_and_keeps_what_is_there(self):
        shared = zsp.SharedFile("big.bin", random_bytes(6 << 20))
        disk = self.disk

        class Filler(FakeNode):
            """Fills the disk with the first READ."""
            has_filled = False

            def on_read(self, route, message):
                if not self.has_filled:
                    self.has_filled = True
                    fill(disk / "other")
                super().on_read(route, message)
        command = ["zget", "--json", "-d", disk, "big.bin"]
        result = self.world.run(*command, "--from", self.world.fake(Filler([shared])).endpoint)
        if result.code == 0:  # the space was reserved, which is the best answer
            self.assertTrue((disk / "big.bin").read_bytes() == shared.data)
            return
        self.assert_exit(result, 2)
        self.assertFalse((disk / "big.bin").exists())
        (disk / "other").unlink()
        self.assert_exit(self.world.run(*command, "--from", self.world.fake(FakeNode([shared])).endpoint), 0)
        self.assertTrue((disk / "big.bin").read_bytes() == shared.data)

    def test_a_state_folder_on_a_full_disk_does_not_end_a_node(self):
        fill(self.disk / "other")
        share = self.world.share("share", {"a": b"a"})
        node = self.world.start("znode", "--no-broker", "--share", share, "--port", 0, "--state", self.disk / "state")
        wait_until(lambda: not node.running or node.stdout.find(r"^ready "), "ready or an error")
        if not node.running:
            self.assertEqual(node.wait(), 2)
            self.assertIn("state", node.stderr.text)


class Unreachable(EndToEnd):
    """ICMP 3/2 in reply to a SYN makes libzmq abort, unless SO_ERROR is made harmless."""

    def setUp(self):
        super().setUp()
        self.here, self.there = f"zsa{os.getpid()}", f"zsb{os.getpid()}"
        if os.geteuid() != 0 or not command_works("ip", "netns", "add", self.here):
            self.skip_loudly("network namespaces need root and ip")
        self.addCleanup(subprocess.run, ["ip", "netns", "del", self.here], check=False)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", self.there], stderr=subprocess.DEVNULL, check=False)
        try:
            self.make_network()
        except subprocess.CalledProcessError as error:
            self.skip_loudly(f"no network between two namespaces: {error}")

    def make_network(self):
        self.ip("netns", "add", self.there)
        self.ip("link", "add", "va", "netns", self.here, "type", "veth", "peer", "name", "vb", "netns", self.there)
        for space, device, address in ((self.here, "va", "10.77.0.1/24"), (self.there, "vb", "10.77.0.2/24")):
            self.ip("-n", space, "addr", "add", address, "dev", device)
            self.ip("-n", space, "link", "set", device, "up")
            self.ip("-n", space, "link", "set", "lo", "up")
        self.ip("-n", self.here, "route", "add", "default", "via", "10.77.0.2")

    def ip(self, *args):
        subprocess.run(["ip", *args], check=True)

    def shoot(self, code):
        """Answers each SYN to 10.88.0.1 with ICMP 3/code."""
        gun = self.world.start("/bin/sh", "-c", 'exec "$@"', "sh", "ip", "netns", "exec", self.there, sys.executable, ICMP, code)
        gun.wait_stdout("^ready$")
        return gun

    def test_no_icmp_code_ends_a_tool_or_a_node(self):
        inside = ("ip", "netns", "exec", self.here)
        share = self.world.share("share", {"a": b"a"})
        for code in (2, 0, 1, 3, 4, 5, 9, 13):
            with self.subTest(code=code):
                gun = self.shoot(code)
                targets = {
                    6881: ("znode", "--broker", "10.88.0.1:6881", "--share", share, "--port", 0, "--state",
                           self.world.path("state", str(code))),
                    9000: ("zget", "--from", "10.88.0.1:9000", "--timeout", "600", "-d", self.world.path("out"), "x"),
                    9001: ("zput", "--to", "10.88.0.1:9001", "--timeout", "600", share / "a"),
                }
                processes = [self.world.start(*command, prefix=inside) for command in targets.values()]
                for port in targets:
                    # Who calls again has survived the first.
                    wait_until(lambda: gun.stdout.lines_so_far.count(f"shot {port}") >= 2, f"two shots at port {port}")
                for process in processes:
                    self.assertTrue(process.running, f"\n{process}")
                    self.assertEqual(self.world.end(process), [])
                search = self.world.run("zsearch", "--broker", "10.88.0.1", "--timeout", "1", "x", prefix=inside)
                self.assert_exit(search, 2)
                self.assertEqual(self.world.end(gun), [])


if __name__ == "__main__":
    unittest.main()
