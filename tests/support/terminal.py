# SPDX-License-Identifier: MIT
"""A program in a real pseudo-terminal: keys in, screen out."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import pyte

from support.actor import DEADLINE_S, Unexpected
from support.processes import BIN, REPORT

TAB, ENTER, BACKSPACE, ESCAPE = "\t", "\r", "\x7f", "\x1b"
UP, DOWN, LEFT = "\x1b[A", "\x1b[B", "\x1b[D"
CTRL_A, CTRL_C, CTRL_D, CTRL_E = "\1", "\3", "\4", "\5"


def read_master(master):
    """The next bytes of a terminal; none when its other side is closed.

    The kernel looks whether there is anything, and then whether the other side is closed: what is written between the two
    looks, just before the close, comes with the second read.
    """
    for _ in range(2):
        try:
            return os.read(master, 65536)
        except OSError:
            pass
    return b""


class Terminal:
    """A program whose terminal this is. `close` ends it and says what was wrong."""

    def __init__(self, world, program, *args, rows=40, columns=100, env=None):
        self.screen = pyte.HistoryScreen(columns, rows, history=10000, ratio=1)
        self.stream = pyte.ByteStream(self.screen)
        self.raw, self.ended, self.condition = b"", False, threading.Condition()
        self.name, self.any_exit = program, False
        self.master, slave = pty.openpty()
        self.set_size(rows, columns, tell=False)
        self.command = [str(BIN / program), *map(str, args)]
        self.popen = subprocess.Popen(self.command, stdin=slave, stdout=slave, stderr=slave, cwd=world.folder,
                                      env={**world.env, "TERM": "xterm", **(env or {})}, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.slave = slave  # kept open: what the program leaves behind can be looked at after its end
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        while not self.ended:
            data = read_master(self.master)
            with self.condition:
                self.raw += data
                self.stream.feed(data)
                self.ended = not data
                self.condition.notify_all()

    def __str__(self):
        return f"{' '.join(self.command)}\n  exit: {self.popen.returncode}\n  screen:\n{self.text}\n  {self.raw[-1500:]!r}"

    # The screen.

    @property
    def text(self):
        """All lines, those scrolled off the top too, without blanks at their ends."""
        with self.condition:
            past = ["".join(line[x].data for x in range(self.screen.columns)).rstrip() for line in self.screen.history.top]
            return "\n".join(past + [line.rstrip() for line in self.screen.display]).rstrip("\n")

    @property
    def last_line(self):
        return self.text.rsplit("\n", 1)[-1]

    def wait(self, pattern, deadline_s=DEADLINE_S):
        """Until `pattern` (a line or several, MULTILINE) is on the screen; its match."""
        def look():
            return re.search(pattern, self.text, re.MULTILINE)
        with self.condition:
            self.condition.wait_for(lambda: look() or self.ended, deadline_s)
            match = look()
        if not match:
            raise Unexpected(f"no {pattern!r} on the screen of {self}")
        return match

    def wait_prompt(self, typed=""):
        """Until the last line is the prompt with `typed` behind it."""
        self.wait(r"^znode> ?" + re.escape(typed) + r"\Z")

    def set_size(self, rows, columns, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            with self.condition:
                self.screen.resize(rows, columns)

    # Keys.

    def type(self, keys):
        os.write(self.master, keys.encode())

    def run(self, line, pattern):
        """Types a line; until `pattern` is there and the prompt again. Only what comes after the line counts."""
        self.wait_prompt()
        self.type(line)
        self.wait_prompt(line)
        with self.condition:
            self.screen.reset()
            self.screen.history.top.clear()
        self.type(ENTER)
        match = self.wait(pattern)
        self.wait_prompt()
        return match

    # The process.

    @property
    def pid(self):
        return self.popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self.any_exit = True

    def wait_exit(self, deadline_s=DEADLINE_S):
        try:
            self.popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise Unexpected(f"still running after {deadline_s:.0f} s: {self}") from None
        return self.popen.returncode

    def has_echo(self):
        """True when the terminal is as a shell expects it."""
        flags = termios.tcgetattr(self.slave)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def close(self):
        """Ends it; returns what was wrong with that."""
        problems = []
        if self.running:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                if self.wait_exit() != 0:
                    problems.append(f"SIGTERM must end it with 0: {self}")
            except Unexpected:
                self.kill()
                problems.append(f"did not end on SIGTERM: {self}")
        end = time.monotonic() + DEADLINE_S
        os.close(self.slave)
        self.thread.join(max(0, end - time.monotonic()))
        os.close(self.master)
        if not self.any_exit and self.popen.returncode < 0:
            problems.append(f"died of signal {-self.popen.returncode}: {self}")
        if REPORT.search(self.raw):
            problems.append(f"a sanitizer, an assertion or ZeroMQ complained: {self}")
        return problems
