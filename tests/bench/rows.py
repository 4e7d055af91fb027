# SPDX-License-Identifier: MIT
"""The rows of the benchmark. Each takes a `Bench` and returns a `Row`; each compares within one run, in turns."""

import contextlib
import json
import shutil
import signal
import statistics
import time
from pathlib import Path

import rivals
from lab import POLL_S, Failed, measure, run, settle

MIB, GIB = 1 << 20, 1 << 30
SMALL_BUFFER_BYTES = 212992
MANY_COUNT, MANY_BYTES = 10000, 4096
KILLS = 20
LOSS_PER_KILL_BYTES = 16 * MIB


class Skipped(Exception):
    """The programs under test cannot do this yet."""


class Row:
    """A table, the goals it stands for, and bars for the picture."""

    def __init__(self, title, how, head):
        self.title, self.how, self.head = title, how, head
        self.lines, self.goals, self.bars, self.notes = [], [], [], []

    def goal(self, what, values, limit, at_least=False, digits=2):
        """`values`: one figure, or one for each round, of which the median counts."""
        middle = statistics.median(values)
        met = middle >= limit if at_least else middle <= limit
        self.goals.append({"what": what, "value": spread(values, digits), "met": met,
                           "goal": f"{'at least' if at_least else 'at most'} {limit:g}"})


def spread(values, digits=2):
    values = list(values)
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"


class Results:
    """What each contender needed in each round; None where it failed."""

    def __init__(self, contenders):
        self.rounds = {contender: [] for contender in contenders}

    def good(self, contender):
        return [figures for figures in self.rounds[contender] if figures]

    def walls(self, contender):
        return [figures["wall"] for figures in self.good(contender)]

    def ratios(self, ours, theirs):
        """Round by round, so that what disturbed a whole round disturbs no ratio."""
        return [a["wall"] / b["wall"] for a, b in zip(self.rounds[ours], self.rounds[theirs]) if a and b]

    def finished(self, row, ours):
        """Those that finished at least once; the others get a line that says so, and ours a missed goal."""
        for contender in self.rounds:
            if self.good(contender):
                row.bars.append({"label": contender.title, "values": self.walls(contender)})
                yield contender
            else:
                row.lines.append([contender.title, "failed"] + [""] * (len(row.head) - 2))
            if contender is ours and None in self.rounds[contender]:
                row.goals.append({"what": "zget finishes", "value": "no", "goal": "always", "met": False})


class Bench:
    """What the rows share: the lab, the sizes, and the figures of every zget."""

    def __init__(self, lab, quick, settle_s):
        self.lab, self.quick, self.settle_s = lab, quick, settle_s
        self.help = run(rivals.BIN / "zget", "--help")
        self.fetched = []
        self.others = []

    def rounds(self, full, quick):
        return quick if self.quick else full

    def needs(self, option):
        if option not in self.help:
            raise Skipped(f"zget --help does not mention {option}")

    def file(self, size, name="data.bin"):
        """A file of random bytes in a folder of its own on the disk, read once so that it is cached."""
        path = self.lab.disk / f"share-{size >> 20}" / name
        if not path.exists():
            path.parent.mkdir(parents=True)
            with open("/dev/urandom", "rb") as source, open(path, "wb") as target:
                for begin in range(0, size, 16 * MIB):
                    target.write(source.read(min(16 * MIB, size - begin)))
        run("sh", "-c", 'cat "$1" >/dev/null', "sh", path)
        return path

    def folder(self, name, where=None):
        """An empty folder, by default in memory, where syncing costs nothing."""
        path = (where or self.lab.memory) / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def measure(self, clients, rival, touched=None, **options):
        """`touched`: (bytes, folder) of what the clients will write."""
        settle(self.settle_s)
        if touched:
            touch_memory(*touched)
        jobs, figures = measure(clients, rival.servers, done=getattr(rival, "done", None), **options)
        self.others.append(figures["others"])
        if isinstance(rival, rivals.Zswarm):
            for job in jobs:
                self.fetched.append(received_ratio(job))
            figures["received"] = [ratio for ratio in self.fetched[-len(jobs):] if ratio is not None]
        return figures


