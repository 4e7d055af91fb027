# SPDX-License-Identifier: MIT
"""Man pages and completion beside what the programs themselves say in --help.

What could go wrong: an option is added and nobody documents it, a page promises one that is gone, a command of the
console, an exit code or a program is forgotten, a page does not format, a completion offers what the program refuses.
"""

import os
import re
import shutil
import subprocess

from support.case import EndToEnd
from support.processes import BIN, SOURCE

MANUALS = SOURCE / "docs/man"
INSTALL = SOURCE / "tools/install"
PROGRAMS = sorted(path.name for path in BIN.iterdir() if re.fullmatch("z[a-z]+", path.name) and os.access(path, os.X_OK))
ROW = re.compile(r"^ +(?:-(\w),)? *--([a-z-]+)(?: (\S+))?  ", re.M)
ITEM = re.compile(r"^\.It Fl (?:(\w) , Fl )?-([a-z-]+)(?: Ar (\S+))?$", re.M)


class Manuals(EndToEnd):
    def help(self, program):
        return self.world.run(program, "--help").stdout

    def rows(self, program):
        """(letter, name, word for the value) of each option."""
        return set(ROW.findall(self.help(program)))

    def page(self, program):
        return (MANUALS / f"{program}.1").read_text()

    def test_every_program_has_a_page_and_no_page_is_left_over(self):
        self.assertEqual(sorted(path.stem for path in MANUALS.glob("*.1")), PROGRAMS)

    def test_every_page_has_exactly_the_options_of_its_program(self):
        for program in PROGRAMS:
            rows = self.rows(program)
            self.assertIn(("h", "help", ""), rows)
            self.assertEqual(set(ITEM.findall(self.page(program))), rows, program)

    def test_every_page_has_exactly_the_exit_codes_of_its_program(self):
        for program in PROGRAMS:
            codes = set(re.findall(r"(?:^|[ ,])([0-4]) [a-z]", self.help(program).split("Exit codes:")[1]))
            section = self.page(program).split(".Sh EXIT STATUS")[1].split(".El")[0]
            self.assertEqual(set(re.findall(r"^\.It (\d)$", section, re.M)), codes, program)

    def test_the_page_of_znode_has_exactly_the_commands_of_its_console(self):
        rows = re.findall(r'\{CONSOLE_\w+, "([^"]+)"', (SOURCE / "node/console_command.c").read_text())
        items = re.findall(r"^\.It Ic (.+?)(?: Ar .*)?$", self.page("znode").replace(r"\&", ""), re.M)
        self.assertEqual({tuple(item.split(" , ")) for item in items}, {tuple(row.split()) for row in rows})

    def test_the_overview_names_every_program(self):
        text = (MANUALS / "zswarm.7").read_text()
        for program in PROGRAMS:
            self.assertIn(f".It Xr {program} 1\n", text)
            self.assertRegex(text.split(".Sh SEE ALSO")[1], rf"\.Xr {program} 1\b")

    def test_every_page_formats_without_a_warning(self):
        commands = [command for command in (["mandoc", "-Tlint", "-Wwarning"], ["man", "-l", "--warnings"])
                    if shutil.which(command[0])]
        if not commands:
            self.skip_loudly("neither mandoc nor man")
        for command in commands:
            for path in sorted(MANUALS.iterdir()):
                run = subprocess.run([*command, path], env={**os.environ, "LC_ALL": "C.UTF-8"}, capture_output=True,
                                     text=True, check=False)
                problems = run.stdout if command[0] == "mandoc" else run.stderr
                self.assertEqual((run.returncode, problems), (0, ""), path)

    def test_pages_are_dated_and_say_what_they_are(self):
        for path in MANUALS.iterdir():
            self.assertRegex(path.read_text(), rf"(?s)^.*\.Dt {path.stem.upper()} {path.suffix[1:]}\n.*\.Sh NAME\n\.Nm {path.stem}\n")


class Completion(EndToEnd):
    def setUp(self):
        super().setUp()
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        for name in ("a file", "b"):
            self.world.path("here", name).write_bytes(b"")
        self.world.path("here", "folder", "x").write_bytes(b"")

    def run_shell(self, *command):
        run = subprocess.run(command, env=self.env, cwd=self.world.path("here"), capture_output=True, text=True,
                             check=False)
        self.assertEqual(run.stderr, "")
        return run.stdout

    def bash(self, *words):
        """What bash offers for the last word."""
        script = f". {INSTALL}/zswarm.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _zswarm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return self.run_shell("bash", "--norc", "-c", script, "bash", *words).splitlines()

    def rows(self, program):
        return ROW.findall(self.world.run(program, "--help").stdout)

    def test_both_shells_complete_every_program(self):
        self.assertIn(f"\ncomplete -F _zswarm {' '.join(sorted_like_usage())}\n", (INSTALL / "zswarm.bash").read_text())
        self.assertTrue((INSTALL / "_zswarm").read_text().startswith(f"#compdef {' '.join(sorted_like_usage())}\n"))

    def test_bash_offers_exactly_the_options(self):
        for program in PROGRAMS:
            self.assertEqual(sorted(self.bash(program, "--")), sorted(f"--{name}" for _, name, _ in self.rows(program)))

    def test_bash_offers_files_where_an_option_takes_files_and_nothing_where_not(self):
        for program in PROGRAMS:
            for letter, name, word in self.rows(program):
                if not word:
                    continue
                for words in ([f"--{name}", ""], [f"--{name}", "="], *([[f"-{letter}", ""]] if letter else [])):
                    offered = set(self.bash(program, *words)) - {""}
                    if "FILE" in word:
                        self.assertEqual(offered, {"a file", "b", "folder"}, (program, words))
                    elif "DIR" in word:
                        self.assertEqual(offered, {"folder"}, (program, words))
                    else:
                        choices = {part for part in word.split("|") if re.fullmatch("[a-z0-9]+", part) and "|" in word}
                        self.assertEqual(offered, choices, (program, words))

    def test_bash_offers_files_as_operands_where_the_program_takes_files(self):
        self.assertEqual(set(self.bash("zhash", "")), {"a file", "b", "folder"})
        self.assertEqual(set(self.bash("zhash", "--json", "a")), {"a file"})
        self.assertEqual(set(self.bash("zput", "fo")), {"folder"})
        self.assertEqual(self.bash("zsearch", ""), [""])

    def test_zsh_offers_exactly_the_options(self):
        if not shutil.which("zsh"):
            self.skip_loudly("no zsh")
        script = ("_arguments() { print -rl -- \"$@\" }; _call_program() { shift; eval \"$@\" }; words=($1); "
                  f". {INSTALL}/_zswarm")
        for program in PROGRAMS:
            specs = self.run_shell("zsh", "-f", "-c", script, "zsh", program).splitlines()
            found = {match.groups() for spec in specs if (match := re.match(r"\*--([a-z-]+)(=?)\[.*\](?::.*:(.*))?$", spec))}
            wanted = {(name, "=" if word else "", self.zsh_action(word)) for _, name, word in self.rows(program)}
            self.assertEqual(found, wanted, program)

    def zsh_action(self, word):
        if not word:
            return None
        choices = [part for part in word.split("|") if re.fullmatch("[a-z0-9]+", part)]
        return "_files" if "FILE" in word else "_files -/" if "DIR" in word else f"({' '.join(choices)})" if choices else " "


def sorted_like_usage():
    """The programs in the order in which a person meets them."""
    order = ["zbroker", "znode", "zsearch", "zget", "zput", "zls", "zpeers", "zhash", "zstat"]
    return sorted(PROGRAMS, key=order.index)
