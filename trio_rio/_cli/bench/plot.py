"""A chart of the comparison, by matplotlib if it is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..exits import needs
from ..rounds import spread
from .compare import FIGURES, OURS, STOCK, Result

_CPU = FIGURES[0]


def problem(name: str) -> str | None:
    """Why no chart can be drawn into this file, or ``None``."""
    try:
        canvas: Any = _new_figure().canvas
    except ImportError:
        return needs("--plot", "matplotlib")
    kinds = sorted(canvas.get_supported_filetypes())
    if Path(name).suffix[1:].lower() not in kinds:
        return f"can't draw into {name!r}: its name must end with one of .{', .'.join(kinds)}"
    return None


def _new_figure() -> Any:
    from matplotlib.figure import Figure  # no pyplot: no window, and no display is needed

    return Figure(figsize=(8, 4.5), layout="constrained")


def draw(results: Sequence[Result], title: str, name: str) -> None:
    """Bars of CPU time for both, workload by workload, and the ratio with its spread beside them."""
    figure = _new_figure()
    axes = figure.add_subplot()
    places = range(len(results))
    for offset, bar, colour in ((-0.2, OURS, "#1f6f8b"), (0.2, STOCK, "#b0b7bd")):
        values = [result.medians(_CPU)[bar == STOCK] for result in results]
        axes.barh([place + offset for place in places], values, 0.38, label=bar, color=colour)
    for place, result in enumerate(results):
        axes.annotate(
            spread(result.ratios(_CPU)),
            (max(result.medians(_CPU)), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(list(places), [result.workload.title for result in results])
    axes.invert_yaxis()
    axes.set_xmargin(0.3)
    axes.set_xlabel("CPU of the server, microseconds each; less is better")
    axes.set_title(f"{title}\nbeside the bars: ratio, median (least to greatest)", fontsize=9)
    axes.legend()
    figure.savefig(name)
