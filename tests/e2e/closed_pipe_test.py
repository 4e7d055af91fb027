# SPDX-License-Identifier: MIT
"""Results into a pipe whose reader went away, as `head` does.

What could go wrong: the tool says "broken pipe" to somebody who has what he wanted, dies of a signal, calls it
success although not all was written, or goes on for nobody.
"""

import os
import subprocess

from support.actor import DEADLINE_S
from support.case import EndToEnd
from support.processes import BIN


class ClosedPipe(EndToEnd):
    def run_unread(self, program, *args):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            result = subprocess.run([BIN / program, *map(str, args)], stdout=writer, stderr=subprocess.PIPE,
                                    env=self.world.env, cwd=self.world.folder, timeout=DEADLINE_S)
        finally:
            os.close(writer)
        return result.returncode, result.stderr.decode()

    def test_content_that_nobody_takes_any_more(self):
        broker = self.world.broker()
        self.world.node("one", broker, self.world.share("one", {"a.bin": b"x" * (1 << 20)}))
        self.world.wait_found(broker, "a.bin")
        self.assertEqual(self.run_unread("zget", "--broker", broker.endpoint, "-o", "-", "a.bin"), (2, ""))

    def test_every_tool_ends_quietly_with_an_error(self):
        broker = self.world.broker()
        names = {f"some folder with a long name/file {i:05}.bin": b"%d" % i for i in range(300)}
        node = self.world.node("one", broker, self.world.share("one", names), args=["--accept-push"])
        self.world.wait_found(broker, "some folder with a long name/file 00000.bin")
        for program, args in {
            "zls": [node.endpoint.removeprefix("tcp://")],
            "zsearch": ["--broker", broker.endpoint, "--limit", 1000, "file"],
            "zpeers": ["--broker", broker.endpoint],
            "zstat": ["--broker", broker.endpoint],
            "zhash": sorted((self.world.path("one") / "some folder with a long name").iterdir()),
            "zget": ["--broker", broker.endpoint, "--force", "file 00000.bin"],
            "zput": ["--to", node.endpoint, self.world.path("one") / "some folder with a long name/file 00000.bin"],
        }.items():
            for extra in (["--json"],) if program == "zget" else ([], ["--json"]):  # zget has no other results
                with self.subTest(program, json=bool(extra)):
                    code, said = self.run_unread(program, *extra, *args)
                    self.assertEqual(code, 2, said)
                    self.assertNotRegex(said, "(?i)pipe|cannot write|error")
