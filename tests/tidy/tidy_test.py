# SPDX-License-Identifier: MIT
"""Each check can fail: it is fed one bad sample of each kind, and a good one."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import banned  # noqa: E402
import formatting  # noqa: E402
import layering  # noqa: E402
import lengths  # noqa: E402
import purity  # noqa: E402
import texts  # noqa: E402
import vectors  # noqa: E402

HEAD = "/* " + texts.LICENCE + " */\n"


class Checks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def messages(self, check, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        found = [(line, message) for where, line, message in check(self.root) if where == path]
        path.unlink()
        return found

    def expect(self, check, name, text, line):
        found = self.messages(check, name, text)
        self.assertEqual([at for at, _ in found], [line], (name, text, found))

    def expect_clean(self, check, name, text):
        self.assertEqual(self.messages(check, name, text), [])

    def test_layering_sees_each_wrong_include(self):
        for name, include in (
                ("messages/x.c", '"broker/y.h"'), ("messages/x.c", '"messages/shell/y.h"'), ("messages/x.c", "<zmq.h>"),
                ("broker/x.c", '"node/y.h"'), ("broker/shell/x.c", '"node/y.h"'), ("node/x.c", '"broker/y.h"'),
                ("node/x.h", "<czmq.h>"), ("node/x.c", '"node/shell/y.h"'), ("node/shell/x.c", '"tools/cli/y.h"'),
                ("tools/zx.c", '"broker/y.h"'), ("tools/cli/x.c", '"node/y.h"'), ("tools/cli/x.c", "<zmq.h>"),
                ("tools/zget.c", "<zmq.h>")):
            self.expect(layering.check, name, f"\n#include {include}\n", 2)

    def test_layering_knows_every_folder(self):
        self.expect(layering.check, "utils/x.c", "", 1)

    def test_layering_allows_what_the_design_says(self):
        for name, include in (("broker/x.c", '"messages/y.h"'), ("node/shell/x.c", "<zmq.h>"),
                              ("broker/shell/zbroker.c", '"tools/cli/y.h"'), ("tools/exchange.c", "<zmq.h>"),
                              ("tools/zget.c", '"node/y.h"')):
            self.expect_clean(layering.check, name, f"#include {include}\n")

    def test_lengths_are_exact(self):
        body = "{\n" + "    x++;\n" * 68 + "}\n"
        self.expect_clean(lengths.check, "node/x.c", "void f(void)\n" + body)
        self.expect(lengths.check, "node/x.c", "void f(void)\n" + body.replace("{\n", "{\n    x++;\n"), 2)
        self.expect_clean(lengths.check, "node/x.c", "\n" * 600)
        self.expect(lengths.check, "node/x.c", "\n" * 601, 601)

    def test_banned_calls_are_found_in_code_only(self):
        for name in banned.BANNED:
            self.expect(banned.check, "node/x.c", f"\n    {name} (x);\n", 2)
        self.expect_clean(banned.check, "node/x.c", '/* gets(x) */ "gets(x)"; // gets(x)\nsnprintf(x); p->system(x);\n')

    def test_sleeps_are_banned_in_unit_tests(self):
        self.expect(banned.check, "tests/unit/x_test.c", "usleep(1);\n", 1)
        self.expect_clean(banned.check, "node/shell/x.c", "usleep(1);\n")

    def test_texts(self):
        guard = "#ifndef NODE_X_H\n#define NODE_X_H\n#endif\n"
        self.expect_clean(texts.check, "node/x.h", HEAD + guard)
        self.expect(texts.check, "node/x.h", HEAD + guard.replace("NODE_", ""), 2)
        self.expect(texts.check, "node/x.c", "int x;\n", 1)
        self.expect(texts.check, "tools/x", "#!/bin/sh\necho\n", 1)
        self.expect_clean(texts.check, "tools/x", "#!/bin/sh\n# " + texts.LICENCE + "\n")
        self.expect(texts.check, "node/x.c", HEAD + "/* TO" + "DO: later */\n", 2)
        self.expect(texts.check, "docs/x.md", "see /ho" + "me/anna/x\n", 1)
        self.expect(texts.check, "docs/x.md", "see `/wo" + "rk/x`\n", 1)
        self.expect(texts.check, "node/x.c", HEAD + "int x; \n", 2)

    def test_vectors(self):
        for name, text in ((vectors.GOLDEN, "PING 930101cc80\nPING_b 93010100\n"), (vectors.KINDS, "KIND_PING = 1,\n")):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        block = "```vectors\n{}\n```\nPING no\n"
        self.expect_clean(vectors.check, vectors.DOCUMENT, block.format("PING_b 93010100"))
        self.expect(vectors.check, vectors.DOCUMENT, block.format("PING 930101cc80\nPING_b 93010101"), 3)
        self.expect(vectors.check, vectors.DOCUMENT, block.format("").replace("vectors", "text"), 1)

    def test_formatting(self):
        self.expect(formatting.check, "node/x.c", "int  x;\n", 1)
        self.expect_clean(formatting.check, "node/x.c", "int x;\n")

    def archive(self, name, source):
        (self.root / f"{name}.c").write_text(source)
        target = self.root / f"{name}.o"
        subprocess.run(["cc", "-c", "-w", str(self.root / f"{name}.c"), "-o", str(target)], check=True)
        subprocess.run(["ar", "rcs", str(self.root / f"lib{name}.a"), str(target)], check=True)
        return str(self.root / f"lib{name}.a")

    def test_purity_refuses_each_kind_of_doing(self):
        for call in ("zmq_send", "zsock_new", "pthread_create", "open", "read", "write", "socket", "clock_gettime",
                     "time", "random", "rand", "getrandom", "RAND_bytes", "fprintf", "printf", "getenv", "sqlite3_open",
                     "fopen", "stat", "poll", "syslog", "gettimeofday", "usleep", "localtime", "signal"):
            archive = self.archive("x", f"int {call}(); int f(void) {{ return {call}(1, 2, 3); }}")
            self.assertEqual([m for _, _, m in purity.check([archive])], [f"a pure core may not use {call}"])

    def test_purity_allows_libc_memory_and_other_cores(self):
        one = self.archive("one", "void *memcpy(); int other(); int f(void *a) { memcpy(a, a, 1); return other(); }")
        two = self.archive("two", "int other(void) { return 1; }")
        self.assertEqual(list(purity.check([one, two])), [])
        self.assertEqual(len(list(purity.check([one]))), 1)


if __name__ == "__main__":
    unittest.main()
