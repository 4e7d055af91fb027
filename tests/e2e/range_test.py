# SPDX-License-Identifier: MIT
"""Parts of a file, and a file for a reader that looks at it while it arrives.

What could go wrong: a byte too few or too many at either end; more is fetched than the part needs; a part gets the
name and looks of the whole and hides it; a killed run starts anew, or costs what an earlier one had; numbers beyond 4 GiB
wrap around; a reader that goes is not noticed, one that is slow is waited for in memory.
"""

import os
import signal
import unittest

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_node import FakeNode, GatedNode
from support.processes import BIN, SLOWNESS

MIB = 1 << 20
CHUNK = 64 << 10
SIZE = 24 * MIB
GIB_4 = 4 << 30


class FirstPart(GatedNode):
    """Serves the bytes before `end`."""

    def __init__(self, files, end):
        self.end = end
        super().__init__(files)

    def passes(self, message):
        return message.offset + message.length <= self.end


class Ranges(EndToEnd):
    def setUp(self):
        super().setUp()
        self.data = random_bytes(SIZE, 7)
        self.shared = zsp.SharedFile("films/f.bin", self.data)
        self.target = self.world.path("out")

    def get(self, node, span, *args):
        return ("zget", "--from", node.endpoint, "--range", span, *args, "f.bin")

    def asked_chunks(self, node):
        return {at // CHUNK for seen in node.seen_of(zsp.READ)
                for at in range(seen.message.offset, seen.message.offset + seen.message.length, CHUNK)}

    def test_the_bytes_of_every_edge_come_and_only_the_chunks_that_hold_them(self):
        rows = {"0-0": (0, 1), "0-": (0, SIZE), f"{CHUNK - 1}-{CHUNK}": (CHUNK - 1, CHUNK + 1),
                f"{CHUNK}-{2 * CHUNK - 1}": (CHUNK, 2 * CHUNK), f"{SIZE - 1}-": (SIZE - 1, SIZE),
                f"{SIZE - 1}-{SIZE + 99}": (SIZE - 1, SIZE), "5000000-9000000": (5000000, 9000001)}
        for row, (span, (begin, end)) in enumerate(rows.items()):
            for output in ("-", f"part{row}"):
                with self.subTest(span=span, output=output):
                    node = self.world.fake(FakeNode([self.shared]))
                    result = self.world.run(*self.get(node, span, "-o", output))
                    self.assert_exit(result, 0)
                    got = result.raw_stdout if output == "-" else self.world.path(output).read_bytes()
                    self.assertTrue(got == self.data[begin:end])
                    self.assertEqual(self.asked_chunks(node), set(range(begin // CHUNK, (end - 1) // CHUNK + 1)))
        self.assertEqual([name for name in os.listdir(self.world.folder) if name.startswith(".")], [])

    def test_what_is_no_part_of_the_file_is_an_error_before_the_first_read(self):
        node = self.world.fake(FakeNode([self.shared]))
        for span, word in ((f"{SIZE}-", str(SIZE)), (f"{SIZE}-{SIZE}", str(SIZE)), ("9-8", "9-8"), ("-5", "-5"),
                           ("5", "'5'"), ("a-b", "a-b"), ("0-99999999999999999999", "9999")):
            for output in (["-o", "-"], ["-o", "part"], ["--json"]):
                result = self.world.run(*self.get(node, span, *output))
                self.assert_exit(result, 2)
                self.assertIn(word, result.stderr)
                if output == ["--json"]:
                    self.assertIn(word, result.done["error"])
        self.assertEqual(node.seen_of(zsp.READ), [])
        result = self.world.run("zget", "--from", node.endpoint, "--range", "0-1", "films/")
        self.assert_exit(result, 2)
        self.assertIn("--range", result.stderr)

    def test_of_an_empty_file_there_is_no_part(self):
        node = self.world.fake(FakeNode([zsp.SharedFile("f.bin", b"")]))
        self.assert_exit(self.world.run(*self.get(node, "0-", "-o", "-")), 2)

    def test_a_part_lands_under_the_name_and_never_over_another_file(self):
        node = self.world.fake(FakeNode([self.shared]))
        self.assert_exit(self.world.run(*self.get(node, "10-19", "-d", self.target)), 0)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.data[10:20])
        result = self.world.run(*self.get(node, "20-29", "-d", self.target))
        self.assert_exit(result, 2)
        self.assertIn("--force", result.stderr)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.data[10:20])
        self.assert_exit(self.world.run(*self.get(node, "20-29", "-d", self.target, "--force")), 0)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.data[20:30])
        self.assertEqual(os.listdir(self.target), ["f.bin"])

    def test_json_counts_the_bytes_of_the_part(self):
        node = self.world.fake(FakeNode([self.shared]))
        result = self.world.run(*self.get(node, f"{CHUNK + 10}-{2 * CHUNK + 9}", "--json", "-d", self.target))
        self.assert_exit(result, 0)
        (start,), (file,) = result.objects("start"), result.objects("file")
        self.assertEqual((start["size"], start["first"], start["last"]), (SIZE, CHUNK + 10, 2 * CHUNK + 9))
        self.assertEqual(file["received"], 2 * CHUNK)
        self.assertEqual(result.done["bytes"], CHUNK)
        self.assertEqual(result.done["received"], 2 * CHUNK)

    def test_a_killed_part_goes_on_where_it_was(self):
        begin, end, gate = 2 * MIB + 5, 12 * MIB, 8 * MIB
        node = self.world.fake(FirstPart([self.shared], gate))
        command = self.get(node, f"{begin}-{end - 1}", "--json", "--sequential", "-d", self.target)
        first = self.world.start(*command)
        first.wait_progress(gate - begin)
        first.kill()
        again = self.world.fake(FakeNode([self.shared]))
        command = self.get(again, f"{begin}-{end - 1}", "--json", "-d", self.target)
        result = self.world.run(*command)
        self.assert_exit(result, 0)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.data[begin:end])
        self.assertLessEqual(result.done["received"], end - gate + 2 * MIB)
        self.assertEqual(os.listdir(self.target), ["f.bin"])

    def test_a_part_uses_and_keeps_what_an_unfinished_run_for_the_whole_has(self):
        node = self.world.fake(FirstPart([self.shared], 8 * MIB))
        whole = self.world.start("zget", "--from", node.endpoint, "--json", "--sequential", "-d", self.target, "f.bin")
        whole.wait_progress(8 * MIB)
        whole.signal(signal.SIGINT)
        self.assertEqual(whole.wait(), 3)
        self.assertEqual(whole.objects()[-1]["event"], "done")
        honest = self.world.fake(FakeNode([self.shared]))
        result = self.world.run(*self.get(honest, "1000000-1999999", "--json", "-d", self.target))
        self.assert_exit(result, 0)
        self.assertEqual(result.done["received"], 0)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.data[1000000:2000000])
        (self.target / "f.bin").unlink()
        result = self.world.run("zget", "--from", honest.endpoint, "--json", "-d", self.target, "f.bin")
        self.assert_exit(result, 0)
        self.assertLessEqual(result.done["received"], SIZE - 8 * MIB + 2 * MIB)
        self.assertTrue((self.target / "f.bin").read_bytes() == self.data)