def received_ratio(job):
    """Payload bytes received over file size, of one zget."""
    events = [json.loads(line) for line in job.text().splitlines()]
    size = sum(event["size"] for event in events if event["event"] == "start")
    received = [event["received"] for event in events if event["event"] == "file"]
    return sum(received) / size if size and received else None


def touch_memory(size, folder):
    """A virtual machine hands freed pages back to its host, and who runs next pays for getting them again: up to three
    times the time of the copy. Here nobody pays."""
    path = folder / "touched"
    with open("/dev/zero", "rb") as source, open(path, "wb") as target:
        for _ in range(0, size, 16 * MIB):
            target.write(source.read(16 * MIB))
    path.unlink()


def same(a, b):
    run("cmp", a, b)


def in_turns(rounds, contenders, fetch):
    """`fetch(contender)` once a round for each, in turns and every other round backwards. One that failed is not tried
    again."""
    results = Results(contenders)
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else contenders[::-1]:
            figures = None
            if None not in results.rounds[contender]:
                try:
                    figures = fetch(contender)
                    print(f"  {contender.title}: {figures['wall']:.2f} s", flush=True)
                except Failed as failure:
                    print(f"  {contender.title} failed: {failure}", flush=True)
            results.rounds[contender].append(figures)
    return results


def cost_lines(row, results, ours, size):
    """The table of wall time, CPU and memory."""
    for contender in results.finished(row, ours):
        rounds = results.good(contender)
        cpu = {key: statistics.median(figures[key] for figures in rounds) for key in ("client_cpu", "server_cpu")}
        peak = {key: max(figures[key] for figures in rounds) / MIB for key in ("client_peak", "server_peak")}
        wire = statistics.median(figures["wires"][0][0] / size for figures in rounds)
        row.lines.append([
            contender.title, spread(results.walls(contender)),
            "1" if contender is ours else spread(results.ratios(ours, contender) or [float("nan")]),
            f"{sum(cpu.values()) * GIB / size:.2f}", f"{cpu['client_cpu']:.2f} + {cpu['server_cpu']:.2f}",
            f"{peak['client_peak']:.0f}", f"{peak['server_peak']:.0f}" if contender.servers else "",
            f"{wire:.3f}" if contender.servers else ""])


COST_HEAD = ["program", "seconds", "zget's time / its", "CPU s/GiB, both ends", "CPU s: fetcher + source",
             "peak MiB: fetcher", "peak MiB: source", "bytes on the wire / size"]


def one_source(bench):
    """One source, unlimited link, warm, nobody syncs."""
    lab, size = bench.lab, bench.rounds(2 * GIB, 512 * MIB)
    path = bench.file(size)
    source, sink = lab.host("source"), lab.host("sink")
    ours, floor, curl = rivals.Zswarm(lab, [source], path), rivals.Floor(lab, source, path), \
        rivals.Curl(lab, source, path)
    torrent = rivals.Torrent(lab, [source], path)
    copy = rivals.FloorCopy(floor)
    contenders = [floor, ours, curl, copy, rivals.Rsync(lab, source, path), rivals.Aria2Http(curl), torrent,
                  rivals.Aria2Torrent(lab, source, path), rivals.Copy(path)]

    def fetch(contender):
        folder = bench.folder("out")
        command = contender.command(folder, sink) if contender is torrent else contender.command(folder)
        figures = bench.measure([(sink, command)], contender, (size, folder), watch=[(sink, "eth0")])
        same(path, next(file for file in folder.iterdir() if file.stat().st_size == size))
        bench.folder("out")
        return figures

    results = in_turns(bench.rounds(7, 3), contenders, fetch)
    row = Row(f"One source, {size >> 20} MiB", "Warm page cache, unlimited link, destination in memory (tmpfs): nobody "
              "pays for a sync. Only zget, the bare loop and the BitTorrent programs hash what arrives.", COST_HEAD)
    cost_lines(row, results, ours, size)
    if results.good(copy) and results.good(curl):
        row.notes.append("bare loop, unverified / curl, wall: " + spread(results.ratios(copy, curl)))
    if results.good(ours):
        row.goal("zget / bare loop, wall", results.ratios(ours, floor), 1.15)
        row.goal("zget / curl, wall", results.ratios(ours, curl), 0.85)
        row.goal("libtorrent / zget, wall", results.ratios(torrent, ours), 3, at_least=True)
        row.goal("CPU seconds of both ends per GiB",
                 [(figures["client_cpu"] + figures["server_cpu"]) * GIB / size for figures in results.good(ours)], 2.8)
    return row


