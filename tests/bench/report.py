# SPDX-License-Identifier: MIT
"""Results as a page with tables and a picture: docs/benchmarks.md and docs/benchmarks.svg."""

import json
import os
import platform
import statistics
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

import rivals
from lab import SOURCE

RESULTS = rivals.BUILD / "results"
DOCS = SOURCE / "docs"
WIDTH, LEFT, BAR, GAP = 860, 210, 18, 6


def output(*command):
    """What a program says of itself, wherever it says it; empty when it is not there."""
    try:
        result = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=20, check=False)
    except OSError:
        return ""
    return result.stdout.strip()


def commit():
    """What was built: taken right after the build, and marked when files differed from it."""
    return output("git", "-C", SOURCE, "describe", "--always", "--dirty", "--abbrev=10")


def save(row):
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{row['name']}.json").write_text(json.dumps(row, indent=1))


def machine():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    total = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    control = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    system = next((line.split("=", 1)[1].strip('"') for line in Path("/etc/os-release").read_text().splitlines()
                   if line.startswith("PRETTY_NAME=")), "")
    return (f"{os.cpu_count()} cores ({model}), {total:.0f} GiB of memory, Linux {platform.release()}, {system}, "
            f"TCP congestion control {control}")


def versions():
    libtorrent = output(rivals.PYTHON, "-c", "import libtorrent; print(libtorrent.__version__)")
    libzmq = output("dpkg-query", "-W", "-f=${Version}", "libzmq5")
    words = [output(rivals.BIN / "zget", "--version").split("\n")[0], f"libzmq {libzmq}"]
    words.append(output("nginx", "-v").rsplit("nginx version: ", 1)[-1])
    words += [" ".join(output(*command).split("\n")[0].split()[:count]) for command, count in
              ((("curl", "--version"), 2), (("rsync", "--version"), 3), (("aria2c", "--version"), 3))]
    words.append(f"libtorrent {libtorrent}")
    return ", ".join(word for word in words if word)


def table(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(line) + " |" for line in lines])


def markdown(row):
    quick = " Quick run: fewer rounds, smaller files." if row["quick"] else ""
    notes = "".join(f" {note[0].upper()}{note[1:]}." for note in row["notes"])
    parts = [f"### {row['title']}", f"{row['how']}{quick}{notes} (`{row['name']}`, {row['date']}, {row['commit']})"]
    if row["lines"]:
        parts.append(table(row["head"], row["lines"]))
    if row["goals"]:
        parts.append(table(["goal", "measured", "wanted", ""],
                           [[goal["what"], goal["value"], goal["goal"], "met" if goal["met"] else "**missed**"]
                            for goal in row["goals"]]))
    return "\n\n".join(parts) + "\n"


def chart(rows):
    """Horizontal bars of median seconds, one group a row, each group on its own scale, whiskers from min to max."""
    parts, y = [], 10
    for row in rows:
        bars = row["bars"]
        longest = max(max(bar["values"]) for bar in bars)
        scale = (WIDTH - LEFT - 150) / longest
        parts.append(f'<text x="10" y="{y + 14}" class="title">{escape(row["title"])}: seconds</text>')
        y += 24
        for bar in bars:
            middle, low, high = statistics.median(bar["values"]), min(bar["values"]), max(bar["values"])
            kind = "ours" if bar["label"].startswith("zget") else \
                "floor" if bar["label"].split(",")[0] in ("bare loop", "plain TCP", "cp") else "theirs"
            centre = y + BAR / 2
            parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" class="label">{escape(bar["label"])}</text>'
                         f'<rect x="{LEFT}" y="{y}" width="{middle * scale:.1f}" height="{BAR}" class="{kind}"/>'
                         f'<line x1="{LEFT + low * scale:.1f}" x2="{LEFT + high * scale:.1f}" y1="{centre}" '
                         f'y2="{centre}" class="whisker"/>'
                         f'<text x="{LEFT + high * scale + 6:.1f}" y="{y + 13}">{middle:.2f}</text>')
            y += BAR + GAP
        y += 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">\n'
            "<style>text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold } .label { text-anchor: end }\n"
            ".ours { fill: #2a7de1 } .theirs { fill: #b8b8b8 } .floor { fill: #dfe6d0 } .whisker { stroke: #333 }</style>\n"
            f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def write(names):
    """The page from the last result of each row; a row without one is named."""
    rows, missing = [], []
    for name in names:
        path = RESULTS / f"{name}.json"
        if path.exists():
            rows.append(json.loads(path.read_text()))
        else:
            missing.append(name)
    goals = [[row["title"], goal["what"], goal["value"], goal["goal"], "met" if goal["met"] else "**missed**"]
             for row in rows for goal in row["goals"]]
    text = HEAD.format(machine=machine(), versions=versions(),
                       goals=table(["work", "goal", "measured", "wanted", ""], goals),
                       rows="\n".join(markdown(row) for row in rows))
    if missing:
        text += f"\nNot measured: {', '.join(missing)}.\n"
    (DOCS / "benchmarks.md").write_text(text)
    (DOCS / "benchmarks.svg").write_text(chart([row for row in rows if row["bars"]]))
    print(f"wrote {DOCS / 'benchmarks.md'} and {DOCS / 'benchmarks.svg'}")


