"""The command line: its commands and options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio_rio

from .bench.workloads import WORKLOADS

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

PROVIDERS = ("winsock", "uring", "portable")

_VALUED = ("--provider", "--dump-signal")  # options of `run` that take a value


def program_name() -> str:
    """How the command line was called."""
    return "trio-rio" if Path(sys.argv[0]).stem == "trio-rio" else "python -m trio_rio"


def run_usage() -> str:
    """The usage of ``run``, which argparse cannot know."""
    name = program_name()
    options = ("[--monitor] [--dump-signal NAME]", "[--] (SCRIPT | -m MODULE) [ARGUMENT ...]")
    return f"\n{' ' * (len(name) + 12)}".join([f"{name} run [-h] [--provider NAME] [--statistics]", *options])


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog=program_name(), description="Trio on Registered I/O completion queues.")
    parser.add_argument("--version", action="version", version=f"trio_rio {trio_rio.__version__}")
    provider = argparse.ArgumentParser(add_help=False)
    provider.add_argument(
        "--provider",
        choices=PROVIDERS,
        metavar="NAME",
        help=f"force this provider ({', '.join(PROVIDERS)}); default: TRIO_RIO_PROVIDER, else the first that can serve",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add in (_add_bench, _add_demo, _add_monitor, _add_probe, _add_run, _add_selftest):
        add(commands, provider)
    return parser


def _add_bench(commands: Commands, provider: argparse.ArgumentParser) -> None:
    bench = commands.add_parser(
        "bench",
        parents=[provider],
        help="measure trio_rio beside stock Trio on this machine",
        description="Serve the same workloads by trio_rio and by stock Trio in two processes, put load on them in turn "
        "from plain sockets, and print CPU time, rate and their ratio with its spread.",
    )
    bench.add_argument("--seconds", type=positive_seconds, default=28.0, help="how long to measure (default: 28)")
    bench.add_argument("--rounds", type=positive_number, default=6, help="samples of each server (default: 6)")
    bench.add_argument(
        "--workload",
        action="append",
        choices=list(WORKLOADS),
        metavar="NAME",
        help=f"measure this one; may be given several times (default: all: {', '.join(WORKLOADS)})",
    )
    bench.add_argument("--json", metavar="FILE", help="write every sample into a file")
    bench.add_argument("--plot", metavar="FILE", help="draw a chart into a file (needs matplotlib)")


def _add_demo(commands: Commands, provider: argparse.ArgumentParser) -> None:
    demo = commands.add_parser(
        "demo",
        parents=[provider],
        help="serve HTTP and echo on the loopback, check every byte, compare with stock Trio",
        description="Serve HTTP/1.1 and a TCP echo on the loopback by one Trio program, run by trio_rio and by stock "
        "Trio; drive both with real clients from another process, check every byte, and compare their speed.",
    )
    demo.add_argument("--seconds", type=positive_seconds, default=7.0, help="how long to measure (default: 7)")


def _add_monitor(commands: Commands, _: argparse.ArgumentParser) -> None:
    monitor = commands.add_parser(
        "monitor",
        help="show live what a program does that was started with run --monitor",
        description="Show what a program on trio_rio does, live, until it ends or Ctrl-C. It must have been started "
        "with `run --monitor`, or with TRIO_RIO_MONITOR=1 in its environment.",
    )
    monitor.add_argument("target", metavar="PID|SOCKET", help="the process, or the path of its socket")
    monitor.add_argument(
        "--interval", type=positive_seconds, default=1.0, metavar="S", help="seconds between looks (default: 1)"
    )
    monitor.add_argument("--count", type=positive_number, help="end after so many looks")
    style = monitor.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print each look as a line of JSON")
    style.add_argument("--dump", action="store_true", help="print sockets, requests and leases, once")


def _add_probe(commands: Commands, provider: argparse.ArgumentParser) -> None:
    probe = commands.add_parser(
        "probe",
        parents=[provider],
        help="say which providers can serve here, and which is chosen, and why",
        description="Try each provider and say what came of it. The exit code is 1 when a provider is forced and "
        "cannot serve.",
    )
    style = probe.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print one JSON object")
    style.add_argument("--rich", action="store_true", help="print tables in colour (needs rich)")


def _add_selftest(commands: Commands, provider: argparse.ArgumentParser) -> None:
    selftest = commands.add_parser(
        "selftest",
        parents=[provider],
        help="check the provider, and ask this system what no documentation says; makes a report",
        description="Run the core of the conformance suite and a probe for each open question on a provider, and print "
        "a report that can be pasted into an issue. The exit code is 1 when a check fails.",
    )
    selftest.add_argument("--json", action="store_true", help="print one JSON object")
    selftest.add_argument("--probe", choices=[f"U{number}" for number in range(1, 21)], help=argparse.SUPPRESS)


def _add_run(commands: Commands, provider: argparse.ArgumentParser) -> None:
    run = commands.add_parser(
        "run",
        parents=[provider],
        usage=run_usage(),
        allow_abbrev=False,  # split_program() knows the options by their full names
        help="run an unmodified Trio program on the backend",
        description="Run an unmodified Trio program on the backend: every trio.run() in it is served by trio_rio. "
        "sys.argv, sys.path and the exit code are as they would be with python SCRIPT or python -m MODULE. The last "
        "three options are passed on to the children of the program by the environment.",
    )
    run.add_argument("--statistics", action="store_true", help="print a table at the end of each run (standard error)")
    run.add_argument("--monitor", action="store_true", help="let `python -m trio_rio monitor PID` look inside")
    run.add_argument(
        "--dump-signal", metavar="NAME", help="let this signal, as USR1, print sockets, requests and leases"
    )


def split_program(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments of ``run`` from the command line of the program, which argparse must not touch."""
    index = 1
    while index < len(arguments) and arguments[index].startswith("-") and arguments[index] not in ("-m", "--"):
        index += 2 if arguments[index] in _VALUED else 1
    program = list(arguments[index:])
    return list(arguments[:index]), program[1:] if program[:1] == ["--"] else program


def positive_seconds(text: str) -> float:
    """A duration on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and below 3600, not {text}")
    return value


def positive_number(text: str) -> int:
    """A number of things on the command line."""
    if not text.isdecimal() or not 0 < int(text) < 1000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 999, not {text}")
    return int(text)


def parse(arguments: Sequence[str]) -> argparse.Namespace | None:
    """The options; ``None`` if there is no command, and the help was printed."""
    program: list[str] = []
    if arguments[:1] == ["run"]:
        arguments, program = split_program(arguments)
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.program = program
    if options.command is None:
        parser.print_help()
        return None
    return options
