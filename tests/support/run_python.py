#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs one file of Python tests: `run_python.py FILE [TEST...]`; ends with `N passed, N failed`.

A file without a single test counts as one failure: it proves nothing.
"""

import importlib.util
import sys
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


class TimedResult(unittest.TextTestResult):
    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"    {time.monotonic() - self.began:.1f} s")
        self.stream.flush()


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def run(suite):
    """Runs it and prints the count; the exit code."""
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=TimedResult)
    result = runner.run(suite)
    bad = [test for test, _ in result.failures + result.errors] + result.unexpectedSuccesses
    failed = len({getattr(test, "test_case", test).id() for test in bad})  # many sub-tests are one test
    passed = max(0, result.testsRun - failed - len(result.skipped))
    if result.testsRun == 0:
        failed = 1
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def main():
    module = load(Path(sys.argv[1]).resolve())
    loader = unittest.defaultTestLoader
    patterns = [f"*{name}*" for name in sys.argv[2:]]
    loader.testNamePatterns = patterns or None
    sys.exit(run(loader.loadTestsFromModule(module)))


if __name__ == "__main__":
    main()
