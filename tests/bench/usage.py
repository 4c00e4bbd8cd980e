"""What a process has used: CPU time of all its threads, and context switches.

The kernel keeps one counter in nanoseconds, and shows it in three places: the process's CPU clock, schedstat
of each thread (not in every kernel), and, in steps of 10 ms, /proc/PID/stat. The clock is read in one call and
knows threads that have ended, so it comes first. [clock_getcpuclockid(3); proc(5)]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import attrs

from .errors import BenchError


@attrs.frozen
class Usage:
    """Counters of one process since it started.

    Args:
      cpu_seconds: user and system time of all threads.
      voluntary_switches: times a thread went to sleep; for a server that is idle in between, its wake-ups.
      involuntary_switches: times a thread was taken off the CPU.
    """

    cpu_seconds: float
    voluntary_switches: int
    involuntary_switches: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.cpu_seconds - earlier.cpu_seconds,
            self.voluntary_switches - earlier.voluntary_switches,
            self.involuntary_switches - earlier.involuntary_switches,
        )


def _process_clock(pid: int) -> float:
    return time.clock_gettime_ns((~pid << 3) | 2) * 1e-9  # what clock_getcpuclockid(3) computes


def _schedstat(pid: int) -> float:
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    counts = [int(file.read_text().split()[0]) for file in files]
    if not counts:
        raise FileNotFoundError(f"no schedstat for process {pid}")
    return sum(counts) * 1e-9


def _psutil(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error as error:
        raise OSError(str(error)) from error
    return float(times.user + times.system)


SOURCES: tuple[tuple[str, Callable[[int], float]], ...] = (
    ("process clock", _process_clock),
    ("schedstat", _schedstat),
    ("psutil", _psutil),
)


def cpu_source(pid: int) -> tuple[str, Callable[[int], float]]:
    """The first way to read a process's CPU time that works here, with its name.

    Raises:
      BenchError: none works.
    """
    reasons = []
    for name, read in SOURCES:
        try:
            read(pid)
        except (OSError, ImportError) as error:
            reasons.append(f"{name}: {error}")
        else:
            return name, read
    raise BenchError(f"cannot read the CPU time of process {pid} ({'; '.join(reasons)}). Remedy: install psutil")


def _switches(pid: int) -> tuple[int, int]:
    voluntary = involuntary = 0
    for file in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "voluntary_ctxt_switches":
                voluntary += int(value)
            elif name == "nonvoluntary_ctxt_switches":
                involuntary += int(value)
    return voluntary, involuntary


def usage(pid: int, read_cpu_seconds: Callable[[int], float]) -> Usage:
    """The counters of a process now.

    Args:
      pid: of the process.
      read_cpu_seconds: from :func:`cpu_source`.
    """
    voluntary, involuntary = _switches(pid)
    return Usage(read_cpu_seconds(pid), voluntary, involuntary)
