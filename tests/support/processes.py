# SPDX-License-Identifier: MIT
"""Real programs on ephemeral ports, in a temporary folder, ended by pid and checked when they end."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from support import ports
from support.actor import DEADLINE_S, SLOWNESS, Unexpected, wait_until

SOURCE = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ZSWARM_BIN", SOURCE / "build/release/bin")).resolve()
REPORT = re.compile(rb"ERROR: [A-Za-z]+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed|"
                    rb"dangling socket|Assertion failed:")
STOP_S = 3 * SLOWNESS  # how long a program may take to end; half a second was the longest under five times the load
LEASE_S = 30  # of a broker that was told no other
PROGRAMS = ("zbroker", "znode", "zsearch", "zget", "zput", "zhash", "zpeers", "zls", "zstat")


class Lines:
    """Collects one output stream of a process, line by line, on a thread of its own.

    Nothing that was seen elsewhere (the other stream, a file, a message) says how much of this stream has been collected.
    So all of it is there only when the stream has ended; of a running program, `wait` for a line, or take what comes
    before one with `until`. `so_far` is for conditions that are looked at again.
    """

    def __init__(self, stream):
        self.collected = bytearray()
        self.ended = False
        self.condition = threading.Condition()
        self.thread = threading.Thread(target=self.collect, args=(stream,), daemon=True)
        self.thread.start()

    def collect(self, stream):
        while data := os.read(stream.fileno(), 65536):
            with self.condition:
                self.collected += data
                self.condition.notify_all()
        with self.condition:
            self.ended = True
            self.condition.notify_all()
        stream.close()

    @property
    def raw(self):
        with self.condition:
            return bytes(self.collected)

    @property
    def so_far(self):
        return self.raw.decode(errors="backslashreplace")

    @property
    def lines_so_far(self):
        return self.so_far.split("\n")[:-1]

    @property
    def text(self):
        if not self.ended:
            raise Unexpected("the stream goes on: a line that is missing may come. Use wait() or until(), or end the program")
        return self.so_far

    @property
    def lines(self):
        return self.text.split("\n")[:-1]

    def find(self, pattern):
        return next((match for line in self.lines_so_far if (match := re.search(pattern, line))), None)

    def wait(self, pattern, deadline_s=DEADLINE_S):
        """The match of the first line that has `pattern`; Unexpected when the stream ends or time is up."""
        with self.condition:
            self.condition.wait_for(lambda: self.find(pattern) or self.ended, deadline_s)
            match = self.find(pattern)
        if not match:
            raise Unexpected(f"no line with {pattern!r} in {self.so_far!r}")
        return match

    def until(self, pattern):
        """All lines up to the first that has `pattern`, that one too: nothing can come between them any more."""
        self.wait(pattern)
        lines = self.lines_so_far
        return lines[:next(number for number, line in enumerate(lines) if re.search(pattern, line)) + 1]


class Process:
    """A running program."""

    def __init__(self, program, *args, env=None, cwd=None, stdin=subprocess.DEVNULL, prefix=()):
        path = BIN / program
        self.name = program
        self.command = [*map(str, prefix), str(path), *map(str, args)]
        self.popen = subprocess.Popen(self.command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env=env, cwd=cwd)
        self.stdout, self.stderr = Lines(self.popen.stdout), Lines(self.popen.stderr)
        self.expected_signal = None
        self.any_exit = False
        self.checked = False

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    def __str__(self):
        return (f"{' '.join(self.command)}\n  exit: {self.popen.returncode}\n  stdout: {self.stdout.so_far[-2000:]!r}\n"
                f"  stderr: {self.stderr.so_far[-4000:]}")

    def wait_stdout(self, pattern, deadline_s=DEADLINE_S):
        return self.wait_line(self.stdout, pattern, deadline_s)

    def wait_stderr(self, pattern, deadline_s=DEADLINE_S):
        return self.wait_line(self.stderr, pattern, deadline_s)

    def wait_line(self, stream, pattern, deadline_s):
        try:
            return stream.wait(pattern, deadline_s)
        except Unexpected as error:
            raise Unexpected(f"{error}\n{self}") from None

    def signal(self, number):
        if number in (signal.SIGKILL,):
            self.expected_signal = number
        self.popen.send_signal(number)

    def kill(self):
        """kill -9, as a power cut would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, deadline_s=DEADLINE_S):
        """The exit code."""
        try:
            self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise Unexpected(f"still running after {deadline_s:.0f} s: {self}") from None
        self.stdout.thread.join(DEADLINE_S)
        self.stderr.thread.join(DEADLINE_S)
        return self.popen.returncode

    def terminate(self):
        """SIGTERM; returns (exit code, seconds)."""
        start = time.monotonic()
        self.signal(signal.SIGTERM)
        return self.wait(), time.monotonic() - start

    def rss_kib(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def objects(self):
        """The NDJSON of stdout, as far as it was collected."""
        return [json.loads(line) for line in self.stdout.lines_so_far]

    def wait_event(self, event, accept=lambda found: True, deadline_s=DEADLINE_S):
        """The first object of stdout that is this `event` and that `accept` takes."""
        def find():
            return next((o for o in self.objects() if o["event"] == event and accept(o)), None)
        with self.stdout.condition:
            self.stdout.condition.wait_for(lambda: find() or self.stdout.ended, deadline_s)
            found = find()
        if not found:
            raise Unexpected(f"no such {event}: {self}")
        return found

    def wait_progress(self, size, deadline_s=DEADLINE_S):
        """Until a download or a push has told of this many bytes."""
        return self.wait_event("progress", lambda found: found["bytes"] >= size, deadline_s)

    def problems(self):
        """What must never be: a crash that no test asked for, or a sanitizer report."""
        found = []
        code = self.popen.returncode
        if code is not None and code < 0 and -code != self.expected_signal:
            found.append(f"died of signal {-code}")
        if REPORT.search(self.stderr.raw):
            found.append("a sanitizer, an assertion or ZeroMQ complained")
        return [f"{problem}: {self}" for problem in found]


class Result:
    """What a finished program said."""

    def __init__(self, process, code):
        self.code = code
        self.process = process
        self.stdout, self.stderr = process.stdout.text, process.stderr.text
        self.raw_stdout, self.raw_stderr = process.stdout.raw, process.stderr.raw

    def __str__(self):
        return str(self.process)

    def objects(self, event=None):
        objects = [json.loads(line) for line in self.stdout.splitlines()]
        return [o for o in objects if event is None or o["event"] == event]

    @property
    def done(self):
        """The one `done` line; it is the last and there is no other."""
        objects = self.objects()
        count = sum(o["event"] == "done" for o in objects)
        if count != 1 or objects[-1]["event"] != "done":
            raise Unexpected(f"`done` must come exactly once and last: {self}")
        if objects[-1]["exit"] != self.code:
            raise Unexpected(f"`done` says another exit code: {self}")
        return objects[-1]


class World:
    """One test's programs, fakes and files; `close` ends and checks them all."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="zswarm-test-"))
        self.processes, self.fakes, self.held_ports = [], [], []
        self.stop_s = DEADLINE_S
        self.env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(self.folder / "home"),
                    "LANG": "C.UTF-8", "ASAN_OPTIONS": "exitcode=86:detect_leaks=1",
                    "LSAN_OPTIONS": f"exitcode=86:print_suppressions=0:suppressions={Path(__file__).with_name('lsan.supp')}", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=0"}
        (self.folder / "home").mkdir()

    def path(self, *parts):
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def share(self, name, files):
        """A folder with `files`: a dict from name to bytes."""
        folder = self.path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for file_name, data in files.items():
            path = folder / file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    def start(self, program, *args, env=None, **options):
        process = Process(program, *args, env={**self.env, **(env or {})}, cwd=self.folder, **options)
        self.processes.append(process)
        return process

    def port(self):
        """A port that is this test's: nobody listens there until one of its programs does."""
        self.held_ports.append(ports.bound(0))
        return ports.port_of(self.held_ports[-1])

    def dead_endpoint(self):
        """An address of this machine where nobody listens before a program of this test does."""
        return f"tcp://127.0.0.1:{self.port()}"

    def ports_in_a_row(self, count):
        """The first of them; as port()."""
        held = ports.in_a_row(count)
        self.held_ports += held
        return ports.port_of(held[0])

    def run(self, program, *args, deadline_s=2 * DEADLINE_S, **options):
        process = self.start(program, *args, **options)
        return Result(process, process.wait(deadline_s))

    def broker(self, *args, listen=None, **options):
        """At a port that it may have again after a restart."""
        process = self.start("zbroker", "--listen", listen or self.dead_endpoint(), *args, **options)
        process.endpoint = process.wait_stdout(r"^ready (tcp://\S+)$").group(1)
        process.port = int(process.endpoint.rsplit(":", 1)[1])
        return process

    def node(self, name, broker=None, share=None, args=(), port=None, wait=True, **options):
        """`broker` is a process, an endpoint or None (--no-broker); `share` a folder, a list, or None; `port` None for one
        that it may have again after a restart."""
        shares = share if isinstance(share, list) else [share] if share else []
        where = ["--no-broker"] if broker is None else ["--broker", getattr(broker, "endpoint", broker)]
        process = self.start("znode", *where, *(arg for folder in shares for arg in ("--share", folder)), "--name",
                             name, "--state", self.path("state", name), "--port",
                             self.port() if port is None else port, *args, **options)
        if wait:
            self.wait_node(process)
        return process

    def wait_node(self, process):
        ready = process.wait_stdout(r"^ready tcp://(\S+):(\d+) ([0-9a-f]{32})$")
        process.port, process.node_id = int(ready.group(2)), ready.group(3)
        process.endpoint = f"{ready.group(1)}:{process.port}"

    def fake(self, fake):
        self.fakes.append(fake)
        return fake

    def wait_shared(self, node, *names):
        """Until the node's data port lists these names: then their ids are known."""
        from support.fake_client import PeerClient
        with PeerClient(node.endpoint) as client:
            client.hello()
            wait_until(lambda: set(names) <= {file.name for file in client.list()}, f"{node.name} to share {names}")

    def wait_found(self, broker, *names):
        """Until a search finds these names and nobody is silent any more."""
        from support.fake_client import BrokerClient
        with BrokerClient(broker.endpoint) as client:
            def found():
                hits, done = client.search(0, "", limit=1000)
                return done.silent == 0 and set(names) <= {file.name for file in hits}
            wait_until(found, f"a search to find {names}")

    def wait_gone(self, broker, *names):
        """Until the broker lists no such node, and that before a lease can run out: then the node said BYE."""
        from support.fake_client import BrokerClient
        with BrokerClient(broker.endpoint) as client:
            wait_until(lambda: not any(peer[0].node_name.startswith(names) for peer in client.peers()),
                       f"{names} to be gone", LEASE_S / 2)

    def end(self, process):
        """Ends one process at the close of a test; returns what was wrong with that."""
        if not process.running:
            process.wait()
            return []
        process.signal(signal.SIGCONT)
        process.signal(signal.SIGTERM)
        try:
            code = process.wait(self.stop_s)
        except Unexpected:
            process.kill()
            return [f"did not end on SIGTERM: {process}"]
        if process.name in ("zbroker", "znode") and code != 0:
            return [f"SIGTERM must end it with 0: {process}"]
        if code == -signal.SIGTERM:
            process.expected_signal = signal.SIGTERM
        return []

    def close(self):
        problems = []
        for fake in self.fakes:
            fake.stop()
        for process in reversed(self.processes):
            problems += self.end(process)
            problems += process.problems()
        for fake in self.fakes:
            problems += [f"our program sent a bad message to {type(fake).__name__}: {bad}"
                         for bad in getattr(fake, "bad", [])]
        for held in self.held_ports:
            held.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if problems:
            raise Unexpected("\n".join(problems))
