"""RioStream and its friends against SocketStream and its friends: the same scenario leaves the same trace.

Both in a run of trio_rio, on each provider and in both modes, and in a run of stock Trio, where the socket's own
methods serve.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

import trio_rio

from .high_level_scenarios import ALL, RIO, STOCK, Level
from .trace import Scenario, Trace, trace_of

LeveledScenario = Callable[[Trace, Level], Awaitable[None]]


def with_level(scenario: LeveledScenario, level: Level) -> Scenario:
    async def leveled(trace: Trace) -> None:
        await scenario(trace, level)

    return leveled


@pytest.mark.parametrize("cancellation", ["request", "detach"])
@pytest.mark.parametrize("scenario", ALL)
def test_as_stock(scenario: LeveledScenario, cancellation: str, rio_provider: str) -> None:
    """Each scenario leaves the same trace with SocketStream on stock Trio and with RioStream on trio_rio."""
    config = trio_rio.RioConfig(provider=rio_provider, cancellation=cancellation)  # type: ignore[arg-type]

    def run(*args: object) -> object:
        return trio_rio.run(*args, config=config)  # type: ignore[arg-type]

    assert trace_of(run, with_level(scenario, RIO)) == trace_of(trio.run, with_level(scenario, STOCK))


@pytest.mark.parametrize("scenario", ALL)
def test_as_stock_in_a_run_of_stock_trio(scenario: LeveledScenario) -> None:
    """Each scenario leaves the same trace with SocketStream and with RioStream when neither has an engine."""
    assert trace_of(trio.run, with_level(scenario, RIO)) == trace_of(trio.run, with_level(scenario, STOCK))
