# SPDX-License-Identifier: MIT
"""Standard output and standard error that nobody reads, and a terminal that stands still.

What could go wrong: a log pipe that is full stops the node or the broker, for all that use it; lines are lost and
nobody is told; the first line comes late; a node cannot end because its log does not move.
"""

import fcntl
import os
import re
import select
import signal
import subprocess
import termios

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient
from support.terminal import ENTER, Terminal

LOST = re.compile(r"(\d+) lines were lost here: nobody read them in time")
LINES = 20000  # of 60 bytes and more: three times what the program keeps


class Unread:
    """A pipe for one stream of a program, read only when the test says so."""

    def __init__(self, world, name):
        self.path = world.path(name)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, 4096)
        self.text = ""

    def close(self):
        os.close(self.fd)

    def is_full(self):
        return not select.select([], [self.fd], [], 0)[1]

    def read(self):
        """What is there now."""
        try:
            self.text += os.read(self.fd, 1 << 20).decode()
        except BlockingIOError:
            pass
        return self.text

    def wait(self, pattern):
        wait_until(lambda: re.search(pattern, self.read(), re.MULTILINE), pattern)
        return re.search(pattern, self.text, re.MULTILINE)


class Pipes(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.data = random_bytes(3 << 20)
        self.folder = self.world.share("shared", {"a.bin": self.data})

    def unread(self, name):
        pipe = Unread(self.world, name)
        self.addCleanup(pipe.close)
        return pipe

    def redirected(self, **pipes):
        numbers = {"stdout": 1, "stderr": 2}
        there = " ".join(f"{numbers[name]}>'{pipe.path}'" for name, pipe in pipes.items())
        return "sh", "-c", f'exec "$0" "$@" {there}'

    def assert_serves(self, name="a.bin"):
        self.world.wait_found(self.broker, name)
        folder = self.world.path("got", name).parent
        self.assert_exit(self.world.run("zget", "--broker", self.broker.endpoint, "-d", folder, "--force", name), 0)
        self.assertEqual((folder / name).read_bytes(), (self.folder / name).read_bytes())

    def flood(self, node, lines):
        """Returns when the node has done them all: the last one shares a further file."""
        more = self.world.share("more", {"last.bin": b"the last command was read"})
        node.popen.stdin.write("".join(line + "\n" for line in [*lines, f"share {more}"]).encode())
        node.popen.stdin.flush()
        self.world.wait_found(self.broker, "last.bin")

    def assert_complete(self, pipe, first, line_count):
        """Every line was read or told of; `first` and numbers behind it."""
        lost = sum(int(match) for match in LOST.findall(pipe.text))
        numbers = [int(match) for match in re.findall(first + r"(\d+)", pipe.text)]
        self.assertEqual(numbers, sorted(set(numbers)))
        self.assertGreater(lost, 0)
        self.assertIn(len(numbers) + lost - line_count, (0, 1), "what `share` said may be among the lost")

    def test_stderr_of_a_node_that_nobody_reads(self):
        log = self.unread("log")
        node = self.world.node("one", self.broker, self.folder, stdin=subprocess.PIPE, prefix=self.redirected(stderr=log))
        log.wait("joined the broker")
        self.flood(node, [f"unknown-command-that-is-long-enough-to-fill-pipes-{i}" for i in range(LINES)])
        wait_until(log.is_full, "a full pipe")
        self.assert_serves()
        log.wait(LOST.pattern)
        node.popen.stdin.write(b"the-end\n")
        node.popen.stdin.flush()
        log.wait("no command 'the-end'")
        self.assert_complete(log, "no command 'unknown-command-that-is-long-enough-to-fill-pipes-", LINES)

    def test_both_streams_of_a_node_that_nobody_reads(self):
        log = self.unread("log")
        node = self.world.node("one", self.broker, self.folder, stdin=subprocess.PIPE, wait=False,
                               prefix=self.redirected(stdout=log, stderr=log))
        self.assertIn("tcp://", log.wait("^ready .*$").group(0))
        self.flood(node, ["whoami" if i % 2 else f"unknown-command-{i}" for i in range(LINES)])
        wait_until(log.is_full, "a full pipe")
        self.assert_serves()
        log.wait(LOST.pattern)
        self.assertEqual(node.terminate()[0], 0)

    def test_a_node_ends_while_nobody_reads(self):
        log = self.unread("log")
        node = self.world.node("one", self.broker, self.folder, stdin=subprocess.PIPE, prefix=self.redirected(stderr=log))
        self.flood(node, [f"unknown-command-that-is-long-enough-to-fill-pipes-{i}" for i in range(LINES)])
        self.assertEqual(node.terminate()[0], 0)

    def test_a_broker_goes_on_while_nobody_reads(self):
        log = self.unread("log")
        self.broker = self.world.broker(prefix=self.redirected(stderr=log))
        self.world.node("one", self.broker, self.folder)
        joins = 6000
        with BrokerClient(self.broker.endpoint) as link:
            for i in range(joins):
                rid = link.send(zsp.JOIN, bytes(12) + i.to_bytes(4, "big"), 1, 9, f"{i:05}" + "x" * 50, "fake/1", 0, 0, 0, None, [])
                link.reply(rid, zsp.JOIN_OK)
                link.send(zsp.BYE)
        wait_until(log.is_full, "a full pipe")
        self.assert_serves()
        log.wait(LOST.pattern)
        self.assertEqual(self.broker.terminate()[0], 0)


class Stopped(EndToEnd):
    def test_a_terminal_that_stands_still_does_not_stop_the_node(self):
        broker = self.world.broker()
        names = [f"{i:05} " + "takes up room on the screen " * 5 for i in range(1500)]
        folder = self.world.share("shared", {"a.bin": b"content", **{name: b"same" for name in names}})
        one = Terminal(self.world, "znode", "--broker", broker.endpoint, "--name", "one", "--state",
                       self.world.path("state", "one"), "--port", "0", "--share", folder, columns=200)
        self.addCleanup(lambda: self.assertEqual(one.close(), []))
        one.wait_prompt()
        with BrokerClient(broker.endpoint) as link:
            wait_until(lambda: link.search(0, "a.bin")[0], "the node to share")
        termios.tcflow(one.slave, termios.TCOOFF)  # as Ctrl-S
        one.type("nonsense" + ENTER + "ls" + ENTER)
        got = self.world.path("got", "a.bin")
        self.assert_exit(self.world.run("zget", "--broker", broker.endpoint, "-d", got.parent, "a.bin"), 0)
        termios.tcflow(one.slave, termios.TCOON)  # as Ctrl-Q
        wait_until(lambda: b"no command 'nonsense'" in one.raw and b"1501 files" in one.raw, "what was held back")
        self.assertNotIn(b"lost", one.raw, "a list waits for its reader")
        termios.tcflow(one.slave, termios.TCOOFF)
        one.type("nonsense" + ENTER + "ls" + ENTER)
        one.signal(signal.SIGTERM)
        self.assertEqual(one.wait_exit(), 0)
