# SPDX-License-Identifier: MIT
"""Every call that touches a disk fails once: the n-th of each thread, for n = 1, 2, ... until there is no n-th.

What could go wrong: a crash or a hang; an error without a line that says what; wrong bytes under the final name; something
left behind that keeps the next run, which nothing disturbs, from its end.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import tree, zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import PeerClient
from support.fake_node import FakeNode, GatedNode
from support.processes import BIN, Process

CALLS = ("openat", "pwrite64", "pread64", "fdatasync", "fsync", "renameat2", "mkdir", "mkdirat", "ftruncate", "fallocate")
ERRORS = ("ENOSPC", "EIO", "EMFILE")
TRIES_MAX = 400
TOLD = re.compile(r"^z(get|node): .+", re.MULTILINE)
AT_ONCE = 3
CALLS_MIN = 30
FAULTY_RUN_S = 2


def injects():
    """Whether strace can make calls fail here."""
    return subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=getpid:error=EIO:when=1", "true"],
                          capture_output=True, check=False).returncode == 0


class FailingCalls(EndToEnd):
    def setUp(self):
        super().setUp()
        if not injects():
            self.skip_loudly("strace cannot inject errors here")
        self.lock = threading.Lock()
        self.failed_calls = self.runs = 0

    def prefix(self, call, error, number, trace):
        return ("strace", "-f", "-qq", "-o", str(trace), "-e", f"trace={call}",
                "-e", f"inject={call}:error={error}:when={number}")

    def injected(self, trace):
        """How many calls failed in this run."""
        count = trace.read_text(errors="replace").count("(INJECTED)")
        with self.lock:
            self.failed_calls += count
            self.runs += 1
        return count

    def first(self, call, command):
        """The first call of the main thread that is not the loader's."""
        trace = self.world.path("trace")
        subprocess.run(["strace", "-qq", "-o", str(trace), "-e", f"trace={call}", *command, "--help"],
                       stdout=subprocess.DEVNULL, check=True, cwd=self.world.folder, env=self.world.env)
        lines = trace.read_text(errors="replace").splitlines()
        return 1 + max((n for n, line in enumerate(lines, 1) if ".so" in line or "\\177ELF" in line
                        or '"\\6\\0\\0\\0\\4' in line), default=0)

    def sweep(self, program, calls, attempt, errors):
        """`attempt(call, error, number)` for each call, each number that exists, and errors(call, number)."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for call in calls:
                first = self.first(call, [str(BIN / program)])
                for number in range(first, first + TRIES_MAX, AT_ONCE):
                    before = self.failed_calls
                    for _ in pool.map(lambda fault: attempt(*fault), [
                            (call, error, n) for n in range(number, number + AT_ONCE) for error in errors(call, n)]):
                        pass  # the first failure is raised here
                    if self.failed_calls == before:
                        break
                else:
                    self.fail(f"{call} has no end")
        print(f"{self.failed_calls} calls failed in {self.runs} runs", flush=True)
        self.assertGreater(self.failed_calls, CALLS_MIN, "the faults did not happen")

    def assert_ended_well(self, process, code, label):
        self.assertFalse(code < 0 or code > 127, f"{label}: it crashed\n{process}")
        if code != 0:
            self.assertRegex(process.stderr.text, TOLD, f"{label}: no line says why\n{process}")


class Zget(FailingCalls):
    def setUp(self):
        super().setUp()
        self.data = random_bytes(300000)
        self.shared = zsp.SharedFile("small.bin", self.data)
        self.node = self.world.fake(FakeNode([self.shared]))

    def command(self, target):
        return ["--from", self.node.endpoint, "--no-serve", "--timeout", "3", "-d", target, "small.bin"]

    def attempt(self, label, call, error, number, fill):
        """One run with the fault and one without; `fill` puts into the folder what an earlier run left."""
        target = self.world.path("out", f"{label}-{call}-{error}-{number}")
        fill(target)
        label = f"{call} number {number} fails with {error}"
        trace = self.world.path(f"trace-{target.name}")
        process = Process("zget", *self.command(target), env=self.world.env, cwd=self.world.folder,
                          prefix=self.prefix(call, error, number, trace))
        code = process.wait()
        self.assert_ended_well(process, code, label)
        final = target / "small.bin"
        if code == 0 or final.exists():
            self.assertTrue(final.read_bytes() == self.data, f"{label}: wrong bytes\n{process}")
        if self.injected(trace) == 0:
            self.assertEqual(code, 0, f"{label}\n{process}")
            return
        again = Process("zget", *self.command(target), env=self.world.env, cwd=self.world.folder)
        self.assertEqual(again.wait(), 0, f"{label}, then undisturbed\n{again}")
        self.assertTrue(final.read_bytes() == self.data, f"{label}: wrong bytes after the second run")
        self.assertEqual(os.listdir(target), ["small.bin"], f"{label}: something is left")

    def test_a_first_run(self):
        self.sweep("zget", CALLS, lambda *fault: self.attempt("first", *fault, lambda target: None), lambda *_: ERRORS)

    def test_a_run_that_resumes(self):
        node = self.world.fake(GatedNode([self.shared], gate_bytes=3 << 16))
        half = self.world.path("half")
        result = self.world.run("zget", "--from", node.endpoint, "--no-serve", "--timeout", "1", "-d", half, "small.bin")
        self.assert_exit(result, 3)

        def fill(target):
            target.mkdir(parents=True)
            for path in half.iterdir():
                (target / path.name).write_bytes(path.read_bytes())
        self.sweep("zget", CALLS, lambda *fault: self.attempt("resumed", *fault, fill),
                   lambda call, number: (ERRORS[number % len(ERRORS)],))


class Znode(FailingCalls):
    """A node with a file of its own to scan, hash and remember, and a download to finish."""

    def setUp(self):
        super().setUp()
        self.data, self.own = random_bytes(300000), random_bytes(50000, 2)
        self.shared = zsp.SharedFile("small.bin", self.data)
        self.node = self.world.fake(FakeNode([self.shared]))
        self.share = self.world.share("share", {"own.bin": self.own})

    def start(self, place, prefix=()):
        return self.world.start("znode", "--no-broker", "--bind", "127.0.0.1", "--port", 0, "--share", self.share,
                                "--home", place / "home", "--state", place / "state", prefix=prefix)

    def terminate(self, process):
        """strace ends when what it started does, and with the same code."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children or [process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGTERM)
        return process.wait()

    def attempt(self, call, error, number):
        place = self.world.path(f"{call}-{number}")
        landed = place / "home/Download/small.bin"
        (place / "state").mkdir(parents=True)
        (place / "state/downloads").write_text(f"waiting {self.shared.root.hex()} {len(self.data)} 0 - - any "
                                               f"127.0.0.1,{self.node.port},- small.bin\n")
        label = f"{call} number {number} fails with {error}"
        trace = place / "trace"
        process = self.start(place, self.prefix(call, error, number, trace))
        until = time.monotonic() + FAULTY_RUN_S
        wait_until(lambda: not process.running or process.stderr.find("is done") or time.monotonic() > until, "an end")
        code = self.terminate(process) if process.running else process.wait()
        self.assert_ended_well(process, code, label)
        if landed.exists():
            self.assertTrue(landed.read_bytes() == self.data, f"{label}: wrong bytes\n{process}")
        if self.injected(trace):
            self.run_undisturbed(place, landed, label)
        shutil.rmtree(place)

    def run_undisturbed(self, place, landed, label):
        """Everything is there: the download, the share, and nothing in between."""
        process = self.start(place)
        self.world.wait_node(process)
        try:
            wait_until(landed.exists, f"the download; {label}, then undisturbed")
            with PeerClient(process.endpoint) as client:
                client.hello()
                wait_until(lambda: {"own.bin"} <= {file.name for file in client.list()}, f"the share; {label}")
                self.assertTrue(client.fetch(tree.id_of(self.own)) == self.own)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process}") from None
        self.assertTrue(landed.read_bytes() == self.data, f"{label}: wrong bytes after the second run")
        self.assertEqual(self.terminate(process), 0, f"{label}\n{process}")
        self.assertEqual(os.listdir(place / "home/Temp"), [], f"{label}: something is left")

    def one_error(self, call, number):
        return (ERRORS[number % len(ERRORS)],)

    def test_calls_that_open(self):
        self.sweep("znode", ("openat",), self.attempt, self.one_error)

    def test_calls_that_read_write_and_sync(self):
        self.sweep("znode", CALLS[1:], self.attempt, self.one_error)


if __name__ == "__main__":
    unittest.main()
