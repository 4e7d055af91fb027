# SPDX-License-Identifier: MIT
"""What happens to a share while a node runs, as others see it.

What could go wrong: a change that is never seen; an id that outlives its content; a file that is shared while it is
still being written; a folder whose files came before its watch; a manifest that a bad line or an editor breaks.
"""

import os
import subprocess
import unittest

from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient, PeerClient
from support.tree import id_of


class Watched(EndToEnd):
    def start(self, files=None, args=()):
        self.share = self.world.share("share", files or {})
        self.node = self.world.node("n", None, self.share, args)

    def listed(self):
        """Name to id of all that the node lists."""
        with PeerClient(self.node.endpoint) as client:
            client.hello()
            try:
                return {file.name: file.file_id for file in client.list()}
            except AssertionError:
                return {"(it changed between two pages)": b""}

    def expect(self, files):
        """Until exactly these are shared: a dict from name to bytes."""
        wanted = {name: id_of(data) for name, data in files.items()}
        seen = [None]

        def is_so():
            seen[0] = self.listed()
            return seen[0] == wanted
        try:
            wait_until(is_so, f"the node to list {sorted(files)}")
        except Exception as error:
            wrong = sorted(set(seen[0].items()) ^ set(wanted.items()))[:20]
            raise AssertionError(f"{error}; different: {wrong}\n{self.node}") from None


class Files(Watched):
    def test_a_new_file_is_shared_and_withdrawn_when_it_goes(self):
        self.start({"old": b"1"})
        self.expect({"old": b"1"})
        (self.share / "new").write_bytes(b"22")
        self.expect({"old": b"1", "new": b"22"})
        (self.share / "old").unlink()
        self.expect({"new": b"22"})

    def test_a_change_is_hashed_anew(self):
        self.start({"f": b"before"})
        self.expect({"f": b"before"})
        (self.share / "f").write_bytes(b"after, and longer")
        self.expect({"f": b"after, and longer"})
        with open(self.share / "f", "r+b") as stream:
            stream.write(b"AFTER")
        self.expect({"f": b"AFTER, and longer"})

    def test_a_file_that_grows_slowly_ends_up_whole(self):
        self.start()
        data = random_bytes(300000)
        with open(self.share / "log", "wb") as stream:
            for begin in range(0, len(data), 10000):
                stream.write(data[begin:begin + 10000])
                stream.flush()
                self.listed()  # some time goes by
        self.expect({"log": data})

    def test_renames_and_replacement_by_rename(self):
        self.start({"a": b"a", "b": b"b"})
        self.expect({"a": b"a", "b": b"b"})
        (self.share / "a").rename(self.share / "c")
        self.expect({"c": b"a", "b": b"b"})
        (self.share / "c").rename(self.share / "b")
        self.expect({"b": b"a"})
        (self.share / ".b.new").write_bytes(b"edited")
        (self.share / ".b.new").rename(self.share / "b")
        self.expect({"b": b"edited"})

    def test_a_file_that_may_not_be_read_is_withdrawn_and_told_and_comes_back(self):
        if os.getuid() == 0 and subprocess.run(["setpriv", "--version"], capture_output=True, check=False).returncode:
            self.skip_loudly("root reads everything, and there is no setpriv")
        prefix = ("setpriv", "--reuid=65534", "--clear-groups") if os.getuid() == 0 else ()
        self.share = self.world.share("share", {"f": b"f", "open": b"o"})
        if os.getuid() == 0:
            for folder, _, names in os.walk(self.world.folder):
                for path in [folder] + [os.path.join(folder, name) for name in names]:
                    os.chown(path, 65534, -1)
        self.world.path("state", "x")
        if os.getuid() == 0:
            os.chown(self.world.folder / "state", 65534, -1)
        self.node = self.world.node("n", None, self.share, prefix=prefix)
        self.expect({"f": b"f", "open": b"o"})
        (self.share / "f").chmod(0)
        self.expect({"open": b"o"})
        self.node.wait_stderr(r"not shared: f: Permission denied")
        (self.share / "f").chmod(0o644)
        self.expect({"f": b"f", "open": b"o"})

    def test_a_name_that_is_not_utf8_is_cleaned_and_numbered(self):
        self.start()
        for raw in (b"x\xff", b"x\xfe"):
            with open(os.path.join(os.fsencode(self.share), raw), "wb") as stream:
                stream.write(raw)
            name = "x\ufffd" if raw == b"x\xff" else "x\ufffd (2)"
            wait_until(lambda name=name: name in self.listed(), f"{name!r} to be shared")
        self.expect({"x\ufffd": b"x\xff", "x\ufffd (2)": b"x\xfe"})

    def test_hidden_special_and_foreign_things_are_not_shared(self):
        self.start()
        secret = self.world.path("secret")
        secret.write_bytes(b"s")
        (self.share / ".hidden").write_bytes(b"h")
        (self.share / ".dir").mkdir()
        (self.share / ".dir" / "f").write_bytes(b"h")
        os.mkfifo(self.share / "fifo")
        (self.share / "link").symlink_to(secret)
        (self.share / "last").write_bytes(b"l")
        self.expect({"last": b"l"})


