"""Whether a sample with a CPU for each process was disturbed.

Facts. Such a sample is wrong as soon as somebody else runs on one of the two CPUs: the rate falls, and p99 tells of
the stranger. The kernel counts how often a thread was taken off its CPU. It counts, in steps of 10 ms, how long each
CPU was busy, and how long a virtual CPU was ready but not run by its host ("stolen"). [proc(5)] On a machine where
nothing else goes on, its own threads (RCU, soft interrupts) still take a busy process off its CPU up to a hundred
times a second, for microseconds.

Consequence. The number of switches alone says little. What says it is time: that of others on the CPU, in coarse
steps, and for a generator that never sleeps exactly what it has not had.

Decision. Look at all of them, for each of the two processes. What a quiet machine does, and a few hundredths of the
time, are let pass; all else makes the sample a disturbed one, with the reason in words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs

from .usage import Usage, cpu_source, usage

# Twice of what the kernel's own threads do on a quiet machine.
INVOLUNTARY_SWITCHES_PER_SECOND = 200.0
# Of a sample: what a process that never sleeps may not have had of its CPU.
LOST_SHARE = 0.02
# The same of others, or of the host, as the kernel counts it. Not less than three of its steps, whose number is a
# matter of chance.
FOREIGN_SHARE = 0.05
FOREIGN_STEPS = 3
_STEP_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@attrs.frozen
class CpuTime:
    """Counters of one CPU since the machine was started.

    Args:
      busy_seconds: with any process, or an interrupt.
      stolen_seconds: ready to run something, while its host ran something else.
    """

    busy_seconds: float
    stolen_seconds: float

    def __sub__(self, earlier: CpuTime) -> CpuTime:
        return CpuTime(self.busy_seconds - earlier.busy_seconds, self.stolen_seconds - earlier.stolen_seconds)


def parse_cpu_time(text: str, cpu: int) -> CpuTime:
    """The counters of ``cpu`` in the text of /proc/stat; zeros where they are not there."""
    for line in text.splitlines():
        name, *numbers = line.split()
        if name == f"cpu{cpu}":
            steps = [int(number) for number in numbers[:8]] + [0] * (8 - len(numbers))
            user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = steps
            busy = user + nice + system + interrupts + soft_interrupts
            return CpuTime(busy * _STEP_SECONDS, stolen * _STEP_SECONDS)
    return CpuTime(0.0, 0.0)


def cpu_time(cpu: int) -> CpuTime:
    """The counters of ``cpu`` now."""
    return parse_cpu_time(Path("/proc/stat").read_text(), cpu)


@attrs.frozen
class Watched:
    """One process and its CPU during a sample.

    Args:
      name: for people.
      used: by the process.
      cpu_time: of its CPU.
      never_sleeps: whether all of the time that it did not use was taken from it.
    """

    name: str
    used: Usage
    cpu_time: CpuTime
    never_sleeps: bool = False


def _disturbances(watched: Watched, seconds: float) -> Iterator[str]:
    switches = watched.used.involuntary_switches
    if switches > INVOLUNTARY_SWITCHES_PER_SECOND * seconds:
        yield f"the {watched.name} was taken off its CPU {switches} times in {seconds:.3g} s"
    lost = seconds - watched.used.cpu_seconds
    if watched.never_sleeps and lost > LOST_SHARE * seconds:
        yield f"the {watched.name} was without its CPU for {lost:.3f} of {seconds:.3g} s"
    limit = max(FOREIGN_SHARE * seconds, FOREIGN_STEPS * _STEP_SECONDS)
    foreign = watched.cpu_time.busy_seconds - watched.used.cpu_seconds
    if foreign > limit:
        yield f"others used the {watched.name}'s CPU for {foreign:.2f} of {seconds:.3g} s"
    stolen = watched.cpu_time.stolen_seconds
    if stolen > limit:
        yield f"the host took the {watched.name}'s CPU away for {stolen:.2f} of {seconds:.3g} s"


def disturbances(watched: list[Watched], seconds: float) -> list[str]:
    """What was wrong with a sample of ``seconds``, in words; nothing when it was clean."""
    return [reason for each in watched for reason in _disturbances(each, seconds)]


class Meter:
    """What a process uses, and its CPU with others, from the moment this is made.

    Args:
      name: for people.
      pid: of the process.
      cpu: the one that it is pinned to; ``None`` when there is none, then only the process is looked at.
    """

    def __init__(self, name: str, pid: int, cpu: int | None) -> None:
        self._name = name
        self._pid = pid
        self._cpu = cpu
        _, self._read_cpu_seconds = cpu_source(pid)
        self._before = self._counters()

    def _counters(self) -> tuple[Usage, CpuTime]:
        of_cpu = CpuTime(0.0, 0.0) if self._cpu is None else cpu_time(self._cpu)
        return usage(self._pid, self._read_cpu_seconds), of_cpu

    def watched(self, *, never_sleeps: bool = False) -> Watched:
        """The difference to the beginning."""
        (used_before, cpu_before), (used, of_cpu) = self._before, self._counters()
        return Watched(self._name, used - used_before, of_cpu - cpu_before, never_sleeps)
