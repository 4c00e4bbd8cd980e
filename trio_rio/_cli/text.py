"""Plain text: lines and tables that fit into a terminal, and stay whole everywhere else."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence

# No column is made narrower than this, however narrow the terminal.
_COLUMN_MIN = 20


def line_width() -> int | None:
    """How wide a line may be: COLUMNS if it is set, else as the terminal; ``None`` where output is no terminal."""
    try:
        columns = int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):  # no terminal, or no standard output at all
        return None


def wrap(text: str, hanging: int = 0, width: int | None = None) -> list[str]:
    """Lines of at most ``width``, all but the first indented by ``hanging``. Words stay whole.

    ``width``: ``None`` takes that of :func:`line_width`.
    """
    width = width or line_width()
    if width is None or len(text) <= width:
        return [text]
    return textwrap.wrap(
        text,
        max(width, hanging + _COLUMN_MIN),
        subsequent_indent=" " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def say(text: str = "", hanging: int = 0) -> None:
    """Print a line, wrapped."""
    print(*wrap(text, hanging), sep="\n")


def format_table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart; the last is left ragged, and wrapped if need be."""
    rows = list(rows)
    *widths, _ = [max(map(len, column)) for column in zip(*rows, strict=True)]
    hanging = sum(widths) + 2 * len(widths)
    lines = []
    for *cells, last in rows:
        head = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines += wrap("  ".join([*head, last]).rstrip(), hanging)
    return lines
