"""The books of runs in a block: what went wrong once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

import trio_rio.testing

if TYPE_CHECKING:
    from ..conftest import RioRun


def test_runs_that_end_alike_have_books_of_their_own(rio_run: RioRun) -> None:
    """Three runs that do the same have three ledgers."""
    with trio_rio.testing.ledgers_of_runs() as ledgers:
        for _ in range(3):
            rio_run(trio.lowlevel.checkpoint)
    assert len(ledgers) == 3
