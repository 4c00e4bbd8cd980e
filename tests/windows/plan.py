"""Which tests run in the lane, and in which set-ups."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    "LOSE_COMPLETIONS",
    "LOSE_NOTIFICATIONS",
    "REFUSE",
    "REFUSE_IOCTLS",
    "REFUSE_MEMORY",
    "REFUSE_QUEUES",
    "SEED",
    "SHORT_RECEIVES",
    "START_DEFERRED_EARLY",
)

# Speed under Wine means nothing, so this is much.
FOLDER_SECONDS = 900.0

# Set-ups that run at the same time: each has a Wine prefix of its own, and most of a test is waiting.
WORKERS = 2

INSIDE = "tests/windows/inside"
FOLDERS = ("conformance", "engine", "regressions", "unit", "cli")


@attrs.frozen
class Setup:
    """One way to run some files; no files means all."""

    name: str
    setting: Mapping[str, str]
    files: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The variables; the names of knobs may be short in :attr:`setting`."""
        return {f"TRIO_RIO_LANE_{name}" if name in KNOBS else name: value for name, value in self.setting.items()}


WINSOCK = {"TRIO_RIO_PROVIDER": "winsock"}

# Runs before all others, and alone: they stand on the table.
TABLE = Setup("the table", {}, tuple(f"{INSIDE}/test_{name}.py" for name in ("table", "misuse", "knobs")))


def files(folder: str, names: str) -> tuple[str, ...]:
    """Test files by their short names."""
    return tuple(f"tests/{folder}/test_{name}.py" for name in names.split())


# What depends on how completions are collected, and leaves that open.
NOTIFIED = (
    "bulk_receives cancellation close contracts datagram_cancel datagram_channel datagram_close datagram_leases "
    "fairness guest mixed_ways nothing_lost own_sockets run_sockets runs serve stream_leases window"
)

# What each variation can make a difference to; with --full each runs everything.
VARIATIONS = (
    Setup(
        "delayed",
        {**WINSOCK, "DELAY_MILLISECONDS": "3"},
        files("conformance", "streams close flags") + files("engine", "cancellation close"),
    ),
    Setup(
        "short receives",
        {**WINSOCK, "SHORT_RECEIVES": "1"},
        # Only tests that do not say how much one receive brings.
        (f"{INSIDE}/test_faults.py", *files("engine", "contracts nothing_lost")),
    ),
    Setup(
        "early starts",
        {**WINSOCK, "START_DEFERRED_EARLY": "1"},
        files("conformance", "flags close request_queues") + files("engine", "window"),
    ),
    Setup(
        "other abort statuses",
        {**WINSOCK, "ABORT_STATUS": "vary"},
        files("conformance", "close") + files("engine", "cancellation close datagram_close"),
    ),
    Setup(
        "event",
        {**WINSOCK, "TRIO_RIO_TEST_NOTIFICATION": "event"},
        files("engine", NOTIFIED),
    ),
    Setup(
        "polled",
        {**WINSOCK, "TRIO_RIO_TEST_NOTIFICATION": "polled"},
        files("engine", NOTIFIED),
    ),
    Setup("no RIO", {"REFUSE": "1"}, files("conformance", "startup streams close") + files("engine", "entry close")),
)
# Files of their own.
FAULTS = (
    *(
        Setup(name, {knob: "1"}, (f"{INSIDE}/test_refused.py",))
        for name, knob in {
            "no RIO at all": "REFUSE",
            "no memory for RIO": "REFUSE_MEMORY",
            "no queues": "REFUSE_QUEUES",
            "no completions": "LOSE_COMPLETIONS",
            "no notifications": "LOSE_NOTIFICATIONS",
        }.items()
    ),
    Setup("lost notifications", WINSOCK, (f"{INSIDE}/test_lost.py",)),
    Setup("some are lost", {**WINSOCK, "LOSE_NOTIFICATIONS": "9"}, (f"{INSIDE}/test_faults.py",)),
    Setup("no ioctls", {**WINSOCK, "REFUSE_IOCTLS": "1"}, (f"{INSIDE}/test_faults.py",)),
    Setup("failing calls", {**WINSOCK, "FAIL_CALLS": "7"}, (f"{INSIDE}/test_faults.py",)),
    Setup("failing requests", {**WINSOCK, "FAIL_REQUESTS": "40"}, (f"{INSIDE}/test_faults.py",)),
)
# The examples are programs of their own: that they count, and that RIO does it, is what the system can change.
EXAMPLES = Setup(
    "examples",
    WINSOCK,
    tuple(
        f"tests/test_examples.py::test_{name}"
        for name in ("a_server_counts_what_is_sent", "several_runs_count_together", "the_echo_server_echoes")
    ),
)


def setups(is_full: bool) -> list[Setup]:
    """All set-ups but the table's own, the longest first."""
    variations = list(VARIATIONS)
    if is_full:
        variations = [
            setup if "SHORT_RECEIVES" in setup.setting else attrs.evolve(setup, files=()) for setup in variations
        ]
    return [Setup("winsock", WINSOCK), *variations, EXAMPLES, *FAULTS]


def all_files() -> list[str]:
    """The project's own tests that concern what runs on Windows."""
    tests = machine.ROOT / "tests"
    found = [path for folder in FOLDERS for path in sorted((tests / folder).rglob("test_*.py"))]
    return [str(path.relative_to(machine.ROOT)) for path in found]


_output = threading.Lock()


def say(text: str) -> None:
    """One thing at a time, whole."""
    with _output:
        print(text, flush=True)


def run_folder(prefix: Path, setup: Setup, folder: str, files: list[str]) -> suite.Outcome:
    """Run files together, which is quickest. If that comes to no end, one by one, to find out where."""
    outcome = suite.run_files(prefix, files, setup.environment, FOLDER_SECONDS)
    if outcome.is_cut_off and len(files) > 1:
        say(f"     {setup.name}: {folder} came to no end; now file by file")
        outcome = suite.Outcome()
        for file in files:
            outcome.add(run_folder(prefix, setup, file, [file]))
        return outcome
    if outcome.details:
        say(outcome.details)
    say(f"{'FAIL' if outcome.problems else 'ok  '} {setup.name}: {folder}: {outcome}")
    return outcome


def run_setup(setup: Setup) -> suite.Outcome:
    """Run the files of a set-up, in a prefix of its own, and say how it went."""
    total = suite.Outcome()
    with machine.prefix() as prefix:
        for folder, files in itertools.groupby(setup.files or all_files(), os.path.dirname):
            total.add(run_folder(prefix, setup, folder, list(files)))
    say("\n".join([f"== {setup.name}: {total}", *(f"   {problem}" for problem in total.problems)]))
    return total


def run_setups(wanted: Sequence[Setup]) -> list[str]:
    """Run set-ups, a few at a time; what went wrong."""
    with ThreadPoolExecutor(WORKERS) as pool:
        outcomes = list(pool.map(run_setup, wanted))
    print("\nset-up                  result")
    problems = []
    for setup, outcome in zip(wanted, outcomes, strict=True):
        print(f"{setup.name:<23} {'good' if outcome.is_good else 'BAD '} {outcome}")
        if not outcome.is_good:
            problems += [f"{setup.name}: {what}" for what in outcome.problems or ["nothing passed"]]
    return problems
