# SPDX-License-Identifier: MIT
"""The programs that are compared: how each is set up to serve one file, and the command that fetches it.

Every server is as its makers ship it, on one host, with logs off. Each class has `servers` (jobs) and
`command(folder)`, which fetches `name` into an empty folder.
"""

import os
import shutil
import sys
import time
from pathlib import Path

from lab import POLL_S, SOURCE, Failed, run

HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
BUILD = SOURCE / "build/bench"
BIN = Path(os.environ.get("ZSWARM_BIN", BUILD / "bin")).resolve()
HELPERS = BUILD / "helpers"

PACKAGES = {"nginx-light": "nginx", "curl": "curl", "rsync": "rsync", "aria2": "aria2c", "iproute2": "tc",
            "util-linux": "nsenter", "gcc": "cc", "cmake": "cmake", "ninja-build": "ninja", "pkg-config": "pkg-config"}
BUILD_PACKAGES = ("libc6-dev libzmq3-dev libczmq-dev libmsgpack-dev libssl-dev libsqlite3-dev libutf8proc-dev "
                  "libjansson-dev libedit-dev uthash-dev").split()


def install():
    """What is missing, with apt."""
    status = run("sh", "-c", "dpkg-query -W -f='${Package} ${Status}\\n' 2>/dev/null || true")
    have = {line.split()[0] for line in status.splitlines() if line.endswith("install ok installed")}
    missing = [package for package, program in PACKAGES.items() if not shutil.which(program)]
    missing += [package for package in BUILD_PACKAGES if package not in have and "ZSWARM_BIN" not in os.environ]
    if "python3-libtorrent" not in have:
        missing.append("python3-libtorrent")
    if missing:
        print(f"installing {' '.join(missing)}", flush=True)
        script = "apt-get -q update && apt-get -q install -y --no-install-recommends " + " ".join(missing)
        if os.spawnve(os.P_WAIT, "/bin/sh", ["sh", "-c", script + " >&2"],
                      {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}) != 0:
            sys.exit("could not install them")


def build():
    """The programs as released, unless ZSWARM_BIN names a folder of them, and the helpers of the benchmark."""
    if "ZSWARM_BIN" not in os.environ:
        log = BUILD / "build.log"
        BUILD.mkdir(parents=True, exist_ok=True)
        command = (f"cmake -S '{SOURCE}' -B '{BUILD}' -G Ninja -DCMAKE_BUILD_TYPE=Release -DZSWARM_TESTS=OFF && "
                   f"ninja -C '{BUILD}' -j2")
        if os.spawnv(os.P_WAIT, "/bin/sh", ["sh", "-c", f"({command}) >'{log}' 2>&1"]) != 0:
            sys.exit(f"could not build: see {log}")
    HELPERS.mkdir(parents=True, exist_ok=True)
    for name, libraries in (("floor", ["-lzmq", "-lcrypto", "-lpthread"]), ("delayline", [])):
        run("cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", HELPERS / name, HERE / f"{name}.c", *libraries)


class Zswarm:
    """A broker on the switch, a node on each source, zget."""

    title = "zget"

    def __init__(self, lab, sources, path, broker_host=None):
        self.lab, self.path = lab, Path(path)
        self.broker_host = broker_host or lab.hub
        listen = self.broker_host.address
        self.endpoint = f"tcp://{listen}:6881"
        broker = self.broker_host.start(BIN / "zbroker", "--listen", self.endpoint)
        broker.wait_text("ready")
        self.servers = [broker]
        for host in sources:
            # Each with a state of its own, so that none starts with hashes that another left.
            node = host.start(BIN / "znode", "--broker", self.endpoint, "--share", self.path.parent, "--name", host.name,
                              "--bind", host.address, "--port", "9000", "--state", lab.disk / f"state-{lab.count}",
                              "--daemon")
            node.wait_text("ready")
            self.servers.append(node)
        for host in sources:
            self.wait_shared(host)

    def wait_shared(self, host, count=1, prefix=None, deadline_s=300):
        """Until the node has hashed what it shares."""
        deadline = time.monotonic() + deadline_s
        prefix = prefix or self.path.name
        while True:
            try:
                lines = host.run(BIN / "zls", f"{host.address}:9000", prefix).splitlines()
            except Failed:
                lines = []
            if len(lines) >= count:
                return
            if time.monotonic() > deadline:
                raise Failed(f"{host.name} does not share {prefix}: {len(lines)} of {count}")
            time.sleep(POLL_S * 5)

    def command(self, folder):
        return [BIN / "zget", "--broker", self.endpoint, "--json", "--timeout", "60", "-d", folder, self.path.name]


class Curl:
    title = "curl from nginx"

    def __init__(self, lab, source, path):
        self.url = f"http://{source.address}:8080/{Path(path).name}"
        folder = lab.disk / "nginx"
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        temporary = "".join(f"{kind}_temp_path {folder}/tmp; " for kind in
                            ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"daemon off; user root; worker_processes 2; pid {folder}/pid; error_log {folder}/error.log;\n"
            "events { worker_connections 64; }\n"
            f"http {{ access_log off; sendfile on; tcp_nopush on; {temporary}\n"
            f"server {{ listen {source.address}:8080; root {Path(path).parent}; }} }}\n")
        self.servers = [source.start("nginx", "-p", folder, "-c", folder / "nginx.conf")]
        wait_connect(source, 8080)

    def command(self, folder):
        return ["curl", "-sS", "-f", "-o", folder / self.url.rsplit("/", 1)[1], self.url]


