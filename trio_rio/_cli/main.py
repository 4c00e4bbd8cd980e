"""``python -m trio_rio``: run a program on the backend, say what serves here and why, show it at work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import trio_rio

from .._looking.switches import check_engine_of_environment
from .._run import INSTALL_VARIABLE
from .exits import EXIT_OK, end_quietly, fail, needs
from .parser import parse
from .probe import probe
from .run import prepare, run

DEMO_NEEDS = ("h11", "httpx")  # the extra `demo`


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    programs: list[argparse.Namespace] = []

    def command() -> int:
        options = parse(given)
        if options is None:
            return EXIT_OK
        if options.command == "run":
            problem = check_provider(options.provider) or prepare(options)
            if problem is not None:
                return fail(problem)
            programs.append(options)
            return EXIT_OK
        return serve(options)

    code = end_quietly(command)
    # How a program ends, and what becomes of its output, is its own affair.
    return run(programs[0]) if programs else code


def serve(options: argparse.Namespace) -> int:
    """Run a command other than ``run``."""
    os.environ.pop(INSTALL_VARIABLE, None)  # which runs are whose is up to the command, also in its children
    trio_rio.uninstall()
    if options.command == "probe":
        return probe(options)
    if options.command == "monitor":
        from .monitor.main import monitor

        return monitor(options)
    problem = check_provider(options.provider)
    if problem is not None:
        return fail(problem)
    if options.command == "bench":
        from .bench.main import bench

        return bench(options)
    if options.command == "selftest":
        from . import selftest

        return selftest.main(options.provider, as_json=options.json, only=options.probe)
    try:
        from .demo import main as demo
    except ModuleNotFoundError as error:
        if error.name not in DEMO_NEEDS:
            raise
        return fail(needs("demo", *DEMO_NEEDS))
    return demo.main(options.provider, options.seconds)


def check_provider(name: str | None) -> str | None:
    """Why a run with this provider cannot begin, or ``None``."""
    try:
        check_engine_of_environment()
        trio_rio.rio.open_provider(name).close()
    except (ValueError, trio_rio.RioError) as error:
        return str(error)
    return None
