# SPDX-License-Identifier: MIT
"""Downloads that end before they should, and what the next one makes of what they left.

What could go wrong: what was there is fetched again, or trusted although it is damaged; a stranger's file is taken for
ours, or lost; a name stands for less than the whole file; two programs write one file; an end that never comes.
"""

import fcntl
import os
import random
import signal
import subprocess
import time
import unittest

from support import zsp
from support.actor import DEADLINE_S, wait_until
from support.case import EndToEnd, random_bytes, sha256_of
from support.fake_node import FakeNode, GatedNode
from support.processes import BIN
from support.proxy import CountingProxy

MIB = 1 << 20
CHUNK = 64 << 10  # of files up to 128 MiB
SIZE = 24 * MIB
KEPT = 8 * MIB  # what the first run gets
SLACK = 2 * MIB  # written, but not yet in the map when the kill came

KILLS = 20
KILLED_BYTES = 256 * MIB
LOST_MAX = 16 * MIB  # a kill


def changed(data, *offsets):
    """The same but for one byte at each of these places."""
    data = bytearray(data)
    for offset in offsets:
        data[offset] ^= 1
    return bytes(data)


class HalfNode(GatedNode):
    """Serves the first KEPT bytes of a file; the other READs wait."""

    def passes(self, message):
        return message.offset + message.length <= KEPT


