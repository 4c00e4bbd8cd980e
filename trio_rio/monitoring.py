"""Looking inside a program: statistics for Prometheus, and a dump of what its runs hold.

``python -m trio_rio run --monitor`` and ``python -m trio_rio monitor`` are the same for people, see the reference of
the command line. Nothing here costs a run anything as long as it is not used.
"""

from __future__ import annotations

import sys
import threading
from typing import TextIO

from ._engine.current import current_engine
from ._looking import switches
from ._looking.dump import dump as _dump
from ._looking.openmetrics import openmetrics
from ._looking.runs import RUNS, Run


def dump(file: TextIO | None = None) -> None:
    """Write what runs hold now: sockets, their requests, and leases with the place where each was taken.

    The run of this thread is always in it; those of other threads if they began after :func:`dump_on_signal`, or are
    monitored.

    Args:
      file: ``None`` for standard error.
    """
    engine = current_engine()
    runs = list(RUNS.under_way)
    if engine is not None and all(run.engine is not engine for run in runs):
        runs.append(Run(engine))
    (file or sys.stderr).write(_dump(runs))


def dump_on_signal(signal_number: int) -> None:
    """Let a signal write to standard error what :func:`dump` does, of the runs of all threads.

    Runs that begin later are in it, and the one of this thread. Call it in the main thread, as ``signal.signal``.

    Args:
      signal_number: as ``signal.SIGUSR1``.

    Raises:
      RuntimeError: this is not the main thread.
      OSError, ValueError: no such signal can be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("call dump_on_signal() in the main thread: Python handles signals only there")
    switches.dump_on_signal(signal_number)
    engine = current_engine()
    if engine is not None:
        RUNS.note(engine)


__all__ = ["dump", "dump_on_signal", "openmetrics"]