class Synced:
    """A contender whose file is on the disk when it ends."""

    def __init__(self, inner, name):
        self.inner, self.name, self.title, self.servers = inner, name, f"{inner.title}, then sync", inner.servers

    def command(self, folder):
        return ["sh", "-c", 'target=$1; shift; "$@" && sync "$target"', "sh", folder / self.name,
                *self.inner.command(folder)]


def one_source_synced(bench):
    """The same onto the disk, and everybody syncs."""
    lab, size = bench.lab, bench.rounds(2 * GIB, 512 * MIB)
    path = bench.file(size)
    source, sink = lab.host("source"), lab.host("sink")
    ours, floor = rivals.Zswarm(lab, [source], path), Synced(rivals.Floor(lab, source, path), path.name)
    curl, copy = Synced(rivals.Curl(lab, source, path), path.name), Synced(rivals.Copy(path), "copy")

    def fetch(contender):
        folder = bench.folder("out", lab.disk)
        run("sync", "-f", folder)
        figures = bench.measure([(sink, contender.command(folder))], contender, (size, folder), watch=[(sink, "eth0")])
        bench.folder("out", lab.disk)
        return figures

    results = in_turns(bench.rounds(7, 2), [floor, ours, curl, copy], fetch)
    row = Row(f"One source, {size >> 20} MiB, synced to disk", "As above, destination on the disk; zget syncs before it "
              "publishes the file, the others are followed by `sync FILE`.", COST_HEAD)
    cost_lines(row, results, ours, size)
    if results.good(ours):
        row.goal("zget / bare loop, wall, both synced", results.ratios(ours, floor), 1.15)
        row.goal("zget / curl, wall, both synced", results.ratios(ours, curl), 0.85)
    return row


def memory(bench):
    """Peak memory of zget and znode."""
    lab = bench.lab
    sparse = lab.disk / "share-sparse" / "sparse.bin"
    sparse.parent.mkdir(exist_ok=True)
    with open(sparse, "wb") as stream:
        stream.truncate(bench.rounds(6 * GIB, 2 * GIB))
    row = Row("Memory", "VmHWM from the start of each process, hashing of the share included.",
              ["file", "zget MiB", "znode MiB", "seconds"])
    for path, title in ((bench.file(bench.rounds(2 * GIB, 512 * MIB)), "random"), (sparse, "sparse")):
        source, sink = lab.host("source"), lab.host("sink")
        ours = rivals.Zswarm(lab, [source], path)
        size = path.stat().st_size
        available = next(int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()
                         if line.startswith("MemAvailable"))
        where = lab.memory if available > 2 * size + GIB else lab.disk
        figures = bench.measure([(sink, ours.command(bench.folder("out", where)))], ours)
        bench.folder("out", where)
        lab.drop_hosts()
        peaks = [figures["client_peak"] / MIB, figures["server_peak"] / MIB]
        row.lines.append([f"{size >> 20} MiB, {title}", *(f"{peak:.0f}" for peak in peaks), f"{figures['wall']:.2f}"])
        row.goal(f"peak MiB of zget, {size >> 20} MiB {title}", peaks[:1], 64, digits=0)
        row.goal(f"peak MiB of znode, {size >> 20} MiB {title}", peaks[1:], 64, digits=0)
    return row


