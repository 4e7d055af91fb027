# SPDX-License-Identifier: MIT
"""zget of folders and globs: what is fetched, where it lands, what is left alone, and with which exit code.

What could go wrong: a part of the tree is missing and nobody says so; two versions of a tree are mixed; a name from a
stranger, or a link planted in the target, leads out of it; a killed run leaves half a file under its name, or fetches
everything again.
"""

import os
import signal
import stat
import time
import unittest

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_node import CorruptNode, FakeNode, GatedNode, MuteNode, RefusingNode
from support.processes import STOP_S, Result
from support.tree import id_of

SMALL = {f"tree/{folder}/{number}.txt": random_bytes(1000 * number + 1, number + ord(folder))
         for folder in "ab" for number in range(5)}
EDGES = {f"tree/edge/{size}": random_bytes(size, size) for size in (0, 1, 16384, 16385, 65535, 65536, 65537, 3000001)}
TREE = {**SMALL, **EDGES}


def named(*names):
    """Files whose content is their name: a fake node knows its files by their ids."""
    return [zsp.SharedFile(name, name.encode()) for name in names]


class Folder(EndToEnd):
    def setUp(self):
        super().setUp()
        self.out = self.world.folder / "out"

    def serve(self, name, files, broker):
        return self.world.node(name, broker, self.world.share(f"share-{name}", files))

    def network(self, *shares):
        """A broker and a node for each dict of files."""
        broker = self.world.broker()
        nodes = [self.serve(f"node{number}", files, broker) for number, files in enumerate(shares)]
        self.world.wait_found(broker)
        for node, files in zip(nodes, shares):
            self.world.wait_shared(node, *files)
        return broker, nodes

    def get(self, where, *args, **options):
        where = ["--from", where] if isinstance(where, str) else ["--broker", where.endpoint]
        return self.world.run("zget", *where, "-d", self.out, *args, **options)

    def fakes(self, *nodes):
        return [self.world.fake(node) for node in nodes]

    def landed(self):
        return {path.relative_to(self.out).as_posix(): path.read_bytes()
                for path in self.out.rglob("*") if path.is_file()}

    def assert_landed(self, files):
        landed = self.landed()
        self.assertEqual(sorted(landed), sorted(files))
        for name, data in files.items():
            self.assertTrue(landed[name] == data, f"{name} has other bytes")


