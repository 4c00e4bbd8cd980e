"""Measuring two servers in turn.

Facts. Machines are noisy, and the noise drifts. Two measurements that follow each other drift together.

Decision. In each round both are measured, and the first of a round changes places with the second: A B B A. What
counts is the median of the *ratios* within a round, and their spread. The CPU time of the server for a message stands
beside the messages per second, because the latter has the client's own limit in it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import attrs


@attrs.frozen
class Sample:
    """One measurement of one server."""

    messages_per_second: float
    cpu_microseconds_per_message: float


@attrs.frozen
class Contestant:
    """A server with a load.

    Args:
      name: of the server.
      cpu_seconds: asks how much CPU time it has used so far.
      load: exchanges messages for so many seconds; how many there were, and the seconds that it really took.
    """

    name: str
    cpu_seconds: Callable[[], float]
    load: Callable[[float], tuple[int, float]]

    def measure(self, duration_seconds: float) -> Sample:
        """Put the load on the server for that long."""
        before = self.cpu_seconds()
        count, seconds = self.load(duration_seconds)
        return Sample(count / seconds, (self.cpu_seconds() - before) * 1e6 / count)


def measure_in_turn(
    contestants: Sequence[Contestant], rounds: int, duration_seconds: float, note: Callable[[str], None]
) -> list[list[Sample]]:
    """For each server its samples, one for each round. One more of each comes first and is thrown away.

    Args:
      contestants: the first is compared with the second.
      rounds: how many.
      duration_seconds: of a sample.
      note: is told what happens now.
    """
    samples: list[list[Sample]] = [[] for _ in contestants]
    for number in range(rounds + 1):
        order = range(len(contestants)) if number % 2 else reversed(range(len(contestants)))
        for index in order:
            note(f"round {number} of {rounds}: {contestants[index].name}" if number else "warming up")
            samples[index].append(contestants[index].measure(duration_seconds))
    return [list_[1:] for list_ in samples]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratio of each round. One of nothing by nothing, where a clock is too coarse, is left out."""
    return [one / other for one, other in zip(ours, theirs, strict=True) if other]


def spread(values: Sequence[float]) -> str:
    """Median, and least to greatest in brackets."""
    if not values:
        return "too short to tell"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