class Folders(Watched):
    def test_a_tree_that_is_made_at_once_is_seen_whole(self):
        self.start()
        files = {}
        for i in range(40):
            name = f"d{i % 8}/e{i}/f/g{i}"
            (self.share / name).parent.mkdir(parents=True)
            (self.share / name).write_bytes(name.encode())
            files[name] = name.encode()
        self.expect(files)
        (self.share / "d0/e0/f/late").write_bytes(b"late")
        self.expect({**files, "d0/e0/f/late": b"late"})

    def test_trees_move_in_about_and_out(self):
        self.start({"stays": b"s"})
        outside = self.world.share("outside", {"t/a": b"a", "t/u/b": b"b"})
        (outside / "t").rename(self.share / "in")
        self.expect({"stays": b"s", "in/a": b"a", "in/u/b": b"b"})
        (self.share / "in").rename(self.share / "about")
        self.expect({"stays": b"s", "about/a": b"a", "about/u/b": b"b"})
        (self.share / "about" / "u" / "c").write_bytes(b"c")
        self.expect({"stays": b"s", "about/a": b"a", "about/u/b": b"b", "about/u/c": b"c"})
        (self.share / "about").rename(outside / "t")
        self.expect({"stays": b"s"})
        (outside / "t" / "u" / "b").write_bytes(b"no longer watched")
        (self.share / "end").write_bytes(b"e")
        self.expect({"stays": b"s", "end": b"e"})

    def test_a_folder_is_removed_and_a_file_takes_its_place(self):
        self.start({"x/a": b"a", "x/y/b": b"b"})
        self.expect({"x/a": b"a", "x/y/b": b"b"})
        subprocess.run(["rm", "-r", self.share / "x"], check=True)
        self.expect({})
        (self.share / "x").write_bytes(b"x")
        self.expect({"x": b"x"})

    def test_the_share_itself_goes_and_comes_back(self):
        self.start({"f": b"f"})
        self.expect({"f": b"f"})
        self.share.rename(self.world.folder / "away")
        self.expect({})
        self.node.wait_stderr("the share folder is not there")
        (self.world.folder / "away").rename(self.share)
        self.expect({"f": b"f"})
        (self.share / "g").write_bytes(b"g")
        self.expect({"f": b"f", "g": b"g"})

    def test_links_inside_the_share_follow_what_they_lead_to(self):
        self.start({"real/f": b"1"})
        (self.share / "link").symlink_to("real")
        self.expect({"real/f": b"1", "link/f": b"1"})
        (self.share / "real" / "g").write_bytes(b"2")
        self.expect({"real/f": b"1", "link/f": b"1", "real/g": b"2", "link/g": b"2"})
        (self.share / "link").unlink()
        self.expect({"real/f": b"1", "real/g": b"2"})

    def test_thousands_of_files_at_once_lose_none(self):
        self.start()
        files = {}
        for i in range(3000):
            name = f"{i % 3}/{i}"
            path = self.share / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())
            files[name] = name.encode()
        self.expect(files)
        for i in range(0, 3000, 2):
            (self.share / f"{i % 3}/{i}").unlink()
            del files[f"{i % 3}/{i}"]
        self.expect(files)


class Others(Watched):
    def test_the_broker_is_told(self):
        broker = self.world.broker()
        self.share = self.world.share("share", {})
        self.node = self.world.node("n", broker, self.share)

        def told(files, size):
            wait_until(lambda: self.world.run("zpeers", "--broker", broker.endpoint, "--json").objects("peer")[0]
                       ["bytes"] == size, f"{files} files of {size} bytes at the broker")
        (self.share / "f").write_bytes(b"12345")
        told(1, 5)
        (self.share / "f").write_bytes(b"1234567")
        told(1, 7)
        (self.share / "f").unlink()
        told(0, 0)

    def test_a_name_is_known_before_its_hash_and_never_denied(self):
        broker = self.world.broker()
        self.share = self.world.share("share", {})
        self.node = self.world.node("n", broker, self.share)
        self.world.wait_found(broker)
        with open(self.share / "growing", "wb") as stream, BrokerClient(broker.endpoint) as client:
            def is_doubted():
                stream.write(b"more")
                stream.flush()
                _, done = client.search(1, "growing")
                return done.silent == 1
            wait_until(is_doubted, "a search that proves nothing while the file grows")