class Reader(EndToEnd):
    def setUp(self):
        super().setUp()
        self.shared = zsp.SharedFile("f.bin", random_bytes(SIZE, 8))

    def test_one_that_goes_while_nothing_comes_ends_it_at_once_and_quietly(self):
        node = self.world.fake(FirstPart([self.shared], 4 * MIB))
        script = '"$0" "$@" | head -c 1000 >part; echo "${PIPESTATUS[0]}"'
        result = self.world.run("zget", "--from", node.endpoint, "-o", "-", "--timeout", 600, "f.bin",
                                prefix=("bash", "-c", script))
        self.assertEqual(result.stdout, "2\n", f"\n{result}")
        self.assertEqual(result.stderr, "")
        self.assertTrue(self.world.path("part").read_bytes() == self.shared.data[:1000])

    def test_one_that_was_never_there_is_an_error(self):
        node = self.world.fake(FakeNode([self.shared]))
        result = self.world.run("zget", "--from", node.endpoint, "-o", "-", "f.bin",
                                prefix=("bash", "-c", 'exec "$0" "$@" >&-'))
        self.assert_exit(result, 2)
        self.assertIn("cannot write", result.stderr)

    def test_one_that_is_slow_costs_no_memory(self):
        size = 160 * MIB
        shared = zsp.SharedFile("f.bin", random_bytes(MIB, 9) * (size // MIB))
        node = self.world.fake(FakeNode([shared]))
        options = self.world.env["ASAN_OPTIONS"] + ":quarantine_size_mb=8"
        command = f'exec {BIN / "zget"} --from {node.endpoint} -o - f.bin >{self.world.path("pipe")}'
        os.mkfifo(self.world.path("pipe"))
        get = self.world.start("zget", prefix=("bash", "-c", command), env={"ASAN_OPTIONS": options})
        with open(self.world.path("pipe"), "rb") as pipe:
            wait_until(lambda: node.sent_bytes >= size, "all of the file on its way", 60 * SLOWNESS)
            self.assertLess(get.rss_kib(), 120 << 10)
            read = 0
            while block := pipe.read(MIB):
                self.assertTrue(block == shared.data[read:read + len(block)])
                read += len(block)
        self.assertEqual(read, size)
        self.assertEqual(get.wait(), 0, f"\n{get}")


class Large(EndToEnd):
    """One sparse file of over 4 GiB, hashed once."""

    def test_it_is_shared_found_read_across_4_gib_and_fetched_with_its_holes(self):
        folder = self.world.path("share")
        folder.mkdir()
        size = GIB_4 + 3 * MIB + 7
        with open(folder / "large.bin", "wb") as large:
            for offset, data in ((0, b"begin"), (GIB_4 - 3, b"middle"), (size - 3, b"end")):
                large.seek(offset)
                large.write(data)
        if os.stat(folder / "large.bin").st_blocks * 512 > 64 * MIB:
            self.skip_loudly("no sparse files here")
        broker = self.world.broker()
        node = self.world.node("holder", broker, folder, wait=False)
        self.world.wait_node(node)
        found = lambda: self.world.run("zsearch", "--broker", broker.endpoint, "--json", "--exact", "large.bin").objects("file")
        wait_until(found, "the file to be hashed", 240 * SLOWNESS)
        self.assertEqual(found()[0]["size"], size)
        for span, expected in ((f"{GIB_4 - 4}-{GIB_4 + 3}", b"\0middle\0"), (f"{size - 4}-", b"\0end")):
            result = self.world.run("zget", "--broker", broker.endpoint, "-o", "-", "--range", span, "large.bin")
            self.assert_exit(result, 0)
            self.assertEqual(result.raw_stdout, expected)
        result = self.world.run("zget", "--broker", broker.endpoint, "--json", "-d", "out", "large.bin",
                                deadline_s=240 * SLOWNESS)
        self.assert_exit(result, 0)
        self.assertEqual(result.done["bytes"], size)
        copy = self.world.path("out", "large.bin")
        self.assertEqual(copy.stat().st_size, size)
        self.assertLess(copy.stat().st_blocks * 512, 64 * MIB)
        with open(copy, "rb") as large:
            large.seek(GIB_4 - 4)
            self.assertEqual(large.read(8), b"\0middle\0")


if __name__ == "__main__":
    unittest.main()