class Kills(EndToEnd):
    def test_twenty_kills_cost_only_what_was_in_flight(self):
        source = random.Random(20)
        share = self.world.share("share", {"big.bin": random_bytes(KILLED_BYTES, 3)})
        digest = sha256_of(share / "big.bin")
        node = self.world.node("node", None, share, args=("--up", "40M"))
        self.world.wait_shared(node, "big.bin")
        proxy = CountingProxy(node.port)
        self.addCleanup(proxy.stop)
        target = self.world.path("out")
        command = ("zget", "--from", proxy.endpoint, "--json", "-d", target, "big.bin")
        for number in range(KILLS):
            enough = proxy.bytes + source.randrange(KILLED_BYTES // KILLS * 3 // 4)
            get = self.world.start(*command)
            wait_until(lambda: proxy.bytes >= enough, "the moment to kill", every_s=0.005)
            self.assertTrue(get.running, f"it was over before kill {number}\n{get}")
            get.kill()
            self.assertFalse((target / "big.bin").exists(), "a final name too early")
        killed_bytes = proxy.bytes
        result = self.world.run(*command)
        self.assert_exit(result, 0)
        self.assertEqual(sha256_of(target / "big.bin"), digest)
        self.assertEqual(os.listdir(target), ["big.bin"])
        (file,) = result.objects("file")
        self.assertLess(file["received"], KILLED_BYTES, "the killed runs left nothing")
        self.assertLessEqual(killed_bytes + file["received"], KILLED_BYTES + KILLS * LOST_MAX)

    def test_a_kill_right_after_the_start_harms_nothing(self):
        node = self.world.fake(FakeNode([zsp.SharedFile("a/f.bin", random_bytes(SIZE))]))
        target = self.world.path("out")
        command = ("zget", "--from", node.endpoint, "--json", "-d", target, "f.bin")
        source = random.Random(1)
        for _ in range(KILLS):
            get = self.world.start(*command)
            end = time.monotonic() + source.choice((0, 0, 0.002, 0.01, 0.03))
            wait_until(lambda: time.monotonic() >= end, "the moment to kill", every_s=0.001)
            get.kill()
        self.assert_exit(self.world.run(*command), 0)
        self.assertTrue((target / "f.bin").read_bytes() == random_bytes(SIZE))
        self.assertEqual(os.listdir(target), ["f.bin"])


class Partial(EndToEnd):
    """Every test begins with a run that was ended after KEPT bytes."""

    def setUp(self):
        super().setUp()
        self.data = random_bytes(SIZE, 5)
        self.shared = zsp.SharedFile("files/f.bin", self.data)
        self.target = self.world.path("out")
        self.final = self.target / "f.bin"

    def command(self, node, *args):
        return ("zget", "--from", node.endpoint, "--json", "-d", self.target, *args, "f.bin")

    def start_half(self, shared=None, *args):
        """A running zget that has the first KEPT bytes and waits for more."""
        node = self.world.fake(HalfNode([shared or self.shared]))
        get = self.world.start(*self.command(node, "--sequential", *args))
        get.wait_progress(KEPT)
        return get

    def leave_half(self, shared=None):
        self.start_half(shared).kill()
        name = zsp_partial_name(shared or self.shared)
        self.assertTrue((self.target / name).exists())
        return self.target / name

    def finish(self, shared=None, *args):
        """A run to the end: (result, bytes that the node was asked for)."""
        shared = shared or self.shared
        node = self.world.fake(FakeNode([shared]))
        result = self.world.run(*self.command(node, *args))
        self.assert_exit(result, 0)
        self.assertTrue(self.final.read_bytes() == shared.data, "rotten bytes under the final name")
        return result, sum(seen.message.length for seen in node.seen_of(zsp.READ))

    def assert_only_final(self):
        self.assertEqual(os.listdir(self.target), ["f.bin"])

    def test_an_untouched_one_is_used_whole(self):
        self.leave_half()
        _, asked = self.finish()
        self.assertLessEqual(asked, SIZE - KEPT + SLACK)
        self.assertGreaterEqual(asked, SIZE - KEPT)
        self.assert_only_final()

    def test_flipped_bytes_cost_their_chunks_and_no_more(self):
        partial = self.leave_half()
        places = (0, MIB + 17, 3 * MIB - 1)
        partial.write_bytes(changed(partial.read_bytes(), *places))
        _, asked = self.finish()
        self.assertGreaterEqual(asked, SIZE - KEPT + len(places) * CHUNK)
        self.assertLessEqual(asked, SIZE - KEPT + len(places) * CHUNK + SLACK)
        self.assert_only_final()

    def test_a_truncated_one_keeps_what_is_before_the_cut(self):
        partial = self.leave_half()
        os.truncate(partial, 5 * MIB + 1)
        _, asked = self.finish()
        self.assertEqual(asked, SIZE - 5 * MIB)
        self.assert_only_final()

    def test_with_a_broken_trailer_the_content_still_counts(self):
        partial = self.leave_half()
        for number, damage in enumerate((lambda tail: bytes(len(tail)), lambda tail: changed(tail, 60),
                                         lambda tail: changed(tail, len(tail) - 1), lambda tail: tail[:100],
                                         lambda tail: b"", lambda tail: tail * 3)):
            with self.subTest(damage=number):
                saved = partial.read_bytes()
                partial.write_bytes(saved[:SIZE] + damage(saved[SIZE:]))
                _, asked = self.finish()
                self.assertLessEqual(asked, SIZE - KEPT + SLACK)
                self.final.unlink()
                partial.write_bytes(saved)

    def test_a_foreign_file_under_its_name_is_only_bytes(self):
        partial = self.target / zsp_partial_name(self.shared)
        self.target.mkdir()
        for content in (b"", b"notes\n", random_bytes(3 * MIB, 77), random_bytes(SIZE + MIB, 78), self.data,
                        self.data + b"x"):
            with self.subTest(size=len(content)):
                partial.write_bytes(content)
                _, asked = self.finish()
                self.assertEqual(asked, 0 if content.startswith(self.data) else SIZE)
                self.assert_only_final()
                self.final.unlink()

    def test_what_is_no_file_under_its_name_is_an_error_and_stays(self):
        partial = self.target / zsp_partial_name(self.shared)
        self.target.mkdir()
        precious = self.world.path("precious")
        precious.write_bytes(b"precious")
        node = self.world.fake(FakeNode([self.shared]))
        for make in (lambda: partial.symlink_to(precious), lambda: os.mkfifo(partial), partial.mkdir):
            make()
            result = self.world.run(*self.command(node))
            self.assert_exit(result, 2)
            self.assertIn(partial.name, result.done["error"])
            self.assertNotIn(" -d", result.done["error"])
            self.assertFalse(self.final.exists())
            self.assertTrue(os.path.lexists(partial))
            if partial.is_dir():
                partial.rmdir()
            else:
                partial.unlink()
        self.assertEqual(precious.read_bytes(), b"precious")
        self.assertEqual(node.seen_of(zsp.READ), [])

    def test_one_of_another_version_is_reported_and_its_chunks_are_used(self):
        old = zsp.SharedFile("files/f.bin", changed(self.data, 2 * MIB, 5 * MIB))
        partial = self.leave_half(old)
        result, asked = self.finish()
        self.assertIn(partial.name, result.stderr)
        self.assertIn("--discard", result.stderr)
        self.assertGreaterEqual(asked, SIZE - KEPT + 2 * CHUNK)
        self.assertLessEqual(asked, SIZE - KEPT + 2 * CHUNK + SLACK)
        self.assertTrue(partial.exists(), "it is not ours to remove")

    def test_discard_removes_those_of_other_versions_and_no_other_file(self):
        old = zsp.SharedFile("files/f.bin", changed(self.data, 2 * MIB))
        partial = self.leave_half(old)
        others = [".f.bin.zpart", ".g.bin.0123456789ab.zpart", ".f.bin.0123456789AB.zpart", ".f.bin.0123456789ab.zpar"]
        for name in others:
            (self.target / name).write_bytes(b"x")
        _, asked = self.finish(self.shared, "--discard")
        self.assertEqual(asked, SIZE)
        self.assertFalse(partial.exists())
        self.assertEqual(sorted(os.listdir(self.target)), sorted([*others, "f.bin"]))

    def test_an_interrupt_keeps_it_and_says_that_it_goes_on(self):
        get = self.start_half()
        get.signal(signal.SIGINT)
        self.assertEqual(get.wait(), 3, f"\n{get}")
        done = get.objects()[-1]
        self.assertEqual((done["event"], done["exit"]), ("done", 3))
        self.assertTrue(done["error"])
        self.assertEqual(os.listdir(self.target), [zsp_partial_name(self.shared)])
        _, asked = self.finish()
        self.assertLessEqual(asked, SIZE - KEPT + SLACK)
        self.assert_only_final()

    def test_a_second_zget_waits_says_so_and_has_no_traffic(self):
        node = self.world.fake(HalfNode([self.shared]))
        first = self.world.start(*self.command(node, "--sequential"))
        first.wait_progress(KEPT)
        second = self.world.start(*self.command(node))
        second.wait_stderr(r"another zget is fetching f\.bin")
        node.open_gate()
        self.assertEqual(first.wait(), 0, f"\n{first}")
        self.assertEqual(second.wait(), 0, f"\n{second}")
        (file,) = [o for o in second.objects() if o["event"] == "file"]
        self.assertEqual(file["received"], 0)
        self.assertEqual(len({seen.route for seen in node.seen_of(zsp.READ)}), 1)
        self.assert_only_final()

    def test_a_lock_that_nothing_comes_of_is_not_waited_for_longer_than_the_timeout(self):
        self.target.mkdir()
        partial = self.target / zsp_partial_name(self.shared)
        node = self.world.fake(FakeNode([self.shared]))
        with open(partial, "wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            result = self.world.run(*self.command(node, "--timeout", "1"))
        self.assert_exit(result, 3)
        self.assertIn(partial.name, result.done["error"])

    def test_what_another_program_writes_into_it_is_not_published(self):
        """A verified chunk is spoilt in place while the rest is still to come."""
        node = self.world.fake(HalfNode([self.shared]))
        get = self.world.start(*self.command(node, "--sequential"))
        get.wait_progress(MIB)
        with open(self.target / zsp_partial_name(self.shared), "r+b") as partial:
            partial.seek(MIB // 2)
            partial.write(b"spoilt")
        node.open_gate()
        self.assertEqual(get.wait(), 0, f"\n{get}")
        self.assertTrue(self.final.read_bytes() == self.data)
        self.assert_only_final()

    def test_a_second_zget_goes_on_where_a_first_one_that_dies_was(self):
        first = self.start_half()
        node = self.world.fake(FakeNode([self.shared]))
        second = self.world.start(*self.command(node))
        second.wait_stderr(r"another zget is fetching f\.bin")
        first.kill()
        self.assertEqual(second.wait(), 0, f"\n{second}")
        self.assertTrue(self.final.read_bytes() == self.data)
        asked = sum(seen.message.length for seen in node.seen_of(zsp.READ))
        self.assertLessEqual(asked, SIZE - KEPT + SLACK)

    def test_a_target_that_appears_meanwhile_is_never_overwritten(self):
        final, data = self.final, self.data

        class Intruder(FakeNode):
            """Makes the target before it serves the first READ."""

            def serve(self, route, message, part):
                if not final.exists():
                    final.write_bytes(b"somebody else's")
                super().serve(route, message, part)
        result = self.world.run(*self.command(self.world.fake(Intruder([self.shared]))))
        self.assert_exit(result, 2)
        self.assertIn("f.bin", result.done["error"])
        self.assertEqual(final.read_bytes(), b"somebody else's")
        final.unlink()
        _, asked = self.finish()
        self.assertEqual(asked, 0, "what was complete was fetched again")
        self.assertTrue(final.read_bytes() == data)
        self.assert_only_final()

    def test_only_what_is_missing_needs_room(self):
        """On a disk that has room for the rest of the file, but not for all of it."""
        self.target.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=26m", "tmpfs", self.target],
                                               capture_output=True, check=False).returncode != 0:
            self.skip_loudly("a small disk needs root and mount")
        self.addCleanup(subprocess.run, ["umount", "-l", self.target], check=True)
        self.leave_half()
        _, asked = self.finish()
        self.assertLessEqual(asked, SIZE - KEPT + SLACK)
        self.assert_only_final()

    def test_a_folder_that_cannot_be_written_is_an_error_before_the_first_read(self):
        self.target.mkdir(mode=0o555)
        self.addCleanup(self.target.chmod, 0o755)
        node = self.world.fake(FakeNode([self.shared]))
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
        result = self.world.run(*self.command(node), prefix=prefix)
        self.assert_exit(result, 2)
        self.assertIn(str(self.target), result.done["error"])
        self.assertEqual(node.seen_of(zsp.READ), [])


def zsp_partial_name(shared):
    """As cli.md says: `.NAME.<12 hex of the id>.zpart`."""
    return f".{shared.name.rsplit('/', 1)[-1]}.{shared.file_id.hex()[:12]}.zpart"


class OlderVersion(EndToEnd):
    """A change of some bytes in the middle, and more at the end."""

    def setUp(self):
        super().setUp()
        self.old = random_bytes(SIZE, 8)
        self.middle = 10 * MIB + 1000
        new = self.old[:self.middle] + random_bytes(200000, 9) + self.old[self.middle + 200000:] + b"more"
        self.shared = zsp.SharedFile("f.bin", new)
        first, last = self.middle // CHUNK, (self.middle + 199999) // CHUNK
        self.changed_bytes = (last - first + 1) * CHUNK + 4
        self.node = self.world.fake(FakeNode([self.shared]))
        self.target = self.world.path("out")

    def get(self, *args):
        return self.world.run("zget", "--from", self.node.endpoint, "--json", "-d", self.target, *args, "f.bin")

    def asked(self):
        return sum(seen.message.length for seen in self.node.seen_of(zsp.READ))

    def test_seed_from_gives_all_but_the_changed_chunks(self):
        seed = self.world.share("old", {"yesterday.bin": self.old}) / "yesterday.bin"
        result = self.get("--seed-from", seed)
        self.assert_exit(result, 0)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.shared.data)
        self.assertTrue(seed.read_bytes() == self.old)
        self.assertEqual(self.asked(), self.changed_bytes)
        (file,) = result.objects("file")
        self.assertEqual(file["received"], self.changed_bytes)

    def test_a_seed_that_is_shorter_longer_or_another_file_is_no_trouble(self):
        for number, seed in enumerate((b"", b"x", self.old[:5 * MIB + 3], self.shared.data + b"tail",
                                       random_bytes(MIB, 99))):
            with self.subTest(seed=number):
                before = self.asked()
                path = self.world.share("old", {"seed": seed}) / "seed"
                self.assert_exit(self.get("--seed-from", path), 0)
                self.assertTrue((self.target / "f.bin").read_bytes() == self.shared.data)
                expected = {2: len(self.shared.data) - 5 * MIB, 3: 0}.get(number, len(self.shared.data))
                self.assertEqual(self.asked() - before, expected)
                (self.target / "f.bin").unlink()

    def test_a_seed_that_cannot_be_read_is_an_error_that_names_it(self):
        result = self.get("--seed-from", self.world.path("absent.bin"))
        self.assert_exit(result, 2)
        self.assertIn("absent.bin", result.done["error"])
        self.assertEqual(self.asked(), 0)

    def test_force_replaces_at_once_and_takes_what_fits_from_the_old_file(self):
        final = self.world.share("out", {"f.bin": self.old}) / "f.bin"
        old = self.old

        class Watcher(FakeNode):
            """Looks at the target in the middle of the transfer."""
            is_intact = True

            def serve(self, route, message, data):
                self.is_intact = self.is_intact and final.read_bytes() == old
                super().serve(route, message, data)
        self.node = self.world.fake(Watcher([self.shared]))
        with open(final, "rb") as reader:
            self.assert_exit(self.get("--force"), 0)
            self.assertTrue(reader.read() == old, "who has it open keeps the old file")
        self.assertTrue(self.node.is_intact, "the old file was touched before the new one was there")
        self.assertTrue(final.read_bytes() == self.shared.data)
        self.assertEqual(self.asked(), self.changed_bytes)
        self.assertEqual(os.listdir(self.target), ["f.bin"])


class Pipe(EndToEnd):
    def setUp(self):
        super().setUp()
        self.shared = zsp.SharedFile("f.bin", random_bytes(SIZE, 6))
        self.world.path("tmp").mkdir()
        self.env = {"TMPDIR": str(self.world.path("tmp"))}

    def command(self, node):
        return ("zget", "--from", node.endpoint, "-o", "-", "f.bin")

    def test_the_bytes_come_in_order_as_they_arrive(self):
        half = self.world.start(*self.command(self.world.fake(HalfNode([self.shared]))), env=self.env)
        wait_until(lambda: len(half.stdout.collected) >= KEPT, f"{KEPT} bytes")
        self.assertTrue(half.stdout.raw == self.shared.data[:KEPT])
        half.kill()
        script = 'set -o pipefail; "$0" "$@" | cat >whole'
        whole = self.world.run(*self.command(self.world.fake(FakeNode([self.shared]))), env=self.env,
                               prefix=("bash", "-c", script))
        self.assert_exit(whole, 0)
        self.assertTrue(self.world.path("whole").read_bytes() == self.shared.data)
        self.assertEqual(os.listdir(self.world.path("tmp")), [])

    def test_a_reader_that_goes_is_an_error_that_needs_no_word_and_no_hang(self):
        node = self.world.fake(FakeNode([self.shared]))
        script = 'set -o pipefail; "$0" "$@" | head -c 100000 | wc -c'
        result = self.world.run(*self.command(node), env=self.env, prefix=("bash", "-c", script))
        self.assert_exit(result, 2)
        self.assertEqual(result.stdout, "100000\n")
        self.assertEqual(result.stderr, "")

    def test_a_reader_that_reads_nothing_does_not_keep_an_interrupt_from_ending_it(self):
        node = self.world.fake(FakeNode([self.shared]))
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        command = self.command(node)
        get = subprocess.Popen([BIN / command[0], *command[1:]], stdout=writer, stderr=subprocess.DEVNULL,
                               env={**self.world.env, **self.env})
        os.close(writer)
        self.addCleanup(get.wait)
        self.addCleanup(get.kill)
        wait_until(lambda: node.sent_bytes >= SIZE, "all of the file on its way")
        get.send_signal(signal.SIGINT)
        self.assertEqual(get.wait(DEADLINE_S), 3)


if __name__ == "__main__":
    unittest.main()
