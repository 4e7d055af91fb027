#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Sums up the JUnit reports of ctest: `count_results.py REPORT...`, ending with `N passed, N failed`.

One ctest entry holds many tests, so their own summaries are counted: Criterion's synthesis, or the line
`N passed, N failed` of our Python tests. An entry that failed, or that has no summary, is at least one failure.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

CRITERION = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)")
OURS = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
COLOUR = re.compile(r"\x1b?\[[0-9;]*m")


def count_entry(name, succeeded, output):
    """(passed, failed) of one ctest entry."""
    output = COLOUR.sub("", output)
    passed, failed = 0, 0
    if synthesis := CRITERION.findall(output):
        tested, passed, failing, crashing = map(int, synthesis[-1])
        failed = max(failing + crashing, tested - passed)
        if tested == 0:
            failed = 1
    elif summary := OURS.findall(output):
        passed, failed = map(int, summary[-1])
    elif succeeded and (name.endswith("_main") or name.startswith("sim_")):
        passed = 1  # a plain program: its exit code is its summary
    else:
        failed = 1
    if not succeeded:
        failed = max(failed, 1)
    return passed, failed


def count_report(path):
    """(passed, failed, names of failed entries, lines about skipped tests) of one report."""
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError) as error:
        return 0, 1, [f"{path}: {error}"], []
    passed, failed, bad, skipped = 0, 0, [], []
    if not cases:
        return 0, 1, [f"{path}: no tests"], []
    for case in cases:
        output = case.findtext("system-out") or ""
        entry_passed, entry_failed = count_entry(case.get("name"), case.get("status") == "run", output)
        passed += entry_passed
        failed += entry_failed
        if entry_failed:
            bad.append(f"{path}: {case.get('name')}: {entry_failed} failed")
        skipped += re.findall(r"^.*?(skipped: .*)$", output, re.M)
    return passed, failed, bad, skipped


def main():
    passed, failed = 0, 0
    for path in sys.argv[1:]:
        report_passed, report_failed, bad, skipped = count_report(path)
        passed += report_passed
        failed += report_failed
        for line in skipped + bad:
            print(line)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