class Limits(Watched):
    def user_namespace(self, watches):
        """The words before a command that may add only so many watches; None when this machine cannot."""
        # This one is the namespace's own; the one in fs/inotify is the machine's, whoever writes it.
        script = f'echo {watches} > /proc/sys/user/max_inotify_watches && exec "$@"'
        prefix = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
        works = subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0
        return prefix if works else None

    def test_without_watches_it_scans_and_says_so_once(self):
        prefix = self.user_namespace(3)
        if not prefix:
            self.skip_loudly("no user namespace in which watches can be limited")
        self.share = self.world.share("share", {f"d{i}/f": b"%d" % i for i in range(6)})
        self.node = self.world.node("n", None, self.share, prefix=prefix)
        files = {f"d{i}/f": b"%d" % i for i in range(6)}
        self.expect(files)
        self.node.wait_stderr("max_user_watches")
        for i in range(6):
            (self.share / f"d{i}" / "g").write_bytes(b"g%d" % i)
            files[f"d{i}/g"] = b"g%d" % i
        self.expect(files)
        self.node.terminate()
        self.assertEqual(sum("max_user_watches" in line for line in self.node.stderr.lines), 1)


class Manifest(Watched):
    def start_with(self, text, args=()):
        self.files = self.world.share("files", {"a": b"a", "two words": b"2", "deep/b": b"b"})
        self.manifest = self.files / "list"
        self.manifest.write_text(text)
        self.node = self.world.node("n", None, None, ("--manifest", self.manifest, *args))

    def test_exactly_what_it_says_is_shared_under_those_names(self):
        self.start_with(f'# what we give\nfirst a\nsome/where "two words"\nagain {self.world.folder}/files/a\n'
                        "deep\\ one deep/b # a comment\n")
        self.expect({"first": b"a", "some/where": b"2", "again": b"a", "deep one": b"b"})
        (self.files / "more").write_bytes(b"not in it")
        (self.files / "a").write_bytes(b"changed")
        self.expect({"first": b"changed", "some/where": b"2", "again": b"changed", "deep one": b"b"})
        self.assertTrue(list((self.world.folder / "home/Downloads/P2P").iterdir()), "downloads have a home")

    def test_a_log_beside_its_files_does_not_have_all_of_them_looked_at_all_the_time(self):
        files = {f"{i}": b"%d" % i for i in range(2000)}
        self.world.share("files", files)
        self.start_with("".join(f"n{i} {i}\n" for i in range(2000)))
        self.expect({f"n{i}": data for i, data in ((i, files[f"{i}"]) for i in range(2000))})
        before = self.node.cpu_seconds()
        for i in range(1000):
            (self.files / f"log.{i}").write_bytes(b"a line")
        (self.files / "1").write_bytes(b"changed")
        self.expect({f"n{i}": b"changed" if i == 1 else files[f"{i}"] for i in range(2000)})
        self.assertLess(self.node.cpu_seconds() - before, 5, "a look at all of them takes some hundredths of this")

    def test_it_is_read_again_when_it_is_written_replaced_or_gone(self):
        self.start_with("one a\n")
        self.expect({"one": b"a"})
        self.manifest.write_text("one a\ntwo deep/b\n")
        self.expect({"one": b"a", "two": b"b"})
        replacement = self.files / "list.new"
        replacement.write_text("three a\n")
        replacement.rename(self.manifest)
        self.expect({"three": b"a"})
        self.manifest.unlink()
        self.node.wait_stderr("cannot be read: No such file or directory; what it said last still holds")
        self.expect({"three": b"a"})
        self.manifest.write_text("four a\n")
        self.expect({"four": b"a"})
        self.manifest.unlink()
        wait_until(lambda: self.node.stderr.so_far.count("cannot be read") == 2, "a second line")

    def test_bad_lines_are_told_by_number_and_the_good_ones_stay(self):
        self.start_with("good a\nalone\n../evil a\nthree words here\ngood deep/b\nnone nowhere\ndir deep\n")
        self.expect({"good": b"a"})
        for line in (2, 3, 4, 5, 6, 7):
            self.node.wait_stderr(rf"list: line {line}: ")
        (self.files / "nowhere").write_bytes(b"here")
        self.expect({"good": b"a", "none": b"here"})

    def test_links_are_followed_and_special_files_are_not_shared(self):
        secret = self.world.path("elsewhere", "s")
        secret.write_bytes(b"s")
        self.start_with("link to\nfifo pipe\nnull /dev/null\n")
        os.mkfifo(self.files / "pipe")
        (self.files / "to").symlink_to(secret)
        self.expect({"link": b"s"})
        secret.write_bytes(b"changed behind the link")
        self.expect({"link": b"changed behind the link"})

    def test_one_that_cannot_be_read_at_the_start_is_an_error(self):
        for path in ("/nowhere", str(self.world.folder)):
            result = self.world.run("znode", "--no-broker", "--manifest", path, "--state", self.world.path("st"))
            self.assert_exit(result, 2)
            self.assertIn("cannot read the manifest", result.stderr)


if __name__ == "__main__":
    unittest.main()
