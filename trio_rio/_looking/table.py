"""The statistics of a run that has ended, as a table for people."""

from __future__ import annotations

import os
import textwrap

from .._statistics import RioStatistics

_STANDARD_ERROR = 2
_VALUE_WIDTH_MIN = 20


def rows(ended: RioStatistics) -> list[tuple[str, str]]:
    """What is shown, and its value in words. What is there only while a run is under way is left out."""
    queues = "1 completion queue" if ended.completion_queues == 1 else f"{ended.completion_queues} completion queues"
    results = "none"
    if ended.completions_dequeued:
        results = (
            f"{ended.results_per_dequeue_mean:.1f} on average, {ended.results_per_dequeue_min:,} to "
            f"{ended.results_per_dequeue_max:,}"
        )
    return [
        ("provider", f"{ended.provider}: {ended.provider_because}"),
        ("engine", "in C" if ended.engine == "native" else "in Python"),
        ("collecting", f"{ended.notification}, {queues}"),
        ("sockets", f"{ended.sockets_served:,} served"),
        ("completions", f"{ended.completions_dequeued:,} by {ended.dequeue_calls:,} dequeues"),
        ("results per dequeue", results),
        ("notifications", f"{ended.notifications_received:,} received, {ended.notifications_armed:,} asked for"),
        ("commits", f"{ended.commits:,}"),
        ("window stalls", f"{ended.window_stalls:,}"),
        ("drained late", f"{ended.drained_late:,} sends"),
        ("leaked memory", megabytes(ended.leaked_bytes)),
    ]


def text(title: str, ended: RioStatistics) -> str:
    """The table under a title. Where it fits into no line of the terminal a value goes on in the next one."""
    found = rows(ended)
    indent = max(len(name) for name, _ in found) + 4
    width = line_width()
    lines = [title]
    for name, value in found:
        line = f"{f'  {name}':<{indent}}{value}"
        if width is None or len(line) <= width:
            lines.append(line)
        else:
            lines += textwrap.wrap(
                line, max(width, indent + _VALUE_WIDTH_MIN), subsequent_indent=" " * indent, break_long_words=False,
                break_on_hyphens=False,
            )  # fmt: skip
    return "".join(f"{line}\n" for line in lines)


def line_width() -> int | None:
    """How wide a line of standard error may be: COLUMNS if it is set, else as the terminal; ``None`` for any width."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    try:
        return os.get_terminal_size(_STANDARD_ERROR).columns or None
    except OSError:  # no terminal
        return None


def megabytes(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1e6:.1f} MB" if count else "0 MB"
