"""The same scenario in a run of stock Trio and in one of trio_rio must leave the same trace.

A scenario is an async function that gets a :class:`Trace`. What a call returns, or the type and ``errno`` of what it
raises, becomes a line of the trace. Each call that is traced must be a checkpoint, whatever comes of it.
"""

from __future__ import annotations

import pytest
import trio

import trio_rio

from ..platforms import IS_WINDOWS
from . import other_scenarios, stream_scenarios
from .trace import Scenario, trace_of

ALL = [*stream_scenarios.scenario.all, *other_scenarios.scenario.all]
LATE = [*stream_scenarios.scenario.with_late_errors, *other_scenarios.scenario.with_late_errors]
REASONS = {**stream_scenarios.scenario.reasons, **other_scenarios.scenario.reasons}
CASES = [
    pytest.param(
        scenario,
        mode,
        id=f"{mode}-{scenario.__name__}",
        marks=pytest.mark.skipif(IS_WINDOWS and scenario in REASONS, reason=REASONS.get(scenario, "")),
    )
    for mode in ("request", "detach")
    for scenario in ALL
    if mode == "request" or scenario not in LATE
]


@pytest.mark.parametrize(("scenario", "cancellation"), CASES)
def test_as_stock(scenario: Scenario, cancellation: str, rio_provider: str) -> None:
    """The trace of each scenario is the same in a run of stock Trio and in one of trio_rio."""
    config = trio_rio.RioConfig(provider=rio_provider, cancellation=cancellation)  # type: ignore[arg-type]

    def run(*args: object) -> object:
        return trio_rio.run(*args, config=config)  # type: ignore[arg-type]

    assert trace_of(run, scenario) == trace_of(trio.run, scenario)
