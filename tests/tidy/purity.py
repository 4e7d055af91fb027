#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The cores decide and do nothing: an allow-list over the undefined symbols of each core library.

    purity.py libzswarm_messages.a libzswarm_broker.a libzswarm_node.a

A symbol that one of the given cores defines is fine for the others.
"""

import re
import subprocess
import sys

ALLOWED = re.compile("|".join((
    r"malloc|calloc|realloc|reallocarray|free|abort|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_",
    r"mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|str(len|nlen|cmp|ncmp|chr|rchr|str|dup|ndup|spn|cspn|pbrk|casecmp|ncasecmp)",
    r"strto(l|ul|ll|ull)|v?snprintf|v?asprintf|qsort(_r)?|bsearch|inet_(pton|ntop)|is\w+|to(lower|upper)",
    r"__(mem\w+|strn?cpy|strncat|v?snprintf|v?asprintf)_chk|__ctype_\w+_loc|__isoc\d+_strto\w+|__errno_location|__popcountdi2",
    r"log2?|exp2?|ceil|floor|l?l?round|pow|sqrt|ldexp|frexp|fmin|fmax|log1p|expm1",
    r"htonl|htons|ntohl|ntohs",
    r"__cpu_model",  # what the processor can do: the same at every call
    r"msgpack_\w+|utf8proc_\w+|EVP_\w+|OPENSSL_cleanse|CRYPTO_memcmp|SHA256\w*",
    r"__(asan|ubsan|tsan|lsan|sanitizer|gcov|sanitizer_cov)_\w+",
)))


def symbols(archive):
    """(defined names, [(object, undefined name)]) of one archive."""
    run = subprocess.run(["nm", "-A", archive], capture_output=True, text=True, check=True)
    defined, undefined = set(), []
    for line in run.stdout.splitlines():
        match = re.match(r"(?:.*:)?([^:]+):\s*[0-9a-f]*\s+([A-Za-z])\s+(\S+)$", line)
        if not match:
            continue
        member, kind, name = match.groups()
        if kind in "Uwv":
            undefined.append((member, name))
        else:
            defined.add(name)
    return defined, undefined


def check(archives):
    tables = [symbols(archive) for archive in archives]
    defined = set().union(*(names for names, _ in tables))
    for archive, (names, undefined) in zip(archives, tables):
        if not names:
            yield archive, 0, "defines nothing: the check would be empty"
        for member, name in undefined:
            if name not in defined and not ALLOWED.fullmatch(name):
                yield f"{archive}({member})", 0, f"a pure core may not use {name}"


def main():
    count = 0
    for where, line, message in check(sys.argv[1:]):
        print(f"{where}:{line}: {message}")
        count += 1
    print(f"{0 if count else 1} passed, {1 if count else 0} failed")
    sys.exit(1 if count or len(sys.argv) < 2 else 0)


if __name__ == "__main__":
    main()
