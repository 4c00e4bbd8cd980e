"""Fixtures of the regression tests: those of the engine's tests."""

from __future__ import annotations

from ..engine.conftest import mode

__all__ = ["mode"]
