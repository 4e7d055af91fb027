# SPDX-License-Identifier: MIT
"""The first start by a person, in a real pseudo-terminal: keys in, screen out.

What could go wrong: a start that nobody watches waits for an answer; a slip of the finger becomes the broker for good;
what else stands in the config file is lost; the question cannot be left; what is typed after it is swallowed.
"""

import os
import pty
import re
import signal
import subprocess
import threading

from support.actor import DEADLINE_S, Unexpected
from support.case import EndToEnd
from support.processes import BIN
from support.terminal import read_master

QUESTION = r"Address of the broker \[tcp://127\.0\.0\.1:6881\]:"
KEEP = r"Keep it\? \[Y/n\]"
CTRL_C, CTRL_D = "\x03", "\x04"


class Terminal:
    """A znode whose terminal this is."""

    def __init__(self, world, *args, env=None):
        self.screen, self.condition, self.ended = "", threading.Condition(), False
        master, slave = pty.openpty()
        self.master = master
        env = {**world.env, "TERM": "dumb", **(env or {})}
        self.popen = subprocess.Popen([str(BIN / "znode"), *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
                                      env=env, cwd=world.folder, start_new_session=True,
                                      preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))
        os.close(slave)
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        while data := read_master(self.master):
            with self.condition:
                self.screen += data.decode(errors="backslashreplace")
                self.condition.notify_all()
        with self.condition:
            self.ended = True
            self.condition.notify_all()

    def wait(self, pattern, count=1):
        """Until `pattern` was shown `count` times."""
        def shown():
            return len(re.findall(pattern, self.screen)) >= count
        with self.condition:
            self.condition.wait_for(lambda: shown() or self.ended, DEADLINE_S)
            if not shown():
                raise Unexpected(f"no {pattern!r} on the screen: {self.screen!r}")

    def type(self, text):
        os.write(self.master, text.encode())

    def exit_code(self):
        code = self.popen.wait(DEADLINE_S)
        self.thread.join(DEADLINE_S)
        return code

    def end(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            self.popen.wait(DEADLINE_S)
        self.thread.join(DEADLINE_S)
        os.close(self.master)


class FirstStart(EndToEnd):
    def setUp(self):
        super().setUp()
        self.config = self.world.folder / "home/.config/zswarm/config"

    def terminal(self, *args, env=None):
        terminal = Terminal(self.world, "--share", self.world.share("share", {"a": b"a"}), "--port", 0, *args, env=env)
        self.addCleanup(terminal.end)
        return terminal

    def test_what_is_typed_is_checked_used_and_kept(self):
        broker = self.world.broker()
        terminal = self.terminal()
        terminal.wait(QUESTION)
        terminal.type("127.0.0.1:port\n")
        terminal.wait(r"'127\.0\.0\.1:port' is not an address like tcp://HOST:PORT or HOST")
        terminal.wait(QUESTION, count=2)
        terminal.type("  " + broker.endpoint.removeprefix("tcp://") + " \n")
        terminal.wait(KEEP)
        terminal.type("perhaps\n")
        terminal.wait(KEEP, count=2)
        terminal.type("y\n")
        terminal.wait(r"ready tcp://127\.0\.0\.1:\d+ [0-9a-f]{32}")
        self.assertEqual(self.config.read_text(), f"broker = {broker.endpoint}\n")
        self.assert_exit(self.world.run("zstat"), 0)  # it knows the broker too

    def test_the_second_start_does_not_ask(self):
        broker = self.world.broker()
        self.config.parent.mkdir(parents=True)
        self.config.write_text("# mine\nbroker = " + broker.endpoint)
        terminal = self.terminal()
        terminal.wait("ready tcp://")
        self.assertNotIn("Address of the broker", terminal.screen)

    def test_other_lines_of_the_config_are_kept(self):
        self.config.parent.mkdir(parents=True)
        self.config.write_text("# mine\nup = 10M")
        terminal = self.terminal()
        terminal.wait(QUESTION)
        terminal.type("example.invalid:7000\n")
        terminal.wait(KEEP)
        terminal.type("\n")
        terminal.wait("only this machine|cannot find the broker|joined|cannot reach")
        self.assertEqual(self.config.read_text(), "# mine\nup = 10M\nbroker = tcp://example.invalid:7000\n")

    def test_enter_takes_the_default_and_no_keeps_nothing(self):
        terminal = self.terminal()
        terminal.wait(QUESTION)
        terminal.type("\n")
        terminal.wait(KEEP)
        terminal.type("N\n")
        terminal.wait("only this machine can reach this node")
        self.assertFalse(self.config.exists())

    def test_a_config_that_cannot_be_written_is_told_and_the_node_starts(self):
        broker = self.world.broker()
        (self.world.folder / "home/.config").write_text("a file")
        terminal = self.terminal()
        terminal.wait(QUESTION)
        terminal.type(broker.endpoint + "\n")
        terminal.wait(KEEP)
        terminal.type("y\n")
        terminal.wait("cannot write .*config: Not a directory; going on with")
        terminal.wait("ready tcp://")

    def test_control_characters_of_what_is_typed_are_shown_escaped(self):
        terminal = self.terminal()
        terminal.wait(QUESTION)
        terminal.type("\x1b[31mred\u202e" + "x" * 2000 + "\n")
        terminal.wait("is not an address")
        self.assertNotIn("\x1b[31m", terminal.screen)

    def test_ctrl_c_and_ctrl_d_leave_at_either_question_with_one_line(self):
        for key in (CTRL_C, CTRL_D):
            for typed in ([], ["\n"]):
                terminal = self.terminal()
                terminal.wait(QUESTION)
                for line in typed:
                    terminal.type(line)
                    terminal.wait(KEEP)
                terminal.type(key)
                self.assertEqual(terminal.exit_code(), 2, terminal.screen)
                last = terminal.screen.rstrip().splitlines()[-1]
                self.assertEqual(last, "znode: no broker was chosen: name one with --broker, or start with --no-broker")
                self.assertFalse(self.config.exists())

    def test_nobody_is_asked_who_named_a_broker_or_wants_none_or_no_questions(self):
        broker = self.world.broker()
        for args, env in ((["--broker", broker.endpoint], {}), ([], {"ZSWARM_BROKER": broker.endpoint}),
                          (["--no-broker"], {})):
            terminal = self.terminal(*args, env=env)
            terminal.wait("ready tcp://")
            self.assertNotIn("Address of the broker", terminal.screen)
        terminal = self.terminal("--daemon")
        terminal.wait("only this machine can reach this node")
        self.assertNotIn("Address of the broker", terminal.screen)

    def test_nobody_is_asked_without_a_terminal(self):
        node = self.world.start("znode", "--share", self.world.share("share", {}), "--port", 0)
        said = node.stderr.until("only this machine can reach this node")
        self.assertEqual([line for line in said if "Address of the broker" in line], [])
