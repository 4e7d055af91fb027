# SPDX-License-Identifier: MIT
"""Commands through a pipe: what a script does with a running node.

What could go wrong: a command is lost, runs before the node is ready, or before the one in front of it is done; the end
of the input ends the node; what a stranger calls a file, or what a script sends by mistake, does harm or says nothing;
a result and a message end up in the wrong stream; a download that was asked for is not told of.
"""

import os
import re
import subprocess
import unittest

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_node import FakeNode
from support.processes import Result

NAME = "Ação 漢字 \"it's\".bin"
BIG = random_bytes(3 << 20)
EXPECTED = {
    "list": r"shared +own\.txt", "ls": r"shared +own\.txt", "files": r"shared +own\.txt",
    "peers": r"127\.0\.0\.1 +\d+ +two +3", "p": r"127\.0\.0\.1 +\d+ +two +3",
    "search big": r" 1 +[0-9a-f]{12} +3\.0 MiB +1 +big\.bin", "s big": r"big\.bin",
    "status": r"^files +1 file, 3 B$", "info": r"^limits +up none, down none$",
    "tracker": r"^round trip +\d+\.\d ms$", "whoami": r"^name +one$", "me": r"^id +[0-9a-f]{32}$",
    "limit": r"^up +no limit$", "share": r"^\w+ +/.*/one$",
    "help": r"^quit exit q bye +end this node$", "h": r"^push ", "?": r"^push ", "help get": r"example: get ",
}


