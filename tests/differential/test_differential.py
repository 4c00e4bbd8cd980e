"""A thousand random programs have on trio_rio, in each mode, a trace that stock Trio leaves too.

On a failure the message has a program that is as small as could be found, and what differs. More programs, and others:
``python -m tests.differential --help``.
"""

from __future__ import annotations

import functools

import pytest

from .compare import BATCH, batch, shrunk, suspects
from .modes import OPTIONS, Mode, play_on_stock
from .play import Trace
from .program import Program

pytestmark = pytest.mark.skipif(
    "sys.platform == 'win32'", reason="the peers, and the error numbers, are those of POSIX"
)

SEED = 8
PROGRAMS = 1000


@functools.cache
def programs_on_stock() -> list[tuple[list[str], list[Program], list[Trace]]]:
    """The programs, in batches, and the traces that they leave on stock: once for all modes."""
    batches = [batch(SEED, first, BATCH) for first in range(0, PROGRAMS, BATCH)]
    return [(names, programs, play_on_stock(programs, 0.0)) for names, programs in batches]


@pytest.mark.parametrize("options", [*OPTIONS])
def test_no_program_differs(rio_provider: str, options: str) -> None:
    """Each of the programs leaves, in this mode, what it leaves on stock Trio."""
    if options == "first-calls" and rio_provider != "uring":
        pytest.skip("channels are made late on uring only")
    mode = Mode(rio_provider, options)
    for names, programs, traces in programs_on_stock():
        for difference in suspects(names, programs, [[trace] for trace in traces], mode):
            pytest.fail(str(shrunk(difference)))