HEAD = """# Benchmarks

`zget` beside the programs that people use to move a file, on one machine, in one run. Absolute times depend on the
machine and on what else it does; the ratios are the result. Here is the last run of each row, with nothing of it left
out. Each row says when it ran, from which commit, and how busy other work kept the machine: with few rounds or much other
work, another run can differ by more than the spread that is shown.

![seconds](benchmarks.svg)

Blue: zget. Grey: others. Pale: floors. The bar is the median, the line goes from the smallest to the largest.

## How it was measured

- Machine: {machine}.
- Programs: {versions}.
- Hosts are network namespaces joined by a bridge; rates are `tc tbf` on a source's uplink. Both ends share the cores.
- The same file for all, read once before, so that no source waits for a disk. Within a row the programs run in turns,
  every other round backwards; a ratio is taken round by round. Figures are medians, with (minimum-maximum).
- Before each run a file as large as the result is written beside it and removed: a virtual machine gives freed memory
  back to its host, and otherwise whoever runs next waits for it.
- CPU is user and system time of the processes of both ends (zget's includes broker and node). Memory is the largest
  resident set of one process (VmHWM). Bytes on the wire are those of the fetching host's device, headers included.
- curl, rsync and HTTP do not verify what they fetch; zget, the BitTorrent programs and the bare loop hash it.
- The bare loop (`tests/bench/floor.c`) is a DEALER that pulls a file from a ROUTER, with SHA-256 and pwrite on two threads
  and nothing else: the least that a verified download over ZeroMQ costs. Without the hashing it is "unverified".
- What bounds one source here is the processor: both ends share the cores, and all of them are busy. nginx hands the page
  cache to the network without a copy (sendfile), and curl hashes nothing; a download that reads, hashes and writes each
  byte cannot be faster on the same cores than what those three cost. How the unverified loop stands to curl is the
  part that ZeroMQ and the copy cost. The rest is SHA-256: the bare loop has OpenSSL's with the SHA instructions, zget hashes
  sixteen leaves at once with AVX-512, which takes half the time. Two interleaved streams of SHA instructions brought nothing.
- BitTorrent programs run with their own settings, without DHT and local discovery; all peers are told each other's address.
  libtorrent speaks TCP only: with uTP, which it prefers by itself, it is more than ten times slower here.

## Repeat it

    sudo tests/bench/run                    # everything, about half an hour, 8 GiB of disk, 8 GiB of memory
    sudo tests/bench/run --quick            # smaller files, fewer rounds: a few minutes
    sudo tests/bench/run swarm-4 far        # some rows
    sudo tests/bench/run --settle 60 --write   # wait for a quiet machine, and write this page

It installs what is missing (Debian packages), builds in `build/bench`, and removes its namespaces, processes and files at
the end, also after Ctrl-C. `ZSWARM_BIN=FOLDER` measures programs built elsewhere.

## Goals

{goals}

## Results

{rows}"""
