# SPDX-License-Identifier: MIT
"""A minute of everything at once: broker, nodes and downloads are killed and stopped at random, one node lies, one has a full
disk, and the clock of one jumps at each start.

What could go wrong: wrong bytes under a final name; a download that never ends, though all it needs is there; a program that
ends of something else than the kill; what is left of a kill is in the way of the next start, or stays for ever.

`ZSWARM_SEED=N` repeats a run as far as the machine lets it.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, patience, random_bytes
from support.fake_client import BrokerClient
from support.fake_node import CorruptNode

NODES, FILES = 12, 10
GETS, NAMES = 10, 6
RATE = "4M"  # of a node: so that a kill comes in the middle of something
CHAOS_S, EVERY_S, FAULTS_MIN = 55, 0.18, 200
DOWN_S, STOPPED_S = (0.1, 0.8), (0.2, 1.5)
SETTLE_S = 60
LEASE = 6
DISK_MIB, GROWN_MIB, GROWS_AT_S = 4, 64, 30
CLOCKS_S = 400 * 24 * 3600
GROWTH_MAX, GROWTH_KIB = 1.1, 3 << 10

# execve() goes to the new time namespace: the program keeps the process id, and its clock jumps.
JUMP = """
import ctypes, os, sys
if ctypes.CDLL(None).unshare(0x80) != 0:
    sys.exit(1)
with open("/proc/self/timens_offsets", "w") as offsets:
    offsets.write(f"monotonic {sys.argv[1]} 0\\nboottime {sys.argv[1]} 0\\n")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Life:
    """A program that is started again whenever it was killed."""

    def __init__(self, name, start):
        self.name, self.start = name, start
        self.process, self.lives = None, 0
        self.due, self.continues = 0, None

    @property
    def is_up(self):
        return self.process is not None and self.process.running

    def begin(self):
        self.process, self.due = self.start(), None
        self.lives += 1

    def kill(self):
        self.process.kill()
        self.continues = None


class Get:
    """A slot for downloads: some names into a folder, by the same command again until it succeeds; then others."""

    def __init__(self, number):
        self.name, self.round, self.is_over = f"zget-{number}", 0, False
        self.process, self.names = None, []

    @property
    def is_up(self):
        return self.process is not None and self.process.running


class Poisoner(CorruptNode):
    wrong_count = 0

    def serve(self, route, message, data):
        self.wrong_count += 1
        super().serve(route, message, data)


