# SPDX-License-Identifier: MIT
"""The console in a real pseudo-terminal: keys in, screen out.

What could go wrong: output that arrives while a line is typed tears it; a key is lost, or one that sends several bytes
holds the node up; Ctrl-C ends the node instead of the command; a name with blanks is completed into two words; the
terminal is left without echo; a window that changes its size, or a line longer than it, confuses the screen; the menu
leads nowhere.
"""

import os
import pty
import re
import signal
import threading
import unittest
from pathlib import Path

from support import zsp
from support.actor import DEADLINE_S, wait_until
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_node import FakeNode
from support.processes import STOP_S
from support.terminal import BACKSPACE, CTRL_A, CTRL_C, CTRL_D, CTRL_E, DOWN, ENTER, ESCAPE, LEFT, TAB, UP, Terminal,\
    read_master

BIG = random_bytes(8 << 20)
NAME = "Ação 漢字 \"it's\".bin"


class DeafNode(FakeNode):
    """Takes every question and answers none."""
    asked = False

    def received(self, link, route, frames):
        self.asked = True


class SlowBroker(FakeBroker):
    """Answers a SEARCH when it may; then asks three times whether the node is well."""

    def __init__(self):
        self.asked, self.may_answer, self.is_well = threading.Event(), threading.Event(), threading.Event()
        super().__init__()

    def on_search(self, route, message):
        self.asked.set()
        self.may_answer.wait(DEADLINE_S)
        super().on_search(route, message)
        self.send(route, zsp.PING, 1)

    def received(self, link, route, frames):
        message = self.decode(frames)
        if message.kind != zsp.PONG:
            super().received(link, route, frames)
        elif message.rid == 3:
            self.is_well.set()
        else:
            self.send(route, zsp.PING, message.rid + 1)


class HungUp(EndToEnd):
    def test_keys_that_wait_when_the_terminal_goes_away_do_not_keep_the_node_busy(self):
        broker = self.world.fake(SlowBroker())
        master, slave = pty.openpty()
        node = self.world.node("one", broker, self.world.share("one", {"own.txt": b"own"}), wait=False, stdin=slave,
                               prefix=("sh", "-c", 'exec "$0" "$@" >&0 2>&0'), env={"TERM": "xterm"})
        os.close(slave)
        screen = b""
        while b"znode> " not in screen:
            screen += read_master(master)
        os.write(master, b"search x\rlist\rlist\r")
        self.assertTrue(broker.asked.wait(DEADLINE_S))
        node.signal(signal.SIGTSTP)  # so that the terminal must be prepared again, which it cannot
        wait_until(lambda: ") T " in Path(f"/proc/{node.pid}/stat").read_text(), "a stopped node")
        os.close(master)
        node.signal(signal.SIGCONT)
        broker.may_answer.set()
        self.assertTrue(broker.is_well.wait(DEADLINE_S))
        self.assertLess(node.terminate()[1], STOP_S)


