"""Statistics of a comparison: ratios within a round, their median and their spread.

A round measures every opponent once, within seconds. What the machine does to one of them it mostly does to
all, so the ratio of two figures of one round is steadier than either figure; a ratio across rounds is not.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import attrs

Verdict: TypeAlias = Literal["better", "worse", "unclear"]


@attrs.frozen
class Summary:
    """Some values in short.

    Args:
      count: how many.
      median: of the values.
      min: the smallest.
      max: the largest.
      iqr: the distance between the quartiles, 0 for a single value.
    """

    count: int
    median: float
    min: float
    max: float
    iqr: float


def summarise(values: Sequence[float]) -> Summary | None:
    """The summary of ``values``; ``None`` when there are none."""
    if not values:
        return None
    iqr = 0.0
    if len(values) > 1:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        iqr = third - first
    return Summary(len(values), statistics.median(values), min(values), max(values), iqr)


def round_ratios(figures: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    """``figures`` over ``baseline`` for each round that has both; keys are numbers of rounds.

    A round whose baseline is 0 gives no ratio.
    """
    return [figures[number] / baseline[number] for number in sorted(figures) if baseline.get(number)]


def verdict(ratios: Summary, *, lower_is_better: bool) -> Verdict:
    """``better`` or ``worse`` only when every round says so, else ``unclear``."""
    if ratios.min <= 1 <= ratios.max:
        return "unclear"
    return "better" if (ratios.max < 1) == lower_is_better else "worse"
