"""What is to be looked at, by variables of the environment, which the children of a program inherit."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from typing import Any

from .._engine.fields import engine_of_environment
from . import table
from .dump import dump
from .runs import RUNS, Run, Turns

MONITOR_VARIABLE = "TRIO_RIO_MONITOR"
STATISTICS_VARIABLE = "TRIO_RIO_STATISTICS"
DUMP_SIGNAL_VARIABLE = "TRIO_RIO_DUMP_SIGNAL"

_log = logging.getLogger("trio_rio")


def check_engine_of_environment() -> None:
    """Let a command say what is wrong with TRIO_RIO_ENGINE, before a server in another process fails by it.

    Raises:
      RioError: there is no such engine.
    """
    engine_of_environment()


def look_at(manager: Any) -> None:
    """A run is about to begin with this I/O manager: do what is switched on. Nothing of this can fail the run."""
    environ = os.environ
    monitors, prints = _is_set(environ.get(MONITOR_VARIABLE)), _is_set(environ.get(STATISTICS_VARIABLE))
    signal_name = environ.get(DUMP_SIGNAL_VARIABLE)
    if not (monitors or prints or signal_name or RUNS.is_on):
        return
    run = RUNS.note(manager.engine)
    if monitors:
        run.turns = Turns()
        run.turns.measure(manager)
        start_server()
    if prints:
        run.endings.append(print_statistics)
    if signal_name and threading.current_thread() is threading.main_thread():
        _dump_on_signal_named(signal_name)


def _is_set(value: str | None) -> bool:
    return value not in (None, "", "0")


def start_server() -> None:
    """Serve monitors in this process, if nothing does yet. What is in the way is told to the log."""
    from .server import SERVER  # nobody else needs the modules that it imports

    try:
        path = SERVER.start()
    except OSError as error:
        _warn_once(f"this process cannot be monitored: {error}")
    else:
        if path is not None:
            _log.info("this process can be monitored by `python -m trio_rio monitor %s`", os.getpid())


def print_statistics(run: Run) -> None:
    """The table at the end of a run, on standard error."""
    title = f"trio_rio: a run in thread {run.thread} has ended after {run.seconds:.1f} s"
    _write_error(table.text(title, run.engine.statistics()))


# -- the signal --------------------------------------------------------------------------------------------


def signal_named(name: str) -> signal.Signals:
    """A signal by its name, with SIG or without.

    Raises:
      ValueError: there is none, or nobody can handle it.
    """
    short = name.upper().removeprefix("SIG")
    found = getattr(signal.Signals, f"SIG{short}", None)
    if not isinstance(found, signal.Signals) or short in ("KILL", "STOP"):
        example = "USR1" if hasattr(signal, "SIGUSR1") else "BREAK"
        raise ValueError(f"no signal {name!r} can be handled here; give a name such as {example}")
    return found


def dump_on_signal(number: int) -> None:
    """Let a signal dump all runs that begin from now on. For the main thread."""
    RUNS.is_on = True
    signal.signal(number, _dump_now)


def _dump_now(number: int, frame: object) -> None:
    _write_error(dump(list(RUNS.under_way)))


@functools.cache  # the program may give the signal another meaning later
def _dump_on_signal_named(name: str) -> None:
    try:
        number = signal_named(name)
    except ValueError as error:
        _warn_once(f"{DUMP_SIGNAL_VARIABLE}: {error}")
        return
    if signal.getsignal(number) in (signal.SIG_DFL, _dump_now):
        dump_on_signal(number)
    else:
        _warn_once(f"{DUMP_SIGNAL_VARIABLE}: the program handles {number.name} itself; choose another signal")


# -- words -------------------------------------------------------------------------------------------------


def _write_error(text: str) -> None:
    """Write to standard error, though a signal may have come in the middle of another write to it."""
    data = text.encode(errors="replace")
    try:
        number = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # it is somebody's own, or there is none
        if sys.stderr is not None:
            sys.stderr.write(text)
        return
    try:
        while data:
            data = data[os.write(number, data) :]
    except OSError:
        pass  # nobody reads it


@functools.cache
def _warn_once(text: str) -> None:
    _log.warning("%s", text)
