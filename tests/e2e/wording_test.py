# SPDX-License-Identifier: MIT
"""What the programs say when something is wrong: what, why, and the cure, in a line or two.

What could go wrong: a cure that makes it worse, or is none; one message for three causes; a name that is there and is not
found because an accent was typed another way; a program that talks to the wrong kind of program and blames the network.
"""

import os
import unicodedata
import unittest

from support.case import EndToEnd

NAME = "Ação é.txt"


class Wording(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.files = {NAME: b"accents", "-dash.txt": b"dash", "plain.txt": b"plain", "tree/1": b"1", "tree/2": b"2"}
        self.node = self.world.node("node", self.broker, self.world.share("share", self.files))
        self.world.wait_found(self.broker, *self.files)

    def get(self, *args):
        return self.world.run("zget", "--broker", self.broker.endpoint, "-d", "out", *args)

    def ask(self, *args):
        return self.world.run("zget", "--from", self.node.endpoint, "-d", "out", *args)

    def assert_said(self, result, code, *words):
        self.assert_exit(result, code)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_a_name_is_found_however_its_accents_were_typed(self):
        for run in (self.get, self.ask):
            for form in ("NFC", "NFD"):
                result = run(unicodedata.normalize(form, NAME))
                self.assert_exit(result, 0)
                self.assertEqual(self.world.path("out", NAME).read_bytes(), b"accents")
                self.world.path("out", NAME).unlink()

    def test_what_is_not_found_comes_with_a_hint(self):
        for run in (self.get, self.ask):
            self.assert_said(run("PLAIN.txt"), 1, "exact", "/", "zsearch")
            self.assert_said(run("plai?.txt"), 1, "--glob")
        self.assert_said(self.world.run("zsearch", "--broker", self.broker.endpoint, "plai*"), 1, "--glob")
        self.assertNotIn("--glob", self.get("--glob", "nothing*").stderr)

    def test_a_name_that_begins_with_a_dash(self):
        self.assert_said(self.get("-dash.txt"), 2, "--")
        self.assert_said(self.get("-xash.txt"), 2, "behind --")
        self.assert_exit(self.get("--", "-dash.txt"), 0)

    def test_an_empty_name_is_a_usage_error(self):
        for run in (self.get, self.ask):
            self.assert_said(run(""), 2, "no name")

    def test_each_reason_why_a_name_cannot_be_is_told_apart(self):
        for name, word in (("x" * 1025, "longer than"), ("a\x07b", "control"), ("a\udcffb", "UTF-8")):
            for run in (self.get, self.ask):
                self.assert_said(run(name), 2, word)
            self.assert_said(self.world.run("zsearch", "--broker", self.broker.endpoint, name), 2, word)
            self.assert_said(self.world.run("zls", self.node.endpoint, name), 2, word)

    def test_a_node_is_no_broker_and_a_broker_no_node(self):
        node, broker = f"tcp://{self.node.endpoint}", self.broker.endpoint.removeprefix("tcp://")
        for program, *args in (["zget", "x"], ["zsearch", "x"], ["zpeers"], ["zstat"], ["zget", "tree/"]):
            self.assert_said(self.world.run(program, "--broker", node, *args), 2, "not a broker", "--broker")
        self.assert_said(self.world.run("zls", broker), 2, "not a node", "zpeers")
        self.assert_said(self.world.run("zget", "--from", broker, "--timeout", "5", "x"), 3, "broker", "try again")

    def test_zls_with_a_name_points_to_where_addresses_are(self):
        self.assert_said(self.world.run("zls", "node"), 2, "zpeers")

    def test_zls_that_lists_nothing_says_why(self):
        self.assert_said(self.world.run("zls", self.node.endpoint, "none"), 1, "begins with 'none'")

    def test_what_force_cannot_cure_does_not_ask_for_it(self):
        out = self.world.path("out")
        out.mkdir()
        fifo, folder, dangling = out / "fifo", out / "folder", out / "dangling"
        os.mkfifo(fifo)
        folder.mkdir()
        dangling.symlink_to("nowhere")
        for target, word in ((fifo, "-o -"), (folder, "folder"), (dangling, "nowhere"), ("/dev/null", "-o -")):
            result = self.world.run("zget", "--from", self.node.endpoint, "-o", target, "plain.txt")
            self.assert_said(result, 2, word)
            self.assertNotIn("--force", result.stderr)
        self.assertEqual(os.readlink(dangling), "nowhere")
        result = self.world.run("zget", "--from", self.node.endpoint, "--force", "-o", dangling, "plain.txt")
        self.assert_exit(result, 0)
        self.assertEqual(dangling.read_bytes(), b"plain")

    def test_files_that_are_all_here_have_no_rate(self):
        self.assert_exit(self.get("tree/"), 0)
        result = self.get("tree/")
        self.assert_said(result, 0, "2 files", "already here")
        self.assertNotIn("/s", result.stderr)
        self.assert_said(self.get("--glob", "*/1"), 0, "1 file,", "already here")

    def test_a_part_that_took_more_than_itself_says_what_its_rate_counts(self):
        self.assert_said(self.get("--range", "1-2", "-o", "-", "plain.txt"), 0, "plain.txt: 2 B, 5 B fetched in ")
        self.assertNotIn("fetched", self.get("-o", self.world.path("whole"), "plain.txt").stderr)

    def test_where_nothing_is_kept_nobody_is_told_so(self):
        fake = "127.0.0.1:1"
        result = self.world.run("zget", "--from", self.node.endpoint, "-o", "-", "absent.txt")
        self.assertNotIn("kept", result.stderr)
        self.assert_said(self.world.run("zget", "--from", fake, "--timeout", "1", "-o", "-", "x"), 3, fake)

    def test_a_limit_is_what_its_help_says(self):
        self.assert_exit(self.world.run("zsearch", "--broker", self.broker.endpoint, "--limit", "0", "txt"), 0)
        result = self.world.run("zsearch", "--broker", self.broker.endpoint, "--limit", "1", "--json", "txt")
        self.assertEqual(len(result.objects("file")), 1)
        self.assertTrue(result.done["truncated"])
        self.assert_said(self.world.run("zsearch", "--limit", "1001", "txt"), 2, "0", "1000")


if __name__ == "__main__":
    unittest.main()
