# SPDX-License-Identifier: MIT
"""zget from honest nodes: sizes at every edge, names and ids, what lands where, and with which exit code.

What could go wrong: a size at the edge of a block or chunk; a file under its final name before it is verified; an
existing file lost; traffic for what is there already; the wrong exit code for a script.
"""

import os
import re
import unittest

from support import zsp
from support.case import EndToEnd, random_bytes
from support.fake_node import FakeNode
from support.tree import id_of

SIZES = (0, 1, 16383, 16384, 16385, 32768, 65536, 65537, 131072, 131073, 1048576, 5000000)


class Fetch(EndToEnd):
    def setUp(self):
        super().setUp()
        self.broker = self.world.broker()
        self.files = {f"size/{size}.bin": random_bytes(size, size + 1) for size in SIZES}
        self.files["words of/a name.txt"] = b"words"
        self.node = self.world.node("node", self.broker, self.world.share("share", self.files))
        self.world.wait_found(self.broker, *self.files)

    def get(self, *args, broker=True, **options):
        where = ["--broker", self.broker.endpoint] if broker else []
        return self.world.run("zget", *where, *args, **options)

    def assert_file(self, path, data):
        self.assertEqual(path.stat().st_size, len(data))
        self.assertTrue(path.read_bytes() == data, f"{path} has other bytes")

    def assert_only(self, folder, *names):
        self.assertEqual(sorted(os.listdir(folder)), sorted(names))

    def test_every_size_at_the_edges(self):
        target = self.world.path("out")
        result = self.get("--json", "-d", target, *(f"{size}.bin" for size in SIZES))
        self.assert_exit(result, 0)
        for size in SIZES:
            self.assert_file(target / f"{size}.bin", self.files[f"size/{size}.bin"])
        self.assert_only(target, *(f"{size}.bin" for size in SIZES))
        self.assertEqual(sorted(o["id"] for o in result.objects("file")),
                         sorted(id_of(self.files[f"size/{size}.bin"]).hex() for size in SIZES))
        self.assertEqual(result.done["exit"], 0)

    def test_json_tells_start_source_file_and_done_with_the_figures(self):
        target = self.world.path("out")
        result = self.get("--json", "-d", target, "1048576.bin")
        self.assert_exit(result, 0)
        data = self.files["size/1048576.bin"]
        shared = zsp.SharedFile("x", data)
        (start,) = result.objects("start")
        self.assertEqual((start["id"], start["root"], start["size"], start["chunks"], start["chunk_size"]),
                         (shared.file_id.hex(), shared.root.hex(), len(data), 16, 65536))
        joined = [o for o in result.objects("source") if o["state"] == "joined"]
        self.assertEqual([(o["node"], o["port"], o["node_name"]) for o in joined],
                         [(self.node.node_id, self.node.port, "node")])
        (file,) = result.objects("file")
        self.assertEqual((file["id"], file["received"], file["wasted"]), (shared.file_id.hex(), len(data), 0))
        self.assertEqual(os.path.realpath(self.world.folder / file["path"]), os.path.realpath(target / "1048576.bin"))
        self.assertTrue(result.done)

    def test_by_id_prefix_and_by_whole_name(self):
        target = self.world.path("out")
        digits = id_of(self.files["size/65537.bin"]).hex()
        self.assert_exit(self.get("-d", target, digits[:8], "words of/a name.txt"), 0)
        self.assert_file(target / "65537.bin", self.files["size/65537.bin"])
        self.assert_file(target / "a name.txt", b"words")

    def test_to_a_named_file(self):
        target = self.world.path("out/renamed")
        self.assert_exit(self.get("-o", target, "16385.bin"), 0)
        self.assert_file(target, self.files["size/16385.bin"])
        self.assert_only(target.parent, "renamed")

    def test_into_the_current_folder_by_default(self):
        self.assert_exit(self.get("1.bin"), 0)
        self.assert_file(self.world.path("1.bin"), self.files["size/1.bin"])

    def test_from_a_node_without_a_broker(self):
        target = self.world.path("out")
        result = self.get("--from", self.node.endpoint, "-d", target, "131073.bin", broker=False,
                          env={"ZSWARM_BROKER": "tcp://127.0.0.1:1"})
        self.assert_exit(result, 0)
        self.assert_file(target / "131073.bin", self.files["size/131073.bin"])
        digits = id_of(self.files["size/65537.bin"]).hex()
        self.assert_exit(self.get("--from", self.node.endpoint, "-d", target, digits, broker=False), 0)
        self.assert_file(target / "65537.bin", self.files["size/65537.bin"])

    def test_from_a_node_that_lacks_it_is_a_proven_negative(self):
        result = self.get("--from", self.node.endpoint, "-d", self.world.path("out"), "absent", broker=False)
        self.assert_exit(result, 1)

    def test_from_a_node_that_is_not_there_is_no_negative(self):
        result = self.get("--from", "127.0.0.1:1", "--timeout", "1", "-d", self.world.path("out"), "absent",
                          broker=False)
        self.assertIn(result.code, (2, 3), f"\n{result}")

    def test_a_name_that_nobody_has(self):
        target = self.world.path("out")
        result = self.get("--json", "-d", target, "absent.bin")
        self.assert_exit(result, 1)
        self.assertTrue(result.done["error"])

    def test_several_arguments_give_the_gravest_code_and_the_other_files(self):
        target = self.world.path("out")
        result = self.get("--json", "-d", target, "absent.bin", "1.bin")
        self.assert_exit(result, 1)
        self.assert_file(target / "1.bin", self.files["size/1.bin"])
        self.assertTrue(result.done)

    def test_an_identical_file_is_success_without_traffic(self):
        data = self.files["size/1048576.bin"]
        folder = self.world.share("out", {"1048576.bin": data})
        before = (folder / "1048576.bin").stat()
        fake = self.world.fake(FakeNode([zsp.SharedFile("1048576.bin", data)]))
        self.assert_exit(self.get("--from", fake.endpoint, "-d", folder, "1048576.bin", broker=False), 0)
        self.assertEqual(fake.seen_of(zsp.READ), [])
        after = (folder / "1048576.bin").stat()
        self.assertEqual((before.st_ino, before.st_mtime_ns), (after.st_ino, after.st_mtime_ns))

    def test_a_different_file_is_never_overwritten(self):
        for other in (b"mine", random_bytes(1048576, 99)):
            folder = self.world.share("out", {"1048576.bin": other})
            result = self.get("-d", folder, "1048576.bin")
            self.assert_exit(result, 2)
            self.assertIn("1048576.bin", result.stderr)
            self.assert_file(folder / "1048576.bin", other)

    def test_a_folder_in_the_way_is_an_error_that_names_it(self):
        folder = self.world.share("out", {"1.bin/x": b""})
        result = self.get("-d", folder, "1.bin")
        self.assert_exit(result, 2)
        self.assertIn("1.bin", result.stderr)

    def test_a_target_that_cannot_be_made_is_an_error_that_names_it(self):
        self.world.share("plain", {"file": b""})
        result = self.get("-d", str(self.world.folder / "plain" / "file" / "below"), "1.bin")
        self.assert_exit(result, 2)
        self.assertIn("plain/file", result.stderr)

    def test_what_was_fetched_can_be_fetched_from_the_fetcher_by_a_stranger(self):
        """The other direction: our client takes from a foreign node."""
        shared = zsp.SharedFile("foreign/f.bin", random_bytes(3000001, 5))
        fake = self.world.fake(FakeNode([shared], self.broker.endpoint))
        target = self.world.path("out")
        self.assert_exit(self.get("-d", target, "f.bin"), 0)
        self.assert_file(target / "f.bin", shared.data)
        self.assertEqual(sum(seen.message.length for seen in fake.seen_of(zsp.READ)), len(shared.data))

    def test_zls_and_zhash_agree_on_every_id(self):
        listed = self.world.run("zls", "--json", self.node.endpoint)
        self.assert_exit(listed, 0)
        ids = {o["name"]: (o["id"], o["root"], o["size"]) for o in listed.objects("file")}
        self.assertEqual(set(ids), set(self.files))
        for name, data in self.files.items():
            shared = zsp.SharedFile(name, data)
            self.assertEqual(ids[name], (shared.file_id.hex(), shared.root.hex(), len(data)), name)
        paths = [str(self.world.folder / "share" / name) for name in self.files]
        hashed = self.world.run("zhash", "--json", *paths)
        self.assert_exit(hashed, 0)
        self.assertEqual([(o["id"], o["root"], o["size"]) for o in hashed.objects("file")],
                         [ids[name] for name in self.files])
        table = self.world.run("zhash", paths[-1])
        self.assertTrue(re.match(rf"{ids['words of/a name.txt'][0]}\s+{ids['words of/a name.txt'][1]}\s+5\s",
                                 table.stdout.splitlines()[-1]), f"\n{table}")


