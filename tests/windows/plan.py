"""Which tests run in the lane, and in which set-ups."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from . import machine, suite

# The knobs of the table; their variables are TRIO_RIO_LANE_ and the name.
KNOBS = (
    "ABORT_STATUS",
    "DELAY_MILLISECONDS",
    "FAIL_CALLS",
    "FAIL_REQUESTS",
    "FAIL_STATUS",
    "REFUSE",
    "SEED",
    "SHORT_RECEIVES",
    "START_DEFERRED_EARLY",
)

# Of a file of tests. Speed under Wine means nothing, so this is much.
FILE_SECONDS = 300.0

# What runs by itself: the table first, because all else stands on it.
SELF_TEST = ("tests/windows/inside/test_table.py", "tests/windows/inside/test_misuse.py")
KNOB_TEST = ("tests/windows/inside/test_knobs.py",)
FOLDERS = ("conformance", "engine", "regressions", "unit", "cli")


@attrs.frozen
class Setup:
    """One way to run some files; no files means all."""

    name: str
    environment: Mapping[str, str]
    files: tuple[str, ...] = ()


def environment(setting: Mapping[str, str]) -> dict[str, str]:
    """Variables for a setting in which the names of knobs may be short."""
    return {f"TRIO_RIO_LANE_{name}" if name in KNOBS else name: value for name, value in setting.items()}


def all_files() -> list[str]:
    """The project's own tests that concern what runs on Windows."""
    tests = machine.ROOT / "tests"
    found = [path for folder in FOLDERS for path in sorted((tests / folder).rglob("test_*.py"))]
    return [str(path.relative_to(machine.ROOT)) for path in found]


def run_setup(prefix: Path, setup: Setup) -> suite.Outcome:
    """Run the files of a set-up one after another, and say how each went."""
    total = suite.Outcome()
    print(f"\n== {setup.name}: {' '.join(f'{name}={value}' for name, value in setup.environment.items())}", flush=True)
    for file in setup.files or all_files():
        outcome = suite.run_file(prefix, [file], setup.environment, FILE_SECONDS)
        print(f"{'ok  ' if not outcome.failures and not outcome.misuse else 'FAIL'} {file}: {outcome}", flush=True)
        total.add(outcome)
    print(f"== {setup.name}: {total}", flush=True)
    for failure in total.failures:
        print(f"   FAILED {failure}", flush=True)
    return total
