# SPDX-License-Identifier: MIT
"""The session of docs/console.md, typed line by line as a new user would.

What could go wrong: the page shows a command that does not exist any more, or an answer that never comes.
"""

import re
import subprocess
import unittest

from support.case import EndToEnd
from support.processes import SOURCE
from support.terminal import ENTER, Terminal

# What differs from run to run: numbers, ids, and how wide a column is for them.
VARIES = re.compile(r"\b[0-9a-f]{12,64}\b|\d+(\.\d+)?( (KiB|MiB|GiB|B|s|min)\b)?")


def pattern_of(line):
    """A line of the page as a pattern for a line of the screen."""
    parts, at = [], 0
    for match in VARIES.finditer(line):
        parts += [re.escape(line[at:match.start()]), r"[0-9a-f.]+( (KiB|MiB|GiB|B|s|min))?"]
        at = match.end()
    text = "".join(parts) + re.escape(line[at:])
    return "^" + re.sub(r"(\\ )+", r" *", text.replace(r"/tmp/try", r"\S*")) + "$"


class Walkthrough(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()

    def start(self, line):
        """`znode ...` of the page, with this test's broker and a port and state of its own."""
        args = line.split()[1:]
        self.assertEqual(args[:2], ["--broker", "127.0.0.1"])
        terminal = Terminal(self.world, "znode", "--broker", self.broker.endpoint, "--port", "0", *args[2:],
                            rows=60, columns=120)
        self.addCleanup(lambda: self.assertEqual(terminal.close(), []))
        terminal.wait_prompt()
        return terminal

    def shell(self, line):
        if line.startswith(("cd ", "zbroker ")):
            return
        line = line.split(" && cd ")[0].replace("/tmp/try/", "")
        subprocess.run(["sh", "-c", line], cwd=self.world.folder, check=True)

    def test_every_line_of_the_page_does_what_the_page_says(self):
        page = (SOURCE / "docs/console.md").read_text()
        section = re.search(r"^## Try it\n(.*?)^## ", page, re.MULTILINE | re.DOTALL).group(1)
        terminals, typed = [], 0
        for block in re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if line.startswith("$ znode "):
                    terminals.append(self.start(line[2:]))
                    self.world.wait_found(self.broker, "holiday.mkv", "my notes.txt")
                elif line.startswith("$ "):
                    self.shell(line[2:])
                elif line.startswith("znode> "):
                    terminals[-1].wait_prompt()
                    terminals[-1].type(line[len("znode> "):] + ENTER)
                    typed += 1
                else:
                    terminals[-1].wait(pattern_of(line))
        self.assertEqual(len(terminals), 2)
        self.assertGreater(typed, 9)
        self.assertEqual(terminals[1].wait_exit(), 0)
        self.assertEqual((self.world.folder / "bob/holiday.mkv").read_bytes(),
                         (self.world.folder / "ann/holiday.mkv").read_bytes())

    def test_the_table_names_every_command_and_no_other(self):
        page = (SOURCE / "docs/console.md").read_text()
        rows = re.search(r"^\| command \| does \|\n(.*?)\n\n", page, re.MULTILINE | re.DOTALL).group(1)
        shown = {words.split()[0] for row in rows.splitlines()[1:]
                 for words in re.findall(r"`([^`]+)`", row.split("|")[1])}
        one = self.world.node("one", self.broker, self.world.share("one", {}), stdin=subprocess.PIPE)
        one.popen.stdin.write(b"help\nquit\n")
        one.popen.stdin.close()
        one.wait()
        names = {name for line in one.stdout.lines[1:] for name in line[:20].split()}
        self.assertEqual(shown, names)


if __name__ == "__main__":
    unittest.main()