def many_sources(bench):
    """Four sources with a slow uplink each."""
    lab, size, count, mbit = bench.lab, 512 * MIB, 4, 200
    path = bench.file(size)
    sources, sink = [lab.host(f"s{number}") for number in range(count)], lab.host("sink")
    ours = rivals.Zswarm(lab, sources, path)
    plain, torrent = rivals.Stream(lab, sources, path), rivals.Torrent(lab, sources, path)
    for source in sources:
        source.limit(mbit)

    def fetch(contender):
        folder = bench.folder("out")
        command = plain.command() if contender is plain else \
            torrent.command(folder, sink) if contender is torrent else ours.command(folder)
        figures = bench.measure([(sink, command)], contender, watch=[(source, "eth0") for source in sources])
        if contender is not plain:
            same(path, folder / path.name)
        bench.folder("out")
        return figures

    results = in_turns(bench.rounds(7, 2), [plain, ours, torrent], fetch)
    row = Row(f"{count} sources at {mbit} Mbit/s each, 1 downloader, {size >> 20} MiB",
              f"The nominal time is {size * 8 / count / mbit / 1e6:.2f} s. Plain TCP: one stream a link, all at once.",
              ["program", "seconds", "plain TCP's time / its", "% of nominal", "share of each source"])
    for contender in results.finished(row, ours):
        rounds = results.good(contender)
        shares = [[sent / sum(wire[1] for wire in figures["wires"]) * count for _, sent in figures["wires"]]
                  for figures in rounds]
        row.lines.append([
            contender.title, spread(results.walls(contender)), spread(results.ratios(plain, contender), 3),
            spread([size * 8 / count / mbit / 1e4 / figures["wall"] for figures in rounds], 1),
            " ".join(f"{statistics.median(column):.2f}" for column in zip(*shares))])
        if contender is ours:
            row.goal("plain TCP / zget, wall", results.ratios(plain, contender), 0.96, at_least=True, digits=3)
            row.goal("farthest of a source from its share", [max(abs(share - 1) for share in one) for one in shares], 0.1)
    return row


def swarm(bench, count, mbit, size, limit_wall, limit_bytes):
    """One source with a slow uplink, many downloaders who exchange what they have."""
    bench.needs("--no-serve")
    lab, path = bench.lab, bench.file(size)
    source, sinks = lab.host("source"), [lab.host(f"d{number}") for number in range(count)]
    ours = rivals.Zswarm(lab, [source], path)
    plain, torrent = rivals.Stream(lab, [source], path), rivals.Torrent(lab, [source], path)
    source.limit(mbit)

    def clients(contender):
        if contender is plain:
            return [(sinks[0], plain.command())]
        folders = [bench.folder(f"out{number}") for number in range(count)]
        if contender is torrent:
            return [(sink, torrent.command(folder, sink, sinks)) for sink, folder in zip(sinks, folders)]
        return [(sink, ours.command(folder)) for sink, folder in zip(sinks, folders)]

    def fetch(contender):
        figures = bench.measure(clients(contender), contender, watch=[(source, "eth0")],
                                deadline_s=30 + 20 * size * 8 / mbit / 1e6)
        if contender is not plain:
            for number in range(count):
                same(path, lab.memory / f"out{number}" / path.name)
                bench.folder(f"out{number}")
        return figures

    results = in_turns(bench.rounds(5, 1), [plain, ours, torrent], fetch)
    row = Row(f"1 source at {mbit} Mbit/s, {count} downloaders, {size >> 20} MiB",
              "All start at once. Plain TCP is one stream to one downloader: the ideal for the last one of a swarm.",
              ["program", "seconds, last one", "seconds, first one", "its time / plain TCP's",
               "bytes leaving the source / size", "received / size, worst"])
    for contender in results.finished(row, ours):
        rounds = results.good(contender)
        left = [figures["wires"][0][1] / size for figures in rounds]
        received = [ratio for figures in rounds for ratio in figures.get("received", [])]
        row.lines.append([contender.title, spread(results.walls(contender)),
                          spread(min(figures["walls"]) for figures in rounds), spread(results.ratios(contender, plain)),
                          spread(left), f"{max(received):.4f}" if received else ""])
        if contender is ours:
            row.goal("last zget / plain TCP, wall", results.ratios(contender, plain), limit_wall)
            row.goal("bytes leaving the source / size", left, limit_bytes)
    return row


