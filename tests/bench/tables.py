"""Results of the benchmark as tables of Markdown: losses, in bold, beside wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from .opponents import load_opponents
from .programs import VARIANTS

_VARIANT_TITLES = {"uring": "on trio_rio, io_uring", "portable": "on trio_rio, portable"}


def _in_bold_if(is_loss: bool, value: float) -> str:
    """Two digits after the point; a loss is bold, if it is one as it stands there."""
    shown = f"{value:.2f}"
    return f"**{shown}**" if is_loss and shown != "1.00" else shown


@attrs.frozen
class Figure:
    """How one opponent compares with the baseline; more than 1 is a win.

    Args:
      median, least, greatest: of the gains of the rounds.
      note: what is written beside them.
    """

    median: float
    least: float
    greatest: float
    note: str = ""

    def text(self) -> str:
        """As a cell of a table."""
        return f"{_in_bold_if(self.median < 1, self.median)} ({self.least:.2f} .. {self.greatest:.2f}){self.note}"


@attrs.frozen
class Row:
    """One thing that was measured, and the figures of each opponent.

    Args:
      heading: above the names of such rows: what the figures are.
      what: was measured.
      figures: by opponent.
    """

    heading: str
    what: str
    figures: Mapping[str, Figure]


def title_of(cell: Mapping[str, Any]) -> str:
    """A cell of ``compare`` in words."""
    plural = "" if cell["connections"] == 1 else "s"
    words = [cell["workload"].replace("_", " "), f"{cell['connections']} connection{plural}"]
    words += [f"{cell['message_bytes']} B"] if cell["message_bytes"] else []
    words += [f"pipeline {cell['pipeline']}"] if cell["pipeline"] > 1 else []
    return ", ".join(words)


def _latencies(entry: Mapping[str, Any]) -> str:
    """The latencies of an opponent as ratios, of which less is better."""
    shown = []
    for name, latency in (entry.get("latency_us") or {}).items():
        if latency["ratio"] is not None:
            median = latency["ratio"]["median"]
            shown.append(f"{name} {_in_bold_if(median > 1, median)}")
    return f"; {', '.join(shown)}" if shown else ""


def _figures(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    return {
        name: Figure(entry["gain"]["median"], entry["gain"]["min"], entry["gain"]["max"], _latencies(entry))
        for name, entry in entries.items()
        if entry["gain"] is not None
    }


def _row_of_cell(cell: Mapping[str, Any]) -> Row:
    is_rate = cell["discipline"] == "rate"
    heading = "rate, and round trips, divided by stock Trio's" if is_rate else "stock Trio divided by"
    return Row(heading, title_of(cell), _figures(cell["opponents"]))


def _row_of_memory(entries: Mapping[str, Mapping[str, Any]], connections: int, exchanges: int) -> Row:
    figures = {
        name: attrs.evolve(figure, note=f"; {entries[name]['figure']['median'] / 1000:.1f} KB")
        for name, figure in _figures(entries).items()
    }
    baseline = next(entry["figure"]["median"] for entry in entries.values() if entry["gain"] is None)
    after = "1 exchange" if exchanges == 1 else f"{exchanges} exchanges"
    what = f"{connections:,} connections, idle after {after}; stock Trio {baseline / 1000:.1f} KB each"
    return Row("stock Trio divided by", what, figures)


def rows_of(result: Mapping[str, Any]) -> list[Row]:
    """The rows of what ``compare``, ``programs`` or ``memory`` wrote as JSON.

    Raises:
      KeyError, TypeError: it is none of these.
    """
    if "memory" in result:
        arguments = result["arguments"]
        return [_row_of_memory(result["memory"], arguments["connections"], arguments["exchanges"])]
    if "programs" in result:
        return [
            Row("stock Trio divided by", f"{entry['title']}, {entry['connections']} connections", figures)
            for entry in result["programs"]
            if (figures := _figures(entry["variants"]))
        ]
    return list(map(_row_of_cell, result["cells"]))


def opponents_of(rows: Iterable[Row]) -> dict[str, str]:
    """Names and titles of who is in the rows, in the order of the benchmark."""
    found = {name for row in rows for name in row.figures}
    known = {name: opponent.title for name, opponent in load_opponents().items()}
    known |= {name: _VARIANT_TITLES.get(name, name) for name in VARIANTS}
    return {name: title for name, title in known.items() if name in found}


def table(rows: Sequence[Row]) -> str:
    """The rows, which have one heading, as a table of Markdown."""
    opponents = opponents_of(rows)
    lines = [f"| {rows[0].heading} | {' | '.join(opponents.values())} |", "| --- |" + " --- |" * len(opponents)]
    for row in rows:
        cells = [row.figures[name].text() if name in row.figures else "" for name in opponents]
        lines.append(f"| {row.what} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