class OnTerminal(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.two = self.world.node("two", self.broker, self.world.share("two", {
            "big.bin": BIG, "my file.txt": b"blanks", "my other.txt": b"other", NAME: b"accents"}))

    def open(self, *args, name="one", wait=True, **options):
        terminal = Terminal(self.world, "znode", "--broker", self.broker.endpoint, "--name", name, "--state",
                            self.world.path("state", name), "--port", "0", "--share",
                            self.world.share(name, {"own.txt": b"own"}), *args, **options)
        self.addCleanup(lambda: self.assertEqual(terminal.close(), []))
        if wait:
            terminal.wait_prompt()
            self.world.wait_found(self.broker, "big.bin", "my file.txt", "my other.txt", NAME, "own.txt")
        return terminal


class Editing(OnTerminal):
    def test_the_first_line_is_ready_and_then_comes_the_prompt(self):
        one = self.open()
        self.assertRegex(one.text, r"(?m)^ready tcp://127\.0\.0\.1:\d+ [0-9a-f]{32}$")
        self.assertRegex(one.text, r"(?m)^'help' lists the commands")

    def test_help_fits_the_screen(self):
        one = self.open(rows=24, columns=80)
        one.run("help", "'help COMMAND'")
        with one.condition:
            self.assertEqual(len(one.screen.history.top), 0, one.text)

    def test_lines_come_back_from_the_history_also_after_a_restart(self):
        one = self.open()
        one.run("whoami", "name +one")
        one.run("search big", "big.bin")
        one.type(UP + UP)
        one.wait_prompt("whoami")
        one.type(DOWN)
        one.wait_prompt("search big")
        one.type(CTRL_C)
        one.wait_prompt()
        one.type("quit" + ENTER)
        self.assertEqual(one.wait_exit(), 0)
        again = self.open()
        again.type(UP + UP)
        again.wait_prompt("search big")

    def test_a_line_is_edited_in_the_middle(self):
        one = self.open()
        one.type("hoam")
        one.type(CTRL_A + "w" + CTRL_E + "i")
        one.wait_prompt("whoami")
        one.type("xy" + LEFT + CTRL_D + BACKSPACE)
        one.wait_prompt("whoami")
        one.type(ENTER)
        one.wait("name +one")

    def test_tab_completes_commands_names_nodes_and_numbers(self):
        one = self.open()
        one.type("sea" + TAB)
        one.wait_prompt("search")
        one.type("file" + ENTER)
        one.wait("1 .* my file.txt")
        one.wait_prompt()
        one.run("search my", "2 .* my ")
        one.type("get m" + TAB)
        one.wait_prompt("get my\\")
        one.type(TAB)
        one.wait(r"^my\\ other\.txt$")
        one.wait_prompt("get my\\")
        one.type("f" + TAB)
        one.wait_prompt("get my\\ file.txt")
        one.type(ENTER)
        one.wait("download 1 is done")
        one.wait_prompt()
        one.type("help tr" + TAB)
        one.wait_prompt("help tracker")
        one.type(CTRL_C)
        one.wait_prompt()
        one.type("ls tw" + TAB)
        one.wait_prompt("ls two")
        one.type(ENTER)
        one.wait("4 files")
        one.wait_prompt()
        one.type("resume " + TAB)
        one.wait("^all$")
        one.wait_prompt("resume")

    def test_a_name_with_everything_in_it_is_completed_into_one_word(self):
        one = self.open()
        one.run("search acao", "Ação")
        one.type("get A" + TAB)
        one.wait(r"get Ação\\ ")
        one.type(ENTER)
        one.wait("download 1 is done")
        self.assertEqual(self.world.path("one", NAME).read_bytes(), b"accents")

    def test_tab_completes_paths_on_disk_and_escapes_them(self):
        folder = self.world.path("here")
        for name in ("my folder/some \"film\".mkv", "my folder/sub/x", "my file", ".hidden"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        one = self.open()
        one.type(f"push {folder}/" + TAB)
        one.wait_prompt(f"push {folder}/my\\ f")
        one.type("o" + TAB)
        one.wait_prompt(f"push {folder}/my\\ folder/")
        one.type("so" + TAB)
        one.wait_prompt(f'push {folder}/my\\ folder/some\\ \\"film\\".mkv')
        one.type("tw" + TAB)
        one.wait_prompt(f'push {folder}/my\\ folder/some\\ \\"film\\".mkv two')
        one.type(ENTER)
        one.wait("does not take pushes|denied|--accept-push")
        one.wait_prompt()
        one.type(f"share {folder}/m" + TAB)
        one.wait_prompt(f"share {folder}/my\\ folder/")
        one.type(TAB)
        one.wait_prompt(f"share {folder}/my\\ folder/sub/")
        one.type(ENTER)
        one.wait_prompt()
        one.type(f"unshare {folder}" + TAB)
        one.wait_prompt(f"unshare {folder}/my\\ folder/sub")

    def test_a_command_that_takes_long_says_what_it_waits_for(self):
        deaf = self.world.fake(DeafNode())
        one = self.open()
        one.type(f"ls 127.0.0.1 {deaf.port}" + ENTER)
        one.wait(f"^asking 127.0.0.1:{deaf.port}$")
        one.type(CTRL_C)
        one.wait("^interrupted")
        one.wait_prompt()
        self.assertNotRegex(one.text, "(?m)^asking")
        one.type(f"push own.txt 127.0.0.1 {deaf.port}" + ENTER)
        one.wait(f"^asking 127.0.0.1:{deaf.port} to take ")
        one.type(CTRL_C)
        one.wait_prompt()

    def test_what_is_printed_while_a_line_is_typed_leaves_it_whole(self):
        one = self.open()
        one.run("limit down 2M", "down +2.0 MiB/s")
        one.run("get big.bin", "download 1: ")
        one.type("search something with ümlauts")
        one.wait("download 1 is done")
        one.wait_prompt("search something with ümlauts")
        self.assertEqual(len(re.findall("search something", one.text)), 1, one.text)
        self.assertRegex(one.text, r"(?m)^download 1 is done: .*/big\.bin$")

    def test_a_line_longer_than_the_window_is_whole_after_a_message(self):
        one = self.open(columns=40)
        one.run("limit down 2M", "down +2.0 MiB/s")
        one.run("get big.bin", "download 1: ")
        typed = "search " + "wide 漢字 " * 12 + "end"
        one.type(typed)
        one.wait("download 1 is done")
        one.wait("end$")
        wait_until(lambda: self.flat(one).endswith(typed.replace(" ", "")), f"the line again: {one}")
        self.assertEqual(len(re.findall("search", one.text)), 1, one.text)

    def flat(self, terminal):
        with terminal.condition:
            return re.sub(r"\s", "", terminal.text)

    def test_the_window_may_change_its_size(self):
        one = self.open(columns=100)
        one.run("search big", "big.bin")
        one.type("whoa")
        one.wait_prompt("whoa")
        one.set_size(30, 50)
        one.signal(signal.SIGWINCH)
        one.type("m" + "i")
        one.wait_prompt("whoami")
        one.type(ENTER)
        one.wait("id +[0-9a-f]{32}")
        one.wait_prompt()
        one.run("search other", r"^ 1  [0-9a-f]{12} +5 B +1 +my other\.txt$")

    def test_tables_fit_the_window(self):
        self.world.share("two", {"n" * 150 + ".txt": b"long"})
        self.world.wait_found(self.broker, "n" * 150 + ".txt")
        one = self.open(columns=60)
        one.run("search nnn", r"^ 1  [0-9a-f]{12} +4 B +1 +n+…$")
        one.run("ls two", r"^[0-9a-f]{12} +4 B  n+…$")
        for line in one.text.split("\n"):
            self.assertLessEqual(len(line), 60)

    def test_a_key_that_is_cut_short_holds_nobody_up(self):
        one = self.open()
        one.type(ESCAPE)
        self.assert_exit(self.world.run("zls", f"127.0.0.1:{self.port_of(one)}"), 0)
        one.type("whoami" + ENTER)
        one.wait("name +one")
        os.write(one.master, b"\xc3")
        self.assertIn("own.txt", self.world.run("zls", f"127.0.0.1:{self.port_of(one)}").stdout)

    def port_of(self, terminal):
        return re.search(r"tcp://127\.0\.0\.1:(\d+) [0-9a-f]{32}", terminal.text).group(1)

    def test_several_lines_at_once_run_one_after_another(self):
        one = self.open()
        one.type("search big" + ENTER + "get 1" + ENTER + "who")
        one.wait("download 1: 'big.bin'")
        one.wait("download 1 is done")
        one.wait_prompt("who")


class Leaving(OnTerminal):
    def assert_left(self, terminal):
        self.assertEqual(terminal.wait_exit(), 0, terminal)
        self.assertTrue(terminal.has_echo(), "the terminal is as it was")
        self.world.wait_gone(self.broker, "one")

    def test_quit_leaves_the_terminal_as_it_was(self):
        one = self.open()
        one.type("quit" + ENTER)
        self.assert_left(one)

    def test_ctrl_d_on_an_empty_line_is_quit_and_says_so(self):
        one = self.open()
        one.type(CTRL_D)
        one.wait("^znode> ?quit|^quit$")
        self.assert_left(one)

    def test_ctrl_c_clears_the_line_and_then_leaves(self):
        one = self.open()
        one.type("some words")
        one.wait_prompt("some words")
        one.type(CTRL_C)
        one.wait_prompt()
        self.assertTrue(one.running)
        one.type("whoami" + ENTER)
        one.wait("name +one")
        one.wait_prompt()
        one.type(CTRL_C)
        one.wait("once more")
        one.wait_prompt()
        one.type(CTRL_C)
        self.assert_left(one)

    def test_ctrl_c_ends_the_command_and_not_the_node(self):
        deaf = self.world.fake(DeafNode())
        one = self.open()
        one.type(f"ls 127.0.0.1 {deaf.port}" + ENTER)
        wait_until(lambda: deaf.asked, "the node to be asked")
        one.type(CTRL_C)
        one.wait("^interrupted")
        one.wait_prompt()
        one.run("whoami", "name +one")

    def test_sigterm_leaves_the_terminal_as_it_was(self):
        one = self.open()
        one.type("half a line")
        one.wait_prompt("half a line")
        one.signal(signal.SIGTERM)
        self.assert_left(one)

    def test_a_terminal_that_is_closed_ends_the_node_in_order(self):
        one = self.open()
        one.signal(signal.SIGHUP)
        self.assert_left(one)

    def test_a_download_goes_on_at_the_next_start(self):
        one = self.open()
        one.run("limit down 200K", "down +200 KiB/s")
        one.run("get big.bin", "download 1: ")
        wait_until(lambda: one.run("downloads", r"^ *1 +active +(\d+) %").group(1) != "0", "some of it", every_s=0.3)
        one.type("quit" + ENTER)
        self.assert_left(one)
        again = self.open(wait=False)
        again.wait("download 1 is done")
        self.assertEqual(self.world.path("one/big.bin").read_bytes(), BIG)

    def test_a_stopped_node_comes_back_with_its_line(self):
        one = self.open()
        one.type("whoa")
        one.wait_prompt("whoa")
        one.signal(signal.SIGTSTP)
        wait_until(lambda: self.state_of(one) == "T", "it to stop")
        self.assertTrue(one.has_echo())
        one.signal(signal.SIGCONT)
        wait_until(lambda: not one.has_echo(), "the console to come back")
        one.type("mi")
        one.wait_prompt("whoami")

    def state_of(self, terminal):
        with open(f"/proc/{terminal.pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]


class Modes(OnTerminal):
    def test_a_daemon_has_no_console_even_on_a_terminal(self):
        one = self.open("--daemon", wait=False)
        one.wait("^ready tcp://")
        one.type("quit" + ENTER)
        self.world.wait_found(self.broker, "own.txt")
        self.assertTrue(one.running)
        self.assertNotIn("znode>", one.text)

    def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(self):
        one = self.open(wait=False, env={"TERM": "dumb"})
        one.wait("^ready tcp://")
        one.type("whoami" + ENTER)
        one.wait("name +one")
        self.assertNotIn(b"\x1b", one.raw)
        one.type("quit" + ENTER)
        self.assertEqual(one.wait_exit(), 0)

    def test_a_missing_broker_keeps_nobody_from_the_console(self):
        self.broker.terminate()
        one = self.open(wait=False)
        one.wait_prompt()
        one.run("peers", "the broker cannot be reached now")
        one.run("tracker", "state +not joined")


class Menu(OnTerminal):
    def choose(self, terminal, keys, pattern):
        terminal.type(keys + ENTER)
        return terminal.wait(pattern)

    def test_it_fetches_several_files_at_once_lists_them_and_leaves(self):
        one = self.open("--menu", "--down", "3M", wait=False)
        one.wait(r"^choice \(1-3\): ?\Z")
        self.world.wait_found(self.broker, "big.bin", "my other.txt")
        self.choose(one, "1", r"^name: ?\Z")
        self.choose(one, "big", r"1 .*big\.bin$")
        one.wait(r"^number: ?\Z")
        self.choose(one, "1", r"^big\.bin +\[[#.]{20}\] +\d+ % of 8\.0 MiB +.* sources?$")
        one.wait(r"^choice \(1-3\): ?\Z")
        self.choose(one, "1", r"^name: ?\Z")
        self.choose(one, "my", r"2 .*my ")
        one.wait(r"^number: ?\Z")
        self.choose(one, "1-2", "download 3: ")
        one.wait("download 3 is done")
        one.wait("download 1 is done")
        self.choose(one, "2", r"my other\.txt$")
        one.wait(r"big\.bin$")
        one.wait(r"^choice \(1-3\): ?\Z")
        self.choose(one, "3", "")
        self.assertEqual(one.wait_exit(), 0)
        self.assertTrue(one.has_echo())
        self.assertEqual(self.world.path("one/big.bin").read_bytes(), BIG)

    def test_wrong_answers_and_ctrl_c_lead_back(self):
        one = self.open()
        one.type("menu" + ENTER)
        one.wait(r"^choice \(1-3\): ?\Z")
        self.choose(one, "x", "'x' is none of the choices")
        self.choose(one, "1", r"^name: ?\Z")
        self.choose(one, "no such thing", "nothing found")
        one.wait(r"^choice \(1-3\): ?\Z")
        self.choose(one, "1", r"^name: ?\Z")
        self.choose(one, "big", r"^number: ?\Z")
        self.choose(one, "9", "'9' is not a number from 1 to 1")
        one.type(CTRL_C)
        one.wait(r"^choice \(1-3\): ?\Z")
        self.choose(one, "3", "")
        one.wait_prompt()
        one.run("whoami", "name +one")


if __name__ == "__main__":
    unittest.main()
