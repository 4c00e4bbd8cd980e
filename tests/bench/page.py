"""``python -m tests.bench page``: put the figures of results into pages, as tables and as charts.

Results have names: those of one name are one table, in the order given. A page has the place of that table between two
comments, ``<!-- figures NAME -->`` and ``<!-- end of figures -->``; with ``<!-- figures NAME 6 -->`` only the first six
rows stand there. What stood there is replaced. A place whose name was not given is left as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import BenchError
from .tables import Row, opponents_of, rows_of, table

_PLACE = re.compile(r"(<!-- figures ([a-z_]+)(?: (\d+))? -->\n).*?(<!-- end of figures -->)", re.DOTALL)

# Background is the page's; what is drawn must be seen on it.
_THEMES = {"light": "#24292f", "dark": "#d0d7de"}
_COLOURS = ("#1f77b4", "#2ca02c", "#ff7f0e", "#9467bd", "#8c8c8c", "#17becf", "#d62728", "#bcbd22", "#e377c2")


def read_rows(path: Path) -> list[Row]:
    """The rows of a result.

    Raises:
      BenchError: the file is none of ``--json``.
    """
    try:
        return rows_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} is no result of `tests.bench --json`: {error!r}") from None


def read_tables(results: Sequence[str]) -> dict[str, list[Row]]:
    """The rows by name, of results each given as ``NAME=FILE``.

    Raises:
      BenchError: one is given otherwise, or is no result; or those of one name do not go into one table.
    """
    tables: dict[str, list[Row]] = {}
    for result in results:
        name, is_named, path = result.partition("=")
        if not (name and is_named and path):
            raise BenchError(f"{result!r} does not say where it goes: NAME=RESULT.json, as in lockstep=echo.json")
        tables.setdefault(name, []).extend(read_rows(Path(path)))
    for name, rows in tables.items():
        if len({row.heading for row in rows}) != 1:
            raise BenchError(f"the results named {name} do not go into one table: give each kind a name of its own")
    return tables


def fill(text: str, tables: Mapping[str, Sequence[Row]]) -> str:
    """A page with the rows in their places.

    Raises:
      BenchError: it has no place for any of them.
    """
    if not any(place[2] in tables for place in _PLACE.finditer(text)):
        names = " or ".join(f"<!-- figures {name} -->" for name in tables)
        raise BenchError(f"the page has no place for figures: {names}, and <!-- end of figures -->")

    def filled(place: re.Match[str]) -> str:
        rows = tables.get(place[2])
        if rows is None:
            return place[0]
        count = int(place[3]) if place[3] else len(rows)
        return f"{place[1]}\n{table(rows[:count])}\n{place[4]}"

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
        values = [row.figures[name].median if name in row.figures else 0.0 for row in rows]
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
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench page", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", metavar="NAME=RESULT.json", help="the table it belongs to, and the file")
    parser.add_argument("--pages", nargs="+", type=Path, default=[], metavar="FILE.md", help="whose tables to replace")
    parser.add_argument("--charts", type=Path, metavar="FOLDER", help="where performance-light.svg and -dark.svg go")
    parser.add_argument("--chart-rows", type=int, default=6, help="rows of the first table in the chart (default: 6)")
    options = parser.parse_args(arguments)
    tables = read_tables(options.results)
    for page in options.pages:
        page.write_text(fill(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    if options.charts is not None:
        first = next(iter(tables.values()))
        for theme, colour in _THEMES.items():
            draw(first[: options.chart_rows], options.charts / f"performance-{theme}.svg", colour)
    return 0
