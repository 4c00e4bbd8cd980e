"""``python -m trio_rio run``: an unmodified program on the backend."""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import trio_rio

from .._run import INSTALL_VARIABLE
from ..rio.chooser import ENVIRONMENT_VARIABLE
from .exits import EXIT_OK, fail

RUN_USAGE = "python -m trio_rio run [-h] [--provider NAME] (SCRIPT | -m MODULE) [ARGUMENT ...]"


def split_program(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of ``run`` from the command line of the program, which argparse must not touch."""
    index = 1
    while index < len(arguments) and arguments[index].startswith("-") and arguments[index] != "-m":
        index += 2 if arguments[index] == "--provider" else 1
    return list(arguments[:index]), list(arguments[index:])


def run(options: argparse.Namespace) -> int:
    """The ``run`` command: what python does with a script or a module, on the backend."""
    program: list[str] = options.program
    is_module = program[:1] == ["-m"]
    if is_module:
        del program[0]
    if not program:
        return fail(f"a SCRIPT or -m MODULE is needed\nusage: {RUN_USAGE}")
    name = program[0]
    if is_module and not module_exists(name):
        return fail(f"no module named {name}")
    if not is_module and not Path(name).is_file():
        return fail(f"can't open file {name!r}: there is no such file")
    sys.argv = program
    if options.provider is not None:
        os.environ[ENVIRONMENT_VARIABLE] = options.provider  # also for a program that calls trio_rio.run() itself
    os.environ[INSTALL_VARIABLE] = "1"  # for the children of the program
    trio_rio.uninstall()  # what that variable may have installed here: the command line knows better
    trio_rio.install()
    if is_module:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return EXIT_OK
    # `python -m trio_rio` has put the current directory in front, unless it was told not to (-P, -I).
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(name).resolve().parent)
    runpy.run_path(name, run_name="__main__")
    return EXIT_OK


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
