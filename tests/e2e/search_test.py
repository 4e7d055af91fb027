# SPDX-License-Identifier: MIT
"""Searches over real nodes: what is found, and above all what is proven when nothing is.

What could go wrong: a negative that proves nothing (a stopped node, an unfinished scan) reported as proven; a match
that one mode misses; counts that do not add up.
"""

import signal
import unittest

from support import matching, zsp
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient
from support.fake_node import ByeInSearch, FakeNode, SilentInSearch
from support.processes import STOP_S
from support.tree import id_of

SHARED = b"the same bytes on two nodes"
REPORT = random_bytes(70000)


class Search(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        shares = ({"music/Ação e Reação.mp3": b"acao", "common.dat": SHARED, "linux kernel 6.1.tar": b"kernel"},
                  {"reports/annual report 2023.pdf": REPORT, "copy of common.dat": SHARED},
                  {"ΣΊΣΥΦΟΣ.txt": b"sisyphos", "straße.txt": b"street", "deep/er/a.b.c": b"deep"})
        self.nodes = []
        for number, files in enumerate(shares, 1):
            folder = self.world.share(f"share{number}", files)
            self.nodes.append(self.world.node(f"node{number}", self.broker, folder))
        self.world.wait_found(self.broker, *(name for files in shares for name in files))

    def search(self, *args):
        """It is over when all have answered; who never does is waited for until the timeout."""
        return self.world.run("zsearch", "--broker", self.broker.endpoint, "--timeout", "10", *args)

    def names(self, *args):
        """The names of the files found, and the program's exit code."""
        result = self.search("--json", *args)
        self.assertEqual(result.done["asked"],
                         result.done["positive"] + result.done["negative"] + result.done["silent"], f"\n{result}")
        return sorted(name for o in result.objects("file") for name in o["names"]), result.code

    def test_words_in_any_order_and_case_are_found(self):
        self.assertEqual(self.names("REPORT", "Annual"), (["reports/annual report 2023.pdf"], 0))
        self.assertEqual(self.names("reports/ann"), (["reports/annual report 2023.pdf"], 0))

    def test_accents_do_not_matter(self):
        for text in ("acao", "AÇÃO", "reação", "ac\u0327a\u0303o"):
            self.assertEqual(self.names(text), (["music/Ação e Reação.mp3"], 0), text)
        self.assertEqual(self.names("strasse"), (["straße.txt"], 0))
        self.assertEqual(self.names("σίσυφος"), (["ΣΊΣΥΦΟΣ.txt"], 0))

    def test_exact_means_the_base_name_or_the_whole_name_byte_for_byte(self):
        self.assertEqual(self.names("--exact", "annual report 2023.pdf"), (["reports/annual report 2023.pdf"], 0))
        self.assertEqual(self.names("--exact", "reports/annual report 2023.pdf"),
                         (["reports/annual report 2023.pdf"], 0))
        for text in ("Annual report 2023.pdf", "annual report 2023", "strasse.txt"):
            self.assertEqual(self.names("--exact", text), ([], 1), text)

    def test_glob_without_a_slash_looks_at_base_names(self):
        self.assertEqual(self.names("--glob", "annual*2023.p?f"), (["reports/annual report 2023.pdf"], 0))
        self.assertEqual(self.names("--glob", "[a-c].B.[!d]"), (["deep/er/a.b.c"], 0))
        self.assertEqual(self.names("--glob", "reports*"), ([], 1))

    def test_glob_with_a_slash_looks_at_whole_names_and_stars_stop_at_slashes(self):
        self.assertEqual(self.names("--glob", "reports/*"), (["reports/annual report 2023.pdf"], 0))
        self.assertEqual(self.names("--glob", "deep/*/a.*"), (["deep/er/a.b.c"], 0))
        self.assertEqual(self.names("--glob", "deep/*.c"), ([], 1))

    def test_id_prefix_of_any_case_and_odd_length(self):
        digits = id_of(REPORT).hex()
        for text in (digits, digits[:8], digits[:9].upper()):
            self.assertEqual(self.names("--id", text), (["reports/annual report 2023.pdf"], 0), text)
        self.assertEqual(self.search("--id", digits[:7]).code, 2)

    def test_one_file_under_two_names_is_one_entry_with_two_sources(self):
        result = self.search("--json", "common")
        self.assert_exit(result, 0)
        (entry,) = result.objects("file")
        self.assertEqual(entry["id"], id_of(SHARED).hex())
        self.assertEqual(sorted(entry["names"]), ["common.dat", "copy of common.dat"])
        self.assertEqual({s["node"] for s in entry["sources"]}, {node.node_id for node in self.nodes[:2]})
        self.assertEqual({s["port"] for s in entry["sources"]}, {node.port for node in self.nodes[:2]})
        self.assertEqual({s["have"] for s in entry["sources"]}, {1})

    def test_table_shows_short_id_size_sources_and_name(self):
        result = self.search("annual")
        self.assert_exit(result, 0)
        line = next(line for line in result.stdout.splitlines() if "annual" in line)
        self.assertEqual(line.split()[0], id_of(REPORT).hex()[:12])
        self.assertTrue(line.endswith("reports/annual report 2023.pdf"), line)
        self.assertIn("asked 3, positive 1, negative 2, silent 0, skipped 0", result.stderr)

    def test_a_missing_name_is_a_proven_negative(self):
        result = self.search("no-such-file-anywhere")
        self.assert_exit(result, 1)
        self.assertIn("asked 3, positive 0, negative 3, silent 0, skipped 0", result.stderr)

    def test_a_stopped_node_proves_nothing(self):
        self.nodes[2].signal(signal.SIGSTOP)
        result = self.search("--json", "--timeout", "5", "no-such-file-anywhere")
        self.assert_exit(result, 3)
        self.assertEqual((result.done["negative"], result.done["silent"]), (2, 1))
        self.nodes[2].signal(signal.SIGCONT)
        self.world.wait_found(self.broker, "straße.txt")
        self.assert_exit(self.search("no-such-file-anywhere"), 1)

    def test_what_others_have_is_found_while_one_node_is_stopped(self):
        self.nodes[2].signal(signal.SIGSTOP)
        self.assertEqual(self.names("--timeout", "5", "annual"), (["reports/annual report 2023.pdf"], 0))

    def test_a_killed_node_is_silent_or_gone_never_a_negative(self):
        self.nodes[2].kill()
        result = self.search("--json", "--timeout", "5", "no-such-file-anywhere")
        self.assertIn((result.code, result.done["asked"]), ((1, 2), (3, 3)), f"\n{result}")

    def test_sizes_bound_inclusively(self):
        self.assertEqual(self.names("--min-size", "70000", "--max-size", "70000", "")[1], 0)
        self.assertEqual(self.names("--min-size", "70001", "annual"), ([], 1))
        self.assertEqual(self.names("--max-size", "69999", "annual"), ([], 1))

    def test_limit_counts_ids_and_says_that_more_exist(self):
        result = self.search("--json", "--limit", "2", "")
        self.assertEqual(len(result.objects("file")), 2)
        self.assertTrue(result.done["truncated"])
        self.assertFalse(self.search("--json", "annual").done["truncated"])

    def test_agrees_with_an_independent_matcher(self):
        with BrokerClient(self.broker.endpoint) as client:
            everything = [(file.name, file.file_id, file.size) for file in client.search(matching.WORDS, "")[0]]
            for mode, text in ((0, "e"), (0, "a o"), (2, "*"), (2, "*.[a-z]??"), (2, "*/*"), (2, "s*"), (2, "*[.]c"),
                               (2, "?????e.txt"), (2, "[!a-z]*"), (2, "*report*"), (0, "report  annual "), (2, "/"),
                               (0, "Σ"), (2, "ac?o*")):
                expected = sorted({name for name, file_id, size in everything
                                   if matching.matches(mode, text, name, file_id, size)})
                self.assertEqual(sorted(set(client.names(mode, text))), expected, (mode, text))


class Incomplete(EndToEnd):
    def test_a_file_that_is_still_hashed_is_never_proven_absent(self):
        broker = self.world.broker()
        folder = self.world.share("share", {"small.txt": b"small"})
        with open(folder / "huge.img", "wb") as huge:
            huge.truncate(400 << 30)  # sparse: minutes of hashing, no disk
        node = self.world.node("node", broker, folder)
        for args in (("huge",), ("--exact", "huge.img"), ("--glob", "huge.*"), ("--id", "00000000")):
            result = self.world.run("zsearch", "--broker", broker.endpoint, "--json", *args)
            self.assert_exit(result, 3)
            self.assertEqual(result.done["silent"], 1, args)
        code, seconds = node.terminate()
        self.assertEqual(code, 0)
        self.assertLess(seconds, STOP_S)

    def test_an_asker_that_left_with_bye_in_the_middle_of_the_search_is_a_negative(self):
        broker = self.world.broker()
        self.world.fake(ByeInSearch([zsp.SharedFile("a", b"a")], broker.endpoint))
        self.world.fake(FakeNode([zsp.SharedFile("b", b"b")], broker.endpoint))
        result = self.world.run("zsearch", "--broker", broker.endpoint, "--json", "--timeout", "10", "absent")
        self.assert_exit(result, 1)
        self.assertEqual((result.done["asked"], result.done["negative"]), (2, 2))
        self.assertLess(result.done["ms"], 10000)

    def test_a_node_that_never_answers_is_silent(self):
        broker = self.world.broker()
        self.world.fake(SilentInSearch([], broker.endpoint))
        result = self.world.run("zsearch", "--broker", broker.endpoint, "--json", "--timeout", "5", "absent")
        self.assert_exit(result, 3)
        self.assertEqual(result.done["silent"], 1)

    def test_no_node_at_all_is_a_negative(self):
        broker = self.world.broker()
        result = self.world.run("zsearch", "--broker", broker.endpoint, "absent")
        self.assert_exit(result, 1)
        self.assertIn("asked 0", result.stderr)


if __name__ == "__main__":
    unittest.main()