def swarm_4(bench):
    """Four downloaders."""
    return swarm(bench, 4, 400, 512 * MIB, 1.15, 1.15)


def swarm_12(bench):
    """Twelve downloaders."""
    return swarm(bench, 12, 100, 64 * MIB, 1.3, 1.3)


@contextlib.contextmanager
def socket_buffers(limit_bytes):
    """The machine's largest socket buffers, put back at the end."""
    names = ("rmem_max", "wmem_max")
    paths = [Path("/proc/sys/net/core", name) for name in names]
    before = [path.read_text() for path in paths]
    try:
        if limit_bytes:
            for path in paths:
                path.write_text(str(limit_bytes))
        yield
    finally:
        for path, value in zip(paths, before):
            path.write_text(value)


def far(bench, limit_bytes=None):
    """A long line: 200 Mbit/s, 60 ms round trip."""
    size, mbit, delay_us = bench.rounds(512 * MIB, 128 * MIB), 200, 30000
    # A queue of one bandwidth-delay product before the bottleneck.
    queue_bytes = mbit * 1000 * 60 // 8
    lab, path = bench.lab, bench.file(size)
    source, sink = lab.host("source"), lab.host("sink")
    with socket_buffers(limit_bytes):
        _, source.address, sink.address = lab.line(source, sink, rivals.HELPERS / "delayline", delay_us,
                                                   mbit * 1000000, queue_bytes)
        ours = rivals.Zswarm(lab, [source], path, broker_host=source)
        plain = rivals.Stream(lab, [source], path)

        def fetch(contender):
            folder = bench.folder("out")
            command = plain.command() if contender is plain else contender.command(folder)
            figures = bench.measure([(sink, command)], contender, watch=[(sink, "long0")])
            if contender is not plain:
                same(path, folder / path.name)
            bench.folder("out")
            return figures

        results = in_turns(bench.rounds(5, 2), [plain, ours], fetch)
    buffers = f", rmem_max and wmem_max {limit_bytes}" if limit_bytes else ""
    row = Row(f"{mbit} Mbit/s, 60 ms round trip, {size >> 20} MiB{buffers}",
              "A user-space line with a drop-tail queue of 1.5 MB. The broker is at the far end too, so zget's search "
              "and handshakes pay the round trip.",
              ["program", "seconds", "plain TCP's time / its", "Mbit/s of payload"])
    for contender in results.finished(row, ours):
        rounds = results.good(contender)
        row.lines.append([contender.title, spread(results.walls(contender)),
                          spread(results.ratios(plain, contender), 3),
                          spread([size * 8 / 1e6 / figures["wall"] for figures in rounds], 0)])
        if contender is ours:
            row.goal(f"plain TCP / zget, wall{buffers}", results.ratios(plain, contender), 0.95, at_least=True, digits=3)
    return row


def far_small_buffers(bench):
    """The same with a stock Debian's limits."""
    return far(bench, SMALL_BUFFER_BYTES)


