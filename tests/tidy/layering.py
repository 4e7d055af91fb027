#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who may include whom: messages <- broker, node <- mains and tools; ZeroMQ only in shells, tools/exchange.c and tests."""

import re

import sources

NODE_CORE = r"node/(?!shell/|program/)"
# The first match of a file's path decides; each prefix is what it may include of our own headers.
RULES = (
    (r"messages/shell/", ("messages/",)),
    (r"messages/", ("messages/(?!shell/)",)),
    (r"broker/shell/(main|z\w+)\.c$", ("messages/", "broker/", "tools/cli/")),
    (r"broker/shell/", ("messages/", "broker/")),
    (r"broker/", ("messages/(?!shell/)", "broker/(?!shell/)")),
    (r"node/program/", ("messages/", "node/", "tools/cli/")),
    (r"node/shell/share/", ("messages/", NODE_CORE, r"node/shell/(share/)?\w+\.h")),
    (r"node/shell/serve/", ("messages/", NODE_CORE, r"node/shell/((share|serve)/)?\w+\.h")),
    (r"node/shell/link/", ("messages/", NODE_CORE, r"node/shell/(link/)?\w+\.h")),
    (r"node/shell/fetch/", ("messages/", NODE_CORE, r"node/shell/((share|serve|link|fetch)/)?\w+\.h")),
    (r"node/shell/downloads/", ("messages/", NODE_CORE, r"node/shell/((share|serve|link|fetch|downloads)/)?\w+\.h")),
    (r"node/shell/push/", ("messages/", NODE_CORE, r"node/shell/((share|serve|link|fetch|push)/)?\w+\.h")),
    (r"node/shell/\w+\.", ("messages/", r"node/shell/\w+\.h")),
    (r"node/(content|rate)/", ("messages/(?!shell/)", r"node/(content|rate)/")),
    (r"node/share/", ("messages/(?!shell/)", r"node/(content|share)/")),
    (r"node/serve/", ("messages/(?!shell/)", r"node/(content|rate|share|serve)/")),
    (r"node/push/", ("messages/(?!shell/)", r"node/(content|rate|share|serve|push)/")),
    (r"node/link/", ("messages/(?!shell/)", r"node/(content|share|serve|link)/")),
    (r"node/download/", ("messages/(?!shell/)", r"node/(content|rate|download)/")),
    (r"node/\w+\.", ("messages/(?!shell/)", r"node/\w+\.h")),
    (r"tools/cli/", ("messages/(?!shell/)", "tools/cli/")),
    (r"tools/get/", ("messages/", "node/(?!program/)", "tools/(?!z)")),
    (r"tools/", ("messages/", "node/(?!program/)", "tools/")),
    (r"tests/", ("messages/", "broker/", "node/", "tools/", "tests/")),
)
ZEROMQ = re.compile(r"<c?zmq\.h>")
MAY_USE_ZEROMQ = re.compile(r"(\w+/)*shell/|tools/exchange\.c$|tests/")


def check(root):
    for path in sources.files(root, ".c", ".h"):
        name = path.relative_to(root).as_posix()
        allowed = next((allowed for pattern, allowed in RULES if re.match(pattern, name)), None)
        if allowed is None:
            yield path, 1, "C source in a folder that the layering does not know"
            continue
        for line, text in enumerate(path.read_text().split("\n"), 1):
            own = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
            if own and not any(re.match(prefix, own.group(1)) for prefix in allowed):
                yield path, line, f"may not include {own.group(1)}"
            elif re.match(r"\s*#\s*include", text) and ZEROMQ.search(text) and not MAY_USE_ZEROMQ.match(name):
                yield path, line, "ZeroMQ belongs into a shell"


if __name__ == "__main__":
    sources.main(check)
