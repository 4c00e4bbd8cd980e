"""What tests of programs on trio_rio need: the ledger of a run.

A :class:`Ledger` has the books of one run at one moment, from both sides: what the engine thinks that it has given out,
and what the provider says. The two must agree at any moment; once the run is over, everything must be back.

>>> import trio_rio, trio_rio.testing
>>> async def main() -> None:
...     trio_rio.testing.assert_ledger_balanced()
>>> with trio_rio.testing.ledgers_of_runs() as ledgers:
...     trio_rio.run(main)
>>> ledgers[0].problems()
[]
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ._engine.current import engine_of_run
from ._engine.engine import Engine
from ._statistics import Ledger


def current_ledger() -> Ledger:
    """The books of the run of this thread. Not a checkpoint.

    Raises:
      RioError: there is none, or it is not on trio_rio.
    """
    return engine_of_run().ledger()


def assert_ledger_balanced() -> None:
    """Raise :class:`AssertionError` unless the books of the run of this thread balance now. Not a checkpoint.

    Raises:
      RioError: as :func:`current_ledger`.
    """
    current_ledger().assert_balanced()


@contextlib.contextmanager
def ledgers_of_runs() -> Iterator[list[Ledger]]:
    """Collect the last books of each run on trio_rio that ends inside the block, in whatever thread.

    For the time of the block the engine's ``close`` is wrapped. Blocks may be nested, and must end in reverse order.
    """
    ledgers: list[Ledger] = []
    close = Engine.close

    def close_and_keep(engine: Engine) -> None:
        try:
            close(engine)
        finally:
            books = engine.last_ledger
            if books is not None and all(books is not one for one in ledgers):  # two runs may have equal ones
                ledgers.append(books)

    Engine.close = close_and_keep  # type: ignore[assignment, method-assign]
    try:
        yield ledgers
    finally:
        Engine.close = close  # type: ignore[method-assign]


__all__ = ["Ledger", "assert_ledger_balanced", "current_ledger", "ledgers_of_runs"]
