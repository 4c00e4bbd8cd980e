"""``python -m trio_rio``: run a program on the backend, say what serves here and why, show it at work."""

from __future__ import annotations

import argparse
import importlib.util
import json
import runpy
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from . import ProbeReport

PROVIDERS = ("winsock", "uring", "portable")

DEMO_NEEDS = ("h11", "httpx")  # the extra `demo`

EXIT_OK = 0
EXIT_UNAVAILABLE = 1
EXIT_USAGE = 2

RUN_USAGE = "python -m trio_rio run [-h] [--provider NAME] (SCRIPT | -m MODULE) [ARGUMENT ...]"


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
        help="check the provider, and ask this system what no documentation says; for a report",
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


def split_program(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the arguments of ``run`` from the command line of the program, which argparse must not touch."""
    index = 1
    while index < len(arguments) and arguments[index].startswith("-") and arguments[index] != "-m":
        index += 2 if arguments[index] == "--provider" else 1
    return list(arguments[:index]), list(arguments[index:])


def positive_seconds(text: str) -> float:
    """A duration on the command line."""
    value = float(text)
    if not 0 < value < 3600:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 3600, not {text}")
    return value


# ----------------------------------------------------------------------------------------------------------
# probe
# ----------------------------------------------------------------------------------------------------------


def format_table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell, two spaces apart; the last is left ragged."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [line.rstrip() for line in lines]


def yes_or_no(value: bool) -> str:
    """A boolean in a table."""
    return "yes" if value else "no"


def provider_rows(report: ProbeReport) -> list[tuple[str, ...]]:
    """One row for each provider, and a heading."""
    heading = ("provider", "available", "reason", "remedy")
    items = ((item.name, yes_or_no(item.is_available), item.reason, item.remedy) for item in report.providers)
    return [heading, *items]


def feature_rows(report: ProbeReport) -> list[tuple[str, ...]]:
    """One row for each feature of each provider, and a heading."""
    heading = ("feature", "available", "since", "used for")
    features = (feature for item in report.providers for feature in item.features)
    return [heading, *((one.name, yes_or_no(one.is_available), one.since, one.used_for) for one in features)]


def print_report(report: ProbeReport) -> None:
    """Plain text: a table of providers with the reason and remedy of each refusal under it, and one of features."""
    for line in format_table(row[:2] for row in provider_rows(report)):
        print(line)
    for item in report.providers:
        if not item.is_available:
            print(f"\n{item.name}: {item.reason}\n  remedy: {item.remedy}")
    print(f"\nchosen: {report.chosen}, because {report.chosen_because}")
    if len(feature_rows(report)) > 1:
        print()
        print(*format_table(feature_rows(report)), sep="\n")


def print_rich(report: ProbeReport) -> None:
    """The same in colour.

    Raises:
      ImportError: rich is not installed.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for heading, *rows in (provider_rows(report), feature_rows(report)):
        table = Table(*heading)
        for row in rows:
            table.add_row(*row, style="green" if row[1] == "yes" else "yellow")
        if rows:
            console.print(table)
    console.print(f"chosen: [bold]{report.chosen}[/], because {report.chosen_because}")


def probe(options: argparse.Namespace) -> int:
    """The ``probe`` command."""
    import trio_rio

    try:
        report = trio_rio.probe(options.provider)
    except ValueError as error:
        return fail(str(error))
    if options.json:
        print(json.dumps(attrs.asdict(report), indent=2))
    elif options.rich:
        try:
            print_rich(report)
        except ImportError:
            return fail("--rich needs rich: pip install 'trio_rio[cli]'")
    else:
        print_report(report)
    served = {item.name for item in report.providers if item.is_available}
    return EXIT_OK if report.chosen in served else EXIT_UNAVAILABLE


# ----------------------------------------------------------------------------------------------------------
# run
# ----------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace) -> int:
    """The ``run`` command: what python does with a script or a module, on the backend."""
    import trio_rio

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
    trio_rio.install(trio_rio.RioConfig(provider=options.provider))
    if is_module:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return EXIT_OK
    # `python -m trio_rio` has put the current directory in front, unless it was told not to (-P, -I).
    if not getattr(sys.flags, "safe_path", sys.flags.isolated):
        sys.path[0] = str(Path(name).resolve().parent)
    runpy.run_path(name, run_name="__main__")
    return EXIT_OK


def module_exists(name: str) -> bool:
    """Whether ``-m`` can find it; looking imports the packages above it."""
    if name.startswith("."):
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:
        # Only a missing package above it is "not found"; what such a package fails to import is its own error.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return False
        raise


# ----------------------------------------------------------------------------------------------------------
# Entry
# ----------------------------------------------------------------------------------------------------------


def fail(message: str) -> int:
    """Print an error; the exit code for it."""
    print(f"trio_rio: {message}", file=sys.stderr)
    return EXIT_USAGE


def check_provider(name: str | None) -> str | None:
    """Why a run with this provider cannot begin, or ``None``."""
    import trio_rio

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
    if options.command == "probe":
        return probe(options)
    problem = check_provider(options.provider)
    if problem is not None:
        return fail(problem)
    if options.command == "run":
        return run(options)
    if options.command == "selftest":
        from ._cli import selftest as _selftest

        return _selftest.main(options.provider, as_json=options.json, only=options.probe)
    try:
        from ._cli.demo import main as _demo
    except ModuleNotFoundError as error:
        if error.name not in DEMO_NEEDS:
            raise
        return fail(f"demo needs {' and '.join(DEMO_NEEDS)}: pip install 'trio_rio[demo]'")
    return _demo.main(options.provider, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