def killed(bench):
    """kill -9 twenty times."""
    lab, size, mbit = bench.lab, GIB, 800
    path = bench.file(size)
    source, sink = lab.host("source"), lab.host("sink")
    ours = rivals.Zswarm(lab, [source], path)
    source.limit(mbit)
    folder = bench.folder("out")
    began, before = time.monotonic(), sink.counters()[0]
    for number in range(KILLS):
        job = sink.start(*ours.command(folder))
        while sink.counters()[0] - before < (number + 1) * size // (KILLS + 2):
            if job.reap(1) or time.monotonic() - began > 300:
                raise Failed(f"no progress until kill {number + 1}: {job}")
            time.sleep(POLL_S / 4)
        job.end(signal.SIGKILL)
    measure([(sink, ours.command(folder))], ours.servers)
    seconds, wire = time.monotonic() - began, sink.counters()[0] - before
    same(path, folder / path.name)
    bench.folder("out")
    row = Row(f"kill -9 {KILLS} times during {size >> 20} MiB", f"One source at {mbit} Mbit/s; killed each time the wire "
              f"has carried another 1/{KILLS + 2} of the size; then compared with the source. Bytes are those on the "
              "wire, headers and searches included.",
              ["bytes on the wire", "more than the size, MiB", "for each kill, MiB", "seconds", "result"])
    row.lines.append([str(wire), f"{(wire - size) / MIB:.1f}", f"{(wire - size) / MIB / KILLS:.2f}", f"{seconds:.1f}",
                      "the same"])
    row.goal("MiB fetched more than the size", [(wire - size) / MIB], KILLS * LOSS_PER_KILL_BYTES // MIB, digits=1)
    return row


class Tree:
    """A whole folder, with zget or rsync."""

    def __init__(self, title, servers, command):
        self.title, self.servers, self.command = title, servers, command


def many_files(bench):
    """10 000 small files."""
    bench.needs("NAME/")
    lab = bench.lab
    tree = lab.disk / "share-many" / "tree"
    for number in range(MANY_COUNT):
        path = tree / f"{number % 100:02}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "big") * (MANY_BYTES // 8))
    source, sink = lab.host("source"), lab.host("sink")
    zswarm = rivals.Zswarm.__new__(rivals.Zswarm)
    zswarm.wait_shared = lambda host: rivals.Zswarm.wait_shared(zswarm, host, MANY_COUNT, "tree/")
    zswarm.__init__(lab, [source], tree)
    rsync = rivals.Rsync(lab, source, tree)
    told = Tree("zget --json tree/", zswarm.servers, lambda folder: [*zswarm.command(folder)[:-1], "tree/"])
    # rsync is not asked for a line a file either.
    ours = Tree("zget tree/", zswarm.servers, lambda folder: [word for word in told.command(folder) if word != "--json"])
    theirs = Tree("rsync -aW", rsync.servers, lambda folder: rsync.tree_command(folder / "tree"))

    def fetch(contender):
        folder = bench.folder("out")
        figures = bench.measure([(sink, contender.command(folder))], contender, (size, folder), watch=[(sink, "eth0")])
        run("diff", "-r", tree, folder / "tree")
        bench.folder("out")
        return figures

    size = MANY_COUNT * MANY_BYTES
    results = in_turns(bench.rounds(7, 3), [theirs, ours, told], fetch)
    row = Row(f"{MANY_COUNT} files of {MANY_BYTES >> 10} KiB", "Destination in memory; the trees are compared afterwards.",
              COST_HEAD)
    cost_lines(row, results, ours, size)
    if results.good(ours):
        row.goal("zget / rsync -aW, wall", results.ratios(ours, theirs), 1)
    return row


ROWS = {"one-source": one_source, "one-source-synced": one_source_synced, "memory": memory,
        "many-sources": many_sources, "swarm-4": swarm_4, "swarm-12": swarm_12, "far": far,
        "far-small-buffers": far_small_buffers, "kill": killed, "many-files": many_files}