class Tree(Folder):
    def test_a_tree_from_two_nodes_with_different_parts(self):
        parts = ({k: v for i, (k, v) in enumerate(TREE.items()) if i % 3 != n} for n in (0, 1))
        broker, _ = self.network(*parts, {"other/tree/x": b"x"})
        result = self.get(broker, "--json", "tree/")
        self.assert_exit(result, 0)
        self.assert_landed(TREE)
        files = {o["path"]: o for o in result.objects("file")}
        self.assertEqual(sorted(files), sorted(f"{self.out}/{name}" for name in TREE))
        for name, data in TREE.items():
            file = files[f"{self.out}/{name}"]
            self.assertEqual((file["id"], file["received"] - file["wasted"]), (id_of(data).hex(), len(data)))
        starts = {o["name"]: o for o in result.objects("start")}
        self.assertEqual(set(starts), set(TREE))
        total = sum(map(len, TREE.values()))
        done = result.done
        self.assertEqual((done["files"], done["bytes"], done["received"] - done["wasted"]), (len(TREE), total, total))

    def test_people_are_told_in_one_line(self):
        broker, _ = self.network(SMALL)
        result = self.get(broker, "tree/")
        self.assert_exit(result, 0)
        self.assertEqual(len(result.stderr.splitlines()), 1, f"\n{result}")
        self.assertIn("10 of 10 files", result.stderr)

    def test_include_and_exclude(self):
        broker, _ = self.network(SMALL)
        cases = ((["--include", "1.txt"], {"tree/a/1.txt", "tree/b/1.txt"}),
                 (["--include", "a/*"], {f"tree/a/{n}.txt" for n in range(5)}),
                 (["--include", "tree/a/*", "--exclude", "[23]*"], {f"tree/a/{n}.txt" for n in (0, 1, 4)}),
                 (["--include", "1.txt", "--include", "2.TXT", "--exclude", "tree/b/*"],
                  {"tree/a/1.txt", "tree/a/2.txt"}),
                 (["--exclude", "*.txt"], None))
        for patterns, expected in cases:
            with self.subTest(patterns=patterns):
                result = self.get(broker, *patterns, "tree/")
                self.assert_exit(result, 0 if expected else 1)
                self.assertEqual(set(self.landed()) if expected else set(), expected or set())
                self.assertEqual("--exclude leave none" in result.stderr, not expected)
                for name in self.landed():
                    (self.out / name).unlink()

    def test_a_glob_fetches_every_name_that_matches(self):
        broker, _ = self.network({**SMALL, "x/only.txt": b"1"}, {"y/only.txt": b"1", "y/no.bin": b"2"})
        self.assert_exit(self.get(broker, "--glob", "*/ONLY.txt", "tree/a/[01]*"), 0)
        self.assert_landed({"x/only.txt": b"1", "y/only.txt": b"1",
                            **{name: SMALL[name] for name in ("tree/a/0.txt", "tree/a/1.txt")}})

    def test_a_glob_with_more_matches_than_a_search_gives_is_complete(self):
        files = {f"many/{number:04}.dat": b"%d" % number for number in range(700)}
        broker, (node,) = self.network(files)
        self.assert_exit(self.get(broker, "--glob", "*.dat"), 0)
        self.assert_landed(files)

    def test_a_glob_for_many_copies_of_one_file_is_complete(self):
        """A broker keeps 8 names of one file."""
        files = {f"copies/{number}/LICENSE": b"same" for number in range(12)}
        broker, _ = self.network({**files, **{f"empty/{number}/LICENSE": b"" for number in range(9)}})
        self.assert_exit(self.get(broker, "--glob", "copies/*/LICENSE"), 0)
        self.assert_landed(files)
        self.assert_exit(self.get(broker, "--glob", "*/*/LICENSE"), 0)
        self.assertEqual(len(self.landed()), 21)

    def test_from_a_node_without_a_broker(self):
        _, (node,) = self.network(TREE)
        self.assert_exit(self.get(node.endpoint, "tree/"), 0)
        self.assert_landed(TREE)
        self.assert_exit(self.get(node.endpoint, "--glob", "--exclude", "tree/b/*", "4.txt"), 0)

    def test_times_and_executable_bits_are_kept(self):
        share = self.world.share("share", {"tree/run.sh": b"#!/bin/sh\n", "tree/big": random_bytes(200000), "tree/empty": b""})
        os.chmod(share / "tree/run.sh", 0o755)
        for number, name in enumerate(sorted(os.listdir(share / "tree"))):
            os.utime(share / "tree" / name, ns=(10**18, (1234567890123 + number) * 10**6))
        node = self.world.node("node", None, share)
        self.world.wait_shared(node, "tree/run.sh", "tree/big", "tree/empty")
        self.assert_exit(self.get(node.endpoint, "tree/"), 0)
        self.assert_exit(self.get(node.endpoint, "run.sh"), 0)
        for number, name in enumerate(("big", "empty", "run.sh")):
            status = (self.out / "tree" / name).stat()
            self.assertEqual(status.st_mtime_ns // 10**6, 1234567890123 + number, name)
            self.assertEqual(bool(status.st_mode & stat.S_IXUSR), name == "run.sh", name)
        single = (self.out / "run.sh").stat()
        self.assertEqual(single.st_mtime_ns // 10**6, 1234567890125)
        self.assertTrue(single.st_mode & stat.S_IXUSR)

    def test_a_thousand_files_of_many_nodes_and_all_bytes_once(self):
        files = {f"tree/{number % 7}/{number:05}": random_bytes(number * 7 % 9000, number) for number in range(2000)}
        names = sorted(files)
        broker, _ = self.network({n: files[n] for n in names[:1500]}, {n: files[n] for n in names[500:]}, files)
        result = self.get(broker, "--json", "tree/")
        self.assert_exit(result, 0)
        self.assert_landed(files)
        self.assertEqual(result.done["received"], sum(map(len, files.values())))
        self.assertEqual(len(result.objects("file")), 2000)


class Missing(Folder):
    def test_a_folder_that_nobody_has_is_a_proven_negative(self):
        broker, _ = self.network(SMALL)
        result = self.get(broker, "--json", "absent/")
        self.assert_exit(result, 1)
        self.assertIn("absent/", result.done["error"])
        self.assert_exit(self.get(broker, "--glob", "*.absent"), 1)
        self.assertFalse(self.out.exists())

    def test_a_folder_further_down_is_not_meant_but_named(self):
        broker, _ = self.network({"up/down/x": b"x"})
        result = self.get(broker, "down/")
        self.assert_exit(result, 1)
        self.assertIn("up/down/", result.stderr)

    def test_a_silent_node_makes_it_incomplete_after_the_rest_was_fetched(self):
        broker, nodes = self.network(SMALL, {"tree/more": b"more"})
        nodes[1].signal(signal.SIGSTOP)
        result = self.get(broker, "tree/")
        self.assert_exit(result, 3)
        self.assert_landed(SMALL)
        self.assertIn("silent", result.stderr)
        nodes[1].signal(signal.SIGCONT)
        self.world.wait_found(broker, "tree/more")
        self.assert_exit(self.get(broker, "tree/"), 0)
        self.assert_landed({**SMALL, "tree/more": b"more"})

    def test_a_silent_node_proves_no_negative(self):
        broker, (node,) = self.network(SMALL)
        node.signal(signal.SIGSTOP)
        self.assert_exit(self.get(broker, "tree/"), 3)
        self.assert_exit(self.get(node.endpoint, "--timeout", "1", "tree/"), 3)

    def test_a_lister_that_fails_makes_it_incomplete_after_the_rest_was_fetched(self):
        class NoList(FakeNode):
            def on_list(self, route, message):
                self.error(route, message.rid, zsp.INTERNAL)

        broker, _ = self.network(SMALL)
        self.fakes(NoList([zsp.SharedFile("tree/more", b"more")], broker.endpoint))
        result = self.get(broker, "--timeout", "10", "tree/")
        self.assert_exit(result, 3)
        self.assert_landed(SMALL)

    def test_a_file_that_no_source_gives_is_named(self):
        (good, bad) = self.fakes(FakeNode([zsp.SharedFile("tree/a", b"a")]),
                                 RefusingNode([zsp.SharedFile("tree/b", b"b")]))
        result = self.world.run("zget", "--from", good.endpoint, "--from", bad.endpoint, "-d", self.out, "tree/")
        self.assert_exit(result, 3)
        self.assertIn("tree/b", result.stderr)
        self.assert_landed({"tree/a": b"a"})

    def test_a_mute_node_is_given_up(self):
        (mute,) = self.fakes(MuteNode([zsp.SharedFile("tree/a", b"a")]))
        result = self.get(mute.endpoint, "--timeout", "1", "--json", "tree/")
        self.assert_exit(result, 3)
        self.assertTrue(result.done["error"])

    def test_wrong_bytes_come_from_elsewhere_and_the_liar_is_named(self):
        files = [zsp.SharedFile(f"tree/{n}", random_bytes(3000, n)) for n in range(50)]
        liar, honest = self.fakes(CorruptNode(files), GatedNode(files))
        get = self.world.start("zget", "--from", liar.endpoint, "--from", honest.endpoint, "--json", "-d", self.out,
                               "tree/")
        get.wait_event("source", lambda source: source["state"] == "banned")
        honest.open_gate()
        result = Result(get, get.wait())
        self.assert_exit(result, 0)
        self.assert_landed({file.name: file.data for file in files})
        banned = [o["port"] for o in result.objects("source") if o["state"] == "banned"]
        self.assertEqual(banned, [liar.port])

    def test_only_wrong_bytes_leave_nothing_under_a_name(self):
        (liar,) = self.fakes(CorruptNode([zsp.SharedFile("tree/a", b"a" * 100)]))
        self.assert_exit(self.get(liar.endpoint, "tree/"), 3)
        self.assertEqual(self.landed(), {})

    def test_an_argument_that_is_no_name_is_an_error(self):
        broker, _ = self.network(SMALL)
        for text in ("/", "//", "../", "./", "a/../", "a//", "/tree/"):
            with self.subTest(text=text):
                self.assert_exit(self.get(broker, text), 2)
        self.assert_exit(self.get(broker, "-o", "x", "tree/"), 2)


class TwoVersions(Folder):
    def test_one_path_with_two_contents_is_told_and_nothing_is_fetched_until_from_chooses(self):
        versions = [{**SMALL, "tree/which": b"one"}, {**SMALL, "tree/which": b"two"}]
        broker, nodes = self.network(*versions)
        result = self.get(broker, "tree/")
        self.assert_exit(result, 4)
        for data in (b"one", b"two"):
            self.assertIn(id_of(data).hex()[:12], result.stderr)
        for node in nodes:
            self.assertIn(node.endpoint.rsplit(":", 1)[1], result.stderr)
        self.assertEqual(list(self.out.rglob("*")) if self.out.exists() else [], [])
        self.assert_exit(self.get(broker, "--exclude", "which", "tree/"), 0)
        self.assert_exit(self.get(nodes[1].endpoint, "tree/"), 0)
        self.assert_landed(versions[1])

    def test_a_glob_with_two_contents_of_one_name(self):
        broker, _ = self.network({"x": b"one"}, {"x": b"two", "y": b"y"})
        self.assert_exit(self.get(broker, "--glob", "?"), 4)
        self.assert_exit(self.get(broker, "--glob", "y*"), 0)
        self.assert_landed({"y": b"y"})


class Existing(Folder):
    def test_what_is_there_is_left_alone_and_costs_no_traffic(self):
        files = [zsp.SharedFile(name, data) for name, data in TREE.items()]
        (fake,) = self.fakes(FakeNode(files))
        self.world.share("out", TREE)
        before = {name: (self.out / name).stat() for name in TREE}
        result = self.get(fake.endpoint, "--json", "tree/")
        self.assert_exit(result, 0)
        self.assertEqual(fake.seen_of(zsp.READ), [])
        self.assertEqual((result.done["files"], result.done["received"]), (len(TREE), 0))
        for name in TREE:
            after = (self.out / name).stat()
            self.assertEqual((after.st_ino, after.st_mtime_ns), (before[name].st_ino, before[name].st_mtime_ns))

    def test_a_different_file_is_kept_and_the_others_are_fetched(self):
        broker, _ = self.network(TREE)
        mine = {"tree/a/1.txt": b"mine", "tree/edge/16384": random_bytes(16384, 77), "tree/edge/65537": b"mine"}
        self.world.share("out", mine)
        result = self.get(broker, "tree/")
        self.assert_exit(result, 2)
        for name in mine:
            self.assertIn(name, result.stderr)
        self.assert_landed({**TREE, **mine})
        self.assert_exit(self.get(broker, "--force", "tree/"), 0)
        self.assert_landed(TREE)

    def test_many_large_files_that_are_different_or_in_the_way_keep_none_of_the_others_back(self):
        tree = {f"tree/{folder}/{i}.bin": random_bytes(70000, i) for folder in "abc" for i in range(5)}
        broker, _ = self.network(tree)
        mine = {"tree/a": b"a file", **{f"tree/b/{i}.bin": b"mine" for i in range(4)}}
        self.world.share("out", mine)
        result = self.get(broker, "tree/")
        self.assert_exit(result, 2)
        self.assertNotIn("missing", result.stderr)
        self.assert_landed({**mine, **{k: v for k, v in tree.items() if k.startswith("tree/c/") or k == "tree/b/4.bin"}})

    def test_a_folder_or_file_in_the_way_is_an_error_and_the_others_are_fetched(self):
        broker, _ = self.network(SMALL)
        self.world.share("out", {"tree/a": b"a file", "tree/b/1.txt/x": b"a folder"})
        result = self.get(broker, "tree/")
        self.assert_exit(result, 2)
        self.assert_landed({"tree/a": b"a file", "tree/b/1.txt/x": b"a folder",
                            **{k: v for k, v in SMALL.items() if k.startswith("tree/b/") and k != "tree/b/1.txt"}})

    def test_a_planted_link_never_leads_out(self):
        broker, _ = self.network(TREE)
        elsewhere = self.world.path("elsewhere/keep")
        elsewhere.write_bytes(b"keep")
        for planted, target in (("tree", elsewhere.parent), ("tree/a", elsewhere.parent),
                                ("tree/edge", elsewhere.parent), ("tree/a/1.txt", elsewhere),
                                ("tree/edge/65537", elsewhere)):
            for force in ([], ["--force"]):
                with self.subTest(planted=planted, force=force):
                    path = self.out / planted
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.symlink_to(target)
                    result = self.get(broker, *force, "tree/")
                    self.assertIn(result.code, (0, 2) if force else (2,), f"\n{result}")
                    self.assertEqual(os.listdir(elsewhere.parent), ["keep"])
                    self.assertEqual(elsewhere.read_bytes(), b"keep")
                    self.clear()

    def clear(self):
        for path in sorted(self.out.rglob("*"), reverse=True):
            path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()

    def test_a_target_that_cannot_be_made_is_an_error_that_names_it(self):
        broker, _ = self.network(SMALL)
        self.world.share("", {"out": b"a file"})
        result = self.get(broker, "tree/")
        self.assert_exit(result, 2)
        self.assertIn("out", result.stderr)


class Hostile(Folder):
    FORBIDDEN = ("tree/../../x", "/tree/x", "tree//x", "tree/.", "tree/", "../tree/x", "tree/a\0b", "tree/\x1b[2J")
    HIDDEN = ("tree/.profile", "tree/.ssh/authorized_keys", "tree/a/.x/y")

    def test_names_that_no_rule_allows_are_passed_over(self):
        good = zsp.SharedFile("tree/good", b"good")

        class Lying(FakeNode):
            def on_list(fake, route, message):
                names = sorted((*self.FORBIDDEN, "tree/good", "elsewhere/x"), key=str.encode)
                files = [zsp.File(good.file_id, good.root, 4, name) for name in names]
                fake.send(route, zsp.LIST_OK, message.rid, 0, 0, len(files), files)

        before = set(self.world.folder.iterdir())
        (fake,) = self.fakes(Lying([good]))
        result = self.get(fake.endpoint, "--json", "tree/")
        self.assert_exit(result, 0)
        self.assert_clean_output(result)
        self.assert_landed({"tree/good": b"good"})
        self.assertEqual(set(self.world.folder.iterdir()) - before, {self.out})

    def test_hidden_names_are_refused_unless_they_were_typed(self):
        (fake,) = self.fakes(FakeNode(named(*self.HIDDEN, "tree/good", "tree/.typed/x")))
        result = self.get(fake.endpoint, "tree/")
        self.assert_exit(result, 2)
        self.assertIn(".profile", result.stderr)
        self.assert_landed({"tree/good": b"tree/good"})
        self.assert_exit(self.get(fake.endpoint, "tree/.typed/"), 0)
        self.assert_exit(self.get(fake.endpoint, "--glob", "tree/.prof*"), 0)
        self.assert_landed({name: name.encode() for name in ("tree/good", "tree/.typed/x", "tree/.profile")})

    def test_names_that_a_folder_cannot_hold_are_refused_and_the_others_fetched(self):
        too_long, longest = ("tree/" + "n" * size for size in (256, 255))
        (fake,) = self.fakes(FakeNode(named(too_long, longest, "tree/good")))
        result = self.get(fake.endpoint, "tree/")
        self.assert_exit(result, 2)
        self.assert_landed({name: name.encode() for name in (longest, "tree/good")})

    def test_a_name_that_is_a_file_here_and_a_folder_there(self):
        (fake,) = self.fakes(FakeNode(named("tree/a", "tree/a/b")))
        result = self.get(fake.endpoint, "tree/")
        self.assert_exit(result, 2)
        self.assertEqual(len(self.landed()), 1)

    def test_a_list_that_never_ends_is_not_waited_for(self):
        class Endless(FakeNode):
            def on_list(fake, route, message):
                fake.send(route, zsp.LIST_OK, message.rid, 0, message.cursor + 1, 10**9, [])

        (fake,) = self.fakes(Endless())
        self.assert_exit(self.get(fake.endpoint, "--timeout", "1", "tree/"), 3)


class Killed(Folder):
    def test_killed_again_and_again_it_ends_complete_and_fetches_nothing_twice(self):
        files = [zsp.SharedFile(f"tree/{n % 3}/{n:04}", random_bytes(2000 + n, n)) for n in range(600)]
        (node,) = self.fakes(GatedNode(files))
        portion = 100000
        for number in range(1, 5):
            node.gate_bytes = number * portion
            process = self.world.start("zget", "--from", node.endpoint, "-d", self.out, "tree/")
            wait_until(lambda: node.sent_bytes > node.gate_bytes - 3000, "some files to come")  # one is smaller than that
            process.kill()
            node.call(node.held.clear)  # it is dead
        self.assert_no_half_files(files)
        node.open_gate()
        self.assert_exit(self.get(node.endpoint, "tree/"), 0)
        self.assert_landed({file.name: file.data for file in files})
        self.assertLessEqual(node.sent_bytes, sum(len(file.data) for file in files) + 4 * portion)

    def assert_no_half_files(self, files):
        contents = {file.name: file.data for file in files}
        for name, data in self.landed().items():
            if not name.rsplit("/", 1)[-1].startswith("."):
                self.assertTrue(data == contents[name], name)

    def test_what_was_written_under_a_partial_name_is_not_fetched_again(self):
        shared = zsp.SharedFile("tree/a", b"a" * 5000)
        (fake,) = self.fakes(FakeNode([shared]))
        partial = f"tree/.a.{shared.file_id.hex()[:12]}.zpart"
        for data, read_count in ((shared.data, 0), (b"b" * 5000, 1), (shared.data + b"more", 2), (b"", 3)):
            self.world.share("out", {partial: data})
            self.assert_exit(self.get(fake.endpoint, "tree/"), 0)
            self.assert_landed({"tree/a": shared.data})
            self.assertEqual(len(fake.seen_of(zsp.READ)), read_count)
            (self.out / "tree/a").unlink()

    def test_interrupted_it_says_so_and_the_same_command_goes_on(self):
        files = [zsp.SharedFile(f"tree/{n:04}", random_bytes(3000, n)) for n in range(300)]
        (node,) = self.fakes(GatedNode(files))
        process = self.world.start("zget", "--from", node.endpoint, "--json", "-d", self.out, "tree/")
        node.wait_seen(zsp.READ)
        process.signal(signal.SIGINT)
        began = time.monotonic()
        self.assertEqual(process.wait(), 3, f"\n{process}")
        self.assertLess(time.monotonic() - began, STOP_S)
        self.assertEqual([o["event"] for o in process.objects()].count("done"), 1)
        node.open_gate()
        self.assert_exit(self.get(node.endpoint, "tree/"), 0)
        self.assert_landed({file.name: file.data for file in files})

    def test_a_broker_does_not_make_it_deaf_to_signals(self):
        broker = self.world.broker()
        slow = MuteNode([zsp.SharedFile("tree/a", b"a")], broker.endpoint)
        self.fakes(slow)
        process = self.world.start("zget", "--broker", broker.endpoint, "--json", "-d", self.out, "tree/")
        slow.wait_seen(zsp.READ)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 3, f"\n{process}")
        self.assertEqual(process.objects()[-1]["event"], "done")


if __name__ == "__main__":
    unittest.main()
