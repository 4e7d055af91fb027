# SPDX-License-Identifier: MIT
"""What systemd hears (sd_notify), on a socket that is ours, and what the units forbid.

What could go wrong: a service counts as started before it can serve, or never; it is taken for hung while it says BYE;
a missing or dead socket ends or holds up a program; a unit forbids what the program does.
"""

import re
import shutil
import socket
import subprocess

from support.actor import DEADLINE_S, wait_until
from support.case import EndToEnd
from support.processes import BIN, SOURCE

UNITS = SOURCE / "tools/install"


class ServiceManager(EndToEnd):
    def setUp(self):
        super().setUp()
        self.path = self.world.path("notify.socket")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(self.path))
        self.socket.settimeout(DEADLINE_S)
        self.env = {"NOTIFY_SOCKET": str(self.path)}

    def heard(self, wanted):
        """The next message that has the line `wanted`, as a list of lines."""
        while True:
            lines = self.socket.recv(65536).decode().split("\n")
            if wanted in lines:
                return lines

    def nothing_was_heard(self):
        self.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.socket.recv(65536)
        self.socket.settimeout(DEADLINE_S)

    def test_a_broker_is_ready_when_it_listens_and_says_that_it_stops(self):
        broker = self.world.broker(env=self.env)
        self.assertIn(f"STATUS=listening on {broker.endpoint}", self.heard("READY=1"))
        broker.terminate()
        self.heard("STOPPING=1")

    def test_a_broker_that_cannot_listen_is_never_ready(self):
        broker = self.world.broker()
        self.assert_exit(self.world.run("zbroker", str(broker.port), env=self.env), 2)
        self.nothing_was_heard()

    def test_a_node_is_ready_when_it_has_joined_and_tells_how_its_broker_is(self):
        broker = self.world.broker()
        broker.terminate()
        node = self.world.node("node", broker, self.world.share("s", {}), wait=False, env=self.env)
        self.heard(f"STATUS=without the broker {broker.endpoint}, trying again")
        self.nothing_was_heard()
        broker = self.world.broker(listen=broker.endpoint)
        self.world.wait_node(node)
        self.heard("READY=1")
        self.heard(f"STATUS=joined {broker.endpoint}, serving at port {node.port}")
        node.terminate()
        self.heard("STOPPING=1")

    def test_a_node_without_a_broker_is_ready_when_it_serves(self):
        node = self.world.node("node", None, self.world.share("s", {}), env=self.env)
        self.assertIn(f"STATUS=serving at tcp://{node.endpoint}", self.heard("READY=1"))

    def test_nobody_at_the_socket_changes_nothing(self):
        for path in (str(self.world.folder / "nobody"), "relative", ""):
            broker = self.world.broker(env={"NOTIFY_SOCKET": path})
            node = self.world.node("node", broker, self.world.share("s", {}), env={"NOTIFY_SOCKET": path})
            self.assertEqual(node.terminate()[0], 0)
            self.assertEqual(broker.terminate()[0], 0)


class Units(EndToEnd):
    def lines(self, unit):
        return (UNITS / f"{unit}.service.in").read_text().splitlines()

    def values(self, unit, key):
        return [value for line in self.lines(unit) for value in line.removeprefix(f"{key}=").split()
                if line.startswith(f"{key}=")]

    def calls_of(self, name):
        """The system calls of a set like @system-service."""
        if not name.startswith("@"):
            return {name}
        run = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
        names = [line.strip() for line in run.stdout.splitlines()[1:] if line.strip() and "#" not in line]
        return set().union(*map(self.calls_of, names))

    def allowed(self, unit):
        calls = set()
        for line in self.lines(unit):
            if line.startswith("SystemCallFilter=~"):
                calls -= set().union(*map(self.calls_of, line.removeprefix("SystemCallFilter=~").split()))
            elif line.startswith("SystemCallFilter="):
                calls |= set().union(*map(self.calls_of, line.removeprefix("SystemCallFilter=").split()))
        return calls

    def traced(self, name):
        if not shutil.which("strace") or not shutil.which("systemd-analyze"):
            self.skip_loudly("no strace or no systemd-analyze")
        if b"__asan_init" in (BIN / "znode").read_bytes():
            self.skip_loudly("a sanitizer makes system calls of its own")
        log = self.world.path(f"{name}.strace")
        if subprocess.run(["strace", "-o", log, "true"], capture_output=True, check=False).returncode != 0:
            self.skip_loudly("strace may not trace here")
        return log, ["strace", "-D", "-f", "-qq", "-o", log]  # -D: our child is the program, not strace

    def test_what_the_programs_do_is_allowed_by_their_units(self):
        broker_log, broker_prefix = self.traced("zbroker")
        node_log, node_prefix = self.traced("znode@")
        port = self.world.ports_in_a_row(1)
        broker = self.world.broker("--assign-ports", f"{port}-{port}", prefix=broker_prefix)
        home = self.world.path("node-home")
        node = self.world.node("node", broker, args=("--home", home, "--accept-push"), port="broker", prefix=node_prefix)
        (home / "Download/a").write_bytes(b"a" * 100000)
        self.world.wait_found(broker, "a")
        self.assert_exit(self.world.run("zget", "--broker", broker.endpoint, "a"), 0)
        self.world.path("pushed").write_bytes(b"p" * 3000000)
        self.assert_exit(self.world.run("zput", "--to", node.endpoint, "pushed"), 0)
        for unit, process, log in (("znode@", node, node_log), ("zbroker", broker, broker_log)):
            self.assertEqual(process.terminate()[0], 0)
            wait_until(lambda log=log: "exit_group(" in log.read_text(), "strace to write the last call")
            text = log.read_text()
            calls = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", text, re.M))
            self.assertGreater(len(calls), 20)
            self.assertEqual(calls - self.allowed(unit), set(), unit)
            families = set(re.findall(r"\bsocket\((AF_\w+)", text))
            self.assertLessEqual(families, set(self.values(unit, "RestrictAddressFamilies")), unit)
            self.assertNotIn("PROT_WRITE|PROT_EXEC", text, "MemoryDenyWriteExecute")

    def test_the_units_start_the_programs_as_the_manual_says(self):
        for unit, command in (("zbroker", "zbroker $ZBROKER_OPTIONS"), ("znode@", "znode --daemon --name %i $ZNODE_OPTIONS")):
            lines = self.lines(unit)
            self.assertIn("Type=notify", lines)
            self.assertIn("Restart=on-failure", lines)
            self.assertIn(f"ExecStart=@CMAKE_INSTALL_PREFIX@/@CMAKE_INSTALL_BINDIR@/{command}", lines)

    def test_systemd_finds_nothing_wrong_in_a_unit(self):
        if not shutil.which("systemd-analyze"):
            self.skip_loudly("no systemd-analyze")
        text = "\n".join(self.lines("zbroker")).replace("@CMAKE_INSTALL_PREFIX@/@CMAKE_INSTALL_BINDIR@/zbroker", "/bin/true")
        unit = self.world.path("zbroker.service")
        unit.write_text(text)
        run = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
