"""The runs of this process, known while something looks at them.

Facts. A signal handler, and a thread that serves a monitor, belong to no run; they have to find those that there are.
The I/O manager is asked for events once per tick, by its attribute ``get_events``, whoever started the run.

Decision. As long as nothing is switched on no run is noted, and nothing of a run is different. Else a run is noted when
its manager is made, and forgotten at its end. How long its turns take is measured around ``get_events`` of that one
manager. Other threads read while the run goes on: what changes under their hands is read again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import attrs

from .._engine.engine import Engine
from .._statistics import RioStatistics

T = TypeVar("T")

# For how long a slow turn counts as recent.
_RECENT_SECONDS = 10

# How often a thread tries to read what another changes meanwhile.
_TRIES = 20


@attrs.define(eq=False)
class Turns:
    """How long the turns of a run take: the time from one wait for I/O to the next, in which its tasks run."""

    slowest: float = 0.0
    began: float | None = None  # the turn that is under way; None: the run waits, or has not begun
    _by_second: dict[int, float] = attrs.field(factory=dict)

    def measure(self, manager: Any) -> None:
        """Measure the turns of a manager's run from now on."""
        get_events = manager.get_events

        def get_events_and_measure(timeout: float) -> Any:
            began, self.began = self.began, None
            if began is not None:
                self._note(time.perf_counter() - began)
            try:
                return get_events(timeout)
            finally:
                self.began = time.perf_counter()

        manager.get_events = get_events_and_measure

    def _note(self, seconds: float) -> None:
        self.slowest = max(self.slowest, seconds)
        second = int(time.monotonic())
        if seconds > self._by_second.get(second, 0.0):
            self._by_second[second] = seconds
            for old in [one for one in self._by_second if one < second - _RECENT_SECONDS]:
                del self._by_second[old]

    def now(self) -> float:
        """How long the turn that is under way has taken; 0 while the run waits."""
        began = self.began
        return 0.0 if began is None else time.perf_counter() - began

    def recent(self) -> float:
        """The slowest of the last seconds, the one that is under way included."""
        least = int(time.monotonic()) - _RECENT_SECONDS
        return max([self.now(), *(seconds for second, seconds in list(self._by_second.items()) if second >= least)])


@attrs.define(eq=False)
class Run:
    """A run under way."""

    engine: Engine
    thread: str = attrs.field(factory=lambda: threading.current_thread().name)
    began: float = attrs.field(factory=time.monotonic)
    turns: Turns | None = None  # None: nobody wants to know
    endings: list[Callable[[Run], object]] = attrs.field(factory=list)  # called at its end

    @property
    def seconds(self) -> float:
        """How long it has been under way."""
        return time.monotonic() - self.began

    def statistics(self) -> RioStatistics:
        """A snapshot, from whatever thread."""
        return read(self.engine.statistics)


def read(function: Callable[[], T]) -> T:
    """Call a function that reads what another thread may be changing, again if it was."""
    for _ in range(_TRIES):
        try:
            return function()
        except RuntimeError:  # a dict or a set changed its size
            time.sleep(0)
    return function()


@attrs.define(eq=False)
class Runs:
    """All runs of the process that were begun while something looked at them. The one state of the process here."""

    is_on: bool = False  # each run is noted, whatever the environment says
    under_way: list[Run] = attrs.field(factory=list)

    def note(self, engine: Engine) -> Run:
        """A run is beginning, or is found under way; it is forgotten at its end."""
        known = [run for run in self.under_way if run.engine is engine]
        if known:
            return known[0]
        run = Run(engine)
        self.under_way.append(run)
        engine.at_end = partial(self._end, run)
        return run

    def _end(self, run: Run) -> None:
        self.under_way.remove(run)
        for end in run.endings:
            end(run)

    def forget_all(self) -> None:
        """In a forked child: they are the parent's."""
        self.under_way.clear()


RUNS = Runs()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RUNS.forget_all)