class Piped(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.two = self.world.node("two", self.broker, self.world.share("two", {
            "big.bin": BIG, NAME: b"accents", "-rf": b"dash"}))
        self.one = self.world.node("one", self.broker, self.world.share("one", {"own.txt": b"own"}),
                                   stdin=subprocess.PIPE)
        self.world.wait_found(self.broker, "big.bin", NAME, "-rf", "own.txt")
        self.marks = 0

    def send(self, *lines):
        for line in lines:
            self.one.popen.stdin.write(line if isinstance(line, bytes) else line.encode())
            self.one.popen.stdin.write(b"\n")
        self.one.popen.stdin.flush()

    def run_line(self, line):
        """(stdout, stderr) of one command: what came before what the next ones say, in either stream."""
        out, err = len(self.one.stdout.so_far), len(self.one.stderr.so_far)
        self.marks += 1
        mark, end = f"no command 'zzmark{self.marks}'", "quit\n  also: exit q bye\n"
        self.send(line, f"zzmark{self.marks}", "help quit")
        self.one.wait_stderr(mark)
        wait_until(lambda: "  example: quit\n" in self.one.stdout.so_far[out:].partition(end)[2], "all of the help")
        return self.one.stdout.so_far[out:].split(end)[0], self.one.stderr.so_far[err:].split(mark)[0]

    def download(self, command, name):
        self.send(command)
        self.one.wait_stderr(r"download \d+ is done: .*" + re.escape(name) + "$")
        return self.world.path("one", name).read_bytes()

    def test_every_command_that_only_tells_does_so_on_stdout(self):
        wait_until(lambda: re.search(" two +3 ", self.run_line("peers")[0]), "the broker to know the last file")
        for command, pattern in EXPECTED.items():
            out, _ = self.run_line(command)
            self.assertRegex(out, re.compile(pattern, re.MULTILINE), command)

    def test_files_are_fetched_by_number_name_and_id(self):
        out, _ = self.run_line("search bin")
        number = re.search(r"^ *(\d+) .* big\.bin$", out, re.MULTILINE).group(1)
        self.assertEqual(self.download(f"download {number}", "big.bin"), BIG)
        quoted = NAME.replace('"', '\\"').replace("'", "\\'")
        self.assertEqual(self.download(f"get {quoted}", NAME), b"accents")
        out, _ = self.run_line("s rf")
        file_id = re.search(r"([0-9a-f]{12}) ", out).group(1)
        self.assertEqual(self.download(f"d {file_id}", "-rf"), b"dash")
        out, err = self.run_line("downloads")
        self.assertEqual(len(re.findall(r"^ *\d+ +done +100 %", out, re.MULTILINE)), 3)
        self.assertIn("3 done", err)
        self.assertIn("has 'big.bin' already", self.run_line("get big.bin")[1])

    def test_a_file_comes_from_the_very_node_that_is_named(self):
        self.assertEqual(self.download(f"get 127.0.0.1:{self.two.port} -rf", "-rf"), b"dash")
        self.assertEqual(self.download("get 127.0.0.1 big.bin", "big.bin"), BIG)
        out, err = self.run_line(f"get 127.0.0.1:{self.one.port} big.bin")
        self.assertIn("already", err + out)
        self.assertIn("'none' is not there", self.run_line(f"get 127.0.0.1:{self.two.port} none")[1])

    def test_the_files_of_a_node_are_listed_by_address_and_by_name(self):
        for target in (f"127.0.0.1 {self.two.port}", f"127.0.0.1:{self.two.port}", "two", f"localhost {self.two.port}"):
            out, err = self.run_line(f"ls {target}")
            self.assertRegex(out, r"(?m)^ID +SIZE  NAME$", target)
            self.assertRegex(out, r"(?m)^[0-9a-f]{12}   3\.0 MiB  big\.bin$", target)
            self.assertIn("3 files", err)
        out, _ = self.run_line("ls 127.0.0.1")
        self.assertIn(f"two 127.0.0.1:{self.two.port}", out)
        self.assertIn(f"one 127.0.0.1:{self.one.port}", out)

    def test_all_nodes_at_one_address_are_sources(self):
        three = self.world.node("three", self.broker, self.world.share("three", {"big.bin": BIG}))
        self.world.wait_shared(three, "big.bin")
        self.assertIn("from 2 sources", self.run_line("get 127.0.0.1 big.bin")[1])
        self.one.wait_stderr(r"download \d+ is done: .*big\.bin")

    def test_a_nodes_name_stands_for_its_address_and_means_all_that_have_it(self):
        self.assertEqual(self.download("get two -rf", "-rf"), b"dash")
        three = self.world.start("znode", "--broker", self.broker.endpoint, "--name", "two", "--state",
                                 self.world.path("state", "three"), "--port", 0, "--accept-push", "--share",
                                 self.world.share("three", {"big.bin": BIG, "two of us": b"a name with blanks"}))
        self.world.wait_node(three)
        self.world.wait_shared(three, "big.bin", "two of us")
        self.world.wait_found(self.broker, "two of us")
        wait_until(lambda: len(re.findall(" two +[23] ", self.run_line("peers")[0])) == 2, "both to be joined")
        self.assertIn("from 2 sources", self.run_line("get two big.bin")[1])
        out, _ = self.run_line("ls two")
        addresses = [f"two 127.0.0.1:{node.port}" for node in (self.two, three)]
        for address in addresses:
            self.assertIn(address, out)
        out, err = self.run_line("push own.txt two")
        self.assertEqual(out, "")
        self.assertEqual(sorted(re.search("give the address of one: (.*)$", err.strip()).group(1).split(", ")),
                         sorted(addresses))
        self.assertEqual(self.download("get \"two of us\"", "two of us"), b"a name with blanks")
        self.assertIn("'of them' is not there", self.run_line("get two of them")[1])

    def test_wrong_input_gets_one_line_with_the_cure(self):
        nobody = self.world.port()
        cases = {
            "serach x": "did you mean 'search'?", "xyzzy": "'help' lists all", "search": "usage: search TEXT",
            "ls 127.0.0.1 99999": "'99999' is not a port", "ls 127.0.0.1 0": "'0' is not a port",
            f"ls 127.0.0.1 {nobody}": "no node at 127.0.0.1:", "ls nobody": "no node is called 'nobody'",
            "ls 127.0.0.9": "no node at 127.0.0.9", "get 99": "no number 99", "get \"a": "a quote is not closed",
            "get no such file": "nothing found: no other node has it", "get big": "a name must be exact", "pause": "usage: pause",
            "get tree/": "'zget FOLDER/' in a shell", "get two a tree/": "in a shell",
            "pause x": "'x' is not a number", "pause 7": "no download 7", "cancel all": "there is none",
            "limit up fast": "'fast' is not a rate", "limit sideways 1M": "neither up nor down", "limit up": "usage: limit",
            "share /nonexistent": "No such file or directory", "unshare /nonexistent": "is not shared",
            "push nothing two": "'nothing' is neither a file", "push own.txt nobody": "no node is called 'nobody'",
            "push own.txt one": "that is this node itself",
            "push own.txt two x": "not an IP address", "help xyzzy": "no command 'xyzzy'",
            b"get \x00": "control characters", b"get \xff\xfe": "not UTF-8", "get \x1b[2J": "control characters",
            "x" * 30000: "more than 20000 bytes",
        }
        for line, cure in cases.items():
            out, err = self.run_line(line)
            self.assertIn(cure, err, line)
            self.assertEqual(out, "", line)
            self.assertEqual(len([text for text in err.splitlines() if cure in text]), 1, err)
        self.assertIn("one", self.run_line("whoami")[0])

    def test_comments_empty_lines_and_carriage_returns_say_nothing(self):
        for line in ("", "   ", "# get big.bin", "\r"):
            self.assertEqual(self.run_line(line), ("", ""), repr(line))
        self.assertRegex(self.run_line("whoami\r")[0], "name +one")

    def test_a_folder_that_is_shared_is_remembered_and_one_that_is_not_is_forgotten(self):
        more = self.world.share("more files", {"more.txt": b"more"})
        self.assertIn("sharing", self.run_line(f"share '{more}'")[1])
        self.world.wait_shared(self.one, "more.txt", "own.txt")
        self.assertIn("is shared already", self.run_line(f"share '{more}'")[1])
        self.one.terminate()
        self.one = self.world.node("one", self.broker, self.world.path("one"), stdin=subprocess.PIPE)
        self.world.wait_shared(self.one, "more.txt", "own.txt")
        self.assertRegex(self.run_line(f"unshare '{more}'")[1], r"is shared no more; its files stay")
        wait_until(lambda: "more.txt" not in self.run_line("list")[0], "the file to go")
        self.assertRegex(self.run_line("share")[0], r"(?m)^\w+ +/.*/one$")
        self.assertNotIn("more files", self.run_line("share")[0])

    def test_refresh_scans_and_lists_the_nodes(self):
        out, err = self.run_line("refresh")
        self.assertRegex(out, r"two")
        self.assertIn("scanning", err)

    def test_rates_hold_from_the_next_byte(self):
        out, _ = self.run_line("limit down 50K")
        self.assertRegex(out, r"(?m)^down +50\.0 KiB/s$")
        self.send("get big.bin")
        self.one.wait_stderr("download 1: ")
        self.assertRegex(self.run_line("downloads")[0], r" 1 +active")
        self.assertIn("download 1 paused", self.run_line("pause 1")[1])
        wait_until(lambda: re.search(r" 1 +paused", self.run_line("downloads")[0]), "the pause")
        self.run_line("limit down 0")
        self.assertIn("download 1 goes on", self.run_line("resume all")[1])
        self.one.wait_stderr("download 1 is done")
        self.assertIn("download 1 forgotten; its file stays", self.run_line("cancel 1")[1])
        self.assertEqual(self.world.path("one/big.bin").read_bytes(), BIG)

    def test_a_file_is_pushed_to_a_node_that_takes_it(self):
        taker = self.world.node("taker", self.broker, self.world.share("taker", {}), args=["--accept-push"])
        self.send(f"push own.txt 127.0.0.1 {taker.port}")
        self.one.wait_stderr("pushed 'own.txt': stored as 'own.txt'")
        self.assertEqual(self.world.path("taker/own.txt").read_bytes(), b"own")
        self.assertIn("1 part: 0 sent (0 B), 1 already there", self.run_line("push own.txt taker")[1])
        self.assertIn("nodes are meant", self.run_line("push own.txt 127.0.0.1")[1])
        self.assertIn("--accept-push", self.run_line(f"push one/own.txt 127.0.0.1:{self.two.port}")[1])

    def test_the_menu_fetches_lists_and_leaves(self):
        self.send("menu", "1", "big", "1")
        self.one.wait_stderr("download 1 is done")
        self.send("2")
        self.one.wait_stdout(r"big\.bin$")
        self.send("7", "3")
        self.one.wait_stderr("'7' is none of the choices")
        self.assertRegex(self.run_line("whoami")[0], "name +one")

    def test_quit_ends_the_node_and_the_broker_forgets_it(self):
        self.send("quit")
        self.assertEqual(self.one.wait(), 0)
        self.one.wait_stderr("leaving")
        self.world.wait_gone(self.broker, "one")


class Streams(EndToEnd):
    def start(self, *args, **options):
        return self.world.node("one", self.broker, self.world.share("one", {"own.txt": b"own"}), args=args, **options)

    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()

    def test_ready_comes_before_what_commands_print(self):
        read, write = os.pipe()
        os.write(write, b"help\nwhoami\nquit")
        os.close(write)
        one = self.start(stdin=read, wait=False)
        os.close(read)
        self.assertEqual(one.wait(), 0)
        self.assertRegex(one.stdout.lines[0], "^ready tcp://")
        self.assertIn("leaving", one.stderr.text, "the last line needs no line break")

    def test_the_end_of_the_input_does_not_end_the_node(self):
        one = self.start(stdin=subprocess.PIPE)
        one.popen.stdin.write(b"whoami\n")
        one.popen.stdin.close()
        one.wait_stdout("name +one")
        self.world.wait_shared(one, "own.txt")
        self.assertTrue(one.running)
        self.assertEqual(one.terminate()[0], 0)

    def test_a_daemon_reads_commands_from_a_pipe_too(self):
        one = self.start("--daemon", stdin=subprocess.PIPE)
        one.popen.stdin.write(b"quit\n")
        one.popen.stdin.flush()
        self.assertEqual(one.wait(), 0)

    def test_stdout_that_nobody_reads_any_more_is_told_once_and_nothing_stops(self):
        full = ("sh", "-c", 'exec "$0" "$@" >/dev/full')
        one = self.start(stdin=subprocess.PIPE, prefix=full, wait=False)
        one.wait_stderr("joined the broker")
        one.popen.stdin.write(b"whoami\nhelp\nxyzzy\n")
        one.popen.stdin.flush()
        one.wait_stderr("no command 'xyzzy'")
        self.world.wait_found(self.broker, "own.txt")
        self.assertEqual(one.terminate()[0], 2)
        self.assertEqual(one.stderr.text.count("cannot write to standard output"), 1)

    def test_without_a_broker_commands_run_and_say_so(self):
        one = self.world.node("lone", None, self.world.share("one", {"own.txt": b"own"}), stdin=subprocess.PIPE)
        self.world.wait_shared(one, "own.txt")
        one.popen.stdin.write(b"peers\nsearch x\ntracker\nget x\nlist\nrefresh\n")
        one.popen.stdin.flush()
        one.wait_stdout("own.txt")
        self.assertEqual(sum("no broker" in line for line in one.stderr.until("scanning")), 4)

    def test_a_missing_broker_keeps_nobody_from_the_commands(self):
        self.broker.terminate()
        one = self.start(stdin=subprocess.PIPE, wait=False)
        one.popen.stdin.write(b"peers\nwhoami\ntracker\n")
        one.popen.stdin.flush()
        one.wait_stdout("name +one")
        one.wait_stderr("the broker cannot be reached now")
        one.wait_stdout("state +not joined")

    def test_names_and_errors_of_strangers_are_escaped(self):
        name = "a\u202eb.txt"
        evil = self.world.fake(FakeNode([zsp.SharedFile(name, b"x")], broker=self.broker.endpoint, name="n\u202e"))
        one = self.start(stdin=subprocess.PIPE)
        one.popen.stdin.write(f"ls 127.0.0.1 {evil.port}\npeers\nsearch txt\nget {name}\n".encode())
        one.popen.stdin.flush()
        one.wait_stderr("download 1 is done")
        one.popen.stdin.write(b"downloads\nlist\nquit\n")
        one.popen.stdin.flush()
        one.wait()
        self.assert_clean_output(Result(one, 0))
        self.assertGreaterEqual(one.stdout.text.count(r"a\u{202e}b.txt"), 4)
        self.assertIn(r"n\u{202e}", one.stdout.text)


class BusyOnce(FakeNode):
    """Is still hashing when it is asked first."""
    was_asked = False

    def on_open(self, route, message):
        if self.was_asked:
            super().on_open(route, message)
        else:
            self.was_asked = True
            self.error(route, message.rid, zsp.BUSY, "hashing", 10)


class OtherFile(FakeNode):
    """Answers each OPEN with a file that nobody asked for."""

    def on_open(self, route, message):
        self.send(route, zsp.OPEN_OK, message.rid, *self.open_fields(next(iter(self.files.values()))))


class Denying(FakeNode):
    def on_open(self, route, message):
        self.error(route, message.rid, zsp.DENIED, "not\u202eyou")

    on_list = on_open


class Strangers(EndToEnd):
    def setUp(self):
        super().setUp()
        self.one = self.world.node("one", None, self.world.share("one", {}), stdin=subprocess.PIPE)

    def send(self, line):
        self.one.popen.stdin.write(line.encode() + b"\n")
        self.one.popen.stdin.flush()

    def test_a_node_that_is_still_hashing_is_asked_again(self):
        fake = self.world.fake(BusyOnce([zsp.SharedFile("a.txt", b"late")]))
        self.send(f"get 127.0.0.1:{fake.port} a.txt")
        self.one.wait_stderr("download 1 is done")
        self.assertEqual(self.world.path("one/a.txt").read_bytes(), b"late")

    def test_a_file_that_was_not_asked_for_is_not_fetched(self):
        fake = self.world.fake(OtherFile([zsp.SharedFile("other.txt", b"other")]))
        for wanted in ("a.txt", "0" * 64):
            self.send(f"get 127.0.0.1:{fake.port} {wanted}")
            said = self.one.stderr.until(f"'{wanted}' is not there")
        self.assertEqual([line for line in said if "download" in line], [])

    def test_a_refusal_is_told_in_one_escaped_line(self):
        fake = self.world.fake(Denying([zsp.SharedFile("a.txt", b"x")]))
        self.send(f"get 127.0.0.1:{fake.port} a.txt")
        self.send(f"ls 127.0.0.1 {fake.port}")
        wait_until(lambda: self.one.stderr.so_far.count(r"refused: denied: not\u{202e}you") == 2, "both refusals")

    def test_a_file_is_fetched_by_the_first_digits_of_its_id_and_by_all(self):
        shared = zsp.SharedFile("a.txt", b"digits")
        fake = self.world.fake(FakeNode([shared]))
        self.send(f"get 127.0.0.1:{fake.port} {shared.file_id.hex()[:9]}")
        self.one.wait_stderr("download 1 is done")
        self.send(f"get 127.0.0.1:{fake.port} {shared.file_id.hex()}")
        self.one.wait_stderr("'a.txt' is download 1 already|download 2 is done|has 'a.txt' already")


if __name__ == "__main__":
    unittest.main()
