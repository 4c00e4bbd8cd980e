"""The engine of the run that is under way in this thread."""

from __future__ import annotations

from .._errors import RioError
from .._trio import current_runner
from .engine import Engine


def current_engine() -> Engine | None:
    """The engine of this thread's run; ``None`` outside of one, and in one that is not on trio_rio."""
    return getattr(getattr(current_runner(), "io_manager", None), "engine", None)


def engine_of_run() -> Engine:
    """As :func:`current_engine`; RioError in place of ``None``."""
    engine = current_engine()
    if engine is None:
        raise RioError("no run on trio_rio is under way in this thread; start it with trio_rio.run()")
    return engine
