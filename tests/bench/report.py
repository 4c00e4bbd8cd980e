"""Results for programs (JSON) and for people (plain text). Losses are shown like wins."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from .ratios import Summary, round_ratios, summarise, verdict
from .rounds import Cell, Measured
from .workloads import WORKLOADS

SCHEMA = 2
LATENCIES = ("p50", "p99")
# A generator that uses nearly all of its CPU may be what limits the rate.
GENERATOR_BOUND = 0.9

Figures: TypeAlias = dict[str, Any]


def _main_figure(cell: Cell) -> tuple[str, bool]:
    """The figure that the discipline is for, and whether less of it is better."""
    return ("cpu_us_per_unit", True) if cell.discipline == "lockstep" else ("units_per_second", False)


def _asdict(summary: Summary | None) -> dict[str, Any] | None:
    return None if summary is None else attrs.asdict(summary)


def _figures_by_round(cell: Cell, measured: Measured, figure: str) -> dict[int, float]:
    unit = WORKLOADS[cell.workload].unit
    return {sample.round: sample.figures(unit)[figure] for sample in measured.samples}


def _latencies_by_round(measured: Measured, name: str) -> dict[int, float]:
    latencies = {sample.round: sample.result.latency_us for sample in measured.samples}
    return {number: latency[name] for number, latency in latencies.items() if latency is not None}


def compared(figures: Mapping[int, float], baseline: Mapping[int, float] | None, *, lower_is_better: bool) -> Figures:
    """Figures by round in short, and beside a baseline's of the same rounds.

    Returns:
      ``figure``; ``ratio``, divided by the baseline's; ``gain``, the same the way round in which more is better;
      and ``verdict``.
    """
    ratios = gains = None
    if baseline is not None:
        ratios = summarise(round_ratios(figures, baseline))
        gains = summarise(round_ratios(baseline, figures)) if lower_is_better else ratios
    return {
        "figure": _asdict(summarise(list(figures.values()))),
        "ratio": _asdict(ratios),
        "gain": _asdict(gains),
        "verdict": None if ratios is None else verdict(ratios, lower_is_better=lower_is_better),
    }


def _latency_entry(measured: Measured, baseline: Measured | None) -> dict[str, Figures] | None:
    entries = {}
    for name in LATENCIES:
        own = _latencies_by_round(measured, name)
        others = None if baseline is None else _latencies_by_round(baseline, name)
        if own:
            entries[name] = compared(own, others, lower_is_better=True)
    return entries or None


def _opponent_entry(cell: Cell, measured: Measured, baseline: Measured | None) -> dict[str, Any]:
    figure, lower_is_better = _main_figure(cell)
    unit = WORKLOADS[cell.workload].unit
    if baseline is measured:
        baseline = None
    others = None if baseline is None else _figures_by_round(cell, baseline, figure)
    return {
        "facts": dict(measured.facts),
        "failure": measured.failure,
        **compared(_figures_by_round(cell, measured, figure), others, lower_is_better=lower_is_better),
        "latency_us": _latency_entry(measured, baseline),
        "samples": [{**attrs.asdict(sample), "figures": sample.figures(unit)} for sample in measured.samples],
        "rejected": [attrs.asdict(sample) for sample in measured.rejected],
    }


def cell_entry(cell: Cell, measured: Mapping[str, Measured], baseline: str) -> dict[str, Any]:
    """One cell as data for JSON; the fields are in docs/maintainers/benchmarks.md.

    Args:
      cell: what was measured.
      measured: by opponent.
      baseline: the opponent that ratios refer to.
    """
    figure, lower_is_better = _main_figure(cell)
    return {
        "workload": cell.workload,
        **attrs.asdict(cell.shape),
        "discipline": cell.discipline,
        "unit": WORKLOADS[cell.workload].unit,
        "figure": figure,
        "lower_is_better": lower_is_better,
        "baseline": baseline,
        "opponents": {
            name: _opponent_entry(cell, samples, measured.get(baseline)) for name, samples in measured.items()
        },
    }


def document(
    *,
    arguments: Mapping[str, Any],
    machine: Mapping[str, Any],
    started_at: str,
    cells: Sequence[Mapping[str, Any]],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """The whole result as data for JSON."""
    return {
        "schema": SCHEMA,
        "started_at": started_at,
        "arguments": dict(arguments),
        "machine": dict(machine),
        "left_out": dict(left_out),
        "cells": list(cells),
    }


# ----------------------------------------------------------------------------------------------------------
# Plain text
# ----------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """Three or four digits that matter."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def summary_columns(summary: Mapping[str, float] | None, missing: str) -> list[str]:
    """Median, extremes and IQR; ``missing`` and three empty columns when there is no summary."""
    if summary is None:
        return [missing, "", "", ""]
    return [number(summary[key]) for key in ("median", "min", "max", "iqr")]


