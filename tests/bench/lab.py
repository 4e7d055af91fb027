# SPDX-License-Identifier: MIT
"""Hosts as network namespaces around one switch, programs in them, and what a run of a program cost.

All of it has names of its own, is ended by pid and removed by `Lab.close`, also after Ctrl-C.
"""

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
TICKS_S = os.sysconf("SC_CLK_TCK")
POLL_S = 0.02
SAMPLE_S = 0.05
QUIET_S, QUIET_CORES = 0.5, 0.2
STOP_S = 5
NETWORK = "10.77.0"


class Failed(Exception):
    """A program or a step of the benchmark failed; the row says so and the others go on."""


def run(*command, **options):
    """A short command; its standard output."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120,
                            check=False, **options)
    if result.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {result.returncode}: {result.stderr.strip()[-500:]}")
    return result.stdout


def tree(pid):
    """The process and its descendants."""
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                found += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def cpu_seconds(pid):
    """CPU of a process tree, ended and waited-for children included."""
    total = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15]))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / TICKS_S


def peak_bytes(pid):
    """The largest resident set that any process of the tree ever had (VmHWM)."""
    peak = 0
    for one in tree(pid):
        try:
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]) * 1024)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return peak


def settle(seconds):
    """Waits, at most so long, until others leave the machine alone for half a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        busy = machine_busy_seconds()
        time.sleep(QUIET_S)
        if machine_busy_seconds() - busy < QUIET_S * QUIET_CORES:
            return


def machine_busy_seconds():
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]))
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS_S


class Job:
    """A running program."""

    def __init__(self, command, output):
        self.command = [str(part) for part in command]
        self.output = output
        self.errors = output.with_suffix(".err")
        self.peak = 0
        self.usage = None
        self.code = None
        self.ended = None
        self.began = time.monotonic()
        with open(output, "wb") as stdout, open(self.errors, "wb") as stderr:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                                          start_new_session=True)
        self.pid = self.popen.pid
        self.handle = os.pidfd_open(self.pid)

    @property
    def wall(self):
        return self.ended - self.began

    @property
    def client_cpu(self):
        return self.usage.ru_utime + self.usage.ru_stime

    def text(self):
        return self.output.read_text(errors="backslashreplace")

    def __str__(self):
        return (f"{' '.join(self.command)}: exit {self.code}; stdout {self.text()[-300:]!r}; "
                f"stderr {self.errors.read_text(errors='backslashreplace')[-600:]!r}")

    def reap(self, options=0):
        """Takes the exit code and the usage; True when it has ended."""
        if self.code is None:
            pid, status, usage = os.wait4(self.pid, options)
            if pid == 0:
                return False
            self.ended = time.monotonic()
            self.code, self.usage = os.waitstatus_to_exitcode(status), usage
            self.popen.returncode = self.code
            os.close(self.handle)
        return True

    def sample(self):
        if self.code is None:
            self.peak = max(self.peak, peak_bytes(self.pid))

    def end(self, number=signal.SIGTERM):
        """Ends it and what it started, which is its own process group."""
        if self.code is not None:
            return
        os.killpg(self.pid, number)
        deadline = time.monotonic() + STOP_S
        while not self.reap(os.WNOHANG):
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                self.reap()
                break
            time.sleep(0.005)

    def wait_text(self, text, deadline_s=30):
        """Until its standard output has `text`."""
        deadline = time.monotonic() + deadline_s
        while text not in self.text():
            if self.reap(os.WNOHANG) or time.monotonic() > deadline:
                raise Failed(f"no {text!r} from {self}")
            time.sleep(POLL_S)


class Host:
    """One namespace with one device, `eth0`."""

    def __init__(self, lab, name, number):
        self.lab, self.name, self.space = lab, name, f"{lab.prefix}-{name}"
        self.address = f"{NETWORK}.{number}"

    def ip(self, *arguments):
        return run("ip", "-n", self.space, *arguments)

    def limit(self, mbit):
        """The rate at which this host sends. The bucket holds 256 KiB: four of the kernel's largest segments."""
        run("ip", "netns", "exec", self.space, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate",
            f"{mbit}mbit", "burst", "256k", "latency", "50ms")

    def counters(self, device="eth0"):
        """Bytes (received, sent) on the wire."""
        statistics = json.loads(self.ip("-j", "-s", "link", "show", "dev", device))[0]["stats64"]
        return statistics["rx"]["bytes"], statistics["tx"]["bytes"]

    def start(self, *command):
        return self.lab.start("nsenter", f"--net=/run/netns/{self.space}", "setpriv", "--pdeathsig", "TERM", "--",
                              *command)

    def run(self, *command):
        return run("nsenter", f"--net=/run/netns/{self.space}", *command)


