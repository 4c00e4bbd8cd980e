"""Fixtures of the engine's tests. The two modes of cancellation are a fixture; ``harness.BOTH_MODES`` asks for it."""

from __future__ import annotations

import pytest


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    """What becomes of a cancelled receive in this test: "request" or "detach"; the run's options come by a mark."""
    name: str = request.param
    return name