class Chaos(EndToEnd):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("ZSWARM_SEED", random.randrange(1 << 31)))
        self.random = random.Random(self.seed)
        self.faults, self.completed, self.codes = [], 0, {}
        blob = random_bytes(8 << 20, self.seed)
        self.data = {}
        for n in range(NODES):
            for f in range(FILES):
                size = 2 << 20 if f == 0 else self.random.choice((0, 1, 16384, 70000, 300000, 1 << 20))
                begin = self.random.randrange(len(blob) - size)
                # The first bytes make it unlike all others, so that a file has one name.
                self.data[f"n{n:02}-f{f}.bin"] = (b"%d.%d." % (n, f) + blob[begin:begin + size])[:size]
        self.lives = [Life("broker", self.start_broker)] + [
            Life(f"node-{n:02}", lambda n=n: self.start_node(n)) for n in range(NODES)]
        self.gets = [Get(number) for number in range(GETS)]
        self.port = None

    # --- What is started, and started again ---

    def start_broker(self):
        where = f"tcp://127.0.0.1:{self.port or '*'}"
        process = self.world.start("zbroker", "--listen", where, "--lease", LEASE)
        if not self.port:
            self.port = int(process.wait_stdout(r"^ready tcp://\S+:(\d+)$").group(1))
            self.endpoint = f"tcp://127.0.0.1:{self.port}"
        return process

    def start_node(self, n):
        """The last one's disk is small, and the clock of the one before is another each time."""
        prefix, home, options = (), [], {}
        if n == NODES - 1 and self.disk:
            home, options = ["--home", self.disk], {"stdin": subprocess.PIPE}
        if n == NODES - 2 and self.jumps:
            seconds = self.random.randrange(CLOCKS_S)
            prefix = (sys.executable, "-c", JUMP, str(seconds))
            self.note(f"clock of node-{n:02} at {seconds} s")
        return self.world.start("znode", "--broker", self.endpoint, "--share", self.world.path(f"share-{n}"), *home,
                                "--name", f"node-{n:02}", "--state", self.world.path("state", f"node-{n:02}"), "--port",
                                self.ports[n], "--up", RATE, prefix=prefix, **options)

    def choose(self, get):
        get.round += 1
        get.names = self.random.sample(sorted(self.data), NAMES)
        get.target = self.world.path(f"out-{get.name}-{get.round}")

    def start_get(self, get):
        get.process = self.world.start("zget", "--broker", self.endpoint, "--timeout", "10", "-d", get.target,
                                       *get.names)

    # --- The machine ---

    def probe(self):
        self.disk = self.world.path("disk")
        self.disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(self.disk)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            print(f"skipped: {self.id()}: a full disk needs root and mount", flush=True)
            self.disk = None
        else:
            self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)
            self.addCleanup(self.world.close)  # before its disk goes
        jump = [sys.executable, "-c", JUMP, "1000", "true"]
        self.jumps = subprocess.run(jump, capture_output=True, check=False).returncode == 0
        if not self.jumps:
            print(f"skipped: {self.id()}: a clock that jumps needs root and time namespaces", flush=True)

    def note(self, fault):
        if self.began:
            self.faults.append(f"{time.monotonic() - self.began:.1f} {fault}")

    # --- Faults ---

    def inject(self):
        kind = self.random.choices(("get", "node", "broker", "stop"), (45, 33, 6, 16))[0]
        if kind == "get":
            victims = [get for get in self.gets if get.is_up]
            if victims:
                victim = self.random.choice(victims)
                victim.process.kill()
                self.note(f"kill {victim.name}")
            return
        lives = self.lives[:1] if kind == "broker" else self.lives[1:] if kind == "node" else self.lives
        victims = [life for life in lives if life.is_up and not life.continues]
        if not victims:
            return
        victim, now = self.random.choice(victims), time.monotonic()
        if kind == "stop":
            victim.process.signal(signal.SIGSTOP)
            victim.continues = now + self.random.uniform(*STOPPED_S)
            self.note(f"stop {victim.name}")
        else:
            victim.kill()
            victim.due = now + self.random.uniform(*DOWN_S)
            self.note(f"kill {victim.name}")

    def grow(self):
        if self.disk and not self.is_grown:
            used = shutil.disk_usage(self.disk)
            self.note(f"disk of node-{NODES - 1:02} was full: {used.free >> 10} KiB free; grows")
            subprocess.run(["mount", "-o", f"remount,size={GROWN_MIB}m", str(self.disk)], check=True)
            self.is_grown = True

    # --- What goes on ---

    def look_after_lives(self):
        now = time.monotonic()
        for life in self.lives:
            if life.continues and life.continues <= now:
                life.process.signal(signal.SIGCONT)
                life.continues = None
            if life.due is not None and life.due <= now:
                life.begin()
                if life is self.lives[0] and life.lives > 1:
                    self.poisoner.post(lambda: self.poisoner.send_broker(zsp.JOIN, 1, *self.poisoner.join_fields()))
            elif life.due is None and not life.process.running:
                self.fail(f"{life.name} ended by itself\n{life.process}")

    def look_after_gets(self, is_last):
        for get in self.gets:
            if get.is_up or get.is_over:
                continue
            if get.process is not None:
                code = get.process.wait()
                self.codes[code] = self.codes.get(code, 0) + 1
                self.assertIn(code, (0, 1, 2, 3, -signal.SIGKILL), f"\n{get.process}")
                self.check_target(get, code == 0)
                get.is_over = code == 0 and is_last
                if code == 0 and not is_last:
                    self.choose(get)
            if not get.is_over:
                self.start_get(get)
        self.forget_the_ended()

    def check_target(self, get, is_complete):
        """Nothing wrong ever has a final name, and nothing else is left by one that succeeded."""
        there = {path.name: path for path in get.target.iterdir()} if get.target.exists() else {}
        for name, path in there.items():
            if name in self.data:
                self.assertTrue(path.read_bytes() == self.data[name], f"wrong bytes in {path}\n{get.process}")
            else:
                self.assertRegex(name, r"^\..*\.(zpart|zcut)$|^\.zswarm", f"\n{get.process}")
        if is_complete:
            self.assertEqual(sorted(there), sorted(get.names), f"\n{get.process}")
            self.completed += len(there)
            shutil.rmtree(get.target)

    def forget_the_ended(self):
        """Of those that ended, only what is wrong matters."""
        kept = {life.process for life in self.lives} | {get.process for get in self.gets}
        for process in [process for process in self.world.processes if process not in kept]:
            if not process.running:
                self.assertEqual(process.problems(), [])
                self.world.processes.remove(process)

    def run_until(self, is_over, is_last, faults_from=None):
        while not is_over():
            if faults_from is not None:
                due = int((time.monotonic() - faults_from) / EVERY_S)
                for _ in range(due - self.injected):
                    self.inject()
                self.injected = due
                if time.monotonic() - faults_from > GROWS_AT_S:
                    self.grow()
            self.look_after_lives()
            self.look_after_gets(is_last)
            time.sleep(0.02)

    def settle(self, what):
        """Everything runs, everything that is wanted is fetched, and nobody is silent."""
        for life in self.lives:
            if life.continues:
                life.continues = 0.1
            if life.due:
                life.due = 0
        for get in self.gets:
            get.is_over = False
        until = time.monotonic() + SETTLE_S * patience()
        self.run_until(lambda: all(get.is_over for get in self.gets) or time.monotonic() > until, True)
        self.assertTrue(all(get.is_over for get in self.gets), f"{what}: not done: " + "\n".join(
            str(get.process) for get in self.gets if not get.is_over))
        with BrokerClient(self.endpoint) as client:
            def is_complete():
                hits, done = client.search(0, "bin", limit=1000)
                return done.silent == 0 and done.asked >= NODES and {file.name for file in hits} >= set(self.data)
            wait_until(is_complete, f"{what}: a search that finds everything, and nobody silent", 30 * patience())

    def levels(self):
        return {life.name: (life.process.rss_kib(), life.process.fd_count(), life.lives) for life in self.lives}

    def order(self):
        """More than the small disk takes, for the node that has it."""
        self.ordered = sorted(name for name in self.data if name.endswith("-f0.bin"))[:6] if self.disk else []
        self.tell_full("".join(f"get {name}\n" for name in self.ordered))
        if self.disk:
            self.lives[-1].process.wait_stderr("no space")

    def tell_full(self, text):
        if self.disk:
            with contextlib.suppress(BrokenPipeError):
                self.lives[-1].process.popen.stdin.write(text.encode())
                self.lives[-1].process.popen.stdin.flush()

    def assert_ordered_landed(self):
        if not self.disk:
            return
        folder = self.disk / "Download"

        def landed():
            self.tell_full("resume all\n")
            return {path.name for path in folder.iterdir()} >= set(self.ordered)
        wait_until(landed, f"the downloads of the node whose disk was full\n{self.lives[-1].process}",
                   SETTLE_S * patience(), 1)
        for name in self.ordered:
            self.assertTrue((folder / name).read_bytes() == self.data[name], f"wrong bytes in {name}")
        wait_until(lambda: list((self.disk / "Temp").iterdir()) == [], "an empty Temp")

    def start_all(self):
        self.began, self.is_grown, self.injected = 0, False, 0
        self.probe()
        for n in range(NODES):
            self.world.share(f"share-{n}", {name: data for name, data in self.data.items()
                                            if name.startswith(f"n{n:02}-")})
        self.ports = [0] * NODES
        for life in self.lives:
            life.begin()
        for n, life in enumerate(self.lives[1:]):
            self.world.wait_node(life.process)
            self.ports[n] = life.process.port
        poison = [zsp.SharedFile(name, data) for name, data in self.data.items() if name.endswith(("-f0.bin", "-f1.bin"))
                  and len(data) > 1]
        self.poisoner = self.world.fake(Poisoner(poison, broker=self.endpoint, name="poisoner"))
        for get in self.gets:
            self.choose(get)

    def test_a_minute_of_everything_at_once(self):
        print(f"\nZSWARM_SEED={self.seed}", flush=True)
        self.start_all()
        self.settle("warm")
        self.order()
        before = self.levels()
        for get in self.gets:
            get.is_over = False
            self.choose(get)
            get.process = None
        self.completed, self.codes = 0, {}
        self.began = time.monotonic()
        self.run_until(lambda: time.monotonic() - self.began > CHAOS_S, False, self.began)
        self.report()
        storm_s = time.monotonic()
        self.grow()
        self.settle("after it")
        self.assert_ordered_landed()
        print(f"all done {time.monotonic() - storm_s:.1f} s after the last fault", flush=True)
        self.assert_nothing_is_left(before)
        self.restart_everything()
        self.assertGreaterEqual(len(self.faults), FAULTS_MIN)

    def report(self):
        kinds = {}
        for fault in self.faults:
            kind = " ".join(fault.split()[1:2]) + (" broker" if fault.endswith("broker") else "")
            kinds[kind] = kinds.get(kind, 0) + 1
        for begin in range(0, len(self.faults), 8):
            print("  " + ", ".join(self.faults[begin:begin + 8]), flush=True)
        print(f"{len(self.faults)} faults in {CHAOS_S} s ({', '.join(f'{n} {kind}' for kind, n in kinds.items())}) and "
              f"{self.poisoner.wrong_count} wrong answers; {self.completed} files complete, zget exits {self.codes}",
              flush=True)

    def assert_nothing_is_left(self, before):
        def strays():
            return [path for path in self.world.folder.rglob("*") if path.name.endswith((".zpart", ".zcut", ".tmp"))]
        wait_until(lambda: not strays(), f"no partial files: {strays()}")
        for n in range(NODES):
            share = self.world.path(f"share-{n}")
            own = {path.name: path.read_bytes() for path in share.iterdir() if path.is_file()}
            self.assertEqual(own, {name: self.data[name] for name in self.data if name.startswith(f"n{n:02}-")})

        def grown():
            return {name: (was, now) for name, was in before.items() for now in [self.levels()[name]]
                    if now[0] > was[0] * GROWTH_MAX + GROWTH_KIB or now[1] > was[1] + 2}
        # Connections of those that were killed go with their heartbeats.
        wait_until(lambda: not grown(), f"memory and descriptors as before: {grown()}", 40)

    def restart_everything(self):
        for life in self.lives:
            self.assertEqual(life.process.terminate()[0], 0, f"\n{life.process}")
            life.begin()
        self.poisoner.stop()
        for get in self.gets:
            self.choose(get)
            get.process = None
        self.settle("all started again")


if __name__ == "__main__":
    unittest.main()