class Lab:
    """The namespaces, folders and programs of one run."""

    def __init__(self, folder=None):
        self.prefix = f"zb{secrets.token_hex(3)}"
        self.hosts, self.jobs, self.spaces = {}, [], []
        self.disk = Path(tempfile.mkdtemp(prefix="zswarm-bench-", dir=folder))
        self.memory = Path(tempfile.mkdtemp(prefix="zswarm-bench-", dir="/dev/shm"))
        self.count = 0

    def open(self):
        """The switch, a bridge in a namespace of its own; it is a host too (`hub`)."""
        self.hub = Host(self, "hub", 1)
        self.add_space(self.hub)
        self.hub.ip("link", "add", "eth0", "type", "bridge")
        self.hub.ip("addr", "add", f"{self.hub.address}/24", "dev", "eth0")
        self.hub.ip("link", "set", "eth0", "up")

    def add_space(self, host):
        run("ip", "netns", "add", host.space)
        self.spaces.append(host.space)
        host.ip("link", "set", "lo", "up")

    def host(self, name):
        """The host called `name`, made on first use."""
        if name not in self.hosts:
            host = Host(self, name, len(self.hosts) + 2)
            self.add_space(host)
            self.hub.ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", host.space)
            self.hub.ip("link", "set", f"to-{name}", "master", "eth0", "up")
            host.ip("addr", "add", f"{host.address}/24", "dev", "eth0")
            host.ip("link", "set", "eth0", "up")
            self.hosts[name] = host
        return self.hosts[name]

    def line(self, a, b, program, delay_us, rate_bits, queue_bytes, *weather):
        """A long line between two hosts: (job, address of a, address of b)."""
        job = self.start(program, "long0", a.space, b.space, delay_us, rate_bits, queue_bytes, *weather)
        job.wait_text("ready")
        addresses = "10.78.0.1", "10.78.0.2"
        for host, address in zip((a, b), addresses):
            host.ip("addr", "add", f"{address}/24", "dev", "long0")
            host.ip("link", "set", "long0", "up")
        return job, *addresses

    def drop_hosts(self):
        """Ends all programs and removes all hosts but the switch, so that no row inherits from another."""
        self.end_jobs()
        for host in self.hosts.values():
            run("ip", "netns", "del", host.space)
            self.spaces.remove(host.space)
        self.hosts = {}
        # A namespace goes away some time after its name; its switch port with it.
        deadline = time.monotonic() + 10
        while "to-" in self.hub.ip("link") and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def start(self, *command):
        self.count += 1
        (self.disk / "log").mkdir(exist_ok=True)
        job = Job(command, self.disk / "log" / f"{self.count}.out")
        self.jobs.append(job)
        return job

    def end_jobs(self):
        for job in reversed(self.jobs):
            job.end()
        self.jobs = []

    def close(self):
        """Never raises: what cannot be removed is named."""
        try:
            self.end_jobs()
        except OSError as error:
            print(f"left behind: {error}")
        for space in reversed(self.spaces):
            result = subprocess.run(["ip", "netns", "del", space], capture_output=True, text=True, check=False)
            if result.returncode != 0:
                print(f"left behind: namespace {space}: {result.stderr.strip()}")
        for folder in (self.disk, self.memory):
            shutil.rmtree(folder, ignore_errors=True)


def measure(clients, servers=(), watch=(), deadline_s=300, done=None):
    """Starts each (host, command) of `clients` at once and waits for all to succeed.

    `done(job)` tells that a client which does not end by itself has finished; it is then ended when all have.
    Returns the jobs and a dict: seconds until the last one and each one had finished, CPU of clients and servers, the
    larger peak memory of each side, bytes (received, sent) by each (host, device) of `watch`, and how many cores others
    on this machine used meanwhile.
    """
    for server in servers:
        if server.reap(os.WNOHANG):
            raise Failed(f"ended early: {server}")
    servers_before = sum(cpu_seconds(server.pid) for server in servers)
    wires = [host.counters(device) for host, device in watch]
    busy, began = machine_busy_seconds(), time.monotonic()
    jobs = [host.start(*command) for host, command in clients]
    wait_all(jobs, deadline_s, done)
    busy, seconds = machine_busy_seconds() - busy, time.monotonic() - began
    time.sleep(0.05)  # a server's child for this client is reaped a moment later
    client_cpu = sum(job.client_cpu for job in jobs)
    server_cpu = sum(cpu_seconds(server.pid) for server in servers) - servers_before
    return jobs, {
        "wall": max(job.wall for job in jobs), "walls": [job.wall for job in jobs],
        "client_cpu": client_cpu, "server_cpu": server_cpu, "client_peak": max(job.peak for job in jobs),
        "server_peak": max((peak_bytes(server.pid) for server in servers), default=0),
        "wires": [tuple(after - before for after, before in zip(host.counters(device), wire))
                  for (host, device), wire in zip(watch, wires)],
        "others": max(0, busy - client_cpu - server_cpu) / seconds,
    }


def wait_all(jobs, deadline_s, done):
    deadline, sampled = time.monotonic() + deadline_s, 0
    finished = {}
    poll = select.poll()
    handles = {job.handle: job for job in jobs}
    for handle in handles:
        poll.register(handle, select.POLLIN)
    while len(finished) < len(jobs):
        for handle, _ in poll.poll(POLL_S * 1000):
            job = handles[handle]
            poll.unregister(handle)
            job.reap()
            if job.code != 0:
                raise Failed(str(job))
            finished[job.pid] = job.ended
        for job in jobs:
            if done and job.pid not in finished and done(job):
                finished[job.pid] = time.monotonic()
        if time.monotonic() - sampled >= SAMPLE_S:
            sampled = time.monotonic()
            for job in jobs:
                job.sample()
        if time.monotonic() > deadline:
            raise Failed(f"not done after {deadline_s} s: {next(job for job in jobs if job.pid not in finished)}")
    for job in jobs:
        job.end()
        job.ended = finished[job.pid]
