"""``python -m tests.bench page``: put the figures of results into pages, as tables and as charts.

A page has the place of a table between two comments, ``<!-- figures -->`` and ``<!-- end of figures -->``; with
``<!-- figures 6 -->`` only the first six rows stand there. What stood there is replaced. Losses stand beside wins.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from .errors import BenchError
from .opponents import load_opponents

_PLACE = re.compile(r"(<!-- figures(?: (\d+))? -->\n).*?(<!-- end of figures -->)", re.DOTALL)

# Background is the page's; what is drawn must be seen on it.
_THEMES = {"light": "#24292f", "dark": "#d0d7de"}
_COLOURS = ("#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c8c8c")


@attrs.frozen
class Row:
    """One cell of a result: what was measured, and how much each opponent gains on the baseline."""

    what: str
    gains: Mapping[str, tuple[float, float, float]]  # by opponent: median, least, greatest


def title_of(cell: Mapping[str, Any]) -> str:
    """A cell in words."""
    plural = "" if cell["connections"] == 1 else "s"
    words = [cell["workload"].replace("_", " "), f"{cell['connections']} connection{plural}"]
    words += [f"{cell['message_bytes']} B"] if cell["message_bytes"] else []
    words += [f"pipeline {cell['pipeline']}"] if cell["pipeline"] > 1 else []
    words += ["two CPUs"] if cell["discipline"] == "rate" else []
    return ", ".join(words)


def row_of(cell: Mapping[str, Any]) -> Row:
    """A cell of a result as a row."""
    gains = {
        name: (entry["gain"]["median"], entry["gain"]["min"], entry["gain"]["max"])
        for name, entry in cell["opponents"].items()
        if entry["gain"] is not None
    }
    return Row(title_of(cell), gains)


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """The rows of some results, in order.

    Raises:
      BenchError: a file is none of ``--json``.
    """
    rows: list[Row] = []
    for path in paths:
        try:
            rows += map(row_of, json.loads(path.read_text(encoding="utf-8"))["cells"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchError(f"{path} is no result of `tests.bench compare --json`: {error!r}") from None
    return rows


def opponents_of(rows: Sequence[Row]) -> dict[str, str]:
    """Names and titles of who is in the rows, in the order of the benchmark."""
    known = {name: opponent.title for name, opponent in load_opponents().items()}
    return {name: title for name, title in known.items() if any(name in row.gains for row in rows)}


def table(rows: Sequence[Row]) -> str:
    """Gains as a table of Markdown; losses in bold."""
    opponents = opponents_of(rows)
    lines = [
        "| stock Trio divided by | " + " | ".join(opponents.values()) + " |",
        "| --- |" + " --- |" * len(opponents),
    ]
    for row in rows:
        shown = []
        for name in opponents:
            median, least, greatest = row.gains.get(name, (None, None, None))
            if median is None:
                shown.append("")
                continue
            figure = f"**{median:.2f}**" if median < 1 else f"{median:.2f}"
            shown.append(f"{figure} ({least:.2f} .. {greatest:.2f})")
        lines.append(f"| {row.what} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def fill(text: str, rows: Sequence[Row]) -> str:
    """A page with the rows in its places.

    Raises:
      BenchError: it has none.
    """
    if not _PLACE.search(text):
        raise BenchError("the page has no place for figures: <!-- figures --> and <!-- end of figures -->")

    def filled(place: re.Match[str]) -> str:
        count = int(place[2]) if place[2] else len(rows)
        return f"{place[1]}\n{table(rows[:count])}\n{place[3]}"

    return _PLACE.sub(filled, text)


def draw(rows: Sequence[Row], path: Path, colour: str) -> None:
    """Gains as bars, the baseline as a line, with what is written in this colour."""
    from matplotlib.figure import Figure  # no pyplot: no window, and no display is needed

    opponents = opponents_of(rows)
    height = 0.8 / len(opponents)
    figure = Figure(figsize=(8, 1 + 0.7 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, title) in enumerate(opponents.items()):
        at = [number + place * height for number in range(len(rows))]
        values = [row.gains.get(name, (0.0,))[0] for row in rows]
        axes.barh(at, values, height=height * 0.9, color=_COLOURS[place % len(_COLOURS)], label=title)
    axes.axvline(1, color=colour, linewidth=1, linestyle="--")
    axes.set_yticks([number + 0.4 - height / 2 for number in range(len(rows))], [row.what for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("for the same CPU time; stock Trio is 1; more is better")
    axes.legend(frameon=False, labelcolor=colour)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(colors=colour)
    axes.xaxis.label.set_color(colour)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Put the figures of some results into pages and charts."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench page", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    parser.add_argument("--pages", nargs="+", type=Path, default=[], metavar="FILE.md", help="whose tables to replace")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="where performance-light.svg and -dark.svg go")
    parser.add_argument("--chart-rows", type=int, default=6, help="rows of the chart (default: 6)")
    options = parser.parse_args(arguments)
    rows = read_rows(options.results)
    for page in options.pages:
        page.write_text(fill(page.read_text(encoding="utf-8"), rows), encoding="utf-8")
    if options.charts is not None:
        for theme, colour in _THEMES.items():
            draw(rows[: options.chart_rows], options.charts / f"performance-{theme}.svg", colour)
    return 0
