# SPDX-License-Identifier: MIT
"""The folders of a node: home, Download, Temp, and what is wrong with them.

What could go wrong: something unfinished or private is shared; a folder that cannot be used is noticed only when a
download fails, or ends the node without saying which; folders appear where nobody asked for them.
"""

import os
import shutil
import subprocess

from support.case import EndToEnd
from support.fake_client import PeerClient
from support.processes import BIN


class Folders(EndToEnd):
    def start(self, *args, **options):
        node = self.world.start("znode", "--no-broker", "--bind", "127.0.0.1", "--port", self.world.port(), *args, **options)
        self.world.wait_node(node)
        return node

    def names(self, node, *wanted):
        """What the node shares, once `wanted` is part of it."""
        self.world.wait_shared(node, *wanted)
        with PeerClient(node.endpoint) as client:
            client.hello()
            return sorted(file.name for file in client.list())

    def tree(self):
        """A home with a file in each of its folders."""
        return self.world.share("home-x", {"top": b"1", "Download/done": b"2", "Temp/half": b"3", "other/far": b"4"})

    def refused(self, *args, says, **options):
        """The node ends with 2 and one line that has all of `says`."""
        result = self.world.run("znode", "--no-broker", "--bind", "127.0.0.1", *args, **options)
        self.assert_exit(result, 2)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, lines)
        for text in says:
            self.assertIn(text, lines[0])

    def test_the_default_home_has_the_port_in_its_name_and_is_the_same_at_the_next_start(self):
        node = self.start("--port", "auto")
        home = self.world.folder / f"home/Downloads/P2P/User-{node.port}"
        self.assertTrue((home / "Download").is_dir())
        node.terminate()
        (home / "Download/a").write_bytes(b"a")
        node = self.start("--port", "0")
        self.assertEqual(self.names(node, "a"), ["a"])
        self.assertEqual(os.listdir(home.parent), [home.name])

    def test_home_and_download_are_shared_and_temp_is_not(self):
        self.assertEqual(self.names(self.start("--home", self.tree()), "top", "done"), ["done", "top"])

    def test_temp_is_not_shared_even_if_a_share_has_it_inside(self):
        home = self.tree()
        node = self.start("--home", home, "--share", home)
        self.assertEqual(self.names(node, "top"), ["Download/done", "done", "other/far", "top"])

    def test_another_temp_is_not_shared_either(self):
        share = self.tree()
        node = self.start("--share", share, "--temp", share / "other")
        self.assertEqual(self.names(node, "top"), ["Download/done", "Temp/half", "top"])

    def test_a_share_that_is_temp_itself_is_told(self):
        home = self.tree()
        node = self.start("--home", home, "--share", home / "Temp")
        node.wait_stderr("not shared: .*/home-x/Temp: unfinished downloads are kept there")
        self.assertEqual(self.names(node, "top"), ["done", "top"])

    def test_with_a_share_no_folder_is_made_that_was_not_asked_for(self):
        share = self.world.share("share", {"a": b"a"})
        self.names(self.start("--share", share), "a")
        self.assertEqual(os.listdir(share), ["a"])
        self.assertFalse((self.world.folder / "home/Downloads").exists())

    def test_names_with_spaces_quotes_accents_and_dashes(self):
        for number, name in enumerate(("a b", "it's", 'say "x"', "Ação", "-dash", "back\\slash")):
            home = self.world.path("homes", name)
            node = self.start(f"--home={home}", "--name", f"n{number}")
            (home / "Download/file").write_bytes(b"a")
            self.assertEqual(self.names(node, "file"), ["file"])

    def test_a_file_where_a_folder_should_be_is_an_error_that_names_it(self):
        file = self.world.path("file")
        file.write_bytes(b"")
        home = self.world.path("home-y")
        self.refused("--home", file, says=[f"'{file}/Download'", "Not a directory", "--home"])
        self.refused("--home", file / "below", says=[f"'{file}/below/Download'", "Not a directory", "--home"])
        self.refused("--share", file, says=[f"'{file}'", "Not a directory", "--share"])
        self.refused("--share", self.world.folder / "nothing", says=["nothing'", "No such file", "--share"])
        self.refused("--home", home, "--temp", file, says=[str(file), "Not a directory", "--temp"])
        self.refused("--state", file, says=[str(file), "--state"])

    def test_an_empty_folder_name_is_a_usage_error(self):
        for option in ("--home", "--share", "--temp", "--state"):
            self.refused(option, "", says=[f"{option} needs a value"])

    def test_folders_that_a_user_may_not_use_are_errors_that_name_them(self):
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skip_loudly("needs root and setpriv, to be another user")
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        self.world.folder.chmod(0o755)
        if subprocess.run([*user, BIN / "znode", "--version"], capture_output=True, check=False).returncode != 0:
            self.skip_loudly("another user may not run the programs here")
        state, locked, readable = (self.world.path(name) for name in ("state", "locked", "readable"))
        for folder, mode in ((state, 0o777), (locked, 0o700), (readable, 0o755)):
            folder.mkdir()
            folder.chmod(mode)
        options = {"prefix": user, "env": {"HOME": str(readable)}}
        self.refused("--state", state, "--home", locked, says=[f"'{locked}/Download'", "Permission denied", "--home"], **options)
        self.refused("--state", state, "--home", readable, says=[f"'{readable}/Download'", "Permission denied", "--home"], **options)
        self.refused("--state", state, says=["Downloads/P2P/User-", "Permission denied", "--home"], **options)
        self.refused("--state", state, "--share", locked / "x", says=["Permission denied", "--share"], **options)
        self.refused("--state", state, "--share", readable, "--temp", locked, says=[str(locked), "Permission denied", "--temp"], **options)
        self.refused("--share", readable, says=[f"cannot keep state in {readable}/.local/state/zswarm/node-1", "--state"], **options)
        node = self.start("--state", state, "--share", locked, **options)
        node.wait_stderr(rf"not shared: {locked}: Permission denied")
