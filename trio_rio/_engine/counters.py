"""What an engine counts since the start of its run."""

from __future__ import annotations

from .fields import CounterFields


class Counters(CounterFields):
    """All are 0 at first. With an engine in C their fields are C's, which counts as it serves a tick."""

    completions: int
    dequeues: int
    dequeues_with_results: int
    results_min: int
    results_max: int
    armed: int
    received: int
    drained_late: int
    sockets: int
    window_stalls: int

    __slots__ = ()

    def note_dequeue(self, results: int) -> None:
        """A completion queue was dequeued, and gave so many results."""
        self.dequeues += 1
        if not results:
            return
        self.completions += results
        self.dequeues_with_results += 1
        if results > self.results_max:
            self.results_max = results
        if results < self.results_min or not self.results_min:
            self.results_min = results