def _rate_columns(entry: Mapping[str, Any]) -> list[str]:
    samples = entry["samples"]
    columns = []
    for name in LATENCIES:
        latency = (entry["latency_us"] or {}).get(name, {})
        parts = [latency.get(part) for part in ("figure", "ratio")]
        columns += [number(part["median"]) if part else "-" for part in parts]
    busy = statistics.median(
        sample["result"]["generator_cpu_seconds"] / sample["result"]["seconds"] for sample in samples
    )
    lost = sum(sample["result"]["lost"] for sample in samples)
    sent = lost + sum(sample["result"]["messages"] for sample in samples)
    columns += [f"{busy:.0%}{'!' if busy > GENERATOR_BOUND else ''}", f"{lost / sent:.0%}" if lost else "0"]
    return [*columns, str(len(entry["rejected"]))]


def _row(name: str, entry: Mapping[str, Any], *, is_baseline: bool, is_rate: bool) -> list[str]:
    if not entry["samples"]:
        return [name]
    gain = summary_columns(entry["gain"], "1" if is_baseline else "-")
    row = [name, *summary_columns(entry["figure"], "-"), *gain, entry["verdict"] or "baseline" * is_baseline]
    medians = [
        statistics.median(sample["figures"][figure] for sample in entry["samples"])
        for figure in ("cpu_us_per_unit", "voluntary_switches_per_unit")
    ]
    row += [number(medians[1])]
    return [*row, number(medians[0]), *_rate_columns(entry)] if is_rate else row


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    lines = []
    for row in rows:
        numbers = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=False)]
        lines.append("  ".join(["", row[0].ljust(widths[0]), *numbers]).rstrip())
    return lines


def cell_text(entry: Mapping[str, Any], title: str) -> str:
    """One cell as a plain-text table, from the data of :func:`cell_entry`."""
    is_rate = entry["discipline"] == "rate"
    unit, baseline = entry["unit"], entry["baseline"]
    what = f"{unit}s per second, more is better" if is_rate else f"server CPU us per {unit}, less is better"
    gain = f"divided by {baseline}'s" if is_rate else f"{baseline}'s divided by it"
    heads = ["", "median", "min", "max", "IQR", "gain", "min", "max", "IQR", "", f"sleeps/{unit}"]
    if is_rate:
        heads += [f"CPU us/{unit}", "p50 us", "ratio", "p99 us", "ratio", "generator", "lost", "rejected"]
    rows = [heads]
    notes = []
    for name, opponent in entry["opponents"].items():
        rows.append(_row(name, opponent, is_baseline=name == baseline, is_rate=is_rate))
        if opponent["failure"]:
            notes.append(f"  {name} FAILED: {opponent['failure']}")
    return "\n".join([title, f"  {what}; gain: {gain}, within each round", *aligned(rows), *notes])


def figures_text(entries: Mapping[str, Mapping[str, Any]], baseline: str, heading: str) -> str:
    """A table of entries that :func:`compared` made, below ``heading``; failures follow it."""
    rows = [["", "median", "min", "max", "IQR", "gain", "min", "max", "IQR", ""]]
    notes = []
    for name, entry in entries.items():
        is_baseline = name == baseline
        compared_columns = summary_columns(entry["gain"], "1" if is_baseline else "-")
        verdict_text = "baseline" if is_baseline else entry["verdict"] or ""
        rows.append([name, *summary_columns(entry["figure"], "-"), *compared_columns, verdict_text])
        if entry["failure"]:
            notes.append(f"  {name} FAILED: {entry['failure']}")
    return "\n".join([heading, *aligned(rows), *notes])
