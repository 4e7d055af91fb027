# SPDX-License-Identifier: MIT
"""Names from strangers: they never leave the download folder, and never reach a terminal raw.

What could go wrong: `../x` or an absolute name written where it says; an escape sequence that rewrites the screen; a
bidi override that disguises an extension; a name that is an option of the next program in a script.
"""

import json
import os
import pty
import subprocess
import time
import unittest

from support import zsp
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_client import BrokerClient, PeerClient
from support.fake_node import FakeNode, SlowNode
from support.processes import BIN
from support.terminal import read_master

ESC, BIDI = "\x1b[2J\x1b]52;c;aGk=\x07", "\u202e"
# Names that no rule of the protocol allows.
FORBIDDEN = ("../x", "/etc/x", "a/../../x", "..", ".", "", "a//x", "a/", "./x", f"{ESC}x", "a\nb", "a\0b", "\x7fx", "\x9bx",
             "n" * 1025, "\udcff\udcfex")
# Names that are legal on the wire, and hostile all the same.
LEGAL = (f"{BIDI}gpj.exe", "\u2066isolated", "line\u2028separator", "-rf", "$(id)", "`id`", "C:\\x", "CON", "nul.txt",
         "trailing. ", " leading", "%n%s%n", "n" * 200, "e\u0301.txt", "\u00e9.txt", "a'b\"c", "\ufeffbom", "~", "*")


class Hostile(EndToEnd):
    def setUp(self):
        super().setUp()
        self.target = self.world.path("jail/out")
        self.target.mkdir(parents=True)
        self.data = random_bytes(5000)
        self.honest = zsp.SharedFile("ok.txt", self.data)

    def file(self, name):
        return zsp.File(self.honest.file_id, self.honest.root, len(self.data), name)

    def listing(self):
        """Everything in the test's folder but what programs keep below home."""
        return {path.relative_to(self.world.folder).as_posix() for path in self.world.folder.rglob("*")
                if "home" not in path.relative_to(self.world.folder).parts[:1]}

    def assert_jailed(self, before):
        new = self.listing() - before
        self.assertEqual([path for path in new if not path.startswith("jail/out/")], [])
        for path in new:
            self.assertNotIn("/", path.removeprefix("jail/out/"), "a stranger made a folder")
        self.assertFalse(os.path.exists("/etc/x"))

    def node(self, name):
        """A node that gives its file this name in every reply."""
        class Renaming(FakeNode):
            def open_fields(fake, shared):
                return shared.file(name=name), shared.chunk_log2, None

            def on_list(fake, route, message):
                fake.send(route, zsp.LIST_OK, message.rid, 0, 0, 1, [self.file(name)])
        return self.world.fake(Renaming([self.honest]))

    def source(self, node):
        return [node.node_id, "127.0.0.1", node.port, "node", None]