class Ambiguous(EndToEnd):
    def test_two_different_files_under_one_name_are_listed_and_none_is_chosen(self):
        broker = self.world.broker()
        contents = (b"one", b"two")
        for number, data in enumerate(contents):
            folder = self.world.share(f"share{number}", {f"{number}/same.txt": data})
            self.world.node(f"node{number}", broker, folder)
        self.world.wait_found(broker, "0/same.txt", "1/same.txt")
        target = self.world.path("out")
        result = self.world.run("zget", "--broker", broker.endpoint, "-d", target, "same.txt")
        self.assert_exit(result, 4)
        for data in contents:
            self.assertIn(id_of(data).hex()[:12], result.stdout + result.stderr)
        self.assertFalse((target / "same.txt").exists())
        chosen = self.world.run("zget", "--broker", broker.endpoint, "-d", target, id_of(b"two").hex())
        self.assert_exit(chosen, 0)
        self.assertEqual((target / "same.txt").read_bytes(), b"two")

    def test_an_ambiguous_name_on_one_node_without_a_broker(self):
        fake = self.world.fake(FakeNode([zsp.SharedFile("a/same.txt", b"1"), zsp.SharedFile("b/same.txt", b"2")]))
        target = self.world.path("out")
        result = self.world.run("zget", "--from", fake.endpoint, "-d", target, "same.txt")
        self.assertIn(result.code, (1, 4), f"\n{result}")
        self.assertFalse((target / "same.txt").exists())


if __name__ == "__main__":
    unittest.main()
