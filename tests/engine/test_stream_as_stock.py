"""RioStream and its friends against SocketStream and its friends: the same scenario leaves the same trace.

Both in a run of trio_rio, on each provider and in both modes, and in a run of stock Trio, where the socket's own
methods serve.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from ..conftest import RioRun
from .harness import BOTH_MODES
from .high_level_scenarios import ALL, RIO, STOCK, Level
from .trace import Scenario, Trace, trace_of

uses_mode, in_two = BOTH_MODES


def in_both_modes(test: Callable[..., None]) -> Callable[..., None]:
    """Once as the provider likes it, and once with receives detached."""
    marked: Callable[..., None] = uses_mode(in_two(test))
    return marked


LeveledScenario = Callable[[Trace, Level], Awaitable[None]]


def with_level(scenario: LeveledScenario, level: Level) -> Scenario:
    async def leveled(trace: Trace) -> None:
        await scenario(trace, level)

    return leveled


@in_both_modes
@pytest.mark.parametrize("scenario", ALL)
def test_as_stock(scenario: LeveledScenario, rio_run: RioRun) -> None:
    """Each scenario leaves the same trace with SocketStream on stock Trio and with RioStream on trio_rio."""
    assert trace_of(rio_run, with_level(scenario, RIO)) == trace_of(trio.run, with_level(scenario, STOCK))


@pytest.mark.parametrize("scenario", ALL)
def test_as_stock_in_a_run_of_stock_trio(scenario: LeveledScenario) -> None:
    """Each scenario leaves the same trace with SocketStream and with RioStream when neither has an engine."""
    assert trace_of(trio.run, with_level(scenario, RIO)) == trace_of(trio.run, with_level(scenario, STOCK))