class HostileNames(Hostile):
    def test_a_fetch_by_id_from_a_node_with_a_forbidden_name_writes_nothing_outside(self):
        before = self.listing()
        for name in FORBIDDEN:
            with self.subTest(name=ascii(name)[:40]):
                node = self.node(name)
                result = self.world.run("zget", "--from", node.endpoint, "--json", "--timeout", "1", "-d", self.target,
                                        self.honest.file_id.hex())
                self.assertIn(result.code, (1, 2, 3), f"\n{result}")
                self.assert_clean_output(result)
                self.assert_jailed(before)
                self.assertEqual(result.objects("file"), [])

    def test_a_found_with_a_forbidden_name_gives_nothing_under_that_name(self):
        before = self.listing()
        node = self.world.fake(FakeNode([self.honest]))
        for name in FORBIDDEN:
            with self.subTest(name=ascii(name)[:40]):
                broker = self.world.fake(FakeBroker([(self.file(name), [self.source(node)])]))
                for command in (["zsearch", "--json", "ok"], ["zsearch", "ok"],
                                ["zget", "-d", self.target, self.honest.file_id.hex()]):
                    result = self.world.run(*command, "--broker", broker.endpoint, "--timeout", "1")
                    self.assert_clean_output(result)
                    self.assert_jailed(before)
                for path in self.target.glob("*"):
                    self.assertEqual(path.name, "ok.txt")
                    path.unlink()

    def test_a_base_name_as_long_as_the_disk_allows(self):
        name = "n" * 251 + ".txt"
        node = self.world.fake(FakeNode([zsp.SharedFile(f"dir/{name}", self.data)]))
        result = self.world.run("zget", "--from", node.endpoint, "-d", self.target, name)
        self.assert_exit(result, 0)
        self.assertEqual([path.name for path in self.target.iterdir()], [name])

    def test_a_base_name_longer_than_the_disk_allows_ends_with_a_clear_error_or_a_shorter_name(self):
        node = self.world.fake(FakeNode([zsp.SharedFile("n" * 300 + ".txt", self.data)]))
        result = self.world.run("zget", "--from", node.endpoint, "-d", self.target, self.honest.file_id.hex())
        self.assertIn(result.code, (0, 2), f"\n{result}")
        self.assert_clean_output(result)

    def test_legal_but_hostile_names_land_under_one_name_in_the_folder(self):
        before = self.listing()
        for name in LEGAL:
            with self.subTest(name=ascii(name)[:40]):
                node = self.world.fake(FakeNode([zsp.SharedFile(f"dir/{name}", self.data)]))
                broker = self.world.fake(FakeBroker([(self.file(f"dir/{name}"), [self.source(node)])]))
                result = self.world.run("zget", "--broker", broker.endpoint, "-d", self.target,
                                        self.honest.file_id.hex())
                self.assert_exit(result, 0)
                self.assert_clean_output(result)
                self.assert_jailed(before)
                (path,) = self.target.iterdir()
                self.assertTrue(path.read_bytes() == self.data)
                path.unlink()

    def test_tables_and_json_show_hostile_names_escaped(self):
        for name in LEGAL:
            with self.subTest(name=ascii(name)[:40]):
                node = self.node(f"dir/{name}")
                broker = self.world.fake(FakeBroker([(self.file(f"dir/{name}"), [self.source(node)])]))
                for command in (["zsearch", "--broker", broker.endpoint], ["zls", node.endpoint]):
                    text = ["dir"] if command[0] == "zsearch" else []
                    plain, objects = self.world.run(*command, *text), self.world.run(*command, "--json", *text)
                    self.assert_exit(plain, 0)
                    self.assert_clean_output(plain)
                    self.assert_clean_output(objects)
                    self.assertEqual(objects.objects("file")[0]["name"], f"dir/{name}")

    def test_names_of_nodes_and_words_of_errors_are_escaped_too(self):
        hostile = f"{BIDI}evil\u2028"
        node = self.world.fake(FakeNode([self.honest], name=hostile))
        broker = self.world.fake(FakeBroker([(self.file("ok.txt"), [[node.node_id, "127.0.0.1", node.port, hostile,
                                                                    None]])]))
        for command in (["zsearch", "--broker", broker.endpoint, "ok"],
                        ["zsearch", "--broker", broker.endpoint, "--json", "ok"],
                        ["zget", "--broker", broker.endpoint, "--json", "-d", self.target, "ok.txt"]):
            result = self.world.run(*command)
            self.assert_exit(result, 0)
            self.assert_clean_output(result)

        class Rude(FakeBroker):
            def on_search(self, route, message):
                self.send(route, zsp.ERROR, message.rid, zsp.DENIED, hostile, 0)
        rude = self.world.fake(Rude())
        for args in ((), ("--json",)):
            result = self.world.run("zsearch", "--broker", rude.endpoint, "--timeout", "20", *args, "ok")
            self.assert_exit(result, 2)
            self.assert_clean_output(result)

    def test_a_terminal_gets_no_format_character_from_a_name(self):
        """On a terminal there is colour and a progress bar, so control characters of our own; but no stranger's."""
        name = f"{BIDI}gpj.exe\u2028"
        node = self.world.fake(SlowNode([zsp.SharedFile(f"dir/{name}", random_bytes(3 << 20))], name=f"{BIDI}evil"))
        terminal, their_end = pty.openpty()
        process = subprocess.Popen([BIN / "zget", "--from", node.endpoint, "-d", self.target,
                                    next(iter(node.files)).hex()], stdin=their_end, stdout=their_end, stderr=their_end,
                                   env={**self.world.env, "TERM": "xterm"})
        os.close(their_end)
        output = b""
        while data := read_master(terminal):
            output += data
        os.close(terminal)
        self.assertEqual(process.wait(), 0, output)
        for character in (BIDI, "\u2028"):
            self.assertNotIn(character.encode(), output)

    def test_a_link_in_the_download_folder_is_not_followed(self):
        outside = self.world.share("outside", {"precious": b"precious"})
        (self.target / "ok.txt").symlink_to(outside / "precious")
        node = self.world.fake(FakeNode([self.honest]))
        for args in ((), ("--json",)):
            result = self.world.run("zget", "--from", node.endpoint, *args, "-d", self.target, "ok.txt")
            self.assertNotEqual(result.code, 0, f"\n{result}")
            self.assertEqual((outside / "precious").read_bytes(), b"precious")


