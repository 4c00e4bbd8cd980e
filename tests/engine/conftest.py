"""Fixtures of the engine's tests: the mode of cancellation, and the way of collecting.

The run's options come by marks; ``harness.BOTH_MODES`` and ``harness.WAYS_OPTIONS`` have them.
"""

from __future__ import annotations

import pytest


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """What becomes of a cancelled receive in this test: "request" or "detach"."""
    name: str = request.param
    return name


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """The way of collecting in this test: one of ``harness.WAYS_OPTIONS``."""
    name: str = request.param
    return name
