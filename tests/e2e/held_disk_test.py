# SPDX-License-Identifier: MIT
"""A disk that hangs, for some files only, holds up nobody else.

What could go wrong: the node stops answering the broker, its requesters or its console while a call on that disk does not
return; what is on another disk is not served any more; afterwards what was held is lost.
"""

import subprocess
import threading

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient, PeerClient
from support.processes import BIN

SHIM = BIN / "libheld_calls.so"
READERS = 8  # more than the node has threads for


class HeldDisk(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.gate, self.log = self.world.path("gate"), self.world.path("log")
        self.data = random_bytes(1 << 20)
        self.good = zsp.SharedFile("good.bin", self.data)

    def start(self, call, path, *args, shares=(), **options):
        # A sanitizer wants to be the first library, or to be told.
        env = {"LD_PRELOAD": str(SHIM), "ASAN_OPTIONS": "exitcode=86:verify_asan_link_order=0", "HELD_CALL": call,
               "HELD_PATH": path, "HELD_GATE": str(self.gate), "HELD_LOG": str(self.log)}
        good = self.world.share("good", {"good.bin": self.data})
        self.node = self.world.node("one", self.broker, [good, *shares], args=args, env=env, stdin=subprocess.PIPE,
                                    **options)
        self.addCleanup(self.release)
        self.world.wait_shared(self.node, "good.bin")

    def hold(self):
        self.gate.write_text("closed")

    def release(self):
        self.gate.unlink(missing_ok=True)

    def command(self, line):
        self.node.popen.stdin.write(line.encode() + b"\n")
        self.node.popen.stdin.flush()

    def assert_held_and_answering(self, what):
        """A call waits, and while it does all others are answered."""
        wait_until(lambda: self.log.exists() and what in self.log.read_text(), "a call that is held")
        with PeerClient(self.node.endpoint) as client, BrokerClient(self.broker.endpoint) as broker:
            client.hello()
            client.ping()
            self.assertEqual(client.fetch(self.good.file_id), self.data)
            hits, done = broker.search(0, "good.bin")
            self.assertEqual([file.name for file in hits], ["good.bin"])
            self.assertEqual(done.silent, 0)
        self.command("whoami")
        self.node.wait_stdout("name +one")
        self.assertTrue(self.gate.exists(), "none of the held calls has returned")

    def test_a_share_whose_files_do_not_open_holds_up_no_other(self):
        held = self.world.share("held", {f"{i}.bin": bytes([i]) * 100000 for i in range(READERS)})
        self.start("open", "/held/", shares=[held])
        self.world.wait_shared(self.node, *(f"{i}.bin" for i in range(READERS)))
        self.hold()
        got = {}

        def read(i):
            with PeerClient(self.node.endpoint) as client:
                client.hello()
                got[i] = client.fetch(zsp.SharedFile(f"{i}.bin", bytes([i]) * 100000).file_id)
        readers = [threading.Thread(target=read, args=(i,)) for i in range(READERS)]
        for reader in readers:
            reader.start()
        self.assert_held_and_answering("/held/")
        self.release()
        for reader in readers:
            reader.join()
        self.assertEqual(got, {i: bytes([i]) * 100000 for i in range(READERS)})

    def source(self):
        self.big = random_bytes(3 << 20, seed=2)
        self.world.node("two", self.broker, self.world.share("two", {"big.bin": self.big}))
        self.world.wait_found(self.broker, "big.bin")

    def assert_lands(self):
        self.release()
        self.node.wait_stderr("is done")
        self.assertEqual(self.world.path("good", "big.bin").read_bytes(), self.big)

    def test_a_partial_file_that_does_not_open(self):
        self.start("open", ".zpart")
        self.source()
        self.hold()
        self.command("get big.bin")
        self.assert_held_and_answering(".zpart")
        self.assert_lands()

    def test_a_partial_file_that_is_not_synced(self):
        self.start("fsync", ".zpart")
        self.source()
        self.hold()
        self.command("get big.bin")
        self.assert_held_and_answering(".zpart")
        self.assert_lands()

    def test_a_list_of_downloads_that_is_not_synced(self):
        self.start("fsync", "/state/one/")
        self.source()
        self.hold()
        self.command("get big.bin")
        self.assert_held_and_answering("/state/one/")
        self.assert_lands()

    def test_a_partial_file_that_is_not_removed(self):
        self.start("unlink", ".zpart", "--down", "200K")
        self.source()
        self.command("get big.bin")
        partials = self.world.path("good", ".zswarm")
        wait_until(lambda: list(partials.glob("*.zpart")), "a partial file")
        self.hold()
        self.command("cancel 1")
        self.assert_held_and_answering(".zpart")
        self.release()
        wait_until(lambda: not list(partials.glob("*.zpart")), "the partial file to go")
