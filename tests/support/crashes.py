# SPDX-License-Identifier: MIT
"""Commands that are cut short, by a power failure or by a kill, and run again on what that left.

A `Scenario` is one command with all that it may leave. Whatever the moment: no final name stands for wrong bytes, also
before the second run; the second run ends well; it fetches nothing again that is there and that the have-map knows of.
"""

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import tree, zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.disk_model import FIXED, Disk
from support.fake_client import PeerClient
from support.processes import BIN, Process

SHIM = BIN / "libdisk_record.so"
PAGE = 4096
CHUNK = 64 << 10
AT_ONCE = 3
RATE = "300K"  # slow enough for some syncs, one each 2 s, while a file comes in
REAPED_S = 1
KILLS_MAX = 2000


class Killed(Exception):
    """The command ended where it was told to."""


def record_env(folder, log, kill_at=None):
    kill = {"DISK_RECORD_KILL_AT": str(kill_at)} if kill_at else {}
    # A sanitizer wants to be the first library, or to be told.
    return {"LD_PRELOAD": str(SHIM), "ASAN_OPTIONS": "exitcode=86:verify_asan_link_order=0", "DISK_RECORD_FOLDER": str(folder), "DISK_RECORD_LOG": str(log), **kill}


def claims(partial, shared):
    """The chunks that a partial file says it has; without a valid map all that it could have."""
    size, count = len(shared.data), -(-len(shared.data) // CHUNK)
    at, bits_size = -(-size // PAGE) * PAGE, -(-count // 8)
    head = b"zswarm1\n" + shared.file_id + size.to_bytes(8, "little")
    raw = partial[at:at + len(head) + bits_size + 32]
    bits = raw[len(head):len(head) + bits_size]
    is_whole = len(raw) == len(head) + bits_size + 32 and raw[:len(head)] == head
    if is_whole and hashlib.sha256(raw[:-32]).digest() == raw[-32:]:
        return [n for n in range(count) if bits[n // 8] >> (7 - n % 8) & 1]
    return [n for n in range(count) if min(size, (n + 1) * CHUNK) <= len(partial)]


def is_right(partial, shared, chunk):
    part = slice(chunk * CHUNK, min(len(shared.data), (chunk + 1) * CHUNK))
    return partial[part] == shared.data[part]


def kept_bytes(partial, shared, chunks=None):
    """What of a partial file need not be fetched again, and whether it claims what is not so."""
    claimed = [chunk for chunk in claims(partial, shared) if chunks is None or chunk in chunks]
    right = [chunk for chunk in claimed if is_right(partial, shared, chunk)]
    return sum(min(len(shared.data) - chunk * CHUNK, CHUNK) for chunk in right), len(right) < len(claimed)


def partial_name(shared):
    return f".{shared.name.rsplit('/', 1)[-1]}.{shared.file_id.hex()[:12]}.zpart"


class Scenario:
    """`finals`: {path: the contents that it may have, the wanted one first}. `hidden`: where anything may be meanwhile."""
    finals, hidden, may_be_left = {}, (), "-"

    def __init__(self, case):
        self.case, self.world = case, case.world
        self.shared = zsp.SharedFile("f.bin", random_bytes(self.size, 11))
        self.marks = {}

    size = 16 * CHUNK + 1000

    def fill(self, place):
        place.mkdir(parents=True)

    def start(self, program, *args, env=None):
        process = Process(program, *args, env={**self.world.env, **(env or {})}, cwd=self.world.folder)
        if env and "DISK_RECORD_KILL_AT" in env:
            process.expected_signal = signal.SIGKILL
        return process

    def finish(self, process, code=0):
        with ended(process):
            had = process.wait()
        if had == -signal.SIGKILL == -(process.expected_signal or 0):
            raise Killed
        if had != code or process.problems():
            raise AssertionError(f"{process.problems()}\n{process}")
        return process

    def run(self, place, env=None, rate=None):
        """Runs it to its end; the bytes that came."""
        raise NotImplementedError

    def mark(self, name, env):
        """What it has told from here on."""
        if env:
            self.marks[name] = Path(env["DISK_RECORD_LOG"]).stat().st_size

    def needed(self, files):
        """At most what a run on this may fetch; and whether what is claimed here is not so."""
        partial = files.get(self.partial_path())
        if all(files.get(path) == wanted[0] for path, wanted in self.finals.items()):
            return 0, False
        if partial is None:
            return self.size, False
        kept, is_wrong = kept_bytes(partial, self.shared)
        return self.size - kept, is_wrong

    def is_hidden(self, path):
        return any(part.startswith(".") for part in path.split("/")) or path.split("/")[0] in self.hidden

    def judge(self, files):
        """No final name with wrong bytes."""
        for path, data in files.items():
            if data is not None and not self.is_hidden(path) and data not in self.finals.get(path, ()):
                raise AssertionError(f"{path} has wrong bytes, or should not be there")

    def judge_told(self, files, marks):
        """What it said before the power failed is true after it."""
        if "done" in marks:
            for path, wanted in self.finals.items():
                if files.get(path) != wanted[0]:
                    raise AssertionError(f"{path} was told to be complete, and is not")

    def may_stay(self, before):
        """What may be left of what a run began with."""
        return ()

    def judge_end(self, files, before):
        for path, wanted in self.finals.items():
            if files.get(path) != wanted[0]:
                raise AssertionError(f"{path} is not as it should be in the end")
        may_stay = (*self.finals, *self.may_stay(before))
        left = sorted(path for path, data in files.items() if data is not None and path not in may_stay
                      and path.split("/")[0] not in self.hidden and not re.fullmatch(self.may_be_left, path))
        if left:
            raise AssertionError(f"something is left: {left}")


class Get(Scenario):
    """zget, one file, into a folder that it makes."""
    args = ()

    def __init__(self, case):
        super().__init__(case)
        share = self.world.share("share", {"f.bin": self.shared.data})
        self.source = self.world.node("source", None, share)
        self.world.wait_shared(self.source, "f.bin")
        self.finals = {"out/f.bin": (self.shared.data,)}

    def partial_path(self):
        return f"out/{partial_name(self.shared)}"

    def what(self):
        return ("f.bin",)

    def command(self, place, rate):
        return ("--from", self.source.endpoint, "--no-serve", "--json", "--timeout", 10,
                *(("--down", rate) if rate else ()), *self.args, "-d", place / "out", *self.what())

    def run(self, place, env=None, rate=None):
        process = self.finish(self.start("zget", *self.command(place, rate), env=env))
        self.mark("done", env)
        return process.objects()[-1]["received"]


class GetAgain(Get):
    """The same once more, when the power failed in the middle of the first run."""

    def __init__(self, case):
        super().__init__(case)
        first = self.world.path("first")
        Get.fill(self, first)
        disk = Disk(first)
        self.run(first, record_env(first, self.world.path("first-log")), RATE)
        disk.read_record(self.world.path("first-log"))
        self.before = disk.state(len(disk.ops) * 2 // 3, FIXED["names and sizes kept"])

    def fill(self, place):
        self.before.lay_out(place)


class GetRange(Get):
    """A part of a file, which is copied out of the partial one."""
    begin, end = 3 * CHUNK + 17, 11 * CHUNK + 5

    def __init__(self, case):
        super().__init__(case)
        self.finals = {"out/f.bin": (self.shared.data[self.begin:self.end + 1],)}
        self.args = ("--range", f"{self.begin}-{self.end}")
        self.may_be_left = re.escape(self.partial_path())  # without a valid map there may be more in it than the part

    def run(self, place, env=None, rate=None):
        """A part that is there cannot be compared with anything: zget says so and fetches nothing."""
        if not (place / "out/f.bin").exists():
            return super().run(place, env, rate)
        process = self.finish(self.start("zget", *self.command(place, rate), env=env), code=2)
        return process.objects()[-1].get("received", 0)

    def needed(self, files):
        partial = files.get(self.partial_path())
        chunks = range(self.begin // CHUNK, self.end // CHUNK + 1)
        if partial is None:
            return len(chunks) * CHUNK, False
        kept, is_wrong = kept_bytes(partial, self.shared, chunks)
        return len(chunks) * CHUNK - kept, is_wrong


class GetForce(Get):
    """Another file has the name, and is replaced."""
    args = ("--force",)

    def __init__(self, case):
        super().__init__(case)
        self.old = random_bytes(self.size - 5000, 12)
        self.finals = {"out/f.bin": (self.shared.data, self.old)}

    def fill(self, place):
        (place / "out").mkdir(parents=True)
        (place / "out/f.bin").write_bytes(self.old)


class GetFolder(Get):
    """Small files in folders, which are synced all at once."""
    count = 12

    def __init__(self, case):
        super().__init__(case)
        self.files = {f"tree/{n % 3}/{n}.bin": random_bytes(700 * n + 1, n) for n in range(self.count)}
        share = self.world.share("many", self.files)
        self.source = self.world.node("many", None, share)
        self.world.wait_shared(self.source, *self.files)
        self.finals = {f"out/{path}": (data,) for path, data in self.files.items()}
        self.partials = {}
        for path, data in self.files.items():
            folder, _, name = path.rpartition("/")
            self.partials[path] = f"out/{folder}/{partial_name(zsp.SharedFile(name, data))}"

    def what(self):
        return ("tree/",)

    def needed(self, files):
        return sum(len(data) for path, data in self.files.items()
                   if data not in (files.get(f"out/{path}"), files.get(self.partials[path]))), False


class Node(Scenario):
    """A node with a file of its own to hash and remember, and a download to finish."""
    hidden = ("state",)
    may_be_left = r"home/(Download|Temp)/\.zswarm-[0-9a-f]{16}"  # empty, of the look whether it can be written to

    def __init__(self, case):
        super().__init__(case)
        self.own = random_bytes(200000, 13)
        self.own_share = self.world.share("own", {"own.bin": self.own})
        self.source = self.world.node("source", None, self.world.share("share", {"f.bin": self.shared.data}))
        self.world.wait_shared(self.source, "f.bin")
        self.finals = {"home/Download/f.bin": (self.shared.data,)}
        self.node_id = None

    def partial_path(self):
        return f"home/Temp/{partial_name(self.shared)}"

    def is_hidden(self, path):
        return super().is_hidden(path) or path.startswith("home/Temp/")

    def may_stay(self, before):
        """A rename between folders of which one was synced may leave both names."""
        return (self.partial_path(),) if "home/Download/f.bin" in before else ()

    def fill(self, place):
        (place / "state").mkdir(parents=True)
        (place / "state/downloads").write_text(
            f"waiting {self.shared.root.hex()} {self.size} 0 - - any 127.0.0.1,{self.source.port},- f.bin\n")

    @contextlib.contextmanager
    def node(self, place, env, *args):
        """Runs until the end of the block, and then ends well."""
        process = self.start("znode", "--no-broker", "--bind", "127.0.0.1", "--port", 0, *args, "--home", place / "home",
                             "--state", place / "state", env=env)
        with ended(process):
            self.world.wait_node(process)
            if env:
                self.node_id = process.node_id
                self.mark("ready", env)
            yield process
            process.terminate()
        self.finish(process)

    def run(self, place, env=None, rate=None):
        with self.node(place, env, "--share", self.own_share, *(("--down", rate) if rate else ())) as process:
            if env:
                process.wait_stderr(r"is done: .*/f\.bin$")
                self.mark("done", env)
            final = place / "home/Download/f.bin"
            wait_until(lambda: final.exists() or not process.running, "the download")
            if process.expected_signal is None:
                self.wait_own(process)

    def judge_told(self, files, marks):
        super().judge_told(files, marks)
        if "ready" in marks and self.node_id.encode() not in (files.get("state/state") or b""):
            raise AssertionError("the node's id is lost")

    def wait_own(self, process):
        self.world.wait_shared(process, "own.bin", "f.bin")
        with PeerClient(process.endpoint) as client:
            client.hello()
            if client.fetch(tree.id_of(self.own)) != self.own:
                raise AssertionError("its own file is not served")


class Push(Node):
    """A node that a file is pushed to; and the push again."""

    def __init__(self, case):
        super().__init__(case)
        self.finals = {"home/Download/f.bin": (self.shared.data,)}
        self.pushed = self.world.path("share", "f.bin")

    def fill(self, place):
        place.mkdir(parents=True)

    def run(self, place, env=None, rate=None):
        with self.node(place, env, "--accept-push", *(("--down", rate) if rate else ())) as process:
            put = self.start("zput", "--to", process.endpoint, "--json", self.pushed)
            with ended(put):
                wait_until(lambda: not (put.running and process.running), "the end of the push")
                if not process.running:
                    put.terminate()
                    raise AssertionError("the node is gone")
            self.finish(put)
            self.mark("done", env)
        (push,) = [line for line in put.objects() if line["event"] == "push"]
        return push["sent"]


class PushEmpty(Push):
    """The same with a file of no bytes: what has to last is its name."""
    size = 0


@contextlib.contextmanager
def ended(process):
    """Whatever happens within, the process ends; Killed when it was ended as it was told to."""
    try:
        yield
    except AssertionError as error:
        if process.expected_signal == signal.SIGKILL:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(REAPED_S)
                raise Killed from None
        raise AssertionError(f"{error}\n{process}") from None
    finally:
        if process.running:
            process.kill()


class Crashes(EndToEnd):
    def setUp(self):
        super().setUp()
        if not SHIM.exists():
            self.skip_loudly(f"{SHIM} is not built")
        self.lock = threading.Lock()
        self.wrong_claims = self.runs = self.lost_bytes = 0

    def again(self, scenario, place, label):
        """The second run, on what is in this folder."""
        before = Disk(place).state(0, None).files()
        needed, is_wrong = scenario.needed(before)
        try:
            scenario.judge(before)
            received = scenario.run(place)
            scenario.judge_end(Disk(place).state(0, None).files(), before)
            if received is not None and received > needed:
                raise AssertionError(f"{received} bytes were fetched where {needed} were missing")
        except AssertionError as error:
            listing = {path: data and len(data) for path, data in before.items()}
            raise AssertionError(f"{label}; it had {listing}: {error}") from None
        with self.lock:
            self.wrong_claims += is_wrong
            self.runs += 1
        shutil.rmtree(place)

    # --- Power ---

    def record(self, scenario):
        place, log = self.world.path("recorded"), self.world.path("record")
        scenario.fill(place)
        disk = Disk(place)
        scenario.run(place, record_env(place, log), RATE)
        disk.read_record(log)
        disk.check()
        return disk

    def lose_power(self, scenario, tries, runs_max, seed=1):
        """Judges each state that the failure may leave, and runs the command again on `runs_max` of them."""
        disk = self.record(scenario)
        marks = {name: disk.count_at(size) for name, size in scenario.marks.items()}
        source, judged, states, floors = random.Random(seed), 0, {}, {}
        for count, what, state in disk.states(source, tries):
            label = f"power lost after call {count} of {len(disk.ops)}, {what} (seed {seed})"
            judged += 1
            try:
                files = state.files()
                scenario.judge(files)
                scenario.judge_told(files, {name for name, at in marks.items() if count >= at})
                if count not in floors:  # what was synced can be reached, once the next sync is through
                    floors[count] = scenario.needed(disk.state(disk.sync_before(count), FIXED["only names kept"]).files())[0]
                if scenario.needed(files)[0] > floors[count]:
                    raise AssertionError(f"{scenario.needed(files)[0] - floors[count]} bytes that were synced are lost")
            except AssertionError as error:
                raise AssertionError(f"{label}: {error}") from None
            states.setdefault(state.digest(), (label, state))
        chosen = list(states.values())
        if len(chosen) > runs_max:
            chosen = source.sample(chosen, runs_max)
        self.for_all(chosen, lambda number, item: self.replay(scenario, number, *item))
        print(f"{len(disk.ops)} calls recorded, {judged} states judged, {len(states)} of them different, {self.runs} run "
              f"again, {self.wrong_claims} with a map that claims what is not there", flush=True)

    def replay(self, scenario, number, label, state):
        place = self.world.path("states", str(number))
        state.lay_out(place)
        self.again(scenario, place, label)

    def for_all(self, items, work):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for _ in pool.map(lambda pair: work(*pair), enumerate(items)):
                    pass  # the first failure is raised here
            finally:
                pool.shutdown(cancel_futures=True)

    # --- Kills ---

    def kill_everywhere(self, scenario):
        """At each call that changes the disk, until there is none."""
        killed = 0
        for first in range(1, KILLS_MAX, AT_ONCE):
            ends = []
            self.for_all(range(first, first + AT_ONCE), lambda _, number: ends.append(self.kill(scenario, number)))
            killed += sum(ends)
            if not any(ends):
                break
        print(f"killed at {killed} of {killed} calls, {self.runs} runs went on", flush=True)
        return killed

    def kill(self, scenario, number):
        """False when there was no such call."""
        place = self.world.path("kills", str(number))
        scenario.fill(place)
        try:
            scenario.run(place, record_env(place, self.world.path(f"record-{number}"), number))
        except Killed:
            self.again(scenario, place, f"killed at call {number}")
            return True
        return False
