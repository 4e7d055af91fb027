# SPDX-License-Identifier: MIT
"""Downloads of a node: begun from the file that keeps unfinished ones, as after a restart, and from the console.

What could go wrong: what was unfinished is forgotten, or begun anew; a file of the user is overwritten; a partial file
lies in the share, or is shared; what a download has is not served, or denied at the moment when it is complete; a damaged
list keeps a node from starting; a limit holds for each download instead of all.
"""

import os
import subprocess
import time
import unittest

from support import tree
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_client import BrokerClient, PeerClient, Refused

MIB = 1 << 20


def line_of(data, name, state="waiting", only="any", sources="-"):
    """A download as the list file has it."""
    return f"{state} {tree.root(data).hex()} {len(data)} 0 - - {only} {sources} {name}\n"


def opens(client, data):
    """OPEN_OK, or None when the node says that it has no such file."""
    try:
        return client.open(tree.id_of(data))
    except Refused:
        return None


class NodeDownloads(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()

    def source(self, files, name="source", args=()):
        node = self.world.node(name, self.broker, self.world.share(f"share-{name}", files), args=args)
        self.world.wait_found(self.broker, *files)
        return node

    def getter(self, lines="", args=(), name="getter", **options):
        """A node with a home, and a list file of these lines; None: as an earlier run left it."""
        if lines is not None:
            self.world.path("state", name).mkdir(parents=True, exist_ok=True)
            self.world.path("state", name, "downloads").write_text(lines)
        self.home = self.world.path(f"home-{name}")
        return self.world.node(name, self.broker, args=("--home", self.home, *args), **options)

    def landed(self, name):
        return self.home / "Download" / name

    def wait_landed(self, name, data):
        wait_until(lambda: self.landed(name).exists(), f"{name} to land")
        self.assertTrue(self.landed(name).read_bytes() == data, "other bytes")

    def partial(self):
        """Bytes on disk of the one partial file; 0 when there is none."""
        parts = list((self.home / "Temp").glob(".*.zpart"))
        self.assertLessEqual(len(parts), 1)
        try:
            return parts[0].stat().st_blocks * 512 if parts else 0
        except FileNotFoundError:
            return 0  # it went while we looked

    # Landing.

    def test_it_lands_in_download_and_leaves_nothing_in_temp(self):
        data = random_bytes(3 * MIB)
        self.source({"a/film.mkv": data})
        node = self.getter(line_of(data, "a/film.mkv"))
        self.wait_landed("film.mkv", data)
        node.wait_stderr(r"download 1 is done: .*/Download/film\.mkv")
        wait_until(lambda: not os.listdir(self.home / "Temp"), "an empty Temp")

    def test_others_find_it_there_and_fetch_it_when_its_source_is_gone(self):
        data = random_bytes(3 * MIB)
        source = self.source({"film.mkv": data})
        node = self.getter(line_of(data, "film.mkv"))
        node.wait_stderr(r"download 1 is done")
        with BrokerClient(self.broker.endpoint) as client:
            def found():
                hits, _ = client.search(3, tree.id_of(data).hex())
                return any(file.have_permille == 1000 and bytes(s.node_id).hex() == node.node_id
                           for file, sources in hits.items() for s in sources)
            wait_until(found, "the new source")
        source.terminate()
        got = self.world.run("zget", "--broker", self.broker.endpoint, "-d", self.world.path("out"), "film.mkv")
        self.assert_exit(got, 0)

    def test_it_is_never_denied_between_partial_and_shared(self):
        data = random_bytes(6 * MIB)
        self.source({"film.mkv": data})
        node = self.getter(line_of(data, "film.mkv"), args=("--down", "4M"))
        with PeerClient(node.endpoint) as client:
            client.hello()
            wait_until(lambda: opens(client, data), "a first chunk")
            def landed():
                self.assertTrue(opens(client, data), "denied what it had served")
                return self.landed("film.mkv").exists()
            wait_until(landed, "it to land", every_s=0)
            until = time.monotonic() + 1
            wait_until(lambda: landed() and time.monotonic() > until, "a second with it", every_s=0)

    def test_several_run_at_once_and_all_land(self):
        files = {f"{i}.bin": random_bytes(MIB + i, i) for i in range(7)}
        self.source(files)
        self.getter("".join(line_of(data, name) for name, data in files.items()))
        for name, data in files.items():
            self.wait_landed(name, data)

    def test_a_file_of_the_user_keeps_its_name_and_the_new_one_gets_a_number(self):
        data = random_bytes(MIB)
        self.source({"film.mkv": data})
        self.world.share("home-getter/Download", {"film.mkv": b"the user's", "film (2).mkv": data[:-1] + b"?"})
        self.getter(line_of(data, "film.mkv"))
        self.wait_landed("film (3).mkv", data)
        self.assertEqual(self.landed("film.mkv").read_bytes(), b"the user's")

    def test_what_is_there_already_is_done_without_traffic(self):
        data = random_bytes(MIB)
        self.world.share("home-getter/Download", {"film.mkv": b"another", "film (2).mkv": data})
        node = self.getter(line_of(data, "film.mkv"))
        node.wait_stderr(r"download 1 is done: .*/film \(2\)\.mkv")
        self.assertFalse((self.home / "Temp").exists() and os.listdir(self.home / "Temp"))

    def test_an_empty_file_lands_too(self):
        self.source({"empty": b"", "other": b"x"})
        self.getter(line_of(b"", "empty"))
        self.wait_landed("empty", b"")

    def test_with_a_share_and_no_home_it_lands_there_and_its_parts_are_hidden(self):
        data = random_bytes(6 * MIB)
        self.source({"film.mkv": data})
        self.world.path("state", "getter").mkdir(parents=True)
        self.world.path("state", "getter", "downloads").write_text(line_of(data, "film.mkv"))
        share = self.world.share("mine", {"old": b"old"})
        node = self.world.node("getter", self.broker, share, args=("--down", "2M"))
        wait_until(lambda: list((share / ".zswarm").glob(".*.zpart")), "a partial file")
        with PeerClient(node.endpoint) as client:
            client.hello()
            self.assertFalse([f.name for f in client.list() if "zpart" in f.name])
        wait_until(lambda: (share / "film.mkv").exists(), "the file in the share")
        self.assertTrue((share / "film.mkv").read_bytes() == data)

    # Going on.

    def slow_start(self, size=24 * MIB, **options):
        """A download of which some has come, and much has not."""
        self.data = random_bytes(size)
        self.source({"film.mkv": self.data}, **options)
        node = self.getter(line_of(self.data, "film.mkv"), args=("--down", "3M"))
        wait_until(lambda: self.partial() > size // 6, "a part")
        return node

    def goes_on(self):
        before = self.partial()
        self.assertGreater(before, 0, "nothing was kept")
        node = self.getter(None)
        self.wait_landed("film.mkv", self.data)
        return node

    def test_after_a_kill_it_goes_on(self):
        self.slow_start().kill()
        self.goes_on()

    def test_after_a_quit_it_goes_on_and_is_then_forgotten(self):
        node = self.slow_start()
        code, seconds = node.terminate()
        self.assertEqual(code, 0)
        node = self.goes_on()
        node.wait_stderr(r"download 1 is done")
        node.terminate()
        self.assertEqual(self.world.path("state", "getter", "downloads").read_text(), "")

    def test_a_paused_one_stays_paused(self):
        data = random_bytes(MIB)
        self.source({"film.mkv": data, "next": b"next"})
        self.getter(line_of(data, "film.mkv", state="paused") + line_of(b"next", "next"))
        self.wait_landed("next", b"next")
        self.assertFalse(self.landed("film.mkv").exists())

    def test_without_a_source_it_waits_and_takes_the_first_that_comes(self):
        data = random_bytes(MIB)
        node = self.getter(line_of(data, "film.mkv"))
        with BrokerClient(self.broker.endpoint) as client:
            wait_until(lambda: client.status().searches >= 2, "two searches")
        self.source({"film.mkv": data})
        self.wait_landed("film.mkv", data)
        self.assertEqual([line for line in node.stderr.until("download 1 is done") if "failed" in line], [])

    def test_one_without_a_source_holds_up_nobody_else(self):
        lost = [random_bytes(MIB, 100 + i) for i in range(3)]
        data = random_bytes(MIB)
        self.source({"film.mkv": data})
        self.getter("".join(line_of(d, f"lost-{i}") for i, d in enumerate(lost)) + line_of(data, "film.mkv"))
        self.wait_landed("film.mkv", data)

    def test_from_these_nodes_only_asks_no_other(self):
        data = random_bytes(MIB)
        source = self.source({"film.mkv": data})
        other = self.source({"film.mkv": data}, name="other")
        self.getter(line_of(data, "film.mkv", only="only", sources=f"127.0.0.1,{source.port},{source.node_id}"))
        self.wait_landed("film.mkv", data)
        source.terminate()
        other.terminate()

    # Serving.

    def test_a_running_download_is_found_and_serves_what_it_has(self):
        data = random_bytes(24 * MIB)
        self.source({"film.mkv": data}, args=("--up", "3M"))
        node = self.getter(line_of(data, "film.mkv"))
        with BrokerClient(self.broker.endpoint) as client:
            def have():
                hits, _ = client.search(3, tree.id_of(data).hex())
                return [file.have_permille for file, sources in hits.items() for s in sources
                        if bytes(s.node_id).hex() == node.node_id]
            permille = wait_until(have, "the download among the sources")[0]
        self.assertTrue(0 <= permille <= 1000)
        with PeerClient(node.endpoint) as client:
            client.hello()
            opened = wait_until(lambda: opens(client, data), "a first chunk")
            layer, have = client.layer(opened.file), opened.have
            chunk = next(i for i in range(len(layer)) if have is None or have[i // 8] & (0x80 >> i % 8))
            size = 1 << tree.chunk_log2(len(data))
            piece = client.read(tree.id_of(data), chunk * size, size)
            self.assertTrue(piece == data[chunk * size:(chunk + 1) * size], "other bytes")

    # By command.

    def command(self, node, line):
        node.popen.stdin.write(line.encode() + b"\n")
        node.popen.stdin.flush()

    def slow_by_command(self):
        """A node that was told to fetch, slowly, and of which some has come."""
        self.data = random_bytes(24 * MIB)
        self.source({"film.mkv": self.data})
        node = self.getter(args=("--down", "2M"), stdin=subprocess.PIPE)
        self.command(node, "download film.mkv")
        wait_until(lambda: self.partial() > 2 * MIB, "a part")
        return node

    def test_it_can_be_paused_and_resumed(self):
        node = self.slow_by_command()
        self.command(node, "pause 1")
        self.command(node, "downloads")
        node.wait_stdout(r"^ *1 +paused ")
        with PeerClient(node.endpoint) as client:
            client.hello()
            wait_until(lambda: opens(client, self.data) is None, "that nothing is served any more")
        self.assertGreater(self.partial(), 2 * MIB)
        self.command(node, "limit down 100M")
        self.command(node, "resume 1")
        self.wait_landed("film.mkv", self.data)

    def test_what_is_cancelled_leaves_nothing(self):
        node = self.slow_by_command()
        self.command(node, "cancel 1")
        wait_until(lambda: self.partial() == 0, "that the partial file is gone")
        node.terminate()
        self.assertEqual(self.world.path("state", "getter", "downloads").read_text(), "")

    def test_what_was_ordered_survives_a_kill(self):
        self.slow_by_command().kill()
        self.goes_on()

    # What is wrong.

    def test_a_damaged_list_is_told_and_what_is_good_in_it_goes_on(self):
        data = random_bytes(MIB)
        self.source({"film.mkv": data})
        good = line_of(data, "film.mkv")
        text = "garbage\n" + good.replace("film.mkv", "../../escape") + good + "\x01\x02\n" + good[:70] + "\n"
        node = self.getter(text)
        node.wait_stderr(r"damaged.*4 of its lines left out")
        self.wait_landed("film.mkv", data)
        self.assertEqual(self.world.path("state", "getter", "downloads.damaged").read_text(), text)
        self.assertFalse(self.world.path("escape").exists())

    def test_a_list_that_is_no_file_keeps_no_node_from_starting(self):
        self.world.path("state", "getter", "downloads").mkdir(parents=True)
        node = self.getter(None)
        node.wait_stderr(r"damaged")

    def test_temp_on_another_file_system_is_an_error_at_the_start(self):
        shm = "/dev/shm"
        home = self.world.path("home-x")
        if not os.path.isdir(shm) or os.stat(shm).st_dev == os.stat(self.world.folder).st_dev:
            self.skip_loudly("needs a second file system at /dev/shm")
        result = self.world.run("znode", "--no-broker", "--home", home, "--state", self.world.path("state-x"), "--port",
                                "0", "--temp", f"{shm}/zswarm-{os.getpid()}")
        os.rmdir(f"{shm}/zswarm-{os.getpid()}")
        self.assert_exit(result, 2)
        self.assertIn("is not on the file system of", result.stderr)

    def test_a_folder_that_cannot_be_written_fails_the_download_with_its_reason(self):
        data = random_bytes(MIB)
        self.source({"film.mkv": data})
        self.world.share("home-getter", {"Temp": b"a file where the folder should be"})
        node = self.getter(line_of(data, "film.mkv"))
        node.wait_stderr(r"cannot fetch into .*/Temp: Not a directory")
        node.wait_stderr(r"download 1 failed: film\.mkv: .*Not a directory")

    def test_a_partial_file_that_another_program_has_is_waited_for(self):
        data = random_bytes(MIB)
        self.source({"film.mkv": data})
        temp = self.world.path("home-getter", "Temp")
        temp.mkdir(parents=True)
        part = temp / f".film.mkv.{tree.id_of(data).hex()[:12]}.zpart"
        holder = subprocess.Popen(["flock", part, "cat"], stdin=subprocess.PIPE)
        try:
            wait_until(part.exists, "the lock")
            wait_until(lambda: subprocess.run(["flock", "-n", part, "true"]).returncode != 0, "the lock to be held")
            node = self.getter(line_of(data, "film.mkv"))
            with BrokerClient(self.broker.endpoint) as client:
                client.status()
            self.assertFalse(self.landed("film.mkv").exists())
        finally:
            holder.stdin.close()
            holder.wait()
        self.wait_landed("film.mkv", data)
        self.assertEqual([line for line in node.stderr.until("download 1 is done") if "failed" in line], [])

    # Limits.

    def test_down_holds_for_all_downloads_together(self):
        files = {f"{i}.bin": random_bytes(4 * MIB, i) for i in range(3)}
        self.source(files)
        began = time.monotonic()
        self.getter("".join(line_of(data, name) for name, data in files.items()), args=("--down", "4M"))
        for name, data in files.items():
            self.wait_landed(name, data)
        self.assertGreater(time.monotonic() - began, 1.5, "12 MiB at 4 MiB/s")


if __name__ == "__main__":
    unittest.main()