class Aria2Http(Curl):
    title = "aria2 HTTP x4"

    def __init__(self, curl):
        self.url, self.servers = curl.url, curl.servers

    def command(self, folder):
        return ["aria2c", "--no-conf", "-q", "-x4", "-s4", "-k1M", "--file-allocation=none", "-d", folder, self.url]


class Rsync:
    title = "rsync -W"

    def __init__(self, lab, source, path):
        self.path = Path(path)
        folder = lab.disk / "rsync"
        folder.mkdir(exist_ok=True)
        (folder / "rsyncd.conf").write_text(
            f"use chroot = no\nlog file = {folder}/log\ntransfer logging = no\nuid = root\ngid = root\n"
            f"[share]\npath = {self.path.parent}\nread only = yes\n")
        self.servers = [source.start("rsync", "--daemon", "--no-detach", f"--config={folder}/rsyncd.conf",
                                     f"--address={source.address}", "--port=8873")]
        self.url = f"rsync://{source.address}:8873/share/"
        wait_connect(source, 8873)

    def command(self, folder):
        return ["rsync", "-W", self.url + self.path.name, f"{folder}/"]

    def tree_command(self, folder):
        return ["rsync", "-aW", f"{self.url}{self.path.name}/", f"{folder}/"]


def torrent_of(lab, path, version):
    """Outside the folder that is shared."""
    return lab.disk / f"{Path(path).parent.name}.{version}.torrent"


class Torrent:
    """libtorrent v2; all fetchers know all sources and each other."""

    title = "libtorrent v2"

    def __init__(self, lab, sources, path):
        self.sources, self.torrent = sources, torrent_of(lab, path, "v2")
        if not self.torrent.exists():
            run(PYTHON, HERE / "torrent.py", "make", path, self.torrent, "v2", "-")
        self.servers = [host.start(PYTHON, HERE / "torrent.py", "seed", path, self.torrent, host.address)
                        for host in sources]
        for server in self.servers:
            server.wait_text("ready")

    def command(self, folder, host, others=()):
        return [PYTHON, HERE / "torrent.py", "fetch", folder, self.torrent, host.address,
                *(other.address for other in (*self.sources, *others) if other is not host)]

    @staticmethod
    def done(job):
        return "done" in job.text()


class Aria2Torrent:
    title = "aria2 BitTorrent"

    def __init__(self, lab, source, path):
        self.torrent = torrent_of(lab, path, "v1")
        if not self.torrent.exists():
            run(PYTHON, HERE / "torrent.py", "make", path, self.torrent, "v1", f"http://{source.address}:6969/announce")
        self.options = ["aria2c", "--no-conf", "-q", "--enable-dht=false", "--enable-dht6=false",
                        "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--file-allocation=none"]
        tracker = source.start(PYTHON, HERE / "torrent.py", "track", source.address, source.address, 6883)
        tracker.wait_text("ready")
        self.servers = [tracker, source.start(*self.options, "--bt-seed-unverified=true", "--seed-ratio=0",
                                              "--listen-port=6883", "-d", Path(path).parent, self.torrent)]
        wait_connect(source, 6883)

    def command(self, folder):
        return [*self.options, "--seed-time=0", "--listen-port=6883", "-d", folder, self.torrent]


class Floor:
    title = "bare loop"

    def __init__(self, lab, source, path):
        self.path = Path(path)
        self.endpoint = f"tcp://{source.address}:7000"
        server = source.start(HELPERS / "floor", "serve", self.endpoint, path)
        server.wait_text("ready")
        self.servers = [server]

    def command(self, folder):
        return [HELPERS / "floor", "fetch", self.endpoint, self.path.stat().st_size, folder / self.path.name]


class FloorCopy:
    """The bare loop without its hashing: the same server, another fetcher."""

    title = "bare loop, unverified"

    def __init__(self, floor):
        self.floor, self.servers = floor, floor.servers

    def command(self, folder):
        command = self.floor.command(folder)
        return [command[0], "copy", *command[2:]]


class Copy:
    title = "cp"
    servers = []

    def __init__(self, path):
        self.path = path

    def command(self, folder):
        return ["cp", self.path, folder / "copy"]


class Stream:
    """Plain TCP streams, one from each source, each with its part of the file."""

    title = "plain TCP"
    PORT = 7001

    def __init__(self, lab, sources, path, addresses=None):
        size = Path(path).stat().st_size // len(sources)
        addresses = addresses or [host.address for host in sources]
        self.peers = [f"{address}:{self.PORT}" for address in addresses]
        self.servers = [host.start(PYTHON, HERE / "stream.py", "send", address, self.PORT, path, index * size, size)
                        for index, (host, address) in enumerate(zip(sources, addresses))]
        for server in self.servers:
            server.wait_text("ready")

    def command(self):
        return [PYTHON, HERE / "stream.py", "receive", *self.peers]


def wait_connect(host, port, deadline_s=20):
    """Until the host listens on the port."""
    deadline = time.monotonic() + deadline_s
    while f":{port} " not in host.run("ss", "-Htln"):
        if time.monotonic() > deadline:
            raise Failed(f"nothing listens on port {port} of {host.name}")
        time.sleep(POLL_S)
