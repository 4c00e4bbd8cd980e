"""The terminal: what a program does, by rich.

Importing this raises ImportError where rich is not installed."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from typing import Any

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .client import Watched
from .figures import History, sparkline, title_of


@attrs.define(eq=False)
class View:
    """The answers of one program, as something that rich can show."""

    histories: defaultdict[str, History] = attrs.field(factory=lambda: defaultdict(History))

    def frame(self, answer: dict[str, Any]) -> RenderableType:
        """What to show for an answer."""
        panels = [self._panel(number, run, answer) for number, run in enumerate(answer["runs"])]
        return Group(*(panels or [Panel("no run is under way", title=f"process {answer['pid']}")]))

    def _panel(self, number: int, run: dict[str, Any], answer: dict[str, Any]) -> Panel:
        history = self.histories[f"{number} {run['thread']}"]
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(ratio=3, style="bold", no_wrap=True)
        table.add_column(ratio=3, justify="right", style="green", no_wrap=True)
        table.add_column(ratio=4, justify="right", style="dim", no_wrap=True)
        for row in history.rows(run, answer["time"]):
            table.add_row(*row)
        line = Text(f"completions/s  {sparkline(history.rates)}", style="cyan", no_wrap=True)
        return Panel(Group(table, line), title=f"process {answer['pid']}: {title_of(run)}", title_align="left")


def show(program: Watched, interval_seconds: float, count: int | None, console: Console | None = None) -> None:
    """Show a program until it ends, or so many times.

    Raises:
      MonitorError: it has ended, or does not answer.
    """
    console = console or Console()
    view = View()
    view.frame(program.ask("statistics"))  # rates need an answer before
    number = 0
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        while count is None or number < count:
            time.sleep(interval_seconds)
            frame = view.frame(program.ask("statistics"))
            if live is not None:
                live.update(frame, refresh=True)
            else:
                console.print(frame)
            number += 1
