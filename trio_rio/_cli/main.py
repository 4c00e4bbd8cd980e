"""``python -m trio_rio``: run a program on the backend, say what serves here and why, show it at work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import trio_rio

from .._run import INSTALL_VARIABLE
from .exits import fail
from .probe import probe
from .run import RUN_USAGE, run, split_program

PROVIDERS = ("winsock", "uring", "portable")

DEMO_NEEDS = ("h11", "httpx")  # the extra `demo`


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m trio_rio",
        description="Trio on Registered I/O completion queues.",
    )
    provider = argparse.ArgumentParser(add_help=False)
    provider.add_argument(
        "--provider",
        choices=PROVIDERS,
        metavar="NAME",
        help=f"force this provider ({', '.join(PROVIDERS)}); default: TRIO_RIO_PROVIDER, else the first that can serve",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        parents=[provider],
        help="serve HTTP and echo on the loopback, check every byte, compare with stock Trio",
        description="Serve HTTP/1.1 and a TCP echo on the loopback by one Trio program, run by trio_rio and by stock "
        "Trio; drive both with real clients from another process, check every byte, and compare their speed.",
    )
    demo.add_argument("--seconds", type=positive_seconds, default=7.0, help="how long to measure (default: 7)")
    probe = commands.add_parser(
        "probe",
        parents=[provider],
        help="say which providers can serve here, and which is chosen, and why",
        description="Try each provider and say what came of it. The exit code is 1 when a provider is forced and "
        "cannot serve.",
    )
    style = probe.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print one JSON object")
    style.add_argument("--rich", action="store_true", help="print tables in colour (needs trio_rio[cli])")
    selftest = commands.add_parser(
        "selftest",
        parents=[provider],
        help="check the provider, and ask this system what no documentation says; makes a report",
        description="Run the core of the conformance suite and a probe for each open question on a provider, and print "
        "a report that can be pasted into an issue. The exit code is 1 when a check fails.",
    )
    selftest.add_argument("--json", action="store_true", help="print one JSON object")
    selftest.add_argument("--probe", choices=[f"U{number}" for number in range(1, 21)], help=argparse.SUPPRESS)
    commands.add_parser(
        "run",
        parents=[provider],
        usage=RUN_USAGE,
        help="run an unmodified Trio program on the backend",
        description="Run an unmodified Trio program on the backend: every trio.run() in it is served by trio_rio. "
        "sys.argv, sys.path and the exit code are as they would be with python SCRIPT or python -m MODULE.",
    )
    return parser


def positive_seconds(text: str) -> float:
    """A duration on the command line."""
    value = float(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 3600, not {text}")
    return value


def check_provider(name: str | None) -> str | None:
    """Why a run with this provider cannot begin, or ``None``."""
    try:
        trio_rio.rio.open_provider(name).close()
    except (ValueError, trio_rio.RioError) as error:
        return str(error)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    program: list[str] = []
    if arguments[:1] == ["run"]:
        arguments, program = split_program(arguments)
    options = make_parser().parse_args(arguments)
    options.program = program
    if options.command != "run":  # which runs are whose is up to the command, also in its children
        os.environ.pop(INSTALL_VARIABLE, None)
        trio_rio.uninstall()
    if options.command == "probe":
        return probe(options)
    problem = check_provider(options.provider)
    if problem is not None:
        return fail(problem)
    if options.command == "run":
        return run(options)
    if options.command == "selftest":
        from . import selftest

        return selftest.main(options.provider, as_json=options.json, only=options.probe)
    try:
        from .demo import main as demo
    except ModuleNotFoundError as error:
        if error.name not in DEMO_NEEDS:
            raise
        return fail(f"demo needs {' and '.join(DEMO_NEEDS)}: pip install 'trio_rio[demo]'")
    return demo.main(options.provider, options.seconds)
