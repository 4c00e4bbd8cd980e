"""Compare runs of one test suite: what passed in the first must have passed in each of the others.

    python compare.py FIRST.xml OTHER.xml...

Reads the JUnit files of pytest, prints a table, and what a test that did not pass has said. Exits with 1 when a test
that passed in the first run did not pass in another, or was not there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

# Tests that may pass in the first run only -> why.
ALLOWED = {"_core._tests.test_io::test_io_manager_statistics": "it pins the names of Trio's own backends"}

# The elements of JUnit's format that say that a test did not pass.
OUTCOMES = ("failure", "error", "skipped")


def outcomes(path: Path) -> dict[str, tuple[str, str]]:
    """Test id -> its outcome, and what was said about it."""
    found: dict[str, tuple[str, str]] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [child for child in case if child.tag in OUTCOMES]
        found[name] = (bad[0].tag, bad[0].text or "") if bad else ("passed", "")
    return found


def passed(run: dict[str, tuple[str, str]]) -> set[str]:
    return {name for name, (outcome, _) in run.items() if outcome == "passed"}


def compare(first: Path, others: list[Path], allowed: Mapping[str, str] = ALLOWED) -> list[str]:
    """Print how the other runs differ from the first; what they have lost, one line for each test."""
    reference = outcomes(first)
    runs = {path.stem: outcomes(path) for path in others}
    print(f"\n{'run':<14} {'passed':>7} {'skipped':>8} {'failed':>7} {'missing':>8}")
    for name, run in {first.stem: reference, **runs}.items():
        counts = [sum(outcome == wanted for outcome, _ in run.values()) for wanted in ("passed", "skipped")]
        missing = passed(reference) - passed(run)
        print(f"{name:<14} {counts[0]:>7} {counts[1]:>8} {len(run) - sum(counts):>7} {len(missing):>8}")
    lost = []
    for name, run in runs.items():
        for test in sorted(passed(reference) - passed(run)):
            outcome, text = run.get(test, ("not run", ""))
            if test in allowed:
                print(f"{name}: {test} may fail: {allowed[test]}")
                continue
            lost.append(f"{name}: {test}: {outcome}")
            print(f"\n{name}: {test}: {outcome}\n{text}")
    return lost


if __name__ == "__main__":
    lost = compare(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
    for line in lost:
        print(f"FAILED {line}")
    sys.exit(bool(lost))
