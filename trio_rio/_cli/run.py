"""``python -m trio_rio run``: an unmodified program on the backend."""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys
from pathlib import Path

import trio_rio

from .._looking.switches import (
    DUMP_SIGNAL_VARIABLE,
    MONITOR_VARIABLE,
    STATISTICS_VARIABLE,
    dump_on_signal,
    signal_named,
)
from .._run import INSTALL_VARIABLE
from ..rio.chooser import ENVIRONMENT_VARIABLE
from .exits import EXIT_OK
from .parser import run_usage


def prepare(options: argparse.Namespace) -> str | None:
    """Look whether the program can be run. What is wrong with it, or ``None``."""
    program: list[str] = options.program
    options.is_module = program[:1] == ["-m"]
    if options.is_module:
        del program[0]
    if not program:
        return f"a SCRIPT or -m MODULE is needed\nusage: {run_usage()}"
    if options.dump_signal is not None:
        try:
            signal_named(options.dump_signal)
        except ValueError as error:
            return str(error)
    name = program[0]
    # A console script has its own folder in front, `python -m trio_rio` the current one, unless told not to (-P, -I).
    if options.is_module and not sys.flags.safe_path:
        sys.path[0] = os.getcwd()
    if options.is_module and not module_exists(name):
        return f"no module named {name}"
    if not options.is_module and not Path(name).is_file():
        return f"can't open file {name!r}: there is no such file"
    return None


def run(options: argparse.Namespace) -> int:
    """The ``run`` command: what python does with a script or a module, on the backend."""
    name = options.program[0]
    sys.argv = options.program
    if options.provider is not None:
        os.environ[ENVIRONMENT_VARIABLE] = options.provider  # also for a program that calls trio_rio.run() itself
    switch_on(options)
    os.environ[INSTALL_VARIABLE] = "1"  # for the children of the program
    trio_rio.uninstall()  # what that variable may have installed here: the command line knows better
    trio_rio.install()
    if options.is_module:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return EXIT_OK
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(name).resolve().parent)
    runpy.run_path(name, run_name="__main__")
    return EXIT_OK


def switch_on(options: argparse.Namespace) -> None:
    """Let be looked at what is to be, here and in the children of the program."""
    if options.statistics:
        os.environ[STATISTICS_VARIABLE] = "1"
    if options.monitor:
        os.environ[MONITOR_VARIABLE] = "1"
    if options.dump_signal is not None:
        os.environ[DUMP_SIGNAL_VARIABLE] = options.dump_signal
        dump_on_signal(signal_named(options.dump_signal))  # now: the signal may come before the first run


def module_exists(name: str) -> bool:
    """Whether ``-m`` can find the module; as in Python, the packages above it are imported for that."""
    if name.startswith("."):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        # Only a missing package above it is "not found"; what such a package fails to import is its own error.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return False
        raise
