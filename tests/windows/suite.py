"""Run some of the project's own tests in the lane, in one process, and judge what it says.

A run fails when a test does, when RIO was misused, or when nothing passed. A test that hangs is killed with its process
(pytest-timeout has no gentler way on Windows): such a run is cut off.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from . import machine, run

# pytest's exit code when no test was selected.
NOTHING_RAN = 5

SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|deselected)")
SHOWN_CHARACTERS = 20_000


@attrs.define
class Outcome:
    """What became of some test files."""

    counts: dict[str, int] = attrs.field(factory=dict)
    problems: list[str] = attrs.field(factory=list)
    details: str = ""
    is_cut_off: bool = False
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not self.problems and self.counts.get("passed", 0) > 0

    def add(self, other: Outcome) -> None:
        """Count another outcome in."""
        for word, count in other.counts.items():
            self.counts[word] = self.counts.get(word, 0) + count
        self.problems += other.problems
        self.seconds += other.seconds

    def __str__(self) -> str:
        words = [f"{count} {word}" for word, count in sorted(self.counts.items())]
        return f"{', '.join(words) or 'nothing'} in {self.seconds:.0f} s"


def read_counts(output: str) -> dict[str, int]:
    """The counts in pytest's last line."""
    lines = [line for line in output.splitlines() if re.search(r" in [\d.]+s", line)]
    return {word: int(count) for count, word in SUMMARY.findall(lines[-1])} if lines else {}


def run_files(
    prefix: Path, selection: Sequence[str], environment: Mapping[str, str], timeout_seconds: float
) -> Outcome:
    """Run pytest on some files."""
    log, misuse = prefix / "log.txt", prefix / "misuse.txt"
    for path in (log, misuse):
        path.unlink(missing_ok=True)
    start = time.monotonic()
    arguments = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "-rfE", "--tb=short", *selection]
    everything = {**run.python_environment(misuse), **environment}
    exe = machine.python_exe()
    code = run.run_exe(prefix, exe, arguments, everything, timeout_seconds, cwd=machine.ROOT, log=log, is_shown=False)
    output = log.read_text(encoding="utf-8", errors="replace")
    outcome = Outcome(read_counts(output), seconds=time.monotonic() - start)
    if code not in (0, NOTHING_RAN):
        failed = re.findall(r"^((?:FAILED|ERROR) \S+)", output, re.MULTILINE)
        outcome.is_cut_off = not outcome.counts
        outcome.problems = failed or [f"FAILED {selection[0]}: exit code {code}, no summary: a hang, or a crash"]
        outcome.details = output[-SHOWN_CHARACTERS:]
    outcome.problems += run.misuse_reports(misuse)
    return outcome
