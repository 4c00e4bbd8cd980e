"""Scenarios that are run with stock Trio and with trio_rio, and the traces that they leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio
from trio.testing import assert_checkpoints


@attrs.define
class Trace:
    """What happened, line by line."""

    lines: list[object] = attrs.field(factory=list)

    async def call(self, function: Callable[..., Awaitable[object]], *args: Any, **kwargs: Any) -> object:
        """Call, and note what came of it; it must have been a checkpoint."""
        with assert_checkpoints():
            return await self.call_unchecked(function, *args, **kwargs)

    async def call_unchecked(self, function: Callable[..., Awaitable[object]], *args: Any, **kwargs: Any) -> object:
        """As :meth:`call`, where stock Trio itself has no checkpoint."""
        result = None
        with trio.fail_after(5):
            try:
                result = await function(*args, **kwargs)
                self.lines.append(result)
            except (Exception, trio.Cancelled) as error:
                if isinstance(error, trio.Cancelled):
                    raise
                self.lines.append((type(error).__name__, getattr(error, "errno", None)))
        return result

    def note(self, line: object) -> None:
        self.lines.append(line)


Scenario = Callable[[Trace], Awaitable[None]]


@attrs.define
class Scenarios:
    """The scenarios of a module; an instance is a decorator."""

    all: list[Scenario] = attrs.field(factory=list)
    #: Those in which a send fails. Inside a window its error reaches the next send, so their traces differ there.
    with_late_errors: list[Scenario] = attrs.field(factory=list)
    #: Those that Windows lacks something for, and what.
    reasons: dict[Scenario, str] = attrs.field(factory=dict)

    def __call__(self, function: Scenario) -> Scenario:
        self.all.append(function)
        return function

    def not_on_windows(self, reason: str) -> Callable[[Scenario], Scenario]:
        """A scenario that Windows, with stock Trio too, cannot play."""

        def add(function: Scenario) -> Scenario:
            self.reasons[function] = reason
            return self(function)

        return add

    def late(self, function: Scenario) -> Scenario:
        """A scenario in which a send fails."""
        self.with_late_errors.append(function)
        return self(function)


def trace_of(run: Callable[..., object], scenario: Scenario) -> list[object]:
    trace = Trace()
    run(scenario, trace)
    return trace.lines