class HostileShares(Hostile):
    """Names on our own disk, which may come from anywhere too."""

    def test_bad_bytes_on_disk_are_shared_under_a_cleaned_name(self):
        folder = self.world.share("share", {})
        for raw in (b"bad\xff.txt", b"esc\x1b[2J.txt", b"new\nline.txt"):
            with open(os.path.join(os.fsencode(folder), raw), "wb") as stream:
                stream.write(raw)
        node = self.world.node("node", None, folder)
        names = ("bad\ufffd.txt", "esc\ufffd[2J.txt", "new\ufffdline.txt")
        self.world.wait_shared(node, *names)
        listed = self.world.run("zls", node.endpoint)
        self.assert_exit(listed, 0)
        self.assert_clean_output(listed)
        with PeerClient(node.endpoint) as client:
            client.hello()
            for file in client.list():
                self.assertEqual(len(client.fetch(file.file_id)), file.size)

    def test_what_must_not_be_shared_is_not(self):
        secret = self.world.share("secret", {"canary.txt": b"CANARY"})
        folder = self.world.share("share", {"plain.txt": b"plain", ".hidden": b"CANARY", ".dir/x": b"CANARY",
                                            "inner/target.txt": b"inner"})
        (folder / "out.txt").symlink_to(secret / "canary.txt")
        (folder / "outdir").symlink_to(secret)
        (folder / "passwd").symlink_to("/etc/passwd")
        (folder / "loop").symlink_to(folder)
        (folder / "broken").symlink_to(folder / "nothing")
        os.mkfifo(folder / "fifo")
        (folder / "denied").mkdir()
        node = self.world.node("node", None, folder)
        self.world.wait_shared(node, "plain.txt", "inner/target.txt")
        with PeerClient(node.endpoint) as client:
            client.hello()
            names = {file.name for file in client.list()}
            self.assertEqual({name for name in names if not name.startswith("loop/")},
                             {"plain.txt", "inner/target.txt"})
            for name in ("../secret/canary.txt", ".hidden", "/etc/passwd", "outdir/canary.txt", "out.txt"):
                self.world_refuses(client, name)

    def test_a_folder_that_is_swapped_for_a_link_never_gives_away_what_is_outside(self):
        canary = b"CANARY" * 1000
        secret = self.world.share("secret", {"target.txt": canary})
        folder = self.world.share("share", {"inner/target.txt": b"harmless" * 750})
        self.assertEqual(len(canary), 6000)
        node = self.world.node("node", None, folder)
        self.world.wait_shared(node, "inner/target.txt")
        harmless = zsp.SharedFile("x", b"harmless" * 750).file_id
        inner, aside = folder / "inner", folder / ".aside"
        end = time.monotonic() + 3
        with PeerClient(node.endpoint) as client:
            client.hello()
            while time.monotonic() < end:
                inner.rename(aside)
                inner.symlink_to(secret)
                reads = [client.send(zsp.READ, harmless, 0, 6000), client.send(zsp.OPEN, None, "inner/target.txt"),
                         client.send(zsp.LIST, "", 0, 0)]
                inner.unlink()
                reads.append(client.send(zsp.READ, harmless, 0, 6000))
                aside.rename(inner)
                replies = [client.receive() for _ in reads]  # in any order
                self.assertEqual({reply.rid for reply in replies}, set(reads), replies)
                for reply in replies:
                    if reply.kind == zsp.DATA:
                        self.assertNotIn(b"CANARY", reply.payload)
                    if reply.kind == zsp.LIST_OK:
                        self.assertLessEqual({file.file_id for file in reply.files}, {harmless})

    def world_refuses(self, client, name):
        rid = client.send(zsp.OPEN, None, name)
        reply = client.reply(rid, zsp.ERROR)
        self.assertIn(reply.code, (zsp.NOT_FOUND, zsp.BAD_MESSAGE), name)

    def test_a_name_at_the_limit_is_shared_and_one_beyond_is_reported(self):
        parts = ["d" * 250] * 4
        fits = "/".join(parts + ["n" * 20])
        beyond = "/".join(parts + ["n" * 21])
        self.assertEqual(len(fits), 1024)
        folder = self.world.share("share", {fits: b"fits", beyond: b"beyond"})
        node = self.world.node("node", None, folder)
        self.world.wait_shared(node, fits)
        node.wait_stderr(r"1024")
        with PeerClient(node.endpoint) as client:
            client.hello()
            self.assertEqual([file.name for file in client.list()], [fits])

    def test_json_of_a_hostile_name_is_one_line_and_exact(self):
        name = "tab\there" + BIDI + "\u2028.txt"
        folder = self.world.share("share", {name: b"x"})
        broker = self.world.broker()
        self.world.node("node", broker, folder)
        cleaned = name.replace("\t", "\ufffd")
        self.world.wait_found(broker, cleaned)
        result = self.world.run("zsearch", "--broker", broker.endpoint, "--json", "tab")
        self.assertEqual([json.loads(line)["event"] for line in result.stdout.splitlines()], ["file", "done"])
        self.assertEqual(result.objects("file")[0]["name"], cleaned)
        self.assert_clean_output(result)
        with BrokerClient(broker.endpoint) as client:
            self.assertEqual(client.names(0, "tab"), [cleaned])


if __name__ == "__main__":
    unittest.main()
