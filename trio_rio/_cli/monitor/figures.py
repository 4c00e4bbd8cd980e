"""What is shown of a run: rows of words, from two answers one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import attrs

from ..._looking.table import megabytes

_BLOCKS = "▁▂▃▄▅▆▇█"
_HISTORY = 40


def sparkline(values: Sequence[float]) -> str:
    """Values as blocks of different heights."""
    top = max(values, default=0) or 1
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(value / top * len(_BLOCKS)))] for value in values)


def milliseconds(seconds: float) -> str:
    """A short time."""
    return f"{seconds * 1e3:,.1f} ms"


def duration(seconds: float) -> str:
    """A long time."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


@attrs.define(eq=False)
class History:
    """One run over time."""

    before: dict[str, Any] | None = None
    time: float = 0.0
    rates: deque[float] = attrs.field(factory=lambda: deque(maxlen=_HISTORY))

    def rows(self, run: dict[str, Any], now: float) -> list[tuple[str, str, str]]:
        """Name, value now, and what it has been since the start; ``now`` is the time of the answer."""
        counts: dict[str, Any] = run["statistics"]
        before, seconds = self.before or counts, now - self.time if self.before is not None else 0.0
        self.before, self.time = counts, now

        def since(name: str) -> float:
            return float(counts[name] - before[name])

        def rate(name: str) -> str:
            return f"{since(name) / seconds:,.0f}/s" if seconds > 0 else ""

        if seconds > 0:
            self.rates.append(since("completions_dequeued") / seconds)
        dequeues = since("dequeue_calls")
        results = f"{since('completions_dequeued') / dequeues:.1f}" if dequeues else ""
        rows = [
            ("connections", f"{counts['sockets_open']:,} open", f"{counts['sockets_served']:,} served"),
            ("completions", rate("completions_dequeued"), f"{counts['completions_dequeued']:,}"),
            ("results per dequeue", results, f"{counts['results_per_dequeue_mean']:.1f} on average"),
            ("notifications", rate("notifications_received"), f"{counts['notifications_received']:,}"),
            ("window stalls", rate("window_stalls"), f"{counts['window_stalls']:,}"),
            ("in flight", f"{counts['receives_in_flight']:,} receives", f"{counts['sends_in_flight']:,} sends"),
            ("registered memory", megabytes(counts["registered_bytes"]), ""),
            ("leases", f"{run['leases']['held']:,} held", f"{counts['leases_outstanding']:,} slices in use"),
        ]
        turns = run.get("turns")
        if turns is not None:
            recent, slowest = milliseconds(turns["slowest_recent_seconds"]), milliseconds(turns["slowest_seconds"])
            rows.append(("slowest turn", f"{recent} in 10 s", f"{slowest} since the start"))
        return rows


def title_of(run: dict[str, Any]) -> str:
    """A line about a run as a whole."""
    return f"run in {run['thread']} on {run['statistics']['provider']}, up {duration(run['seconds'])}"
